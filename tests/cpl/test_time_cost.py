"""What times cost: at most 10 ms to ask the worst rule, and little to compile the worst script (RFC 3880 §4.4.1)."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sipd.cpl import CplError, compile
from sipd.cpl.occurs import MAX_SETS, MAX_STEPS, Periods, moment_in
from sipd.cpl.recurrence import read_timetable
from sipd.cpl.zones import Zone, instant_of, zone_of
from tests.cpl.calls import facts, run
from tests.message.test_hostile import USUAL, yardstick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipd.trace import Trace

LIMIT = 0.010


def seconds(work: Callable[[], object], limit: float) -> float:
    """The best of some, in seconds of a machine at its usual speed."""
    best = measure = float("inf")
    for _ in range(5):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
        if best < limit:
            return best
        measure = min(measure, yardstick())
    return best / max(1.0, measure / USUAL)


def ask(waiting: list[Periods], zone: Zone, at: int) -> bool:
    """The next of those that wait, which was not asked before."""
    return waiting.pop().contains(moment_in(zone, at))


def numbers(some: Iterable[int]) -> str:
    return ",".join(map(str, some))


def days(some: Iterable[int]) -> str:
    return ",".join(f"{number}{day}" for number in some for day in ("MO", "TU", "WE", "TH", "FR", "SA", "SU"))


SECONDS, HOURS, MONTHS = numbers(range(60)), numbers(range(24)), numbers(range(1, 13))
CLOCK = {"bysecond": SECONDS, "byminute": SECONDS, "byhour": HOURS}
MONTH_DAYS = numbers([*range(1, 32), *range(-31, 0)])
YEAR_DAYS = numbers([*range(1, 367), *range(-366, 0)])
WEEKS = numbers([*range(1, 54), *range(-53, 0)])

WORST: dict[str, dict[str, str]] = {
    "every list, full": {
        "freq": "yearly", "duration": "PT1S", **CLOCK, "bymonth": MONTHS, "bymonthday": MONTH_DAYS,
        "byyearday": YEAR_DAYS, "byweekno": WEEKS, "byday": "MO,TU,WE,TH,FR,SA,SU",
    },
    "every place of every list": {
        "freq": "yearly", "duration": "PT1S", **CLOCK, "bymonth": MONTHS, "bymonthday": MONTH_DAYS,
        "byyearday": YEAR_DAYS, "byday": days([*range(1, 54), *range(-53, 0)]), "bysetpos": YEAR_DAYS,
    },
    "long periods that never recur": {
        "freq": "monthly", "duration": "P3660D", "byday": days(range(2, 54)), "bymonthday": "1", "bymonth": MONTHS,
    },
    "long periods of leap days": {"freq": "yearly", "duration": "P1400D", "bymonth": "2", "bymonthday": "29"},
    "weeks without such a place": {
        "freq": "weekly", "duration": f"P{7 * MAX_SETS - 10}D", "byday": "MO,TU,WE", "bysetpos": "4",
    },
    "days without such a place": {
        "freq": "daily", "duration": f"P{MAX_SETS - 2}D", "byhour": HOURS, "bysetpos": "25",
    },
    "places among all seconds of a day": {
        "freq": "daily", "duration": "P148D", **CLOCK, "bysetpos": "366", "bymonthday": "31",
    },
    "places among all seconds of an hour": {
        "freq": "hourly", "duration": "PT1S", "bysecond": SECONDS, "byminute": SECONDS, "bysetpos": YEAR_DAYS,
    },
    "hours that fit into no day": {
        "freq": "hourly", "interval": "7", "duration": f"PT{7 * MAX_STEPS - 8}H", "bymonth": "2", "bymonthday": "29",
        "byyearday": "1",
    },
    "seconds that fit into no minute": {
        "freq": "secondly", "interval": "7", "duration": f"PT{7 * MAX_STEPS - 8}S", "byhour": "4", "byminute": "3",
        "bysecond": "5",
    },
    "one second of every day": {
        "freq": "secondly", "duration": "PT8H", "byhour": "9", "byminute": "0", "bysecond": "0",
    },
    "minutes since 1970": {"freq": "minutely", "duration": "PT30S"},
    "seconds since 1970, every 61st": {"freq": "secondly", "interval": "61", "duration": "PT30S"},
    "seconds since 1970 by count": {"freq": "secondly", "duration": "PT1S", "interval": "30", "count": "100000000"},
}  # fmt: skip

MOMENTS = [
    datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC),
    datetime(2027, 3, 14, 7, 0, 0, tzinfo=UTC),  # clocks are put forward in New York
    datetime(2027, 11, 7, 6, 30, 0, tzinfo=UTC),  # and show this hour again
    datetime(2028, 2, 28, 4, 59, 59, tzinfo=UTC),
    *(datetime(2040, 1, 1, tzinfo=UTC) + timedelta(days=577 * n, seconds=7919 * n) for n in range(30)),
]


@pytest.mark.parametrize("name", WORST)
def test_no_rule_that_is_taken_takes_10_ms(name):
    zone = zone_of("America/New_York")
    table = read_timetable({"dtstart": "19700104T090000", **WORST[name]}, lambda *words: None)
    assert zone is not None
    assert table is not None
    for moment in MOMENTS:
        at = instant_of(moment)
        waiting = [Periods(table, zone) for _ in range(5)]  # each is asked for the first time: nothing is known yet
        took = seconds(partial(ask, waiting, zone, at), LIMIT)
        assert took < LIMIT, (name, moment)


def script(attributes: str) -> bytes:
    """As many times with these attributes as 64 KiB hold."""
    time_ = f"<time {attributes}/>"
    many = min(64_000 // len(time_), 1900)
    return f"<cpl><incoming><time-switch>{time_ * many}</time-switch></incoming></cpl>".encode()


NINE = "dtstart='20000703T090000'"
SCRIPTS = [
    f"{NINE} duration='PT8H'",
    f"{NINE} duration='PT8H' freq='weekly' byday='MO,TU,WE,TH,FR'",
    f"{NINE} duration='PT8H' freq='daily' count='90000'",
    f"{NINE} duration='PT8H' freq='daily' interval='3' count='4000'",
    f"{NINE} duration='PT1S' freq='secondly' interval='7' count='99999999'",
    f"{NINE} duration='PT1H' freq='yearly' bymonth='2' bymonthday='30' count='3'",
    f"{NINE} duration='PT8H' freq='yearly' byday='MO,TU,WE,TH,FR' byhour='1,2' bysetpos='366,-366' count='99'",
    f"{NINE} duration='P2D' freq='yearly' byday='MO,TH' byyearday='{numbers(range(1, 367, 5))}'",
    f"{NINE} duration='P3650D' freq='yearly' interval='100'",
    f"{NINE} duration='P140D' freq='daily' byhour='1,2' bysetpos='3'",
    "dtstart='00010103T090000' duration='PT8H' freq='monthly' byday='1MO' count='9000'",
    "dtstart='2000-07-03' duration='8H' freq='weekly' byday='MON'",
]  # fmt: skip


@pytest.mark.parametrize("attributes", SCRIPTS)
def test_no_script_of_times_takes_long_to_compile(attributes):
    source = script(attributes)

    def work() -> None:
        with suppress(CplError):
            compile(source, zone="Europe/Paris")

    assert seconds(work, 0.2) < 0.2


def test_many_unknown_zones_take_no_longer_than_sound_ones():
    switches = "".join(f"<time-switch tzid='Europa/Pariss{number}'/>" for number in range(1500))
    source = f"<cpl><incoming>{switches}</incoming></cpl>".encode()

    def work() -> None:
        with suppress(CplError):
            compile(source)

    assert seconds(work, 0.07) < 0.07


def test_the_times_of_a_script_take_20_ms_of_a_call_together():
    source = script(f"{NINE} duration='P140D' freq='daily' byhour='1,2' bysetpos='3'")
    with pytest.raises(CplError) as raised:
        compile(source)
    assert {finding.code for finding in raised.value.findings} == {"CPL-COSTLY"}


STAMPS = [
    "00010101T000000", "00010101T000000Z", "99991231T235959", "99991231T235959Z", "99981231T235960", "19000229T000000",
    "20240229T120000", "20270328T023000", "19700101T000000Z", "20260105", "", "20111230T120000", "20261025T023000",
]  # fmt: skip
ANY = {
    "duration": ["P99999W", "P3660D", "PT1S", "P1D", "P1DT1H1M1S", f"PT{'9' * 30}S", "PT30M", "P1W", "PT24H"],
    "freq": ["secondly", "minutely", "hourly", "daily", "weekly", "monthly", "yearly"],
    "interval": ["1", "2", "7", "60", "61", "1440", "3607", "86400", "9" * 30],
    "count": ["1", "2", "100", "9" * 30],
    "until": STAMPS,
    "bysecond": ["0", "0,30", SECONDS],
    "byminute": ["0", "59", SECONDS],
    "byhour": ["2", "9,17", HOURS],
    "byday": ["MO", "1MO", "-1SU", "5FR", "53SA", "-53TU", "MO,TU,WE", "6MO"],
    "bymonthday": ["1", "31", "-31", "-1", "29,30"],
    "byyearday": ["1", "366", "-366", "-1,1", "60"],
    "byweekno": ["1", "53", "-1", "-53"],
    "bymonth": ["1", "2", "12", "2,3"],
    "bysetpos": ["1", "-1", "366", "-366", "2,-2"],
    "wkst": ["MO", "SU", "WE"],
}
ALWAYS = {"duration", "freq"}


def test_no_values_of_a_time_make_trouble_at_the_ends_of_the_calendar_or_in_between():
    chance, taken = random.Random(2445), 0
    ends = (datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    calls = [facts(now=moment) for moment in (*MOMENTS[:4], *ends)]
    for _ in range(3000):
        values = {"dtstart": chance.choice(STAMPS)}
        for name, some in ANY.items():
            if name in ALWAYS or chance.random() < 0.15:
                values[name] = chance.choice(some)
        zone = chance.choice(
            ["Pacific/Apia", "Europe/Paris", "Australia/Lord_Howe", "Pacific/Kiritimati", "Etc/GMT+12"]
        )
        words = " ".join(f"{name}='{value}'" for name, value in values.items())
        source = f"<cpl><incoming><time-switch tzid='{zone}'><time {words}/></time-switch></incoming></cpl>"
        with suppress(CplError):
            program = compile(source.encode())
            taken += 1
            for call in calls:
                trace: Trace = []
                run(program, call, trace=trace)
                assert trace[0].saw.startswith("time is “")
    assert taken > 300
