"""One after another, in the order they came: who works with the database, and those whose changes wait for it."""

from __future__ import annotations

from collections import deque

import trio


class Turns:
    """Changes under way by address-of-record.

    The registrar may only decide on bindings that no queued change will
    alter (ARCHITECTURE §5 step 2). When the last one is settled the first
    who waits goes on; the next follows when that one has left nothing queued,
    so that each has to ask again once, however many wait.
    """

    __slots__ = ("_queued", "_waiting")

    def __init__(self) -> None:
        self._queued: dict[str, int] = {}
        self._waiting: dict[str, deque[trio.Event]] = {}

    def taken(self, aor: str) -> bool:
        """Whether a change is queued."""
        return aor in self._queued

    def count(self, aor: str) -> int:
        """How many changes are queued."""
        return self._queued.get(aor, 0)

    def take(self, aor: str) -> None:
        """One more is queued. The empty address-of-record is nobody's."""
        if aor:
            self._queued[aor] = self._queued.get(aor, 0) + 1

    def give_back(self, aor: str) -> None:
        """One is settled."""
        left = self._queued.get(aor, 0) - 1
        if left > 0:
            self._queued[aor] = left
        else:
            self._queued.pop(aor, None)
            self._next(aor)

    async def wait(self, aor: str) -> None:
        """Until nothing is queued and it is our turn; whoever returns from here decides before its next await."""
        if aor not in self._queued and aor not in self._waiting:
            await trio.lowlevel.checkpoint()
            return
        turn = trio.Event()
        self._waiting.setdefault(aor, deque()).append(turn)
        try:
            await turn.wait()
        finally:
            self._forget(aor, turn)
            # In a later turn, when the one who waited has decided: it may have queued a change.
            trio.lowlevel.current_trio_token().run_sync_soon(self._next, aor)

    def _next(self, aor: str) -> None:
        waiting = self._waiting.get(aor)
        if waiting and aor not in self._queued:
            waiting[0].set()

    def _forget(self, aor: str, turn: trio.Event) -> None:
        waiting = self._waiting[aor]
        waiting.remove(turn)
        if not waiting:
            del self._waiting[aor]


class QuickLock:
    """A trio.Lock that is had at once where it is free: trio's own costs a turn of the loop each time.

    A commit takes two of them, and beside it the loop has little else to do
    when REGISTERs come one by one. Who holds it must wait for something else.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = trio.Lock()

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._lock.locked()

    async def acquire(self) -> None:
        """Have it, as the last in the queue."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    def release(self) -> None:
        """The next one's turn."""
        self._lock.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
