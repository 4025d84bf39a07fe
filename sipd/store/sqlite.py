"""The embedded database: one SQLite file, one connection, used from one thread at a time.

Write-ahead log and `synchronous=FULL`: what `apply` has returned survives
kill -9 and power loss (T54). All waiting for the disk happens in a worker
thread; a limiter of one keeps the connection to itself. Other processes
(`sipdctl`) may read and write the same file at the same time.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from sipd.errors import SetupError, StoreAway
from sipd.rows import AddScriptLog, PutDelegate, PutDomain
from sipd.store import statements as sql
from sipd.store.base import Refused, Snapshot
from sipd.store.lockfile import LockFile
from sipd.store.sqlite_file import connect, create_file, create_tables, open_ours, trouble

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from sipd.rows import Change
    from sipd.store.statements import Value

R = TypeVar("R")

REFUSALS: Final = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError)
"""What a statement raises when the row, not the database, is at fault."""


class SqliteStore:
    """A Store in one file.

    `serving`: hold the file as a server does, of which there is one (T102).
    `patience`: seconds to wait for another process's transaction.
    """

    immediate: Final = False

    def __init__(self, path: str | os.PathLike[str], *, serving: bool = False, patience: float = 2.0) -> None:
        self.path = Path(path)
        self.shown = f"sqlite:{self.path}"
        self._patience = patience
        self._lock = LockFile(Path(f"{self.path}.lock")) if serving else None
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._connected: sqlite3.Connection | None = None
        self._file: tuple[int, int] = (0, 0)  # device and inode of the file we opened
        self._seen = 0  # data_version at the last load

    # in a worker thread

    async def exists(self) -> bool:
        """Whether the file is there and holds anything."""
        return await self._in_thread(lambda: self.path.exists() and self.path.stat().st_size > 0)

    async def create(self, secret_key: bytes, changes: Sequence[Change]) -> None:
        """Make the file, readable by its owner only, with all tables and first rows."""
        await self._in_thread(lambda: self._create(secret_key, changes))

    async def open(self) -> None:
        """Connect to a file that is a database of ours."""
        await self._in_thread(self._open)

    async def close(self) -> None:
        """Close the file."""
        with trio.CancelScope(shield=True):  # as long as the statement under way, a few seconds at most
            await self._in_thread(self._close)

    async def load_all(self) -> Snapshot:
        """Every row, read in one transaction."""
        return await self._in_thread(self._load_all)

    async def apply(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Commit all groups together."""
        return await self._in_thread(lambda: self.apply_now(groups))

    async def changed_outside(self) -> bool:
        """Whether another connection has committed since the last load."""
        return await self._in_thread(self._changed_outside)

    async def script_log(self, aor: str, limit: int = 100) -> list[AddScriptLog]:
        """The last lines of this user's scripts."""
        rows = await self._in_thread(lambda: self._rows(sql.SCRIPT_LOG, (aor, limit)))
        return [AddScriptLog(*sql.as_text(row)) for row in reversed(rows)]

    async def check(self) -> list[str]:
        """What `PRAGMA quick_check` finds (T57)."""
        found = await self._in_thread(lambda: self._rows("PRAGMA quick_check", ()))
        return [text for (text,) in found if text != "ok"]

    async def _in_thread(self, function: Callable[[], R]) -> R:
        return await trio.to_thread.run_sync(function, limiter=self._one_at_a_time)

    # plain

    def apply_now(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Commit all groups together; waits for the disk."""
        connection = self._connection
        try:
            self._still_the_same_file()
            connection.execute("BEGIN IMMEDIATE")
            results = [self._carry_out(group) for group in groups]
            connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise StoreAway(f"{self.shown}: {error}") from error
            raise
        return results

    def _carry_out(self, group: Sequence[Change]) -> Exception | None:
        connection = self._connection
        alone = len(group) == 1  # one change is one effective statement, whole or not at all by itself
        if not alone:
            connection.execute("SAVEPOINT whole")
        try:
            for change in group:
                sql.WRITE[type(change)](self._execute, change)
        except REFUSALS as error:
            if not alone:
                connection.execute("ROLLBACK TO whole")
                connection.execute("RELEASE whole")
            return Refused(_in_words(error))
        if not alone:
            connection.execute("RELEASE whole")
        return None

    def _execute(self, statement: str, row: Sequence[Value]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, row)
        except UnicodeEncodeError:
            return self._connection.execute(statement, sql.as_stored(row))

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:  # the disk is gone: what is not committed is not there
            pass

    def _still_the_same_file(self) -> None:
        # Rows written to a file that somebody removed or replaced are lost at the next start.
        now = self.path.stat()
        if (now.st_dev, now.st_ino) != self._file:
            raise OSError("the file was replaced while it was open; start sipd again")

    def _load_all(self) -> Snapshot:
        connection = self._connection
        try:
            connection.execute("BEGIN")
            [(key,)] = self._rows(sql.GET_META, ("secret_key",))
            snapshot = Snapshot(
                users=[sql.user_of(row) for row in self._rows(sql.ALL_USERS)],
                bindings=[sql.binding_of(sql.as_text(row)) for row in self._rows(sql.ALL_BINDINGS)],
                scripts=[sql.script_of(row) for row in self._rows(sql.ALL_SCRIPTS)],
                domains=[PutDomain(*row) for row in self._rows(sql.ALL_DOMAINS)],
                delegates=[PutDelegate(*row) for row in self._rows(sql.ALL_DELEGATES)],
                settings=[sql.settings_of(row) for row in self._rows(sql.ALL_SETTINGS)],
                secret_key=bytes.fromhex(key),
            )
            seen = self._data_version()
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise trouble(self.path, error) from error
        self._seen = seen
        return snapshot

    def _changed_outside(self) -> bool:
        try:
            return self._data_version() != self._seen
        except sqlite3.Error as error:
            raise StoreAway(f"{self.shown}: {error}") from error

    def _data_version(self) -> int:
        [(version,)] = self._rows("PRAGMA data_version")
        return int(version)

    def _rows(self, statement: str, row: Sequence[Value] = ()) -> list[Any]:  # Any: a driver's rows have no types
        return self._connection.execute(statement, row).fetchall()

    # opening and closing

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._connected is None:
            raise StoreAway(f"{self.shown} is not open")
        return self._connected

    def _create(self, secret_key: bytes, changes: Sequence[Change]) -> None:
        create_file(self.path)
        try:
            connection = connect(self.path, self._patience)
            try:
                connection.execute("BEGIN IMMEDIATE")
                create_tables(connection)
                connection.execute(sql.PUT_META, ("secret_key", secret_key.hex()))
                for change in changes:
                    sql.WRITE[type(change)](connection.execute, change)
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise SetupError(f"can't make the database {self.path}: {error}") from error
        self._open()

    def _open(self) -> None:
        if self._connected is not None:
            return
        if self._lock is not None and self.path.parent.is_dir():
            self._lock.acquire()
        try:
            self._connected = open_ours(self.path, self._patience, writable=self._lock is not None)
            status = self.path.stat()
        except BaseException:
            self._close()
            raise
        self._file = (status.st_dev, status.st_ino)

    def _close(self) -> None:
        try:
            if self._connected is not None:
                self._connected.close()
        finally:
            self._connected = None
            if self._lock is not None:
                self._lock.release()


def _in_words(error: Exception) -> str:
    if isinstance(error, sqlite3.IntegrityError) and "FOREIGN KEY" in str(error):
        return "no such user"
    return str(error)
