from __future__ import annotations

import socket
from contextlib import asynccontextmanager

import pytest
import trio

from sipd.errors import SetupError
from sipd.hop import Hop, Way
from sipd.net import Flows, Network, Unreachable
from sipd.net.udp import UdpFlow
from tests.net.heard import Failed, Heard, message

HERE = "127.0.0.1"


class House:
    """A Flows with what a server would set."""

    def __init__(self, *hops: Hop) -> None:
        self.heard, self.failed = Heard(), Failed()
        self.flows = Flows(self.heard)
        self.flows.on_failed = self.failed
        self.hops = [self.flows.listen(hop) for hop in hops]


@asynccontextmanager
async def running(*hops: Hop):
    house = House(*hops)
    network: Network = house.flows  # it is one
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        yield house
        nursery.cancel_scope.cancel()


def udp(host: str = HERE) -> Hop:
    return Hop("UDP", host, 0)


def tcp(host: str = HERE) -> Hop:
    return Hop("TCP", host, 0)


async def test_listening_has_the_real_ports_in_order():
    async with running(udp(), tcp(), udp("::1")) as house:
        assert house.flows.listening == house.hops
        assert [hop.transport for hop in house.hops] == ["UDP", "TCP", "UDP"]
        assert all(hop.port for hop in house.hops)
        assert house.flows.is_ours("localhost", house.hops[0].port)
        assert not house.flows.is_ours(HERE, 9)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_two_houses_talk(transport):
    async with running(Hop(transport, HERE, 0)) as one, running(Hop(transport, HERE, 0)) as other:
        one.flows.to(other.hops[0]).send(message("there"))
        await other.heard.count(1)
        back = other.heard.flows[0]
        assert other.flows.to(back.remote) is back
        assert other.flows.to(back.remote, near=back) is back
        back.send(message("back"))
        await one.heard.count(1)
        assert (other.heard.items, one.heard.items) == ([message("there")], [message("back")])


async def test_a_connection_is_known_while_it_is_open():
    async with running(tcp(), udp()) as house:
        async with await trio.open_tcp_stream(HERE, house.hops[0].port) as stream:
            await stream.send_all(message())
            await house.heard.count(1)
            (flow,) = house.heard.flows
            assert house.flows.known(flow.remote) is flow
            flow.send(b"SIP/2.0 200 OK\r\n\r\n")
        await house.failed.count(1)
        assert house.flows.known(flow.remote) is None
        assert house.flows.known(Hop("TCP", HERE, 9)) is None


async def test_near_decides_which_socket_sends():
    async with running(udp(), udp(), udp("::1")) as house, running(udp()) as other:
        for port_of in house.hops[:2]:
            other.flows.to(port_of).send(message())
        await house.heard.count(2)
        for near in house.heard.flows:
            far = house.flows.to(Hop("UDP", HERE, 9), near)
            assert far.sent_by == near.sent_by
        six = house.flows.to(Hop("UDP", "::1", 9), house.heard.flows[0])
        assert six.sent_by == f"[::1]:{house.hops[2].port}", "another family has its own socket"


async def test_without_near_the_socket_of_the_systems_own_choice_sends():
    async with running(udp("127.0.0.2"), udp("127.0.0.1")) as house:
        assert house.flows.to(Hop("UDP", HERE, 9)).sent_by.startswith("127.0.0.1:")
        assert house.flows.to(Hop("UDP", HERE, 10)).sent_by.startswith("127.0.0.1:")


async def test_near_decides_the_address_for_another_transport_too():
    async with running(udp("127.0.0.2"), tcp("127.0.0.1"), tcp("127.0.0.2")) as house:
        near = house.flows.to(Hop("UDP", HERE, 9))
        assert house.flows.to(Hop("TCP", HERE, 9), near).sent_by == f"127.0.0.2:{house.hops[2].port}"


@pytest.mark.parametrize("hop", [Hop("TCP", HERE, 9), Hop("UDP", "::1", 9), Hop("TLS", HERE, 9), Hop("UDP", "x", 9)])
async def test_no_listener_no_way(hop):
    async with running(udp()) as house:
        with pytest.raises(Unreachable):
            house.flows.to(hop)


async def test_failures_are_told_in_a_later_turn():
    async with running(udp(), tcp()) as house:
        datagrams = house.flows.to(Hop("UDP", HERE, 9))
        datagrams.send(b"x" * 70000)
        assert house.failed.flows == [], "not from within send"
        await house.failed.count(1)
        assert house.failed.flows == [datagrams]
        assert not datagrams.closed
        connection = house.flows.to(Hop("TCP", HERE, 1))
        await house.failed.count(2)
        assert house.failed.flows[1] is connection
        assert connection.closed
        assert house.flows.gauges()["sends_failed"] == 1


async def test_the_tap_can_be_set_while_running():
    async with running(udp(), tcp()) as one, running(udp(), tcp()) as other:
        seen: list[tuple[str, str]] = []
        one.flows.tap = lambda direction, flow, data: seen.append((direction, flow.remote.transport))
        for hop in other.hops:
            one.flows.to(hop).send(message())
        await other.heard.count(2)
        assert sorted(seen) == [("out", "TCP"), ("out", "UDP")]
        one.flows.tap = None
        one.flows.to(other.hops[0]).send(message())
        await other.heard.count(3)
        assert len(seen) == 2


async def test_events_and_gauges_tell_of_connections():
    async with running(tcp()) as house:
        events: list[tuple[str, str]] = []
        house.flows.on_event = lambda name, remote, why: events.append((name, why))
        stream = await trio.open_tcp_stream(HERE, house.hops[0].port)
        await stream.send_all(message())
        await house.heard.count(1)
        assert house.flows.gauges()["connections"] == 1
        house.heard.flows[0].close()
        await house.failed.count(1)
        assert house.flows.gauges()["connections"] == 0
        assert events == [("connection_closed", "closed")]
        await stream.aclose()


async def test_cancelling_closes_everything():
    async with running(udp(), tcp()) as house:
        flow = house.flows.to(Hop("UDP", HERE, 9))
        assert isinstance(flow, UdpFlow)
    assert flow.closed
    with pytest.raises(Unreachable):
        house.flows.to(Hop("UDP", HERE, 9))
    for hop in house.hops:
        with socket.socket(type=socket.SOCK_DGRAM if hop.transport == "UDP" else socket.SOCK_STREAM) as again:
            again.bind((hop.host, hop.port))


@pytest.mark.parametrize(("transport", "says"), [("WSS", "no certificate"), ("SCTP", "no transport known here")])
def test_a_transport_without_a_listener_is_refused(transport, says):
    with pytest.raises(SetupError, match=says):
        Flows().listen(Hop(transport, HERE, 0))


def test_a_name_given_for_sent_by_is_ours():
    flows = Flows()
    hop = flows.listen(udp(), sent_by_host="sip.example.com")
    assert flows.is_ours("SIP.example.com", hop.port)
    assert flows.to(Hop("UDP", HERE, 9)).sent_by == f"sip.example.com:{hop.port}"
    flows.add_name("example.com")
    assert flows.is_ours("example.com", hop.port)
    flows.close()


async def test_a_way_to_what_is_no_address_is_none():
    async with running(udp()) as house:
        for host in ("a.example", "0.0.0.0", "fe80::1%eth0", "239.0.0.1"):
            assert house.flows.on(Way(Hop("UDP", host, 5060))) is None
        assert house.flows.on(Way(Hop("UDP", HERE, 5060))) is not None
