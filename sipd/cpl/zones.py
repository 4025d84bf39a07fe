"""Time zones of time-switches: local time from an instant and back, with what daylight saving does to it (§4.4).

Instants and local times are whole seconds of the calendar, see `recurrence`.
"""

from __future__ import annotations

import calendar
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from sipd.cpl.findings import shown
from sipd.cpl.recurrence import DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST: Final = 10 * DAY
_LAST: Final = 3652000 * DAY
"""What is before or after these is taken as at them: where `datetime` ends, so do its zones."""

CHANGES: Final = DAY * 9
"""Instead of an offset, of a day on which clocks are changed."""

MOST_KEPT: Final = 1000
"""Days and years of a zone of which the offset and the gaps are remembered."""

Value = TypeVar("Value")


def instant_of(moment: datetime) -> int:
    """Seconds of the calendar, in UTC, of an aware datetime; fractions are cut."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.toordinal() * DAY + utc.hour * 3600 + utc.minute * 60 + utc.second


def datetime_of(seconds: int, zone: tzinfo | None = None) -> datetime:
    """The datetime of seconds of the calendar."""
    return datetime(1, 1, 1, tzinfo=zone) + timedelta(0, min(max(seconds, _FIRST), _LAST) - DAY)


class Zone:
    """A time zone under the name it is shown by."""

    __slots__ = ("_gaps", "_offsets", "_offsets_utc", "_tz", "fixed", "name")

    def __init__(self, name: str, tz: tzinfo) -> None:
        self.name = name
        self.fixed = tz is UTC
        """Clocks are never changed in it, as in UTC."""
        self._tz = tz
        self._gaps: dict[int, tuple[tuple[int, int], ...]] = {}
        self._offsets: dict[int, int] = {}  # of days of local time; CHANGES where they are several
        self._offsets_utc: dict[int, int] = {}  # of days of UTC

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def clock(self, instant: int) -> datetime:
        """The local time, aware."""
        return datetime_of(instant, UTC).astimezone(self._tz)

    def moment(self, now: datetime) -> tuple[int, int]:
        """The instant of an aware datetime, and the `bound` of it."""
        try:
            at = now.astimezone(self._tz)
        except OverflowError:  # within a day of where the calendar ends
            at = self.clock(instant_of(now))
        local = at.toordinal() * DAY + at.hour * 3600 + at.minute * 60 + at.second
        instant = local - _seconds(at.utcoffset())
        return instant, self.bound(instant) if at.fold else local

    def local(self, instant: int) -> int:
        """What clocks show."""
        if self.fixed:
            return instant
        day = instant // DAY
        offset = self._offsets_utc.get(day)
        if offset is None:
            first, last = self._offset_at(day * DAY), self._offset_at(day * DAY + DAY - 1)
            offset = _kept(self._offsets_utc, day, first if first == last else CHANGES)
        if offset == CHANGES:
            offset = self._offset_at(instant)
        return instant + offset

    def instant(self, local: int) -> int:
        """When clocks show it: the first time of two, and in a gap as if it came later (RFC 5545 §3.3.5)."""
        if self.fixed:
            return local
        offset = self._offset_on(local // DAY)
        if offset == CHANGES:
            offset = _seconds(self._tz.utcoffset(datetime_of(local)))
        return local - offset

    def exists(self, local: int) -> bool:
        """Whether clocks show it at all."""
        return self.steady(local // DAY) or self.local(self.instant(local)) == local

    def steady(self, day: int) -> bool:
        """Whether clocks are not changed on that day."""
        return self.fixed or self._offset_on(day) != CHANGES

    def _offset_on(self, day: int) -> int:
        offset = self._offsets.get(day)
        if offset is None:
            first = _seconds(self._tz.utcoffset(datetime_of(day * DAY)))
            last = _seconds(self._tz.utcoffset(datetime_of(day * DAY + DAY)))
            offset = _kept(self._offsets, day, first if first == last else CHANGES)
        return offset

    def _offset_at(self, instant: int) -> int:
        return _seconds(self._tz.fromutc(datetime_of(instant, self._tz)).utcoffset())

    def bound(self, instant: int) -> int:
        """The last local time that clocks have shown up to an instant for the first time.

        It is local time, but while clocks show times again after they were
        set back: there it is the last one before that.
        """
        if self.fixed:
            return instant
        local = self.local(instant)
        first = self.instant(local)
        if first == instant:
            return local
        # The hour (or half hour) is repeated: find where the first pass ended.
        before = local - first
        return self._last_by(before, first, instant) + before

    def before_gap(self, local: int) -> int:
        """The last time that exists before one that does not."""
        offset = _seconds(self._tz.utcoffset(datetime_of(local)))  # that of before the gap
        return self._last_by(offset, local - 2 * DAY - offset, local - offset) + offset

    def gaps(self, year: int) -> tuple[tuple[int, int], ...]:
        """Local times of a year that do not exist: the first, and the first that exists again, of each gap."""
        if self.fixed:
            return ()
        known = self._gaps.get(year)
        if known is None:
            known = _kept(self._gaps, year, tuple(self._find_gaps(year)))
        return known

    def _find_gaps(self, year: int) -> list[tuple[int, int]]:
        day = datetime(year, 1, 1).toordinal()
        end = min(day + 365 + calendar.isleap(year), _LAST // DAY)
        offset_of = self._tz.utcoffset
        found = []
        before = offset_of(datetime.fromordinal(day))
        while day < end:
            week = min(day + 7, end)
            if offset_of(datetime.fromordinal(week)) == before:  # no zone ever went forth and back in a week
                day = week
                continue
            while day < week:
                day += 1
                after = offset_of(datetime.fromordinal(day))
                if after != before:
                    if _seconds(after) > _seconds(before):
                        found.append(self._gap(day, _seconds(before)))
                    before = after
        return found

    def _gap(self, day: int, before: int) -> tuple[int, int]:
        change = self._last_by(before, (day - 1) * DAY - before, day * DAY - before) + 1
        return change + before, self.local(change)

    def _last_by(self, offset: int, low: int, high: int) -> int:
        """The last instant with this offset; `low` has it, `high` no more, and clocks change once in between."""
        while high - low > 1:
            middle = (low + high) // 2
            if self.local(middle) - middle == offset:
                low = middle
            else:
                high = middle
        return low


def _kept(known: dict[int, Value], key: int, value: Value) -> Value:
    if len(known) >= MOST_KEPT:
        known.clear()
    known[key] = value
    return value


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else offset.days * DAY + offset.seconds


UTC_ZONE: Final = Zone("UTC", UTC)


def zone_of(name: str) -> Zone | None:
    """The zone of an Olson name, from the system's files or the tzdata package; None when there is none."""
    return UTC_ZONE if name in ("", "UTC") else _zone_of(name)


@lru_cache(maxsize=256)
def _zone_of(name: str) -> Zone | None:
    if len(name) > 80:
        return None
    try:
        return Zone(name, zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def use_directories(directories: Sequence[str]) -> None:
    """Read zones from these directories (as TZDIR names one); the tzdata package stays the last resort."""
    zoneinfo.reset_tzpath(list(directories))
    zoneinfo.ZoneInfo.clear_cache()
    _zone_of.cache_clear()
    zone_names.cache_clear()


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every Olson name there is here."""
    return frozenset(zoneinfo.available_timezones())


WINDOWS_NAMES: Final = {
    "w. europe standard time": "Europe/Berlin", "romance standard time": "Europe/Paris",
    "central europe standard time": "Europe/Budapest", "central european standard time": "Europe/Warsaw",
    "gmt standard time": "Europe/London", "greenwich standard time": "Africa/Abidjan",
    "e. europe standard time": "Europe/Chisinau", "fle standard time": "Europe/Kyiv",
    "gtb standard time": "Europe/Athens", "russian standard time": "Europe/Moscow",
    "turkey standard time": "Europe/Istanbul", "israel standard time": "Asia/Jerusalem",
    "eastern standard time": "America/New_York", "central standard time": "America/Chicago",
    "mountain standard time": "America/Denver", "pacific standard time": "America/Los_Angeles",
    "atlantic standard time": "America/Halifax", "newfoundland standard time": "America/St_Johns",
    "e. south america standard time": "America/Sao_Paulo", "argentina standard time": "America/Argentina/Buenos_Aires",
    "india standard time": "Asia/Kolkata", "china standard time": "Asia/Shanghai",
    "tokyo standard time": "Asia/Tokyo", "singapore standard time": "Asia/Singapore",
    "aus eastern standard time": "Australia/Sydney", "new zealand standard time": "Pacific/Auckland",
    "edt": "America/New_York", "cst": "America/Chicago", "cdt": "America/Chicago", "mdt": "America/Denver",
    "pst": "America/Los_Angeles", "pdt": "America/Los_Angeles", "bst": "Europe/London", "cest": "Europe/Berlin",
    "ist": "Asia/Kolkata", "jst": "Asia/Tokyo", "aest": "Australia/Sydney", "z": "UTC",
}  # fmt: skip
"""Names that are none of Olson's, with the one that is likely meant."""


USUAL_ZONES: Final = "zones have names such as Europe/Paris or America/New_York"
"""What to write where nothing is near."""


def zone_hint(name: str) -> str:
    """What to write instead of an unknown zone name."""
    from difflib import get_close_matches

    word = name.strip()[:80]
    usual = WINDOWS_NAMES.get(word.lower())
    if usual is not None:
        return f"did you mean {shown(usual)}?"
    names = {each.lower(): each for each in zone_names() if not each.startswith(("posix/", "right/"))}
    parts = word.lower().replace(" ", "_").strip("/").split("/")
    for first in range(len(parts)):  # /registry/2005_1/Europe/Paris
        whole = "/".join(parts[first:])
        if whole in names:
            return f"did you mean {shown(names[whole])}?"
    cities = {each.rpartition("/")[2]: each for each in sorted(names, reverse=True)}
    near = get_close_matches("/".join(parts), list(names), 1, 0.75)
    if near:
        return f"did you mean {shown(names[near[0]])}?"
    near = get_close_matches(parts[-1], list(cities), 1, 0.75)
    if near:
        return f"did you mean {shown(names[cities[near[0]]])}?"
    return USUAL_ZONES
