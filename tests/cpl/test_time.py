"""Periods of a time, case by case: rule parts, ends, lengths, clocks put forward and back (RFC 3880 §4.4, RFC 5545)."""

from __future__ import annotations

from datetime import datetime

import pytest

from sipd.cpl.counting import Budget, Costly
from sipd.cpl.occurs import NotPositive, Overlapping, Periods, moment_in
from sipd.cpl.recurrence import read_timetable
from sipd.cpl.zones import UTC_ZONE, instant_of, zone_of


def periods(text: str, zone: str = "UTC", budget: Budget | None = None) -> Periods:
    """`20260101T090000 PT8H freq=daily ...`: dtstart, duration or dtend, and the rule."""
    start, length, *rest = text.split()
    values = {"dtstart": start, "duration" if length.startswith("P") else "dtend": length}
    values |= dict(word.split("=") for word in rest)
    complaints: list[str] = []
    table = read_timetable(values, lambda attribute, code, words, hint: complaints.append(words))
    there = zone_of(zone)
    assert table is not None, complaints
    assert there is not None
    return Periods(table, there, budget)


def within(some: Periods, zone: str, moment: str) -> bool:
    at = datetime.fromisoformat(moment)
    there = zone_of(zone)
    assert there is not None
    return some.contains(moment_in(there, instant_of(at)))


NINE = "20260105T090000 PT1H"  # a Monday

CASES = [
    # freq and interval: dtstart's unit is the first; units between are left out
    (f"{NINE} freq=SECONDLY interval=86400", "UTC", "2026-01-06T09:59:59Z 2099-01-06T09:00:00Z",
     "2026-01-06T10:00:00Z"),
    (f"{NINE} freq=Minutely interval=720", "UTC", "2026-01-05T21:30:00Z", "2026-01-05T20:59:00Z"),
    (f"{NINE} freq=hourly interval=5", "UTC", "2026-01-05T14:30:00Z 2026-01-06T05:10:00Z", "2026-01-06T06:00:00Z"),
    (f"{NINE} freq=daily interval=3", "UTC", "2026-01-08T09:00:00Z 2038-01-20T09:30:00Z", "2026-01-09T09:00:00Z"),
    (f"{NINE} freq=weekly interval=2", "UTC", "2026-01-19T09:00:00Z", "2026-01-12T09:00:00Z"),
    (f"{NINE} freq=monthly interval=5", "UTC", "2026-06-05T09:00:00Z 2027-04-05T09:00:00Z", "2026-05-05T09:00:00Z"),
    (f"{NINE} freq=yearly interval=4", "UTC", "2030-01-05T09:00:00Z", "2028-01-05T09:00:00Z"),
    # wkst with interval: a Sunday is at the end or the beginning of a week (RFC 5545's own example)
    ("19970805T090000 PT1H freq=weekly interval=2 byday=TU,SU wkst=MO", "UTC",
     "1997-08-10T09:00:00Z 1997-08-19T09:00:00Z 1997-08-24T09:00:00Z", "1997-08-17T09:00:00Z"),
    ("19970805T090000 PT1H freq=weekly interval=2 byday=TU,SU wkst=SU", "UTC",
     "1997-08-17T09:00:00Z 1997-08-19T09:00:00Z 1997-08-31T09:00:00Z", "1997-08-10T09:00:00Z 1997-08-24T09:00:00Z"),
    # until: inclusive; a date means its whole day in the zone
    (f"{NINE} freq=daily until=20260107T090000Z", "UTC", "2026-01-07T09:59:59Z", "2026-01-08T09:00:00Z"),
    (f"{NINE} freq=daily until=20260107T085959Z", "UTC", "2026-01-06T09:00:00Z", "2026-01-07T09:00:00Z"),
    (f"{NINE} freq=daily until=20260107", "UTC", "2026-01-07T09:00:00Z", "2026-01-08T09:00:00Z"),
    ("20260105T200000 PT1H freq=daily until=20260107", "America/Los_Angeles",
     "2026-01-08T04:00:00Z", "2026-01-09T04:00:00Z"),
    ("20260105T200000 PT1H freq=daily until=20260108T040000Z", "America/Los_Angeles",
     "2026-01-08T04:30:00Z", "2026-01-09T04:30:00Z"),
    (f"{NINE} freq=daily until=20250101", "UTC", "2026-01-05T09:00:00Z", "2026-01-06T09:00:00Z"),
    # count: dtstart is the first, whether the rule names it or not
    (f"{NINE} freq=daily count=3", "UTC", "2026-01-07T09:00:00Z", "2026-01-08T09:00:00Z"),
    (f"{NINE} freq=daily count=1", "UTC", "2026-01-05T09:00:00Z", "2026-01-06T09:00:00Z"),
    (f"{NINE} freq=weekly byday=SA count=2", "UTC", "2026-01-05T09:00:00Z 2026-01-10T09:00:00Z",
     "2026-01-17T09:00:00Z"),
    (f"{NINE} freq=daily count=20000", "UTC", "2080-10-07T09:00:00Z", "2080-10-08T09:00:00Z"),
    (f"{NINE} freq=monthly byday=MO byhour=9,12 bysetpos=-1 count=3", "UTC", "2026-02-23T12:00:00Z",
     "2026-02-23T09:00:00Z 2026-03-30T12:00:00Z"),
    (f"{NINE} freq=yearly bymonth=2 bymonthday=30 count=3", "UTC", "2026-01-05T09:00:00Z", "2026-03-02T09:00:00Z"),
    ("20270327T023000 PT15M freq=daily count=3", "Europe/Paris",  # 28 March has no 2:30, and it is not counted
     "2027-03-29T00:30:00Z 2027-03-30T00:30:00Z", "2027-03-28T01:30:00Z 2027-03-31T00:30:00Z"),
    # lists
    (f"{NINE} freq=daily byhour=9,23", "UTC", "2026-01-07T23:59:59Z", "2026-01-07T22:59:59Z"),
    ("20260105T090000 PT1M freq=hourly byminute=0,30", "UTC", "2026-01-05T17:30:59Z", "2026-01-05T17:31:00Z"),
    ("20260105T090000 PT1S freq=minutely bysecond=0,59", "UTC", "2026-01-05T17:30:59Z", "2026-01-05T17:30:58Z"),
    (f"{NINE} freq=monthly byday=1MO,-1SU", "UTC", "2026-02-02T09:00:00Z 2026-02-22T09:00:00Z",
     "2026-02-09T09:00:00Z 2026-02-15T09:00:00Z"),
    (f"{NINE} freq=yearly byday=20MO", "UTC", "2026-05-18T09:00:00Z", "2026-05-25T09:00:00Z"),
    (f"{NINE} freq=yearly byday=-1SU bymonth=3,10", "UTC", "2026-03-29T09:00:00Z 2026-10-25T09:00:00Z",
     "2026-12-27T09:00:00Z"),
    (f"{NINE} freq=monthly bymonthday=31", "UTC", "2026-03-31T09:00:00Z", "2026-03-01T09:00:00Z 2026-05-01T09:00:00Z"),
    (f"{NINE} freq=monthly bymonthday=-10", "UTC", "2026-02-19T09:00:00Z", "2026-02-18T09:00:00Z"),
    (f"{NINE} freq=monthly bymonthday=13 byday=FR", "UTC", "2026-11-13T09:00:00Z", "2026-10-13T09:00:00Z"),
    (f"{NINE} freq=yearly byyearday=-1,-306,100", "UTC",
     "2026-12-31T09:00:00Z 2026-03-01T09:00:00Z 2028-03-01T09:00:00Z 2028-04-09T09:00:00Z", "2028-04-10T09:00:00Z"),
    (f"{NINE} freq=yearly byyearday=366", "UTC", "2028-12-31T09:00:00Z", "2027-12-31T09:00:00Z"),
    (f"{NINE} freq=daily bymonth=1", "UTC", "2027-01-31T09:00:00Z", "2026-02-01T09:00:00Z"),
    (f"{NINE} freq=yearly bymonth=1,2", "UTC", "2027-02-05T09:00:00Z", "2027-02-06T09:00:00Z 2027-03-05T09:00:00Z"),
    # weeks at the ends of years (ISO 8601): 29 December 2025 is in week 1 of 2026, 1 January 2027 in week 53
    ("20240101T090000 PT1H freq=yearly byweekno=1 byday=MO,TU,WE,TH,FR,SA,SU", "UTC",
     "2025-12-29T09:00:00Z 2026-01-04T09:00:00Z", "2025-12-28T09:00:00Z 2026-01-05T09:00:00Z"),
    ("20240101T090000 PT1H freq=yearly byweekno=53 byday=FR", "UTC", "2027-01-01T09:00:00Z",
     "2026-01-02T09:00:00Z 2025-12-26T09:00:00Z"),
    ("20240101T090000 PT1H freq=yearly byweekno=-1 byday=SU", "UTC", "2025-12-28T09:00:00Z 2027-01-03T09:00:00Z",
     "2026-12-27T09:00:00Z"),
    ("20240101T090000 PT1H freq=yearly byweekno=1 byday=SU wkst=SU", "UTC", "2026-01-04T09:00:00Z",
     "2025-12-28T09:00:00Z"),
    ("20240103T090000 PT1H freq=yearly byweekno=20", "UTC", "2026-05-13T09:00:00Z",  # the weekday is dtstart's
     "2026-05-12T09:00:00Z 2026-05-14T09:00:00Z"),
    # bysetpos
    (f"{NINE} freq=monthly byday=MO,TU,WE,TH,FR bysetpos=-1,1", "UTC", "2026-05-29T09:00:00Z 2026-08-03T09:00:00Z",
     "2026-05-31T09:00:00Z 2026-08-01T09:00:00Z"),
    (f"{NINE} freq=weekly byday=MO,WE,FR byhour=9,15 bysetpos=2,-1", "UTC",
     "2026-01-05T15:00:00Z 2026-01-09T15:00:00Z", "2026-01-07T09:00:00Z 2026-01-09T09:00:00Z"),
    ("20260105T090000 PT1M freq=hourly byminute=5,10,50 bysetpos=-1", "UTC", "2026-01-05T10:50:30Z",
     "2026-01-05T10:05:30Z"),
    (f"{NINE} freq=yearly byday=MO bysetpos=53", "UTC", "2040-12-31T09:00:00Z",
     "2026-12-28T09:00:00Z"),
    # smaller parts come from dtstart; 29 February is in leap years only
    ("20240229T101112 PT1S freq=yearly", "UTC", "2028-02-29T10:11:12Z 2096-02-29T10:11:12Z",
     "2025-02-28T10:11:12Z 2025-03-01T10:11:12Z 2100-02-28T10:11:12Z 2100-03-01T10:11:12Z"),
    ("20260131T090000 PT1H freq=monthly", "UTC", "2026-03-31T09:00:00Z", "2026-02-28T09:00:00Z 2026-04-30T09:00:00Z"),
    # without freq the other parts mean nothing
    (f"{NINE} byday=XX until=never count=2", "UTC", "2026-01-05T09:00:00Z", "2026-01-12T09:00:00Z"),
    # the ends of a period: the first second is in it, the last is not
    (NINE, "UTC", "2026-01-05T09:00:00Z 2026-01-05T09:59:59Z", "2026-01-05T08:59:59Z 2026-01-05T10:00:00Z"),
    ("20260105T090000 20260105T170000 freq=daily", "UTC", "2026-02-01T16:59:59Z", "2026-02-01T17:00:00Z"),
    # dtend in another form than dtstart: 9:00 in Paris is 8:00 in UTC
    ("20260105T090000 20260105T090000Z freq=daily", "Europe/Paris", "2026-07-01T07:59:59Z", "2026-07-01T08:00:00Z"),
    ("20260105T090000Z 20260105T120000 freq=daily", "Europe/Paris", "2026-07-01T10:59:59Z",
     "2026-07-01T08:59:59Z 2026-07-01T11:00:00Z"),
    # longer than a day
    ("20260102T180000 P2DT14H freq=weekly", "Europe/Paris", "2026-01-05T06:59:59Z 2026-07-06T05:59:59Z",
     "2026-01-05T07:00:00Z 2026-07-06T06:00:00Z 2026-07-03T15:59:59Z"),
    ("20260101T000000 P1W freq=monthly", "UTC", "2026-02-07T23:59:59Z", "2026-02-08T00:00:00Z"),
    ("20200101T000000 P3000D", "UTC", "2028-03-18T23:59:59Z", "2028-03-19T00:00:00Z"),
    # clocks put forward: days are counted on the calendar, hours as they pass; 2:30 does not come
    ("20270327T120000 P1D", "Europe/Paris", "2027-03-28T09:59:59Z", "2027-03-28T10:00:00Z"),
    ("20270327T120000 PT24H", "Europe/Paris", "2027-03-28T10:59:59Z", "2027-03-28T11:00:00Z"),
    ("20270327T120000 20270328T120000", "Europe/Paris", "2027-03-28T09:59:59Z", "2027-03-28T10:00:00Z"),
    ("20270101T023000 PT15M freq=daily", "Europe/Paris", "2027-03-27T01:30:00Z 2027-03-29T00:30:00Z",
     "2027-03-28T00:30:00Z 2027-03-28T01:00:00Z 2027-03-28T01:30:00Z"),
    ("20270328T023000 PT15M", "Europe/Paris", "2027-03-28T01:30:00Z 2027-03-28T01:44:59Z", "2027-03-28T01:29:59Z"),
    ("20270101T021500 PT10M freq=daily", "Australia/Lord_Howe", "2027-10-04T15:15:00Z",  # half an hour is left out
     "2027-10-02T15:45:00Z 2027-10-02T15:30:00Z"),
    ("20270101T023500 PT10M freq=daily", "Australia/Lord_Howe", "2027-10-02T15:35:00Z", "2027-10-02T16:05:00Z"),
    ("20111229T120000 PT1H freq=daily", "Pacific/Apia", "2011-12-29T22:30:00Z 2011-12-30T22:30:00Z",
     "2011-12-30T21:59:59Z"),
    ("20111230T120000 P1D", "Pacific/Apia", "2011-12-30T22:00:00Z 2011-12-31T21:59:59Z", "2011-12-30T21:59:59Z"),
    ("99991231T235959 P1D freq=daily count=2", "Europe/Paris", "9999-12-31T22:59:59Z", "9999-12-31T22:59:58Z"),
    # clocks put back: what comes twice is the first of both
    ("20261001T023000 PT15M freq=daily", "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
    ("20261025T023000 PT2H", "Europe/Paris", "2026-10-25T00:30:00Z 2026-10-25T02:29:59Z", "2026-10-25T02:30:00Z"),
    ("20261001T013000 PT1H freq=daily", "America/New_York", "2026-11-01T05:30:00Z 2026-11-01T06:29:59Z",
     "2026-11-01T06:30:00Z"),
    ("20270101T014500 PT15M freq=daily", "Australia/Lord_Howe", "2027-04-03T14:45:00Z", "2027-04-03T15:15:00Z"),
    ("20260101T090000 PT8H freq=daily", "Australia/Sydney", "2026-07-01T06:59:59Z 2026-12-01T05:59:59Z",
     "2026-07-01T07:00:00Z 2026-12-01T06:00:00Z"),
    # after 2038, and before dtstart
    (f"{NINE} freq=weekly byday=MO", "Europe/Paris", "2039-07-04T07:00:00Z 2399-07-05T07:30:00Z",
     "2039-07-04T08:00:00Z 2026-01-05T07:59:59Z 2025-01-06T08:30:00Z"),
    ("19700101T000000 PT30S freq=minutely interval=7", "UTC", "1970-01-01T00:07:29Z",
     "1970-01-01T00:07:30Z"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "zone", "inside", "outside"), CASES, ids=[f"{zone} {text}" for text, zone, _, _ in CASES]
)
def test_when_a_time_holds(text, zone, inside, outside):
    some = periods(text, zone)
    assert [moment for moment in inside.split() if not within(some, zone, moment)] == []
    assert [moment for moment in outside.split() if within(some, zone, moment)] == []


@pytest.mark.parametrize(
    "text",
    [
        "20260105T090000 PT25H freq=daily",
        "20260105T090000 P3D freq=weekly byday=MO,WE",
        "20260105T090000 PT61M freq=hourly",
        "20260105T090000 PT2H freq=daily byhour=9,10",
        "20260105T090000 PT31S freq=minutely bysecond=0,30",
        "20260105T090000 P29D freq=monthly",  # February has 28 days
        "20260105T090000 P4D freq=monthly byday=FR,MO bysetpos=-1,-2",
        "20260105T090000 PT8M freq=minutely interval=7",
        "20260105T090000 P366D freq=yearly",
        "20260105T090000 PT1H freq=secondly interval=366 bymonthday=-1",
        "20260105T090000 PT30S freq=secondly interval=7 byhour=3 byminute=5",
    ],
)
def test_periods_of_a_rule_must_not_overlap(text):
    with pytest.raises(Overlapping):
        periods(text)


@pytest.mark.parametrize(
    ("text", "touch"),
    [
        ("20260105T090000 P1D freq=daily", True),
        ("20260105T090000 P2D freq=weekly byday=MO,WE", True),
        ("20260105T090000 PT60M freq=hourly", True),
        ("20260101T090000 P31D freq=monthly interval=2", False),
        ("20260105T090000 P7D freq=daily count=1", False),
        ("20260105T090000 P7D freq=daily until=20260101", False),
        ("20260105T090000 P365D freq=yearly", True),
        ("20240229T000000 P1460D freq=yearly until=20900101", False),
        ("20260105T090000 PT7M freq=minutely interval=7", True),
    ],
)
def test_periods_that_only_touch_are_taken(text, touch):
    some = periods(text)
    assert some.contains(moment_in(UTC_ZONE, some.ends - 1))
    assert some.contains(moment_in(UTC_ZONE, some.ends)) == touch


@pytest.mark.parametrize("text", ["20260105T090000 20260105T080000Z", "20260105T090000Z 20260105T100000"])
def test_a_dtend_in_another_form_must_be_later(text):
    with pytest.raises(NotPositive):
        periods(text, "Europe/Paris")


@pytest.mark.parametrize(
    "text",
    [
        "20260105T090000 P4000D freq=yearly interval=20",
        "20260105T090000 PT8H freq=secondly interval=7 byhour=9 byminute=0 bysecond=0",
        "20260105T090000 P200D freq=daily byhour=9,10 bysetpos=3",
        "20260105T090000 PT1S freq=secondly interval=7 count=9999999",
    ],
)
def test_absurd_rules_are_refused(text):
    with pytest.raises(Costly):
        periods(text)


def test_what_a_count_costs_to_work_out_is_bounded_for_a_script():
    budget = Budget(700)
    text = "20260105T090000 PT1H freq=monthly count=300"
    periods(text, "UTC", budget)
    periods(text, "UTC", budget)
    with pytest.raises(Costly):
        periods(text, "UTC", budget)


def test_a_count_that_ends_after_the_horizon_is_no_limit():
    some = periods("20260105T090000 PT1H freq=monthly count=5000")
    assert within(some, "UTC", "2199-12-05T09:00:00Z")


def test_seconds_of_a_repeated_hour_are_counted_once():
    some = periods("20260101T000000 PT1S freq=secondly interval=2", "Europe/Paris")
    assert within(some, "Europe/Paris", "2026-10-25T00:59:58Z")  # 2:59:58, the first time
    assert not within(some, "Europe/Paris", "2026-10-25T01:10:00Z")  # 2:10:00 again: it has begun before
    assert within(some, "Europe/Paris", "2026-10-25T02:00:00Z")  # 3:00:00
