"""The change log of a database that several servers write to: what the others have changed.

A line's number is given when it is written, and seen when its transaction is
committed: a lower number may come after a higher one. So each look begins a
little before the last number seen then, and lines that were seen are left out.
For transactions that take longer than that little, the lines of the last
minutes are counted now and then; when there are more than were seen, they are
read again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sipd.store.base import Key

if TYPE_CHECKING:
    from sipd.store.mysql_link import Link

    Line = tuple[int, str, str, str]  # its number, origin, what, name

NEAR: Final = 2.0
"""Seconds that each look reaches back: longer than nearly all transactions."""

DEEP: Final = 120.0
"""Seconds that the count reaches back: longer than an import of a hundred thousand users."""

COUNT: Final = 5.0
"""Seconds between two counts."""

KEPT: Final = 600.0
"""Seconds that a line stays in the log; who has not looked for half of that loads all rows."""

PRUNE: Final = 15.0
"""Seconds between two removals of older lines."""

PRUNED: Final = 5000
"""Lines removed by one statement; a cluster's transactions should be small."""

AT_ONCE: Final = 20
"""Such statements in one turn."""

NOTED: Final = 0.5
"""Seconds between two notes of how far the log was."""

MOST_NEWS: Final = 5000
"""Lines told one by one; where there are more, all rows had better be loaded."""

BEFORE: Final = 5000
"""Numbers before the last one that are looked at when all rows are loaded: any of them may be yet to come."""

LAST: Final = "SELECT COALESCE(MAX(id), 0), UNIX_TIMESTAMP() FROM change_log"
LINES: Final = """
    SELECT id, origin, what, name FROM change_log WHERE id > ? AND id <= ? AND origin <> ? ORDER BY id LIMIT ?"""
NUMBERS: Final = "SELECT id FROM change_log WHERE id > ? AND origin <> ?"
HOW_MANY: Final = "SELECT COUNT(*) FROM change_log WHERE id > ? AND id <= ? AND origin <> ?"
REMOVE: Final = "DELETE FROM change_log WHERE id < ? ORDER BY id LIMIT ?"

ANY: Final = 2**63 - 1


class ChangeLog:
    """What of the log is known. Times are of `trio.current_time`; `origin` names our own lines."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.last = 0  # the highest number seen
        self._earlier: dict[str, int] = {}  # origins that were ours: up to which number
        self._bottom = 0  # nothing at or before this is looked at
        self._passed: deque[tuple[float, int]] = deque()  # when which number was the highest
        self._seen: set[int] = set()  # of others, behind the deep floor
        self.lost = True  # nothing can be told until all rows are loaded
        self._asked = 0  # by the database's clock: ours stands still while this machine sleeps
        self._counted = self._pruned = 0.0

    def renamed(self, origin: str, before: int) -> None:
        """From now on our lines have another origin; of the old one what comes behind line `before` is news.

        For changes of ours of which nobody knows whether, and when, they are committed.
        """
        self._earlier[self.origin] = before
        self.origin = origin

    async def loaded(self, link: Link, now: float) -> None:
        """All rows are about to be read in the transaction of this connection: what it sees in the log is no news."""
        [(last, clock)] = await link.fetch(LAST)
        self._bottom = max(0, last - BEFORE)
        self._seen = {number for (number,) in await link.fetch(NUMBERS, (self._bottom, self.origin))}
        self._passed = deque([(now, last)])
        self.last, self._asked, self._counted, self.lost = last, clock, now, False

    async def news(self, link: Link, now: float) -> list[Key] | None:
        """The keys that others have changed since the last time; None: that can't be told any more. Raises Trouble."""
        if self.lost:
            return None
        [(last, clock)] = await link.fetch(LAST)
        if last < self.last or clock - self._asked > KEPT / 2:  # emptied, another database; or cut meanwhile
            self.lost = True
            return None
        near = self._floor(now - NEAR)
        if last == near and now - self._counted < COUNT:
            self._asked = clock
            return []
        rows = await self._unseen(link, near, ANY)
        if now - self._counted >= COUNT:
            rows += await self._late(link, now, near)
        if len(rows) > MOST_NEWS:
            self.lost = True
            return None
        self._note(now, max([last, *(row[0] for row in rows)]))
        self._seen.update(row[0] for row in rows)
        self._asked = clock
        news = (Key(what, name) for number, origin, what, name in rows if number > self._earlier.get(origin, -1))
        return list(dict.fromkeys(news))

    async def prune(self, link: Link, now: float) -> None:
        """Remove lines that are too old, if it is time. Raises Trouble."""
        if self.lost or now - self._pruned < PRUNE or self._passed[0][0] > now - KEPT:
            return
        self._pruned = now
        floor = self._floor(now - KEPT)
        for _ in range(AT_ONCE):  # the line at the floor stays: an empty log would look like another one
            if (await link.execute(REMOVE, (floor, PRUNED))).rowcount < PRUNED:
                return

    async def _unseen(self, link: Link, after: int, until: int) -> list[Line]:
        """Others' lines of that range that were not seen yet; of too many only so many."""
        known = sum(1 for number in self._seen if after < number <= until)
        rows = await link.fetch(LINES, (after, until, self.origin, known + MOST_NEWS + 1))
        return [row for row in rows if row[0] not in self._seen]

    async def _late(self, link: Link, now: float, near: int) -> list[Line]:
        """Lines of transactions that took longer than the near look reaches."""
        deep = self._floor(now - DEEP)
        self._counted = now
        self._seen = {number for number in self._seen if number > deep}
        known = sum(1 for number in self._seen if number <= near)
        [(there,)] = await link.fetch(HOW_MANY, (deep, near, self.origin))
        return [] if there == known else await self._unseen(link, deep, near)

    def _note(self, now: float, last: int) -> None:
        self.last = last
        if now - self._passed[-1][0] >= NOTED:
            if len(self._passed) > 1 and self._passed[-1][1] == last == self._passed[-2][1]:
                self._passed.pop()  # nothing happens: the first note of it says all
            self._passed.append((now, last))
        while len(self._passed) > 1 and self._passed[1][0] < now - KEPT:
            self._passed.popleft()

    def _floor(self, when: float) -> int:
        """A number that was the highest at that time, or before."""
        found = self._bottom
        for time, number in self._passed:
            if time > when:
                break
            found = number
        return found
