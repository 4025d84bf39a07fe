"""Trusted servers are found by address, network and certificate name; anything else is nobody."""

import pytest

from sipd.rows import Peer
from sipd.store.peers import Peers, network_from_text

GATEWAY = Peer("gateway", "192.0.2.7")
OFFICE = Peer("office", "192.0.2.0/24")
SIX = Peer("six", "2001:db8::/32")
TRUNK = Peer("trunk", "cert:Trunk.Example.net")
ODD = Peer("odd", "not an address")
PEERS = Peers([OFFICE, GATEWAY, SIX, TRUNK, ODD])


@pytest.mark.parametrize(
    ("host", "names", "found"),
    [
        ("192.0.2.7", (), GATEWAY),  # the narrowest that fits
        ("192.0.2.8", (), OFFICE),
        ("2001:db8::9", (), SIX),
        ("198.51.100.1", (), None),
        ("198.51.100.1", ("other.example", "trunk.example.net"), TRUNK),
        ("192.0.2.8", ("trunk.example.net",), OFFICE),
        ("no address", (), None),
        ("no address", ("trunk.example.net",), TRUNK),
    ],
)
def test_a_peer_is_found_by_where_it_is_or_what_it_proves(host, names, found):
    assert PEERS.find(host, names) == found


def test_without_rows_there_is_nobody():
    assert not Peers()
    assert not Peers([ODD])
    assert Peers().find("192.0.2.7", ("trunk.example.net",)) is None


@pytest.mark.parametrize("text", ["", "192.0.2.7/33", "host.example", "cert:x"])
def test_what_is_no_network(text):
    assert network_from_text(text) is None
