"""What scripts log (RFC 3880 §7.2): kept to a quota, on one line, and never in the way of who registers."""

from __future__ import annotations

import pytest
import trio

from sipd.errors import ServiceUnavailable
from sipd.log import EventLog
from sipd.metrics import Counters
from sipd.rows import AddScriptLog, PutBinding
from sipd.server.diary import SILENCE, WAITING, Diary, bounded
from sipd.store import Cache, MemoryStore, SqliteStore, Writer, create
from tests.server.phones import DOMAIN, open_world
from tests.store.rows import ALICE, BOB, USERS, binding

QUOTA = 50


class Desk:
    """A diary on a store, with what it said of itself."""

    def __init__(self, store, cache, writer, now=lambda: 0.0, quota=QUOTA):
        self.store, self.cache, self.writer = store, cache, writer
        self.events: list[str] = []
        self.counters = Counters()
        self.diary = Diary(writer, lambda: quota, now, self.counters, EventLog(self.events.append))

    async def kept(self, aor=ALICE) -> list[str]:
        return [line.comment for line in await self.store.script_log(aor, limit=100_000)]


@pytest.fixture(params=[MemoryStore, SqliteStore])
async def desk(request, tmp_path, nursery):
    store = request.param() if request.param is MemoryStore else SqliteStore(tmp_path / "sip.sqlite3")
    await create(store, ["example.com"], more=USERS)
    cache = Cache(store)
    await cache.fill()
    writer = Writer(store, cache)
    await nursery.start(writer.run)
    yield Desk(store, cache, writer)
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await store.close()


async def test_the_last_lines_up_to_the_quota_are_kept(desk):
    for number in range(10 * QUOTA):
        desk.diary.add(ALICE, 1.0, "", f"{number}")
        if number % 7 == 0:
            await desk.writer.drain()
    desk.diary.add(BOB, 1.0, "", "his")
    while len(desk.diary):
        await desk.writer.drain()
    await desk.writer.drain()
    kept = await desk.kept()
    assert QUOTA <= len(kept) <= QUOTA * 1.1 + 7
    assert kept == [str(number) for number in range(10 * QUOTA)][-len(kept) :]
    assert await desk.kept(BOB) == ["his"]
    assert desk.counters.log_lines_lost == 0


async def test_who_may_keep_none_has_none(desk):
    diary = Desk(desk.store, desk.cache, desk.writer, quota=0).diary
    diary.add(ALICE, 1.0, "", "x")
    await desk.writer.drain()
    assert await desk.kept() == []


async def test_a_user_who_is_gone_costs_nobody_a_line(desk):
    desk.diary.add("nobody@example.com", 1.0, "", "x")
    desk.diary.add(ALICE, 1.0, "", "y")
    while len(desk.diary):
        await desk.writer.drain()
    await desk.writer.drain()
    assert await desk.kept() == ["y"]
    assert desk.counters.log_lines_lost == 1


async def test_a_line_is_cut_and_is_one_line(desk):
    """T47."""
    desk.diary.add(ALICE, 1.0, "../../etc/passwd\0" + "n" * 500, "é" * 5000 + "\r\n\x1b[2Jforged")
    await desk.writer.drain()
    [line] = await desk.store.script_log(ALICE)
    assert line.name.startswith("../../etc/passwd n"), "a name is data, and nobody opens it"
    assert len(line.name.encode()) == 100
    assert len(line.comment.encode()) <= 1000
    assert line.comment.endswith("é…")


@pytest.mark.parametrize("text", ["", "x", "a\r\nb", "\udcff" * 40, "電話" * 40, "\u2028x", "x" * 30, "x" * 31])
def test_what_is_bounded_is_one_short_line(text):
    line = bounded(text, 30)
    assert len(line.encode("utf-8", "surrogateescape")) <= 30
    assert len(line.splitlines()) <= 1


class SlowDisk(SqliteStore):
    """Commits nothing until it is let."""

    def __init__(self, path):
        super().__init__(path)
        self.gate = trio.Event()
        self.batches: list[int] = []

    async def apply(self, groups):
        await self.gate.wait()
        self.batches.append(sum(isinstance(change, AddScriptLog) for group in groups for change in group))
        return await super().apply(groups)


async def test_a_storm_of_lines_is_not_in_the_way_of_who_registers(tmp_path, nursery):
    """1,000 calls, each with its 20 lines, in the moment that a phone registers."""
    store = SlowDisk(tmp_path / "sip.sqlite3")
    await create(store, ["example.com"], more=USERS)
    cache = Cache(store)
    await cache.fill()
    writer = Writer(store, cache)
    await nursery.start(writer.run)
    now = [0.0]
    desk = Desk(store, cache, writer, lambda: now[0])
    for call in range(1000):
        for _ in range(20):
            desk.diary.add(ALICE if call % 2 else BOB, 1.0, "", "x")
    assert len(writer) <= 2, "one group waits, whatever comes meanwhile"
    registered = trio.Event()
    writer.submit((PutBinding(binding()),), ALICE, lambda fault: registered.set())
    store.gate.set()
    with trio.fail_after(5):
        await registered.wait()
        while len(desk.diary):
            await writer.drain()
        await writer.drain()
    assert max(store.batches) <= WAITING
    assert desk.counters.log_lines_lost == 20_000 - sum(store.batches)
    assert len(desk.events) == 1, "it is said once"
    assert "event=script_log_dropped" in desk.events[0]
    now[0] = SILENCE
    for _ in range(WAITING + 1):
        desk.diary.add(ALICE, 1.0, "", "x")
    assert len(desk.events) == 2
    await writer.drain()
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await store.close()


async def test_while_the_writer_takes_nothing_lines_are_dropped(desk, monkeypatch):
    def full(changes, aor, done):
        raise ServiceUnavailable

    monkeypatch.setattr(desk.writer, "submit", full)
    for _ in range(3):
        desk.diary.add(ALICE, 1.0, "", "x")
    assert (len(desk.diary), desk.counters.log_lines_lost) == (0, 3)
    monkeypatch.undo()
    desk.diary.add(ALICE, 1.0, "", "y")
    await desk.writer.drain()
    assert await desk.kept() == ["y"]


async def test_the_owners_log_tells_the_time_the_caller_and_the_comment(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", script_log_lines=2)
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", '<cpl><incoming><log name="late" comment="after hours"><log/></log></incoming></cpl>')
    for _ in range(2):
        alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
        await alice.status(480)
        alice.seen.clear()
    lines = await world.store.script_log(f"bob@{DOMAIN}")
    assert [(line.name, line.comment) for line in lines] == [
        ("late", f"after hours (incoming, from sip:alice@{DOMAIN})"),
        ("", f"(incoming, from sip:alice@{DOMAIN})"),
    ]
    assert lines[0].at == pytest.approx(world.house.wall(), abs=5)
