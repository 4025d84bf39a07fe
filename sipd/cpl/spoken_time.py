"""The periods of a time output in plain words: `Mon–Fri 9:00–17:00` (RFC 3880 §4.4)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)
_DURATION: Final = re.compile(
    r"\+?P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?", re.ASCII
)
_BYDAY: Final = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_MONTHS: Final = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY_WORDS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNITS: Final = {
    "SECONDLY": "second", "MINUTELY": "minute", "HOURLY": "hour", "DAILY": "day", "WEEKLY": "week",
    "MONTHLY": "month", "YEARLY": "year",
}  # fmt: skip
_OTHERS: Final = {
    "byweekno": "in week {}",
    "byyearday": "on day {} of the year",
    "byhour": "in hour {}",
    "byminute": "in minute {}",
    "bysecond": "in second {}",
    "bysetpos": "of these number {}",
}
_DAY: Final = timedelta(days=1)


def when(attributes: Mapping[str, str]) -> str:
    """A time output in words. What can't be read is shown as it is written; never fails."""
    start, utc = _moment(attributes.get("dtstart", ""))
    length = None if start is None else _length(start, attributes)
    if start is None or length is None:
        ends = attributes.get("dtend") or attributes.get("duration") or "?"
        return f"{attributes.get('dtstart', '?')} to {ends}"
    freq = attributes.get("freq", "").strip().upper()
    zone = " UTC" if utc else ""
    if not freq:
        return _once(start, length) + zone
    hours = _hours(start, length)
    first = " ".join(part for part in (_days(freq, start, attributes), hours + zone if hours else "") if part)
    return ", ".join([first, *_limits(attributes)])


def _moment(text: str) -> tuple[datetime | None, bool]:
    """A date or a date-time, and whether it is in UTC."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None, False
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        return datetime(year, month, day, hour, minute, second), found[7] == "Z"
    except ValueError:
        return None, False


def _length(start: datetime, attributes: Mapping[str, str]) -> timedelta | None:
    if "dtend" in attributes:
        end, _ = _moment(attributes["dtend"])
        return None if end is None else end - start
    found = _DURATION.fullmatch(attributes.get("duration", "").strip())
    if found is None:
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _clock(moment: datetime) -> str:
    return f"{moment.hour}:{moment.minute:02}" + (f":{moment.second:02}" if moment.second else "")


def _date(moment: datetime) -> str:
    return f"{moment.day} {_MONTHS[moment.month]} {moment.year}"


def _end(start: datetime, length: timedelta) -> datetime:
    try:
        return start + length
    except OverflowError:
        return datetime.max


def _once(start: datetime, length: timedelta) -> str:
    end = _end(start, length)
    if start.date() == end.date():
        return f"{_date(start)} {_clock(start)}–{_clock(end)}"
    return f"{_date(start)} {_clock(start)} – {_date(end)} {_clock(end)}"


def _hours(start: datetime, length: timedelta) -> str:
    """`9:00–17:00`; nothing for whole days."""
    if length == _DAY and start.hour == start.minute == start.second == 0:
        return ""
    end = _end(start, length)
    if length < _DAY:
        midnight = (end.hour, end.minute, end.second) == (0, 0, 0)
        return f"{_clock(start)}–{'24:00' if midnight else _clock(end)}"
    return f"from {_clock(start)} for {_span(length)}"


def _span(length: timedelta) -> str:
    rest = length.seconds
    parts = [(length.days, "day"), (rest // 3600, "hour"), (rest // 60 % 60, "minute"), (rest % 60, "second")]
    return " ".join(f"{count} {unit if count == 1 else unit + 's'}" for count, unit in parts if count)


def _days(freq: str, start: datetime, attributes: Mapping[str, str]) -> str:
    """`Mon–Fri`, `every 2 weeks on Mon`, `monthly on day 1`, `yearly on 24 Dec`."""
    interval = attributes.get("interval", "1").strip().lstrip("0")
    unit = _UNITS.get(freq, freq.lower())
    every = f"every {interval} {unit}s" if interval not in ("", "1") else f"every {unit}"
    days = _weekdays(attributes.get("byday", ""))
    dates = attributes.get("bymonthday", "").strip()
    months = _months(attributes.get("bymonth", ""))
    if freq == "WEEKLY" and not days:
        days = _DAY_WORDS[start.weekday()]
    if not (days or dates or "byyearday" in attributes or "byweekno" in attributes):
        if freq == "MONTHLY" or (freq == "YEARLY" and months):
            dates = str(start.day)
        elif freq == "YEARLY":
            return f"{every} on {start.day} {_MONTHS[start.month]}"
    words = []
    if not (days and freq in ("DAILY", "WEEKLY") and every in ("every day", "every week")):
        words.append(every)
    if days:
        words.append(f"on {days}" if words else days)
    if dates:
        words.append(f"on day {_listed(dates)}")
    if months:
        words.append(f"in {months}")
    words += [text.format(_listed(attributes[name])) for name, text in _OTHERS.items() if name in attributes]
    return " ".join(words)


def _limits(attributes: Mapping[str, str]) -> list[str]:
    limits = []
    if "until" in attributes:
        until, _ = _moment(attributes["until"])
        limits.append(f"until {_date(until) if until else attributes['until'].strip()}")
    if "count" in attributes:
        limits.append(f"{attributes['count'].strip()} times")
    return limits


def _listed(text: str) -> str:
    return ", ".join(part.strip() for part in text.split(","))


def _months(text: str) -> str:
    try:
        numbers = sorted({int(part) for part in text.split(",") if 1 <= int(part) <= 12})
    except ValueError:
        return _listed(text)
    return _ranges(numbers, _MONTHS)


def _weekdays(text: str) -> str:
    """`Mon–Fri, first Sun`."""
    plain: set[int] = set()
    counted = []
    for part in text.upper().replace(" ", "").split(","):
        found = _BYDAY.fullmatch(part)
        if found is None:
            return _listed(text)
        if found[1]:
            counted.append(f"{_ordinal(int(found[1]))} {_DAY_WORDS[_DAYS.index(found[2])]}")
        else:
            plain.add(_DAYS.index(found[2]))
    return ", ".join(part for part in (_ranges(sorted(plain), _DAY_WORDS), *counted) if part)


def _ordinal(number: int) -> str:
    words = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "last but one"}
    return words.get(number, f"{number}.")


def _ranges(numbers: list[int], words: tuple[str, ...]) -> str:
    """`Mon–Wed, Fri`: three and more in a row are drawn together."""
    found = []
    at = 0
    while at < len(numbers):
        end = at
        while end + 1 < len(numbers) and numbers[end + 1] == numbers[end] + 1:
            end += 1
        if end - at >= 2:
            found.append(f"{words[numbers[at]]}–{words[numbers[end]]}")
        else:
            found += [words[number] for number in numbers[at : end + 1]]
        at = end + 1
    return ", ".join(found)
