"""A connection as the store uses it: four calls, each bounded in time, and a transaction that ends well or not at all.

`Driver` is all that the store knows of a driver, so that another one could
stand in. `Link` is ours, on trio-mysql (see `mysql_wire`).
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

import trio

from sipd.store.mysql_text import compose, compose_many
from sipd.store.mysql_wire import AUTOCOMMIT, NO_BACKSLASH_ESCAPES, Answer, Gone, Login, Trouble, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from sipd.store.mysql_wire import Rows, Take
    from sipd.store.statements import Value

PATIENCE: Final = 3.0
"""Seconds that a server has for one statement; a COMMIT has twice as long: a disk may be slow."""

UNDO: Final = 1.0
"""Seconds for a ROLLBACK, whatever else is cancelled; then the connection is closed, which rolls back as well."""

LONGEST_RUN: Final = 60
"""Seconds that the server runs a statement at most: one that we no longer wait for must not run for ever."""

LOCK_WAIT: Final = 2
"""Seconds that a statement waits for a row that another transaction holds; less than PATIENCE."""

SQL_MODE: Final = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""What we rely on: bad values are refused, not bent; a backslash in a literal is doubled."""

ROLLED_BACK: Final = frozenset({1213, 3101, 1180, 3100})
"""Errors by which a COMMIT says that nothing was committed: deadlock or certification conflict of a cluster."""

AT_ONCE: Final = 4
"""Statements sent together at most: they share one patience, and each may have a thousand rows."""

TOO_BIG: Final = 1153


class CommitLost(Exception):
    """A COMMIT was sent and its answer never came: it may have been carried out, or be so later."""


class Driver(Protocol):
    """What the store needs of a connection."""

    async def fetch(self, statement: str, row: Sequence[Value] = ()) -> Rows:
        """The rows that it gives."""

    async def execute(self, statement: str, row: Sequence[Value] = ()) -> Answer:
        """Run it; `rowcount` counts the rows that an UPDATE matched."""

    async def executemany(self, statement: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run an INSERT or REPLACE ... VALUES for many rows at once; the sum of the counts."""

    def tx(self) -> AbstractAsyncContextManager[None]:
        """All that runs within is committed at its end, or nothing is."""


class Link:
    """A Driver, connected. `open_link` makes one; one task uses it at a time, a pool sees to that.

    It is `usable` until something cut it; then it is closed already.
    """

    def __init__(self, wire: Wire, *, patience: float = PATIENCE) -> None:
        self._wire = wire
        self._patience = patience
        self._busy = False
        self._in_tx = False
        self._first = b""  # what begins the transaction, while it is still to be sent
        self.host = (wire.host, wire.port)
        self.longest = 1 << 20  # bytes of a statement, as the server has it
        self.galera = False

    @property
    def usable(self) -> bool:
        """Whether it can be asked, and no transaction is open."""
        return not self._wire.closed and not self._busy and not self._in_tx

    @property
    def most(self) -> int:
        """Bytes that a statement of many rows should have at most."""
        return min(self.longest, 1 << 20)

    @property
    def thread_id(self) -> int:
        """The server's number of this connection."""
        return self._wire.server_thread_id[0]

    @property
    def server_version(self) -> str:
        """As the server says it, such as 5.5.5-10.11.6-MariaDB."""
        return self._wire.server_version

    @property
    def is_mariadb(self) -> bool:
        """MariaDB, not MySQL."""
        return "mariadb" in self._wire.server_version.lower()

    async def fetch(self, statement: str, row: Sequence[Value] = (), *, text: bool = False) -> Rows:
        """The rows. `text`: bytes are a phone's text (`mysql_rows.converters`). Raises Trouble."""
        rows = await self._run(compose(statement, row), text=text)
        return rows if isinstance(rows, list) else []

    async def each(self, take: Take, statement: str, row: Sequence[Value] = (), *, text: bool = False) -> None:
        """Give `take` the rows in slices of some hundred, as they come: one slice a turn of the loop.

        All of them have a minute. Raises Trouble.
        """
        await self._run(compose(statement, row), text=text, take=take, patience=LONGEST_RUN)

    async def execute(self, statement: str, row: Sequence[Value] = ()) -> Answer:
        """Run it. Raises Trouble, ValueError and what `compose` raises."""
        return _answer(await self._run(compose(statement, row)))

    async def executemany(self, statement: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run it for many rows, in as few statements as the server's packets allow."""
        count = 0
        for composed in compose_many(statement, rows, self.most):
            count += _answer(await self._run(composed)).rowcount
        return count

    async def for_writing(self) -> None:
        """Prepare it for `run_all`: from now on nothing is committed but by COMMIT."""
        await self.execute("SET SESSION autocommit = 0")

    async def run_all(self, composed: Sequence[bytes]) -> list[Answer]:
        """Run statements that are composed already, sent together: one wait for AT_ONCE of them.

        Raises the Trouble of the first that is refused; the others are carried out all the same. A deadlock ends the
        transaction, and what comes behind it would be committed by itself: so autocommit must be off (`for_writing`).
        """
        if len(composed) > 1 and self._wire.server_status & AUTOCOMMIT:
            raise RuntimeError("statements are sent together where each would be committed by itself")
        answers: list[Answer] = []
        for at in range(0, len(composed), AT_ONCE):
            answers += map(_answer, await self._ask(composed[at : at + AT_ONCE]))
        return answers

    @asynccontextmanager
    async def tx(self, begin: str = "START TRANSACTION") -> AsyncIterator[None]:
        """A transaction. Left by an exception it is rolled back, and the connection closed, for nobody to use again.

        Raises CommitLost when the COMMIT itself had no answer, Trouble when it
        was refused and nothing was committed.
        """
        if self._wire.server_status & AUTOCOMMIT:
            await self.execute(begin)
        else:
            self._first = begin.encode()  # sent with the first statement
        self._in_tx = True
        try:
            yield
        except BaseException:
            with trio.move_on_after(UNDO, shield=True), suppress(Trouble):
                if not self._wire.closed and not self._first:
                    await self._run(b"ROLLBACK")
            self._first = b""
            self.close()
            raise
        if not self._first:
            await self._commit()
        self._first = b""
        self._in_tx = False

    async def roll_back(self) -> None:
        """Begin the transaction that is open anew, with nothing done in it."""
        await self.execute("ROLLBACK AND CHAIN")

    async def ping(self, seconds: float) -> bool:
        """Whether it lives: it answers within that time. It is closed where not."""
        try:
            with trio.fail_after(seconds):
                await self._wire.check_alive()
        except (Trouble, trio.TooSlowError):
            return False
        return True

    def close(self) -> None:
        """Close it at once, without a word."""
        self._wire._force_close()

    async def quit(self) -> None:
        """Say goodbye and close."""
        await self._wire.quit()

    async def _commit(self) -> None:
        try:
            await self._run(b"COMMIT", patience=2 * self._patience)
        except Trouble as error:
            self.close()
            if error.code in ROLLED_BACK:
                raise
            raise CommitLost(str(error)) from None
        except BaseException:
            self.close()
            raise

    async def _run(
        self,
        composed: bytes,
        *,
        text: bool = False,
        take: Take | None = None,
        patience: float | None = None,
    ) -> Answer | Rows:
        """One statement, one answer."""
        return (await self._ask([composed], text=text, take=take, patience=patience))[-1]

    async def _ask(
        self,
        composed: Sequence[bytes],
        *,
        text: bool = False,
        take: Take | None = None,
        patience: float | None = None,
    ) -> list[Answer | Rows]:
        """Statements sent together, an answer for each."""
        if self._busy:
            raise RuntimeError("two tasks use one connection")
        longest = max(map(len, composed))
        if longest + 1 > self.longest:  # the server would close the connection
            raise Trouble(TOO_BIG, f"{longest} bytes are more than the server's max_allowed_packet")
        first, self._first = self._first, b""
        seconds = self._patience if patience is None else patience
        self._busy = True
        try:
            with trio.fail_after(seconds):
                answers = await self._wire.ask([first, *composed] if first else composed, text=text, take=take)
        except trio.TooSlowError:
            raise Gone(0, f"no answer within {seconds:g} s") from None
        finally:
            self._busy = False
        if self._wire.server_status & NO_BACKSLASH_ESCAPES:
            self.close()
            raise Gone(0, "the server's sql_mode became NO_BACKSLASH_ESCAPES")
        return answers[1:] if first else answers


async def open_link(
    host: str, port: int, login: Login, *, seconds: float, patience: float = PATIENCE, origin: str = ""
) -> Link:
    """Connect, log in and set up a session, all within `seconds`. Raises Trouble; nothing is left open then.

    `origin`: what triggers write into the change log for what is changed here.
    """
    link = None
    try:
        with trio.fail_after(seconds):
            wire = Wire(host, port, login)
            await wire.dial(seconds)
            link = Link(wire, patience=patience)
            await _set_up(link, origin)
    except trio.TooSlowError:
        if link is not None:
            link.close()
        raise Gone(0, f"no answer within {seconds:g} s") from None
    except BaseException:
        if link is not None:
            link.close()
        raise
    return link


async def _set_up(link: Link, origin: str) -> None:
    await link.execute(
        f"SET SESSION sql_mode = '{SQL_MODE}', SESSION innodb_lock_wait_timeout = {LOCK_WAIT}, autocommit = 1,"
        " @sipd_origin = ?",
        (origin,),
    )
    await link.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    # a query, so that a node of a cluster that is not ready says so now (1047)
    link.longest = (await link.fetch("SELECT @@max_allowed_packet"))[0][0]
    found = dict(await link.fetch(f"SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', {', '.join(map(repr, RUN))})"))
    for name, seconds in RUN.items():
        if name in found:
            await link.execute(f"SET SESSION {name} = {LONGEST_RUN * seconds}")
    link.galera = found.get("wsrep_on") == "ON"
    if link.galera:  # what another node has committed before is seen here
        await link.execute("SET SESSION wsrep_sync_wait = 1")


RUN: Final = {"max_statement_time": 1, "max_execution_time": 1000}
"""What MariaDB and MySQL call LONGEST_RUN -> its unit, as parts of a second."""


def _answer(result: Answer | Rows) -> Answer:
    return result if isinstance(result, Answer) else Answer(0, 0)
