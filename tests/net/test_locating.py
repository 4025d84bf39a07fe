"""The rules of RFC 3263 and RFC 2782, without asking anybody."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.hop import Hop
from sipd.message import parse_uri, parse_via
from sipd.net.dns import Naptr, Srv
from sipd.net.locating import (
    MAX_TARGETS,
    Choice,
    Service,
    choices,
    in_order,
    offered,
    sender_hop,
    sought,
    wanted,
)

HOP = Hop("UDP", "192.0.2.1", 5060)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535)), max_size=8), st.integers())
def test_services_are_ordered_by_priority_and_none_is_lost(rows, seed):
    services = [Service(priority, weight, (HOP,)) for priority, weight in rows]
    ordered = in_order(services, random.Random(seed))
    assert Counter(ordered) == Counter(services)
    assert [service.priority for service in ordered] == sorted(service.priority for service in services)


def test_weights_are_shares():
    heavy, light = Service(0, 90, (HOP,)), Service(0, 10, (HOP,))
    chance = random.Random(7)
    first = Counter(in_order([light, heavy], chance)[0].weight for _ in range(2000))
    assert 0.85 < first[90] / 2000 < 0.95


def test_every_server_of_a_priority_has_its_share_and_weight_0_a_small_chance():
    services = [Service(0, weight, (HOP,)) for weight in (0, 10, 30, 60)]
    chance = random.Random(11)
    first = Counter(in_order(services, chance)[0].weight for _ in range(20_000))
    for weight in (10, 30, 60):
        assert first[weight] / 20_000 == pytest.approx(weight / 100, abs=0.015)
    assert 0 < first[0] < 600, "RFC 2782: a very small chance of being selected"


def naptr(order: int, preference: int, service: str, flags: str = "s", regexp: str = "", to: str = "there.test"):
    return Naptr(order, preference, flags, service, regexp, to)


@pytest.mark.parametrize(
    ("records", "transports", "chosen"),
    [
        ([naptr(20, 1, "SIP+D2U"), naptr(10, 9, "SIP+D2T")], ("UDP", "TCP"), ["TCP", "UDP"]),
        ([naptr(10, 20, "SIP+D2U"), naptr(10, 10, "SIP+D2T")], ("UDP", "TCP"), ["TCP", "UDP"]),
        ([naptr(10, 10, "SIPS+D2T"), naptr(20, 10, "SIP+D2U")], ("UDP",), ["UDP"]),
        ([naptr(10, 10, "SIP+D2W"), naptr(20, 10, "SIPS+D2W")], ("UDP", "WS", "WSS"), ["WS", "WSS"]),
        ([naptr(10, 10, "SIP+D2U", flags="u")], ("UDP",), []),
        ([naptr(10, 10, "SIP+D2U", regexp="!.*!x!")], ("UDP",), []),
        ([naptr(10, 10, "SIP+D2U", to="")], ("UDP",), []),
        ([naptr(10, 10, "E2U+SIP"), naptr(10, 10, "SIPS+D2U"), naptr(10, 10, "")], ("UDP", "TLS"), []),
    ],
)
def test_naptr_records_are_taken_by_order_then_preference(records, transports, chosen):
    assert choices(records, transports) == [Choice(transport, "there.test") for transport in chosen]


@pytest.mark.parametrize(
    ("text", "transports"),
    [
        ("sip:a@host.test", ("UDP", "TCP", "TLS")),
        ("sips:a@host.test", ("TLS",)),
        ("sip:a@host.test;transport=TCP", ("TCP",)),
        ("sips:a@host.test;transport=tcp", ("TLS",)),
        ("sip:a@host.test;transport=sctp", ()),
    ],
)
def test_which_transports_are_looked_for(text, transports):
    assert wanted(sought(parse_uri(text)), ("UDP", "TCP", "TLS")) == transports


def test_of_too_many_servers_those_of_the_best_priority_are_looked_at():
    records = [Srv(priority, 0, 5060, f"h{priority}.test") for priority in reversed(range(50))]
    assert [record.priority for record in offered(records)] == list(range(MAX_TARGETS))
    assert offered([Srv(0, 0, 0, "")]) == []


@pytest.mark.parametrize(
    ("via", "hop"),
    [
        ("SIP/2.0/TCP a.test;branch=z9hG4bK1;received=192.0.2.7", Hop("TCP", "192.0.2.7", 5060)),
        ("SIP/2.0/TCP 192.0.2.8:5099;branch=z9hG4bK1", Hop("TCP", "192.0.2.8", 5099)),
        ("SIP/2.0/TLS a.test;branch=z9hG4bK1;received=192.0.2.7", Hop("TLS", "192.0.2.7", 5061, "a.test")),
        ("SIP/2.0/TCP a.test;branch=z9hG4bK1", None),
        ("SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK1", None),
        ("SIP/2.0/WSS x.invalid;branch=z9hG4bK1;received=192.0.2.7", None),
    ],
)
def test_where_a_response_goes_whose_connection_is_gone(via, hop):
    assert sender_hop(parse_via(via)) == hop
