"""Typed header values (§20)."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.errors import BadSyntax
from sipd.message import (
    Address,
    CSeq,
    Via,
    expires_from_text,
    media_type,
    parse_address,
    parse_cseq,
    parse_route,
    parse_uri,
    parse_via,
    q_from_text,
    q_to_text,
)
from sipd.message.values import via_from_line
from tests.message.test_uri import HOSTS, uris

TOKENS = st.text(string.ascii_lowercase + string.digits + "-.!%*_+`'~", min_size=1, max_size=8)
VALUES = TOKENS | st.just('"a, \\"b\\";c"') | st.just("[::1]")
PARAMS = st.dictionaries(TOKENS, st.none() | VALUES, max_size=4).map(lambda found: tuple(found.items()))
DISPLAYS = st.none() | st.text(st.characters(exclude_categories=["Cc"]), max_size=12)


@given(DISPLAYS, uris(), PARAMS)
def test_an_address_written_is_read_as_the_same(display: str | None, uri: object, params: object) -> None:
    address = Address(display, uri, params)  # type: ignore[arg-type]
    assert parse_address(str(address)) == address


@given(st.sampled_from(["UDP", "TCP", "WSS", "X-1"]), HOSTS, st.none() | st.integers(1, 65535), PARAMS)
def test_a_via_written_is_read_as_the_same(transport: str, host: str, port: int | None, params: object) -> None:
    via = Via(transport, host, port, params)  # type: ignore[arg-type]
    assert parse_via(str(via)) == via


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        ("sip:a@h;tag=1", None, "sip:a@h", (("tag", "1"),)),
        ("sip:a@h ; Tag = 1 ; x", None, "sip:a@h", (("tag", "1"), ("x", None))),
        ("<sip:a@h;lr>;tag=1", None, "sip:a@h;lr", (("tag", "1"),)),
        ("Bob  Lee <sip:a@h>", "Bob  Lee", "sip:a@h", ()),
        ("Bob<sip:a@h>", "Bob", "sip:a@h", ()),
        ('"" <sip:a@h>', "", "sip:a@h", ()),
        ('"a \\"<sip:x@y>;tag=2\\\\" <sip:a@h>;q="a\\"b"', 'a "<sip:x@y>;tag=2\\', "sip:a@h", (("q", '"a\\"b"'),)),
        ("Jürgen <sip:a@h>", "Jürgen", "sip:a@h", ()),
    ],
)
def test_an_address_is_read(text: str, display: str | None, uri: str, params: object) -> None:
    assert parse_address(text) == (display, parse_uri(uri), params)


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "<>", "sip:a@h,sip:b@h", "sip:a@h?x=y", '"a <sip:a@h>', '"a" sip:a@h', '"a"b <sip:a@h>', "<sip:a@h"),
        *(
            "a, b <sip:a@h>",
            "< sip:a@h>",
            "<sip:a@h >",
            "<sip:a@h>x",
            "<sip:a@h>;",
            "<sip:a@h>;;a",
            "<sip:a@h>;a=",
            "a@h",
        ),
        *(
            '<sip:a@h>;tag="',
            '<sip:a@h>;tag="\\',
            "<sip:a@h>;=a",
            "<sip:a@h>;a b",
            "<sip:a@h>,",
            "<<sip:a@h>>",
            "a\\b <sip:a@h>",
        ),
    ],
)
def test_what_is_no_address_raises(text: str) -> None:
    with pytest.raises(BadSyntax):
        parse_address(text)


@pytest.mark.parametrize("params", [";tag", ';tag="a"', ";tag=1;tag=2", ";tag=" + "x" * 1025])
def test_a_bad_tag_raises(params: str) -> None:
    address = parse_address("<sip:a@h>" + params)
    with pytest.raises(BadSyntax):
        _ = address.tag


def test_a_long_tag_within_the_limit_is_taken() -> None:
    assert parse_address("<sip:a@h>;tag=" + "x" * 1024).tag == "x" * 1024


def test_a_route_needs_its_brackets() -> None:
    assert parse_route("<sip:h;lr>").uri.param("lr") == ""
    with pytest.raises(BadSyntax):
        parse_route("sip:h;lr")


def test_no_control_of_a_display_name_is_written() -> None:
    assert str(Address("a\0\r\n\x07b", parse_uri("sip:h"))) == '"ab" <sip:h>'


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("SIP/2.0/UDP h", Via("UDP", "h")),
        ("sip/2.0/udp [::1]:5070;rport", Via("UDP", "::1", 5070, (("rport", None),))),
        ("SIP / 2.0 / TCP   h  :  1 ; branch = x", Via("TCP", "h", 1, (("branch", "x"),))),
        ("SIP/7.0/UDP h;a=b=", Via("UDP", "h", None, (("a", "b="),))),
    ],
)
def test_a_via_is_read(text: str, via: Via) -> None:
    assert parse_via(text) == via


@pytest.mark.parametrize(
    "text",
    [
        *("", "SIP/2.0/UDP", "SIP/2.0/UDP :]", "SIP/2.0 UDP h", "HTTP/1.1/TCP h", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:0"),
        *("SIP/2.0/UDP h;", "SIP/2.0/UDP h x", "SIP/2.0/UDP [::1", "SIP/2.0/UDP h;a=", 'SIP/2.0/UDP h;a="'),
        *("SIP/2.0/UDP h:65536", "SIP/2.0/UDP h;;a", "SIP/2.0/UDP h,"),
    ],
)
def test_what_is_no_via_raises(text: str) -> None:
    with pytest.raises(BadSyntax):
        parse_via(text)


def test_rport_and_received_are_overwritten_however_often_they_came() -> None:
    via = parse_via("SIP/2.0/UDP h;rport=99999;received=1;branch=z;rport;received=x")
    assert via.rport is None
    assert str(via.with_params(received="192.0.2.1", rport="5060")) == (
        "SIP/2.0/UDP h;branch=z;received=192.0.2.1;rport=5060"
    )
    assert parse_via("SIP/2.0/UDP h;rport=5070").rport == 5070


@pytest.mark.parametrize("text", ["1 INVITE", "0009  \t INVITE", "2147483647 X-1", "0" * 30 + "1 ACK"])
def test_a_cseq_is_read(text: str) -> None:
    number, _, method = text.replace("\t", " ").partition(" ")
    assert parse_cseq(text) == CSeq(int(number), method.strip())


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "INVITE", "-1 INVITE", "1INVITE", "2147483648 INVITE", "9" * 5000 + " INVITE", "1 IN VITE"),
        *("\u0661 INVITE", "1 " + "X" * 1400, "1.0 INVITE", " 1 INVITE", "1\u00a0INVITE"),
    ],
)
def test_what_is_no_cseq_raises(text: str) -> None:
    with pytest.raises(BadSyntax):
        parse_cseq(text)


@given(st.integers(0, 1000))
def test_a_q_written_is_read_as_the_same(q: int) -> None:
    assert q_from_text(q_to_text(q)) == q


@pytest.mark.parametrize(("text", "q"), [("0", 0), ("0.", 0), ("0.5", 500), ("0.05", 50), ("1", 1000), ("1.000", 1000)])
def test_a_q_is_read(text: str, q: int) -> None:
    assert q_from_text(text) == q


@pytest.mark.parametrize("text", ["", "1.1", "0.0001", "NaN", "-0", "+1", ".5", "2", "\u0661", "1e0", " 1", "0,5"])
def test_what_is_no_q_raises(text: str) -> None:
    with pytest.raises(BadSyntax):
        q_from_text(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("60", 60), ("0", 0), ("4294967295", 2**32 - 1), ("4294967296", 2**32 - 1), ("1" + "0" * 9000, 2**32 - 1)],
        *[("-1", 3600), ("", 3600), ("soon", 3600), ("1.5", 3600), ("\u0663", 3600), (" 1", 3600)],
    ],
)
def test_malformed_expires_count_as_an_hour(text: str, seconds: int) -> None:
    assert expires_from_text(text) == seconds


def test_media_types_are_lower_case_without_parameters() -> None:
    assert media_type("Application / SDP ;charset=x") == "application/sdp"
    for text in ("", "application", "a/b c", "/", "a/b,c/d"):
        with pytest.raises(BadSyntax):
            media_type(text)


@pytest.mark.parametrize(
    ("line", "usual"),
    [
        ("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport", True),
        ("Via: SIP/2.0/TCP host.example.com;branch=z9hG4bKa", True),
        ("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport=5070", False),
        ("Via: SIP/2.0/UDP [2001:db8::1];branch=z9hG4bKa", False),
        ("Via: SIP/2.0/UDP 192.0.2.1:05060;branch=z9hG4bKa", False),
        ("v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa", False),
        ("Via: SIP/2.0/UDP 192.0.2.300;branch=z9hG4bKa", False),
        ("Via: SIP/2.0/UDP 192.0.2.1:99999;branch=z9hG4bKa", False),
        ("Via: SIP/2.0/XYZ 192.0.2.1;branch=z9hG4bKa", False),
    ],
)
def test_a_usual_via_line_is_read_and_written_as_any_other(line: str, usual: bool) -> None:
    via = via_from_line(line)
    assert (via is not None) == usual
    if via is not None:
        assert via == parse_via(line[5:])
        assert f"Via: {via}" == line
