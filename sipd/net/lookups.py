"""Looking things up elsewhere: once however many ask meanwhile, remembered while they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import trio

from sipd.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

MAX_KEPT: Final = 4096


class Finding(Protocol):
    """What a look-up came to."""

    @property
    def expires(self) -> float:
        """Until when it holds, by the clock."""


K = TypeVar("K", bound="Hashable")
F = TypeVar("F", bound=Finding)


class Lookups(Generic[K, F]):
    """Findings by key. `look_up(key, old)` makes one; `old` is what was known before, or None. It raises nothing."""

    def __init__(
        self,
        look_up: Callable[[K, F | None], Awaitable[F]],
        clock: Callable[[], float],
        most: int = MAX_KEPT,
    ) -> None:
        self.count = 0  # look-ups made
        self._look_up = look_up
        self._clock = clock
        self._kept: Recent[K, F] = Recent(most)
        self._under_way: dict[K, trio.Event] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def known(self, key: K) -> F | None:
        """What is remembered and still holds."""
        found = self._kept.get(key)
        return None if found is None or found.expires <= self._clock() else found

    async def get(self, key: K) -> F:
        """The finding: remembered, or looked up once however many ask for it meanwhile."""
        while (found := self.known(key)) is None:
            under_way = self._under_way.get(key)
            if under_way is not None:
                await under_way.wait()  # then it is known, or whoever asked has gone: ask again
                continue
            self._under_way[key] = done = trio.Event()
            self.count += 1
            try:
                self._kept.put(key, await self._look_up(key, self._kept.get(key)))
            finally:
                del self._under_way[key]
                done.set()
        return found
