"""The days and the times of day that a recurrence names (RFC 5545 §3.3.10, table of expand and limit)."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sipd.cpl.recurrence import FOREVER, NEVER
from sipd.cpl.years import (
    LAST_YEAR,
    Every,
    MonthDays,
    Weekdays,
    Year,
    YearDays,
    months_mask,
    weekdays_mask,
    weeks_mask,
    year_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.cpl.recurrence import Rule


LAST_DAY: Final = date.max.toordinal()


class Days:
    """The days that a rule names, year by year."""

    __slots__ = ("_aligned", "_masks", "_monthdays", "_own_day", "_rule", "_start", "_weekdays", "_yeardays")

    def __init__(self, rule: Rule, start: int) -> None:
        self._rule = rule
        self._start = date.fromordinal(start)
        self._masks: dict[int, tuple[int, int]] = {}
        self._monthdays = MonthDays(rule.monthday)
        self._own_day = MonthDays((self._start.day,))
        self._yeardays = YearDays(rule.yearday)
        self._weekdays = Weekdays(rule.day)
        self._aligned: Every | None = None
        if rule.freq == "weekly" and rule.interval > 1:
            origin = start - (self._start.weekday() - rule.week_start) % 7
            self._aligned = Every(origin, 7, 7 * rule.interval)
        elif rule.freq == "daily" and rule.interval > 1:
            self._aligned = Every(start, 1, rule.interval)

    def of(self, number: int) -> tuple[int, int]:
        """The ordinal of 1 January, and the mask of days, of a year."""
        known = self._masks.get(number)
        if known is None:
            if len(self._masks) >= 64:
                self._masks.clear()
            year = year_of(number)
            known = self._masks[number] = (year.first, self._mask(year))
        return known

    def last(self, day: int, lowest: int) -> int:
        """The last of these days up to `day`, an ordinal; NEVER when it is before `lowest`."""
        if day < lowest or day < 1:
            return NEVER
        number = date.fromordinal(min(day, LAST_DAY)).year
        first, mask = self.of(number)
        mask &= (2 << day - first) - 1
        while not mask:
            number -= 1
            if first <= lowest or number < 1:
                return NEVER
            first, mask = self.of(number)
        found = first + mask.bit_length() - 1
        return found if found >= lowest else NEVER

    def between(self, first: int, end: int) -> list[int]:
        """All of these days from `first` to before `end`, which is not over a year later."""
        found: list[int] = []
        numbers = {date.fromordinal(max(first, 1)).year, date.fromordinal(min(end - 1, LAST_DAY)).year}
        for number in sorted(numbers):
            begins, mask = self.of(number)
            here = max(first, begins)
            mask = mask >> here - begins & (1 << max(0, end - here)) - 1
            found += [here + place for place, bit in enumerate(reversed(f"{mask:b}")) if bit == "1"]
        return found

    def next(self, day: int, highest: int) -> int:
        """The first of these days from `day` on; NEVER when it is after `highest`."""
        number = date.fromordinal(max(1, day)).year
        first, mask = self.of(number)
        mask &= -1 << max(0, day - first)
        while not mask:
            number += 1
            if number > LAST_YEAR:
                return NEVER
            first, mask = self.of(number)
            if first > highest:
                return NEVER
        found = first + (mask & -mask).bit_length() - 1
        return found if found <= highest else NEVER

    def _mask(self, year: Year) -> int:
        rule = self._rule
        if rule.freq == "yearly":
            return self._yearly(year)
        mask = year.all if self._aligned is None else self._aligned.mask(year)
        if rule.month:
            mask &= months_mask(year, rule.month)
        if rule.yearday:
            mask &= self._yeardays.mask(year)
        if rule.monthday:
            mask &= self._monthdays.mask(year)
        if rule.freq == "monthly":
            return mask & self._monthly(year)
        if rule.day:
            mask &= weekdays_mask(year, [weekday for _, weekday in rule.day])
        elif rule.freq == "weekly":
            mask &= year.on_weekday(self._start.weekday())
        return mask

    def _monthly(self, year: Year) -> int:
        rule, start = self._rule, self._start
        mask = year.all
        if rule.interval > 1:
            since = (start.year - year.number) * 12 + start.month - 1  # number of the aligned month, modulo interval
            mask = months_mask(year, [month + 1 for month in range(12) if (month - since) % rule.interval == 0])
        if rule.day:
            return mask & self._weekdays.mask(year, year.months)
        return mask if rule.monthday else mask & self._own_day.mask(year)

    def _yearly(self, year: Year) -> int:
        rule, start = self._rule, self._start
        if (year.number - start.year) % rule.interval:
            return 0
        mask = year.all
        if rule.month:
            mask &= months_mask(year, rule.month)
        if rule.weekno:
            mask &= weeks_mask(year, rule.weekno, rule.week_start)
        if rule.yearday:
            mask &= self._yeardays.mask(year)
        if rule.monthday:
            mask &= self._monthdays.mask(year)
        if rule.day:
            spans = [year.months[month - 1] for month in rule.month] if rule.month else [(0, year.length)]
            return mask & self._weekdays.mask(year, spans)
        if rule.yearday or rule.monthday:
            return mask
        if rule.weekno:
            return mask & year.on_weekday(start.weekday())
        if not rule.month:
            mask &= months_mask(year, (start.month,))
        return mask & self._own_day.mask(year)


class Times:
    """Times of day: every hour of a list with every minute and every second of others."""

    __slots__ = ("_ends", "count", "first", "hours", "last", "minutes", "seconds")

    def __init__(self, hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> None:
        self.hours = tuple(hours)
        self.minutes = tuple(minutes)
        self.seconds = tuple(seconds)
        self.count = len(hours) * len(minutes) * len(seconds)
        self._ends = 60 * minutes[-1] + seconds[-1] if self.count else 0
        self.first = 3600 * hours[0] + 60 * minutes[0] + seconds[0] if self.count else 0
        self.last = 3600 * hours[-1] + self._ends if self.count else NEVER

    def __getitem__(self, index: int) -> int:
        """The nth of the day, from 0."""
        rest, second = divmod(index, len(self.seconds))
        hour, minute = divmod(rest, len(self.minutes))
        return 3600 * self.hours[hour] + 60 * self.minutes[minute] + self.seconds[second]

    def before(self, time: int) -> int:
        """The last one up to that second of the day; NEVER when there is none."""
        if time >= self.last:
            return self.last
        if time < self.first:
            return NEVER
        hour, rest = divmod(time, 3600)
        at = bisect_right(self.hours, hour) - 1
        found = self.hours[at]
        if found < hour:
            return 3600 * found + self._ends
        minute, second = divmod(rest, 60)
        within = self._within_hour(minute, second)
        if within != NEVER:
            return 3600 * hour + within
        return 3600 * self.hours[at - 1] + self._ends

    def _within_hour(self, minute: int, second: int) -> int:
        at = bisect_right(self.minutes, minute) - 1
        if at < 0:
            return NEVER
        if self.minutes[at] < minute:
            return 60 * self.minutes[at] + self.seconds[-1]
        which = bisect_right(self.seconds, second) - 1
        if which >= 0:
            return 60 * minute + self.seconds[which]
        return 60 * self.minutes[at - 1] + self.seconds[-1] if at else NEVER

    def index(self, time: int) -> int:
        """How many are before that second of the day."""
        if time <= self.first:
            return 0
        hour, rest = divmod(time, 3600)
        minute, second = divmod(rest, 60)
        at = _below(self.hours, hour)
        count = at * len(self.minutes) * len(self.seconds)
        if at < len(self.hours) and self.hours[at] == hour:
            among = _below(self.minutes, minute)
            count += among * len(self.seconds)
            if among < len(self.minutes) and self.minutes[among] == minute:
                count += _below(self.seconds, second)
        return count

    def some(self) -> list[int]:
        """The first ones, so many that the two nearest are among them if they are near."""
        return [self[index] for index in range(min(self.count, 4000))]

    @property
    def nearest(self) -> int:
        """The fewest seconds between two of one day; FOREVER when there is one only."""
        found = FOREVER
        for numbers, unit, span in (
            (self.seconds, 1, 0),
            (self.minutes, 60, self.seconds[-1] - self.seconds[0]),
            (self.hours, 3600, self._ends - 60 * self.minutes[0] - self.seconds[0]),
        ):
            for one, other in pairwise(numbers):
                found = min(found, (other - one) * unit - span)
        return found


def _below(numbers: Sequence[int], limit: int) -> int:
    return bisect_right(numbers, limit - 1)
