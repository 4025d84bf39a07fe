"""The attributes of a `time` output to a Timetable: values read and checked (RFC 3880 §4.4, RFC 5545 §3.3.10).

Times are whole numbers of seconds of the calendar, counted as if every day
had 86,400: `date.toordinal() * 86400 + second of the day`. They are local or
UTC by where they are used; `zones.Zone` leads from one to the other.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sipd.cpl.findings import meant, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Complain = Callable[[str, str, str, str], None]
    """Told of what is wrong: the attribute, the code, a text and a hint."""

Frequency = Literal["secondly", "minutely", "hourly", "daily", "weekly", "monthly", "yearly"]

DAY: Final = 86400
UNIT: Final[dict[Frequency, int]] = {
    "secondly": 1, "minutely": 60, "hourly": 3600, "daily": DAY, "weekly": 7 * DAY, "monthly": 28 * DAY,
    "yearly": 365 * DAY,
}  # fmt: skip
"""Every frequency with the seconds of its unit: the shortest month, the shortest year."""

WEEKDAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")
_DAY_NAMES: Final = {"monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6}

FOREVER: Final = 3652060 * DAY
"""After every time of the calendar."""

NEVER: Final = -1
"""Instead of a time, when there is none."""

MOST: Final = 10**9
"""Larger numbers of steps, occurrences, days mean the same as this: more than the calendar has."""

_BLANKS: Final = " \t\r\n"
_DATE_TIME: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?", re.I | re.A)
_OTHER_DATE_TIME: Final = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[T \t]?([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?(?:\.[0-9]+)?)?(Z?)",
    re.I | re.A,
)
_DURATION: Final = re.compile(
    r"\+?P(?:([0-9]+)W|(?:([0-9]+)D)?"
    r"(?:T(?:([0-9]+)H(?:([0-9]+)M(?:([0-9]+)S)?)?|([0-9]+)M(?:([0-9]+)S)?|([0-9]+)S))?)",
    re.I | re.A,
)
_LOOSE_DURATION: Final = re.compile(r"\+?P?(?:([0-9]+)D)?T?(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?", re.I | re.A)
_NUMBER: Final = re.compile(r"[0-9]+", re.A)
_SIGNED: Final = re.compile(r"([+-]?)([0-9]{1,3})", re.A)
_WEEKDAY: Final = re.compile(r"([+-]?)([0-9]{1,2})?([A-Z]{2})", re.I | re.A)


class Stamp(NamedTuple):
    """A moment as a script writes it."""

    seconds: int  # of the calendar
    utc: bool  # written with Z; else it is local


class Rule(NamedTuple):
    """A recurrence (RFC 5545 §3.3.10). Lists are sorted; an empty one was not given."""

    freq: Frequency
    interval: int = 1
    occurrences: int = 0  # count; 0: not given
    until: Stamp | None = None  # the last second in which a period may begin
    second: tuple[int, ...] = ()
    minute: tuple[int, ...] = ()
    hour: tuple[int, ...] = ()
    day: tuple[tuple[int, int], ...] = ()  # number, weekday (Monday is 0); number 0: every one
    monthday: tuple[int, ...] = ()
    yearday: tuple[int, ...] = ()
    weekno: tuple[int, ...] = ()
    month: tuple[int, ...] = ()
    week_start: int = 0
    setpos: tuple[int, ...] = ()


class Timetable(NamedTuple):
    """A list of periods: the first one, and how it recurs."""

    start: Stamp
    end: Stamp | None  # of the first period; None: its length is given
    days: int  # its length: so many days of the calendar, then so many seconds
    seconds: int
    rule: Rule | None  # None: there is one period only


RANGES: Final = {
    "bysecond": (0, 59), "byminute": (0, 59), "byhour": (0, 23), "bymonthday": (-31, 31), "byyearday": (-366, 366),
    "byweekno": (-53, 53), "bymonth": (1, 12), "bysetpos": (-366, 366),
}  # fmt: skip
"""Lists of numbers with what they may hold; where that is negative, 0 is not in it (§4.4)."""

OF_A_RULE: Final = ("interval", "until", "count", *RANGES, "byday", "wkst")
"""Attributes that mean nothing without freq (§4.4)."""

NOT_WITH: Final[tuple[tuple[str, tuple[Frequency, ...], str], ...]] = (
    ("byweekno", ("secondly", "minutely", "hourly", "daily", "weekly", "monthly"), "weeks are numbered in a year"),
    ("byyearday", ("daily", "weekly", "monthly"), "days are numbered so in a year"),
    ("bymonthday", ("weekly",), "a week has no such days"),
)
"""Rule parts that RFC 5545 §3.3.10 keeps from some frequencies."""


def read_timetable(values: Mapping[str, str], complain: Complain) -> Timetable | None:
    """What the attributes of a `time` say; None when `complain` was told that they can't be read."""
    trouble: list[str] = []

    def told(attribute: str, code: str, text: str, hint: str) -> None:
        trouble.append(code)
        complain(attribute, code, text, hint)

    start = read_stamp(values, "dtstart", told)
    end, length = _read_length(values, told)
    if start is not None and end is not None and start.utc == end.utc and end.seconds <= start.seconds:
        same = end.seconds == start.seconds
        text = f"dtend={shown(values['dtend'])} is {'the same as' if same else 'before'} dtstart"
        told("dtend", "CPL-VALUE", text, "dtend is when the first period ends; a night ends on the next day")
    rule = read_rule(values, told) if "freq" in values else None
    if trouble or start is None:
        return None
    return Timetable(start, end, *(length or (0, 0)), rule)


def read_rule(values: Mapping[str, str], complain: Complain) -> Rule | None:
    """The recurrence, freq being given; None when it has no known freq."""
    freq = _read_freq(values["freq"], complain)
    numbers = {name: _read_numbers(values, name, complain) for name in RANGES}
    days = _read_days(values, complain)
    until = _read_until(values, complain)
    count = _read_positive(values, "count", complain)
    interval = _read_positive(values, "interval", complain)
    week_start = _read_week_start(values, complain)
    if "until" in values and "count" in values:
        complain("count", "CPL-CHOICE", "<time> has until and count together", "a recurrence ends by one of them")
    if freq is None:
        return None
    _check_together(values, freq, days, complain)
    lists = {name.removeprefix("by"): numbers[name] for name in RANGES}
    return Rule(freq, interval or 1, count or 0, until, day=days, week_start=week_start, **lists)


def _read_freq(text: str, complain: Complain) -> Frequency | None:
    word = text.strip(_BLANKS).lower()
    for known in UNIT:
        if word == known:
            return known
    if word in ("weekdays", "workdays"):
        hint = 'write freq="weekly" byday="MO,TU,WE,TH,FR"'
    else:
        hint = meant(word, UNIT) or meant(word + "ly", UNIT) or "daily, weekly, monthly and yearly are the usual ones"
    complain("freq", "CPL-VALUE", f"freq={shown(text)}: it is {', '.join(UNIT)}", hint)
    return None


def _check_together(
    values: Mapping[str, str], freq: Frequency, days: tuple[tuple[int, int], ...], complain: Complain
) -> None:
    for name, frequencies, why in NOT_WITH:
        if name in values and freq in frequencies:
            hint = "bymonthday goes with monthly" if name == "bymonthday" else f'{name} goes with freq="yearly"'
            complain(name, "CPL-RULE", f"{name} does not go with freq={shown(freq)}: {why}", hint)
    if any(number for number, _ in days):
        if freq not in ("monthly", "yearly"):
            text = f"byday counts days of a month or year: it has no numbers with freq={shown(freq)}"
            complain("byday", "CPL-RULE", text, "write MO for every Monday")
        elif freq == "yearly" and "byweekno" in values:
            complain("byday", "CPL-RULE", "byday has no numbers where byweekno is given", "write MO for every Monday")
    others = [name for name in (*RANGES, "byday") if name in values and name != "bysetpos"]
    if "bysetpos" in values and not others:
        text = "bysetpos chooses among what another by… attribute gives: there is none"
        complain("bysetpos", "CPL-RULE", text, 'for example byday="MO,TU,WE,TH,FR" bysetpos="-1"')


def read_stamp(values: Mapping[str, str], name: str, complain: Complain) -> Stamp | None:
    """The date with time of an attribute; None when it is absent or, being told to `complain`, is none."""
    text = values.get(name)
    if text is None:
        return None
    found = _DATE_TIME.fullmatch(text.strip(_BLANKS))
    if found is None or found[4] is None:
        complain(name, "CPL-VALUE", f"{name}={shown(text)} is not a date with a time", _date_hint(text))
        return None
    seconds = _seconds_of(found, name, text, complain)
    return None if seconds is None else Stamp(seconds, bool(found[7]))


def _seconds_of(found: re.Match[str], name: str, text: str, complain: Complain) -> int | None:
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        ordinal = date(year, month, day).toordinal()
    except ValueError:
        complain(name, "CPL-VALUE", f"{name}={shown(text)}: there is no such day", "write year, month, day: 20261224")
        return None
    if hour > 23 or minute > 59 or second > 60:
        hint = "midnight is 000000 of the next day" if hour == 24 else "write hour, minute, second: T173000"
        complain(name, "CPL-VALUE", f"{name}={shown(text)}: there is no such time of day", hint)
        return None
    return ordinal * DAY + hour * 3600 + minute * 60 + min(second, 59)  # a leap second is its minute's last


def _date_hint(text: str) -> str:
    found = _OTHER_DATE_TIME.fullmatch(text.strip(_BLANKS))
    if found is not None:
        time = "".join(part or "00" for part in found.groups()[3:6])
        return f"did you mean {shown(''.join(found.groups()[:3]) + 'T' + time + found[7].upper())}?"
    if re.search(r"[+-][0-9]{2}:?[0-9]{2}$", text.strip(_BLANKS)):
        return "a time has no offset: write it in UTC with a Z at the end, or locally and name the zone with tzid"
    return "for example 20261224T173000, local time, or 20261224T163000Z, UTC"


def _read_length(values: Mapping[str, str], complain: Complain) -> tuple[Stamp | None, tuple[int, int] | None]:
    if ("dtend" in values) == ("duration" in values):
        both = "dtend" in values
        text = "<time> has dtend and duration together" if both else "<time> has neither dtend nor duration"
        hint = "a period has one of them" if both else 'add duration="PT8H", or dtend'
        complain("duration" if both else "", "CPL-CHOICE", text, hint)
    return read_stamp(values, "dtend", complain), _read_duration(values, complain)


def _read_duration(values: Mapping[str, str], complain: Complain) -> tuple[int, int] | None:
    text = values.get("duration")
    if text is None:
        return None
    word = text.strip(_BLANKS)
    found = _DURATION.fullmatch(word)
    if found is None or not any(found.groups()):
        if word.startswith("-") and _DURATION.fullmatch(word[1:]):
            hint = "a period has a positive length"
        else:
            hint = _duration_hint(word)
        complain("duration", "CPL-VALUE", f"duration={shown(text)} is not a duration", hint)
        return None
    weeks, days, hours, minutes, seconds, minutes_alone, seconds_after, seconds_alone = map(_bounded, found.groups())
    length = (
        7 * weeks + days,
        3600 * hours + 60 * (minutes or minutes_alone) + (seconds or seconds_after or seconds_alone),
    )
    if length == (0, 0):
        complain("duration", "CPL-VALUE", f"duration={shown(text)}: a period has a positive length", "PT1H is an hour")
        return None
    return length


def _duration_hint(word: str) -> str:
    found = _LOOSE_DURATION.fullmatch(word)
    if found is None or not any(found.groups()):
        return "for example PT8H, PT30M, P1DT12H or P2W"
    days, hours, minutes, seconds = found.groups()
    if hours and seconds and not minutes:
        minutes = "0"
    time = "".join(f"{part}{unit}" for part, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if part)
    return f"did you mean {shown('P' + (f'{days}D' if days else '') + (f'T{time}' if time else ''))}?"


def _bounded(digits: str | None) -> int:
    return min(int(digits.lstrip("0")[:12] or 0), MOST) if digits else 0


def _read_positive(values: Mapping[str, str], name: str, complain: Complain) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    word = text.strip(_BLANKS).removeprefix("+")
    if _NUMBER.fullmatch(word) and word.strip("0"):
        return _bounded(word)
    complain(name, "CPL-VALUE", f"{name}={shown(text)}: it is a whole number, 1 or more", f'for example {name}="2"')
    return None


def _read_until(values: Mapping[str, str], complain: Complain) -> Stamp | None:
    text = values.get("until")
    if text is None:
        return None
    found = _DATE_TIME.fullmatch(text.strip(_BLANKS))
    if found is None:
        hint = _date_hint(text)
        if not re.search(r"[T: ]", text.strip(_BLANKS)):
            hint = hint.replace("T000000", "")
        complain("until", "CPL-VALUE", f"until={shown(text)} is neither a date nor a time in UTC", hint)
        return None
    seconds = _seconds_of(found, "until", text, complain)
    if seconds is None:
        return None
    if found[4] is None:
        return Stamp(seconds + DAY - 1, False)  # a date: its whole day belongs to it
    if not found[7]:
        hint = f"write until={shown(text.strip(_BLANKS)[:8])}, the whole day, or a time in UTC that ends with Z"
        complain("until", "CPL-VALUE", f"until={shown(text)}: a time here is in UTC", hint)
        return None
    return Stamp(seconds, True)


def _read_numbers(values: Mapping[str, str], name: str, complain: Complain) -> tuple[int, ...]:
    text = values.get(name)
    if text is None:
        return ()
    low, high = RANGES[name]
    numbers: set[int] = set()
    for item in text.split(","):
        found = _SIGNED.fullmatch(item.strip(_BLANKS))
        number = int(found[1] + found[2]) if found else 0
        if found is None or (found[1] and low >= 0) or not low <= number <= high or (low < 0 and number == 0):
            allowed = f"{low} to {high}" if low >= 0 else f"1 to {high} or -1 to {low}"
            hint = "leap seconds are not counted" if (name, number) == ("bysecond", 60) else _list_hint(name, item)
            complain(name, "CPL-VALUE", f"{name}={shown(text)}: {shown(item, 20)} is not {allowed}", hint)
            return ()
        numbers.add(number)
    return tuple(sorted(numbers))


def _list_hint(name: str, item: str) -> str:
    return (
        "numbers stand with commas between: 1,15" if item.strip(_BLANKS) and not _SIGNED.fullmatch(item.strip()) else ""
    )


def _weekday(word: str) -> int | None:
    lower = word.lower()
    return WEEKDAYS.index(lower) if lower in WEEKDAYS else None


def _day_hint(word: str) -> str:
    letters = re.sub(r"[^a-z]", "", word.lower())
    for name in _DAY_NAMES:
        if letters and (name.startswith(letters) or meant(letters, (name,))):
            return f"did you mean {shown(word[: len(word) - len(letters)].strip() + name[:2].upper(), 10)}?"
    return "days are MO, TU, WE, TH, FR, SA and SU, with commas between"


def _read_days(values: Mapping[str, str], complain: Complain) -> tuple[tuple[int, int], ...]:
    text = values.get("byday")
    if text is None:
        return ()
    days: set[tuple[int, int]] = set()
    for item in text.split(","):
        word = item.strip(_BLANKS)
        found = _WEEKDAY.fullmatch(word)
        weekday = _weekday(found[3]) if found else None
        if found is None or weekday is None or (found[1] and not found[2]):
            complain(
                "byday", "CPL-VALUE", f"byday={shown(text)}: {shown(item, 20)} is no day of the week", _day_hint(word)
            )
            return ()
        number = int(found[1] + found[2]) if found[2] else 0
        if found[2] and not 1 <= abs(number) <= 53:
            hint = "1MO is the first Monday, -1MO the last, MO every one"
            complain("byday", "CPL-VALUE", f"byday={shown(text)}: days are counted from 1 to 53 or -1 to -53", hint)
            return ()
        days.add((number, weekday))
    return tuple(sorted(days))


def _read_week_start(values: Mapping[str, str], complain: Complain) -> int:
    text = values.get("wkst")
    if text is None:
        return 0
    weekday = _weekday(text.strip(_BLANKS))
    if weekday is None:
        complain("wkst", "CPL-VALUE", f"wkst={shown(text)} is no day of the week", _day_hint(text.strip(_BLANKS)))
        return 0
    return weekday
