"""Hops that have just failed: for a while they come after all others (RFC 3263 §4.3, RFC 3261 §21.5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.hop import Hop

DEAD_FOR: Final = 30.0
"""Seconds for which a hop that did not answer, or could not be reached, comes last."""

LONGEST: Final = 600.0
"""The most of what a hop may ask for with Retry-After (T119)."""

MAX_DEAD: Final = 1024


class DeadHops:
    """Which hops failed lately. None is given up for good: where all are dead, all are tried."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: Recent[Hop, float] = Recent(MAX_DEAD)

    def __len__(self) -> int:
        """Hops remembered, some of which may be good again."""
        return len(self._until)

    def failed(self, hop: Hop, seconds: float = DEAD_FOR) -> None:
        """It did not answer, could not be reached, or asked to be left alone for `seconds`."""
        self._until.put(hop, self._clock() + min(seconds, LONGEST))

    def answered(self, hop: Hop) -> None:
        """It is there again."""
        if len(self._until):
            self._until.drop(hop)

    def is_dead(self, hop: Hop) -> bool:
        """Whether it failed lately."""
        until = self._until.get(hop) if len(self._until) else None
        return until is not None and until > self._clock()

    def last(self, hops: list[Hop]) -> list[Hop]:
        """The same hops with the dead ones behind the others, otherwise in the same order."""
        if len(hops) < 2 or not len(self._until):
            return hops
        return sorted(hops, key=self.is_dead)
