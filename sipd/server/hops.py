"""The hops of one target in turn: which comes next, TCP first for what is large, which are known to have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sipd.hop import Hop
    from sipd.net.dead import DeadHops

LARGEST_DATAGRAM: Final = 1300
"""Bytes of a request that still goes by UDP where TCP is possible: the path's MTU is unknown (§18.1.1)."""

PATIENCE: Final = {"INVITE": 4.0}
"""Seconds without any response after which a hop is left for the next one, by method.

§17's 32 s are what the last hop has: a caller does not wait that long in front
of a silent phone, and RFC 3263 §4.3 gains nothing by it. Who forwards an
INVITE says 100 within 0.2 s (§17.2.1), so four seconds and four copies of it
in vain mean that nobody is there.
"""

OTHER_PATIENCE: Final = 8.0
"""The same for other methods, to which a proxy may be silent for 3.5 s (RFC 4320 §4.1)."""


class Hops:
    """Where one request may be sent, in order. `current` is the hop of the attempt under way."""

    __slots__ = ("_dead", "_has_choice", "_left", "_stays", "current")

    def __init__(self, hops: list[Hop], dead: DeadHops) -> None:
        self._left = hops[::-1]  # the next one is the last
        self._dead = dead
        self._has_choice = len(hops) > 1
        self._stays: Hop | None = None  # goes by UDP however large: TCP has been tried
        self.current: Hop | None = None

    @property
    def more(self) -> bool:
        """Whether there is another one to try."""
        return bool(self._left)

    def next(self) -> Hop | None:
        """The next hop, which is `current` from now on; None when none is left."""
        self.current = self._left.pop() if self._left else None
        return self.current

    def tcp_first(self, size: int) -> Hop | None:
        """The TCP hop to try in place of `current`, which stays the next: for a large request (§18.1.1); else None."""
        hop = self.current
        if size <= LARGEST_DATAGRAM or hop is None or hop.transport != "UDP" or hop == self._stays:
            return None
        twin = hop._replace(transport="TCP")
        if self._dead.is_dead(twin):
            return None
        self._stays = hop
        self._left.append(hop)
        self._has_choice = True
        self.current = twin
        return twin

    def failed(self, seconds: float | None = None) -> None:
        """`current` did not answer, could not be reached, or wants to be left alone: others come before it.

        Where there is no other that would change nothing, and is not kept.
        """
        if self._has_choice and self.current is not None:
            if seconds is None:
                self._dead.failed(self.current)
            else:
                self._dead.failed(self.current, seconds)

    def answered(self) -> None:
        """`current` is there."""
        if self._has_choice and self.current is not None:
            self._dead.answered(self.current)
