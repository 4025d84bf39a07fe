from __future__ import annotations

import pytest

from sipd.hop import Hop
from sipd.net.places import Places


def places(*hops: Hop) -> Places:
    made = Places(lambda: frozenset({"127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"}))
    for hop in hops:
        made.add(hop)
    return made


WILD = Hop("UDP", "0.0.0.0", 5060)
WILD6 = Hop("UDP", "::", 5060)
HERE = Hop("TCP", "127.0.0.1", 5080)
THERE = Hop("UDP", "192.0.2.1", 5060)

SAFE = Hop("TLS", "192.0.2.1", 5061)
SAFE_ELSEWHERE = Hop("TLS", "192.0.2.1", 5060)


@pytest.mark.parametrize(
    ("hop", "host", "port", "ours"),
    [
        (THERE, "192.0.2.1", 5060, True),
        (THERE, "192.0.2.1", None, True),  # 5060 is meant
        (THERE, "192.0.2.1", 5061, False),
        (THERE, "127.0.0.1", 5060, False),
        (THERE, "localhost", 5060, False),
        (WILD, "192.0.2.1", 5060, True),
        (WILD, "127.0.0.1", None, True),
        (WILD, "127.9.9.9", 5060, True),
        (WILD, "127.9.9.9.example.com", 5060, False),
        (WILD, "0.0.0.0", 5060, True),
        (WILD, "LOCALHOST", 5060, True),
        (WILD, "2001:db8::1", 5060, False),
        (WILD, "192.0.2.2", 5060, False),
        (WILD6, "2001:DB8:0::1", 5060, True),
        (WILD6, "::1", 5060, True),
        (WILD6, "192.0.2.1", 5060, False),
        (HERE, "127.0.0.1", 5080, True),
        (HERE, "127.0.0.1", None, False),
        (HERE, "127.0.0.2", 5080, False),
        (HERE, "::ffff:127.0.0.1", 5080, True),
        (HERE, "localhost", 5080, True),
        (SAFE, "192.0.2.1", 5061, True),
        (SAFE, "192.0.2.1", None, True),  # `sips:` or `;transport=tls` means 5061
        (SAFE, "192.0.2.1", 5060, False),
        (SAFE_ELSEWHERE, "192.0.2.1", None, False),
    ],
)
def test_a_place_is_ours_when_a_listener_can_be_reached_there(hop, host, port, ours):
    assert places(hop).is_ours(host, port) is ours


def test_a_name_is_ours_at_every_port_we_listen_on():
    made = places(THERE)
    made.add_name("Sip.Example.com")
    made.add(HERE)
    assert made.is_ours("sip.example.COM.", 5060)
    assert made.is_ours("sip.example.com", 5080)
    assert not made.is_ours("sip.example.com", 5070)


def test_an_address_that_came_later_is_ours_after_a_refresh():
    has = {"127.0.0.1"}
    made = Places(lambda: frozenset(has))
    made.add(WILD)
    has.add("198.51.100.7")
    made.refresh()
    assert made.is_ours("198.51.100.7", None)
