"""What the administrator's tools share: where the database is, how errors and tables are printed."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import stat
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeGuard

import trio

from sipd import __version__
from sipd.control.rpc import tell_server
from sipd.control.verbs import STAGE, Arguments, Content, Refusal, Stage, When
from sipd.control.verbs.base import Faults
from sipd.control.verbs.odd import odd_rows
from sipd.errors import BadSyntax, CommitUnknown, SetupError, StoreAway
from sipd.store import locate, open_store
from sipd.tools.progress import Bar

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Mapping, Sequence

    from sipd.control.verbs import Plain, Value, Verb
    from sipd.store import DatabaseUrl, Store

DONE: Final = 0
REFUSED: Final = 1
COULD_NOT: Final = 2
INTERRUPTED: Final = 130

SHOWN: Final = 20
"""Rows named that make no sense."""

LONG: Final = 100
"""Letters of a list that stands better on several lines."""

CLOSING: Final = 2.0
"""Seconds that closing the database may take."""


class Interrupted(Exception):
    """Somebody pressed Ctrl-C; the text says what became of the change that was asked for."""


def guarded(name: str, work: Callable[[], int]) -> int:
    """The exit status of `work`; what goes wrong becomes one line on standard error.

    1: it was refused; 2: it could not be tried (the database, a file, the usage).
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets the rest
    try:
        status = work()
        sys.stdout.flush()
        return status
    except Refusal as error:
        for line in getattr(error, "findings", ()):
            _say(line)
        _say(f"{name}: {error}")
        return REFUSED
    except SetupError as error:
        _say(f"{name}: {error}")
        return COULD_NOT
    except CommitUnknown as error:
        _say(f"{name}: {error}. It went away in the COMMIT: all is stored, or nothing; look when it is back")
        return COULD_NOT
    except StoreAway as error:
        _say(f"{name}: {error}. Nothing was changed; try again when the database can be had")
        return COULD_NOT
    except BrokenPipeError:  # the reader of our output has gone: nothing to tell, nowhere to tell it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT
    except OSError as error:  # mostly a full disk behind our output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"{name}: can't print what came of it: {error.strerror or error}")
        return COULD_NOT
    except Interrupted as error:
        _say(f"{name}: {error}")
        return INTERRUPTED
    except (KeyboardInterrupt, EOFError):
        _say(f"{name}: interrupted, nothing was changed")
        return INTERRUPTED


def add_database_options(parser: ArgumentParser) -> None:
    """The options that say which database."""
    parser.add_argument(
        "-D", "--database", metavar="URL", help="database URL: sqlite:///path/file or sql://user@host/sip"
    )
    parser.add_argument("-f", "--database-file", metavar="FILE", help="file that holds the database URL")
    parser.add_argument("-s", "--root", metavar="DIR", help="server root, which holds the embedded database")
    parser.add_argument("-V", "--version", action="version", version=f"sipd-{__version__}")


def run_verb(
    verb: Verb,
    values: Mapping[str, Value | None],
    database: str | None,
    file: str | None,
    root: str | None,
    *,
    quiet: bool = False,
) -> Plain:
    """What the verb returns, on the database that these options mean. Raises Interrupted for Ctrl-C."""
    url = locate(database, file, os.environ, Path.cwd(), root=None if root is None else Path(root))
    for warning in url.warnings:
        _say(f"warning: {warning}")
    if url.scheme == "memory":
        raise SetupError("memory: is inside one running sipd", "Tools need a database in a file: sqlite:///path/file")
    store = open_store(url)
    bar = Bar(sys.stderr, shown=verb.long and not quiet)
    stage = Stage()

    async def work() -> Plain:
        try:
            if not verb.makes:
                await store.open()
            return await _carried_out(verb, store, Arguments(values, system_user(), bar))
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):  # closing is quick or given up
                await store.close()

    token = STAGE.set(stage)
    try:
        result = trio.run(work)
    except KeyboardInterrupt:
        raise Interrupted(_interrupted(stage, url)) from None
    except BaseExceptionGroup as group:  # it came while several tasks were at work
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        raise Interrupted(_interrupted(stage, url)) from None
    finally:
        STAGE.reset(token)
        bar.close()
    tell_server(url)
    return result


async def _carried_out(verb: Verb, store: Store, arguments: Arguments) -> Plain:
    """What it returns. Raises Faults when it stumbled over rows that make no sense: SQLite takes any value."""
    try:
        return await verb.run(store, arguments)
    except (ArithmeticError, BadSyntax, LookupError, TypeError, ValueError) as error:
        fault = error
    found = odd_rows(await store.load_all())
    if not found:  # a fault of ours
        raise fault
    raise Faults("rows of the database make no sense", found[:SHOWN], "Mend them: sipdctl db check") from fault


def _interrupted(stage: Stage, url: DatabaseUrl) -> str:
    """What became of the change. SQLite can't be interrupted in its COMMIT; of another server's we may not hear."""
    if stage.stored:
        return "interrupted, but what was asked is done"
    if stage.storing and url.path is None:
        return "interrupted while the database stored it: it is there whole, or not at all"
    return "interrupted, nothing was changed"


def system_user() -> str:
    """The name that the system knows the caller by."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def read_file(name: str) -> Content:
    """The content of a file, or of standard input for `-`. Raises SetupError."""
    try:
        if name == "-":
            return Content(sys.stdin.buffer.read())
        with open(name, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = Content(file.read())
            content.exposed = stat.S_ISREG(mode) and bool(mode & 0o044)
            return content
    except OSError as error:
        raise SetupError(f"can't read {name}: {error.strerror}") from error


def write_file(name: str, text: str) -> None:
    """Put the text into a new file that only its owner can read; one that is there is left alone. Raises SetupError."""
    try:
        with open(
            os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
        ) as file:
            file.write(text)
    except FileExistsError:
        raise SetupError(f"there is a file {name} already", "Take another name, or move it away") from None
    except OSError as error:
        raise SetupError(f"can't write {name}: {error.strerror}") from error


def read_password(file: str | None, *, ask: bool) -> str | None:
    """A password from a file's first line (`-`: standard input), or asked for on a terminal; None: none was given."""
    if file is not None:
        lines = read_file(file).splitlines()
        try:
            password = lines[0].decode("utf-8") if lines else ""
        except UnicodeDecodeError:
            raise SetupError(f"the password in {file} is not UTF-8") from None
        if not password:
            raise SetupError(f"there is no password in {file}", "It stands in the first line")
        return password
    if not ask or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    password = getpass.getpass("Password (empty: a random one): ")
    if password and getpass.getpass("Once more: ") != password:
        raise Refusal("the two passwords differ", "Try again")
    return password or None


def show(data: Plain, *, as_json: bool, prints: str = "", unmade: str = "nothing") -> None:
    """Print a result: JSON for machines; for people a table, or lines of `key: value`."""
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=True))
    elif isinstance(data, dict) and prints:
        text = str(data[prints]) or unmade
        if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.isatty():
            sys.stdout.reconfigure(encoding="utf-8")  # what is to be read again by a program
        if sys.stdout.isatty():  # a file gets it as it is
            lines = (line.removesuffix("\r").split("\t") for line in text.split("\n"))
            text = "\n".join("\t".join(map(_cell, parts)) for parts in lines)
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    elif isinstance(data, dict):
        tables = {key: value for key, value in data.items() if _is_table(value)}
        print("\n".join(_lines({key: value for key, value in data.items() if key not in tables})))
        for key, rows in tables.items():
            print("\n".join(["", f"{key}:", *table(rows)]))
    elif isinstance(data, list):
        print("\n".join(table(data)) if data else unmade)
    else:
        print(_cell(data))


def table(rows: Sequence[Mapping[str, Plain]]) -> list[str]:
    """Rows with the same keys as lines of aligned columns, numbers to the right."""
    keys = list(rows[0])
    cells = [[_cell(row[key]) for key in keys] for row in rows]
    widths = [max(len(line[column]) for line in [keys, *cells]) for column in range(len(keys))]
    right = [all(_is_number(row[key]) for row in rows) for key in keys]

    def line(texts: Sequence[str]) -> str:
        aligned = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(texts, widths, right, strict=True))
        return "  ".join(aligned).rstrip(" ")

    return [line(keys), *(line(texts) for texts in cells)]


def _is_table(value: Plain) -> TypeGuard[Sequence[Mapping[str, Plain]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_number(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool | When)


def _lines(data: Mapping[str, Plain]) -> list[str]:
    width = max((len(key) for key in data), default=0)
    lines = []
    for key, value in data.items():
        texts = [_cell(one) for one in value] if isinstance(value, list | tuple) else [_cell(value)]
        if sum(map(len, texts)) < LONG:
            texts = ["; ".join(texts)] if texts else []
        lines += [
            f"{name.ljust(width)}  {text}".rstrip(" ")
            for name, text in zip([key, *[""] * len(texts)], texts, strict=False)
        ]
    return lines


def _cell(value: Plain) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, When):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if isinstance(value, list | tuple):
        return "; ".join(_cell(one) for one in value)
    text = "" if value is None else str(value)
    # Text of phones must not steer the terminal.
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _say(text: str) -> None:
    print(_cell(text), file=sys.stderr)
