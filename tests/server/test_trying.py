"""Answers to non-INVITE requests: never early, never 408, never late (RFC 4320, RFC 4321, T111)."""

from __future__ import annotations

import pytest
import trio

from sipd.server.trying import until_t2
from sipd.transaction.timers import TimerValues
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def silent(world, name="silent"):
    phone = world.phone(name)
    phone.react = lambda request, flow: None
    return phone


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_100_comes_when_timer_e_reaches_t2_and_not_before(world, autojump_clock, transport):
    alice = world.phone("alice", transport=transport)
    world.bind(f"bob@{DOMAIN}", silent(world))
    start = trio.current_time()
    alice.send(alice.request("MESSAGE", BOB))
    await alice.status(100)
    assert 3.5 <= alice.time_of(100) - start < 3.8


async def test_a_request_answered_in_time_gets_no_100(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    for _ in range(5):
        alice.send(alice.request("MESSAGE", BOB))
        await trio.sleep(0.3)
    await trio.sleep(10)
    assert alice.statuses("MESSAGE") == [200] * 5


async def test_the_100_is_sent_again_for_a_repetition_and_nothing_else_follows(world, autojump_clock):
    alice = world.phone("alice")
    world.bind(f"bob@{DOMAIN}", silent(world))
    message = alice.request("MESSAGE", BOB)
    alice.send(message)
    await alice.status(100)
    alice.send(message)
    await alice.until(lambda: alice.statuses("MESSAGE") == [100, 100])
    await trio.sleep(100)
    assert alice.statuses("MESSAGE") == [100, 100], "no 408 (RFC 4320 §4.2)"
    assert world.house.transactions.servers == 0


@pytest.mark.parametrize("status", [100, 180, 183, 199])
async def test_no_provisional_of_a_phone_is_passed_on(world, autojump_clock, status):
    alice, bob = world.phone("alice"), world.phone("bob")
    bob.react = lambda request, flow: bob.reply(request, flow, status)
    world.bind(f"bob@{DOMAIN}", bob)
    start = trio.current_time()
    alice.send(alice.request("MESSAGE", BOB))
    await trio.sleep(5)
    assert alice.statuses("MESSAGE") == [100], "our own, after 3.5 s"
    assert alice.time_of(100) - start >= 3.5


async def test_a_late_response_is_dropped(world, autojump_clock):
    alice, bob = world.phone("alice"), silent(world, "bob")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("MESSAGE", BOB))
    await bob.until(lambda: bool(bob.requests("MESSAGE")))
    request = bob.requests("MESSAGE")[0]
    await trio.sleep(33)
    bob.reply(request, bob.listener.flow_to("10.0.0.1", 5060), 200)
    await trio.sleep(1)
    assert alice.statuses("MESSAGE") == [100]
    assert world.house.counters.dropped == 1


async def test_a_register_that_waits_for_the_database_gets_its_100(world, autojump_clock, monkeypatch):
    alice = world.phone("alice")
    waiting = []
    monkeypatch.setattr(world.house.writer, "submit", lambda changes, aor, done: waiting.append(done))
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
    await alice.status(100)
    waiting[0](None)
    await alice.until(lambda: alice.statuses("REGISTER") == [100, 200])


async def test_many_slow_ones_have_theirs_each(world, autojump_clock):
    alice = world.phone("alice")
    world.bind(f"bob@{DOMAIN}", silent(world))
    sent = {}
    for _ in range(30):
        message = alice.request("MESSAGE", BOB)
        sent[message.call_id] = trio.current_time()
        alice.send(message)
        await trio.sleep(0.07)
    await trio.sleep(5)
    heard = {seen.message.call_id: seen.at for seen in alice.seen}
    assert heard.keys() == sent.keys()
    assert all(3.5 <= heard[call] - sent[call] < 3.9 for call in sent)


def test_the_time_follows_the_timers():
    assert until_t2(TimerValues()) == 3.5
    assert until_t2(TimerValues(t1=1.0, t2=4.0)) == 3.0
