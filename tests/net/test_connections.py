from __future__ import annotations

import pytest

from sipd.hop import Hop
from sipd.net.connections import Connections, Room
from sipd.net.stream import StreamFlow

NEAR = Hop("TCP", "192.0.2.1", 5060)


def entered(connections: Connections, host: str, port: int, *, accepted: bool = True) -> StreamFlow:
    flow = StreamFlow(Hop("TCP", host, port), "192.0.2.1:5060", NEAR, connections)
    connections.enter(flow, accepted=accepted)
    return flow


def ended(connections: Connections, flow: StreamFlow) -> None:
    flow.close()
    connections.ended(flow, "closed")


def test_a_connection_is_found_by_its_far_end_until_it_is_closed():
    connections = Connections()
    flow = entered(connections, "192.0.2.7", 5060)
    assert connections.find(Hop("TCP", "192.0.2.7", 5060)) is flow
    flow.close()
    assert connections.find(Hop("TCP", "192.0.2.7", 5060)) is None


def test_one_source_has_its_share_only():
    connections = Connections(Room(total=10, per_source=2))
    first = entered(connections, "192.0.2.7", 1)
    entered(connections, "192.0.2.7", 2)
    assert not connections.admits("192.0.2.7")
    assert connections.admits("192.0.2.8")
    assert connections.refused == 1
    ended(connections, first)
    assert connections.admits("192.0.2.7")


def test_pinned_and_opened_connections_do_not_count_for_their_source():
    connections = Connections(Room(total=10, per_source=1))
    entered(connections, "192.0.2.7", 5060, accepted=False)
    assert connections.admits("192.0.2.7")
    flow = entered(connections, "192.0.2.7", 1)
    flow.is_pinned = True
    connections.pinned(flow)
    assert connections.admits("192.0.2.7")
    flow.is_pinned = False
    connections.pinned(flow)
    assert not connections.admits("192.0.2.7")
    ended(connections, flow)
    assert not connections._per_source


@pytest.mark.parametrize("accepted", [True, False])
def test_all_have_their_limit(accepted):
    connections = Connections(Room(total=2, per_source=2))
    entered(connections, "192.0.2.7", 1, accepted=accepted)
    entered(connections, "192.0.2.8", 1, accepted=accepted)
    assert connections.is_full
    assert not connections.admits("192.0.2.9")


def test_the_end_is_told_once_with_its_reason():
    told: list[object] = []
    connections = Connections()
    connections.on_failed = told.append
    connections.on_event = lambda event, remote, why: told.append((event, remote.port, why))
    flow = entered(connections, "192.0.2.7", 1)
    ended(connections, flow)
    assert told == [("connection_closed", 1, "closed"), flow]
    assert len(connections) == 0


def test_a_newer_connection_to_the_same_far_end_is_kept():
    connections = Connections()
    old = entered(connections, "192.0.2.7", 1)
    old.close()
    new = entered(connections, "192.0.2.7", 1)
    connections.ended(old, "closed")
    assert connections.find(new.remote) is new


def test_a_peer_has_any_number_up_to_the_limit_of_all():
    connections = Connections(Room(total=3, per_source=1))
    connections.is_exempt = lambda host: host == "192.0.2.7"
    for port in range(3):
        assert connections.admits("192.0.2.7")
        entered(connections, "192.0.2.7", port)
    assert not connections.admits("192.0.2.7")


def test_the_addresses_of_one_ipv6_network_share_their_number():
    connections = Connections(Room(total=10, per_source=2))
    first = entered(connections, "2001:db8::1", 1)
    entered(connections, "2001:db8::2", 1)
    assert not connections.admits("2001:db8::3")
    assert connections.admits("2001:db8:0:1::3")
    ended(connections, first)
    assert connections.admits("2001:db8::3")
