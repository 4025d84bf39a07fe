"""Group commit: durable first, then the cache, then the answer."""

import sqlite3

import pytest
import trio

from sipd.core.tables import Missing
from sipd.errors import ServiceUnavailable, StoreAway
from sipd.log import EventLog
from sipd.rows import DropBinding, PutBinding
from sipd.store import Cache, Refused, SqliteStore, Writer
from tests.store.rows import ALICE, BOB, binding

LINES: list[str] = []
QUIET = EventLog(LINES.append)


class Answers(list[Exception | None]):
    """Collects what `done` was called with."""

    def __init__(self):
        super().__init__()
        self.come = trio.Event()

    def done(self, error):
        self.append(error)
        self.come.set()


class Counting(SqliteStore):
    """Remembers how many groups each transaction had."""

    def __init__(self, path):
        super().__init__(path, patience=0.05)
        self.batches = []

    async def apply(self, groups):
        self.batches.append(len(groups))
        return await super().apply(groups)


@pytest.fixture
async def counting(sqlite):
    store = Counting(sqlite.path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def cache(counting):
    cache = Cache(counting, log=QUIET)
    await cache.fill()
    return cache


@pytest.fixture
async def writer(counting, cache, nursery):
    LINES.clear()
    writer = Writer(counting, cache, capacity=5, log=QUIET)
    await nursery.start(writer.run)
    return writer


async def test_the_answer_comes_after_commit_and_cache(writer, cache, counting):
    seen = []

    def done(error):
        with sqlite3.connect(counting.path) as other:
            on_disk = other.execute("SELECT count(*) FROM contacts").fetchone()[0]
        other.close()
        seen.append((error, on_disk, cache.bindings(ALICE), cache.settled_bindings(ALICE)))

    writer.submit([PutBinding(binding())], ALICE, done)
    assert not seen, "told before the commit"
    assert cache.bindings(ALICE) == (), "shown before the commit"
    await writer.drain()
    assert seen == [(None, 1, (binding(),), (binding(),))]


async def test_what_is_queued_is_one_transaction(writer, counting):
    answers = Answers()
    for number in range(4):
        writer.submit([PutBinding(binding(uri=f"sip:{number}@h"))], ALICE, answers.done)
    await writer.drain()
    assert answers == [None] * 4
    assert counting.batches == [5], "4 and the one of drain()"


async def test_a_change_alone_is_committed_at_once(writer, counting):
    answers = Answers()
    writer.submit([PutBinding(binding())], ALICE, answers.done)
    await answers.come.wait()
    assert counting.batches == [1]


async def test_a_refused_group_harms_no_other(writer, cache):
    bad, good = Answers(), Answers()
    writer.submit([PutBinding(binding()), PutBinding(binding("nobody@example.com"))], ALICE, bad.done)
    writer.submit([PutBinding(binding(BOB))], BOB, good.done)
    await writer.drain()
    assert isinstance(bad[0], Refused)
    assert good == [None]
    assert cache.bindings(ALICE) == ()
    assert cache.bindings(BOB) == (binding(BOB),)


async def test_over_capacity_is_503_with_retry_after(writer, counting):
    answers = Answers()
    for number in range(5):
        writer.submit([PutBinding(binding(uri=f"sip:{number}@h"))], "", answers.done)
    with pytest.raises(ServiceUnavailable) as refused:
        writer.submit([PutBinding(binding(uri="sip:6@h"))], ALICE, answers.done)
    assert refused.value.headers == (("Retry-After", "10"),)
    await answers.come.wait()
    await writer.drain()
    assert answers == [None] * 5
    assert len((await counting.load_all()).bindings) == 5


async def back(writer):
    """Until the database takes changes again."""
    with trio.fail_after(5):
        while writer.away:  # noqa: ASYNC110 - nobody but this test waits for it
            await trio.sleep(0.01)


async def test_a_locked_database_is_told_and_nothing_pretended(writer, cache, counting):
    blocker = sqlite3.connect(counting.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    answers = Answers()
    writer.submit([PutBinding(binding())], ALICE, answers.done)
    await answers.come.wait()
    assert isinstance(answers[0], StoreAway)
    assert writer.away
    assert cache.settled_bindings(ALICE) == ()
    with pytest.raises(ServiceUnavailable):  # at once: nobody waits for what can't be had
        writer.submit([PutBinding(binding())], ALICE, answers.done)
    blocker.execute("ROLLBACK")
    blocker.close()
    await back(writer)
    again = Answers()
    writer.submit([PutBinding(binding())], ALICE, again.done)
    await again.come.wait()
    assert again == [None], "back by itself"
    assert not writer.away
    assert [line.split()[1] for line in LINES] == ["event=db_away", "event=db_back"]


async def test_a_replaced_file_takes_no_change(writer, counting):
    counting.path.rename(counting.path.with_suffix(".gone"))
    answers = Answers()
    writer.submit([PutBinding(binding())], ALICE, answers.done)
    await answers.come.wait()
    assert isinstance(answers[0], StoreAway)


async def test_one_broken_answer_harms_no_other(writer, cache):
    def broken(error):
        raise RuntimeError("a fault of one request")

    good = Answers()
    writer.submit([PutBinding(binding())], ALICE, broken)
    writer.submit([PutBinding(binding(BOB))], BOB, good.done)
    await writer.drain()
    assert good == [None]
    assert "whose=commit" in LINES[0]
    writer.submit([DropBinding(BOB, binding().uri)], BOB, good.done)
    await writer.drain()
    assert good == [None, None]


async def test_an_answer_may_submit_again(writer, cache):
    answers = Answers()

    def done(error):
        writer.submit([PutBinding(binding(BOB))], BOB, answers.done)

    writer.submit([PutBinding(binding())], ALICE, done)
    await answers.come.wait()
    assert cache.bindings(BOB) == (binding(BOB),)


async def test_shutdown_commits_what_is_queued(counting, cache):
    writer = Writer(counting, cache, log=QUIET)
    answers = Answers()
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for number in range(7):
            writer.submit([PutBinding(binding(uri=f"sip:{number}@h"))], ALICE, answers.done)
        nursery.cancel_scope.cancel()
    assert answers == [None] * 7
    assert len((await counting.load_all()).bindings) == 7
    with pytest.raises(ServiceUnavailable):
        writer.submit([PutBinding(binding())], ALICE, answers.done)


async def test_cancelled_in_the_middle_of_a_commit_tells_everybody(counting, cache):
    writer = Writer(counting, cache, log=QUIET)
    answers = Answers()
    for rounds in range(1, 6):
        async with trio.open_nursery() as nursery:
            writer = Writer(counting, cache, log=QUIET)
            await nursery.start(writer.run)
            writer.submit([PutBinding(binding(uri=f"sip:{rounds}@h"))], ALICE, answers.done)
            for _ in range(rounds):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert answers == [None] * rounds


async def test_registers_of_one_user_are_decided_one_after_another(writer, cache):
    """Each asks again once, however many wait (ARCHITECTURE §5 step 2)."""
    rounds = []

    async def register(number):
        for turn in range(16):
            try:
                known = cache.settled_bindings(ALICE)
            except Missing as missing:
                await cache.load(missing.kind, missing.key)
                continue
            rounds.append(turn)
            row = binding(uri=f"sip:{len(known)}@h")
            committed = Answers()
            writer.submit([PutBinding(row)], ALICE, committed.done)
            await committed.come.wait()
            return
        raise AssertionError("16 rounds")

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(register, number)
    assert len(cache.bindings(ALICE)) == 30, "two decided on the same bindings"
    assert max(rounds) <= 2


async def test_who_gives_up_waiting_lets_the_next_go_on(writer, cache):
    went_on = trio.Event()

    async def wait():
        await cache.load("settled", ALICE)
        went_on.set()

    async with trio.open_nursery() as nursery:
        writer.submit([PutBinding(binding())], ALICE, Answers().done)
        with trio.CancelScope() as first:
            nursery.start_soon(wait)
            first.cancel()
            await cache.load("settled", ALICE)
        await went_on.wait()


class TestExpiry:
    async def test_expired_bindings_leave_store_and_memory(self, writer, cache, counting):
        rows = [binding(uri=f"sip:{number}@h", expires_at=1000.0 + number) for number in range(3)]
        writer.submit([PutBinding(row) for row in rows], ALICE, Answers().done)
        await writer.drain()
        assert writer.drop_expired(999.0) == 0
        assert writer.drop_expired(1001.5) == 2
        await writer.drain()
        assert cache.bindings(ALICE) == (rows[2],)
        assert (await counting.load_all()).bindings == [rows[2]]
        assert writer.drop_expired(1001.5) == 0, "handed out twice"

    async def test_a_refresh_under_way_is_not_removed(self, writer, cache):
        writer.submit([PutBinding(binding(expires_at=1000.0))], ALICE, Answers().done)
        await writer.drain()
        fresh = binding(expires_at=5000.0)
        writer.submit([PutBinding(fresh)], ALICE, Answers().done)
        assert writer.drop_expired(2000.0) == 0
        await writer.drain()
        assert writer.drop_expired(2002.0) == 0
        assert cache.bindings(ALICE) == (fresh,)

    async def test_what_could_not_be_removed_is_tried_again(self, writer, cache, counting):
        writer.submit([PutBinding(binding(expires_at=1000.0))], ALICE, Answers().done)
        await writer.drain()
        blocker = sqlite3.connect(counting.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        assert writer.drop_expired(1001.0) == 1
        await writer.drain()
        assert cache.bindings(ALICE), "dropped from memory and not from the database"
        assert writer.drop_expired(1020.0) == 0, "while the database is away"
        blocker.execute("ROLLBACK")
        blocker.close()
        await back(writer)
        assert writer.drop_expired(1020.0) == 1
        await writer.drain()
        assert cache.bindings(ALICE) == ()


async def test_the_memory_store_commits_inline(store):
    if not store.immediate:
        return
    cache = Cache(store)
    await cache.fill()
    answers = Answers()
    writer = Writer(store, cache)
    writer.submit([PutBinding(binding())], ALICE, answers.done)
    assert answers == [None]
    assert cache.settled_bindings(ALICE) == (binding(),)
    writer.submit([PutBinding(binding("nobody@example.com"))], "nobody@example.com", answers.done)
    assert isinstance(answers[1], Refused)
