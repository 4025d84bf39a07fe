"""MySQL or MariaDB, alone or a Galera cluster: a database that several servers share.

One connection writes, in one transaction for all groups that wait; others
read. What `apply` has returned is as durable as the server makes a COMMIT (InnoDB:
`innodb_flush_log_at_trx_commit=1`, its default). A transaction that loses
against another is tried again, and so is one whose connection broke before its
COMMIT was sent, at the next host of the URL if there are several. A COMMIT
without an answer is CommitUnknown.
"""

from __future__ import annotations

import random
import secrets
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from sipd.errors import CommitUnknown, SetupError, StoreAway
from sipd.log import LOG
from sipd.rows import AddScriptLog, PutAlias, PutDelegate, PutDial, PutDomain, PutTimezone
from sipd.store import statements as sql
from sipd.store.base import Removed, Snapshot
from sipd.store.ddl import SCHEMA
from sipd.store.dense_rows import BindingRows, UserRows
from sipd.store.migrate import check_state
from sipd.store.mysql_link import PATIENCE as STATEMENT
from sipd.store.mysql_link import CommitLost
from sipd.store.mysql_migrate import check_tables, first_rows, make_tables, state_of, upgrade
from sipd.store.mysql_news import ChangeLog
from sipd.store.mysql_pool import Pool, Unreachable, may_be_better_elsewhere
from sipd.store.mysql_setup import check_server, login_of, setup_error, warn_of_forgetting
from sipd.store.mysql_wire import Trouble
from sipd.store.mysql_write import write
from sipd.store.some import queries, snapshot_of
from sipd.store.turns import QuickLock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sipd.rows import Change, ScriptKind, ScriptVersion, User
    from sipd.store.base import Key
    from sipd.store.dense_rows import Known
    from sipd.store.mysql_link import Link
    from sipd.store.mysql_wire import Rows
    from sipd.store.url import DatabaseUrl

T = TypeVar("T")

PATIENCE: Final = 6.0
"""Seconds after which a transaction that has not reached its COMMIT is not tried again."""

AGAIN: Final = frozenset({1205, 1213, 1305, 3100, 3101, 1180})
"""Errors by which a transaction lost against another: the same again may do.

1305: a savepoint is gone, as a deadlock ended the transaction behind a refused row.
"""

PAUSE: Final = 0.02
"""Seconds before it is tried again, at most, the first time; then longer."""

UPGRADE: Final = 3600.0
"""Seconds for one statement that makes or upgrades tables."""

NAME_PING: Final = 15.0
"""Seconds between two signs of life of the connection that holds the server's name (T102)."""

NAME_LOST: Final = 60
"""Seconds without one after which the database gives the name to another."""

SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
BEGIN_SNAPSHOT: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT"
HOLD_NAME: Final = "SELECT GET_LOCK(CONCAT('sipd.', LEFT(SHA2(CONCAT(DATABASE(), '/', ?), 256), 32)), 0)"


class MysqlStore:
    """A Store on the servers of this URL. `serving`: hold this server's name, of which there is one (T102)."""

    immediate: Final = False
    shared: Final = True

    def __init__(self, url: DatabaseUrl, *, serving: bool = False, name: str = "", patience: float = PATIENCE) -> None:
        self.shown = url.shown
        self._url = url
        self._name = (name or "default") if serving else ""
        self._patience = patience
        self._origin = secrets.token_hex(8)
        self._renamed = 0
        self._log = ChangeLog(self._origin)
        self._reading = trio.Lock()  # who asks for news
        self._turn = QuickLock()  # who writes
        self._pool: Pool | None = None
        self._writer: Link | None = None
        self._holder: Link | None = None
        self._held = 0.0

    # beginning and end

    async def exists(self) -> bool:
        """Whether the database has tables of ours with rows, or anything else that must not be written over."""
        async with self._setting_up() as link:
            state, _ = await state_of(link)
        return state not in ("none", "half", "bare")

    async def create(self, secret_key: bytes, changes: Sequence[Change]) -> None:
        """Make the tables in the database, which must be there, with these first rows."""
        async with self._setting_up() as link:
            await check_server(link, self.shown)
            await make_tables(link, self.shown, _say)
            await link.for_writing()
            try:
                async with link.tx():
                    for statement, row in first_rows(secret_key):
                        await link.execute(statement, row)
                    for error in await write(link, [changes]):
                        if error is not None:
                            raise error
            except Trouble as error:
                if error.code == 1062:
                    raise SetupError(f"{self.shown} is there already", "Take another name") from None
                raise
        await self.open()

    async def open(self) -> None:
        """Connect to a database of ours, upgraded where it is older."""
        if self._pool is not None:
            return
        await self._upgraded()
        pool = self._new_pool()
        try:
            if self._name:
                await self._hold_name(pool)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await pool.close()
            raise
        self._pool = pool

    async def upgrade(self, *, dry: bool = False) -> tuple[int, int]:
        """Open it, as the schema of this code; opening alone does the same. `dry`: only look."""
        if dry:
            async with self._setting_up() as link:
                state, meta = await state_of(link)
            return check_state(state, meta, self.shown, self.shown).version, SCHEMA
        moved = await self._upgraded()
        await self.open()
        return moved

    async def close(self) -> None:
        """Disconnect; a commit under way ends first."""
        with trio.CancelScope(shield=True):  # as long as the commit under way, a few seconds at most
            async with self._turn:
                for link in (self._writer, self._holder):
                    if link is not None:
                        await link.quit()
                self._writer = self._holder = None
                if self._pool is not None:
                    await self._pool.close()
                self._pool = None

    # writing

    async def apply(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Commit all groups together."""
        async with self._turn:
            give_up = trio.current_time() + self._patience
            tries = 0
            while True:
                tries += 1
                try:
                    return await self._try(groups)
                except Unreachable as error:
                    raise StoreAway(f"{self.shown}: {error}") from None
                except Trouble as error:
                    may = error.code in AGAIN or (may_be_better_elsewhere(error) and tries <= len(self._url.hosts) + 1)
                    if not may or trio.current_time() > give_up:
                        raise StoreAway(f"{self.shown}: {error}") from None
                await trio.sleep(random.uniform(0, PAUSE * tries))

    def apply_now(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Never: it would stop the loop."""
        raise NotImplementedError("a store on the network is not immediate")

    async def _try(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        if self._writer is None or not self._writer.usable:
            self._writer = None
            writer = await self._connected.new_link()
            try:
                await writer.for_writing()
            except BaseException:
                writer.close()
                raise
            self._writer = writer
        before, link = self._log.last, self._writer
        try:
            async with link.tx():
                return await write(link, groups)
        except Trouble as error:
            if may_be_better_elsewhere(error) and error.code not in AGAIN:
                self._connected.leave(link.host)
            raise
        except CommitLost as error:
            self._disown(before)
            raise CommitUnknown(f"{self.shown}: {error}") from None
        except trio.Cancelled:
            self._disown(before)  # in the COMMIT perhaps
            raise
        finally:
            if not link.usable:
                link.close()
                self._writer = None

    def _disown(self, before: int) -> None:
        """What was written behind this line of the change log is to be read back: it may be committed, even later."""
        self._renamed += 1
        self._log.renamed(f"{self._origin}-{self._renamed}", before)
        self._connected.origin = self._log.origin
        self._connected.forget()

    # reading

    async def load_all(self, begun: Callable[[], None] | None = None, known: Known | None = None) -> Snapshot:
        """Every row, in one transaction of a connection of its own; a slice in each turn of the loop."""
        async with self._troubles():
            link = await self._connected.new_link()
            try:
                return await self._load_all(link, begun, known)
            finally:
                link.close()

    async def _load_all(self, link: Link, begun: Callable[[], None] | None, known: Known | None) -> Snapshot:
        await link.execute(SNAPSHOT)
        await link.execute(BEGIN_SNAPSHOT)
        keys = await link.fetch(sql.GET_META, ("secret_key",))
        if not keys:
            raise SetupError(f"{self.shown} is damaged: it has no secret key", "Restore it from a backup")
        if begun is not None or self._log.lost:
            await self._log.loaded(link, trio.current_time())
        if begun is not None:
            begun()
        scripts = [sql.script_of(row) for row in await link.fetch(sql.ALL_SCRIPTS)]
        there = {(script.aor, script.kind) for script in scripts}
        users = UserRows(known=known)
        bindings = BindingRows(known=known, users=users)
        versions: Rows = []
        await link.each(users.extend, sql.ALL_USERS)
        await link.each(bindings.extend, sql.ALL_BINDINGS, text=True)
        await link.each(versions.extend, sql.ALL_VERSIONS)
        return Snapshot(
            users=users,
            bindings=bindings,
            scripts=scripts,
            domains=[PutDomain(*row) for row in await link.fetch(sql.ALL_DOMAINS)],
            delegates=[PutDelegate(*row) for row in await link.fetch(sql.ALL_DELEGATES)],
            peers=[sql.peer_of(row) for row in await link.fetch(sql.ALL_PEERS)],
            settings=[sql.settings_of(row) for row in await link.fetch(sql.ALL_SETTINGS)],
            secret_key=bytes.fromhex(keys[0][0]),
            removed=[Removed(*row) for row in await link.fetch(sql.LAST_VERSIONS) if row[:2] not in there],
            timezones=[PutTimezone(*row) for row in await link.fetch(sql.ALL_TIMEZONES)],
            aliases=[PutAlias(*row) for row in await link.fetch(sql.ALL_ALIASES)],
            dialplan=[PutDial(*row) for row in await link.fetch(sql.ALL_DIALS)],
            versions=versions,
        )

    async def load_some(self, keys: Sequence[Key]) -> Snapshot:
        """The rows of these keys."""

        async def ask(link: Link) -> Snapshot:
            await link.execute(SNAPSHOT)
            async with link.tx(BEGIN_SNAPSHOT):
                return snapshot_of([(part, await link.fetch(text, names)) for part, text, names in queries(keys)])

        return await self._read(ask)

    async def news(self) -> Sequence[Key] | None:
        """What others have changed; mostly one question."""

        async def ask(link: Link) -> list[Key] | None:
            found = await self._log.news(link, now)
            with suppress(Trouble):  # read-only, say: what was found is told all the same
                await self._log.prune(link, now)
            return found

        async with self._reading:
            now = trio.current_time()
            found = await self._read(ask)
        if now - self._held > NAME_PING:
            await self._keep_name(now)
        return found

    async def find_users(self, part: str, after: str, limit: int) -> list[User]:
        """A page of users."""
        rows = await self._read(lambda link: link.fetch(*sql.finding(part, after, limit)))
        return [sql.user_of(row) for row in rows]

    async def script_log(self, aor: str, limit: int = 100) -> list[AddScriptLog]:
        """The last lines of this user's scripts."""
        rows = await self._read(lambda link: link.fetch(sql.SCRIPT_LOG, (aor, limit), text=True))
        return [AddScriptLog(*row) for row in reversed(rows)]

    async def script_versions(self, aor: str, kind: ScriptKind = "cpl") -> list[ScriptVersion]:
        """What has been done to this user's script, oldest first."""
        rows = await self._read(lambda link: link.fetch(sql.SCRIPT_VERSIONS, (aor, kind)))
        return [sql.script_version_of(row) for row in rows]

    async def check(self) -> list[str]:
        """What CHECK TABLE finds, and what is missing."""
        async with self._troubles():
            link = await self._new_pool(UPGRADE).new_link()
            try:
                return await check_tables(link)
            finally:
                link.close()

    # connections

    @property
    def _connected(self) -> Pool:
        if self._pool is None:
            raise StoreAway(f"{self.shown} is not open")
        return self._pool

    def _new_pool(self, patience: float = STATEMENT) -> Pool:
        try:
            login = login_of(self._url)
        except (OSError, ssl.SSLError) as error:
            raise SetupError(
                f"can't use the certificates of {self.shown}: {error.strerror or error}", "They are files in PEM"
            ) from None
        return Pool(self._url.hosts, login, origin=self._log.origin, patience=patience)

    @asynccontextmanager
    async def _troubles(self) -> AsyncIterator[None]:
        """Raise StoreAway for what the servers refuse."""
        try:
            yield
        except (Trouble, Unreachable, CommitLost) as error:
            raise StoreAway(f"{self.shown}: {error}") from None

    async def _read(self, ask: Callable[[Link], Awaitable[T]]) -> T:
        """Ask on a connection of the pool, and again on another one, or another host, when it broke."""
        async with self._troubles():
            for last in (False, True):
                pool = self._connected
                host = pool.host
                try:
                    async with pool.link() as link:
                        host = link.host
                        return await ask(link)
                except Trouble as error:
                    if last or not may_be_better_elsewhere(error):
                        raise
                    pool.forget()  # what rests beside it has no better chance
                    pool.leave(host)
        raise AssertionError("one of two tries ends it")

    @asynccontextmanager
    async def _setting_up(self) -> AsyncIterator[Link]:
        """A connection with much patience. Raises SetupError with a hint for whatever a person can mend."""
        try:
            link = await self._new_pool(UPGRADE).new_link()
            try:
                yield link
                await link.quit()
            finally:
                link.close()
        except Unreachable as error:
            raise setup_error(self.shown, self._url, error) from None
        except (Trouble, CommitLost) as error:
            raise StoreAway(f"{self.shown}: {error}") from None

    async def _upgraded(self) -> tuple[int, int]:
        async with self._setting_up() as link:
            await check_server(link, self.shown)
            if self._name:
                await warn_of_forgetting(link, self.shown)
            return await upgrade(link, self.shown, _say, new_key=secrets.token_bytes(32))

    # the server's name

    async def _hold_name(self, pool: Pool) -> None:
        async with self._troubles():
            link = await pool.new_link()
            if not await _get_name(link, self._name):
                link.close()
                raise SetupError(
                    f"another sipd serves as {self._name!r} on {self.shown}",
                    "Stop it, or give this one a name of its own: -S NAME",
                )
        self._holder, self._held = link, trio.current_time()

    async def _keep_name(self, now: float) -> None:
        """Show that we live; after the server was away, take the name again if nobody else has."""
        self._held = now
        if not self._name:
            return
        if self._holder is not None and await self._holder.ping(1):
            return
        self._holder = None
        with suppress(Trouble, Unreachable):
            link = await self._connected.new_link()
            if await _get_name(link, self._name):
                self._holder = link
            else:
                link.close()
                LOG.event("warning", text=f"another sipd serves as {self._name!r} on {self.shown}, too")


async def _get_name(link: Link, name: str) -> bool:
    await link.execute(f"SET SESSION wait_timeout = {NAME_LOST}")
    [(got,)] = await link.fetch(HOLD_NAME, (name,))
    return bool(got == 1)


def _say(text: str) -> None:
    LOG.event("database", text=text)
