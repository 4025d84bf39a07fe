"""A script with time zones that are fetched at upload (RFC 3880 §4.4)."""

from __future__ import annotations

import pytest

from sipd.core.fetched import MOST, Compiled, Unfetched, compiled_with_zones
from sipd.cpl import CplError, Terms

TERMS = Terms(hosts=frozenset({"zones.example.com"}))
URL = "http://zones.example.com/tz/Somewhere"
ZONE = b"""BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:Somewhere\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r
TZOFFSETFROM:+0530\r\nTZOFFSETTO:+0530\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n"""
BAD = b"<html>gone</html>"


def script(*urls: str, tzid: str = "Some/Where", inside: str = "") -> bytes:
    switch = inside or '<reject status="busy"/>'
    for url in urls:
        switch = (
            f'<time-switch tzid="{tzid}" tzurl="{url}"><time dtstart="20200101T030000" duration="PT1H" freq="daily">'
            f"{switch}</time></time-switch>"
        )
    return f"<cpl><incoming>{switch}</incoming></cpl>".encode()


def compiled(body: bytes, stored=(), fetched=(), terms: Terms = TERMS) -> Compiled:
    return compiled_with_zones(body, terms, dict(stored), dict(fetched))


def test_what_is_not_there_is_asked_for_first():
    with pytest.raises(Unfetched) as wanted:
        compiled(script(URL))
    assert wanted.value.urls == (URL,)


def test_what_was_fetched_is_used_and_kept():
    assert compiled(script(URL), fetched={URL: ZONE}.items()).fetched == {URL: ZONE}


def test_what_is_there_is_fetched_anew():
    with pytest.raises(Unfetched):
        compiled(script(URL), stored={URL: ZONE}.items())


@pytest.mark.parametrize("now", [None, BAD, b""])
def test_the_last_good_data_is_remembered(now):
    """If a tzurl becomes invalid, servers SHOULD remember the most recent valid data."""
    made = compiled(script(URL), stored={URL: ZONE}.items(), fetched={URL: now}.items())
    assert made.program.has_incoming
    assert made.fetched == {}


@pytest.mark.parametrize("now", [None, BAD])
def test_without_any_good_data_it_is_refused_by_name(now):
    with pytest.raises(CplError) as refused:
        compiled(script(URL), fetched={URL: now}.items())
    assert [finding.code for finding in refused.value.findings] == ["CPL-TZURL"]
    assert URL in str(refused.value.findings[0])


@pytest.mark.parametrize(
    "url",
    ["http://other.example.com/tz", "http://127.0.0.1/tz", "file:///etc/localtime", "ftp://zones.example.com/tz", "x",
     "http://zones.example.com:8080/tz"],
)  # fmt: skip
def test_from_others_nothing_is_fetched(url):
    """T48: hosts that the administrator names, and no others."""
    with pytest.raises(CplError) as refused:
        compiled(script(url))
    assert url in str(refused.value.findings[0])


def test_where_no_host_is_named_nothing_is_fetched():
    with pytest.raises(CplError):
        compiled(script(URL), terms=Terms())


def test_a_zone_that_is_known_by_its_name_needs_no_data():
    assert compiled(script(URL, tzid="Europe/Paris")).fetched == {}


def test_nothing_is_fetched_for_a_script_with_other_faults():
    with pytest.raises(CplError):
        compiled(script(URL, inside="<dance/>"))


def test_one_script_has_no_more_than_so_many():
    urls = [f"{URL}{number}" for number in range(MOST + 1)]
    with pytest.raises(Unfetched) as wanted:
        compiled(script(*urls[:MOST]))
    assert sorted(wanted.value.urls) == urls[:MOST]
    with pytest.raises(CplError):
        compiled(script(*urls))


def test_what_another_script_needs_is_not_kept_for_this_one():
    made = compiled(script(URL), fetched={URL: ZONE, f"{URL}2": ZONE}.items())
    assert made.fetched == {URL: ZONE}
