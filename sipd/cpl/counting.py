"""Looking ahead once, when a script is compiled: where a count ends, whether periods overlap (RFC 3880 §4.4.1)."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sipd.cpl.recurrence import DAY, NEVER, UNIT
from sipd.cpl.starts import Calendar
from sipd.cpl.years import LAST_YEAR

if TYPE_CHECKING:
    from sipd.cpl.daytimes import Times
    from sipd.cpl.recurrence import Rule
    from sipd.cpl.starts import Starts, Steps

HORIZON: Final = 2200
"""A count that is not used up by the end of this year, or for 100 years from dtstart, counts as no limit."""

BUDGET: Final = 60_000
"""Microseconds, roughly, that looking ahead may take for all times of a script."""

YEARS_SEEN: Final = 30
"""Years in which overlaps are looked for: all kinds of years come in 28."""

SETS_SEEN: Final = 30
UNITS_SEEN: Final = 1000
"""Days, weeks, months or years, and shorter units, in which overlaps are looked for where bysetpos is used."""

YEAR_COST: Final = 12
UNIT_COST: Final = 6
SET_COST: Final = {"daily": 15, "weekly": 20, "monthly": 30, "yearly": 100}


class Costly(Exception):
    """A rule that would take too long to work out."""


class Budget:
    """What is left of the work one script may cause; the same script always has the same."""

    __slots__ = ("left",)

    def __init__(self, left: int = BUDGET) -> None:
        self.left = left

    def spend(self, cost: int) -> None:
        """Raises Costly when there is no more."""
        self.left -= cost
        if self.left < 0:
            raise Costly


def nth_start(starts: Starts, number: int, begin: int, budget: Budget, years: int = 0) -> int:
    """The nth start after `begin` (local time); NEVER when it is not until the horizon, or so many years later.

    Raises Costly.
    """
    this_year = date.fromordinal(begin // DAY).year
    horizon = min(this_year + years if years else max(HORIZON, this_year + 100), LAST_YEAR)
    if isinstance(starts, Calendar):
        return _nth_in_calendar(starts, number, begin, budget, horizon)
    return _nth_in_steps(starts, number, begin, budget, horizon)


def _nth_in_calendar(starts: Calendar, number: int, begin: int, budget: Budget, horizon: int) -> int:
    times = starts.times
    today, now = divmod(begin, DAY)
    this_year = date.fromordinal(today).year
    if not times.count or number > times.count * 366 * (horizon - this_year + 1):
        return NEVER
    for year in range(this_year, horizon + 1):
        budget.spend(YEAR_COST)
        first, mask = starts.days.of(year)
        if year == this_year:
            mask &= -1 << today - first
        lost = _lost(starts, year, first, mask)
        if year == this_year:
            lost.append((today, 0, times.index(now + 1)))  # what is not after `begin` is not there either
        here = mask.bit_count() * times.count - sum(high - low for day, low, high in lost if mask >> day - first & 1)
        if here >= number:
            budget.spend(min(number, mask.bit_count()) // 4)
            return _nth_of_year(times, number, first, mask, lost)
        number -= here
    return NEVER


Lost = list[tuple[int, int, int]]
"""Days with the indexes, from and up to, of times of theirs that are not there."""


def _nth_of_year(times: Times, number: int, first: int, mask: int, lost: Lost) -> int:
    while True:
        day = first + (mask & -mask).bit_length() - 1
        mask &= mask - 1
        gone = sorted((low, high) for which, low, high in lost if which == day)
        here = times.count - sum(high - low for low, high in gone)
        if number <= here:
            break
        number -= here
    index = number - 1
    for low, high in gone:
        if index >= low:
            index += high - low
    return day * DAY + times[index]


def _lost(starts: Calendar, year: int, first: int, mask: int) -> Lost:
    """What is on the list and does not exist, as clocks are put forward."""
    found: Lost = []
    for begin, end in starts.zone.gaps(year):
        for day in range(max(first, begin // DAY), (end - 1) // DAY + 1):
            low = starts.times.index(max(0, begin - day * DAY))
            high = starts.times.index(min(DAY, end - day * DAY))
            if high > low and mask >> day - first & 1:
                found.append((day, low, high))
    return found


def _nth_in_steps(starts: Steps, number: int, begin: int, budget: Budget, horizon: int) -> int:
    unit = starts.origin
    cost = SET_COST.get(starts.freq, UNIT_COST)
    end = date(horizon, 12, 31).toordinal() * DAY
    while True:
        if starts.begin(unit) > end:
            return NEVER
        found = [local for local in starts.starts(unit) if local > begin]
        budget.spend(cost + len(found) // 4)
        if number <= len(found):
            return found[number - 1]
        number -= len(found)
        unit = starts.following(unit)


def overlap(starts: Starts, rule: Rule, length: int, begin: int, budget: Budget) -> tuple[int, int] | None:
    """Two starts (local times) nearer to each other than `length` seconds; None when none are seen.

    Raises Costly.
    """
    times = starts.times
    if not times.count:
        return None
    if isinstance(starts, Calendar):
        return _overlap_in_calendar(starts, length, begin, budget)
    span = times.last - times.first
    room = rule.interval * UNIT[rule.freq] if not starts.of_days else DAY
    if length <= times.nearest and length <= room - span:
        return None
    return _overlap_in_steps(starts, length, begin, budget)


def _overlap_in_calendar(starts: Calendar, length: int, begin: int, budget: Budget) -> tuple[int, int] | None:
    times = starts.times
    apart = -(-(length + times.last - times.first) // DAY)  # days from one to the next that are enough
    near = times.nearest < length
    if not near and apart <= 1:
        return None
    first_year = date.fromordinal(begin // DAY).year
    last_year = min(first_year + YEARS_SEEN + length // (365 * DAY), LAST_YEAR)
    days, origin = 0, begin // DAY
    for year in range(first_year, last_year + 1):
        budget.spend(YEAR_COST)
        first, mask = starts.days.of(year)
        days |= mask << first - origin if first >= origin else mask >> origin - first
    if not days:
        return None
    if near:
        first = origin + (days & -days).bit_length() - 1
        pair = next(pair for pair in pairwise(times.some()) if pair[1] - pair[0] < length)
        return first * DAY + pair[0], first * DAY + pair[1]
    after, width = days << 1, 1  # the days that are 1 to `width` days after one of them
    while width < apart - 1:
        step = min(width, apart - 1 - width)
        after |= after << step
        width += step
    hit = after & days
    if not hit:
        return None
    second = (hit & -hit).bit_length() - 1
    one = (days & (1 << second) - 1).bit_length() - 1
    return (origin + one) * DAY + times.last, (origin + second) * DAY + times.first


def _overlap_in_steps(starts: Steps, length: int, begin: int, budget: Budget) -> tuple[int, int] | None:
    before = NEVER
    unit = starts.origin
    cost = SET_COST.get(starts.freq, UNIT_COST)
    end = date(min(date.fromordinal(begin // DAY).year + YEARS_SEEN, LAST_YEAR), 12, 31).toordinal() * DAY
    for _ in range(SETS_SEEN if starts.of_days else UNITS_SEEN):
        if starts.begin(unit) > end:
            break
        found = starts.starts(unit)
        budget.spend(cost + len(found) // 4)
        for local in found:
            if local >= begin:
                if before != NEVER and local - before < length:
                    return before, local
                before = local
        unit = starts.following(unit)
    return None
