"""Group commit: what is queued becomes durable in one transaction, and only then is anybody told.

There is no timer. A change that comes alone is committed at once; what comes
in while the disk works is the next batch. Where several servers write to one
database, each change of bindings says which version of them it was decided on.

When a commit fails all that waits is told so, and nothing more is taken until
the database takes changes again, which is tried every second: who registers
meanwhile is refused at once, and nothing piles up (T97, T98).
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from sipd.errors import CommitUnknown, ServiceUnavailable, StoreAway
from sipd.log import LOG, EventLog
from sipd.rows import Touch
from sipd.store.base import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.rows import Change, DropBinding
    from sipd.store.base import Store
    from sipd.store.cache import Cache

    Done = Callable[[Exception | None], None]

CAPACITY: Final = 10_000
"""Groups that may wait; more are refused with 503 (T98)."""

BATCH: Final = 500
"""Groups of one transaction at most: their statements run in one turn of the loop, some 10 us each."""

RETRY_AFTER: Final = 10
"""Seconds after which one who was refused may come again (Retry-After)."""

PATIENCE: Final = 10.0
"""Seconds that a group waits for its turn; the phone behind it hears 503, and doesn't give up by itself (32 s)."""

TRIES: Final = (0.1, 0.4, 1.0)
"""Seconds between the tries whether the database takes changes again; the last one goes on."""


class Queued(NamedTuple):
    """A group of changes that waits for its commit."""

    changes: Sequence[Change]
    aor: str
    done: Done
    since: float


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

    def __len__(self) -> int:
        """Groups that wait for their commit."""
        return len(self._queue)

    @property
    def away(self) -> bool:
        """Whether the database takes no changes just now, as the last commit or try showed (T97)."""
        return self._cache.reach.lacks("writing")

    def submit(self, changes: Sequence[Change], aor: str, done: Done) -> None:
        """Have this group committed whole or not at all; `done` is called once.

        `done(None)`: it is durable and the cache shows it. `done(Refused)`:
        this group can't be carried out; Conflict, a Refused: another server
        has changed the bindings of `aor`, which will be loaded before anybody
        sees them settled. `done(StoreAway)`: nothing was stored; CommitUnknown,
        a StoreAway: perhaps it was. `aor`: whose `settled_bindings` wait for
        it; empty: nobody's. To be called in the turn in which the group was decided.
        Raises ServiceUnavailable, with nothing queued, when too many wait or
        the database is away.
        """
        if self._closed or self.away or len(self._queue) >= self._capacity:
            raise ServiceUnavailable(headers=(("Retry-After", str(RETRY_AFTER)),))
        if aor and self._store.shared:
            changes = (self._cache.expected(aor), *changes)
        group = Queued(changes, aor, done, trio.current_time())
        if self._store.immediate:
            self._finish([group], self._store.apply_now([changes]))
            return
        self._cache.queued(aor)
        self._queue.append(group)
        if len(self._queue) == 1:
            self._work.set()

    def drop_expired(self, wall: float, limit: int = 1000) -> int:
        """Queue the removal of bindings whose time is over; says of how many. To be called every few seconds."""
        if self._closed or self.away or len(self._queue) >= self._capacity // 2:  # REGISTERs first
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
                if self.away:
                    await self._try_again()
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
        try:
            self.submit((), "", lambda _: settled.set())
        except ServiceUnavailable:
            await trio.lowlevel.checkpoint()  # nothing waits while the database is away
        else:
            await settled.wait()

    async def _commit(self) -> None:
        """Commit one batch; not to be cut in two, as those who wait would never hear of it."""
        with trio.CancelScope(shield=True):  # one transaction, bounded by the store's patience
            async with self._cache.lock:
                self._finish_late()
                batch = self._taken(BATCH)
                self._finish(batch, await self._carried_out(batch))
                if self.away:  # they would fail as these did, one batch after another
                    rest = self._taken(len(self._queue))
                    self._finish(rest, [StoreAway(f"{self._store.shown} is away")] * len(rest))

    def _taken(self, most: int) -> list[Queued]:
        """The first of the queue."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), most))]
        if not self._queue:
            self._work = trio.Event()
        return batch

    def _finish_late(self) -> None:
        """Give up those who have waited too long: so slow is the database that others come too late as well."""
        too_old = trio.current_time() - PATIENCE
        late: list[Queued] = []
        while len(self._queue) > 1 and self._queue[0].since < too_old:
            late.append(self._queue.popleft())
        self._finish(late, [StoreAway(f"{self._store.shown} is too slow")] * len(late))

    async def _carried_out(self, batch: Sequence[Queued]) -> Sequence[Exception | None]:
        try:
            results = await self._store.apply([group.changes for group in batch])
        except StoreAway as error:
            self._cache.reach.failed("writing", error)
            away: StoreAway = error
        except Exception as fault:  # a fault of ours, which harms this batch only
            self._log.event("fault", whose="store", kind=type(fault).__name__, text=fault)
            away = CommitUnknown(f"{type(fault).__name__}: {fault}")
        else:
            return results
        if isinstance(away, CommitUnknown):
            for group in batch:
                self._cache.following.doubt(group.aor, group.changes)
        return [away] * len(batch)

    async def _try_again(self) -> None:
        """Write something until that works."""
        tries = 0
        while self.away:
            await trio.sleep(TRIES[min(tries, len(TRIES) - 1)])
            tries += 1
            try:
                with trio.CancelScope(shield=True):  # a transaction, bounded by the store's patience
                    await self._store.apply([[Touch(time.time())]])
            except Exception as error:
                self._cache.reach.failed("writing", error)
            else:
                self._cache.reach.worked("writing")

    def _finish(self, batch: Sequence[Queued], results: Sequence[Exception | None]) -> None:
        for group, error in zip(batch, results, strict=True):
            if error is None:
                self._apply(group.changes)
            elif isinstance(error, Conflict):
                self._cache.following.doubt(group.aor)
        for group in batch:
            self._cache.settled(group.aor)
        for group, error in zip(batch, results, strict=True):
            try:
                group.done(error)
            except Exception as fault:  # one request's answer: the others must still get theirs
                self._log.event("fault", whose="commit", kind=type(fault).__name__, text=fault)

    def _apply(self, changes: Sequence[Change]) -> None:
        try:
            self._cache.apply(changes)
        except Exception as fault:  # it is committed all the same: let the cache load what it missed
            self._cache.following.stale = True
            self._log.event("fault", whose="cache", kind=type(fault).__name__, text=fault)
