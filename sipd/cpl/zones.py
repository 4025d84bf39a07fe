"""Time zones of time-switches: local time from an instant and back, with what daylight saving does to it (§4.4).

Instants and local times are whole seconds of the calendar, see `recurrence`.
"""

from __future__ import annotations

import calendar
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sipd.cpl.findings import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY: Final = 86400
_FIRST: Final = 10 * DAY
_LAST: Final = 3652000 * DAY
"""What is before or after these is taken as at them: where `datetime` ends, so do its zones."""


def instant_of(moment: datetime) -> int:
    """Seconds of the calendar, in UTC, of an aware datetime; fractions are cut."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.toordinal() * DAY + utc.hour * 3600 + utc.minute * 60 + utc.second


def datetime_of(seconds: int, zone: tzinfo | None = None) -> datetime:
    """The datetime of seconds of the calendar."""
    day, second = divmod(min(max(seconds, _FIRST), _LAST), DAY)
    hour, second = divmod(second, 3600)
    return datetime.fromordinal(day).replace(hour=hour, minute=second // 60, second=second % 60, tzinfo=zone)


class Zone:
    """A time zone under the name it is shown by."""

    __slots__ = ("_gaps", "_tz", "fixed", "name")

    def __init__(self, name: str, tz: tzinfo) -> None:
        self.name = name
        self.fixed = tz is UTC
        """Clocks are never changed in it, as in UTC."""
        self._tz = tz
        self._gaps: dict[int, tuple[tuple[int, int], ...]] = {}

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def datetime(self, instant: int) -> datetime:
        """The local time, aware."""
        return datetime_of(instant, UTC).astimezone(self._tz)

    def local(self, instant: int) -> int:
        """What clocks show."""
        if self.fixed:
            return instant
        at = datetime_of(instant, self._tz)
        return instant + _seconds(self._tz.fromutc(at).utcoffset())

    def instant(self, local: int) -> int:
        """When clocks show it: the first time of two, and in a gap as if it came later (RFC 5545 §3.3.5)."""
        return local if self.fixed else local - _seconds(self._tz.utcoffset(datetime_of(local)))

    def exists(self, local: int) -> bool:
        """Whether clocks show it at all."""
        return self.fixed or self.local(self.instant(local)) == local

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
        low, high = first, instant  # clocks were set back in between
        before = local - first
        while high - low > 1:
            middle = (low + high) // 2
            if self.local(middle) - middle == before:
                low = middle
            else:
                high = middle
        return low + before

    def before_gap(self, local: int) -> int:
        """The last time that exists before one that does not."""
        low, high = local - 2 * DAY, local
        offset = _seconds(self._tz.utcoffset(datetime_of(local)))  # that of before the gap
        low, high = low - offset, local - offset
        while high - low > 1:
            middle = (low + high) // 2
            if self.local(middle) - middle == offset:
                low = middle
            else:
                high = middle
        return low + offset

    def gaps(self, year: int) -> tuple[tuple[int, int], ...]:
        """Local times of a year that do not exist: the first, and the first that exists again, of each gap."""
        if self.fixed:
            return ()
        known = self._gaps.get(year)
        if known is None:
            if len(self._gaps) > 1000:
                self._gaps.clear()
            known = self._gaps[year] = tuple(self._find_gaps(year))
        return known

    def _find_gaps(self, year: int) -> list[tuple[int, int]]:
        day = datetime(year, 1, 1).toordinal()
        end = day + 365 + calendar.isleap(year)
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
        low, high = (day - 1) * DAY - before, day * DAY - before
        while high - low > 1:
            middle = (low + high) // 2
            if self.local(middle) - middle == before:
                low = middle
            else:
                high = middle
        return high + before, self.local(high)


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
    forget()


def forget() -> None:
    """Read zones anew from now on: their files may have changed."""
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
    return "zones have names such as Europe/Paris or America/New_York"
