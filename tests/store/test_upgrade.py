"""A database of an older sipd is brought up to date when it is opened: whole, or not at all (T125)."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from sipd.errors import SetupError
from sipd.rows import Peer, PutBinding, PutPeer, PutScript, Settings
from sipd.store import SqliteStore, create
from sipd.store.ddl import SCHEMA, statements, steps_to
from sipd.store.lockfile import LockFile
from sipd.store.migrate import upgrade_sqlite
from sipd.store.shape import differences, expected, sqlite_shape
from sipd.store.triggers import trigger_names
from tests.running import REPOSITORY
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
        patch.setattr("sipd.store.ddl.upgrade_to", lambda version: half)
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


async def test_one_that_is_killed_at_any_statement_leaves_the_old_database(old):
    done = await trio.run_process(
        [sys.executable, "-m", "tests.store.upgrader", str(old)],
        cwd=REPOSITORY, capture_stdout=True, capture_stderr=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > sum(len(steps_to(version)) for version in range(2, SCHEMA + 1)), "each was tried"


async def test_one_on_a_full_disk_leaves_the_old_database(old):
    before = old.read_bytes()
    size = len(before)
    done = await trio.run_process(
        [sys.executable, "-c", FULL.format(path=str(old), size=size)],
        cwd=REPOSITORY, capture_stdout=True, capture_stderr=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(b"StoreAway: the database"), done
    assert b"Traceback" not in done.stderr
    connection = sqlite3.connect(old)
    assert connection.execute("SELECT value FROM sipd_meta WHERE name = 'schema'").fetchall() == [("1",)]
    connection.close()
    store = SqliteStore(old)
    assert await store.upgrade() == (1, SCHEMA), "with room it goes on"
    assert (await contents(store)).settings == [AS_IT_WAS]
    await store.close()


FULL = """
import resource, trio
from sipd.errors import StoreAway
from sipd.store import SqliteStore
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
try:
    trio.run(SqliteStore({path!r}).open)
except StoreAway as error:
    print("StoreAway:", error)
"""


async def test_a_look_at_an_upgrade_changes_nothing(old):
    before = old.read_bytes()
    assert await SqliteStore(old).upgrade(dry=True) == (1, SCHEMA)
    assert old.read_bytes() == before


async def test_a_tool_does_not_upgrade_under_a_server_that_runs(old):
    lock = LockFile(Path(f"{old}.lock"))
    lock.acquire()
    with pytest.raises(SetupError, match=r"is of an older sipd: another sipd .* is using") as error:
        await SqliteStore(old, patience=0.05).open()
    assert "Start that server again" in error.value.hint
    lock.release()
    server = SqliteStore(old, serving=True)
    await server.open()
    tool = SqliteStore(old)
    await tool.open()
    for store in (tool, server):
        await store.close()


async def test_triggers_of_another_release_are_made_anew(sqlite):
    ours = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_logged' ORDER BY name"
    made = sqlite._rows(ours)
    sqlite._rows("DROP TRIGGER users_insert_logged")
    sqlite._rows("DROP TRIGGER peers_update_logged")
    sqlite._rows("CREATE TRIGGER peers_update_logged AFTER UPDATE ON peers BEGIN DELETE FROM change_log; END")
    sqlite._rows("CREATE TRIGGER of_somebody_else AFTER UPDATE ON peers BEGIN DELETE FROM licence; END")
    await sqlite.close()
    await sqlite.open()
    assert (
        sqlite._rows("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_logged' ORDER BY name")
        == made
    )
    assert len(sqlite._rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")) == len(made) + 1


def test_what_is_created_and_what_is_upgraded_are_the_same(old):
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        assert upgrade_sqlite(connection, "it") == (1, SCHEMA)
        assert sqlite_shape(connection) == expected()
        assert differences(sqlite_shape(connection)) == []


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
