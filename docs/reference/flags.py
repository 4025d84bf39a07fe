"""The command lines, from the parsers that read them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from docs.reference.words import code, table
from docs.reference.words import page as whole_page
from sipd import cli
from sipd.control.verbs.shapes import SHAPES
from sipd.tools import addsipuser, cpl_check, sipdctl, sippasswd

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS: Final = (cli.parser, sipdctl.parser, addsipuser.parser, sippasswd.parser, cpl_check.parser)
"""What makes the parser of each program."""

EXIT: Final = {
    "sipd": "0 after a clean stop, 1 when it can't start, 2 for bad usage.",
    "sipdctl": "0 done, 1 refused (or a test call that went otherwise), 2 could not be tried.",
    "addsipuser": "0 done, 1 refused, 2 could not be tried.",
    "sippasswd": "0 done, 1 refused, 2 could not be tried.",
    "cpl-check": "0 when every script is sound, 1 when one is refused or lost something when converted, "
    "2 when something could not be done.",
}


def page() -> str:
    """The page of all commands."""
    lines: list[str] = []
    for make in PROGRAMS:
        parser = make()
        lines += [f"## {parser.prog}", "", *described(parser), f"Exit status: {EXIT[parser.prog]}", ""]
        for name, one in subcommands(parser):
            lines += [f"### {parser.prog} {name}", "", *described(one), *given(name)]
    return whole_page("Commands", lines)


def described(parser: argparse.ArgumentParser) -> list[str]:
    """What it is for, how it is written, and each argument."""
    lines = [sentence(parser.description or ""), "", "```text", usage(parser), "```", ""]
    rows = [(f"`{written(action)}`", meaning(parser, action)) for action in arguments(parser)]
    return lines + (table(("argument", "meaning"), rows) if rows else [])


def given(name: str) -> list[str]:
    """What a verb prints with --json."""
    shape = SHAPES.get(name)
    if shape is None:
        return []
    what = "an array of objects" if shape.many else "an object"
    names = ", ".join(map(code, shape.names.split()))
    settings = "each setting given" if name == "server set" else ", ".join(map(code, shape.sometimes.split()))
    maybe = f"; sometimes {settings}" if settings else ""
    return [f"JSON: {what} with {'all settings' if name == 'server show' else names}{maybe}.", ""]


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Its own arguments, without `--help` and what leads to the subcommands."""
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in parser._actions if not isinstance(action, hidden)]


def subcommands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each subcommand that does something, with its whole name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                below = list(subcommands(one, f"{before}{name} "))
                yield from below or [(f"{before}{name}", one)]


def usage(parser: argparse.ArgumentParser) -> str:
    """The shape of the command line, the same on every terminal and Python."""
    words = [parser.prog]
    for action in arguments(parser):
        word = action.option_strings[-1] if action.option_strings else ""
        if action.nargs != 0:
            word = f"{word} {value_of(action)}".strip()
        if not action.option_strings and action.nargs == "*":
            word = f"[{word} ...]"
        elif not action.option_strings and action.nargs == "+":
            word = f"{word} [{word} ...]"
        elif not action.required:
            word = f"[{word}]"
        words.append(word)
    if any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
        words += ["NOUN", "..."]
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > 90:
            lines.append(" " * len(parser.prog))
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def written(action: argparse.Action) -> str:
    """How the argument is written, all spellings."""
    if not action.option_strings:
        return value_of(action)
    value = f" {value_of(action)}" if action.nargs != 0 else ""
    return ", ".join(action.option_strings) + value


def value_of(action: argparse.Action) -> str:
    """What stands for the argument's value."""
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an argument, with its choices and default where they say more."""
    text = parser._get_formatter()._expand_help(action)
    if action.choices is not None and action.metavar is not None:
        named = [str(choice) for choice in action.choices]
        if any(name not in text for name in named):
            text += f"; one of {', '.join(named)}"
    if isinstance(action.default, str | int | float) and not isinstance(action.default, bool):
        shown = f"{action.default:g}" if isinstance(action.default, float) else str(action.default)
        if action.default != argparse.SUPPRESS and "default" not in text:
            text += f"; default `{shown}`"
    return text


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    text = " ".join(text.split())
    return text if not text else text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
