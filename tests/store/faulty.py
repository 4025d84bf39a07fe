"""A database whose troubles are as told, for the virtual clock: SQLite, but its commits run in no thread."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import trio

from sipd.errors import CommitUnknown, StoreAway
from sipd.store import SqliteStore

Trouble = Literal["", "away", "frozen", "full"]


class Inline:
    """In place of the thread: the virtual clock would take it for idleness, and jump.

    A transaction is begun and committed in one turn: another store on the same file never meets its lock.
    """

    async def run(self, function):
        result = function()
        await trio.lowlevel.checkpoint()
        return result

    def stop(self):
        pass


class FaultyStore(SqliteStore):
    """`trouble`: away (refused at once), frozen (refused after 5 s), full (of writes, at once).

    `slow`: seconds that each commit takes. `unknown`: the next COMMIT fails, after it was done ("kept") or
    before ("lost"). `asked`: how often for what. `shared`: as several servers on one database have it.
    """

    def __init__(self, path, *, shared: bool = False):
        super().__init__(path)
        self.shared = shared  # type: ignore[misc]  # a constant of the real one
        self._worker = Inline()  # type: ignore[assignment]
        self.trouble: Trouble = ""
        self.slow = 0.0
        self.unknown: Literal["", "kept", "lost"] = ""
        self.asked: Counter[str] = Counter()

    async def apply(self, groups):
        self.asked["apply"] += 1
        await self._suffer(writes=True)
        await trio.sleep(self.slow)
        unknown, self.unknown = self.unknown, ""
        if unknown == "lost":
            raise CommitUnknown("the connection broke at COMMIT")
        results = await super().apply(groups)
        if unknown == "kept":
            raise CommitUnknown("the connection broke at COMMIT")
        return results

    async def news(self):
        self.asked["news"] += 1
        await self._suffer()
        return await super().news()

    async def load_some(self, keys):
        self.asked["load_some"] += 1
        await self._suffer()
        return await super().load_some(keys)

    async def load_all(self, begun=None, known=None):
        self.asked["load_all"] += 1
        await self._suffer()
        return await super().load_all(begun, known)

    async def _suffer(self, *, writes=False):
        if self.trouble == "frozen":
            await trio.sleep(5)
        if self.trouble in ("away", "frozen") or (writes and self.trouble == "full"):
            raise StoreAway(f"it is {self.trouble}")
