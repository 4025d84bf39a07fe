"""When the periods of a recurrence begin: the last start up to a time, without counting from dtstart.

Two ways:

* `Calendar` for rules whose days are one thing and whose times of day
  another: the days of a year are the bits of a number, the times are lists.
* `Steps` for the others: bysetpos, and intervals of hours, minutes and
  seconds that don't fit into a day. It goes from one interval to the one
  before, as often as a period is longer than an interval: a rule where that
  is too often is refused (RFC 3880 §4.4.1).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from sipd.cpl.daytimes import LAST_DAY
from sipd.cpl.recurrence import DAY, FOREVER, NEVER, UNIT
from sipd.cpl.years import LAST_YEAR, year_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.cpl.daytimes import Days, Times
    from sipd.cpl.recurrence import Rule
    from sipd.cpl.zones import Zone


YEARS_AHEAD: Final = 10
"""Years in which the next day that a rule names is looked for at once."""


class Calendar:
    """Starts on certain days at certain times of the day."""

    __slots__ = ("_start", "days", "times", "zone")

    def __init__(self, days: Days, times: Times, start: int, zone: Zone) -> None:
        self.days = days
        self.times = times
        self.zone = zone
        self._start = start  # where the first period begins: later than dtstart when that is in a gap

    def latest(self, bound: int, low: int) -> int:
        """The last start (local time) up to `bound` that is after `low` and after dtstart; NEVER when there is none."""
        low = max(low, self._start)
        while bound > low:
            found = self.raw(bound, low)
            if found == NEVER or self.zone.fixed or self.zone.exists(found):
                return found
            bound = self.zone.before_gap(found)
        return NEVER

    def names(self, local: int) -> bool:
        """Whether a time is one of the starts, dtstart or not."""
        day, time = divmod(local, DAY)
        return self.times.before(time) == time and self.days.last(day, day) == day

    def raw(self, bound: int, low: int) -> int:
        """As `latest`, of times that exist or not."""
        today, time = divmod(bound, DAY)
        time = self.times.before(time)
        day = self.days.last(today if time != NEVER else today - 1, low // DAY)
        if day == NEVER:
            return NEVER
        found = day * DAY + (time if day == today else self.times.last)
        return found if found > low else NEVER


class Steps:
    """Starts in every nth unit of the frequency, some of those in it."""

    __slots__ = (
        "_hours", "_known", "_minutes", "_offsets", "_rule", "_seconds", "_start", "_unit", "days", "freq", "interval",
        "of_days", "origin", "times", "zone",
    )  # fmt: skip

    def __init__(self, rule: Rule, days: Days, times: Times, dtstart: int, start: int, zone: Zone) -> None:
        self._rule = rule
        self.freq = rule.freq
        self.interval = rule.interval
        self._start = start  # as of Calendar
        self.days = days
        self.times = times  # of a day; within an hour or minute where the unit is one
        self.zone = zone
        self._unit = UNIT[rule.freq]
        self.of_days = self._unit >= DAY
        self.origin = self._number(dtstart)
        """The number of the unit that dtstart is in; every `interval`th from there counts."""
        self._hours = frozenset(rule.hour or range(24))
        self._minutes = frozenset(rule.minute or range(60))
        self._seconds = frozenset(rule.second or range(60))
        self._known: dict[int, list[int]] = {}
        self._offsets = tuple(self._chosen(times.count, times.__getitem__)) if not self.of_days else ()

    def _number(self, local: int) -> int:
        """Which unit a time is in."""
        freq = self._rule.freq
        day = local // DAY
        if freq == "yearly":
            return date.fromordinal(day).year
        if freq == "monthly":
            at = date.fromordinal(day)
            return at.year * 12 + at.month - 1
        if freq == "weekly":
            return (day - 1 - self._rule.week_start) // 7
        return local // self._unit

    def _span(self, number: int) -> tuple[int, int]:
        """The first day of a unit, and the first after it."""
        freq = self._rule.freq
        if freq == "yearly":
            year = year_of(number)
            return year.first, year.first + year.length
        if freq == "monthly":
            year = year_of(number // 12)
            first, length = year.months[number % 12]
            return year.first + first, year.first + first + length
        if freq == "weekly":
            first = number * 7 + 1 + self._rule.week_start
            return first, first + 7
        return number, number + 1

    def begin(self, number: int) -> int:
        """When a unit begins; FOREVER when that is after the end of the calendar."""
        years = {"yearly": 1, "monthly": 12}.get(self._rule.freq)
        if years is not None:
            return self._span(number)[0] * DAY if number // years <= LAST_YEAR else FOREVER
        return min(self._span(number)[0] * DAY if self.of_days else number * self._unit, FOREVER)

    def names(self, local: int) -> bool:
        """Whether a time is one of the starts, dtstart or not."""
        number = self._number(local)
        return (number - self.origin) % self.interval == 0 and local in self.starts(number)

    def following(self, number: int) -> int:
        """The next unit after one in which there may be starts."""
        number += self.interval
        if self.of_days:
            return number
        begin = number * self._unit
        day, time = divmod(begin, DAY)
        if day > LAST_DAY:
            return number
        named = self.days.next(day, min(day + YEARS_AHEAD * 366, LAST_DAY))
        if named != day:
            begin = (day + YEARS_AHEAD * 365 if named == NEVER else named) * DAY
        elif time // 3600 not in self._hours:
            begin += 3600 - time % 3600
        else:
            return number
        first = -(-begin // self._unit)
        return first + (self.origin - first) % self.interval

    def latest(self, bound: int, low: int) -> int:
        """As of Calendar."""
        low = max(low, self._start)
        if bound <= low:
            return NEVER
        number = self._number(bound)
        number -= (number - self.origin) % self.interval
        lowest = max(self._number(low), self.origin)
        while number >= lowest:
            for found in reversed(self.starts(number)):
                if found <= bound:
                    if found > low:
                        return found
                    break
            number -= self.interval
        return NEVER

    def starts(self, number: int) -> list[int]:
        """The starts in one unit, in their order."""
        if self.of_days:
            known = self._known.get(number)
            if known is None:
                if len(self._known) >= 64:
                    self._known.clear()
                known = self._known[number] = self._starts_of_days(*self._span(number))
            return known
        begin = number * self._unit
        if not self._in_limits(begin):
            return []
        if self.zone.steady(begin // DAY):
            return [begin + offset for offset in self._offsets]
        there = [begin + self.times[index] for index in range(self.times.count)]
        gaps = self.zone.gaps(date.fromordinal(begin // DAY).year)
        there = [local for local in there if not any(first <= local < end for first, end in gaps)]
        return self._chosen(len(there), there.__getitem__)

    def _in_limits(self, begin: int) -> bool:
        rule = self._rule
        day, time = divmod(begin, DAY)
        if time // 3600 not in self._hours:
            return False
        if self._unit < 3600 and rule.minute and time // 60 % 60 not in self._minutes:
            return False
        if self._unit == 1 and rule.second and time % 60 not in self._seconds:
            return False
        if not 1 <= day <= LAST_DAY:
            return False
        return self.days.last(day, day) == day

    def _starts_of_days(self, first: int, end: int) -> list[int]:
        days = self.days.between(first, end)
        times = self.times
        count = len(days) * times.count
        lost = self._lost(days) if not self.zone.fixed else []
        if not lost:
            return self._chosen(count, lambda index: days[index // times.count] * DAY + times[index % times.count])

        def nth(index: int) -> int:
            for begin, length in lost:
                if index >= begin:
                    index += length
            return days[index // times.count] * DAY + times[index % times.count]

        return self._chosen(count - sum(length for _, length in lost), nth)

    def _lost(self, days: list[int]) -> list[tuple[int, int]]:
        """Runs of what is on the list but does not exist: where each begins, and how many they are."""
        found: list[tuple[int, int]] = []
        if not days:
            return found
        each = self.times.count
        places = {day: place for place, day in enumerate(days)}
        for number in sorted({date.fromordinal(days[0]).year, date.fromordinal(days[-1]).year}):
            for begin, end in self.zone.gaps(number):
                for day in range(begin // DAY, (end - 1) // DAY + 1):
                    if day in places:
                        first = self.times.index(max(0, begin - day * DAY))
                        behind = self.times.index(min(DAY, end - day * DAY))
                        if behind > first:
                            found.append((places[day] * each + first, behind - first))
        return found

    def _chosen(self, count: int, nth: Callable[[int], int]) -> list[int]:
        """Those of `count` that bysetpos chooses; all when it is not given."""
        if not self._rule.setpos:
            return [nth(index) for index in range(count)]
        indexes = {place - 1 if place > 0 else count + place for place in self._rule.setpos}
        return [nth(index) for index in sorted(indexes) if 0 <= index < count]


Starts = Calendar | Steps
