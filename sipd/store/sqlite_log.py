"""The change log as one connection of SQLite reads it.

There are no session variables to tell one's own lines by. But whoever writes
has the file to himself: what was in the log when he began is of others, what
came to it until his COMMIT is his own.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sipd.store.base import Key
from sipd.store.sqlite_file import read_any_text

MOST_NEWS: Final = 5000
"""Lines told one by one; where there are more, all rows had better be loaded."""

KEPT: Final = 2000
"""Lines that stay in the log at least, read or not: somebody may look at what was going on."""

CUT: Final = 500
"""Lines removed at once, in the transaction that made the log too long."""

LAST: Final = "SELECT max(id) FROM change_log"
FIRST: Final = "SELECT min(id) FROM change_log"
LINES: Final = "SELECT what, name FROM change_log WHERE id > ? AND id <= ? LIMIT ?"
REMOVE: Final = "DELETE FROM change_log WHERE id < ?"


class ChangeLog:
    """What of the log is known: up to which line, and which before it are still to be told.

    Lines are numbered without gaps, as a transaction that is rolled back takes its numbers back.
    """

    def __init__(self) -> None:
        self._known = 0  # the last line that needs no telling
        self._version = -1  # data_version by then: it counts what others commit
        self._others: list[tuple[int, int]] = []  # lines (after, up to) before that which are others'

    def loaded(self, connection: sqlite3.Connection) -> None:
        """All rows are about to be read: nothing of what is in the log now is news."""
        self._version = _number(connection, "PRAGMA data_version")
        self._known = _number(connection, LAST)
        self._others.clear()

    def committed(self, before: int, after: int) -> None:
        """We have committed what began behind line `before`; its last one is `after`."""
        if before != self._known:
            self._others.append((self._known, before))
        self._known = after

    def news(self, connection: sqlite3.Connection) -> list[Key] | None:
        """The keys that others have changed since they were asked for; None: that can't be told any more."""
        version = _number(connection, "PRAGMA data_version")
        if version == self._version and not self._others:
            return []
        last = _number(connection, LAST)
        others = [*self._others, (self._known, last)]
        self._version, self._known = version, last
        self._others.clear()
        first = _number(connection, FIRST)
        found: list[Key] = []
        for after, until in others:
            if until < after or after + 1 < first:  # another log than it was, or one that was cut
                return None
            try:
                found += [Key(*row) for row in connection.execute(LINES, (after, until, MOST_NEWS + 1 - len(found)))]
            except sqlite3.Error as error:
                if read_any_text(connection, error):
                    return None
                raise
        if not all(map(_can_be_asked_for, found)):
            return None
        return found if len(found) <= MOST_NEWS else None


def last_line(connection: sqlite3.Connection) -> int:
    """The number of the last line, 0 where there is none."""
    return _number(connection, LAST)


def cut(connection: sqlite3.Connection, last: int) -> None:
    """Remove some of the oldest lines, if there are too many, as a part of the transaction under way."""
    first = _number(connection, FIRST)
    if first and last - first >= KEPT + CUT:
        connection.execute(REMOVE, (first + CUT,))


def _can_be_asked_for(key: Key) -> bool:
    """Whether a query finds the rows by that name: not where somebody wrote it as bytes, or in another encoding."""
    try:
        return type(key.name) is str and bool(key.name.encode() or True)
    except UnicodeEncodeError:
        return False


def _number(connection: sqlite3.Connection, statement: str) -> int:
    [(number,)] = connection.execute(statement).fetchall()
    return number or 0
