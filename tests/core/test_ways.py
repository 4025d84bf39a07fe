"""By which flow somebody is reached: NAT, connections and browsers; tokens (RFC 3581, RFC 5626 §5.2, RFC 7118)."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core import ways
from sipd.core.ways import PREFIX, Token, is_token, only_by_flow, sender_token, token_from_text, token_text
from sipd.hop import Hop, Way
from sipd.message import parse_uri, parse_via
from tests.core.tables import request

NAT = Hop("UDP", "203.0.113.9", 40000)
TRANSPORTS = st.sampled_from(["UDP", "TCP", "TLS", "WS", "WSS"])


def places(version: Literal[4, 6]):
    return st.tuples(st.ip_addresses(v=version).map(str), st.integers(0, 65535))


ENDS = st.one_of(*(st.tuples(places(version), st.none() | places(version)) for version in (4, 6)))


@given(TRANSPORTS, ENDS, st.booleans())
def test_a_token_says_the_flow_again(transport, ends, bound):
    remote, near = ends
    token = Token(Way(Hop(transport, *remote), None if near is None else Hop(transport, *near)), bound)
    text = token_text(token)
    assert is_token(text)
    assert parse_uri(f"sip:{text}@example.com").user == text, "it is a user part without escapes"
    assert token_from_text(text) == token


def test_a_token_is_short():
    way = Way(NAT, Hop("UDP", "192.0.2.1", 5060))
    assert len(token_text(Token(way, True))) == len(PREFIX) + 18


@pytest.mark.parametrize(
    "text", ["", "fl.", "fl.A", "fl.AAAA", "fl.!!!!", "fl.DwAAAAAAAA", "alice", "fl.é", "fl." + "A" * 99]
)
def test_what_is_no_token(text):
    assert token_from_text(text) is None


def test_the_longest_token_is_read_and_longer_text_is_not_kept():
    six = Hop("UDP", "2001:db8:1111:2222:3333:4444:5555:6666", 40000)
    token = Token(Way(six, six), True)
    assert token_from_text(token_text(token)) == token
    kept = ways._token_from.cache_info().currsize
    assert token_from_text(token_text(token) + "A" * 4000) is None
    assert ways._token_from.cache_info().currsize == kept


@given(st.text(max_size=60))
def test_any_text_can_be_asked_about(text):
    assert token_from_text(PREFIX + text) is None or token_text(token_from_text(PREFIX + text)).startswith(PREFIX)


def test_a_place_without_an_address_has_no_token():
    assert token_text(Token(Way(Hop("UDP", "phone.example", 5060)), False)) == ""


@pytest.mark.parametrize(
    ("source", "via", "contact", "only"),
    [
        ("udp:192.0.2.10:5060", "192.0.2.10", "sip:a@192.0.2.10", False),
        ("udp:203.0.113.9:40000", "192.168.1.2", "sip:a@192.168.1.2", True),
        ("udp:203.0.113.9:40000", "192.168.1.2", "sip:a@198.51.100.7", False),  # another's address, and that is meant
        ("udp:203.0.113.9:40000", "203.0.113.9", "sip:a@192.168.1.2", False),
        ("udp:192.0.2.101:5060", "client.atlanta.example.com", "sip:a@client.atlanta.example.com", False),  # RFC 3665
        ("udp:203.0.113.9:40000", "desk.lan", "sip:a@desk.lan", True),
        ("udp:203.0.113.9:40000", "desk", "sip:a@desk", True),
        ("tcp:192.0.2.10:40000", "192.0.2.10", "sip:a@192.0.2.10;transport=tcp", True),
        ("tcp:192.0.2.10:40000", "192.0.2.10", "sip:a@192.0.2.10", False),
        ("tls:192.0.2.10:40000", "192.0.2.10", "sips:a@192.0.2.10", True),
        ("ws:192.0.2.10:40000", "x.invalid", "sip:a@x.invalid;transport=ws", True),
        ("wss:192.0.2.10:40000", "x.invalid", "sip:a@x.invalid;transport=ws", True),
        ("wss:192.0.2.10:40000", "x.invalid", "sip:a@y.invalid", True),
        ("wss:192.0.2.10:40000", "x.invalid", "sip:a@192.0.2.77:5060", False),
        ("udp:192.0.2.10:5060", "192.0.2.10", "tel:+1", False),
    ],
)
def test_who_is_reached_by_his_flow_only(source, via, contact, only):
    assert only_by_flow(Hop.from_text(source), parse_via(f"SIP/2.0/UDP {via};branch=z9"), parse_uri(contact)) is only


@pytest.mark.parametrize(
    ("source", "contact", "more", "bound"),
    [
        ("udp:192.0.2.10:5060", "<sip:a@192.0.2.10:5060>", (), None),
        ("udp:192.0.2.1:5060", "<sip:a@192.0.2.10:5060>", (), False),  # one address begins like the other
        ("udp:192.0.2.10:5060", "sip:a@192.0.2.10", (), None),
        ("udp:192.0.2.10:5060", "<sip:a@192.0.2.10:5060;ob>", (), True),
        ("udp:192.0.2.10:5060", "<sip:a@192.0.2.10:5060;obscure>", (), None),
        ("udp:203.0.113.9:40000", "<sip:a@192.0.2.10:5060>", (), False),
        ("udp:203.0.113.9:40000", "<sip:a@192.0.2.10:5060;ob>", (), True),
        ("udp:203.0.113.9:40000", "<sip:a@192.0.2.10:5060;ob>", ("Record-Route: <sip:p.example;lr>",), None),
        ("udp:203.0.113.9:40000", "<sip:a@192.0.2.10>", ("Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx",), None),
        ("udp:203.0.113.9:40000", "<sip:a@192.0.2.10>, <sip:b@192.0.2.10>", (), None),
        ("udp:203.0.113.9:40000", "<sip:a@192.0.2.10", (), None),  # malformed: forwarded as it is
        ("tcp:192.0.2.10:40000", "<sip:a@192.0.2.10:5060;transport=tcp>", (), False),
        ("tcp:192.0.2.10:5060", "<sip:a@192.0.2.10:5060;transport=tcp>", (), None),  # listens where it sends from
        ("wss:192.0.2.10:40000", "<sip:a@x.invalid;transport=ws>", (), True),
        ("udp:203.0.113.9:40000", "<sip:alice@example.com;gr=abc>", (), None),
    ],
)
def test_whose_record_route_names_his_flow(source, contact, more, bound):
    way = Way(Hop.from_text(source), Hop(source.partition(":")[0].upper(), "192.0.2.99", 5060))
    text = sender_token(request("INVITE", "sip:bob@example.com", f"Contact: {contact}", *more), way)
    assert text == ("" if bound is None else token_text(Token(way, bound)))


def test_without_a_contact_nobody_is_reached():
    assert sender_token(request(), Way(NAT)) == ""
