"""What a REGISTER costs the database, counted: nothing here goes by a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from sipd.rows import Expect, PutBinding
from sipd.store.mysql_text import compose
from sipd.store.mysql_wire import Trouble, Wire
from tests.store.rows import ALICE, BOB, apply, binding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Statements:
    """Those that SQLite carries out for a store. One is told again for each step of a trigger: that counts once."""

    def __init__(self, sqlite) -> None:
        self._connection = sqlite._connection
        self.seen: list[str] = []
        self._last = ""

    def __enter__(self) -> Statements:
        self._connection.set_trace_callback(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_trace_callback(None)

    def _note(self, statement: str) -> None:
        if statement != self._last:
            self.seen.append(" ".join(statement.split()[:2]))
        self._last = statement


@pytest.mark.parametrize("many", [1, 7])
async def test_a_refresh_is_one_update_and_no_other_statement_of_its_table(sqlite, many):
    await apply(sqlite, *(PutBinding(binding(uri=f"sip:alice@192.0.2.{number}")) for number in range(many)))
    groups = [[PutBinding(binding(uri=f"sip:alice@192.0.2.{number}", cseq=2))] for number in range(many)]
    with Statements(sqlite) as statements:
        assert await sqlite.apply(groups) == [None] * many
    writing = [one for one in statements.seen if not one.startswith("SELECT")]
    assert writing == ["BEGIN IMMEDIATE", *["UPDATE contacts"] * many, "COMMIT"]


@pytest.mark.parametrize("many", [1, 7])
async def test_what_is_done_beside_the_rows_does_not_grow_with_them(sqlite, many):
    groups = [[PutBinding(binding(uri=f"sip:alice@192.0.2.{number}"))] for number in range(many)]
    with Statements(sqlite) as statements:
        await sqlite.apply(groups)
    assert len([one for one in statements.seen if one.startswith("SELECT")]) <= 3  # of the change log


async def test_a_refresh_writes_few_pages(sqlite):
    for aor in (ALICE, BOB):
        await apply(sqlite, PutBinding(binding(aor)))
    connection = sqlite._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    await apply(sqlite, PutBinding(binding(cseq=2, expires_at=6e9)))
    [(_, pages, _)] = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    assert pages <= 2  # its row, and the line of the change log


class Flights:
    """Counts how often a connection of MySQL says something, for which an answer is then waited for."""

    def __init__(self, monkeypatch) -> None:
        self.count = 0
        really = Wire._write_bytes

        async def counted(wire, data):
            self.count += 1
            await really(wire, data)

        monkeypatch.setattr(Wire, "_write_bytes", counted)


@pytest.mark.parametrize("many", [1, 7])
async def test_registers_are_two_flights_to_mysql_however_many_they_are(shared, monkeypatch, many):
    rows = [binding(aor, f"sip:phone@192.0.2.{n}") for n in range(1, 1 + (many + 1) // 2) for aor in (ALICE, BOB)][
        :many
    ]
    await apply(shared, Expect(ALICE, 0), *(PutBinding(row) for row in rows))
    await apply(shared, Expect(BOB, 0))
    first = [Expect(ALICE, 1), *(PutBinding(row._replace(cseq=2)) for row in rows if row.aor == ALICE)]
    second = [Expect(BOB, 1), *(PutBinding(row._replace(cseq=2)) for row in rows if row.aor == BOB)]
    flights = Flights(monkeypatch)
    assert await shared.apply([first, second]) == [None, None]
    assert flights.count == 2  # all statements, and COMMIT
    assert {row.cseq for row in (await shared.load_all()).bindings} == {2}


async def test_what_is_sent_behind_a_deadlock_is_not_committed_by_itself(shared):
    """The server ends the transaction at the deadlock, and carries out what comes next all the same."""
    one, other = await shared._connected.new_link(), await shared._connected.new_link()
    await other.for_writing()
    busy = "UPDATE users SET gateway_class = ? WHERE aor = ?"
    both_are_busy, has_bob = trio.Event(), trio.Event()
    torn = b"INSERT INTO domain VALUES ('torn', 'torn')"

    async def take_bob() -> None:
        await one.execute(busy, ("one", BOB))
        has_bob.set()

    async def end_in_deadlock() -> None:
        async with other.tx():
            await other.execute(busy, ("other", BOB))
            both_are_busy.set()
            await other.run_all([compose(busy, ("other", ALICE)), torn])

    try:
        async with trio.open_nursery() as nursery, one.tx():
            for number in range(200):  # the server gives up the one that has changed less
                await one.execute("INSERT INTO domain (name, canonical) VALUES (?, 'x')", (f"d{number}",))
            await one.execute(busy, ("one", ALICE))
            nursery.start_soon(_after, both_are_busy, take_bob)
            with pytest.raises(Trouble) as refused:
                await end_in_deadlock()
            await has_bob.wait()
    finally:
        one.close()
        other.close()
    assert refused.value.code == 1213
    domains = {row.name for row in (await shared.load_all()).domains}
    assert "d0" in domains
    assert "torn" not in domains


async def _after(event: trio.Event, work: Callable[[], Awaitable[None]]) -> None:
    await event.wait()
    await work()


async def test_statements_are_not_sent_together_where_each_would_be_committed(shared):
    link = await shared._connected.new_link()
    try:
        with pytest.raises(RuntimeError):
            await link.run_all([b"DO 1", b"DO 2"])
    finally:
        link.close()
