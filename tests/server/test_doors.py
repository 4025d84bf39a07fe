"""What breaks outside any call: a stray response, a dead flow, a timer, a connection. The server stays (T121)."""

from __future__ import annotations

import trio
import trio.testing

from sipd.hop import Hop
from sipd.message import response_to
from sipd.net.connections import Connections
from sipd.net.stream import StreamFlow
from sipd.transaction import Transactions
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("broken for the test")


async def works(world) -> None:
    """A REGISTER and a call go through."""
    alice, bob = world.phones["alice"], world.phones["bob"]
    heard = len(bob.statuses("REGISTER"))
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=BOB))
    await bob.until(lambda: len(bob.statuses("REGISTER")) > heard)
    assert bob.statuses("REGISTER")[-1] == 200
    before = len(alice.responses(200))
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.responses(200)) > before)


async def test_a_response_that_breaks_something_is_dropped(nursery, autojump_clock, monkeypatch):
    world = await open_world(nursery, "alice", "bob")
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    await works(world)
    with monkeypatch.context() as patch:
        patch.setattr(Transactions, "client_for", broken)
        bob.listener.flow_to("10.0.0.1", 5060).send(bytes(response_to(alice.request("OPTIONS", BOB), 200)))
        await trio.sleep(1)
    assert world.house.counters.faults == 1
    await works(world)
    nursery.cancel_scope.cancel()


async def test_a_flow_or_timer_that_breaks_something_ends_nothing_else(nursery, autojump_clock, monkeypatch):
    world = await open_world(nursery, "alice", "bob")
    world.phone("alice")
    bob = world.phone("bob", "answers")
    await works(world)
    house = world.house
    house.transactions.deadlines.call_at(house.now() + 0.1, broken)
    with monkeypatch.context() as patch:
        patch.setattr(Transactions, "flow_failed", broken)
        house.network.on_failed(bob.listener.flow_to("10.0.0.1", 5060))
        await trio.sleep(1)
    assert house.counters.faults == 2
    await works(world)
    nursery.cancel_scope.cancel()


async def test_a_connection_over_which_something_breaks_ends_alone(nursery, autojump_clock):
    """Whatever it is: not what a peer does, but a fault of ours."""
    events: list[tuple[str, str]] = []
    connections = Connections()
    connections.on_event = lambda event, remote, detail: events.append((event, detail))
    flow = StreamFlow(Hop("TCP", "192.0.2.7", 5060), "192.0.2.1:5060", Hop("TCP", "192.0.2.1", 5060), connections)
    connections.enter(flow, accepted=True)
    ours, peer = trio.testing.memory_stream_pair()

    async def opening():
        await trio.lowlevel.checkpoint()
        return ours, None

    nursery.start_soon(flow.converse, opening, broken)
    await peer.send_all(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n")
    assert await peer.receive_some() == b""
    assert (flow.why, len(connections)) == ("fault", 0)
    assert [event for event, _ in events] == ["fault", "connection_closed"]
