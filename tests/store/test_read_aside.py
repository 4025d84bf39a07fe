"""A disk that holds up our commits does not hide what others have stored."""

from __future__ import annotations

import pytest
import trio

from sipd.rows import PutBinding
from sipd.store import Cache, Writer
from tests.store.faulty import FaultyStore
from tests.store.rows import ALICE, BOB, apply, binding

SLOW = 4.0


def of(aor, uri="sip:1@192.0.2.1"):
    return binding(aor=aor, uri=uri)


@pytest.fixture
async def store(sqlite):
    made = FaultyStore(sqlite.path, shared=True)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def other(sqlite):
    """Another server's."""
    made = FaultyStore(sqlite.path, shared=True)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def cache(store):
    made = Cache(store)
    await made.fill()
    return made


@pytest.fixture
async def writer(store, cache, nursery):
    made = Writer(store, cache)
    await nursery.start(made.run)
    await nursery.start(cache.watch_outside)
    return made


async def committed(writer, change):
    """Submit it, and return when it is durable."""
    over = trio.Event()
    writer.submit([change], change.binding.aor, lambda error: over.set())
    await over.wait()


async def test_what_another_stores_is_seen_while_our_commit_is_slow(
    cache, store, writer, other, nursery, autojump_clock
):
    store.slow = SLOW
    nursery.start_soon(committed, writer, PutBinding(of(ALICE)))
    await trio.sleep(0.1)
    await apply(other, PutBinding(of(BOB)))
    await trio.sleep(1.0)
    assert cache.bindings(BOB) == (of(BOB),)
    assert cache.bindings(ALICE) == (), "its commit is still under way"
    await trio.sleep(SLOW)
    assert cache.bindings(ALICE) == (of(ALICE),)


async def test_bindings_that_we_change_meanwhile_are_read_after_our_commit(
    cache, store, writer, other, nursery, autojump_clock
):
    ours, theirs = of(BOB, "sip:ours@h"), of(BOB, "sip:theirs@h")
    store.slow = SLOW
    slowly, load_some = 0.5, store.load_some

    async def load_slowly(keys):
        found = await load_some(keys)
        await trio.sleep(slowly)  # what was read is old when it comes
        return found

    store.load_some = load_slowly
    nursery.start_soon(committed, writer, PutBinding(of(ALICE)))
    await trio.sleep(0.1)
    await apply(other, PutBinding(theirs))
    await trio.sleep(0.3)  # its reading is under way
    store.slow = 0.0
    nursery.start_soon(committed, writer, PutBinding(ours))
    await trio.sleep(1.0)
    assert cache.bindings(BOB) == (), "the reading is not taken over: ours is queued behind the slow one"
    await trio.sleep(2 * SLOW)
    stored = {row.uri for row in (await store.load_all()).bindings if row.aor == BOB}
    assert {row.uri for row in cache.bindings(BOB)} == stored
