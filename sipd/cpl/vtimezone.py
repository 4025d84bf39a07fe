"""A zone from VTIMEZONE data, as a tzurl gives it (RFC 5545 §3.6.5, RFC 3880 §4.4).

The data come from a stranger: they are bounded, and whatever is wrong with
them is told. Changes of clocks are worked out once, to the end of LAST_ONSET.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.daytimes import Days, Times
from sipd.cpl.findings import shown
from sipd.cpl.recurrence import DAY, NEVER, read_rule, read_stamp
from sipd.cpl.zones import Zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_DATA: Final = 65536
"""Bytes of data that are read."""

MAX_ONSETS: Final = 2000
"""Changes of clocks that one zone may have."""

LEAST_APART: Final = 8 * DAY
"""Seconds between two changes of clocks: local times are looked up a week at a time, see `Zone`."""

LAST_ONSET: Final = datetime(2200, 1, 1).toordinal()
"""After this day clocks stay as they are."""

_LINE: Final = re.compile(r"([A-Za-z0-9-]+)((?:;[^:\"]*(?:\"[^\"]*\"[^:\"]*)*)?):(.*)")
_OFFSET: Final = re.compile(r"([+-])([0-9]{2})([0-9]{2})([0-9]{2})?")
_ZERO: Final = timedelta(0)


class Onset(NamedTuple):
    """A change of clocks."""

    instant: int  # seconds of the calendar, UTC
    before: int  # seconds east of UTC until then
    after: int


class Observance(tzinfo):
    """Local time by a list of onsets; `fold` as PEP 495 has it."""

    def __init__(self, name: str, onsets: list[Onset]) -> None:
        self._name = name
        self._onsets = onsets
        self._instants = [onset.instant for onset in onsets]
        # In a gap the offset of before it holds, and of a time that comes twice the first (fold 0).
        self._first = [onset.instant + max(onset.before, onset.after) for onset in onsets]
        self._second = [onset.instant + min(onset.before, onset.after) for onset in onsets]

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Seconds east of UTC at a local time."""
        if dt is None:
            return None
        return timedelta(seconds=self._after(bisect_right(self._second if dt.fold else self._first, _seconds(dt))))

    def dst(self, dt: datetime | None) -> timedelta | None:
        """Not told apart."""
        del dt
        return _ZERO

    def tzname(self, dt: datetime | None) -> str | None:
        """The name of the zone."""
        del dt
        return self._name

    def fromutc(self, dt: datetime) -> datetime:
        """The local time of an instant; its fold says whether it is the second of two."""
        instant = _seconds(dt)
        passed = bisect_right(self._instants, instant)
        offset = self._after(passed)
        local = dt + timedelta(seconds=offset)
        again = passed > 0 and instant + offset < self._first[passed - 1] and offset < self._onsets[passed - 1].before
        return local.replace(fold=1) if again else local

    def _after(self, passed: int) -> int:
        if passed:
            return self._onsets[passed - 1].after
        return self._onsets[0].before


def _seconds(dt: datetime) -> int:
    return dt.toordinal() * DAY + dt.hour * 3600 + dt.minute * 60 + dt.second


def zone_from(data: bytes, tzid: str = "") -> Zone:
    """The zone that the data describe, the one with that TZID where there are several.

    Raises ValueError with words for the script's owner.
    """
    if len(data) > MAX_DATA:
        raise ValueError(f"it is larger than {MAX_DATA} bytes")
    zones = list(_zones(data))
    if not zones:
        raise ValueError("there is no VTIMEZONE in it")
    for name, parts in zones:
        if len(zones) == 1 or name == tzid:
            return Zone(tzid or name, Observance(tzid or name, _onsets(parts)))
    names = ", ".join(shown(name, 40) for name, _ in zones[:5])
    raise ValueError(f"it has {names}: tzid must name one")


Parts = list[list[tuple[str, str]]]
"""The properties of each STANDARD and DAYLIGHT."""


def _zones(data: bytes) -> Iterator[tuple[str, Parts]]:
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = re.sub("\n[ \t]", "", text).split("\n")  # folded lines are one (§3.1)
    name = ""
    parts: Parts | None = None
    part: list[tuple[str, str]] | None = None
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        key, value = found[1].upper(), found[3].strip()
        mark = (key, value.upper())
        if mark == ("BEGIN", "VTIMEZONE"):
            name, parts, part = "", [], None
        elif mark == ("END", "VTIMEZONE") and parts is not None:
            yield name, parts
            parts = None
        elif parts is None:
            continue
        elif key == "BEGIN":
            part = []
            if mark[1] in ("STANDARD", "DAYLIGHT"):
                parts.append(part)
        elif key == "END":
            part = None
        elif part is not None:
            part.append((key, value))
        elif key == "TZID":
            name = value


def _onsets(parts: Parts) -> list[Onset]:
    if not parts:
        raise ValueError("its VTIMEZONE has neither STANDARD nor DAYLIGHT")
    onsets: dict[int, Onset] = {}
    for part in parts:
        values = dict(part)
        before, after = _offset(values, "TZOFFSETFROM"), _offset(values, "TZOFFSETTO")
        for local in _locals(part, values, before):
            onsets[local - before] = Onset(local - before, before, after)
            if len(onsets) > MAX_ONSETS:
                raise ValueError(f"clocks change more than {MAX_ONSETS} times in it")
    changes = sorted(onset.instant for onset in onsets.values() if onset.before != onset.after)
    if any(later - earlier < LEAST_APART for earlier, later in pairwise(changes)):
        raise ValueError(f"clocks change twice within {LEAST_APART // DAY} days in it")
    return [onsets[instant] for instant in sorted(onsets)]


def _offset(values: Mapping[str, str], name: str) -> int:
    found = _OFFSET.fullmatch(values.get(name, ""))
    seconds = 3600 * int(found[2]) + 60 * int(found[3]) + int(found[4] or 0) if found else DAY
    if found is None or seconds >= DAY:
        raise ValueError(f"it has no {name} such as +0100")
    return -seconds if found[1] == "-" else seconds


def _locals(part: list[tuple[str, str]], values: Mapping[str, str], before: int) -> Iterator[int]:
    """The local times of the onsets of one STANDARD or DAYLIGHT, by the offset of before them."""
    start = _stamp(values.get("DTSTART", ""), "DTSTART", before)
    yield start
    for key, value in part:
        if key == "RDATE":
            for each in value.split(","):
                yield _stamp(each.partition("/")[0], "RDATE", before)
        elif key == "RRULE":
            yield from _recurring(value, start, before)


def _stamp(text: str, name: str, before: int) -> int:
    stamp = read_stamp({name: text}, name, _refuse)
    if stamp is None:
        raise ValueError(f"its {name} is no date and time")
    return stamp.seconds + before if stamp.utc else stamp.seconds


def _refuse(attribute: str, code: str, text: str, hint: str) -> None:
    raise ValueError(f"its {attribute} can't be read: {text}")


def _recurring(text: str, start: int, before: int) -> Iterator[int]:
    words = dict(word.partition("=")[::2] for word in text.lower().split(";"))
    local_until = re.fullmatch(r"[0-9]{8}t[0-9]{6}", words.get("until", ""))  # of old makers: taken as UTC
    if local_until:
        words["until"] += "z"
    rule = read_rule({"freq": "", **words}, _refuse)
    if rule is None or rule.freq != "yearly" or rule.setpos:
        raise ValueError("its RRULE is not yearly")
    day, time = divmod(start, DAY)
    hour, minute, second = time // 3600, time // 60 % 60, time % 60
    days = Days(rule, day)
    times = Times(rule.hour or (hour,), rule.minute or (minute,), rule.second or (second,))
    left = rule.occurrences - 1 if rule.occurrences else MAX_ONSETS
    while left > 0:
        day = days.next(day + 1, LAST_ONSET)
        if day == NEVER:
            return
        local = day * DAY + times.first
        if rule.until is not None and local - (before if rule.until.utc else 0) > rule.until.seconds:
            return
        yield local
        left -= 1
