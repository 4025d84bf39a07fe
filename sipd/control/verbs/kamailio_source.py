"""The tables of a Kamailio: an SQLite file as its db_sqlite makes, or a MySQL or MariaDB database.

Only what is wanted of them is read, and only columns that are there: versions
of Kamailio differ in them.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from sipd.errors import SetupError
from sipd.store import parse_url
from sipd.store.mysql_pool import Pool, Unreachable
from sipd.store.mysql_setup import login_of, setup_error
from sipd.store.mysql_wire import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sipd.store import DatabaseUrl

Cell = str | bytes | int | float | None

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "domain": ("domain", "did"),
    "subscriber": ("username", "domain", "password", "ha1", "ha1b"),
    "dbaliases": ("alias_username", "alias_domain", "username", "domain"),
    "location": (
        "username",
        "domain",
        "contact",
        "received",
        "path",
        "expires",
        "q",
        "callid",
        "cseq",
        "user_agent",
        "socket",
        "instance",
        "reg_id",
    ),
    "cpl": ("username", "domain", "cpl_xml"),
    "dialplan": ("id", "dpid", "pr", "match_op", "match_exp", "match_len", "subst_exp", "repl_exp", "attrs"),
}
"""Table -> the columns that are read of it."""

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "domain": ("domain",),
    "subscriber": ("username",),
    "dbaliases": ("alias_username", "username"),
    "location": ("username", "contact", "expires"),
    "cpl": ("username", "cpl_xml"),
    "dialplan": ("match_op", "match_exp", "repl_exp"),
}
"""Without these a table is none of Kamailio's."""

ORDER: Final = ("dpid", "pr", "id", "username", "domain")
"""What rows are ordered by, where a table has it: the rules of a dial plan by their priority."""

CLOSING: Final = 2.0
"""Seconds that ending the connection may take."""

JULIAN_EPOCH: Final = 2440587.5
"""The Julian day of 1970-01-01 0:00 UTC: db_sqlite writes times as Julian days."""


class Row(NamedTuple):
    """One row of a table, by column; a column that is not there is None."""

    cells: Mapping[str, Cell]

    def text(self, name: str) -> str:
        """The cell as text; "" where nothing is in it."""
        value = self.cells.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        return "" if value is None else str(value)

    def number(self, name: str, default: float) -> float:
        """The cell as a number; the default where it is none, or an infinite one."""
        value = self.cells.get(name)
        try:
            found = default if value is None else float(value)
        except ValueError:
            return default
        return found if isfinite(found) else default

    def raw(self, name: str) -> bytes:
        """The cell as bytes."""
        value = self.cells.get(name)
        return value if isinstance(value, bytes) else self.text(name).encode("utf-8", "surrogateescape")


Tables = dict[str, list[Row]]
"""The tables that are there."""


def source_url(text: str) -> DatabaseUrl:
    """Where the Kamailio's database is: its own spelling of URLs, or ours. Raises SetupError."""
    if text.lower().startswith("sqlite:////"):  # as in its db_url
        text = f"sqlite:{text[len('sqlite:///') :]}"
    elif Path(text).is_file():
        text = f"sqlite:{text}"
    url = parse_url(text, base=Path.cwd(), where="URL")
    if url.scheme == "memory":
        raise SetupError(
            "memory: is no database of Kamailio", "Write mysql://user@host/kamailio or sqlite:///path/file"
        )
    return url


async def read_tables(url: DatabaseUrl) -> Tables:
    """All tables that are wanted and there. Raises SetupError when there are none, or no way to them."""
    tables = _read_file(url) if url.path is not None else await _read_server(url)
    await trio.lowlevel.checkpoint()
    if not tables:
        raise SetupError(
            f"{url.shown} has none of Kamailio's tables", f"Looked for: {', '.join(COLUMNS)}. Is it the right database?"
        )
    return tables


def _read_file(url: DatabaseUrl) -> Tables:
    assert url.path is not None
    if not url.path.is_file():
        raise SetupError(f"there is no file {url.path}", "Write mysql://user@host/kamailio or sqlite:///path/file")
    tables: Tables = {}
    try:
        with closing(sqlite3.connect(f"{url.path.resolve().as_uri()}?mode=ro", uri=True)) as file:
            file.text_factory = bytes  # phones may have written what is no UTF-8
            for table in COLUMNS:
                there = {str(row[1], "utf-8").lower() for row in file.execute(f"PRAGMA table_info({table})")}
                names = _wanted(table, there)
                if names:
                    found = file.execute(_select(table, names, "{}"))
                    tables[table] = [Row(dict(zip(names, row, strict=True))) for row in found]
    except sqlite3.Error as error:
        raise SetupError(f"can't read {url.path}: {error}", "Is it an SQLite file of Kamailio's?") from error
    return tables


async def _read_server(url: DatabaseUrl) -> Tables:
    """Over one connection, in one transaction: all of one moment. Raises SetupError, StoreAway."""
    try:
        pool = Pool(url.hosts, login_of(url))
    except OSError as error:
        raise SetupError(f"can't read the certificates of {url.shown}: {error}", "Correct the URL") from error
    try:
        async with pool.link() as link, link.tx("START TRANSACTION READ ONLY"):
            tables: Tables = {}
            for table in COLUMNS:
                found = await link.fetch(
                    "SELECT LOWER(column_name) FROM information_schema.columns"
                    " WHERE table_schema = DATABASE() AND table_name = ?",
                    (table,),
                )
                names = _wanted(table, {str(name) for (name,) in found})
                if names:
                    rows = await link.fetch(_select(table, names, "`{}`"))
                    tables[table] = [Row(dict(zip(names, row, strict=True))) for row in rows]
            return tables
    except Unreachable as error:
        raise setup_error(url.shown, url, error) from None
    except Trouble as error:
        raise SetupError(f"can't read {url.shown}: {error}", "May this user read Kamailio's tables?") from None
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):  # closing is quick or given up
            await pool.close()


def _wanted(table: str, there: set[str]) -> list[str]:
    """The columns to read; none where the table is not there, or another one of that name."""
    return [name for name in COLUMNS[table] if name in there] if there.issuperset(NEEDED[table]) else []


def _select(table: str, names: Sequence[str], quoted: str) -> str:
    """All rows of a table, in a stable order. (Names are those of COLUMNS, nothing from outside.)"""
    columns = ", ".join(quoted.format(name) for name in names)
    order = ", ".join(quoted.format(name) for name in ORDER if name in names)
    return f"SELECT {columns} FROM {quoted.format(table)}" + (f" ORDER BY {order}" if order else "")


def seconds_of(value: Cell) -> float | None:
    """A time as Kamailio stores it, in seconds since 1970; 0: without an end. None: it is none.

    MySQL has it as text, in the time zone of the machine; db_sqlite as a Julian
    day; and with the parameter `expires_type` of usrloc it is seconds.
    """
    if isinstance(value, int):
        return float(value)
    if isinstance(value, float):
        if not isfinite(value):
            return None
        return round((value - JULIAN_EPOCH) * 86400, 3) if value < JULIAN_EPOCH * 2 else value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        seconds = float(text)
        return seconds if isfinite(seconds) else None
    try:
        return seconds_of(float(text)) if text.replace(".", "", 1).isdigit() else _from_text(text)
    except (ValueError, OverflowError):
        return None


def _from_text(text: str) -> float:
    moment = time.strptime(text.partition(".")[0], "%Y-%m-%d %H:%M:%S")
    return max(0.0, time.mktime(moment))
