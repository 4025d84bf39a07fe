"""The `sipd` command: flags to options, and the server in the foreground or detached."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sipd import __version__
from sipd.errors import SetupError, StoreAway
from sipd.hiding import Parser, hide_passwords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.server import startup

DEBUG_CATEGORIES: Final = ("all", "sql", "net", "sdp", "misc")

EPILOG: Final = """\
Without -D and -f the database URL is taken from SIPD_DATABASE, ./cinema_db.conf or
/etc/cinema_db.conf; with none of these sipd keeps an SQLite database of its own,
made on the first start. Prefer -f (a file that only you can read) or SIPD_DATABASE
to -D when the URL holds a password: command lines stay in the history of shells.

examples:
  sipd                                        everything by itself, in the foreground
  sipd -D sqlite:///srv/sip.sqlite3 --listen udp:127.0.0.1:5060
  sipd -D memory: --set auth=none             nothing is kept: for trying things out
"""


def parser() -> argparse.ArgumentParser:
    """The flags of `sipd`; docs/reference is made from it."""
    made = Parser(
        prog="sipd",
        description="SIP registrar, redirect server and forking proxy whose users program their own calls.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "-v", "--version", action="version", version=f"sipd-{__version__}", help="print the version and exit"
    )
    where = made.add_argument_group("database")
    where.add_argument("-D", "--database", metavar="URL", help="database URL; goes before everything else")
    where.add_argument("-f", "--database-file", metavar="FILE", help="file whose one line is the database URL")
    where.add_argument(
        "-S", "--server", metavar="NAME", help="row of the server configuration to use; needed when there are several"
    )
    where.add_argument("-l", "--license", metavar="FILE", help="import a licence text into the database and exit")
    run = made.add_argument_group("running")
    run.add_argument("-s", "--root", metavar="DIR", help="server root: directory to change to; overrides the database")
    run.add_argument(
        "-X", "--foreground", action="store_true", help="stay in the foreground, one process (the default)"
    )
    run.add_argument("--daemon", action="store_true", help="detach once everything is open")
    run.add_argument(
        "--check", action="store_true", help="open the database, check everything, and exit without listening"
    )
    net = made.add_argument_group("network and settings")
    net.add_argument(
        "--listen",
        metavar="TRANSPORT:ADDRESS:PORT",
        action="append",
        default=[],
        help="listen here instead of where the database says, as udp:127.0.0.1:5060 or tcp:[::1]:5060; repeatable",
    )
    net.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="use this value of a server setting for this run; repeatable",
    )
    look = made.add_argument_group("looking on")
    look.add_argument(
        "-d",
        "--debug",
        metavar="CATEGORY",
        action="append",
        default=[],
        choices=DEBUG_CATEGORIES,
        help="print what happens: all, sql, net (every message), sdp, misc; repeatable",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run `sipd`; the exit status: 0 after a clean stop, 1 when it can't start, 2 for bad usage."""
    if argv is None:
        hide_passwords()
    arguments = parser().parse_args(argv)
    try:
        if arguments.license is not None:
            return import_licence(arguments)
        return run(arguments)
    except SetupError as fault:
        print(f"sipd: {fault.text}", file=sys.stderr)
        if fault.hint:
            print(f"      {fault.hint}", file=sys.stderr)
        return 1
    except StoreAway as fault:
        print(f"sipd: the database can't be reached: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def import_licence(arguments: argparse.Namespace) -> int:
    """`-l`: put a licence text into the database, for the check at later starts."""
    from sipd.server import startup

    file = arguments.license
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise SetupError(f"can't read the licence file {file}: {fault}", "Name a text file.") from fault
    if not text.strip():
        raise SetupError(f"the licence file {file} is empty")
    shown = startup.import_licence(options_of(arguments), text)
    print(f"sipd: the licence is in {shown}; this version stores licences and does not check them yet")
    return 0


def options_of(arguments: argparse.Namespace) -> startup.Options:
    """The flags as the server's options."""
    from sipd.server import startup

    return startup.Options(
        database=arguments.database,
        database_file=arguments.database_file,
        server=arguments.server,
        root=arguments.root,
        listen=tuple(arguments.listen),
        settings=tuple(arguments.settings),
        debug=frozenset(arguments.debug),
        check=arguments.check,
    )


def run(arguments: argparse.Namespace) -> int:
    """Open everything, serve until a signal."""
    from sipd.control.rpc import control_service  # late: `sipd -v` and `--help` need none of it
    from sipd.server import startup

    options = options_of(arguments)
    tell = detach() if arguments.daemon and not arguments.foreground and not arguments.check else None
    return startup.main(options, say=print_line, ready=tell, services=(control_service,))


def print_line(text: str) -> None:
    """Show a line at once, also through a pipe; a reader that is gone is no reason to stop."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # lives as long as the process


def detach() -> _Told:
    """Fork before Trio runs; the parent waits for the child's outcome and exits with it."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with os.fdopen(read_end, "rb") as outcome:
            word = outcome.read(1)
        os._exit(0 if word == b"+" else 1)
    os.close(read_end)
    os.setsid()
    os.umask(0o077)
    return _Told(write_end)


class _Told:
    """Tells the parent that the server is listening, and lets go of the terminal."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __call__(self) -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)
        os.write(self._pipe, b"+")
        os.close(self._pipe)
