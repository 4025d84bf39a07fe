"""Request and Response: values on demand, building (§7)."""

from __future__ import annotations

import pytest

from sipd.errors import BadSyntax
from sipd.message import Request, Response, parse, parse_address
from tests.message.samples import BYE, INVITE, OK, REGISTER, SAMPLES

SPELLED_OTHERWISE = [
    INVITE.replace(b"\r\nVia:", b"\r\nPrivacy: id\r\nv:"),
    INVITE.replace(b"\r\nVia: SIP/2.0/UDP", b"\r\nVia: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKa, SIP/2.0/UDP"),
    INVITE.replace(b";branch=", b';x="a,b";branch='),
    OK.replace(b"\r\nVia:", b"\r\nX-Unheard-Of: 1\r\nVIA :"),
]


def test_values_are_made_once() -> None:
    message = parse(INVITE)
    assert message.via is message.via
    assert message.contacts is message.contacts


def test_a_request_is_read() -> None:
    message = parse(REGISTER)
    assert isinstance(message, Request)
    assert (message.method, message.request_uri, message.uri.host) == ("REGISTER", "sip:example.com", "example.com")
    assert (message.via.host, message.via.branch, message.via.param("rport")) == ("2001:db8::9", "z9hG4bKnashds7", "")
    assert (message.from_tag, message.to_tag, message.expires) == ("456248", None, 7200)
    assert [address.uri.scheme for address in message.contacts] == ["sip", "sip", "tel"]
    assert message.contacts[0].param("+sip.instance") == "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
    assert message.values("Supported") == ["path", "outbound", "gruu"]
    assert message.first("Authorization") == message.values("authorization")[0]
    assert (message.max_forwards, message.content_type, message.star_contact) == (None, None, False)
    assert message.first("Nothing") is None


def test_a_response_is_read() -> None:
    message = parse(OK)
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.to_tag) == (200, "OK", "8321234356")
    assert (message.via.received, message.via.rport, message.cseq) == ("192.0.2.9", 5070, (1, "INVITE"))
    assert message.record_routes[0].uri.text == "sip:192.0.2.1;lr"
    assert (message.content_type, message.body) == ("application/sdp", b"v=0\n")


def test_lists_are_taken_apart_over_lines() -> None:
    message = parse(BYE)
    assert len(message.values("Via")) == 3
    assert message.via.branch == "z9hG4bKa"
    assert [route.display for route in message.routes] == [None, "Edge, west"]
    assert message.to.display == 'Alice, the "first"'
    assert message.to.uri.headers == "a=b"


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (b"To: Bob", b"X: Bob", "to"),
        (b"To: Bob", b"X: Bob", "to_tag"),
        (b'"Alice"', b'"Alice', "from_"),
        (b";tag=9fxced76sl", b";tag=1;tag=2", "from_tag"),
        (b"Call-ID: 3848276298220188511@192.0.2.10", b"Call-ID: a b", "call_id"),
        (b"Call-ID: 3848276298220188511@192.0.2.10", b"Call-ID:", "call_id"),
        (b"CSeq: 1 INVITE", b"CSeq: 2147483648 INVITE", "cseq"),
        (b"Forwards: 70", b"Forwards: 256", "max_forwards"),
        (b"Forwards: 70", b"Forwards: 1" + b"0" * 20, "max_forwards"),
        (b"Forwards: 70", b"Forwards: -1", "max_forwards"),
        (b"Contact: <sip", b"Contact: *, <sip", "contacts"),
        (b"application/sdp", b"sdp", "content_type"),
        (b"User-Agent: testphone/1.0", b"Route: sip:h;lr", "routes"),
        (b"User-Agent: testphone/1.0", b"Record-Route: <sip:>", "record_routes"),
    ],
)
def test_a_malformed_value_raises_when_it_is_read(old: bytes, new: bytes, name: str) -> None:
    message = parse(INVITE.replace(old, new))
    for _ in range(2):
        with pytest.raises(BadSyntax):
            getattr(message, name)


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (b'"x>;tag=forged" <sip:a@h>;tag=true', "true"),
        (b'<sip:a@h>;x="a>;tag=forged";tag=true', "true"),
        (b'<sip:a@h>;x=">;tag=forged"', None),
        (b"<sip:a@h;tag=uri>", None),
        (b"<sip:a@h;tag=uri> ; TAG = true ;x", "true"),
        (b"sip:a@h;tag=true", "true"),
        (b"<sip:a@h>;footag=x", None),
        (b"<sip:a@h>;x=tag", None),
    ],
)
def test_a_tag_can_t_be_forged_by_a_quoted_string(line: bytes, tag: str | None) -> None:
    message = parse(INVITE.replace(b'"Alice" <sip:alice@example.com>;tag=9fxced76sl', line))
    assert message.from_tag == tag
    assert message.from_.tag == tag


def test_star_is_told_from_addresses() -> None:
    star = parse(INVITE.replace(b"<sip:alice@192.0.2.10:5062;transport=udp>", b" * "))
    assert (star.star_contact, star.contacts) == (True, [])


def test_no_attribute_is_made_up() -> None:
    with pytest.raises(AttributeError):
        _ = parse(OK).uri  # type: ignore[union-attr]


def test_what_is_built_is_read_as_the_same() -> None:
    request = Request.build("MESSAGE", "sip:h", [("v", "SIP/2.0/UDP h"), ("x-a", "é")], b"hi")
    assert bytes(request) == (
        "MESSAGE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX-A: é\r\nContent-Length: 2\r\n\r\nhi".encode()
    )
    assert parse(bytes(request)).lines == request.lines
    assert (request.method, request.uri.host, request.names) == ("MESSAGE", "h", ["Via", "X-A", "Content-Length"])
    response = Response.build(404, "", [("Via", "SIP/2.0/UDP h"), ("Content-Length", "0")])
    assert bytes(response) == b"SIP/2.0 404 Not Found\r\nVia: SIP/2.0/UDP h\r\nContent-Length: 0\r\n\r\n"
    assert Response.build(499, "", []).start_line == "SIP/2.0 499 "


@pytest.mark.parametrize("text", ["a\r\nVia: b", "a\nb", "a\rb", "a\0b"])
def test_no_line_is_forged_by_what_is_built(text: str) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        Request.build("OPTIONS", "sip:h", [("Subject", text)])
    with pytest.raises(ValueError, match=r"CR, LF or NUL|blanks"):
        Request.build("OPTIONS", text, [])
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        Response.build(200, text, [])


@pytest.mark.parametrize(
    "line",
    [
        "<sip:a@example.com>;tag=x1",
        '"Al <the> 1st" <sip:a@example.com>;tag=x1',
        '"A" <sip:a@example.com>;tag=x-1.2',
        "<sip:a@example.com>",
        "sip:a@example.com;tag=x1",
        "<sip:a@example.com>;p=1;tag=x1",
        "<sip:a@example.com>;tag=x1;p=1",
        "<sip:a@example.com>;TAG=x1",
        '<sip:a@example.com>;p=">;tag=no";tag=x1',
        "<sip:a@example.com>\r\n ;tag=x1",
    ],
)
def test_a_party_read_in_a_hurry_is_the_one_read_whole(line: str) -> None:
    for _ in range(2):  # the second time it is remembered
        message = parse(INVITE.replace(b'"Alice" <sip:alice@example.com>;tag=9fxced76sl', line.encode()))
        assert message.from_ == parse_address(message.first("From") or "")
        assert message.from_tag == message.from_.tag


@pytest.mark.parametrize(
    "line", ["<sip:a@>;tag=x1", "<sip:a@x>;tag=x1;tag=x2", "a <sip:a@x;tag=x1", '"a" sip:a@x>;tag=x1']
)
def test_a_bad_party_is_bad_in_a_hurry_too(line: str) -> None:
    message = parse(INVITE.replace(b'"Alice" <sip:alice@example.com>;tag=9fxced76sl', line.encode()))
    with pytest.raises(BadSyntax):
        _ = message.from_.tag


@pytest.mark.parametrize("data", [*SAMPLES, *SPELLED_OTHERWISE])
def test_what_is_read_ahead_is_what_would_be_read_later(data: bytes) -> None:
    read = parse(data)
    later = type(read)(read.start_line, read.names, read.lines, read.body)
    for name in ("extras", "one_via", "via_at", "via", "branch", "cseq", "call_id"):
        assert getattr(read, name) == getattr(later, name), name
    if isinstance(read, Request):
        assert (read.method, read.request_uri) == (later.method, later.request_uri)  # type: ignore[union-attr]  # it is


def test_a_copy_with_other_lines_knows_what_they_are() -> None:
    request = parse(BYE)
    assert isinstance(request, Request)
    kept = [at for at, name in enumerate(request.names) if name != "User-Agent"]
    copy = request.with_lines(
        ["Route", *(request.names[at] for at in kept), "Privacy"],
        ["Route: <sip:192.0.2.7;lr>", *(request.lines[at] for at in kept), "Privacy: id"],
    )
    again = parse(bytes(copy))
    for name in ("extras", "one_via", "via_at", "via", "method", "request_uri", "uri", "max_forwards"):
        assert getattr(copy, name) == getattr(again, name), name
