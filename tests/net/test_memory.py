from __future__ import annotations

import pytest
import trio
import trio.testing

from sipd.hop import Hop
from sipd.net import MemoryNetwork, Network, Sent, Unreachable
from tests.net.heard import Failed, Heard, echo, message

HERE = Hop("UDP", "10.0.0.1", 5060)
HERE_TCP = Hop("TCP", "10.0.0.1", 5060)
PHONE = Hop("UDP", "10.0.0.7", 5062)


@pytest.fixture
async def network(nursery):
    made = MemoryNetwork()
    await nursery.start(made.run)
    return made


@pytest.fixture
async def house(network):
    made = network.host(HERE, HERE_TCP)
    made.receive, made.on_failed = Heard(echo), Failed()
    satisfies: Network = made
    assert satisfies is made
    return made


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_datagrams_come_in_a_later_turn_with_the_way_back(network, house, autojump_clock):
    phone = network.listener(*PHONE[:3], Heard())
    flow = phone.flow_to("10.0.0.1", 5060)
    flow.send(message())
    assert house.receive.items == [], "not at once"
    await settled()
    assert (house.receive.items, phone.receive.items) == ([message()], [message()])
    assert house.receive.flows[0].remote == PHONE
    assert house.receive.flows[0].sent_by == "10.0.0.1:5060"
    assert (flow.remote, flow.reliable, flow.closed) == (HERE, False, False)
    assert house.to(PHONE, house.receive.flows[0]) is house.receive.flows[0]
    assert network.sent == [Sent(0.0, PHONE, HERE, message(), False), Sent(0.0, HERE, PHONE, message(), False)]


async def test_a_datagram_to_nobody_is_gone(network, house):
    house.to(Hop("UDP", "10.0.0.9", 5060)).send(message())
    await settled()
    assert house.on_failed.flows == []
    assert len(network.sent) == 1


async def test_loss_is_programmable_per_link(network, house):
    phone = network.listener(*PHONE[:3], Heard())
    network.loss = lambda source, target, data: source == HERE
    phone.flow_to("10.0.0.1", 5060).send(message())
    await settled()
    assert (len(house.receive.items), len(phone.receive.items)) == (1, 0)
    assert [sent.lost for sent in network.sent] == [False, True]


async def test_latency_is_waited_for(network, house, autojump_clock):
    network.latency = 0.25
    phone = network.listener(*PHONE[:3], Heard())
    phone.flow_to("10.0.0.1", 5060).send(message())
    await phone.receive.count(1)
    assert trio.current_time() == pytest.approx(0.5)


async def test_keep_alives_are_no_messages(network, house):
    network.listener(*PHONE[:3]).flow_to("10.0.0.1", 5060).send(b"\r\n\r\n")
    await settled()
    assert house.receive.items == []


async def test_a_connection_is_opened_and_used_both_ways(network, house):
    phone = network.listener("TCP", "10.0.0.7", 5062, Heard())
    flow = phone.flow_to("10.0.0.1", 5060)
    assert flow.reliable
    flow.send(message("one"))
    flow.send(message("two"))
    await settled()
    assert house.receive.items == [message("one"), message("two")]
    assert phone.receive.items == [message("one"), message("two")]
    back = house.receive.flows[0]
    assert back.remote.host == "10.0.0.7"
    assert back.remote.port != 5062, "a connection has a port of its own"
    assert house.to(back.remote) is back
    assert phone.flow_to("10.0.0.1", 5060) is flow


async def test_nobody_there_is_told_for_a_connection(network, house):
    flow = house.to(Hop("TCP", "10.0.0.9", 5060))
    flow.send(message())
    assert not flow.closed
    await settled()
    assert flow.closed
    assert house.on_failed.flows == [flow]


async def test_both_ends_hear_of_a_closed_connection(network, house):
    phone = network.listener("TCP", "10.0.0.7", 5062, Heard())
    phone.on_failed = Failed()
    flow = phone.flow_to("10.0.0.1", 5060)
    flow.send(message())
    await settled()
    flow.close()
    await settled()
    assert phone.on_failed.flows == [flow]
    assert house.on_failed.flows == house.receive.flows
    assert house.receive.flows[0].closed
    assert phone.flow_to("10.0.0.1", 5060) is not flow


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_an_unreachable_place_fails_what_is_sent(network, house, transport):
    there = network.listener(transport, "10.0.0.9", 5060, Heard())
    network.unreachable.add(there.hop)
    flow = house.to(there.hop)
    flow.send(message())
    assert house.on_failed.flows == []
    await settled()
    assert house.on_failed.flows == [flow]
    assert there.receive.items == []
    assert flow.closed == (transport == "TCP")


async def test_no_listener_no_way(house):
    with pytest.raises(Unreachable):
        house.to(Hop("TLS", "10.0.0.9", 5061))
    with pytest.raises(Unreachable):
        house.to(Hop("UDP", "2001:db8::1", 5060))


async def test_near_decides_which_socket_sends(house):
    second = house.listen(Hop("UDP", "10.0.0.2", 5060))
    near = house.to(PHONE, house.to(Hop("UDP", "10.0.0.9", 5060)))
    assert near.local == HERE
    assert house.listening == [HERE, HERE_TCP, second]


def test_what_is_ours():
    house = MemoryNetwork().host(HERE, Hop("UDP", "2001:db8::1", 5070), sent_by_host="Sip.example.com")
    house.add_name("example.com")
    assert house.is_ours("10.0.0.1", None)
    assert house.is_ours("2001:DB8:0::1", 5070)
    assert house.is_ours("sip.EXAMPLE.com", 5060)
    assert house.is_ours("example.com", 5070)
    assert not house.is_ours("10.0.0.1", 5070)
    assert not house.is_ours("10.0.0.2", 5060)
    assert house.to(PHONE).sent_by == "Sip.example.com:5060"


async def test_an_address_is_had_once(network):
    listener = network.listener(*PHONE[:3])
    with pytest.raises(ValueError, match="in use"):
        network.listener(*PHONE[:3])
    listener.close()
    network.listener(*PHONE[:3])


async def test_tls_needs_no_certificates_and_keeps_connections_by_name():
    network = MemoryNetwork()
    ours, theirs = Hop("TLS", "192.0.2.1", 5061), Hop("TLS", "192.0.2.9", 5061)
    house, other = network.host(ours), network.host(theirs)
    heard = house.receive = Heard()
    other.receive = Heard(echo)
    async with trio.open_nursery() as nursery:
        await nursery.start(house.run)
        one, two = house.to(theirs._replace(name="A.example")), house.to(theirs._replace(name="b.example"))
        assert one is not two
        assert house.to(theirs._replace(name="a.example.")) is one
        assert house.known(theirs) is None
        assert house.to(theirs._replace(name=theirs.host)) is house.to(theirs), "an address is its own name"
        one.send(message())
        await heard.count(1)
        assert heard.flows == [one]
        assert (one.names, one.reliable, one.sent_by) == (("a.example",), True, "192.0.2.1:5061")
        assert [sent.target for sent in network.sent][:1] == [theirs]
        assert house.is_ours("192.0.2.1", None), "5061 is the default port of TLS"
        nursery.cancel_scope.cancel()


async def test_the_network_lives_as_long_as_anyone_runs_it():
    network = MemoryNetwork()
    house, other = network.host(HERE), network.host(PHONE)
    house.receive, other.receive = Heard(), Heard(echo)
    async with trio.open_nursery() as nursery:
        await nursery.start(house.run)
        async with trio.open_nursery() as inner:
            await inner.start(other.run)
            house.to(PHONE).send(message())
            await house.receive.count(1)
            inner.cancel_scope.cancel()
        house.to(PHONE).send(message())
        await settled()
        assert len(house.receive.items) == 1, "the other host has gone"
        again = network.host(PHONE)
        again.receive = Heard(echo)
        house.to(PHONE).send(message())
        await house.receive.count(2)
        nursery.cancel_scope.cancel()
