"""Group commit: what is queued becomes durable in one transaction, and only then is anybody told.

There is no timer. A change that comes alone is committed at once; what comes
in while the disk works is the next batch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import ServiceUnavailable, StoreAway
from sipd.log import LOG, EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.rows import Change, DropBinding
    from sipd.store.base import Store
    from sipd.store.cache import Cache

    Done = Callable[[Exception | None], None]
    Queued = tuple[Sequence[Change], str, Done]

CAPACITY: Final = 10_000
"""Groups that may wait; more are refused with 503 (T98)."""

BATCH: Final = 500
"""Groups of one transaction at most: their statements run in one turn of the loop, some 10 us each."""

RETRY_AFTER: Final = 10
"""Seconds after which one who was refused may come again (Retry-After)."""


class Writer:
    """Takes groups of changes, commits them, updates the cache, then calls back.

    A store that is `immediate` needs no task: `submit` commits and calls back
    before it returns.
    """

    def __init__(self, store: Store, cache: Cache, *, capacity: int = CAPACITY, log: EventLog = LOG) -> None:
        self._store = store
        self._cache = cache
        self._capacity = capacity
        self._log = log
        self._queue: deque[Queued] = deque()
        self._work = trio.Event()
        self._closed = False
        self.away = False  # the last commit failed: gauge db_up (T97)

    def __len__(self) -> int:
        """Groups that wait for their commit."""
        return len(self._queue)

    def submit(self, changes: Sequence[Change], aor: str, done: Done) -> None:
        """Have this group committed whole or not at all; `done` is called once.

        `done(None)`: it is durable and the cache shows it. `done(Refused)`:
        this group can't be carried out. `done(StoreAway)`: nothing was
        stored. `aor`: whose `settled_bindings` wait for it; empty: nobody's.
        Raises ServiceUnavailable, with nothing queued, when too many wait.
        """
        if self._closed or len(self._queue) >= self._capacity:
            raise ServiceUnavailable(headers=(("Retry-After", str(RETRY_AFTER)),))
        if self._store.immediate:
            self._finish([(changes, aor, done)], self._store.apply_now([changes]))
            return
        self._cache.queued(aor)
        self._queue.append((changes, aor, done))
        if len(self._queue) == 1:
            self._work.set()

    def drop_expired(self, wall: float, limit: int = 1000) -> int:
        """Queue the removal of bindings whose time is over; says of how many. To be called every few seconds."""
        if self._closed or len(self._queue) >= self._capacity // 2:  # REGISTERs first
            return 0
        changes = self._cache.expired(wall, limit)
        groups: dict[str, list[DropBinding]] = {}
        for change in changes:
            groups.setdefault(change.aor, []).append(change)
        for aor, group in groups.items():
            self._drop(aor, group, wall)
        return len(changes)

    def _drop(self, aor: str, group: Sequence[DropBinding], wall: float) -> None:
        def done(error: Exception | None) -> None:
            if error is not None:
                self._cache.expire_again(aor, wall + RETRY_AFTER)

        try:
            self.submit(group, aor, done)
        except ServiceUnavailable:
            self._cache.expire_again(aor, wall + RETRY_AFTER)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit what is submitted, for ever; when cancelled, what is queued first."""
        task_status.started()
        try:
            while True:
                await self._work.wait()
                await self._commit()
        finally:
            self._closed = True
            with trio.CancelScope(shield=True):  # ends: nothing more is taken, and each commit ends or fails by itself
                while self._queue:
                    await self._commit()

    async def drain(self) -> None:
        """Until all that is queued now is committed or given up; `run` must be running."""
        settled = trio.Event()
        self.submit((), "", lambda _: settled.set())
        await settled.wait()

    async def _commit(self) -> None:
        """Commit one batch; not to be cut in two, as those who wait would never hear of it."""
        with trio.CancelScope(shield=True):  # one transaction, bounded by the store's patience
            async with self._cache.lock:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
                if not self._queue:
                    self._work = trio.Event()
                results = await self._carried_out(batch)
                self._finish(batch, results)

    async def _carried_out(self, batch: Sequence[Queued]) -> Sequence[Exception | None]:
        try:
            results = await self._store.apply([changes for changes, _, _ in batch])
        except Exception as error:  # whatever broke: nothing was committed, and each must hear of it
            if not self.away:
                self._log.event("db_away", text=error)
            self.away = True
            away = error if isinstance(error, StoreAway) else StoreAway(f"{type(error).__name__}: {error}")
            return [away] * len(batch)
        if self.away:
            self._log.event("db_back")
        self.away = False
        return results

    def _finish(self, batch: Sequence[Queued], results: Sequence[Exception | None]) -> None:
        for (changes, _, _), error in zip(batch, results, strict=True):
            if error is None:
                self._apply(changes)
        for _, aor, _ in batch:
            self._cache.settled(aor)
        for (_, _, done), error in zip(batch, results, strict=True):
            try:
                done(error)
            except Exception as fault:  # one request's answer: the others must still get theirs
                self._log.event("fault", whose="commit", kind=type(fault).__name__, text=fault)

    def _apply(self, changes: Sequence[Change]) -> None:
        try:
            self._cache.apply(changes)
        except Exception as fault:  # it is committed all the same: let the cache load what it missed
            self._cache.stale = True
            self._log.event("fault", whose="cache", kind=type(fault).__name__, text=fault)
