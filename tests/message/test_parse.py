"""What parse refuses, with which status, and whether it can be answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.errors import BadSyntax, SipError
from sipd.message import Request, parse
from tests.message.samples import ACK, BYE, INVITE, OK, REGISTER, SAMPLES


def refused(data: bytes, *, stream: bool = False) -> BadSyntax:
    with pytest.raises(BadSyntax) as fault:
        parse(data, stream=stream)
    return fault.value


@pytest.mark.parametrize("data", SAMPLES)
def test_ordinary_messages_come_back_byte_for_byte(data: bytes) -> None:
    assert bytes(parse(data)) == data


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        # start line (§7.1)
        (b" SIP/2.0\r\n", b" SIP/3.0\r\n", 505),
        (b" SIP/2.0\r\n", b" sip/2.0 \r\n", 400),
        (b"INVITE sip", b"INVITE  sip", 400),
        (b"sip:bob@example.com SIP", b"sip:bob@example.com\tSIP", 400),
        # names (T66)
        (b"Max-Forwards:", b"Max-Forwards\x01:", 400),
        (b"Max-Forwards:", b"Max-Forwards\x0b:", 400),
        (b"Max-Forwards:", b"Max-Forwards\xc2\xa0:", 400),
        (b"Max-Forwards:", b"Max-Forwards\r\n :", 400),
        (b"Max-Forwards:", b":", 400),
        (b"Max-Forwards:", b"Max Forwards:", 400),
        (b"Max-Forwards: 70", b"Max-Forwards", 400),
        (b"User-Agent: testphone/1.0", b"Via", 400),
        # controls (T09)
        (b"testphone", b"test\x00phone", 400),
        (b"testphone", b"test\rphone", 400),
        (b"testphone", b"test\nphone", 400),
        (b"testphone", b"test\x1bphone", 400),
        (b"testphone", b"\\\x07", 400),
        (b'"Alice"', b'"Ali\x00ce"', 400),
        (b'"Alice"', b'"Ali\\\rce"', 400),
        # doubles (T02)
        (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\nt: <sip:b@example.com>;tag=", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\nf: <sip:b@example.com>", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\nCSEQ: 1 INVITE", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\ni : x", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\nl: 150", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 INVITE\r\nmax-forwards: 70", 400),
        # Content-Length (T08, T26)
        (b"Length: 150", b"Length: -1", 400),
        (b"Length: 150", b"Length: +150", 400),
        (b"Length: 150", b"Length: 2147483647", 400),
        (b"Length: 150", b"Length: 0x96", 400),
        (b"Length: 150", b"Length: 150, 150", 400),
        (b"Length: 150", b"Length: \xd9\xa1", 400),
        (b"Length: 150", b"Length:", 400),
        (b"Length: 150", b"Length: 151", 400),
        # top Via with a readable sent-by (T01, T05)
        (b";rport", b";;rport", 400),
        (b";rport", b';received="', 400),
        (b"branch=z9hG4bK", b"branch=" + b"x" * 1100, 400),
        (b"branch=", b"branch=;x=", 400),
    ],
)
def test_a_fault_is_refused_and_can_be_answered(old: bytes, new: bytes, status: int) -> None:
    assert old in INVITE
    fault = refused(INVITE.replace(old, new, 1))
    assert fault.status == status
    assert fault.request is not None
    assert fault.request.method == "INVITE"
    assert fault.request.call_id == "3848276298220188511@192.0.2.10"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ACK.replace(b"Max-Forwards:", b"Max-Forwards"),  # nothing answers an ACK
        OK.replace(b"SIP/2.0 200 OK", b"SIP/2.0 099 OK"),
        OK.replace(b"SIP/2.0 200 OK", b"SIP/2.0 700 OK"),
        OK.replace(b"SIP/2.0 200 OK", b"SIP/2.0 2000 OK"),
        OK.replace(b"SIP/2.0 200 OK", b"SIP/2.0 20\xd9\xa1 OK"),
        OK.replace(b"SIP/2.0 200 OK", b"SIP/3.0 200 OK"),
        OK.replace(b"CSeq:", b"CSeq"),
        OK.replace(b"UDP 192.0.2.1;", b"UDP :];"),
        INVITE.replace(b"192.0.2.10:5062;branch", b":];branch"),  # no sent-by to be read
        INVITE.replace(b"Via: ", b"X-Via: "),
        INVITE.replace(b"SIP/2.0/UDP", b"SIP/2.0/UDP\x00"),
        INVITE.replace(b"INVITE sip", b"INV\xc3\x8fTE sip"),
        INVITE.replace(b"INVITE sip", b"I" * 1100 + b" sip"),
    ],
)
def test_what_nobody_can_be_told_of_has_no_request(data: bytes) -> None:
    assert refused(data).request is None


def test_blanks_before_the_colon_odd_case_and_compact_forms_are_one_name() -> None:
    data = INVITE.replace(b"Max-Forwards:", b"mAx-FORwards \t:").replace(b"Subject", b"s").replace(b"Via:", b"V:")
    message = parse(data)
    assert message.max_forwards == 70
    assert message.names[0] == "Via"
    assert bytes(message) == data


def test_unknown_names_have_one_spelling() -> None:
    message = parse(INVITE.replace(b"User-Agent:", b"x-fOO-bar: 1\r\nX-FOO-BAR:"))
    assert message.values("X-Foo-Bar") == message.values("x-foo-bar") == ["1", "testphone/1.0"]


def test_a_quoted_pair_may_hold_a_control() -> None:
    data = INVITE.replace(b'"Alice"', b'"A\\\x00 \\" \\\x07"')
    message = parse(data)
    assert message.from_.display == 'A\0 " \7'
    assert bytes(message) == data


def test_bytes_beyond_ascii_are_carried_valid_or_not() -> None:
    for name in (b"J\xfcrgen", "Jürgen".encode(), b"\xff\xc0\xaf"):
        data = INVITE.replace(b"Alice", name)
        assert bytes(parse(data)) == data
    assert parse(INVITE.replace(b"Alice", "Jürgen".encode())).from_.display == "Jürgen"


def test_expires_may_be_doubled_but_in_register() -> None:
    assert refused(REGISTER.replace(b"Expires: 7200", b"Expires: 7200\r\nExpires: 0")).text == "Duplicate Expires"
    parse(BYE.replace(b"Max-Forwards", b"Expires: 1\r\nExpires: 2\r\nMax-Forwards"))


def test_leading_empty_lines_are_skipped() -> None:
    assert bytes(parse(b"\r\n\r\n\r\n" + INVITE)) == INVITE


def test_bytes_after_the_body_are_dropped_and_no_length_means_all() -> None:
    assert bytes(parse(INVITE + b"INVITE sip:hidden@example.com SIP/2.0\r\n\r\n")) == INVITE
    assert len(parse(INVITE.replace(b"Content-Length: 150\r\n", b"") + b"more").body) == 154


def test_on_a_stream_content_length_is_a_must() -> None:
    fault = refused(INVITE.replace(b"Content-Length: 150\r\n", b""), stream=True)
    assert (fault.status, fault.text) == (400, "Missing Content-Length")


def test_a_body_over_the_limit_on_a_stream_is_513() -> None:
    assert refused(INVITE.replace(b"Length: 150", b"Length: 999999999"), stream=True).status == 513


def test_limits_are_reached_and_not_passed() -> None:
    def with_vias(count: int) -> bytes:
        return INVITE.replace(b"Max-Forwards", b"Via: SIP/2.0/UDP h\r\n" * (count - 1) + b"Max-Forwards")

    assert len(parse(with_vias(70)).values("Via")) == 70
    assert refused(with_vias(71)).status == 483
    routes = b"Route: " + b", ".join([b"<sip:192.0.2.1;lr>"] * 64)
    assert len(parse(INVITE.replace(b"Max-Forwards", routes + b"\r\nMax-Forwards")).routes) == 64
    assert refused(INVITE.replace(b"Max-Forwards", routes + b", <sip:a>\r\nMax-Forwards")).status == 400
    fields = INVITE.count(b"\r\n") - 2
    parse(INVITE.replace(b"Max-Forwards", b"X: y\r\n" * (256 - fields) + b"Max-Forwards"))
    assert refused(INVITE.replace(b"Max-Forwards", b"X: y\r\n" * (257 - fields) + b"Max-Forwards")).status == 400
    parse(INVITE.replace(b"testphone", b"x" * 8000))
    fault = refused(INVITE.replace(b"testphone", b"x" * 8200))
    assert fault.status == 513
    assert fault.request is not None


@given(st.binary(max_size=300))
def test_only_sip_errors_come_out(data: bytes) -> None:
    for text in (data, b"INVITE " + data, INVITE[:100] + data + INVITE[100:]):
        try:
            message = parse(text)
        except SipError:
            continue
        assert bytes(message) in text


def test_lower_vias_are_carried_as_text() -> None:
    data = BYE.replace(b"SIP/2.0/UDP 192.0.2.4;branch", b"SIP/2.0/UDP :];branch")
    message = parse(data)
    assert isinstance(message, Request)
    assert message.values("Via")[2] == "SIP/2.0/UDP :];branch=z9hG4bKc;received=192.0.2.4"
