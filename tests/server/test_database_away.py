"""With the database away calls go on from memory, and nothing is pretended to be stored (T97, T98, P7, P8)."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio

from sipd.log import LOG
from sipd.rows import PutUser
from sipd.store import user_row
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, open_world
from tests.store.faulty import FaultyStore

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"


@pytest.fixture
async def store(tmp_path):
    return FaultyStore(tmp_path / "sip.sqlite3")


@pytest.fixture
async def world(nursery, store):
    made = await open_world(nursery, "alice", "bob", store=store)
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"
    await store.close()


@pytest.fixture
def lines(monkeypatch):
    found: list[str] = []
    monkeypatch.setattr(LOG, "_write", found.append)
    return found


def register(phone, cseq=1, *, expires=600, **more):
    aor = f"sip:{phone.name}@{DOMAIN}"
    phone.send(
        phone.request(
            "REGISTER", f"sip:{DOMAIN}", to=aor, from_uri=aor, call_id="reg", cseq=cseq,
            headers=(("Expires", str(expires)),), **more,
        )
    )  # fmt: skip


async def answer(phone, count=1):
    """The status of its REGISTER of that number, the last one."""

    def finals():
        return [status for status in phone.statuses("REGISTER") if status >= 200]

    await phone.until(lambda: len(finals()) >= count)
    assert len(finals()) == count
    return finals()[-1]


def stored(world):
    """The URIs that are in the file, as a third one reads it."""
    with closing(sqlite3.connect(world.store.path)) as connection:
        return [uri for (uri,) in connection.execute("SELECT uri FROM contacts ORDER BY uri")]


@pytest.mark.parametrize("trouble", ["away", "frozen", "full"])
async def test_who_registers_hears_503_and_calls_go_on(world, store, trouble, lines, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    register(bob, expires=7200)
    assert await answer(bob) == 200
    store.trouble = trouble
    began = trio.current_time()
    register(alice)
    assert await answer(alice) == 503
    assert trio.current_time() - began <= 6, "a wait without a bound"
    began = trio.current_time()
    register(alice, 2)
    assert await answer(alice, 2) == 503
    assert trio.current_time() == began, "who comes later need not wait for what can't be"
    assert {response.first("Retry-After") for response in alice.responses(503)} == {"10"}
    for number in range(20):
        began = trio.current_time()
        alice.send(alice.request("INVITE", f"sip:{BOB}"))
        await alice.until(lambda wanted=number + 1: alice.statuses().count(200) == wanted)
        assert trio.current_time() == began
        alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
        await alice.until(lambda wanted=number + 1: alice.statuses("OPTIONS").count(200) == wanted)
        await trio.sleep(30)
    assert world.house.gauges["db_up"].size() == 0
    assert world.cache.bindings(ALICE) == ()
    store.trouble = ""
    await trio.sleep(5 + 5 * (trouble == "frozen"))  # one that thaws may be under way for its own patience
    assert world.house.gauges["db_up"].size() == 1
    register(alice, 3)
    assert await answer(alice, 3) == 200
    assert stored(world) == sorted([alice.uri, bob.uri])
    events = [line.split("event=")[1].split()[0] for line in lines if "event=db_" in line]
    assert events == ["db_away", "db_back"], "one line when it begins, and one when it ends"


async def test_users_prove_themselves_from_memory(nursery, store, autojump_clock):
    world = await open_world(nursery, "alice", "bob", store=store, auth="digest")
    bob = world.phone("bob", "answers")
    world.bind(BOB, bob)
    store.trouble = "away"
    await trio.sleep(1)
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", f"sip:{BOB}"))
    challenge = (await alice.status(407)).values("Proxy-Authenticate")[0]
    proof = credentials(challenge, "INVITE", f"sip:{BOB}", username="alice", password="pw-alice")
    alice.send(alice.request("INVITE", f"sip:{BOB}", cseq=2, headers=(("Proxy-Authorization", proof),)))
    await alice.status(200)
    await store.close()


async def test_a_binding_that_expires_meanwhile_is_not_rung(world, store, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    register(bob, expires=60)
    assert await answer(bob) == 200
    store.trouble = "away"
    await trio.sleep(61)
    alice.send(alice.request("INVITE", f"sip:{BOB}"))
    await alice.until(lambda: any(status >= 400 for status in alice.statuses()))
    assert not bob.requests("INVITE")
    assert stored(world) == [bob.uri]
    store.trouble = ""
    await trio.sleep(20)
    assert stored(world) == [], "what could not be removed then is removed now"
    assert world.cache.bindings(BOB) == ()


@pytest.mark.parametrize("unknown", ["kept", "lost"])
async def test_a_commit_of_which_nobody_knows_is_500_and_looked_up(world, store, unknown, autojump_clock):
    """§10.3 step 7: 500, as the commit was tried. What is stored is shown before the next decision about it."""
    alice, bob = world.phone("alice"), world.phone("bob")
    store.unknown = unknown
    register(alice)
    assert await answer(alice) == 500
    assert alice.responses(500)[0].first("Retry-After") == "10"
    await trio.sleep(1)
    assert [binding.uri for binding in world.cache.bindings(ALICE)] == ([alice.uri] if unknown == "kept" else [])
    assert stored(world) == [binding.uri for binding in world.cache.bindings(ALICE)]
    register(alice, 2)
    assert await answer(alice, 2) == 200
    register(bob)
    assert await answer(bob) == 200
    assert stored(world) == sorted([alice.uri, bob.uri])


async def test_what_is_in_doubt_is_not_decided_on_while_it_can_not_be_read(world, store, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    store.unknown = "kept"
    register(alice)
    assert await answer(alice) == 500
    world.cache.reach.worked("writing")  # as if it took changes again and could not be read
    store.trouble = "away"
    register(alice, 2)
    assert await answer(alice, 2) == 503
    assert alice.responses(503)[0].first("Retry-After") == "10"
    store.trouble = ""
    await trio.sleep(5)
    register(alice, 3)
    assert await answer(alice, 3) == 200
    register(bob)
    assert await answer(bob) == 200


async def test_a_slow_database_delays_no_call(world, store, autojump_clock):
    bob, alice = world.phone("bob", "answers"), world.phone("alice")
    register(bob)
    assert await answer(bob) == 200
    store.slow = 1.0
    for number in range(10):
        register(alice, number + 1)
        await trio.sleep(0.5)
        began = trio.current_time()
        alice.send(alice.request("INVITE", f"sip:{BOB}"))
        await alice.until(lambda wanted=number + 1: alice.statuses().count(200) == wanted)
        assert trio.current_time() == began
        await trio.sleep(0.6)
    assert alice.statuses("REGISTER").count(200) == 10


async def test_who_would_wait_for_more_than_ten_seconds_hears_503(nursery, store, autojump_clock, monkeypatch):
    """A queue that is longer than phones wait is of no use to anybody."""
    monkeypatch.setattr("sipd.store.writer.BATCH", 1)
    names = [f"user{number}" for number in range(30)]
    world = await open_world(nursery, *names, store=store)
    store.slow = 1.0
    phones = [world.phone(name) for name in names]
    for phone in phones:
        register(phone)
    statuses = [await answer(phone) for phone in phones]
    assert trio.current_time() < 13
    assert 9 <= statuses.count(200) <= 12
    assert statuses.count(200) + statuses.count(503) == 30
    assert sorted(stored(world)) == sorted(
        phone.uri for phone, status in zip(phones, statuses, strict=True) if status == 200
    )
    await store.close()


async def test_hours_of_it_leave_nothing_behind(world, store, autojump_clock):
    """Everybody who registers is refused, again and again: nothing is kept of it."""
    phones = [world.phone("alice"), world.phone("bob")]
    cache = world.cache
    for number in range(100):
        world.put(PutUser(user_row(f"{number}@{DOMAIN}", DOMAIN, "pw")))

    def kept():
        following = cache.following
        return {
            "queued": len(world.house.writer),
            "unsure": len(following.unsure),
            "unread": len(following._unread),
            "turns": len(cache._turns._queued) + len(cache._turns._waiting),
            "expiry": sum(map(len, cache._expiry._lists.values())),
            "unanswered": world.house.transactions.unanswered,
            "servers": world.house.transactions.servers,
        }

    store.trouble = "frozen"
    sizes = []
    for _ in range(3):
        for _ in range(30):
            for number in range(100):
                phones[0].name = str(number)
                register(phones[0], number + 1)
            await trio.sleep(60)
        await trio.sleep(60)
        sizes.append(kept())
        phones[0].seen.clear()
    assert sizes[1:] == sizes[:-1]
    assert set(sizes[0].values()) == {0}
