"""Opening and making a SQLite file, with an error that says what is wrong for each way it can fail (T57)."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sipd.errors import SetupError, StoreAway
from sipd.store.ddl import SCHEMA, creating
from sipd.store.lockfile import LockFile
from sipd.store.migrate import (
    EMPTY,
    Moved,
    check_shape,
    check_state,
    make_sqlite_triggers,
    sqlite_state,
    upgrade_sqlite,
)
from sipd.store.shape import sqlite_shape, unsound
from sipd.store.statements import phone_text

if TYPE_CHECKING:
    from sipd.store.migrate import Place, State

MAGIC: Final = b"SQLite format 3\0"
DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""Primary result codes that waiting does not cure. SQLITE_ERROR: a table or column is missing."""

INIT: Final = "Make one with: sipdctl -D sqlite:{path} db init"

KEY_BYTES: Final = 32

RETRY: Final = 0.02
"""Seconds between two looks whether another process has done with upgrading the file."""


CACHE: Final = 16384
"""KiB of the file kept in memory, beside what the system keeps: most statements on the loop need not read it."""


def connect(path: Path, patience: float, *, cache: int = CACHE) -> sqlite3.Connection:
    """A connection to a file that is there: durable, foreign keys on, transactions by hand.

    Nothing is written yet. `patience`: seconds a statement waits for another process. `cache`: KiB.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time, not always the same
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{cache}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def use_log(connection: sqlite3.Connection) -> None:
    """Have the file use a write-ahead log, for good: readers and the writer don't wait for each other."""
    connection.execute("PRAGMA journal_mode = WAL").fetchall()


def open_ours(path: Path, patience: float, writable: bool) -> sqlite3.Connection:
    """A connection to a database of sipd's, upgraded where it is older. `writable`: a server opens it; it can write.

    Raises SetupError, StoreAway when another process holds it too long.
    """
    _check_file(path)
    connection = None
    try:
        connection = connect(path, patience)
        _make_current(path, connection, patience, locked=writable)
        use_log(connection)
        if writable:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise trouble(path, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def schema_of(path: Path, patience: float) -> Moved:
    """From which schema to which opening it would lead. Raises as `open_ours` does; changes nothing."""
    _check_file(path)
    try:
        with closing(connect(path, patience)) as connection:
            return Moved(_checked(path, connection)[1].version)
    except sqlite3.Error as error:
        raise trouble(path, error) from error


def holds_anything(path: Path) -> bool:
    """Whether there is something at that path which must not be made anew, be it a database of sipd's or not."""
    try:
        if not path.stat().st_size:
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as connection:
            return sqlite_state(connection)[0] not in EMPTY
    except sqlite3.Error:
        return True  # something that is no database: leave it alone


def shown_as(path: Path) -> str:
    """How messages name the database."""
    return f"the database {path}"


def _make_current(path: Path, connection: sqlite3.Connection, patience: float, locked: bool) -> None:
    """Upgrade it where that is needed, and complete what was made by hand; only who holds the file may."""
    state, place = _checked(path, connection)
    older = place.version < SCHEMA
    if not older:
        check_shape(unsound(sqlite_shape(connection)), shown_as(path))
    lock = None if locked or not older else _held(path, patience)
    try:
        upgrade_sqlite(connection, shown_as(path))
        if state == "keyless":
            row = ("secret_key", secrets.token_hex(KEY_BYTES))
            connection.execute("INSERT OR IGNORE INTO sipd_meta (name, value) VALUES (?, ?)", row)
    finally:
        if lock is not None:
            lock.release()


def _held(path: Path, patience: float) -> LockFile:
    """The lock of a file whose schema a tool is about to change: no server, which would be an older one, uses it."""
    lock = LockFile(Path(f"{path}.lock"))
    given_up = time.monotonic() + patience
    while True:
        try:
            lock.acquire()
        except SetupError as error:
            if time.monotonic() > given_up:
                raise SetupError(
                    f"{shown_as(path)} is of an older sipd: {error.text}", "Start that server again, as the new sipd"
                ) from error
            time.sleep(RETRY)  # perhaps it is another tool, which has done in a moment
        else:
            return lock


def _checked(path: Path, connection: sqlite3.Connection) -> tuple[State, Place]:
    state, meta = sqlite_state(connection)
    return state, check_state(state, meta, shown_as(path), f"sqlite:{path}")


def create_file(path: Path) -> None:
    """An empty file with its directory, readable by its owner only: it will hold secrets.

    An empty file is taken as it is: what is left of a `create` that was
    interrupted. So are tables with nothing in them, made by hand.
    """
    if holds_anything(path):
        raise SetupError(f"{path} is there already", "Take another name, or move it away")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        os.chmod(path, 0o600)
    except OSError as error:
        raise SetupError(f"can't make the database {path}: {error.strerror}") from error
    if holds_anything(path):
        raise SetupError(f"{path} is there already", "Take another name, or move it away")


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing, and the triggers; the caller holds the transaction."""
    for step in creating():
        if not step.rows:
            statement = step.statement
            for kind in ("CREATE TABLE ", "CREATE INDEX "):
                statement = statement.replace(kind, f"{kind}IF NOT EXISTS ", 1)
            connection.execute(statement)
    make_sqlite_triggers(connection)
    check_shape(unsound(sqlite_shape(connection)), "the new database")
    connection.execute("REPLACE INTO sipd_meta (name, value) VALUES ('schema', ?)", (str(SCHEMA),))


def read_any_text(connection: sqlite3.Connection, error: sqlite3.Error) -> bool:
    """After this error of a query: whether to ask again, as text that is no UTF-8 is read as bytes are from now on.

    SQLite takes such text from any program. To read all text so would cost a start some tenths of a second.
    """
    if connection.text_factory is not str or not str(error).startswith("Could not decode to UTF-8"):
        return False
    connection.text_factory = phone_text
    return True


def trouble(path: Path, error: sqlite3.Error) -> Exception:
    """What to raise for an error of SQLite's while opening or loading."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in DAMAGED:
        return SetupError(
            f"the database {path} is damaged: {error}",
            "Restore it from a backup, or save what can be read with: sqlite3 FILE .recover",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return SetupError(
            f"can't write the database {path}: {error}",
            "The file and its directory must be writable for the user that runs this",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreAway(f"the database {path} is locked by another process")
    return StoreAway(f"the database {path}: {error}")


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise SetupError(f"there is no directory {path.parent}", "Make it, or correct the database URL") from None
        raise SetupError(f"there is no database {path}", INIT.format(path=path)) from None
    except OSError as error:
        raise SetupError(f"can't read the database {path}: {error.strerror}") from error
    if not head:
        raise SetupError(f"{path} is empty", INIT.format(path=path))
    if head != MAGIC:
        raise SetupError(f"{path} is not an SQLite database", "Correct the database URL; the file was left alone")
