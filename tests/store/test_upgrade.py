"""A database of an older sipd is brought up to date when it is opened: whole, or not at all (T125)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from sipd.rows import Peer, PutBinding, PutPeer, PutScript, Settings
from sipd.store import SqliteStore, create
from sipd.store.ddl import SCHEMA, statements
from sipd.store.triggers import trigger_names
from tests.store.rows import ALICE, apply, binding, contents, script, user

OLD = Path(__file__).parents[1] / "data" / "schema-1.sql"
AS_IT_WAS = Settings(listen="udp:192.0.2.1:5060", record_route=False, stagger=12.5)
OLD_USER = user(ha1_sha512_256="", ha1_sha512_256_full="")
OLD_FIELDS = Settings._fields.index("script_operations") + 1


@pytest.fixture
def old(tmp_path):
    """A database as the first version made it, with one user, one contact and one server."""
    path = tmp_path / "sip.sqlite3"
    connection = sqlite3.connect(path)
    for statement in statements(OLD.read_text()):
        connection.execute(statement)
    row = binding()
    contact = (*row[:7], "", *row[8:13])
    for table, values in (
        ("server", AS_IT_WAS[:OLD_FIELDS]),
        ("users", user()[:10]),
        ("contacts", contact),
        ("domain", ("example.com", "example.com")),
        ("sipd_meta", ("secret_key", "00" * 32)),
    ):
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
    connection.commit()
    connection.close()
    return path


async def test_what_was_stored_is_kept_and_new_things_can_be(old):
    store = SqliteStore(old)
    await store.open()
    found = await contents(store)
    assert (found.users, found.bindings, found.settings) == ([OLD_USER], [binding()], [AS_IT_WAS])
    await apply(store, PutPeer(Peer("pbx", "192.0.2.7")), PutBinding(binding(key="flow1")))
    assert sorted((await contents(store)).bindings) == [binding(), binding(key="flow1")]
    await store.close()
    again = SqliteStore(old)
    await again.open()
    assert list((await contents(again)).peers) == [Peer("pbx", "192.0.2.7")]
    await again.close()


async def test_a_stored_script_becomes_the_first_of_its_versions(old):
    row = script(text=b"\xffold", version=7, modified_by=ALICE, enabled=False)
    connection = sqlite3.connect(old)
    columns = (ALICE, "cpl", row.text, row.media_type, row.modified, row.modified_by, row.version, 0)
    connection.execute("INSERT INTO scripts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", columns)
    connection.commit()
    connection.close()
    store = SqliteStore(old)
    await store.open()
    assert (await contents(store)).scripts == [row]
    await apply(store, PutScript(script(text=b"new", modified=2e9, modified_by="root")))
    assert [row[2:4] + row[5:] for row in await store.script_versions(ALICE)] == [
        (7, b"\xffold", 1e9, ALICE, "stored"),
        (8, b"new", 2e9, "root", "stored"),
    ]
    await store.close()


async def test_changes_are_logged_in_what_was_upgraded_as_in_what_is_new(old, tmp_path):
    new = SqliteStore(tmp_path / "new.sqlite3")
    await create(new, ["example.com"])
    upgraded = SqliteStore(old)
    await upgraded.open()
    for store in (new, upgraded):
        await store.close()
        with closing(sqlite3.connect(store.path)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            assert sorted(name for (name,) in found) == sorted(trigger_names())


async def test_an_upgrade_that_breaks_leaves_the_old_database(old, monkeypatch):
    half = "ALTER TABLE server ADD COLUMN recurse SMALLINT NOT NULL DEFAULT 0;\nINSERT INTO nowhere VALUES (1);"
    with monkeypatch.context() as patch:
        patch.setattr("sipd.store.sqlite_file.upgrade_to", lambda version: half)
        with pytest.raises(Exception, match="nowhere"):
            await SqliteStore(old).open()
    store = SqliteStore(old)
    await store.open()
    assert (await contents(store)).settings == [AS_IT_WAS]
    await store.close()


async def test_two_that_open_it_at_once_upgrade_it_once(old):
    stores = [SqliteStore(old) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(store.open)
    for store in stores:
        assert (await contents(store)).bindings == [binding(ALICE)]
        await store.close()


def test_the_text_that_creates_says_the_schema_of_the_code(old):
    created = (Path(__file__).parents[2] / "sql" / "createsip.sql").read_text()
    assert f"('schema', '{SCHEMA}')" in created
    old_tables, new_tables = sqlite3.connect(old), sqlite3.connect(":memory:")
    for version in range(2, SCHEMA + 1):
        for statement in statements((Path(__file__).parents[2] / "sql" / f"upgrade-{version}.sql").read_text()):
            old_tables.execute(statement)
    for statement in statements(created):
        new_tables.execute(statement)
    for connection in (old_tables, new_tables):
        connection.row_factory = None
    tables = [name for (name,) in new_tables.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = [
            [(*column[1:4], column[5]) for column in connection.execute(f"PRAGMA table_info({table})")]
            for connection in (old_tables, new_tables)
        ]
        assert columns[0] == columns[1], table
    old_tables.close()
    new_tables.close()
