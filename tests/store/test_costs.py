"""What a REGISTER costs the database, counted: nothing here goes by a clock."""

from __future__ import annotations

import pytest

from sipd.rows import PutBinding
from tests.store.rows import ALICE, BOB, apply, binding


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
