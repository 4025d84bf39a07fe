"""A few connections to one database on one or several servers, lent to one task each.

What comes back broken, or in the middle of a transaction, is closed and never
lent again. What has rested is asked for a sign of life first. When a server
can't be had, the next of the URL's hosts is tried, and kept to from then on.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from sipd.store.mysql_link import PATIENCE, Link, open_link
from sipd.store.mysql_wire import Gone, Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sipd.store.mysql_wire import Login

SIZE: Final = 4
"""Connections at once; more tasks wait."""

RESTED: Final = 1.0
"""Seconds without use after which a connection is asked whether it lives (a firewall may have forgotten it)."""

PING: Final = 2.0
"""Seconds for the answer."""

CONNECT: Final = 2.0
"""Seconds to connect to one server and log in."""

OTHER_HOST: Final = frozenset({1040, 1047, 1053, 1129, 1130, 1205, 1227, 1290, 1836, 1203, 1226})
"""Errors that another server may not have: too many connections, a cluster's node that is alone, read-only, ..."""


class Unreachable(Exception):
    """None of the servers could be had; `troubles` says why, one for each host."""

    def __init__(self, troubles: Sequence[tuple[str, Trouble]]) -> None:
        super().__init__("; ".join(f"{host}: {trouble}" for host, trouble in troubles))
        self.troubles = troubles


class Pool:
    """Connections to the first of `hosts` that works. `origin`: see `open_link`."""

    def __init__(
        self,
        hosts: Sequence[tuple[str, int]],
        login: Login,
        *,
        origin: str = "",
        size: int = SIZE,
        patience: float = PATIENCE,
        connect: float = CONNECT,
        rested: float = RESTED,
    ) -> None:
        self._hosts = list(hosts)
        self._login = login
        self._limit = trio.Semaphore(size)
        self._idle: deque[tuple[Link, float]] = deque()
        self._patience = patience
        self._connect = connect
        self._rested = rested
        self._generation = 0
        self.origin = origin
        self.opened = 0  # connections made so far

    def __repr__(self) -> str:
        return f"Pool({self._hosts!r}, {self._login!r})"

    @property
    def idle(self) -> int:
        """Connections that nobody uses now."""
        return len(self._idle)

    @property
    def host(self) -> tuple[str, int]:
        """The server that connections are made to now."""
        return self._hosts[0]

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """A connection that works, for the block. Raises Unreachable, and what the block raises."""
        async with self._limit:
            link = await self._resting()
            generation = self._generation
            if link is None:
                link = await self.new_link()
            try:
                yield link
            finally:
                if link.usable and generation == self._generation:
                    self._idle.append((link, trio.current_time()))
                else:
                    link.close()

    async def new_link(self) -> Link:
        """A connection that is not the pool's; who calls closes it. Raises Unreachable."""
        troubles: list[tuple[str, Trouble]] = []
        for host, port in list(self._hosts):
            try:
                link = await open_link(
                    host, port, self._login, seconds=self._connect, patience=self._patience, origin=self.origin
                )
            except Trouble as error:
                troubles.append((f"{host}:{port}", error))
                self.leave((host, port))
            else:
                self.opened += 1
                return link
        raise Unreachable(troubles)

    def leave(self, host: tuple[str, int]) -> None:
        """Try the others first from now on, and close what rests: this host is not what we need."""
        if len(self._hosts) > 1 and self._hosts[0] == host:
            self._hosts.append(self._hosts.pop(0))
            self.forget()

    def forget(self) -> None:
        """Close what rests, and what is lent as soon as it comes back."""
        self._generation += 1
        while self._idle:
            self._idle.pop()[0].close()

    async def close(self) -> None:
        """Say goodbye on all that rest."""
        self._generation += 1
        while self._idle:
            link, _ = self._idle.pop()
            await link.quit()

    async def _resting(self) -> Link | None:
        """The one used last, as the others may rest until the server closes them; None: there is none that lives."""
        while self._idle:
            link, since = self._idle.pop()
            try:
                if trio.current_time() - since < self._rested or await link.ping(PING):
                    return link
            except BaseException:
                link.close()
                raise
        return None


def may_be_better_elsewhere(error: Trouble) -> bool:
    """Whether another server of the same database may do what this one refused."""
    return isinstance(error, Gone) or error.code in OTHER_HOST
