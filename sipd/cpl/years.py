"""Days of a year as bits: which days a rule part of a recurrence names (RFC 5545 §3.3.10).

Bit 0 of a mask is 1 January. Rules become a few operations on integers of
366 bits, so a rule that matches rarely is searched year by year, not day by day.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST_YEAR: Final = 9999
"""The calendar of `datetime` ends here."""

_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SEVENTHS: Final = sum(1 << 7 * week for week in range(54))


class Year(NamedTuple):
    """One calendar year."""

    number: int
    first: int  # ordinal of 1 January, as `date.toordinal`
    length: int  # 365 or 366
    weekday: int  # of 1 January; Monday is 0
    months: tuple[tuple[int, int], ...]  # first day, counted from 0, and length of each month

    @property
    def all(self) -> int:
        """The mask of every day."""
        return (1 << self.length) - 1

    def on_weekday(self, weekday: int) -> int:
        """The days that are Mondays (0), Tuesdays (1) ..."""
        return (_SEVENTHS << (weekday - self.weekday) % 7) & self.all

    def in_month(self, number: int) -> int:
        """The days of a month; January is 1."""
        first, length = self.months[number - 1]
        return ((1 << length) - 1) << first


@lru_cache(maxsize=512)
def year_of(number: int) -> Year:
    """The year of that number, 1 to LAST_YEAR."""
    leap = number % 4 == 0 and (number % 100 != 0 or number % 400 == 0)
    months = []
    first = 0
    for month, days in enumerate(_LENGTHS):
        length = 29 if leap and month == 1 else days
        months.append((first, length))
        first += length
    ordinal = date(number, 1, 1).toordinal()
    return Year(number, ordinal, 366 if leap else 365, (ordinal - 1) % 7, tuple(months))


def months_mask(year: Year, months: Iterable[int]) -> int:
    """BYMONTH."""
    mask = 0
    for month in months:
        mask |= year.in_month(month)
    return mask


class MonthDays:
    """BYMONTHDAY in every month: 31 where there is one; -1 is the last day."""

    __slots__ = ("_from_end", "_from_start")

    def __init__(self, days: Iterable[int]) -> None:
        self._from_start = self._from_end = 0  # for the longest month
        for day in days:
            if day > 0:
                self._from_start |= 1 << day - 1
            else:
                self._from_end |= 1 << 31 + day

    def mask(self, year: Year) -> int:
        """These days of a year."""
        mask = 0
        for first, length in year.months:
            mask |= (self._from_start & (1 << length) - 1 | self._from_end >> 31 - length) << first
        return mask


class YearDays:
    """BYYEARDAY: 366 where there is one; -1 is 31 December."""

    __slots__ = ("_from_end", "_from_start")

    def __init__(self, days: Iterable[int]) -> None:
        self._from_start = self._from_end = 0  # for a leap year
        for day in days:
            if day > 0:
                self._from_start |= 1 << day - 1
            else:
                self._from_end |= 1 << 366 + day

    def mask(self, year: Year) -> int:
        """These days of a year."""
        return self._from_start & year.all | self._from_end >> 366 - year.length


def weekdays_mask(year: Year, weekdays: Iterable[int]) -> int:
    """BYDAY without numbers."""
    mask = 0
    for weekday in weekdays:
        mask |= year.on_weekday(weekday)
    return mask


_MOST_WEEKS: Final = 54


class Weekdays:
    """BYDAY: days of the week, every one or the nth from an end of a month or year."""

    __slots__ = ("_patterns",)

    def __init__(self, days: Iterable[tuple[int, int]]) -> None:
        """Each day is a number and a weekday (Monday is 0); number 0 is every one."""
        patterns: dict[int, tuple[int, int]] = {}
        for number, weekday in days:
            from_start, from_end = patterns.get(weekday, (0, 0))
            if number == 0:
                from_start |= _SEVENTHS
            elif number > 0:
                from_start |= 1 << 7 * (number - 1)
            else:
                from_end |= 1 << 7 * (_MOST_WEEKS + number)
            patterns[weekday] = from_start, from_end
        self._patterns = tuple((weekday, *pattern) for weekday, pattern in patterns.items())

    def mask(self, year: Year, spans: Iterable[tuple[int, int]]) -> int:
        """These days within each span (first day, length) of a year."""
        mask = 0
        for first, length in spans:
            here = 0
            for weekday, from_start, from_end in self._patterns:
                at = (weekday - year.weekday - first) % 7  # the first such day of the span
                here |= from_start << at
                if from_end:
                    last = at + (length - 1 - at) // 7 * 7
                    here |= from_end >> 7 * (_MOST_WEEKS - 1) - last
            mask |= (here & (1 << length) - 1) << first
        return mask


def _first_week(year: Year, week_start: int) -> int:
    """The day its week 1 begins on, counted from 0; negative: in December (ISO 8601, with any first day)."""
    into = (year.weekday - week_start) % 7  # days of the week of 1 January that are before it
    return -into if into <= 3 else 7 - into


def _weeks_in(year: Year, week_start: int) -> int:
    following = year._replace(weekday=(year.weekday + year.length) % 7)
    return (year.length + _first_week(following, week_start) - _first_week(year, week_start)) // 7


def weeks_mask(year: Year, weeks: Iterable[int], week_start: int) -> int:
    """BYWEEKNO: the days of this calendar year whose week has one of these numbers in the year the week belongs to.

    So 29 to 31 December may be in week 1, and 1 to 3 January in week 52, 53 or -1.
    """
    first = _first_week(year, week_start)
    count = _weeks_in(year, week_start)
    before = after = 0  # weeks in the years before and after, where some of our days are theirs
    if first > 0 and year.number > 1:
        before = _weeks_in(year_of(year.number - 1), week_start)
    if first + 7 * count < year.length and year.number < LAST_YEAR:
        after = _weeks_in(year_of(year.number + 1), week_start)
    mask = 0
    for week in weeks:
        number = week if week > 0 else count + 1 + week
        if 1 <= number <= count:
            mask |= _block(first + 7 * (number - 1))
        if before and week in (before, -1):
            mask |= _block(first - 7)
        if after and week in (1, -after):
            mask |= _block(first + 7 * count)
    return mask & year.all


def _block(first: int) -> int:
    return 127 << first if first >= 0 else 127 >> -first


class Every:
    """Runs of `length` days that begin every `step` days, `origin` being the first day (an ordinal) of one."""

    __slots__ = ("_length", "_origin", "_pattern", "_step")

    def __init__(self, origin: int, length: int, step: int) -> None:
        self._origin = origin
        self._length = length
        self._step = step
        self._pattern = sum(((1 << length) - 1) << at for at in range(0, 366, step))

    def mask(self, year: Year) -> int:
        """The days of the year that are in one of these runs."""
        ahead = (self._origin - year.first) % self._step  # until the first run that begins in this year
        mask = self._pattern << ahead if ahead < year.length else 0
        begun = self._step - ahead  # days ago that the run before it began
        if begun < self._length:
            mask |= ((1 << self._length) - 1) >> begun
        return mask & year.all
