"""Responses whose connection is gone (RFC 3261 §18.2.2, RFC 3263 §5, T18), on the virtual clock."""

from __future__ import annotations

import pytest
import trio

from sipd.hop import Hop
from sipd.message import response_to
from sipd.rows import Peer, PutPeer
from sipd.server.returning import MOST_OPENED
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    made.bind(f"bob@{DOMAIN}", made.phone("bob", "rings"))
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def hang_up(world, phone):
    """End the connections of a phone from its side."""
    for flow in list(phone.listener._flows.values()):
        flow.close()
    await trio.sleep(0.1)


async def ring(world, alice, via: str = ""):
    """A call over TCP that rings, from a phone which then loses its connection."""
    invite = alice.request("INVITE", BOB)
    if via:
        at = invite.names.index("Via")
        lines = invite.lines.copy()
        lines[at] = lines[at].replace(f"{alice.hop.host}:{alice.hop.port}", via)
        invite = invite.with_lines(invite.names, lines)
    alice.send(invite)
    await alice.status(180)
    await hang_up(world, alice)


async def test_a_new_connection_is_opened_to_the_port_of_sent_by(world, autojump_clock):
    alice = world.phone("alice", transport="TCP")
    await ring(world, alice)
    world.phones["bob"].answer()
    await alice.status(200)


async def test_for_a_datagram_nothing_is_opened(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    world.phones["bob"].answer()
    await alice.status(200)
    assert not any(sent.target.transport == "TCP" for sent in world.network.sent)


@pytest.mark.parametrize("trusted", [True, False])
async def test_where_that_fails_a_trusted_sender_is_looked_for_by_name(world, autojump_clock, trusted):
    alice = world.phone("alice", transport="TCP", host="10.0.3.1")
    dead, backup = Hop("TCP", "10.0.3.2", 5060), world.phone("backup", transport="TCP", host="10.0.3.3")
    world.resolver.found["farm.example"] = [dead, backup.hop]
    if trusted:
        world.put(PutPeer(Peer("farm", "10.0.3.0/24")))
    await ring(world, alice, via="farm.example")
    world.network.unreachable.add(alice.hop)
    world.phones["bob"].answer()
    if trusted:
        await backup.status(200)
    await trio.sleep(40)
    assert bool(backup.seen) is trusted, "nobody else may name the host that our responses go to"
    assert len(world.house.returning) == 0


@pytest.mark.parametrize("via", ["10.7.7.7:22;branch=z9hG4bKt1", "-;branch=z9hG4bKt1"])
async def test_who_answers_does_not_say_where_the_answer_goes(world, autojump_clock, via):
    alice, bob = world.phone("alice", transport="TCP"), world.phones["bob"]
    victim = world.phone("victim", transport="TCP", host="10.7.7.7", port=22)
    await ring(world, alice)
    world.network.unreachable.add(alice.hop)  # and shall not have to read it
    busy = bytes(response_to(bob.requests("INVITE")[0], 486, to_tag="b"))
    begin = busy.index(b"Via: SIP/2.0/TCP")
    end = busy.index(b"\r\n", begin)
    bob.send(busy[:begin] + b"Via: SIP/2.0/TCP " + via.encode() + busy[end:])
    await trio.sleep(1)
    assert victim.seen == []


async def test_by_hanging_up_a_source_has_few_connections_opened(world, autojump_clock):
    alice, bob = world.phone("alice", transport="TCP"), world.phones["bob"]
    for number in range(100):
        invite = alice.request("INVITE", BOB)
        at = invite.names.index("Via")
        lines = invite.lines.copy()
        lines[at] = lines[at].replace(":5060", f":{2000 + number}")
        alice.send(invite.with_lines(invite.names, lines))
    await bob.until(lambda: len(bob.requests("INVITE")) == 100)
    await hang_up(world, alice)
    for invite in bob.requests("INVITE"):
        bob.send(response_to(invite, 486, to_tag="b"))
    await trio.sleep(0.5)
    opened = {sent.target.port for sent in world.network.sent if sent.target.host == alice.hop.host}
    assert 0 < len(opened & set(range(2000, 2100))) <= 2 * MOST_OPENED, "a second may begin meanwhile"
