"""When to look which bindings may have expired: eight bytes per binding and refresh."""

from __future__ import annotations

import heapq
from typing import Final

GRAIN: Final = 1.0
"""Seconds of expiry that share one list."""

NEVER: Final = 1e11
"""A time so far away that nobody need look."""


class Expiry:
    """Addresses-of-record in the order of their bindings' end.

    A refresh adds an entry and leaves the old one: who is named looks at the
    binding itself.
    """

    __slots__ = ("_lists", "_order")

    def __init__(self) -> None:
        self._lists: dict[int, list[str]] = {}
        self._order: list[int] = []

    def add(self, aor: str, when: float) -> None:
        """Name this address-of-record once `when` (wall-clock seconds) has come, at most GRAIN later."""
        if not when < NEVER:
            return
        number = int(when // GRAIN)
        entries = self._lists.get(number)
        if entries is None:
            self._lists[number] = [aor]
            heapq.heappush(self._order, number)
        else:
            entries.append(aor)

    def due(self, wall: float, limit: int) -> set[str]:
        """Those whose time has come, at most `limit`; the others the next time."""
        due: set[str] = set()
        while self._order and (self._order[0] + 1) * GRAIN <= wall:
            entries = self._lists[self._order[0]]
            while entries and len(due) < limit:
                due.add(entries.pop())
            if entries:
                break
            del self._lists[heapq.heappop(self._order)]
        return due
