"""The command line of `cpl-check`."""

from __future__ import annotations

import argparse
from typing import Final

from sipd import __version__
from sipd.core.behaviour import WORDS
from sipd.hiding import Parser

EPILOG: Final = """\
what a phone does (--outcome), one after another with commas between, the last for ever:
  answer, busy, noanswer, failure, reject, silent, redirect:URI, or a status as 503;
  @SECONDS after it: it rings so long before. URI= before it: that phone only.

examples:
  cpl-check bob.cpl
  cpl-check bob.cpl --simulate --from sip:alice@example.net --at 2026-12-24T18:00 --tz Europe/Paris
  cpl-check bob.cpl --simulate --registered 'sip:bob@192.0.2.1;q=0.5' --outcome noanswer,answer@5
  cpl-check bob.cpl --simulate --outcome sip:bob@192.0.2.1=busy --graph bob.svg
  cpl-check bob.cpl --week --tz Europe/Paris
  cpl-check --convert old.cpl -o new.cpl
  cpl-check --from-db sqlite:///var/lib/sipd/sip.sqlite3 --user bob@example.com --simulate

exit status: 0 when every script is sound (warnings allowed), 1 when one is refused or
could not be converted without loss, 2 when something could not be done at all: a file
that can't be read, a wrong option."""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    made = Parser(
        prog="cpl-check",
        description="Check scripts in the Call Processing Language (RFC 3880), and see what they do with a call.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("files", nargs="*", metavar="FILE", help="a script; - reads standard input")
    made.add_argument("--format", choices=("human", "gcc"), default="human", help="how findings are written")
    made.add_argument("--json", action="store_true", help="write one JSON list instead, an object for each script")
    made.add_argument("-q", "--quiet", action="store_true", help="say nothing of sound scripts without warnings")
    made.add_argument("--version", action="version", version=f"cpl-check {__version__}")
    _add_terms(made)
    _add_call(made)
    _add_other_outputs(made)
    _add_database(made)
    return made


def _add_terms(made: argparse.ArgumentParser) -> None:
    terms = made.add_argument_group("what the server permits", "taken from its settings with --from-db")
    terms.add_argument("--operations", metavar="NAMES", help="operations the server permits: all, or their names")
    terms.add_argument("--max-bytes", type=int, metavar="N", help="largest script taken; 65536 when not given")
    terms.add_argument("--hosts", metavar="NAMES", help="hosts that lookups may fetch from, with blanks between")
    terms.add_argument(
        "--phone-users", action="store_true", default=None, help="a user part that looks like a number is one"
    )
    terms.add_argument(
        "--time-zone", metavar="ZONE", help="zone of time-switches that name none; else that of --tz or the machine"
    )


def _add_call(made: argparse.ArgumentParser) -> None:
    call = made.add_argument_group("a made-up call")
    call.add_argument("--simulate", action="store_true", help="show what the server does with this call")
    call.add_argument("--from", dest="caller", metavar="URI", help="who calls; sip:alice@example.net when not given")
    call.add_argument("--to", metavar="URI", help="who is called; the owner of the script when not given")
    call.add_argument("--at", metavar="TIME", help="when, as 2026-12-24T18:00, 18:00 or 'Fri 6pm'; now when not given")
    call.add_argument("--tz", metavar="ZONE", help="zone of --at and of --week, as Europe/Paris; else the machine's")
    call.add_argument(
        "--header", action="append", metavar="'NAME: VALUE'", help="a header field, as 'Subject: x'; may come again"
    )
    call.add_argument(
        "--registered",
        action="append",
        metavar="'URI;q=N'",
        help="a registered phone of the owner, or none; may come again; one is made up when none is given",
    )
    call.add_argument(
        "--outcome",
        action="append",
        metavar="[URI=]WORD,...",
        help=f"what phones do: {', '.join(WORDS)}, redirect:URI or a status, with @SECONDS; noanswer when not given; "
        "may come again",
    )
    call.add_argument(
        "--lookup", action="append", metavar="URL=WORD", help="what a lookup by URL finds: notfound, failure, or a URI"
    )
    call.add_argument("--outgoing", action="store_true", help="the owner calls; else he is called")
    call.add_argument("--user", metavar="USER", help="the owner of the script, as alice@example.com")


def _add_other_outputs(made: argparse.ArgumentParser) -> None:
    other = made.add_argument_group("other outputs")
    other.add_argument("--week", action="store_true", help="show a week: what happens to the call when")
    other.add_argument(
        "--graph",
        metavar="FILE",
        help="draw the script as SVG; with --simulate the call's way is lit; - writes it out",
    )
    other.add_argument(
        "--convert", action="store_true", help="write a draft's script, or another server's, as RFC 3880"
    )
    other.add_argument(
        "--proven", action="store_true", help="with --convert: nobody can call here who has not proven who he is"
    )
    other.add_argument("-o", "--output", metavar="FILE", help="where --convert writes; standard output when not given")


def _add_database(made: argparse.ArgumentParser) -> None:
    stored = made.add_argument_group("scripts that are stored")
    stored.add_argument(
        "--from-db",
        nargs="?",
        const="",
        metavar="URL",
        help="check what is stored: all users, or --user; without URL the database that -f, -s or the environment "
        "name. With a FILE: that script, as if --user had it",
    )
    stored.add_argument("-f", "--database-file", metavar="FILE", help="file that holds the database URL")
    stored.add_argument("-s", "--root", metavar="DIR", help="server root, which holds the embedded database")
    stored.add_argument("-S", "--server", metavar="NAME", help="which row of settings, if there are several")
