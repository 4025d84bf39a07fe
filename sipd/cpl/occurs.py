"""Whether an instant is in one of the periods of a time: in constant time, wherever dtstart is (RFC 3880 appendix A).

A period is found by its start: the last one not after the instant is the only
one that can hold it, as periods of a list don't overlap (§4.4).

Where clocks are changed, RFC 5545 decides: a start at a time that does not
exist is left out (§3.3.10), one at a time that comes twice is the first of
both (§3.3.5), and the length of a period is counted in days of the calendar,
then in seconds that pass (§3.3.6); one given by dtend only in seconds.
The first period, at dtstart, is on the list whether the rule names it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.counting import Budget, Costly, nth_start, overlap
from sipd.cpl.daytimes import Days, Times
from sipd.cpl.recurrence import DAY, FOREVER, NEVER, UNIT
from sipd.cpl.starts import Calendar, Steps
from sipd.cpl.zones import UTC_ZONE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sipd.cpl.recurrence import Rule, Timetable
    from sipd.cpl.starts import Starts
    from sipd.cpl.zones import Zone

SHIFT: Final = 26 * 3600
"""More than any change of clocks: a whole day was once left out (Samoa, 2011)."""

MAX_LENGTH: Final = 3660 * DAY
"""Longest period that may recur: ten years."""

MAX_STEPS: Final = 2000
MAX_SETS: Final = 150
"""Intervals that a period may be longer than, where it must be gone from one to the one before: hours, minutes or
seconds; days or more with bysetpos."""

CALL_BUDGET: Final = 20_000
"""Microseconds, roughly, that asking all times of a script may take beyond what is usual."""


class Moment(NamedTuple):
    """When a call came, as a time-switch sees it."""

    instant: int  # seconds of the calendar, UTC
    bound: int  # the last local time shown for the first time until then: `Zone.bound`
    zone: Zone

    def __str__(self) -> str:
        at = self.zone.clock(self.instant)
        return f"{at:%a %Y-%m-%d %H:%M:%S} {self.zone.name}"


def moment_at(zone: Zone, now: datetime) -> Moment:
    """An aware datetime in the zone of a time-switch."""
    return Moment(*zone.moment(now), zone)


def moment_in(zone: Zone, instant: int) -> Moment:
    """An instant in the zone of a time-switch."""
    return Moment(instant, zone.bound(instant), zone)


class NotPositive(Exception):
    """The first period does not end after it begins."""


class Overlapping(Exception):
    """Two periods of a rule overlap; `starts` are theirs, in local time."""

    def __init__(self, starts: tuple[int, int]) -> None:
        super().__init__()
        self.starts = starts


class Periods:
    """The periods of one `time`, ready to be asked about any instant."""

    __slots__ = ("begins", "days", "ends", "last", "seconds", "start", "starts", "table", "zone")

    def __init__(self, table: Timetable, zone: Zone, budget: Budget | None = None, spare: Budget | None = None) -> None:
        """`zone` is that of the switch; times written in UTC recur in UTC.

        Raises NotPositive, Overlapping, and Costly when working out where a
        count ends costs more than `budget` has, or asking would cost too much
        (§4.4.1). Overlaps are looked for as long as `spare` lasts.
        """
        self.table = table
        self.zone = UTC_ZONE if table.start.utc else zone
        self.start = table.start.seconds
        self.begins = self.zone.instant(self.start)
        self.days, self.seconds = table.days, table.seconds
        if table.end is not None:
            end = table.end.seconds if table.end.utc else zone.instant(table.end.seconds)
            self.seconds = end - self.begins
        self.ends = self.end_of(self.zone.local(self.begins))
        if self.ends <= self.begins:
            raise NotPositive
        self.last = FOREVER
        self.starts: Starts | None = None
        if table.rule is not None:
            self._recur(table.rule, budget or Budget(), spare or Budget())

    def _recur(self, rule: Rule, budget: Budget, spare: Budget) -> None:
        length = self.days * DAY + self.seconds
        if length > MAX_LENGTH:
            raise Costly
        begins = self.zone.local(self.begins)
        starts = starts_of(rule, self.start, begins, self.zone)
        if starts is None:
            return
        if isinstance(starts, Steps) and self._steps(rule) > (MAX_SETS if starts.of_days else MAX_STEPS):
            raise Costly
        self.last = self._last(rule, starts, begins, budget)
        if self.last < begins:
            return
        try:
            found = overlap(starts, rule, length, begins, spare)
        except Costly:
            found = None  # the last period that began holds what the one before it does
        if found is not None and found[1] <= self.last:
            raise Overlapping(found)
        self.starts = starts

    def _last(self, rule: Rule, starts: Starts, begins: int, budget: Budget) -> int:
        """The local time after which no period begins."""
        if rule.until is not None:
            return self.zone.bound(rule.until.seconds) if rule.until.utc else rule.until.seconds
        if rule.occurrences == 1:
            return NEVER
        if rule.occurrences:
            last = nth_start(starts, rule.occurrences - 1, begins, budget)
            return FOREVER if last == NEVER else last
        return FOREVER

    @property
    def cost(self) -> int:
        """Microseconds, roughly, that asking may take beyond what is usual."""
        if self.table.rule is None or self.starts is None:
            return 0
        length = self.days * DAY + self.seconds
        if isinstance(self.starts, Steps):
            return self._steps(self.table.rule) * (30 if self.starts.of_days else 2)
        return length // (365 * DAY) * 50

    def _steps(self, rule: Rule) -> int:
        """How many intervals a period is longer than."""
        length = self.days * DAY + self.seconds
        return (length + bool(self.days) * SHIFT) // (UNIT[rule.freq] * rule.interval)

    def end_of(self, start: int) -> int:
        """The instant that a period ends which begins at a local time."""
        if self.days:
            return self.zone.instant(start + self.days * DAY) + self.seconds
        return self.zone.instant(start) + self.seconds

    def contains(self, moment: Moment) -> bool:
        """Whether the moment is in one of the periods."""
        instant = moment.instant
        if instant < self.ends:
            return instant >= self.begins
        if self.starts is None:
            return False
        bound = instant if self.zone is UTC_ZONE else moment.bound
        if bound > self.last:
            bound = self.last
        if self.days or isinstance(self.starts, Calendar):
            low = bound - self.days * DAY - self.seconds - SHIFT
        else:
            low = self.zone.bound(instant - self.seconds)  # what began until then has ended
        found = self.starts.latest(bound, low)
        return found != NEVER and instant < self.end_of(found)


def starts_of(rule: Rule, dtstart: int, begins: int, zone: Zone) -> Starts | None:
    """The starts of a rule after `begins` (local, as dtstart is); None when there can be none."""
    day, time = divmod(dtstart, DAY)
    hour, minute, second = time // 3600, time // 60 % 60, time % 60
    if rule.freq == "secondly":
        if rule.setpos and not {1, -1} & set(rule.setpos):
            return None  # there is one in a second
        rule = rule._replace(setpos=())
    if UNIT[rule.freq] >= DAY:
        times = Times(rule.hour or (hour,), rule.minute or (minute,), rule.second or (second,))
        if rule.setpos:
            return Steps(rule, Days(rule, day), times, dtstart, begins, zone)
        return Calendar(Days(rule, day), times, begins, zone)
    fitting = None if rule.setpos else _times_of_day(rule, hour, minute, second)
    if fitting is not None:
        times, interval = fitting
        daily = rule._replace(freq="daily", interval=interval)
        return Calendar(Days(daily, day), times, begins, zone) if times.count else None
    within = Times(
        (0,),
        (rule.minute or (minute,)) if rule.freq == "hourly" else (0,),
        (0,) if rule.freq == "secondly" else rule.second or (second,),
    )
    limits = rule._replace(freq="daily", interval=1)
    return Steps(rule, Days(limits, day), within, dtstart, begins, zone)


def _times_of_day(rule: Rule, hour: int, minute: int, second: int) -> tuple[Times, int] | None:
    """The times of a rule of hours, minutes or seconds on its days, every so many days; None when they vary."""
    step = rule.interval
    hours, minutes, seconds = range(24), range(60), range(60)
    numbers: Sequence[int]
    lists: list[Sequence[int]] = [hours, minutes, seconds]
    levels = {"secondly": 2, "minutely": 1, "hourly": 0}
    level = levels[rule.freq]
    given = (rule.hour, rule.minute, rule.second)
    at = (hour, minute, second)
    for below in range(level + 1, 3):
        lists[below] = given[below] or (at[below],)
    while level >= 0:
        size = len((hours, minutes, seconds)[level])
        if size % step == 0:
            numbers, step = range(at[level] % step, size, step), 1
        elif step % size == 0:
            numbers, step = (at[level],), step // size
        else:
            return None
        allowed = given[level]
        lists[level] = [number for number in numbers if not allowed or number in allowed]
        level -= 1
    return Times(*lists), step
