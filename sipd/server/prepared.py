"""Compiles users' scripts before a call needs them, a script a turn: a call never parses XML."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from sipd.rows import DropTimezone, EnableScript, PutScript, PutSettings, PutTimezone, PutUser
from sipd.server.door import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.rows import Change
    from sipd.server.house import House


class Prepared:
    """Has every enabled CPL script compiled: at first all of them, then what a change of rows asks for.

    A call that comes sooner compiles its user's script itself.
    """

    __slots__ = ("_house", "_news", "_tables", "_waiting")

    def __init__(self, house: House) -> None:
        self._house = house
        self._tables = tables = house.tables
        self._waiting = dict.fromkeys(tables.with_script())  # addresses-of-record, first come first compiled
        self._news = trio.Event()
        tables.watch(self.heed)

    def __len__(self) -> int:
        """How many scripts wait."""
        return len(self._waiting)

    def heed(self, changes: Sequence[Change]) -> None:
        """Note whose scripts may be other ones now."""
        for change in changes:
            match change:
                case PutScript():
                    self._waiting[change.script.aor] = None
                case EnableScript():
                    self._waiting[change.aor] = None
                case PutUser():  # of another class, perhaps
                    self._waiting[change.user.aor] = None
                case PutSettings():
                    self._waiting.update(dict.fromkeys(self._tables.with_script()))
                case PutTimezone() | DropTimezone():
                    self._waiting.update(dict.fromkeys(self._tables.with_fetched_zones()))
                case _:
                    continue
            self._news.set()

    async def run(self) -> None:
        """Compile what waits, for ever; between two scripts it is everybody's turn."""
        house = self._house
        while True:
            while self._waiting:
                aor = next(iter(self._waiting))
                del self._waiting[aor]
                guarded("script", partial(self._compile, aor), house.counters, house.log)
                await trio.lowlevel.checkpoint()
            await self._news.wait()
            self._news = trio.Event()

    def _compile(self, aor: str) -> None:
        self._tables.program(aor)  # which remembers it
