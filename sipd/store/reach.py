"""Whether the database can be reached just now, as the last reading and the last writing of it went (T97)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sipd.log import EventLog

Way = Literal["reading", "writing"]
"""They fail apart: a full disk and a database that is read-only can still be read."""


class Reach:
    """What doesn't work at present. The log has one line when it begins, and one when all works again."""

    __slots__ = ("_broken", "_log")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._broken: set[Way] = set()

    @property
    def up(self) -> bool:
        """Whether both ways work: gauge db_up."""
        return not self._broken

    def lacks(self, way: Way) -> bool:
        """Whether this one doesn't."""
        return way in self._broken

    def failed(self, way: Way, error: Exception) -> None:
        """It was tried in vain."""
        if not self._broken:
            self._log.event("db_away", text=error)
        self._broken.add(way)

    def worked(self, way: Way) -> None:
        """It was tried with success."""
        if way in self._broken:
            self._broken.remove(way)
            if not self._broken:
                self._log.event("db_back")
