"""What scripts log (RFC 3880 §7.2): written beside the calls, and after everything else that is written.

A line waits here while lines before it are being committed, so however many
calls log, the writer has no more than one handful of them at a time: whoever
registers waits for that at most.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.errors import ServiceUnavailable
from sipd.rows import AddScriptLog, TrimScriptLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.log import EventLog
    from sipd.metrics import Counters
    from sipd.rows import Change
    from sipd.store import Writer

WAITING: Final = 500
"""Lines that wait at most, of all users; and of one user, half of that. More are dropped."""

LONGEST_NAME: Final = 100
LONGEST_LINE: Final = 1000
"""Bytes kept of the name of a log and of a line."""

SILENCE: Final = 10.0
"""Seconds between two events about dropped lines."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Diary:
    """Takes lines, and has them committed in groups, one for each user; keeps each user to his quota."""

    def __init__(
        self, writer: Writer, quota: Callable[[], int], now: Callable[[], float], counters: Counters, log: EventLog
    ) -> None:
        self._writer = writer
        self._quota = quota  # lines kept of one user
        self._now = now
        self._counters = counters
        self._log = log
        self._waiting: dict[str, list[AddScriptLog]] = {}
        self._count = 0
        self._under_way = 0  # groups that the writer has
        self._untrimmed: dict[str, int] = {}  # lines of each user since his log was cut; absent: never in this run
        self._lost = 0
        self._said = float("-inf")

    def __len__(self) -> int:
        """Lines that wait."""
        return self._count

    def add(self, aor: str, at: float, name: str, line: str) -> None:
        """Have this line kept for that user, unless too many wait. Never fails (§7.2)."""
        if self._quota() <= 0:
            return
        lines = self._waiting.get(aor)
        if self._count >= WAITING or (lines is not None and len(lines) >= WAITING // 2):
            self._drop(1, aor)
            return
        row = AddScriptLog(aor, at, bounded(name, LONGEST_NAME), bounded(line, LONGEST_LINE))
        if lines is None:
            self._waiting[aor] = [row]
        else:
            lines.append(row)
        self._count += 1
        if not self._under_way:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._count = 0
        self._under_way = len(waiting)
        for aor, lines in waiting.items():
            try:
                self._writer.submit(self._group(aor, lines), "", partial(self._written, aor, len(lines)))
            except ServiceUnavailable as fault:
                self._written(aor, len(lines), fault)

    def _group(self, aor: str, lines: list[AddScriptLog]) -> list[Change]:
        quota = self._quota()
        count = self._untrimmed.get(aor, quota) + len(lines)
        if count <= quota // 10:
            self._untrimmed[aor] = count
            return list(lines)
        self._untrimmed[aor] = 0
        return [*lines, TrimScriptLog(aor, quota)]

    def _written(self, aor: str, count: int, fault: Exception | None) -> None:
        if fault is not None:
            self._untrimmed.pop(aor, None)
            self._drop(count, aor)
        self._under_way -= 1
        if not self._under_way and self._waiting:
            self._write()

    def _drop(self, count: int, owner: str) -> None:
        self._counters.log_lines_lost += count
        self._lost += count
        if self._now() - self._said >= SILENCE:
            self._said = self._now()
            self._log.event("script_log_dropped", n=self._lost, owner=owner)
            self._lost = 0


def bounded(text: str, most: int) -> str:
    """The text on one line, in at most `most` bytes of UTF-8; what was cut ends in `…`."""
    line = _CONTROL.sub(" ", text)
    raw = line.encode("utf-8", "surrogateescape")
    if len(raw) <= most:
        return line
    return raw[: most - 3].decode("utf-8", "ignore") + "…"
