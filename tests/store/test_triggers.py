"""What the change log gets to know, in both databases and whoever changes the rows."""

from __future__ import annotations

import sqlite3
from typing import Final

import pytest

from sipd.store.ddl import createsip, creating, statements
from sipd.store.triggers import LOGGED, create_triggers, drop_triggers, trigger_names
from tests.mariadb import MariaDb

ROWS: dict[str, dict[str, str | int]] = {
    "server": {"name": "a"},
    "domain": {"name": "a", "canonical": "b"},
    "contacts": {"aor": "u", "uri": "sip:1@h", "flow_key": ""},
    "third_parties": {"aor": "u", "delegate": "v"},
    "aliases": {"alias": "a", "primary_user": "u"},
    "peers": {"name": "a", "matches": "192.0.2.1", "gateway_class": ""},
    "scripts": {"aor": "u", "kind": "cpl"},
    "timezones": {"url": "http://h/", "data": "x", "fetched": 1},
    "dialplan": {"position": 1, "pattern": "x", "replacement": "y"},
}


class Sqlite:
    """A database with our tables and triggers, spoken to in plain SQL."""

    dialect: Final = "sqlite"

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for statement in ("PRAGMA foreign_keys = ON", *statements(createsip()), *create_triggers("sqlite")):
            self.connection.execute(statement)

    def run(self, *statements):
        for statement in statements:
            self.connection.execute(statement)

    def rows(self, statement):
        return [tuple(map(str, row)) for row in self.connection.execute(statement)]

    def columns(self, table):
        return [(row[1], row[2]) for row in self.connection.execute(f"PRAGMA table_info({table})")]


class Maria:
    """The same on MariaDB."""

    dialect: Final = "mysql"

    def __init__(self, server):
        self.server = server
        self.name = server.new_database()
        self.run(*(step.statement.rstrip(";") for step in creating()), *create_triggers("mysql"))

    def run(self, *statements):
        self.server.run("DELIMITER //\n" + "".join(f"{statement} //\n" for statement in statements), self.name)

    def rows(self, statement):
        return [tuple(line.split("\t")) for line in self.server.run(f"{statement};", self.name).splitlines()]

    def columns(self, table):
        return [(row[0], row[1]) for row in self.rows(f"SHOW COLUMNS FROM {table}")]


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def made(request, tmp_path_factory):
    if request.param == "sqlite":
        yield Sqlite()
        return
    server = MariaDb(tmp_path_factory.mktemp("mariadb"))
    server.start()
    yield Maria(server)
    server.stop()


@pytest.fixture
def database(made):
    """With two users and no line in the log."""
    made.run(*(f"DELETE FROM {table}" for table in (*ROWS, "users")))
    put_row(made, "users", aor="u")
    put_row(made, "users", aor="v")
    news(made)
    return made


def put_row(database, table, verb="INSERT", **values):
    """A row with these values, and something in every other column."""
    for name, kind in database.columns(table):
        is_text = any(word in kind.upper() for word in ("CHAR", "TEXT", "BLOB", "BINARY"))
        values.setdefault(name, "" if is_text else 0)
    names, texts = ", ".join(values), ", ".join(repr(value) for value in values.values())
    database.run(f"{verb} INTO {table} ({names}) VALUES ({texts})")


def news(database):
    """What the log has got since this was asked before."""
    found = database.rows("SELECT what, name FROM change_log ORDER BY id")
    database.run("DELETE FROM change_log")
    return found


@pytest.mark.parametrize("table", ROWS)
def test_every_change_of_a_row_is_logged_by_its_key(database, table):
    key, row = LOGGED[table], ROWS[table]
    line = (table, str(row[key]))
    put_row(database, table, **row)
    assert news(database) == [line]
    put_row(database, table, "REPLACE", **row)
    assert set(news(database)) == {line}
    column = next(name for name, _ in database.columns(table) if name != key)
    database.run(f"UPDATE {table} SET {column} = {column}")
    assert news(database) == [line]
    database.run(f"DELETE FROM {table}")
    assert news(database) == [line]


def test_a_key_that_changes_is_logged_as_it_was_and_as_it_is(database):
    put_row(database, "domain", name="old.example", canonical="x")
    put_row(database, "dialplan", position=1)
    news(database)
    database.run("UPDATE domain SET name = 'new.example'")
    database.run("UPDATE dialplan SET position = 2")
    assert sorted(news(database)) == [
        ("dialplan", "1"),
        ("dialplan", "2"),
        ("domain", "new.example"),
        ("domain", "old.example"),
    ]


def test_a_user_who_goes_is_logged_and_stands_for_all_he_had(database):
    for table in ("contacts", "scripts", "third_parties", "aliases"):
        put_row(database, table, **ROWS[table])
    news(database)
    database.run("DELETE FROM users WHERE aor = 'u'")
    assert ("users", "u") in news(database)


def test_a_transaction_that_is_rolled_back_leaves_no_line(database):
    insert = "INSERT INTO domain (name, canonical) VALUES ('x.example', 'x.example')"
    if database.dialect == "sqlite":
        database.run("BEGIN", insert, "ROLLBACK")
    else:
        database.run("START TRANSACTION", insert, "ROLLBACK")
    assert news(database) == []


def test_a_server_on_mysql_knows_its_own_lines(database):
    if database.dialect == "mysql":
        database.run("SET @sipd_origin = 'node-1'", "INSERT INTO domain VALUES ('a', 'a')")
    put_row(database, "domain", name="b")
    expected = [("b", "")] if database.dialect == "sqlite" else [("a", "node-1"), ("b", "")]
    lines = database.rows("SELECT name, origin FROM change_log ORDER BY id")
    assert [(name, *(origin or ("",))) for name, *origin in lines] == expected


def test_a_line_says_when(database):
    put_row(database, "domain", name="b")
    now = "strftime('%s', 'now')" if database.dialect == "sqlite" else "UNIX_TIMESTAMP()"
    [(ago,)] = database.rows(f"SELECT {now} - changed_at FROM change_log")
    assert 0 <= int(ago) < 60


def test_they_can_be_made_anew(database):
    database.run(*drop_triggers(), *create_triggers(database.dialect))
    put_row(database, "domain", name="b")
    assert news(database) == [("domain", "b")]
    assert len(set(trigger_names())) == 3 * len(LOGGED)
