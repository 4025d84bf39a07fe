"""Opening and making a SQLite file, with an error that says what is wrong for each way it can fail (T57)."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sipd.errors import SetupError, StoreAway
from sipd.store.ddl import SCHEMA, createsip, statements, upgrade_to
from sipd.store.triggers import create_triggers, drop_triggers

if TYPE_CHECKING:
    from pathlib import Path

MAGIC: Final = b"SQLite format 3\0"
DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""Primary result codes that waiting does not cure. SQLITE_ERROR: a table or column is missing."""

INIT: Final = "Make one with: sipdctl -D sqlite:{path} db init"


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to a file that is there: durable, foreign keys on, transactions by hand.

    Nothing is written yet. `patience`: seconds a statement waits for another process.
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
        connection.execute("PRAGMA cache_size = -65536")  # KiB: statements on the loop need not read the disk
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def use_log(connection: sqlite3.Connection) -> None:
    """Have the file use a write-ahead log, for good: readers and the writer don't wait for each other."""
    connection.execute("PRAGMA journal_mode = WAL").fetchall()


def open_ours(path: Path, patience: float, writable: bool) -> sqlite3.Connection:
    """A connection to a database of sipd's. `writable`: make sure that we can write.

    Raises SetupError, StoreAway when another process holds it too long.
    """
    _check_file(path)
    try:
        connection = connect(path, patience)
    except sqlite3.Error as error:
        raise trouble(path, error) from error
    try:
        version = _schema(path, connection)
        if version != SCHEMA:
            _upgrade(path, connection, version)
        use_log(connection)
        if writable:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        connection.close()
        raise trouble(path, error) from error
    except SetupError:
        connection.close()
        raise
    return connection


def create_file(path: Path) -> None:
    """An empty file with its directory, readable by its owner only: it will hold secrets.

    An empty file is taken as it is: what is left of a `create` that was interrupted.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        os.chmod(path, 0o600)
        size = path.stat().st_size
    except OSError as error:
        raise SetupError(f"can't make the database {path}: {error.strerror}") from error
    if size and _tables(path):
        raise SetupError(f"{path} is there already", "Take another name, or move it away")


def create_tables(connection: sqlite3.Connection) -> None:
    """Run createsip.sql, and make the triggers; the caller holds the transaction."""
    for statement in (*statements(createsip()), *create_triggers("sqlite")):
        connection.execute(statement)


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


def _upgrade(path: Path, connection: sqlite3.Connection, version: int) -> None:
    """Bring an older database to the schema of this code, whole or not at all; a newer one is refused (T125)."""
    if version > SCHEMA:
        raise SetupError(
            f"the database {path} has schema version {version}, this sipd knows version {SCHEMA}",
            "Use the release of sipd that made it, or a later one",
        )
    connection.execute("BEGIN IMMEDIATE")  # from here on nobody else upgrades it: look again
    try:
        for step in range(_schema(path, connection) + 1, SCHEMA + 1):
            for statement in statements(upgrade_to(step)):
                connection.execute(statement)
        for statement in (*drop_triggers(), *create_triggers("sqlite")):
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _schema(path: Path, connection: sqlite3.Connection) -> int:
    """The schema version that the database says it has."""
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sipd_meta'").fetchone()
    if found != (1,):
        raise SetupError(f"{path} is an SQLite database, but none of sipd's", INIT.format(path="ANOTHER-FILE"))
    row = connection.execute("SELECT value FROM sipd_meta WHERE name = 'schema'").fetchone()
    if row is None or not str(row[0]).isascii() or not str(row[0]).isdigit():
        raise SetupError(f"the database {path} does not say which schema it has", "Restore it from a backup")
    return int(row[0])


def _tables(path: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)
        try:
            [(count,)] = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return 1  # something that is no database: leave it alone
    return int(count)
