"""time-switch in scripts: zones, the examples of RFC 3880 §4.4 and §12, what is refused, warned about and traced."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sipd.cpl import CplError, compile
from sipd.script import Lookup, ProxyTo
from tests.cpl.calls import facts, run

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
    program = compile(source, zone=zone, **options)  # type: ignore[arg-type]
    _, end = run(program, facts(now=datetime.fromisoformat(moment)))
    return end.status == 486  # type: ignore[union-attr]


def findings(source: bytes, **options: object) -> list[Finding]:
    try:
        return list(compile(source, **options).warnings)  # type: ignore[arg-type]
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
