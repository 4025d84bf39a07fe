"""Each way in which an SQLite file can be wrong is told in its own words, and the file is left alone."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from sipd.errors import SetupError, StoreAway
from sipd.rows import PutBinding
from sipd.store import SqliteStore, create
from sipd.store.ddl import createsip
from sipd.store.sqlite_file import connect
from tests.store.rows import USERS, apply, binding


def nothing(path):
    pass


def no_directory(path):
    path.parent.rmdir()


def empty(path):
    path.touch()


def directory(path):
    path.mkdir()


def text(path):
    path.write_text("this is no database, but it is longer than a header\n" * 100)


def other_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def newer(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sipd_meta (name TEXT, value TEXT)")
        connection.execute("INSERT INTO sipd_meta VALUES ('schema', '999')")
    connection.close()


def no_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sipd_meta (name TEXT, value TEXT)")
    connection.close()


def odd_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sipd_meta (name TEXT, value TEXT)")
        connection.execute("INSERT INTO sipd_meta VALUES ('schema', '٣')")
    connection.close()


def by_hand(path):
    connection = sqlite3.connect(path)
    connection.executescript(createsip())
    connection.close()


def changed_by(*statements):
    def change(path):
        by_hand(path)
        connection = sqlite3.connect(path)
        connection.execute("INSERT INTO sipd_meta VALUES ('secret_key', 'aa')")
        connection.execute("INSERT INTO domain VALUES ('a', 'a')")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return change


no_meta = changed_by("DROP TABLE sipd_meta")
torn_meta = changed_by("DELETE FROM sipd_meta")
no_table = changed_by("DROP TABLE scripts")
no_column = changed_by("ALTER TABLE users DROP COLUMN ha1_sha256")


def torn(path):
    other_database(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + os.urandom(len(whole) - 100))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nothing, "there is no database"),
        (no_directory, "there is no directory"),
        (empty, "is empty"),
        (directory, "can't read the database"),
        (text, "is not an SQLite database"),
        (other_database, "but none of sipd's"),
        (newer, "has schema version 999"),
        (no_version, "is half made, and has no rows"),
        (odd_version, "does not say which schema"),
        (no_meta, "has tables of another program, but none of sipd's"),
        (torn_meta, "is damaged: it does not say which schema"),
        (by_hand, "has tables and no rows"),
        (no_table, "is damaged: the table scripts is missing"),
        (no_column, r"is damaged: missing columns: users\.ha1_sha256"),
        (torn, "is damaged"),
    ],
)
async def test_opening_says_what_is_wrong(tmp_path, make, said):
    path = tmp_path / "there" / "sip.sqlite3"
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    store = SqliteStore(path)
    with pytest.raises(SetupError, match=said) as error:
        await store.open()
    await store.close()
    assert str(path.parent) in str(error.value)
    assert error.value.hint or make is directory
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("make", [text, other_database, directory])
async def test_nothing_is_made_over_something_else(tmp_path, make):
    path = tmp_path / "sip.sqlite3"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(SetupError):
        await create(SqliteStore(path), ["example.com"])
    assert (path.read_bytes() if path.is_file() else None) == before


async def test_damage_after_the_start_is_told_by_the_check(sqlite):
    await apply(sqlite, *[PutBinding(binding(uri=f"sip:{number}@h")) for number in range(500)])
    await sqlite.close()
    with sqlite.path.open("r+b") as file:
        file.seek(-8 * 4096, os.SEEK_END)  # rows, and not the schema
        file.write(os.urandom(8 * 4096))
    await sqlite.open()
    assert await sqlite.check()
    with pytest.raises(SetupError, match="is damaged"):
        await sqlite.load_all()


async def test_a_new_database_is_its_owners_only(tmp_path):
    path = tmp_path / "deep" / "er" / "sip.sqlite3"
    store = SqliteStore(path)
    await create(store, ["example.com"])
    await apply(store, *USERS)
    for file in path.parent.iterdir():
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file
    await store.close()


async def test_an_interrupted_making_leaves_nothing_in_the_way(tmp_path):
    path = tmp_path / "sip.sqlite3"
    path.touch()
    store = SqliteStore(path)
    assert not await store.exists()
    await create(store, ["example.com"])
    assert len((await store.load_all()).domains) == 1
    await store.close()


async def test_tables_made_by_hand_are_filled(tmp_path):
    """sqlite3 sip.sqlite3 < createsip.sql, and then a start."""
    path = tmp_path / "sip.sqlite3"
    by_hand(path)
    store = SqliteStore(path)
    assert not await store.exists()
    await create(store, ["example.com"])
    assert await store.exists()
    assert await store.check() == []
    await store.close()


async def test_rows_put_in_by_hand_get_a_secret_key(tmp_path):
    path = tmp_path / "sip.sqlite3"
    changed_by("DELETE FROM sipd_meta WHERE name = 'secret_key'")(path)
    keys = set()
    for _ in range(2):
        store = SqliteStore(path)
        assert await store.exists()
        await store.open()
        snapshot = await store.load_all()
        assert [row.name for row in snapshot.domains] == ["a"]
        keys.add(snapshot.secret_key)
        await store.close()
    assert len(keys) == 1
    assert len(keys.pop()) == 32


async def test_one_server_per_file(tmp_path):
    path = tmp_path / "sip.sqlite3"
    first = SqliteStore(path, serving=True)
    await create(first, ["example.com"], more=USERS)
    with pytest.raises(SetupError, match=f"another sipd \\(process {os.getpid()}\\) is using"):
        await SqliteStore(path, serving=True).open()
    tool = SqliteStore(path)
    await tool.open()
    await apply(tool, PutBinding(binding()))
    await tool.close()
    await first.close()
    second = SqliteStore(path, serving=True)
    await second.open()
    assert len((await second.load_all()).bindings) == 1
    await second.close()


async def test_a_server_needs_a_file_it_can_write(tmp_path):
    path = tmp_path / "sip.sqlite3"
    store = SqliteStore(path)
    await create(store, ["example.com"])
    await store.close()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAway, match="locked by another process"):
        await SqliteStore(path, serving=True, patience=0.05).open()
    reading = SqliteStore(path, patience=0.05)
    await reading.open()
    assert (await reading.load_all()).domains
    with pytest.raises(StoreAway, match="locked"):
        await apply(reading, PutBinding(binding()))
    blocker.execute("ROLLBACK")
    blocker.close()
    await reading.close()


async def test_a_store_that_is_not_open_is_away(tmp_path):
    store = SqliteStore(tmp_path / "sip.sqlite3")
    with pytest.raises(StoreAway):
        await store.apply([[]])
    with pytest.raises(StoreAway):
        await store.load_all()
    await store.close()
    await store.close()


async def test_a_full_disk_takes_nothing_and_recovers(sqlite):
    await apply(sqlite, PutBinding(binding(uri="sip:before@h")))
    [(pages,)] = sqlite._rows("PRAGMA page_count")
    sqlite._rows(f"PRAGMA max_page_count = {pages}")  # no more room: what SQLite says when the disk is full
    with pytest.raises(StoreAway, match="full"):
        await apply(sqlite, *[PutBinding(binding(uri=f"sip:{number}@h", params="x" * 500)) for number in range(100)])
    assert len((await sqlite.load_all()).bindings) == 1
    sqlite._rows("PRAGMA max_page_count = 1000000")
    await apply(sqlite, PutBinding(binding(uri="sip:after@h")))
    assert len((await sqlite.load_all()).bindings) == 2


async def test_apply_now_waits_for_the_disk(sqlite):
    assert sqlite.apply_now([[PutBinding(binding())]]) == [None]
    assert len((await sqlite.load_all()).bindings) == 1


async def test_a_commit_waits_for_the_disk(sqlite):
    """T54: as far as SQLite can say it; `python -m tests.endure synced` looks at the system calls."""
    with closing(connect(sqlite.path, 1.0)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)], (
            "FULL: COMMIT ends when the log is on disk"
        )
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
