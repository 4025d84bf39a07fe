"""Which times of a time-switch take nothing, as earlier ones take all of theirs: only where that is plain to see.

Seen are times with the same rule, single periods, and rules of days of the
week in day-time. Between midnight and 5 clocks may be changed: there nothing
is said of a rule that is not the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl.recurrence import DAY, FOREVER
from sipd.cpl.starts import Calendar

if TYPE_CHECKING:
    from sipd.cpl.occurs import Periods

EARLY: Final = 5 * 3600
"""Before this second of the day clocks may be changed."""

MOST_TIMES: Final = 4
MOST_COMPARED: Final = 40
"""Periods a day, and times of a switch, that are looked at: for the time it takes."""

Span = tuple[int, int]


class Taken:
    """What the times of a switch take, in their order."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: list[tuple[Periods, list[Span]]] = []

    def takes_all_of(self, later: Periods) -> bool:
        """Whether every moment of `later` is in one of those before it; False where it can't be told."""
        if len(self._seen) >= MOST_COMPARED:
            return False
        spans = _week_spans(later)
        covered = any(_same_but_longer(other, later) for other, _ in self._seen)
        if spans and not covered:
            able = (wide for other, wide in self._seen if other.zone is later.zone and _lasts_as(other, later))
            covered = _within(spans, _union([span for wide in able for span in wide]))
        self._seen.append((later, spans))
        return covered


def _lasts_as(other: Periods, later: Periods) -> bool:
    """Whether all of a day's periods of `other` are there from the first to the last day of `later`."""
    day, time = divmod(other.start, DAY)
    first = day if other.starts is not None and time == other.starts.times.first else day + 1
    return first <= later.start // DAY and other.last >= min(later.last // DAY * DAY + DAY - 1, FOREVER)


def _same_but_longer(other: Periods, later: Periods) -> bool:
    if other.zone is not later.zone:
        return False
    if later.table.rule is None and other.begins <= later.begins and later.ends <= other.ends:
        return True
    same = other.table.rule == later.table.rule and other.table.start == later.table.start
    return same and other.days == later.days and other.seconds >= later.seconds


def _week_spans(periods: Periods) -> list[Span]:
    """The periods of a week in seconds from Monday, for rules of days of the week in day-time; empty for others."""
    rule, starts = periods.table.rule, periods.starts
    if rule is None or not isinstance(starts, Calendar) or rule.freq not in ("daily", "weekly") or rule.interval > 1:
        return []
    if rule.month or rule.monthday or rule.yearday or periods.days or starts.times.count > MOST_TIMES:
        return []
    if not starts.names(periods.start):  # the first period is one of no pattern
        return []
    begins = [starts.times[index] for index in range(starts.times.count)]
    if not periods.zone.fixed and (begins[0] < EARLY or begins[-1] + periods.seconds > DAY):
        return []
    first = periods.start // DAY
    weekdays = {(day - 1) % 7 for day in range(first, first + 7) if starts.days.last(day, day) == day}
    return sorted((day * DAY + begin, day * DAY + begin + periods.seconds) for day in weekdays for begin in begins)


def _union(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _within(spans: list[Span], wide: list[Span]) -> bool:
    return all(any(begin <= low and high <= end for begin, end in wide) for low, high in spans)
