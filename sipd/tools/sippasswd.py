"""`sippasswd`: gives a user another password, with the options of the original tool of that name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sipd.hiding import hide_passwords
from sipd.tools.account import parser_of, run_as
from sipd.tools.frame import guarded

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit status: 0 done, 1 refused, 2 could not be tried."""
    if argv is None:
        hide_passwords("-p", "--password")
    options = parser().parse_args(argv)
    return guarded("sippasswd", lambda: run_as("passwd", options))


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    return parser_of(
        "sippasswd",
        "Give a user of sipd another password.",
        "whose password to change",
        "another digest realm; none: the one he has",
    )


if __name__ == "__main__":
    sys.exit(main())
