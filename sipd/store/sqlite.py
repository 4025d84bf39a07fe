"""The embedded database: one SQLite file.

Write-ahead log and `synchronous=FULL`: what `apply` has returned survives
kill -9 and power loss (T54). Only what waits for the disk or for another
process runs in a thread: the COMMIT. The statements before it work in SQLite's
memory and run on the event loop, some microseconds each: in a thread each of
them would have to win back the interpreter's lock from a busy loop, 5 ms every
time (50 rows: 1 ms became 300). Other processes (`sipdctl`) may read and write
the same file at the same time.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from sipd.errors import CommitUnknown, SetupError, StoreAway
from sipd.rows import AddScriptLog
from sipd.store import statements as sql
from sipd.store.base import Refused, Snapshot
from sipd.store.dense_rows import BindingRows, UserRows
from sipd.store.lockfile import LockFile
from sipd.store.shape import differences, sqlite_shape
from sipd.store.some import queries, snapshot_of
from sipd.store.sqlite_file import (
    connect,
    create_file,
    create_tables,
    holds_anything,
    open_ours,
    read_any_text,
    schema_of,
    trouble,
    use_log,
)
from sipd.store.sqlite_log import ChangeLog, cut, last_line
from sipd.store.turns import QuickLock
from sipd.store.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.rows import Change, ScriptKind, ScriptVersion, User
    from sipd.store.base import Key
    from sipd.store.dense_rows import Known
    from sipd.store.statements import Value

SWITCH: Final = 0.0005
"""Seconds after which a busy loop lends the interpreter to the thread that commits.

With Python's 5 ms a commit of 2 ms took 200 on two busy cores, with this one 8.
"""

RETRY: Final = 0.01
"""Seconds between two tries to lock the file for writing."""

REFUSALS: Final = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError)
"""What a statement raises when the row, not the database, is at fault."""

NOT_COMMITTED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
"""Errors of a COMMIT after which nothing of it is in the file. After others, as of the disk, nobody can tell."""

SLICE: Final = 500
"""Rows read in one turn of the loop: one or two milliseconds."""

R = TypeVar("R")
R_ROWS = TypeVar("R_ROWS", UserRows, BindingRows)


class SqliteStore:
    """A Store in one file.

    `serving`: hold the file as a server does, of which there is one (T102).
    `patience`: seconds to wait for another process's transaction.
    """

    immediate: Final = False
    shared: Final = False  # by servers; tools may write to it at any time

    def __init__(self, path: str | os.PathLike[str], *, serving: bool = False, patience: float = 2.0) -> None:
        self.path = Path(path)
        self.shown = f"sqlite:{self.path}"
        self._name = str(self.path)
        self._patience = patience
        self._lock = LockFile(Path(f"{self.path}.lock")) if serving else None
        self._turn = QuickLock()  # who may use the connection
        self._worker = Worker("sipd-store")
        self._connected: sqlite3.Connection | None = None
        self._file: tuple[int, int] = (0, 0)  # device and inode of the file we opened
        self._log = ChangeLog()

    async def exists(self) -> bool:
        """Whether the file is there and holds anything."""
        async with self._turn:
            return await self._worker.run(lambda: holds_anything(self.path))

    async def upgrade(self, *, dry: bool = False) -> tuple[int, int]:
        """Open it, as the schema of this code; opening alone does the same. `dry`: only look."""
        async with self._turn:
            moved = await self._worker.run(lambda: schema_of(self.path, self._patience))
        if not dry:
            await self.open()
        return moved

    async def create(self, secret_key: bytes, changes: Sequence[Change]) -> None:
        """Make the file, readable by its owner only, with all tables and first rows."""
        async with self._turn:
            await self._worker.run(lambda: self._create(secret_key, changes))

    async def open(self) -> None:
        """Connect to a file that is a database of ours."""
        async with self._turn:
            await self._worker.run(self._open)

    async def close(self) -> None:
        """Close the file."""
        with trio.CancelScope(shield=True):  # as long as the commit under way, a few seconds at most
            async with self._turn:
                await self._worker.run(self._close)
                self._worker.stop()

    async def apply(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Commit all groups together; the loop goes on while the disk works."""
        async with self._turn:
            try:
                self._still_the_same_file()
                if not self._begin():
                    await self._worker.run(self._begin_patiently)
                results, lines = self._carry_out_all(groups)
                await self._worker.run(self._commit)
            except (sqlite3.Error, OSError) as error:
                self._roll_back()
                raise StoreAway(f"{self.shown}: {error}") from error
            except BaseException:
                self._roll_back()
                raise
            self._log.committed(*lines)
            return results

    def apply_now(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Commit all groups together; waits for the disk. Not while an `apply` is under way."""
        try:
            self._still_the_same_file()
            self._begin_patiently()
            results, lines = self._carry_out_all(groups)
            self._commit()
        except (sqlite3.Error, OSError) as error:
            self._roll_back()
            raise StoreAway(f"{self.shown}: {error}") from error
        except BaseException:
            self._roll_back()
            raise
        self._log.committed(*lines)
        return results

    async def news(self) -> Sequence[Key] | None:
        """What other connections have committed since the last time: one look at the file's header, mostly."""
        async with self._turn:
            try:
                return self._log.news(self._connection)
            except sqlite3.Error as error:
                raise StoreAway(f"{self.shown}: {error}") from error

    async def load_some(self, keys: Sequence[Key]) -> Snapshot:
        """The rows of these keys; commits wait meanwhile, some milliseconds."""
        async with self._turn:
            connection = self._connection
            try:
                connection.execute("BEGIN")
                found = []
                for part, statement, names in queries(keys):
                    found.append((part, self._rows(statement, names)))
                    await trio.lowlevel.checkpoint()
            finally:
                self._roll_back()
        return snapshot_of(found)

    async def load_all(self, begun: Callable[[], None] | None = None, known: Known | None = None) -> Snapshot:
        """Every row, read in one transaction of a connection of its own; commits go on meanwhile."""
        async with self._turn:
            try:
                connection = self._connection
                if begun is not None:
                    self._log.loaded(connection)  # before the snapshot: what comes later is looked at again
                reader = connect(self.path, 0.0, cache=1024)
            except sqlite3.Error as error:
                raise trouble(self.path, error) from error
        try:
            reader.execute("BEGIN")
            [(key,)] = reader.execute(sql.GET_META, ("secret_key",)).fetchall()  # fixes the moment
            if begun is not None:
                begun()
            try:
                return await _read_all(reader, key, known)
            except sqlite3.OperationalError as error:
                if not read_any_text(reader, error):
                    raise
                return await _read_all(reader, key, known)
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error
        finally:
            reader.close()

    async def find_users(self, part: str, after: str, limit: int) -> list[User]:
        """A page of users."""
        async with self._turn:
            rows = await self._worker.run(lambda: self._rows(*sql.finding(part, after, limit)))
        return [sql.user_of(row) for row in rows]

    async def script_log(self, aor: str, limit: int = 100) -> list[AddScriptLog]:
        """The last lines of this user's scripts."""
        async with self._turn:
            rows = await self._worker.run(lambda: self._rows(sql.SCRIPT_LOG, (aor, limit)))
        return [AddScriptLog(*sql.as_text(row)) for row in reversed(rows)]

    async def script_versions(self, aor: str, kind: ScriptKind = "cpl") -> list[ScriptVersion]:
        """What has been done to this user's script, oldest first."""
        async with self._turn:
            rows = await self._worker.run(lambda: self._rows(sql.SCRIPT_VERSIONS, (aor, kind)))
        return [sql.script_version_of(row) for row in rows]

    async def check(self) -> list[str]:
        """What `PRAGMA quick_check` finds (T57), what is missing, and rows that belong to nobody."""
        async with self._turn:
            try:
                return await self._worker.run(self._check)
            except SetupError as error:  # so damaged that it can't even be looked over
                return [error.text]

    def _check(self) -> list[str]:
        found = [text for (text,) in self._rows("PRAGMA quick_check") if text != "ok"]
        found += differences(sqlite_shape(self._connection))
        belonging = Counter((table, parent) for table, _, parent, _ in self._rows("PRAGMA foreign_key_check"))
        return found + [
            f"{count} row{'s' * (count > 1)} of {table} that belong to nobody in {parent}"
            for (table, parent), count in sorted(belonging.items())
        ]

    # one transaction

    def _begin(self) -> bool:
        """Whether the file could be locked for writing at once."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    def _begin_patiently(self) -> None:
        given_up = time.monotonic() + self._patience
        while not self._begin():
            if time.monotonic() > given_up:
                raise StoreAway(f"the database {self.path} is locked by another process")
            time.sleep(RETRY)

    def _carry_out_all(self, groups: Sequence[Sequence[Change]]) -> tuple[list[Exception | None], tuple[int, int]]:
        """What each group came to, and which lines of the change log are ours."""
        before = last_line(self._connection)
        results = [self._carry_out(group) for group in groups]
        after = last_line(self._connection)
        if self._lock is not None:
            cut(self._connection, after)
        return results, (before, after)

    def _carry_out(self, group: Sequence[Change]) -> Exception | None:
        connection = self._connection
        # one change is mostly one effective statement, whole or not at all by itself
        alone = len(group) == 1 and type(group[0]) not in sql.SEVERAL
        if not alone:
            connection.execute("SAVEPOINT whole")
        try:
            for change in group:
                sql.run(self._execute, change)
        except (*REFUSALS, Refused) as error:
            if not alone:
                connection.execute("ROLLBACK TO whole")
                connection.execute("RELEASE whole")
            return error if isinstance(error, Refused) else Refused(_in_words(error))
        if not alone:
            connection.execute("RELEASE whole")
        return None

    def _execute(self, statement: str, row: Sequence[Value]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, row)
        except UnicodeEncodeError:
            return self._connection.execute(statement, sql.as_stored(row))

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in NOT_COMMITTED:
                raise
            raise CommitUnknown(f"{self.shown}: {error}") from error  # it may be found in the log at the next start

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # the disk is gone: what is not committed is not there
            if self._connected is not None and self._connected.in_transaction:
                self._connected.execute("ROLLBACK")

    def _still_the_same_file(self) -> None:
        # Rows written to a file that somebody removed or replaced are lost at the next start.
        now = os.stat(self._name)
        if (now.st_dev, now.st_ino) != self._file:
            raise OSError("the file was replaced while it was open; start sipd again")

    def _rows(self, statement: str, row: Sequence[Value] = ()) -> list[Any]:  # Any: a driver's rows have no types
        connection = self._connection
        try:
            return connection.execute(statement, row).fetchall()
        except UnicodeEncodeError:
            return self._rows(statement, sql.as_stored(row))
        except sqlite3.Error as error:
            if read_any_text(connection, error):
                return self._rows(statement, row)
            raise trouble(self.path, error) from error

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
                use_log(connection)
                connection.execute("BEGIN IMMEDIATE")
                create_tables(connection)
                connection.execute(sql.PUT_META, ("secret_key", secret_key.hex()))
                for change in changes:
                    sql.run(connection.execute, change)
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
            if self._lock is not None:
                sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH))
            self._connected.execute("PRAGMA busy_timeout = 0")  # waiting is done by hand, off the loop
            with suppress(sqlite3.Error):  # damaged, perhaps: whoever reads it will hear
                self._log.loaded(self._connected)
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


async def _read_all(reader: sqlite3.Connection, key: str, known: Known | None) -> Snapshot:
    scripts = await _read(reader, sql.ALL_SCRIPTS, sql.script_of)
    there = {(script.aor, script.kind) for script in scripts}
    users = await _fill(UserRows(known=known), reader, sql.ALL_USERS)
    return Snapshot(
        users=users,
        bindings=await _fill(BindingRows(known=known, users=users), reader, sql.ALL_BINDINGS),
        scripts=scripts,
        domains=await _read(reader, sql.ALL_DOMAINS, sql.domain_of),
        delegates=await _read(reader, sql.ALL_DELEGATES, sql.delegate_of),
        peers=await _read(reader, sql.ALL_PEERS, sql.peer_of),
        settings=await _read(reader, sql.ALL_SETTINGS, sql.settings_of),
        secret_key=bytes.fromhex(key),
        removed=await _read(reader, sql.LAST_VERSIONS, sql.removed_of, lambda row: row[:2] in there),
        timezones=await _read(reader, sql.ALL_TIMEZONES, sql.timezone_of),
        aliases=await _read(reader, sql.ALL_ALIASES, sql.alias_of),
        dialplan=await _read(reader, sql.ALL_DIALS, sql.dial_of),
        versions=await _read(reader, sql.ALL_VERSIONS, sql.version_of),
    )


async def _read(
    reader: sqlite3.Connection,
    statement: str,
    made: Callable[[Any], R],  # a driver's rows have no types
    passed_over: Callable[[R], bool] = lambda row: False,
) -> list[R]:
    """All rows, a slice in each turn of the loop. (In a thread each row would cost a busy loop 5 ms.)"""
    rows: list[R] = []
    cursor = reader.execute(statement)
    while piece := cursor.fetchmany(SLICE):
        rows += [one for one in map(made, piece) if not passed_over(one)]
        await trio.lowlevel.checkpoint()
    return rows


async def _fill(into: R_ROWS, reader: sqlite3.Connection, statement: str) -> R_ROWS:
    """The same for the tables that are large: what is read is kept small at once."""
    cursor = reader.execute(statement)
    while piece := cursor.fetchmany(SLICE):
        into.extend(piece)
        await trio.lowlevel.checkpoint()
    return into
