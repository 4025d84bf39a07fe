"""Keeps the tables in memory up with a database that others write to as well.

Three ways lead from there to here. The change log names rows that others have
changed: those, and no others, are loaded. Now and then, and when the log can't
tell, all rows are loaded aside and swapped in. And rows of which we can't be
sure are loaded before the next decision about them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError, StoreAway
from sipd.store.base import Key
from sipd.store.dense_rows import Known
from sipd.store.differences import differences, small_differences, take
from sipd.store.image import Image
from sipd.store.some import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sipd.rows import Change
    from sipd.store.base import Snapshot
    from sipd.store.cache import Cache

SLICE: Final = 500
"""Rows handled in one turn of the loop while all are loaded."""

SOME: Final = 200
"""Keys whose rows are loaded at once, and taken over in one turn."""

POLL: Final = 0.25
"""Seconds between two looks at the change log."""

POLL_AWAY: Final = 1.0
"""The same while the database can't be reached."""

MOST_KEYS: Final = 5000
"""Keys whose rows are loaded one by one; where more have changed, all rows are loaded."""


class _Attempt:
    """A load under way, for which any number of tasks may wait."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.error: StoreAway | None = None


class Following:
    """What is to be loaded into a cache, and how it gets there."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.stale = False  # memory may lack anything: load all
        self.unsure: set[str] = set()  # addresses-of-record whose bindings may be other ones than memory has
        self._unread: dict[Key, None] = {}  # what others have changed, not yet loaded
        self._loading = trio.Lock()  # one load of everything at a time
        self._attempt: _Attempt | None = None
        self._meanwhile: list[Change] | None = None  # what we committed since the moment of the load under way
        self._read_meanwhile: dict[Key, None] = {}  # what was read anew since then
        self._asides: list[set[str]] = []  # for each reading aside: whose rows were changed, or read, since it began
        self._refreshed = 0.0

    # what the cache tells

    def committed(self, changes: Sequence[Change]) -> None:
        """We have committed these."""
        if self._meanwhile is not None:
            self._meanwhile += changes

    def begun(self, aor: str) -> None:
        """A change of ours of that address-of-record is queued."""
        for changed in self._asides:
            changed.add(aor)

    def doubt(self, aor: str, changes: Iterable[Change] = ()) -> None:
        """Nobody knows whether `changes` are stored, or another server has changed the bindings of `aor`."""
        if aor:
            self.unsure.add(aor)
        self._unread.update(dict.fromkeys(keys_of(changes)))

    # everything

    async def fill(self) -> Snapshot:
        """Load every row into a cache that has none; gives what is left of the snapshot."""
        snapshot = await self._cache.store.load_all(lambda: None)
        self._cache.image = await _built(snapshot, self._cache.image)
        self._refreshed = trio.current_time()
        return snapshot

    async def reload(self) -> None:
        """Load every row again, aside, and swap them in in one turn; watchers hear what is different.

        Commits of ours go on meanwhile and are put on top of what was loaded;
        they wait while the two are compared.
        """
        cache = self._cache
        async with self._loading:
            self.stale = False
            self._refreshed = trio.current_time()
            try:
                new = await _built(await self._snapshot(), cache.image)
                async with cache.lock:
                    old = await self._swap(new)
            except BaseException:
                self.stale = True
                raise
            finally:
                self._meanwhile = None
                self._read_meanwhile.clear()
            await _let_go(old)

    async def _snapshot(self) -> Snapshot:
        """Every row, with all our commits until its moment; those after it are collected in `_meanwhile`."""
        cache = self._cache
        await cache.lock.acquire()  # no commit of ours is under way when the moment is fixed

        def begun() -> None:
            self._meanwhile = []
            cache.lock.release()

        try:
            return await cache.store.load_all(begun, Known(cache.image.users, cache.image.bindings))
        finally:
            if self._meanwhile is None:  # it failed before that moment
                cache.lock.release()

    async def _swap(self, new: Image) -> Image:
        """Put what has happened since on top, swap, and tell what is different; gives the old one.

        The lock is held: nothing is committed meanwhile.
        """
        cache = self._cache
        old = cache.image
        await self._put_on(new)
        if self._read_meanwhile:  # by now all of ours is in the database, and others may have changed it since
            keys = list(self._read_meanwhile)
            take(new, keys, await cache.store.load_some(keys))
            await self._put_on(new)  # what a store that is immediate has committed since
        self._meanwhile = None
        cache.image = new
        cache.heard(small_differences(old, new))
        for step in differences(old, new):
            if step:
                cache.heard(step)
            if not cache.store.immediate:  # one that is commits without the lock: to it this must be one turn
                await trio.lowlevel.checkpoint()
        return old

    async def _put_on(self, new: Image) -> None:
        """Our commits since the load began; none is left when this returns."""
        while meanwhile := self._meanwhile:
            self._meanwhile = meanwhile[SLICE:]
            for change in meanwhile[:SLICE]:
                new.apply(change)
            if self._meanwhile:
                await trio.lowlevel.checkpoint()

    # some rows

    async def catch_up(self) -> None:
        """Load what others have changed. Raises StoreAway, SetupError."""
        if not self.stale and trio.current_time() - self._refreshed >= self._cache.settings.cache_refresh:
            self.stale = True
        if not self.stale:
            news = await self._cache.store.news()
            if news is None:
                self.stale = True
            else:
                self._unread.update(dict.fromkeys(news))
        if self.stale or len(self._unread) > MOST_KEYS:
            self.stale = True
            self._unread.clear()
            await self.reload()
        while self._unread or self.unsure:
            if self._cache.lock.locked():
                await self._read_aside()
                if not self.unsure and all(self._is_ours(key) for key in self._unread):
                    return  # these at the next look: their commit ends by then, or holds up nobody else
            await self.read()

    def _is_ours(self, key: Key) -> bool:
        """Whether these are bindings of which a change of ours is under way, or that are to be read after it."""
        return key.what == "contacts" and (self._cache.under_way(key.name) or key.name in self.unsure)

    async def _read_aside(self) -> None:
        """Load bindings of whom no change of ours is under way, while a commit of ours takes its time.

        So a disk that holds up this server's commits does not hide what others
        have stored. What we begin to change meanwhile is left to `read`.
        """
        cache = self._cache
        contacts = (key for key in self._unread if key.what == "contacts" and not self._is_ours(key))
        keys = list(islice(contacts, SOME))
        if not keys or self._loading.locked():
            return
        for key in keys:
            del self._unread[key]
        changed: set[str] = set()
        self._asides.append(changed)
        try:
            snapshot = await cache.store.load_some(keys)
        except BaseException:
            self._unread.update(dict.fromkeys(keys))
            raise
        finally:
            self._asides = [one for one in self._asides if one is not changed]
        sure = [key for key in keys if key.name not in changed and not self._loading.locked()]
        self._unread.update(dict.fromkeys(key for key in keys if key not in sure))
        self._take(sure, snapshot)

    async def read(self) -> None:
        """Load rows that are unsure or have changed, some hundreds; one query however many wait for it.

        Raises StoreAway.
        """
        attempt = self._attempt
        if attempt is not None:
            await attempt.over.wait()
            if attempt.error is not None:
                raise StoreAway(str(attempt.error)) from attempt.error
            return
        attempt = self._attempt = _Attempt()
        try:
            async with self._cache.lock:  # no commit of ours comes between what is read and what is shown
                await self._read()
        except StoreAway as error:
            attempt.error = error
            raise
        finally:
            self._attempt = None
            attempt.over.set()

    async def _read(self) -> None:
        cache = self._cache
        unsure = list(islice(self.unsure, SOME))
        unread = list(islice(self._unread, SOME))
        for key in unread:  # at once: it may come again while this is under way
            del self._unread[key]
        keys = list(dict.fromkeys([*(Key("contacts", aor) for aor in unsure), *unread]))
        try:
            snapshot = await cache.store.load_some(keys)
        except BaseException:
            self._unread.update(dict.fromkeys(unread))
            raise
        self.unsure.difference_update(unsure)
        if self._meanwhile is not None:
            self._read_meanwhile.update(dict.fromkeys(keys))
        self._take(keys, snapshot)

    def _take(self, keys: Sequence[Key], snapshot: Snapshot) -> None:
        """These rows come into memory; what is being read aside may be older."""
        for changed in self._asides:
            changed.update(key.name for key in keys)
        self._cache.heard(take(self._cache.image, keys, snapshot))

    async def run(
        self, interval: float = POLL, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Notice what others change, for ever."""
        cache = self._cache
        task_status.started()
        if cache.store.immediate:  # nobody else can reach it
            await trio.sleep_forever()
        while True:
            await trio.sleep(POLL_AWAY if cache.reach.lacks("reading") else interval)
            try:
                await self.catch_up()
            except (StoreAway, SetupError) as error:
                cache.reach.failed("reading", error)
            except Exception as fault:  # of ours, or a row that nobody can read: the server goes on with what it has
                self.stale = True
                cache.reach.failed("reading", fault)
            else:
                cache.reach.worked("reading")


async def _built(snapshot: Snapshot, old: Image) -> Image:
    """The image of a snapshot, made in slices; uses up the snapshot's users and bindings."""
    image = Image()
    await _in_slices(image.fill(snapshot, old))
    return image


async def _let_go(image: Image) -> None:
    """Forget an image a slice at a time: its rows may be the last of their kind, and many."""
    for table in (image.users, image.bindings):
        while table:
            table.let_go(SLICE)
            await trio.lowlevel.checkpoint()


async def _in_slices(steps: Iterator[None]) -> None:
    while sum(1 for _ in islice(steps, SLICE)):
        await trio.lowlevel.checkpoint()
