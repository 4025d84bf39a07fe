"""time-switch in scripts: zones, the examples of RFC 3880 §4.4 and §12, what is refused, warned about and traced."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sipd.cpl import CplError, compile
from sipd.script import Lookup, ProxyTo, Reject
from tests.cpl.calls import facts, run
from tests.cpl.test_schema import fits

if TYPE_CHECKING:
    from sipd.cpl import Finding
    from sipd.trace import Trace

FIGURES = Path(__file__).parent / "rfc3880"


def script(times: str, switch: str = "") -> bytes:
    """A script that rejects with 486 in the given times, and with 404 else."""
    return (
        f"<cpl><incoming><time-switch {switch}>{times}<otherwise><reject status='404'/></otherwise>"
        "</time-switch></incoming></cpl>"
    ).encode()


def time(attributes: str) -> str:
    return f"<time {attributes}><reject status='busy'/></time>"


def inside(source: bytes, moment: str, zone: str = "", **options: object) -> bool:
    """Whether the call at that moment is in one of the times."""
    program = compile(source, zone=zone, **options)  # type: ignore[arg-type]  # of whatever types they are
    _, end = run(program, facts(now=datetime.fromisoformat(moment)))
    assert isinstance(end, Reject)
    return end.status == 486


def findings(source: bytes, **options: object) -> list[Finding]:
    try:
        return list(compile(source, **options).warnings)  # type: ignore[arg-type]  # of whatever types they are
    except CplError as error:
        return list(error.findings)


@pytest.mark.parametrize(
    ("moment", "rings"),
    [
        ("2026-11-27T14:00:00+00:00", True),  # Friday 9:00 in New York
        ("2026-11-27T13:59:59+00:00", False),
        ("2026-11-27T21:59:59+00:00", True),
        ("2026-11-27T22:00:00+00:00", False),
        ("2026-07-03T13:00:00+00:00", True),  # in summer an hour earlier
        ("2026-07-03T12:59:59+00:00", False),
        ("2026-11-28T15:00:00+00:00", False),  # Saturday
        ("2000-07-03T12:59:59+00:00", False),  # before dtstart
        ("2000-07-03T13:00:00+00:00", True),
        ("2099-07-03T13:00:00+00:00", True),
    ],
)
def test_figure_25_rings_the_phones_in_office_hours_of_new_york(moment, rings):
    program = compile((FIGURES / "fig25.cpl").read_bytes())
    effects, _ = run(program, facts(now=datetime.fromisoformat(moment)))
    assert isinstance(effects[0], Lookup if rings else ProxyTo)


@pytest.mark.parametrize(
    ("moment", "within"),
    [
        ("1997-01-05T13:30:00+00:00", True),  # dtstart
        ("1997-01-05T14:39:59+00:00", True),
        ("1997-01-05T14:40:00+00:00", False),
        ("1997-01-12T13:35:00+00:00", True),
        ("1997-02-02T13:35:00+00:00", False),
        ("1998-01-04T13:35:00+00:00", False),
        ("1999-01-03T14:35:00+00:00", True),
        ("2099-01-04T14:35:00+00:00", True),
        ("2098-01-05T14:35:00+00:00", False),
    ],
)
def test_the_example_of_every_other_january(moment, within):
    rule = "freq='yearly' interval='2' bymonth='1' byday='SU' byhour='8,9' byminute='30'"
    source = script(time(f"dtstart='19970105T083000' duration='PT10M' {rule}"), "tzid='America/New_York'")
    assert inside(source, moment) == within


@pytest.mark.parametrize(
    ("moment", "within"), [("2026-11-30", True), ("2026-11-27", False), ("2027-01-29", True), ("2027-01-31", False)]
)
def test_the_example_of_the_last_work_day_of_the_month(moment, within):
    rule = "freq='monthly' byday='MO,TU,WE,TH,FR' bysetpos='-1'"
    source = script(time(f"dtstart='20261030T090000' duration='PT8H' {rule}"), "tzid='Europe/Paris'")
    assert inside(source, f"{moment}T12:00:00+00:00") == within


def test_times_without_a_zone_are_those_of_the_server():
    source = script(time("dtstart='20260101T090000' duration='PT8H' freq='daily'"))
    assert inside(source, "2026-11-27T01:00:00+00:00", "Asia/Tokyo")
    assert not inside(source, "2026-11-27T01:00:00+00:00", "Europe/Paris")
    assert not inside(source, "2026-11-27T01:00:00+00:00")


def test_utc_times_recur_in_utc_whatever_the_zone():
    source = script(time("dtstart='20260101T230000Z' duration='PT1H' freq='weekly'"), "tzid='Asia/Tokyo'")
    assert inside(source, "2026-11-26T23:30:00+00:00")  # Thursday in UTC, Friday in Tokyo
    assert not inside(source, "2026-11-27T23:30:00+00:00")


def test_the_trace_tells_the_time_seen_and_the_time_wanted():
    source = script(
        time("dtstart='20000703T090000' duration='PT8H' freq='weekly' byday='MO,TU'"), "tzid='Europe/Paris'"
    )
    trace: Trace = []
    run(compile(source), facts(now=datetime.fromisoformat("2026-11-23T10:30:00+00:00")), trace=trace)
    assert trace[0].saw == "time is “Mon 2026-11-23 11:30:00 Europe/Paris”"
    assert trace[0].chose == "time[1] is “weekly 20000703T090000 PT8H byday=MO,TU”"


OK = "dtstart='20260105T090000' duration='PT1H'"
ERRORS = [
    # zones (§4.4)
    ("tzid='Europe/Pariss'", OK, "CPL-TZID", "tzid", "did you mean “Europe/Paris”?"),
    ("tzid='europe/paris'", OK, "CPL-TZID", "tzid", "did you mean “Europe/Paris”?"),
    ("tzid='Paris'", OK, "CPL-TZID", "tzid", "did you mean “Europe/Paris”?"),
    ("tzid='New York'", OK, "CPL-TZID", "tzid", "did you mean “America/New_York”?"),
    ("tzid='/registry.example/2001_1/America/New_York'", OK, "CPL-TZID", "tzid", "did you mean “America/New_York”?"),
    ("tzid='W. Europe Standard Time'", OK, "CPL-TZID", "tzid", "did you mean “Europe/Berlin”?"),
    ("tzid='PST'", OK, "CPL-TZID", "tzid", "did you mean “America/Los_Angeles”?"),
    ("tzid=''", OK, "CPL-TZID", "tzid", "such as Europe/Paris"),
    ("tzid='../../../etc/passwd'", OK, "CPL-TZID", "tzid", ""),
    ("tzid='/etc/localtime'", OK, "CPL-TZID", "tzid", ""),
    ("tzid='America'", OK, "CPL-TZID", "tzid", ""),
    ("tzid='zone.tab'", OK, "CPL-TZID", "tzid", ""),
    ("tzurl='http://x/'", OK, "CPL-TZURL", "tzurl", "setting script_hosts"),
    # dtstart, dtend, duration
    ("", "duration='PT1H'", "CPL-REQUIRED", "", "dtstart"),
    ("", "dtstart='20260105T090000'", "CPL-CHOICE", "", "duration="),
    ("", OK + " dtend='20260105T100000'", "CPL-CHOICE", "duration", "one of them"),
    ("", "dtstart='2026-01-05 9:00' duration='PT1H'", "CPL-VALUE", "dtstart", "for example 20261224T173000"),
    ("", "dtstart='2026-01-05T09:00' duration='PT1H'", "CPL-VALUE", "dtstart", "did you mean “20260105T090000”?"),
    ("", "dtstart='20260105' duration='PT1H'", "CPL-VALUE", "dtstart", "did you mean “20260105T000000”?"),
    ("", "dtstart='20260105T090000+0100' duration='PT1H'", "CPL-VALUE", "dtstart", "has no offset"),
    ("", "dtstart='20260230T090000' duration='PT1H'", "CPL-VALUE", "dtstart", "year, month, day"),
    ("", "dtstart='20260105T240000' duration='PT1H'", "CPL-VALUE", "dtstart", "000000 of the next day"),
    ("", "dtstart='00000105T090000' duration='PT1H'", "CPL-VALUE", "dtstart", ""),
    ("", "dtstart='20260105T090000' dtend='20260105T090000'", "CPL-VALUE", "dtend", "when the first period ends"),
    ("", "dtstart='20260105T220000' dtend='20260105T060000'", "CPL-VALUE", "dtend", "a night ends on the next day"),
    ("", "dtstart='20260105T090000' duration='10M'", "CPL-VALUE", "duration", "did you mean “PT10M”?"),
    ("", "dtstart='20260105T090000' duration='P8H'", "CPL-VALUE", "duration", "did you mean “PT8H”?"),
    ("", "dtstart='20260105T090000' duration='PT1H30S'", "CPL-VALUE", "duration", "did you mean “PT1H0M30S”?"),
    ("", "dtstart='20260105T090000' duration='-PT1H'", "CPL-VALUE", "duration", "positive"),
    ("", "dtstart='20260105T090000' duration='PT0S'", "CPL-VALUE", "duration", ""),
    ("", "dtstart='20260105T090000' duration='P1M'", "CPL-VALUE", "duration", "did you mean “PT1M”?"),
    ("", "dtstart='20260105T090000' duration='eight hours'", "CPL-VALUE", "duration", "for example PT8H"),
    ("", "dtstart='20260105T090000' duration='P'", "CPL-VALUE", "duration", ""),
    ("", "dtstart='20260105T090000' duration='P1DT'", "CPL-VALUE", "duration", ""),
    # the rule
    ("", OK + " freq='weekley'", "CPL-VALUE", "freq", "did you mean “weekly”?"),
    ("", OK + " freq='day'", "CPL-VALUE", "freq", "did you mean “daily”?"),
    ("", OK + " freq=''", "CPL-VALUE", "freq", ""),
    ("", OK + " freq='daily' interval='0'", "CPL-VALUE", "interval", ""),
    ("", OK + " freq='daily' interval='-1'", "CPL-VALUE", "interval", "for example"),
    ("", OK + " freq='daily' count='0'", "CPL-VALUE", "count", ""),
    ("", OK + " freq='daily' count='2' until='20270101'", "CPL-CHOICE", "count", "one of them"),
    ("", OK + " freq='daily' until='20270101T000000'", "CPL-VALUE", "until", "write until=“20270101”"),
    ("", OK + " freq='daily' until='2027-01-01'", "CPL-VALUE", "until", "did you mean “20270101”?"),
    ("", OK + " freq='daily' until='forever'", "CPL-VALUE", "until", ""),
    ("", OK + " freq='weekly' byday='MON'", "CPL-VALUE", "byday", "did you mean “MO”?"),
    ("", OK + " freq='weekly' byday='MO TU'", "CPL-VALUE", "byday", "commas between"),
    ("", OK + " freq='weekly' byday='MO-FR'", "CPL-VALUE", "byday", "MO, TU, WE"),
    ("", OK + " freq='weekly' byday='MO,,TU'", "CPL-VALUE", "byday", ""),
    ("", OK + " freq='weekly' byday=''", "CPL-VALUE", "byday", ""),
    ("", OK + " freq='monthly' byday='0MO'", "CPL-VALUE", "byday", "1MO is the first Monday"),
    ("", OK + " freq='monthly' byday='54MO'", "CPL-VALUE", "byday", ""),
    ("", OK + " freq='monthly' byday='+MO'", "CPL-VALUE", "byday", ""),
    ("", OK + " freq='weekly' byday='1MO'", "CPL-RULE", "byday", "MO for every Monday"),
    ("", OK + " freq='yearly' byweekno='1' byday='1MO'", "CPL-RULE", "byday", ""),
    ("", OK + " freq='monthly' byweekno='1'", "CPL-RULE", "byweekno", "yearly"),
    ("", OK + " freq='weekly' bymonthday='1'", "CPL-RULE", "bymonthday", "monthly"),
    ("", OK + " freq='daily' byyearday='1'", "CPL-RULE", "byyearday", "yearly"),
    ("", OK + " freq='monthly' bysetpos='1'", "CPL-RULE", "bysetpos", "byday="),
    ("", OK + " freq='daily' byhour='24'", "CPL-VALUE", "byhour", ""),
    ("", OK + " freq='daily' byhour='9-17'", "CPL-VALUE", "byhour", "commas between"),
    ("", OK + " freq='daily' byhour='+9'", "CPL-VALUE", "byhour", ""),
    ("", OK + " freq='minutely' bysecond='60'", "CPL-VALUE", "bysecond", "leap seconds"),
    ("", OK + " freq='daily' bymonth='0'", "CPL-VALUE", "bymonth", ""),
    ("", OK + " freq='daily' bymonth='Jan'", "CPL-VALUE", "bymonth", ""),
    ("", OK + " freq='monthly' bymonthday='0'", "CPL-VALUE", "bymonthday", ""),
    ("", OK + " freq='monthly' bymonthday='-32'", "CPL-VALUE", "bymonthday", ""),
    ("", OK + " freq='yearly' byyearday='367'", "CPL-VALUE", "byyearday", ""),
    ("", OK + " freq='yearly' byweekno='54'", "CPL-VALUE", "byweekno", ""),
    ("", OK + " freq='weekly' wkst='MONDAY'", "CPL-VALUE", "wkst", "did you mean “MO”?"),
    # as a whole
    ("", "dtstart='20260105T090000' duration='PT25H' freq='daily'", "CPL-OVERLAP", "duration", "shorter"),
    ("", "dtstart='20260105T090000' dtend='20260106T100000' freq='daily'", "CPL-OVERLAP", "dtend", "shorter"),
    ("", "dtstart='20260105T090000' duration='P9999D' freq='yearly' interval='90'", "CPL-COSTLY", "duration",
     "3660 days"),
    ("", OK + " freq='secondly' interval='3607' count='9999999'", "CPL-COSTLY", "count", "until"),
    ("tzid='Europe/Paris'", "dtstart='20260105T090000' dtend='20260105T080000Z'", "CPL-VALUE", "dtend", ""),
]  # fmt: skip
NOT_IN_A_SCHEMA = {"CPL-CHOICE", "CPL-RULE", "CPL-TZID", "CPL-TZURL", "CPL-OVERLAP", "CPL-COSTLY"}
ARITHMETIC = (
    "20260230",
    "240000",
    "00000105",
    "T220000",
    "dtend='20260105T090000'",
    "PT0S",
    "54",
    "367",
    "'60'",
    "'24'",
    "'0'",
    "0MO",
    "-32",
    "T080000Z",
)


@pytest.mark.parametrize(
    ("switch", "attributes", "code", "at", "hint"), ERRORS, ids=[f"{row[0]} {row[1]}" for row in ERRORS]
)
def test_what_is_wrong_is_told_with_its_place_and_how_to_mend_it(switch, attributes, code, at, hint):
    source = script(time(attributes), switch)
    found = findings(source)
    assert [(each.code, each.severity) for each in found] == [(code, "error")]
    (finding,) = found
    assert finding.rule == ("RFC 3880 §4.4.1" if code == "CPL-COSTLY" else "RFC 3880 §4.4")
    assert hint in finding.hint
    line = source.decode()
    assert line[finding.column - 1 :].startswith(f"{at}=" if at else "<time")
    if code not in NOT_IN_A_SCHEMA and not any(word in attributes for word in ARITHMETIC):
        assert not fits(source), "what the text of §4.4 forbids does not fit the schema either"


def test_all_that_is_wrong_with_a_time_is_told_at_once():
    wrong = "dtstart='x' duration='y' freq='z' interval='0' byday='MON' byhour='99' until='u' wkst='w'"
    found = findings(script(time(wrong)))
    assert len(found) == 8
    assert {each.code for each in found} == {"CPL-VALUE"}


WARNED = [
    (OK, []),
    (OK + " freq='daily'", []),
    (OK + " byday='XX' interval='2'", ["CPL-IGNORED"] * 2),
    (OK + " freq='weekly' byday='TU'", ["CPL-DTSTART"]),
    (OK + " freq='yearly' bymonth='2' bymonthday='30'", ["CPL-NEVER"]),
    (OK + " freq='yearly' byday='MO' bymonthday='1' bymonth='2' until='20260110'", ["CPL-NEVER"]),
    (OK + " freq='daily' until='20250101'", ["CPL-NEVER"]),
    (OK + " freq='daily' count='1'", ["CPL-NEVER"]),
    (OK + " freq='monthly' byday='6MO'", ["CPL-NEVER"]),
    (OK + " freq='secondly' byday='MO' bysetpos='2'", ["CPL-NEVER"]),
    ("dtstart='20270328T023000' duration='PT15M'", ["CPL-GAP"]),
    ("dtstart='20270328T033000' duration='PT15M'", []),
    ("dtstart='20260105T023000' duration='PT15M' freq='daily'", ["CPL-GAP"]),
    ("dtstart='20260105T013000' duration='PT2H' freq='daily'", []),
    ("dtstart='20260107T023000' duration='PT15M' freq='weekly' byday='WE'", []),
    ("dtstart='20260105T023000' duration='PT15M' freq='daily' until='20260201'", []),
    ("dtstart='20270328T023000' duration='PT15M' freq='yearly' bymonth='3' byday='-1SU'", ["CPL-GAP", "CPL-NEVER"]),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "codes"), WARNED, ids=[row[0] for row in WARNED])
def test_what_is_legal_and_surely_not_meant_is_warned_about(attributes, codes):
    found = findings(script(time(attributes), "tzid='Europe/Paris'"))
    assert [(each.code, each.severity) for each in found] == [(code, "warning") for code in codes]


WEEKDAYS = "dtstart='20260105T{}' duration='{}' freq='weekly' byday='MO,TU,WE,TH,FR'"
DAILY = "dtstart='20260105T{}' duration='{}' freq='daily'"
COVERED = [
    (DAILY.format("090000", "PT8H"), WEEKDAYS.format("100000", "PT1H"), True),
    (DAILY.format("090000", "PT8H"), WEEKDAYS.format("090000", "PT8H"), True),
    (DAILY.format("090000", "PT8H"), WEEKDAYS.format("090000", "PT9H"), False),
    (WEEKDAYS.format("090000", "PT8H"), DAILY.format("090000", "PT8H"), False),
    (WEEKDAYS.format("090000", "PT8H"), WEEKDAYS.format("090000", "PT7H"), True),
    (DAILY.format("090000", "PT8H") + " until='20270101'", WEEKDAYS.format("100000", "PT1H"), False),
    (DAILY.format("090000", "PT8H") + " until='20270101'", WEEKDAYS.format("100000", "PT1H") + " until='20261231'",
     True),
    (DAILY.format("090000", "PT8H").replace("2026", "2027"), WEEKDAYS.format("100000", "PT1H"), False),
    (DAILY.format("000000", "P1D"), WEEKDAYS.format("100000", "PT1H"), False),  # not told: days of 25 hours
    (DAILY.format("090000", "PT8H"), "dtstart='20260105T090000Z' duration='PT1H' freq='daily'", False),
    ("dtstart='20260105T090000' duration='P2D'", "dtstart='20260106T090000' duration='P1D'", True),
    ("dtstart='20260105T090000' duration='P2D'", "dtstart='20260106T090000' duration='P2D'", False),
    (OK.replace("PT1H", "P1D") + " freq='monthly'", OK.replace("PT1H", "P2D") + " freq='monthly'", False),
    (OK + " freq='monthly' byday='MO' bysetpos='1'", OK + " freq='monthly' byday='MO' bysetpos='1'", True),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "covered"), COVERED, ids=[f"{row[0]} {row[1]}" for row in COVERED])
def test_a_time_that_earlier_ones_take_all_of_is_warned_about(first, second, covered):
    found = findings(script(time(first) + time(second), "tzid='Europe/Paris'"))
    assert [each.code for each in found if each.path.endswith("time[2]")] == ["CPL-UNREACHABLE"] * covered


def test_two_times_together_may_take_all_of_a_third():
    times = [DAILY.format("090000", "PT3H"), DAILY.format("120000", "PT5H"), WEEKDAYS.format("100000", "PT5H")]
    found = findings(script("".join(map(time, times)), "tzid='Europe/Paris'"))
    assert [(each.code, each.path[-7:]) for each in found] == [("CPL-UNREACHABLE", "time[3]")]


def test_not_present_is_never_true_and_no_warning():
    source = script(
        time("dtstart='20260105T090000' duration='PT1H'") + "<not-present><reject status='600'/></not-present>"
    )
    assert findings(source) == []
    _, end = run(compile(source), facts(now=datetime.fromisoformat("2026-11-27T14:00:00+00:00")))
    assert isinstance(end, Reject)
    assert end.status == 404


@pytest.mark.parametrize("attributes", [row[0] for row in WARNED] + [row[0] for row in COVERED])
def test_what_is_taken_fits_the_schema(attributes):
    assert fits(script(time(attributes))) or "byday='XX'" in attributes
