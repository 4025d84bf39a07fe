"""Where responses go, also when the connection is gone (RFC 3261 §18.2.2, RFC 3581)."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, SERVER, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def hang_up(phone) -> None:
    phone.listener.flow_to(SERVER.host, SERVER.port).close()


async def test_a_new_connection_is_opened_to_where_the_request_came_from(world, autojump_clock):
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    hang_up(alice)
    await trio.sleep(1)
    bob.answer()
    await alice.status(200)
    assert world.house.counters.unsent == 0


async def test_to_the_port_of_sent_by(world, autojump_clock):
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob")
    other = world.phone("other", host=alice.hop.host, port=5999, transport="TCP")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = bytes(alice.request("INVITE", BOB)).replace(b":5060;branch", b":5999;branch")
    alice.listener.flow_to(SERVER.host, SERVER.port).send(invite)
    await alice.status(180)
    hang_up(alice)
    await trio.sleep(1)
    bob.reply(*bob._invite, 486)
    await other.status(486)


async def test_a_retransmission_by_a_new_connection_is_answered_there(world, autojump_clock):
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    await alice.status(180)
    hang_up(alice)
    await trio.sleep(1)
    alice.send(invite)
    await alice.until(lambda: alice.statuses() == [100, 180, 180])
    bob.answer()
    await alice.status(200)
    assert len(bob.requests("INVITE")) == 1


async def test_a_response_nobody_can_be_sent_is_counted_and_the_call_ends(world, autojump_clock):
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = bytes(alice.request("INVITE", BOB)).replace(b"TCP 10.0.1.1:5060;", b"WS 10.0.1.1:5060;")
    alice.listener.flow_to(SERVER.host, SERVER.port).send(invite)
    await alice.status(180)
    hang_up(alice)
    await trio.sleep(1)
    bob.answer()
    await trio.sleep(1)
    assert world.house.counters.unsent == 1
    await trio.sleep(80)
    assert world.house.transactions.servers == 0


async def test_a_maddr_in_the_via_counts_only_where_the_setting_says_so(world, autojump_clock):
    alice, elsewhere = world.phone("alice"), world.phone("elsewhere")
    options = bytes(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    options = options.replace(b";branch", f";maddr={elsewhere.hop.host};branch".encode())
    way = alice.listener.flow_to(SERVER.host, SERVER.port)
    way.send(options)
    await alice.status(200)
    assert not elsewhere.seen
    world.settings(honour_maddr=True)
    way.send(options.replace(b"z9hG4bK", b"z9hG4bKx"))
    await elsewhere.status(200)
    way.send(options.replace(b"z9hG4bK", b"z9hG4bKy").replace(elsewhere.hop.host.encode(), b"name.example"))
    await alice.until(lambda: len(alice.responses(200)) == 2)
