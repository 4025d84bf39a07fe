"""What must not cost a task or a wait, and what happens when the database is away."""

from __future__ import annotations

import gc

import pytest
import trio

from sipd.errors import StoreAway
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


class Spawned(trio.abc.Instrument):
    """Counts tasks as Trio starts them."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.names.append(task.name)


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def in_dialog(world):
    """A call that is answered: the two phones, the INVITE and the route set of the caller."""
    alice, bob = world.phone("alice"), world.phone("bob", "rings answers")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await alice.status(200)
    return alice, bob, invite, tuple(("Route", value) for value in ok.values("Record-Route"))


async def test_a_request_in_a_dialog_and_its_answer_start_no_task(world, autojump_clock):
    alice, bob, invite, routes = await in_dialog(world)
    counter = Spawned()
    trio.lowlevel.add_instrument(counter)
    alice.send(alice.request("BYE", bob.uri, to=BOB, to_tag="tag-bob", cseq=2, call_id=invite.call_id, headers=routes))
    await alice.until(lambda: alice.statuses("BYE") == [200])
    trio.lowlevel.remove_instrument(counter)
    assert counter.names == []


async def test_a_retransmission_is_answered_without_a_task_and_without_policy(world, autojump_clock, monkeypatch):
    alice, _, invite, _ = await in_dialog(world)
    monkeypatch.setattr("sipd.server.dispatch.decide", lambda *given: pytest.fail("policy was asked again"))
    counter = Spawned()
    trio.lowlevel.add_instrument(counter)
    before = len(alice.seen)
    alice.send(invite)
    await trio.sleep(0.1)
    trio.lowlevel.remove_instrument(counter)
    assert counter.names == []
    assert len(alice.seen) == before, "after the 2xx an INVITE is absorbed: its answer is the callee's to repeat"


async def test_a_message_with_one_target_starts_no_task(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    counter = Spawned()
    trio.lowlevel.add_instrument(counter)
    alice.send(alice.request("MESSAGE", BOB, body=b"hello"))
    await alice.until(lambda: alice.statuses("MESSAGE") == [200])
    trio.lowlevel.remove_instrument(counter)
    assert counter.names == []


async def test_an_invite_has_one_task_for_the_call_and_one_for_each_branch(world, autojump_clock):
    alice = world.phone("alice")
    for name in ("desk", "mobile", "tablet"):
        world.bind(f"bob@{DOMAIN}", world.phone(name))
    counter = Spawned()
    trio.lowlevel.add_instrument(counter)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    trio.lowlevel.remove_instrument(counter)
    assert len(counter.names) == 1 + 3


async def test_an_invite_with_one_target_has_one_task(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    counter = Spawned()
    trio.lowlevel.add_instrument(counter)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    trio.lowlevel.remove_instrument(counter)
    assert len(counter.names) == 1


async def test_register_gets_503_while_the_database_is_away_and_calls_go_on(world, autojump_clock, monkeypatch):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    with monkeypatch.context() as patch:
        patch.setattr(world.house.writer, "submit", lambda changes, aor, done: done(StoreAway("the disk is full")))
        alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
        refused = await alice.status(503)
    assert refused.first("Retry-After") == "10"
    assert world.cache.bindings(f"alice@{DOMAIN}") == ()
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: 200 in alice.statuses())


async def test_register_is_answered_after_the_commit_with_what_holds_then(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}", headers=(("Expires", "600"),)))
    await alice.until(lambda: alice.statuses("REGISTER") == [200])
    [contact] = alice.responses(200)[0].contacts
    assert (contact.uri.text, contact.param("expires")) == (alice.uri, "600")
    assert [binding.uri for binding in world.cache.bindings(f"alice@{DOMAIN}")] == [alice.uri]


async def test_what_breaks_before_a_call_is_answered_500_and_breaks_nothing_else(world, autojump_clock, monkeypatch):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    with monkeypatch.context() as patch:
        patch.setattr("sipd.server.dispatch.decide", lambda *given: 1 / 0)
        alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
        await alice.status(500)
    assert world.house.counters.faults == 1
    world.house.counters.faults = 0
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: 200 in alice.statuses())


async def test_calls_leave_nothing_for_the_garbage_collector(world, autojump_clock):
    """A collection over many objects would hold up every call: what ends must be gone at once."""
    alice, bob, busy = world.phone("alice"), world.phone("bob", "answers"), world.phone("busy", "486")
    world.bind(f"bob@{DOMAIN}", busy)
    world.bind(f"bob@{DOMAIN}", bob, 500)
    world.script(
        f"alice@{DOMAIN}",
        '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><lookup source="registration"><success>'
        '<proxy timeout="5"/></success></lookup></incoming></cpl>',
    )
    world.bind(f"alice@{DOMAIN}", world.phone("desk", "rings"))

    async def calls() -> None:
        alice.send(alice.request("INVITE", BOB))  # a fork
        await alice.until(lambda: 200 in alice.statuses())
        bob.send(bob.request("INVITE", f"sip:alice@{DOMAIN}", from_uri=BOB))  # a script, rung in vain
        await bob.until(lambda: any(status >= 400 for status in bob.statuses()))
        alice.seen.clear()
        bob.seen.clear()
        await trio.sleep(70)

    await calls()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await calls()
        gc.collect()
        left = {type(thing).__qualname__ for thing in gc.garbage if type(thing).__module__.startswith("sipd.server")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == set()
