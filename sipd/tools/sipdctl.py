"""`sipdctl`: what an administrator asks of a sipd database.

Nouns come from two tables: the verbs on the database (`sipd.control.verbs`),
and COMMANDS here, for nouns that ask something else than the database.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.control.verbs import NOUNS, VERBS
from sipd.hiding import Parser, hide_passwords
from sipd.tools import call, completion, explain, script_trace
from sipd.tools.frame import DONE, add_database_options, guarded, read_file, read_password, run_verb, show, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sipd.control.verbs import Parameter, Value, Verb


class Command(NamedTuple):
    """A noun that is no table of the database: `explain`, `call`."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]  # adds its arguments
    run: Callable[[argparse.Namespace], int]  # the exit status; may raise Refusal, SetupError, StoreAway


COMMANDS: Final[Mapping[str, Command]] = {
    "call": Command(call.HELP, call.add_arguments, call.run),
    "explain": Command(explain.EXPLAIN_HELP, explain.add_explain_arguments, explain.run_explain),
    "stats": Command(explain.STATS_HELP, explain.add_stats_arguments, explain.run_stats),
}
"""Noun -> how to run it. The namespace also has `database`, `database_file`, `root` and `json`."""

ASKED: Final[Mapping[tuple[str, str], Command]] = {
    ("script", "trace"): Command(script_trace.HELP, script_trace.add_arguments, script_trace.run),
}
"""(noun, verb) -> how to run a verb that asks the running server."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit status: 0 done, 1 refused, 2 could not be tried."""
    if argv is None:
        hide_passwords()
    options = parser().parse_args(argv)
    return guarded("sipdctl", lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Carry out what was parsed."""
    command: Command | None = COMMANDS.get(options.noun) or getattr(options, "command", None)
    if command is not None:
        return command.run(options)
    verb: Verb = options.verb
    values: dict[str, Value | None] = {}
    for parameter in verb.parameters:
        values[parameter.name] = _value(parameter, options)
    data = run_verb(verb, values, options.database, options.database_file, options.root, quiet=options.quiet)
    output = getattr(options, "output", None)
    if output is not None and isinstance(data, dict):
        write_file(output, str(data.pop(verb.prints)))
        show(data, as_json=options.json)
    else:
        show(data, as_json=options.json, prints=verb.prints, unmade=verb.unmade)
    return DONE


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, made from the two tables."""
    top = Parser(prog="sipdctl", description="Ask or change the database of sipd.")
    add_database_options(top)
    top.add_argument("--json", action="store_true", help="print JSON")
    top.add_argument("-q", "--quiet", action="store_true", help="don't show on the terminal how far long work is")
    completion.add_argument(top)
    nouns = top.add_subparsers(dest="noun", required=True, metavar="NOUN")
    for noun, text in NOUNS.items():
        verbs = nouns.add_parser(noun, help=text, description=text).add_subparsers(required=True, metavar="VERB")
        for verb in VERBS:
            if verb.noun == noun:
                one = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
                one.set_defaults(verb=verb)
                _add_arguments(one, verb)
        for (_, name), command in ((key, command) for key, command in ASKED.items() if key[0] == noun):
            one = verbs.add_parser(name, help=command.help, description=command.help)
            one.set_defaults(command=command)
            command.arguments(one)
            _add_json(one)
    for noun, command in COMMANDS.items():
        one = nouns.add_parser(noun, help=command.help, description=command.help)
        command.arguments(one)
        _add_json(one)
    return top


def _add_arguments(one: argparse.ArgumentParser, verb: Verb) -> None:
    for parameter in verb.parameters:
        metavar = parameter.name.upper().replace("-", "_")
        match parameter.kind:
            case "word" | "file":
                one.add_argument(parameter.name, metavar=metavar, help=parameter.help)
            case "optional":
                one.add_argument(parameter.name, metavar=metavar, nargs="?", help=parameter.help)
            case "words":
                one.add_argument(parameter.name, metavar=metavar, nargs="*", default=(), help=parameter.help)
            case "option" if parameter.choices:
                one.add_argument(f"--{parameter.name}", choices=parameter.choices, help=parameter.help)
            case "option":
                one.add_argument(f"--{parameter.name}", metavar=metavar, help=parameter.help)
            case "file-option":
                one.add_argument(f"--{parameter.name}", metavar="FILE", help=parameter.help)
            case "flag":
                one.add_argument(f"--{parameter.name}", action="store_true", help=parameter.help)
            case "output":
                one.add_argument("-o", "--output", metavar="FILE", help=parameter.help)
            case "password":
                one.add_argument(
                    "--password-file",
                    metavar="FILE",
                    help="file whose first line is the password (- is standard input); without it, a terminal is "
                    "asked, and where there is none the password is random and printed",
                )
    _add_json(one)
    if verb.long:
        one.add_argument(
            "-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help="don't show how far it has come"
        )


def _add_json(one: argparse.ArgumentParser) -> None:
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def _value(parameter: Parameter, options: argparse.Namespace) -> Value | None:
    if parameter.kind == "password":
        return read_password(options.password_file, ask=True)
    given = getattr(options, parameter.name.replace("-", "_"))
    if parameter.kind == "flag":
        return "yes" if given else None
    if parameter.kind == "file" or (parameter.kind == "file-option" and given is not None):
        return read_file(given)
    if parameter.kind == "words":
        return tuple(given)
    return None if given is None else str(given)


if __name__ == "__main__":
    sys.exit(main())
