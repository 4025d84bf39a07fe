"""What `addsipuser` and `sippasswd` share: the options of the original tools of these names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.control.verbs import VERBS
from sipd.hiding import Parser
from sipd.tools import completion
from sipd.tools.frame import DONE, add_database_options, read_password, run_verb, show

if TYPE_CHECKING:
    import argparse

    from sipd.control.verbs import Value


def parser_of(program: str, text: str, whom: str, realm: str) -> argparse.ArgumentParser:
    """The parser of a command line with a database, a password, a realm and a user."""
    parser = Parser(prog=program, description=text)
    add_database_options(parser)
    parser.add_argument(
        "-p",
        "--password",
        help="the password; it stays in the history of the shell, so better: - reads it from standard input, and "
        "without -p a terminal is asked, or a random one is made and printed",
    )
    parser.add_argument("-r", "--realm", help=realm)
    parser.add_argument("--json", action="store_true", help="print JSON")
    completion.add_argument(parser)
    parser.add_argument("address", metavar="user@domain", help=whom)
    return parser


def run_as(name: str, options: argparse.Namespace) -> int:
    """Carry out that verb of `sipdctl user`."""
    [verb] = [verb for verb in VERBS if (verb.noun, verb.name) == ("user", name)]
    given = options.password
    password = given if given not in (None, "-") else read_password(given, ask=True)
    values: dict[str, Value | None] = {"address": options.address, "password": password, "realm": options.realm}
    show(run_verb(verb, values, options.database, options.database_file, options.root), as_json=options.json)
    return DONE
