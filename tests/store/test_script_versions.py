"""A script's history on disk: whole with the script or not at all, swept by its quota, and right when many write."""

import sqlite3

import pytest
import trio

from sipd.rows import DropScript, PutScript, PutSettings, Settings
from sipd.store import Refused, SqliteStore
from tests.store.rows import ALICE, BOB, apply, script


async def test_a_change_of_a_script_is_whole_or_not_at_all(sqlite):
    """A group of one, too: it is several statements, of which the second fails here."""
    await apply(sqlite, PutScript(script(text=b"old")))
    torn = PutScript(script(text=b"new"), None)  # type: ignore[arg-type]  # on purpose: no version is without a word
    good = PutScript(script(BOB))
    first, second = await sqlite.apply([[torn], [good]])
    assert isinstance(first, Refused)
    assert second is None
    assert (await sqlite.load_all()).scripts == [script(text=b"old"), script(BOB)]
    assert [row.text for row in await sqlite.script_versions(ALICE)] == [b"old"]


async def test_uploads_that_come_at_once_each_get_a_number_of_their_own(sqlite):
    """The server and sipdctl, each with a connection of its own."""
    other = SqliteStore(sqlite.path, patience=5)
    await other.open()
    uploads = 20

    async def put(store, who):
        for number in range(uploads):
            await apply(store, PutScript(script(text=f"{who} {number}".encode(), modified_by=who)))

    await apply(sqlite, PutSettings(Settings(script_versions=1000)))
    patient = SqliteStore(sqlite.path, patience=5)
    await patient.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, patient, "server")
        nursery.start_soon(put, other, "root")
    found = await sqlite.script_versions(ALICE)
    assert [row.version for row in found] == list(range(1, 2 * uploads + 1))
    for who in ("server", "root"):
        assert [row.text.decode() for row in found if row.modified_by == who] == [
            f"{who} {number}" for number in range(uploads)
        ]
    assert (await sqlite.load_all()).scripts[0].text == found[-1].text
    await patient.close()
    await other.close()


async def test_a_sweep_reads_the_versions_of_that_script_only(sqlite):
    """However many versions others have: each statement finds its rows by the key."""
    from sipd.store import statements as sql

    connection = sqlite3.connect(sqlite.path)
    for statement, row in (
        (sql.SWEEP_SCRIPT_VERSIONS, (ALICE, "cpl") * 2),
        (sql.SCRIPT_WAS_STORED, ("stored", ALICE, "cpl")),
        (sql.SCRIPT_WAS_REMOVED, (b"", 1.0, "root", ALICE, "cpl")),
        (sql.ADD_SCRIPT, (b"", "", 1.0, "", ALICE, "cpl", 1, ALICE, "cpl")),
        (sql.SCRIPT_VERSIONS, (ALICE, "cpl")),
    ):
        plan = [line for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {statement}", row)]
        assert not [line for line in plan if line.startswith("SCAN script")], plan
    connection.close()


@pytest.mark.parametrize("number", [1, 9])
async def test_what_is_read_back_is_bytes_whatever_they_are(sqlite, number):
    text = bytes(range(256)) * number
    await apply(sqlite, PutScript(script(text=text)), DropScript(ALICE, "cpl"))
    assert [row.text for row in await sqlite.script_versions(ALICE)] == [text, b""]
