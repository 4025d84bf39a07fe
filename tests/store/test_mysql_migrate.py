"""Databases in MariaDB are made and upgraded whole, also when the program is killed at any of its steps (T57, T125)."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager

import pytest
import trio

from sipd.errors import SetupError
from sipd.log import EventLog
from sipd.rows import PutBinding
from sipd.store import create, parse_url
from sipd.store.ddl import SCHEMA, createsip, steps_to
from sipd.store.mysql import MysqlStore
from sipd.store.mysql_link import open_link
from sipd.store.mysql_migrate import (
    PATIENCE,
    check_tables,
    first_rows,
    make_tables,
    shape_of,
    state_of,
    upgrade,
)
from sipd.store.mysql_setup import check_server
from sipd.store.mysql_wire import Login
from sipd.store.shape import differences, expected
from tests.mariadb import PASSWORD, USER
from tests.running import HERE, REPOSITORY
from tests.store.rows import USERS, binding

OLD = (REPOSITORY / "tests" / "data" / "schema-1.sql").read_text()

ROWS = """
    INSERT INTO sipd_meta VALUES ('secret_key', 'aa');
    INSERT INTO domain VALUES ('example.com', 'example.com');
    INSERT INTO users VALUES ('a@example.com', 'r', 'x', 'x', 'x', 'x', 'required', 'regular', '', 'A');
    INSERT INTO contacts VALUES ('a@example.com', 'sip:a@192.0.2.1', 500, 2e9, 'c', 7, 'proxy', '', '', 'u', '', 0, '');
    INSERT INTO contacts VALUES ('a@example.com', 'sip:b@192.0.2.1', 500, 2e9, 'c', 7, 'proxy', '', '', 'u', '', 0, '');
    INSERT INTO scripts VALUES ('a@example.com', 'cpl', 'text', 'application/cpl+xml', 1.5, 'a', 3, 1);
"""

FULL_SHAPE = """
    SELECT TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME,
        COLUMN_KEY, EXTRA
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2;
    SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE
    FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 3;
    SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
    FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 3, 4;
    SELECT TABLE_NAME, ENGINE, TABLE_COLLATION
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1;
    SELECT TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_TIMING, ACTION_STATEMENT
    FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY 1;
"""


def quiet(text):
    pass


@asynccontextmanager
async def linked(mariadb, database, **more):
    login = Login(more.get("user", USER), more.get("password", PASSWORD), database)
    link = await open_link(HERE, mariadb.port, login, seconds=5.0, patience=PATIENCE)
    try:
        yield link
    finally:
        await link.quit()


async def made(mariadb):
    """The name of a database that was made by us, with its first rows."""
    name = mariadb.new_database()
    async with linked(mariadb, name) as link:
        await make_tables(link, "it", quiet)
        async with link.tx():
            for statement, row in first_rows(b"k" * 32):
                await link.execute(statement, row)
    return name


def old(mariadb):
    name = mariadb.new_database()
    mariadb.run(OLD + ROWS, name)
    return name


async def run_upgrader(*words):
    done = await trio.run_process(
        [sys.executable, "-m", "tests.store.upgrader", *words],
        cwd=REPOSITORY, capture_stdout=True, capture_stderr=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout)


async def test_what_is_created_and_what_is_upgraded_are_the_same(mariadb):
    one, other, by_hand = await made(mariadb), old(mariadb), mariadb.new_database()
    mariadb.run(createsip() + "INSERT INTO domain VALUES ('a', 'a')", by_hand)
    said: list[str] = []
    for name, before in ((other, 1), (by_hand, SCHEMA)):
        async with linked(mariadb, name) as link:
            assert await upgrade(link, "it", said.append, new_key=b"k" * 32) == (before, SCHEMA)
            assert differences(await shape_of(link)) == []
            assert await check_tables(link) == []
            assert (await state_of(link))[0] == "whole"
    assert said == [f"it: upgrade from schema 1 to {SCHEMA}", f"it: schema {SCHEMA}"]
    shapes = [mariadb.run(FULL_SHAPE, name) for name in (one, other, by_hand)]
    assert shapes[0].splitlines() == shapes[1].splitlines() == shapes[2].splitlines()


async def test_an_upgrade_that_is_killed_at_any_statement_goes_on(mariadb):
    name = old(mariadb)
    killed = await run_upgrader(mariadb.url(name))
    steps = [step for version in range(2, SCHEMA + 1) for step in steps_to(version)]
    assert killed >= len(steps), "at each of them one was killed"
    assert mariadb.run("SELECT name, value FROM sipd_meta ORDER BY name", name) == f"schema\t{SCHEMA}\nsecret_key\taa\n"
    assert mariadb.run("SELECT uri, q, cseq, user_agent, flow_key FROM contacts ORDER BY uri", name) == (
        "sip:a@192.0.2.1\t500\t7\tu\t\nsip:b@192.0.2.1\t500\t7\tu\t\n"
    )
    assert mariadb.run("SELECT version, script, what FROM script_versions", name) == "3\ttext\tstored\n"
    async with linked(mariadb, name) as link:
        assert differences(await shape_of(link)) == []
        assert await upgrade(link, "it", quiet) == (SCHEMA, SCHEMA)


async def test_a_making_that_is_killed_at_any_statement_goes_on_and_is_nobodys_database(mariadb):
    name = mariadb.new_database()
    assert await run_upgrader(mariadb.url(name), "make") > len(expected().columns)
    async with linked(mariadb, name) as link:
        assert (await state_of(link))[0] == "half"
        with pytest.raises(SetupError, match="half made, and has no rows"):
            await upgrade(link, "it", quiet)
        await make_tables(link, "it", quiet)
        assert differences(await shape_of(link)) == []


async def test_of_two_that_upgrade_at_once_one_waits(mariadb):
    name = old(mariadb)
    said: list[str] = []

    async def one():
        async with linked(mariadb, name) as link:
            assert await upgrade(link, "it", said.append) in ((1, SCHEMA), (SCHEMA, SCHEMA))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(one)
    assert said.count("it: another sipd upgrades it, waiting") == 2
    assert mariadb.run("SELECT COUNT(*) FROM contacts", name) == "2\n"
    async with linked(mariadb, name) as link:
        assert differences(await shape_of(link)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("", "it is empty"),
        ("CREATE TABLE recipes (name TEXT)", "tables of another program"),
        (createsip() + "UPDATE sipd_meta SET value = '99'", "schema version 99, this sipd knows version"),
        (createsip() + "UPDATE sipd_meta SET value = 'x'", "does not say which schema"),
        (createsip() + "DELETE FROM sipd_meta", "is half made, and has no rows"),
        (createsip() + "DELETE FROM sipd_meta; INSERT INTO domain VALUES ('a', 'a')", "is damaged: it does not say"),
        (createsip() + "INSERT INTO sipd_meta VALUES ('secret_key', 'aa'); DROP TABLE licence",
         "is damaged: the table licence is missing"),
        (createsip() + "INSERT INTO sipd_meta VALUES ('secret_key', 'aa'); ALTER TABLE users DROP COLUMN realm",
         r"is damaged: missing columns: users\.realm"),
        (createsip(), "has tables and no rows"),
    ],
)  # fmt: skip
async def test_opening_says_what_is_wrong_and_never_starts_empty(mariadb, changes, said):
    name = mariadb.new_database()
    mariadb.run(changes, name)
    before = mariadb.run(FULL_SHAPE, name)
    async with linked(mariadb, name) as link:
        with pytest.raises(SetupError, match=said):
            await upgrade(link, "it", quiet)
    assert mariadb.run(FULL_SHAPE, name) == before or "damaged: " in said


async def test_tables_made_by_hand_from_an_older_text_are_taken(mariadb):
    name = mariadb.new_database()
    mariadb.run(OLD, name)
    async with linked(mariadb, name) as link:
        assert (await state_of(link))[0] == "bare"
        await make_tables(link, "it", quiet)
        assert differences(await shape_of(link)) == []


@pytest.mark.parametrize("changes", ["CREATE TABLE users (name TEXT)", createsip() + ROWS.partition(";")[0]])
async def test_nothing_is_made_over_something_else(mariadb, changes):
    name = mariadb.new_database()
    mariadb.run(changes, name)
    before = mariadb.run(FULL_SHAPE, name)
    async with linked(mariadb, name) as link:
        with pytest.raises(SetupError):
            await make_tables(link, "it", quiet)
    assert mariadb.run(FULL_SHAPE, name) == before


async def test_the_second_of_two_that_make_it_finds_the_key_there(mariadb):
    name = await made(mariadb)
    with pytest.raises(AssertionError, match="1062"):
        mariadb.run("INSERT INTO sipd_meta (name, value) VALUES ('secret_key', 'aa')", name)


async def test_triggers_that_are_lost_or_changed_are_made_again(mariadb):
    name = await made(mariadb)
    before = mariadb.run(FULL_SHAPE, name)
    mariadb.run(
        "DROP TRIGGER users_insert_logged; DROP TRIGGER peers_update_logged;"
        "CREATE TRIGGER peers_update_logged AFTER UPDATE ON peers FOR EACH ROW DELETE FROM change_log;",
        name,
    )
    async with linked(mariadb, name) as link:
        assert "the trigger users_insert_logged is missing" in await check_tables(link)
        await upgrade(link, "it", quiet)
    assert mariadb.run(FULL_SHAPE, name) == before


@pytest.mark.parametrize(
    ("rights", "said"),
    [("SELECT, INSERT, UPDATE, DELETE", "needs all rights"),
     ("SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES", "TRIGGER")],
)  # fmt: skip
async def test_a_user_who_may_not_is_told_which_rights_he_needs(mariadb, rights, said):
    name = old(mariadb)
    user = f"weak{name}"
    mariadb.run(f"CREATE USER {user}@'%' IDENTIFIED BY 'w'; GRANT {rights} ON {name}.* TO {user}@'%'")
    async with linked(mariadb, name, user=user, password="w") as link:
        with pytest.raises(SetupError, match=said):
            await upgrade(link, "it", quiet)
    async with linked(mariadb, name) as link:
        await upgrade(link, "it", quiet)
        assert differences(await shape_of(link)) == []


async def test_a_check_finds_rows_that_belong_to_nobody(mariadb):
    name = await made(mariadb)
    mariadb.run("SET foreign_key_checks = 0; INSERT INTO aliases VALUES ('a@b', 'nobody@b')", name)
    mariadb.run(
        "ALTER TABLE third_parties ADD INDEX spare (aor), DROP PRIMARY KEY, ADD PRIMARY KEY (delegate, aor)", name
    )
    async with linked(mariadb, name) as link:
        assert await check_tables(link) == [
            "the primary key of third_parties is not (aor, delegate)",
            "1 row of aliases whose primary_user is not in users",
        ]


async def test_a_server_of_the_release_before_goes_on_when_an_upgrade_adds_columns(mariadb):
    name = mariadb.new_database()
    older = MysqlStore(parse_url(mariadb.url(name), base=REPOSITORY))
    await create(older, ["example.com"], more=USERS)
    mariadb.run(
        f"""ALTER TABLE contacts ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE users ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;
        UPDATE sipd_meta SET value = '{SCHEMA + 1}' WHERE name = 'schema'""",
        name,
    )
    assert await older.apply([[PutBinding(binding())], [USERS[0]]]) == [None, None]
    assert [row.uri for row in (await older.load_all()).bindings] == [binding().uri]
    await older.close()
    with pytest.raises(SetupError, match=f"has schema version {SCHEMA + 1}"):
        await older.open()


@pytest.mark.parametrize(("ahead", "said"), [(0, ""), (100, "is 100 s ahead of"), (-86400, "is 86400 s behind")])
async def test_a_clock_that_is_not_the_databases_is_warned_of(mariadb, monkeypatch, ahead, said):
    lines: list[str] = []
    monkeypatch.setattr("sipd.store.mysql_setup.LOG", EventLog(lines.append))
    async with linked(mariadb, mariadb.new_database()) as link:
        await check_server(link, "it", now=lambda: time.time() + ahead)
    assert len(lines) == bool(said)
    assert said in "".join(lines)


@pytest.mark.parametrize(("flush", "said"), [(1, False), (2, True), (0, True)])
async def test_a_server_that_may_forget_what_it_confirmed_is_warned_of(mariadb, monkeypatch, flush, said):
    lines: list[str] = []
    monkeypatch.setattr("sipd.store.mysql_setup.LOG", EventLog(lines.append))
    url = parse_url(mariadb.url(mariadb.new_database()), base=REPOSITORY)
    await create(made := MysqlStore(url), ["example.com"], more=USERS)
    await made.close()
    mariadb.run(f"SET GLOBAL innodb_flush_log_at_trx_commit = {flush}")
    try:
        for serving in (False, True):  # a tool says nothing: it promises nothing
            store = MysqlStore(url, serving=serving)
            await store.open()
            await store.close()
            assert ["may forget registrations" in line for line in lines] == [True] * (said and serving)
    finally:
        mariadb.run("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
