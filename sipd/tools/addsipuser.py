"""`addsipuser`: adds one user, with the options of the original tool of that name."""

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
    return guarded("addsipuser", lambda: run_as("add", options))


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    return parser_of(
        "addsipuser", "Add a user to the database of sipd.", "whom to add", "digest realm; none: his domain"
    )


if __name__ == "__main__":
    sys.exit(main())
