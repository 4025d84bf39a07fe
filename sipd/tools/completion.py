"""`--print-completion SHELL`: what a shell must know to complete the command line, made by shtab from the parser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHELLS: Final = ("bash", "zsh", "fish")

FILES: Final = frozenset({"FILE", "DIR"})
"""Metavars of arguments whose values are names of files."""


class _Print(argparse.Action):
    """Print and leave, as --help does: no noun need follow."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """Print for the shell that is named."""
        print(text(parser, str(values)))
        parser.exit()


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Let the parser print it."""
    parser.add_argument(
        "--print-completion", action=_Print, choices=SHELLS, help="print what this shell needs for completion, and exit"
    )


def text(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for that shell; names of files are completed where they are wanted."""
    import shtab  # here, as nothing else needs it

    _mark(parser, shtab.FILE, shtab.DIRECTORY)
    made: str = shtab.complete(parser, shell)
    return made


def _mark(parser: argparse.ArgumentParser, file: Mapping[str, object], directory: Mapping[str, object]) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                _mark(one, file, directory)
        elif action.metavar in FILES:
            action.complete = directory if action.metavar == "DIR" else file  # type: ignore[attr-defined]  # for shtab
