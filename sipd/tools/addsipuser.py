"""`addsipuser`: adds one user, with the options of the original tool of that name."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sipd.control.verbs import VERBS
from sipd.tools.frame import DONE, add_database_options, guarded, read_password, run_verb, show

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit status: 0 done, 1 refused, 2 could not be tried."""
    options = parser().parse_args(argv)
    return guarded("addsipuser", lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Add the user."""
    [verb] = [verb for verb in VERBS if (verb.noun, verb.name) == ("user", "add")]
    given = options.password
    password = given if given not in (None, "-") else read_password(given, ask=True)
    values = {"address": options.address, "password": password, "realm": options.realm}
    show(run_verb(verb, values, options.database, options.database_file, options.root), as_json=options.json)
    return DONE


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="addsipuser", description="Add a user to the database of sipd.")
    add_database_options(parser)
    parser.add_argument(
        "-p",
        "--password",
        help="the password; every user of this machine can see it in the list of processes, so better: - reads it "
        "from standard input, and without -p a terminal is asked, or a random one is made and printed",
    )
    parser.add_argument("-r", "--realm", help="digest realm; none: his domain")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("address", metavar="user@domain", help="whom to add")
    return parser


if __name__ == "__main__":
    sys.exit(main())
