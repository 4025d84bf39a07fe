"""Whole servers on one MariaDB: what test_two_servers.py and test_no_query.py show on files, on what it is meant for.

On the real clock: a database's sockets know no other.
"""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from sipd.rows import Binding, Change, PutBinding, PutScript, Script
from sipd.store.mysql_link import Link
from sipd.store.mysql_news import LAST
from tests.server.phones import DOMAIN, SERVER, WALL, open_world
from tests.server.test_no_query import SCRIPT, many_calls
from tests.server.test_two_servers import ALICE, OTHER, register, statuses
from tests.store.conftest import store_of

BOB = f"bob@{DOMAIN}"


@pytest.fixture
async def two(nursery, mariadb):
    """Two worlds, each with its own connections to one database."""
    database = mariadb.new_database()
    first = await open_world(nursery, "alice", "bob", store=store_of(mariadb, database), max_contacts=100)
    second = await open_world(nursery, at=OTHER, beside=first, store=store_of(mariadb, database))
    yield first, second
    for world in (first, second):
        assert world.house.counters.faults == 0, "something broke behind the door"
        await world.store.close()


async def until(world, condition):
    """Wait for the changes that make this so."""
    changed = trio.Event()
    world.cache.watch(lambda changes: changed.set())
    with trio.fail_after(10):  # as a rule a third of a second, but machines may be busy
        while not condition():
            await changed.wait()
            changed = trio.Event()


async def shows(world, *uris):
    """Until that server has these bindings of alice, and no others."""
    await until(world, lambda: sorted(binding.uri for binding in world.cache.bindings(ALICE)) == sorted(uris))


async def test_what_one_is_told_the_other_rings(two):
    first, second = two
    desk = first.phone("desk", "answers")
    register(desk)
    assert await statuses(desk, 1) == [200]
    await shows(second, desk.uri)
    bob = second.phone("bob", host="10.0.2.1")
    bob.send(bob.request("INVITE", f"sip:{ALICE}"), OTHER)
    await bob.status(200)


async def test_of_many_at_once_at_both_none_is_lost(two):
    """Thirty contacts of one user, every second one at the other server: each conflict is decided again."""
    first, second = two
    phones = [first.phone(f"phone{number}") for number in range(30)]
    for number, phone in enumerate(phones):
        register(phone, at=(SERVER, OTHER)[number % 2], call_id=phone.name)
    for phone in phones:
        await phone.until(lambda phone=phone: any(status >= 200 for status in phone.statuses("REGISTER")), 30)
        assert phone.statuses("REGISTER")[-1] in (200, 503), "five conflicts in a row may be too many"
    told = [phone.uri for phone in phones if 200 in phone.statuses("REGISTER")]
    assert len(told) > 15
    await shows(first, *told)
    await shows(second, *told)


async def test_the_order_of_cseq_holds_whichever_server_is_asked(two):
    first, second = two
    desk = first.phone("desk")
    register(desk, cseq=5)
    assert await statuses(desk, 1) == [200]
    register(desk, at=OTHER, cseq=4, expires=0)
    [_, late] = await statuses(desk, 2)
    assert late >= 400
    register(desk, at=OTHER, cseq=6, contact="*", expires=0)
    assert (await statuses(desk, 3))[2] == 200
    await shows(first)
    await shows(second)


async def test_plain_sql_is_seen_by_both(two, mariadb):
    database = two[0].store._url.database
    for statement, seen in (
        (f"UPDATE users SET full_name = 'Alice Example' WHERE aor = '{ALICE}';", lambda user: bool(user.full_name)),
        (f"DELETE FROM users WHERE aor = '{ALICE}';", lambda user: user is None),
    ):
        mariadb.run(statement, database)
        for world in two:
            await until(world, lambda world=world, seen=seen: seen(world.cache.user(ALICE)))


async def test_calls_log_ins_scripts_and_options_make_no_query(nursery, mariadb, monkeypatch):
    world = await open_world(
        nursery, "alice", "bob", "carol", store=store_of(mariadb, mariadb.new_database()), auth="digest",
        nonce_life=3000,
    )  # fmt: skip
    bob, alice = world.phone("bob", "answers"), world.phone("alice")
    rows: list[Change] = [
        PutBinding(Binding(BOB, bob.uri, expires_at=WALL + 1e6)),
        PutScript(Script(BOB, "cpl", SCRIPT.encode(), "application/cpl+xml", WALL)),
    ]
    assert await world.store.apply([rows]) == [None]
    await world.cache.reload()
    await world.cache.catch_up()  # its connection is there now
    asked: Counter[str] = Counter()
    run = Link._run

    async def noted(link, composed, **more):
        asked[composed.decode("latin-1")] += 1
        return await run(link, composed, **more)

    monkeypatch.setattr(Link, "_run", noted)
    await many_calls(alice, bob, 0)
    assert LAST in asked
    assert [text for text in asked if "FROM change_log" not in text] == [], "that is how changes of others are noticed"
    assert world.house.counters.faults == 0
    await world.store.close()
