"""Edits of what is sent on (§16.6) and what is written into the top Via (§18.2.1)."""

from __future__ import annotations

import pytest

from sipd.core.forwarding import EDITS, Passage, forwarded_copy, returned_copy, stamp
from sipd.hop import Hop, Target, Way
from sipd.message import Draft, Request, Response, parse, parse_address, parse_uri, parse_via, response_to
from tests.core.tables import SEAL, request

SOURCE = Hop("UDP", "192.0.2.99", 5070)


def passage(*path: str, transport: str = "UDP") -> Passage:
    target = Target(parse_uri("sip:bob@192.0.2.20:5062"), path=path)
    return Passage(target, "z9hG4bKours", "192.0.2.1:5060", transport, "192.0.2.1:5060", "UDP", True, SEAL)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize("path", [(), ("<sip:edge.example.net;lr>",)])
@pytest.mark.parametrize("more", [(), ("Route: <sip:p.example.net;lr>",), ("Record-Route: <sip:p.example.net;lr>",)])
@pytest.mark.parametrize("method", ["INVITE", "BYE"])
@pytest.mark.parametrize("to", ["<sip:bob@example.com>", "<sip:bob@example.com>;tag=b"])
def test_the_copy_is_what_the_edits_make_one_by_one(method, to, more, path, transport):
    sent = request(method, "sip:bob@example.com", *more, to=to)
    way = passage(*path, transport=transport)
    draft = Draft(sent)
    for edit in EDITS:
        edit(draft, sent, way)
    assert forwarded_copy(sent, way) == bytes(draft)


@pytest.mark.parametrize(
    ("route", "strict"),
    [
        ("<sip:p.example;lr>", False),
        ("<sip:p.example;LR>, <sip:q.example>", False),
        ("<sip:p.example;a=b;lr=on>;x=y", False),
        ('"Edge, west" <sip:p.example;lr>', False),
        ("\r\n <sip:p.example;lr>", False),
        ("<sip:p.example>", True),
        ("<sip:p.example;lrx>", True),
        ("<sip:p.example>;lr", True),  # of the header field, not of the URI
        ('";lr" <sip:p.example>', True),
        ("<sip:a;lr@p.example>", True),
    ],
)
def test_a_next_hop_without_lr_gets_itself_as_request_uri_and_the_target_last(route, strict):
    sent = request("BYE", "sip:bob@example.com", f"Route: {route}", "Route: <sip:last.example;lr>")
    copy = parse(forwarded_copy(sent, passage()))
    assert isinstance(copy, Request)
    target = "sip:bob@192.0.2.20:5062"
    if strict:
        assert copy.request_uri == sent.routes[0].uri.text
        assert copy.values("Route") == ["<sip:last.example;lr>", f"<{target}>"]
    else:
        assert copy.request_uri == target
        assert copy.values("Route") == sent.values("Route")


def test_the_copy_gets_max_forwards_where_there_was_none():
    bare = request()
    at = bare.names.index("Max-Forwards")
    sent = parse(b"\r\n".join(line for n, line in enumerate(bytes(bare).split(b"\r\n")) if n != at + 1))
    assert isinstance(sent, Request)
    assert parse(forwarded_copy(sent, passage())).max_forwards == 70


@pytest.mark.parametrize(
    ("via", "stamped"),
    [
        ("192.0.2.9:5060;branch=z9hG4bKa;rport", "192.0.2.9:5060;branch=z9hG4bKa;received=192.0.2.99;rport=5070"),
        ("192.0.2.9;branch=z9hG4bKa", "192.0.2.9;branch=z9hG4bKa;received=192.0.2.99"),
        ("192.0.2.99;branch=z9hG4bKa", "192.0.2.99;branch=z9hG4bKa"),
        ("192.0.2.99;branch=z9hG4bKa;ttl=1", "192.0.2.99;branch=z9hG4bKa;ttl=1"),
        ("192.0.2.99;branch=z9hG4bKa;rport", "192.0.2.99;branch=z9hG4bKa;received=192.0.2.99;rport=5070"),
        ("192.0.2.99;received=1.1.1.1", "192.0.2.99;received=192.0.2.99"),
        ("192.0.2.99;rport", "192.0.2.99;received=192.0.2.99;rport=5070"),
        ("192.0.2.9;rport;branch=z9hG4bKa", "192.0.2.9;branch=z9hG4bKa;received=192.0.2.99;rport=5070"),
        (
            "192.0.2.9;branch=z9hG4bKa;received=1.1.1.1;rport=7",
            "192.0.2.9;branch=z9hG4bKa;received=192.0.2.99;rport=5070",
        ),
        ("[2001:db8::9];branch=z9hG4bKa;rport", "[2001:db8::9];branch=z9hG4bKa;received=192.0.2.99;rport=5070"),
    ],
)
def test_the_top_via_says_where_the_request_came_from(via, stamped):
    sent = parse(bytes(request()).replace(b"192.0.2.10:5060;branch=z9hG4bKphone1", via.encode()))
    assert isinstance(sent, Request)
    stamp(sent, SOURCE)
    assert sent.first("Via") == f"SIP/2.0/UDP {stamped}"
    assert sent.via == parse_via(f"SIP/2.0/UDP {stamped}"), "the typed value is that of the line"


@pytest.mark.parametrize("between", ["\r\nVia: ", ", "])
def test_a_response_goes_back_without_our_via(between):
    wire = bytes(response_to(request(), 200, to_tag="b"))
    theirs = b"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKphone1"
    ours = b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours" + between.encode() + theirs
    response = parse(wire.replace(theirs, ours))
    assert isinstance(response, Response)
    assert bytes(returned_copy(response)) == wire


@pytest.mark.parametrize(
    ("method", "more", "is_put_in"),
    [
        ("REGISTER", ("Supported: path",), True),
        ("REGISTER", ("Supported: 100rel, outbound",), True),
        ("REGISTER", ("Supported: 100rel",), False),
        ("REGISTER", (), False),
        ("REGISTER", ("Supported: path", "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKlower"), False),
        ("OPTIONS", ("Supported: path",), False),
    ],
)
def test_the_first_hop_alone_puts_itself_into_path(method, more, is_put_in):
    """RFC 3327 §4 and §5.2, RFC 5626 §5.1: a loose route, with a token of the flow and `ob`."""
    sent = request(method, "sip:far.example", *more, to="<sip:bob@far.example>")
    copy = parse(forwarded_copy(sent, passage()._replace(came=Way(SOURCE))))
    if not is_put_in:
        assert "Path" not in copy.names
        return
    [value] = copy.values("Path")
    uri = parse_address(value).uri
    assert (uri.host, uri.port) == ("192.0.2.1", 5060)
    assert uri.user, "the flow"
    assert uri.param("lr") is not None
    assert uri.param("ob") is not None
