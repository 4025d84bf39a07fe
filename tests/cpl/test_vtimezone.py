"""Zones from VTIMEZONE data: the same local times as of the Olson zone they describe, and bad data refused in words."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from sipd.cpl.vtimezone import MAX_DATA, zone_from
from sipd.cpl.zones import datetime_of, instant_of
from tests.cpl.test_timeswitch import findings, inside, script, time

PARIS = """BEGIN:VCALENDAR
BEGIN:VTIMEZONE
TZID:Europe/Paris
X-LIC-LOCATION:Europe/Paris
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMO
 NTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
END:VCALENDAR
"""
NEW_YORK = """BEGIN:VTIMEZONE
TZID:America/New_York
LAST-MODIFIED:20050809T050000Z
BEGIN:DAYLIGHT
DTSTART:19670430T020000
RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=-1SU;UNTIL=19730429T070000Z
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19671029T020000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;UNTIL=20061029T060000Z
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19740106T020000
RDATE:19750223T020000
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
BEGIN:DAYLIGHT
DTSTART:19760425T020000
RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=-1SU;UNTIL=19860427T070000Z
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
BEGIN:DAYLIGHT
DTSTART:19870405T020000
RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=1SU;UNTIL=20060402T070000Z
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
BEGIN:DAYLIGHT
DTSTART:20070311T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:20071104T020000
RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
END:VTIMEZONE
"""


@pytest.mark.parametrize(
    ("text", "name", "since"), [(PARIS, "Europe/Paris", 1997), (NEW_YORK, "America/New_York", 1968)]
)
def test_local_times_are_those_of_the_olson_zone(text, name, since):
    zone = zone_from(text.replace("\n", "\r\n").encode(), name)
    assert zone.name == name
    olson, chance = ZoneInfo(name), random.Random(name)
    first = datetime(since, 1, 1, tzinfo=UTC)
    days = [first + timedelta(hours=12 * half) for half in range(2 * 365 * 100)]
    changes = [
        day for day, after in pairwise(days)
        if day.astimezone(olson).utcoffset() != after.astimezone(olson).utcoffset()
    ]  # fmt: skip
    assert len(changes) > 180
    for _ in range(20_000):
        moment = chance.choice(changes) + timedelta(seconds=chance.randint(-3 * 3600, 15 * 3600))
        local = moment.astimezone(olson)
        seen = zone.clock(instant_of(moment))
        assert (seen.replace(tzinfo=None), seen.fold) == (local.replace(tzinfo=None), local.fold), moment
        naive = local.replace(tzinfo=None, fold=0)
        assert zone.instant(instant_of(naive.replace(tzinfo=UTC))) == instant_of(naive.replace(tzinfo=olson))


def test_gaps_are_those_of_the_olson_zone():
    zone = zone_from(PARIS.encode(), "Europe/Paris")
    assert [(datetime_of(begin), datetime_of(end)) for begin, end in zone.gaps(2027)] == [
        (datetime(2027, 3, 28, 2), datetime(2027, 3, 28, 3))
    ]


def test_an_end_in_local_time_is_taken_as_utc_and_before_the_first_onset_the_earlier_offset_holds():
    text = PARIS.replace("BYMONTH=3;", "BYMONTH=3;UNTIL=20260101T000000;")
    zone = zone_from(text.encode())
    june = instant_of(datetime(2025, 6, 1, tzinfo=UTC))
    assert zone.local(june) - june == 7200
    june = instant_of(datetime(2026, 6, 1, tzinfo=UTC))
    assert zone.local(june) - june == 3600
    old = instant_of(datetime(1960, 6, 1, tzinfo=UTC))
    assert zone.local(old) - old == 3600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no VTIMEZONE"),
        ("<html>404</html>", "there is no VTIMEZONE"),
        ("BEGIN:VTIMEZONE\nTZID:Europe/Paris\nEND:VTIMEZONE", "neither STANDARD nor DAYLIGHT"),
        (PARIS.replace("TZOFFSETTO:+0100", "TZOFFSETTO:+9900"), "no TZOFFSETTO such as"),
        (PARIS.replace("TZOFFSETTO:+0100", ""), "no TZOFFSETTO such as"),
        (PARIS.replace("DTSTART:19700329T020000", "DTSTART:1970"), "its DTSTART can't be read"),
        (PARIS.replace("DTSTART:19700329T020000", ""), "its DTSTART can't be read"),
        (PARIS.replace("FREQ=YEARLY;BYMONTH=3", "FREQ=MONTHLY"), "its RRULE is not yearly"),
        (PARIS.replace("FREQ=YEARLY;BYMONTH=3", "BYMONTH=3"), "its freq can't be read"),
        (PARIS.replace("BYDAY=-1SU", "BYDAY=XX"), "its byday can't be read"),
        (PARIS.replace("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "RDATE:" + ",".join(
            f"{1971 + n // 28}02{n % 28 + 1:02}T020000" for n in range(3000))), "more than 2000 times"),
        (PARIS.replace("Europe/Paris", "Elsewhere") + PARIS.replace("Europe/Paris", "Else"), "“Elsewhere”, “Else”"),
        (PARIS.replace("NTH=10;BYDAY=-1SU", "NTH=4;BYDAY=1SU"), "change twice within 8 days"),
        ("x" * (MAX_DATA + 1), "larger than"),
    ],
)  # fmt: skip
def test_bad_data_are_refused_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        zone_from(text.encode(), "Europe/Paris")


URL = "http://zones.example.com/paris"
NINE = time("dtstart='20260101T090000' duration='PT1H' freq='daily'")


def test_a_zone_is_taken_from_the_data_of_its_tzurl():
    source = script(NINE, f"tzid='My/Zone' tzurl='{URL}'")
    fetched = {URL: PARIS.replace("Europe/Paris", "My/Zone").encode()}
    assert inside(source, "2026-11-27T08:30:00+00:00", timezones=fetched)
    assert not inside(source, "2026-07-01T08:30:00+00:00", timezones=fetched)
    assert inside(script(NINE, f"tzurl='{URL}'"), "2026-07-01T07:30:00+00:00", timezones=fetched)


def test_an_olson_name_wins_over_the_data():
    source = script(NINE, f"tzid='Asia/Tokyo' tzurl='{URL}'")
    assert inside(source, "2026-11-27T00:30:00+00:00", timezones={URL: PARIS.encode()})
    assert inside(source, "2026-11-27T00:30:00+00:00"), "no data are needed"


def test_without_data_the_owner_is_told_what_can_be_done():
    (found,) = findings(script(NINE, f"tzid='My/Zone' tzurl='{URL}'"))
    assert (found.code, found.rule) == ("CPL-TZURL", "RFC 3880 §4.4")
    assert "script_hosts" in found.hint
    assert "Europe/Paris" in found.hint


def test_bad_data_of_a_tzurl_are_told_with_its_place():
    (found,) = findings(script(NINE, f"tzurl='{URL}'"), timezones={URL: b"<html>"})
    assert found.code == "CPL-TZURL"
    assert found.text.endswith("there is no VTIMEZONE in it")
    assert found.column > 1
