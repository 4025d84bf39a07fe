"""Whether an instant is in a recurrence, by the definition: every candidate is looked at, field by field.

Slow, and sharing no code with the engine: it is what the engine is compared
with. `python -m tests.cpl.oracle 100000 [seed]` compares so many random cases.
"""

from __future__ import annotations

import calendar
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sipd.cpl.counting import Costly
from sipd.cpl.occurs import NotPositive, Overlapping, Periods, moment_in
from sipd.cpl.recurrence import read_timetable
from sipd.cpl.zones import instant_of, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ZONES = (
    "Europe/Paris", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Sao_Paulo",
    "America/Santiago", "Pacific/Auckland", "Africa/Casablanca", "America/St_Johns", "Asia/Tehran", "Pacific/Apia",
    "Europe/London", "Asia/Kolkata", "Africa/Cairo", "UTC",
)  # fmt: skip
FREQUENCIES = ("secondly", "minutely", "hourly", "daily", "weekly", "monthly", "yearly")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECONDS = [timedelta(seconds=second) for second in range(60)]


@dataclass
class Case:
    """A recurrence in plain values."""

    zone: str
    start: datetime  # without zone: as written
    utc: bool  # written with Z
    days: int = 0
    seconds: int = 0
    end: tuple[datetime, bool] | None = None  # dtend, and whether it is written with Z
    freq: str = ""
    interval: int = 1
    count: int = 0
    until: tuple[datetime, bool] | None = None  # and whether it is a date
    lists: dict[str, list[int]] = field(default_factory=dict)
    byday: list[tuple[int, int]] = field(default_factory=list)
    wkst: int = 0

    def attributes(self) -> dict[str, str]:
        """As a script has it."""
        words = {"dtstart": f"{self.start:%Y%m%dT%H%M%S}" + ("Z" if self.utc else "")}
        if self.end is not None:
            words["dtend"] = f"{self.end[0]:%Y%m%dT%H%M%S}" + ("Z" if self.end[1] else "")
        else:
            day = f"{self.days}D" if self.days else ""
            words["duration"] = f"P{day}" + (f"T{self.seconds}S" if self.seconds else "")
        if self.freq:
            words["freq"] = self.freq
        if self.interval != 1:
            words["interval"] = str(self.interval)
        if self.count:
            words["count"] = str(self.count)
        if self.until is not None:
            words["until"] = f"{self.until[0]:%Y%m%d}" if self.until[1] else f"{self.until[0]:%Y%m%dT%H%M%SZ}"
        words |= {name: ",".join(map(str, numbers)) for name, numbers in self.lists.items()}
        if self.byday:
            words["byday"] = ",".join(f"{number or ''}{DAYS[day]}" for number, day in self.byday)
        if self.wkst:
            words["wkst"] = DAYS[self.wkst]
        return words


class Oracle:
    """One recurrence."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.tz = UTC if case.utc else ZoneInfo(case.zone)
        self.begins = self.instant(case.start)
        if case.end is not None:
            written, utc = case.end
            end = written.replace(tzinfo=UTC) if utc else written.replace(tzinfo=ZoneInfo(case.zone)).astimezone(UTC)
            self.length = end - self.begins
            case.days = 0  # its length is in seconds that pass
        else:
            self.length = timedelta(seconds=case.seconds)

    def instant(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.tz).astimezone(UTC)

    def exists(self, local: datetime) -> bool:
        return self.instant(local).astimezone(self.tz).replace(tzinfo=None) == local

    def clocks_change_on(self, day: date) -> bool:
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.tz)
        return midnight.utcoffset() != (midnight + DAY).utcoffset()

    def end(self, local: datetime) -> datetime:
        local = self.instant(local).astimezone(self.tz).replace(tzinfo=None)  # dtstart in a gap is that much later
        return self.instant(local + self.case.days * DAY) + self.length

    # One day, hour, minute, second: is it named?

    def day_named(self, day: date) -> bool:
        case, lists = self.case, self.case.lists
        rank = FREQUENCIES.index(case.freq)
        first = case.start.date()
        if "bymonth" in lists and day.month not in lists["bymonth"]:
            return False
        if "byweekno" in lists and not weeks_of(day, case.wkst) & set(lists["byweekno"]):
            return False
        length = 366 if calendar.isleap(day.year) else 365
        ordinal = day.timetuple().tm_yday
        if "byyearday" in lists and not {ordinal, ordinal - length - 1} & set(lists["byyearday"]):
            return False
        last = calendar.monthrange(day.year, day.month)[1]
        if "bymonthday" in lists and not {day.day, day.day - last - 1} & set(lists["bymonthday"]):
            return False
        if case.byday:
            in_month = case.freq == "monthly" or (case.freq == "yearly" and "bymonth" in lists)
            if not any(wanted == day.weekday() and (not n or n in places(day, in_month)) for n, wanted in case.byday):
                return False
        elif rank == 4 and day.weekday() != first.weekday():
            return False
        if rank == 5 and not case.byday and "bymonthday" not in lists and day.day != first.day:
            return False
        if rank == 6 and not case.byday and "bymonthday" not in lists and "byyearday" not in lists:
            if "byweekno" in lists:
                if day.weekday() != first.weekday():
                    return False
            elif day.day != first.day or ("bymonth" not in lists and day.month != first.month):
                return False
        if rank == 3:
            return (day - first).days % case.interval == 0
        if rank == 4:
            return ((monday(day, case.wkst) - monday(first, case.wkst)).days // 7) % case.interval == 0
        if rank == 5:
            return ((day.year - first.year) * 12 + day.month - first.month) % case.interval == 0
        return rank < 3 or (day.year - first.year) % case.interval == 0

    def starts_of_day(self, day: date) -> Iterator[datetime]:
        """Every local time that the rule names, bysetpos and what exists aside."""
        if not self.day_named(day):
            return
        case, lists, first = self.case, self.case.lists, self.case.start
        rank = FREQUENCIES.index(case.freq)
        midnight = datetime(day.year, day.month, day.day)
        hour_zero = first.replace(minute=0, second=0)
        for hour in range(24):
            if hour not in lists["byhour"] if "byhour" in lists else rank > 2 and hour != first.hour:
                continue
            at = midnight + hour * HOUR
            if rank == 2 and (at - hour_zero) // HOUR % case.interval:
                continue
            for minute in range(60):
                if minute not in lists["byminute"] if "byminute" in lists else rank > 1 and minute != first.minute:
                    continue
                at = midnight + hour * HOUR + minute * MINUTE
                if rank == 1 and (at - first.replace(second=0)) // MINUTE % case.interval:
                    continue
                this_minute = at
                for second in range(60):
                    if second not in lists["bysecond"] if "bysecond" in lists else rank > 0 and second != first.second:
                        continue
                    at = this_minute + SECONDS[second]
                    if rank == 0 and (at - first) // SECOND % case.interval:
                        continue
                    yield at

    def existing(self, low: date, high: date) -> list[datetime]:
        found = []
        day = low
        while day <= high:
            if self.clocks_change_on(day):
                found += [at for at in self.starts_of_day(day) if self.exists(at)]
            else:
                found += self.starts_of_day(day)
            day += DAY
        return found

    def set_of(self, at: datetime) -> tuple[object, ...]:
        """Which interval a start belongs to: bysetpos counts in it."""
        rank = FREQUENCIES.index(self.case.freq)
        if rank == 4:
            return (monday(at.date(), self.case.wkst),)
        parts = (at.year, at.month, at.day, at.hour, at.minute, at.second)
        return parts[: {6: 1, 5: 2, 3: 3, 2: 4, 1: 5, 0: 6}[rank]]

    def whole_sets(self, low: date, high: date) -> tuple[date, date]:
        """The days of all intervals that these days touch."""
        freq = self.case.freq
        if freq == "yearly":
            return date(low.year, 1, 1), date(high.year, 12, 31)
        if freq == "monthly":
            return low.replace(day=1), high.replace(day=calendar.monthrange(high.year, high.month)[1])
        if freq == "weekly":
            return monday(low, self.case.wkst), monday(high, self.case.wkst) + 6 * DAY
        return low, high

    def chosen(self, low: date, high: date) -> list[datetime]:
        """The starts on these days, dtstart aside, without looking at when the rule begins and ends."""
        wanted = self.case.lists.get("bysetpos")
        if wanted is None:
            return self.existing(low, high)
        sets: dict[tuple[object, ...], list[datetime]] = {}
        for at in self.existing(*self.whole_sets(low, high)):
            sets.setdefault(self.set_of(at), []).append(at)
        found = []
        for members in sets.values():
            for place, at in enumerate(members):
                if place + 1 in wanted or place - len(members) in wanted:
                    found.append(at)
        return [at for at in sorted(found) if low <= at.date() <= high]

    def starts(self, low: date, high: date) -> list[datetime]:
        """The starts of periods on these days, in local time."""
        case = self.case
        if not case.freq:
            return [case.start]
        first_day = case.start.date()
        after = (at for at in self.chosen(max(low, first_day), max(high, first_day)) if at > case.start)
        found = [at for at in after if self.instant(at) > self.begins]
        if case.until is not None:
            bound, is_date = case.until
            if is_date:
                found = [at for at in found if at.date() <= bound.date()]
            else:
                found = [at for at in found if self.instant(at) <= bound.replace(tzinfo=UTC)]
        if case.count:
            last = self.last_of_count(high)
            found = [at for at in found if last is None or at <= last]
        return [case.start, *found]

    def last_of_count(self, high: date) -> datetime | None:
        """The last start that count allows; None when it is later than these days."""
        case = self.case
        left = case.count - 1
        last = case.start
        day = case.start.date()
        step = {"yearly": 366, "monthly": 31}.get(case.freq, 7)
        seen: set[datetime] = set()
        while left and day <= high:
            for at in self.chosen(day, day + step * DAY):
                if left and at > case.start and at not in seen and self.instant(at) > self.begins:
                    seen.add(at)
                    last = at
                    left -= 1
            day += (step + 1) * DAY
        return None if left else last


def monday(day: date, wkst: int) -> date:
    """The first day of its week."""
    while day.weekday() != wkst:
        day -= DAY
    return day


def weeks_of(day: date, wkst: int) -> set[int]:
    """The number of its week, from both ends of the year that most of the week is in."""
    fourth = monday(day, wkst) + 3 * DAY
    number = (fourth.timetuple().tm_yday - 1) // 7 + 1
    last = fourth
    while (last + 7 * DAY).year == fourth.year:
        last += 7 * DAY
    total = (last.timetuple().tm_yday - 1) // 7 + 1
    return {number, number - total - 1}


def places(day: date, in_month: bool) -> set[int]:
    """Its number among the days of its name in the month or year, from both ends."""
    before = after = 0
    other = day
    while (other.year, other.month if in_month else 0) == (day.year, day.month if in_month else 0):
        before += 1
        other -= 7 * DAY
    other = day
    while (other.year, other.month if in_month else 0) == (day.year, day.month if in_month else 0):
        after += 1
        other += 7 * DAY
    return {before, -after}


# Random cases.

LENGTHS = (1, 30, 60, 300, 900, 1800, 3600, 5400, 4 * 3600, 8 * 3600, 10 * 3600, 86400)


def some(chance: random.Random, low: int, high: int, most: int) -> list[int]:
    return sorted({chance.randint(low, high) for _ in range(chance.randint(1, most))})


def signed(chance: random.Random, high: int, most: int) -> list[int]:
    return sorted({chance.choice((1, -1)) * chance.randint(1, high) for _ in range(chance.randint(1, most))})


def random_case(chance: random.Random) -> Case:
    year = chance.choice(
        (chance.randint(1970, 2099), chance.randint(2000, 2030), chance.choice((1972, 2000, 2024, 2096)))
    )
    start = datetime(year, 1, 1) + chance.randrange(365) * DAY
    if chance.random() < 0.1 and calendar.isleap(year):
        start = datetime(year, 2, 29)
    start += timedelta(
        hours=chance.choice((0, 1, 2, 2, 3, 9, 13, 22, 23)),
        minutes=chance.choice((0, 0, 0, 15, 30, 59)),
        seconds=chance.choice((0, 0, 0, 0, 59, 7)),
    )
    case = Case(chance.choice(ZONES), start, chance.random() < 0.1)
    case.freq = chance.choices(("", *FREQUENCIES), (2, 6, 8, 10, 14, 24, 22, 22))[0]
    rank = FREQUENCIES.index(case.freq) if case.freq else 7
    shortest = {0: 1, 1: 60, 2: 3600}.get(rank, 8 * 3600)
    case.seconds = chance.choice([length for length in LENGTHS if length <= shortest])
    if rank >= 4 and chance.random() < 0.25:
        case.days, case.seconds = chance.choice((1, 1, 2, 3, 6)), chance.choice((0, 0, 3600, 30))
    if chance.random() < 0.2:
        utc = chance.random() < 0.3
        end = start + case.days * DAY + timedelta(seconds=case.seconds)
        case.end = ((end + timedelta(hours=chance.randint(-11, 11))) if utc != case.utc else end, utc)
    if not case.freq:
        return case
    random_rule(chance, case, rank)
    return case


def random_rule(chance: random.Random, case: Case, rank: int) -> None:
    lists = case.lists
    case.interval = chance.choice((1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 12, 45, 90, 100))
    case.wkst = chance.choice((0, 0, 0, 6, 5, 2))
    limits = {"bysecond": 0.3, "byminute": 0.3, "byhour": 0.35, "bymonth": 0.25}
    if rank in (5, 6, 0, 1, 2, 3):
        limits["bymonthday"] = 0.25
    if rank in (0, 1, 2, 6):
        limits["byyearday"] = 0.15
    if rank == 6:
        limits["byweekno"] = 0.2
    for name, likely in limits.items():
        if chance.random() < likely * (0.4 if rank < 3 and name not in ("byhour", "bymonth") else 1):
            lists[name] = {
                "bysecond": lambda: some(chance, 0, 59, 2),
                "byminute": lambda: some(chance, 0, 59, 2),
                "byhour": lambda: some(chance, 0, 23, 4 if rank >= 3 else 12),
                "bymonth": lambda: some(chance, 1, 12, 6),
                "bymonthday": lambda: signed(chance, 31, 6),
                "byyearday": lambda: signed(chance, 366, 20),
                "byweekno": lambda: chance.choice(([1], [53], [-1], [52], [-53], signed(chance, 53, 6))),
            }[name]()
    if chance.random() < (0.6 if rank == 4 else 0.35):
        numbered = rank in (5, 6) and "byweekno" not in lists and chance.random() < 0.5
        most = 5 if rank == 5 or "bymonth" in lists else 53
        number = (
            (lambda: chance.choice((1, -1, 2, chance.randint(1, most), -chance.randint(1, most)))) if numbered else int
        )
        case.byday = sorted({(number(), chance.randrange(7)) for _ in range(chance.randint(1, 4))})
    members = len(lists.get("byhour", [0])) * len(lists.get("byminute", [0])) * len(lists.get("bysecond", [0]))
    if (lists or case.byday) and chance.random() < 0.2 and (rank < 6 or members <= 2):
        lists["bysetpos"] = chance.choice(([1], [-1], [2], [1, -1], [-2], signed(chance, 6, 3)))
    if rank >= 3 and "byminute" in lists and case.end is None and not case.days:
        case.seconds = min(case.seconds, chance.choice((30, 60, 300)))
    if "bysecond" in lists and case.end is None:
        case.days, case.seconds = 0, 1
    ending = chance.random()
    if ending < 0.15:
        case.count = chance.choice((1, 2, 3, 5, 10, chance.randint(2, 60)))
    elif ending < 0.4:
        when = case.start + timedelta(days=chance.choice((0, 1, 30, 400, 4000))) * chance.random()
        case.until = (when.replace(microsecond=0), chance.random() < 0.5)
        if case.until[1]:
            case.until = (case.until[0].replace(hour=0, minute=0, second=0), True)


def transitions(chance: random.Random, zone: str) -> datetime | None:
    """An instant at which clocks are changed."""
    tz = ZoneInfo(zone)
    at = datetime(chance.randint(1971, 2099), chance.randint(1, 12), 1, tzinfo=UTC)
    for _ in range(400):
        following = at + DAY
        if at.astimezone(tz).utcoffset() != following.astimezone(tz).utcoffset():
            while following - at > SECOND:
                middle = at + (following - at) / 2
                middle = middle.replace(microsecond=0)
                if middle in (at, following):
                    break
                if middle.astimezone(tz).utcoffset() == at.astimezone(tz).utcoffset():
                    at = middle
                else:
                    following = middle
            return following
        at = following
    return None


def random_instants(
    chance: random.Random, case: Case, oracle: Oracle, many: int
) -> tuple[list[datetime], list[datetime]]:
    """Instants near each other, many of them where something changes; and the starts that matter for them."""
    begins = oracle.begins
    kind = chance.random()
    center = None
    if case.count:
        center = begins + timedelta(days=chance.choice((1, 20, 400)) * chance.random())
    elif case.until is not None and kind < 0.5:
        center = case.until[0].replace(tzinfo=UTC)
    elif kind < 0.35 and case.zone != "UTC":
        center = transitions(chance, case.zone)
    elif kind < 0.45:
        center = begins
    elif kind < 0.7 and case.freq:
        unit = {"monthly": 30, "yearly": 365, "weekly": 7, "daily": 1}.get(case.freq, 0.05)
        center = min(begins + 4 * case.interval * unit * chance.random() * DAY, datetime(2100, 12, 1, tzinfo=UTC))
    if center is None or center < begins - DAY:
        last = datetime(2100, 12, 1, tzinfo=UTC)
        center = (
            begins + (last - begins) * chance.random()
            if chance.random() < 0.6
            else begins + 800 * DAY * chance.random()
        )
    center = center.replace(microsecond=0)
    rank = FREQUENCIES.index(case.freq) if case.freq else 7
    width = 0 if rank < 3 else chance.choice((1, 4))
    if rank >= 5 and chance.random() < 0.6:
        width = chance.choice((20, 200))
    behind = case.days * DAY + oracle.length + 2 * DAY
    low, high = (center - width * DAY - behind).date(), (center + width * DAY + 2 * DAY).date()
    starts = oracle.starts(low, high)
    edges = [oracle.instant(at) for at in starts] + [oracle.end(at) for at in starts]
    edges = [edge for edge in edges if abs(edge - center) <= width * DAY + timedelta(hours=20)]
    found = []
    for _ in range(many):
        if edges and chance.random() < 0.7:
            at = chance.choice(edges) + chance.choice((-1, 0, 0, 1)) * SECOND
        elif edges and chance.random() < 0.5:
            at = chance.choice(edges) + timedelta(seconds=chance.randint(-4000, 4000))
        else:
            at = center + timedelta(seconds=int((chance.random() * 2 - 1) * (width * 86400 + 3600)))
        found.append(max(at, datetime(1970, 1, 3, tzinfo=UTC)))
    return found, starts


def check(number: int, seed: int = 1, each: int = 10) -> Counter[str]:
    """Compare so many cases. Raises AssertionError at the first difference; gives back what was seen."""
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    while seen["cases"] < number:
        case = random_case(chance)
        oracle = Oracle(case)
        table = read_timetable(case.attributes(), lambda *words: None)
        if table is None:  # dtend before dtstart, both of one kind
            assert case.end is not None
            assert case.end[0] <= case.start, case.attributes()
            seen["refused"] += 1
            continue
        zone = zone_of(case.zone)
        assert zone is not None
        try:
            periods = Periods(table, zone)
        except (Costly, NotPositive, Overlapping) as error:
            seen[type(error).__name__] += 1
            continue
        instants, starts = random_instants(chance, case, oracle, each)
        spans = [(oracle.instant(at), oracle.end(at)) for at in starts]
        for instant in instants:
            expected = any(begin <= instant < end for begin, end in spans)
            got = periods.contains(moment_in(zone, instant_of(instant)))
            assert got == expected, (
                f"{case.attributes()} in {case.zone} at {instant:%Y%m%dT%H%M%SZ}: engine {got}, definition {expected}"
            )
            seen["cases"] += 1
            seen["inside"] += expected
            seen[case.freq or "once"] += 1
        for name in case.lists:
            seen[name] += each
        seen["count"] += each * bool(case.count)
    return seen


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begun = time.perf_counter()
    seen = check(number, seed)
    took = time.perf_counter() - begun
    print(f"{seen['cases']} cases, no difference, {took:.0f} s: {dict(seen)}")


if __name__ == "__main__":
    main()
