"""What a text/uri-list says about where somebody is (RFC 3880 §5.2, RFC 2483 §5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.urilist import URI_LIST, locations_from
from sipd.cpl.nodes import MAX_LOCATIONS
from sipd.cpl.reader import MAX_VALUE
from sipd.message import parse_uri

OWNER = "bob@example.com"
ONE = b"sip:bob@192.0.2.1"


def found(body: bytes, status: int = 200, content_type: str = URI_LIST):
    result = locations_from(status, content_type, body, OWNER)
    assert bool(result.targets) == (result.outcome == "success")
    return result.outcome, [target.uri.text for target in result.targets]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" \t\r\n"])
def test_each_line_is_a_location_but_comments(end):
    body = end.join(
        [b"# urn:bob", b"sip:bob@192.0.2.1:5070;transport=tcp", b"#", b"tel:+15551212", b"sips:b@example.net"]
    )
    assert found(body) == ("success", ["sip:bob@192.0.2.1:5070;transport=tcp", "tel:+15551212", "sips:b@example.net"])


@pytest.mark.parametrize("kind", ["text/uri-list", "Text/URI-List; charset=utf-8", "text/uri-list ;x"])
def test_the_type_is_what_counts(kind):
    assert found(ONE, content_type=kind)[0] == "success"


@pytest.mark.parametrize("kind", ["", "text/html", "text/plain", "text/uri-listing", "uri-list", "application/x"])
def test_another_type_is_a_failure(kind):
    assert found(ONE, content_type=kind)[0] == "failure"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "success"), (204, "notfound"), (404, "notfound"), (410, "notfound"), (201, "failure"), (206, "failure"),
     (304, "failure"), (302, "failure"), (401, "failure"), (403, "failure"), (500, "failure"), (503, "failure")],
)  # fmt: skip
def test_outcome_by_status(status, outcome):
    assert found(ONE, status)[0] == outcome


@pytest.mark.parametrize("body", [b"", b"\r\n", b"# nobody\r\n#", b" \t \n"])
def test_a_list_without_locations_is_notfound(body):
    assert found(body) == ("notfound", [])


@pytest.mark.parametrize(
    "line",
    [b"javascript:alert(1)", b"file:///etc/passwd", b"urn:x", b"bob", b"<html>", b"sip:", b"sip:bob@[",
     b"sip:b@h:99999", b"sip:b@h\x00",
     "sip:bö@h".encode(), b"\xff\xfe", b"sip:a@b c", b"<sip:a@b>", b"sip:b@h\x0b\x0c", b"x" * 60_000],
)  # fmt: skip
def test_what_no_location_may_be_is_passed_over(line):
    """As at upload: scheme and form (§5.1)."""
    assert found(line + b"\r\n" + ONE) == ("success", [ONE.decode()])
    assert found(line) == ("failure", [])


def test_what_is_longer_than_a_script_may_write_is_passed_over():
    """It would stand in Request-URIs, and in a thousand traces."""
    fits = "sip:" + "b" * (MAX_VALUE - 10) + "@a.org"
    assert len(fits) == MAX_VALUE
    assert found(b"sip:b" + fits[4:].encode() + b"\n" + fits.encode()) == ("success", [fits])


def test_places_to_redirect_to_may_be_named():
    assert found(b"https://www.example.com/bob\nmailto:bob@example.com")[0] == "success"


def test_there_are_no_more_than_a_script_may_have_and_each_once():
    body = b"\n".join(b"sip:%d@192.0.2.1" % (number // 2) for number in range(1000))
    outcome, uris = found(body)
    assert outcome == "success"
    assert uris == [f"sip:{number}@192.0.2.1" for number in range(MAX_LOCATIONS)]


def test_its_owner_answers_for_where_it_leads():
    """T88: he has written the URI, as he might have written the location."""
    [target] = locations_from(200, URI_LIST, ONE, OWNER).targets
    assert (target.owner, target.q, target.action, target.received) == (OWNER, 1000, "proxy", None)


@given(st.integers(0, 999), st.text(max_size=40), st.binary(max_size=300))
def test_nothing_that_comes_breaks_it(status, content_type, body):
    for target in locations_from(status, content_type, body, OWNER).targets:
        assert parse_uri(target.uri.text) == target.uri
