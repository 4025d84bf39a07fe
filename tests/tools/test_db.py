"""`sipdctl db init`, `upgrade` and `check`: over everything that can be found where a database should be."""

import json
import os
import sqlite3
from contextlib import closing

import pytest

from sipd.store.ddl import SCHEMA, statements
from sipd.tools.sipdctl import main
from tests.running import REPOSITORY

OLD = REPOSITORY / "tests" / "data" / "schema-1.sql"
ALICE = "alice@example.com"


class Tool:
    """sipdctl, in this process, on sip.sqlite3 of a directory."""

    def __init__(self, directory, capsys):
        self.directory = directory
        self._capsys = capsys

    def __call__(self, *words, status=0, database="sqlite:sip.sqlite3"):
        """What it says; `status` may be a tuple of those that are as good."""
        found = main(["-D", database, *words])
        heard = self._capsys.readouterr()
        assert found in (status if isinstance(status, tuple) else (status,)), heard
        assert bool(heard.err) == bool(found)
        return heard.err if found else heard.out


@pytest.fixture
def tool(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Tool(tmp_path, capsys)


@pytest.fixture
def shell(tool):
    """With a database and one user."""
    tool("db", "init", "example.com")
    tool("user", "add", ALICE)
    return tool


def change(shell, *changes):
    with closing(sqlite3.connect(shell.directory / "sip.sqlite3")) as connection:
        for statement in changes:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def old(tool, tmp_path):
    """With one of schema 1."""
    with closing(sqlite3.connect(tmp_path / "sip.sqlite3")) as connection:
        for statement in statements(OLD.read_text()):
            connection.execute(statement)
        connection.execute("INSERT INTO sipd_meta VALUES ('secret_key', 'aa')")
        connection.execute("INSERT INTO domain VALUES ('example.com', 'example.com')")
        connection.commit()
    return tool


def test_an_upgrade_says_from_and_to_and_dry_only_looks(old):
    assert "sipdctl db upgrade" in old("db", "check", status=1)
    for _ in range(2):
        said = json.loads(old("--json", "db", "upgrade", "--dry"))
        assert (said["from"], said["to"], said["upgrade"]) == (1, SCHEMA, "not done")
    assert json.loads(old("--json", "db", "upgrade"))["upgrade"] == "done"
    assert json.loads(old("--json", "db", "upgrade"))["upgrade"] == "nothing to do"
    assert "no row in the table server" in old("db", "check", status=1)
    old("server", "set", "mode=proxy")
    said = json.loads(old("--json", "db", "check"))
    assert (said["sound"], said["schema"], said["domains"]) == (True, SCHEMA, 1)


def test_a_database_is_made_once(shell):
    assert "is there already" in shell("db", "init", "example.net", status=1)
    said = json.loads(shell("--json", "db", "check"))
    assert (said["users"], said["domains"], said["servers"]) == (1, 1, 1)


@pytest.mark.parametrize("words", [("db", "init"), ("db", "upgrade"), ("db", "check"), ("user", "list")])
@pytest.mark.parametrize("what", ["directory", "text", "no directory", "file of the kernel", "device"])
def test_nothing_else_is_taken_for_a_database_or_made_one_of(tool, tmp_path, what, words):
    path = tmp_path / "sip.sqlite3"
    database = "sqlite:sip.sqlite3"
    match what:
        case "directory":
            path.mkdir()
        case "text":
            path.write_text("a letter to a friend")
        case "no directory":
            database = "sqlite:sip.conf/sip.sqlite3"
            (tmp_path / "sip.conf").touch()
        case "file of the kernel":
            path.symlink_to("/proc/self/mounts")
        case "device":
            database = "sqlite:/dev/full"
    before = os.listdir(tmp_path)
    heard = tool(*words, database=database, status=(1, 2))
    assert database.removeprefix("sqlite:") in heard
    assert os.listdir(tmp_path) == before
    assert not path.is_file() or path.is_symlink() or path.read_text() == "a letter to a friend"


def test_a_link_to_a_database_is_one(shell):
    os.symlink("sip.sqlite3", shell.directory / "link.sqlite3")
    assert json.loads(shell("--json", "db", "check", database="sqlite:link.sqlite3"))["users"] == 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP INDEX aliases_user", "no index on aliases (primary_user)"),
        ("DROP TABLE scripts", "the table scripts is missing"),
        ("INSERT INTO aliases VALUES ('x@example.com', 'nobody@x')", "1 row of aliases that belong to nobody"),
        ("INSERT INTO users SELECT 'bob', realm, '', '', '', '', 'never', 'regular', '', '', '', '' FROM users",
         "user 'bob': an address is name@domain"),
        ("UPDATE users SET level = 'sometimes'", "the level 'sometimes' is none of never, requested, required"),
        ("UPDATE users SET role = 'king'", "the role 'king'"),
        ("UPDATE users SET ha1_md5 = 'hidden-word'", "ha1_md5 is no hash of 32"),
        ("UPDATE domain SET canonical = 'example.net'", "its users are under example.net, which is no domain"),
        ("UPDATE server SET mode = 'slow'", "server default: mode can't be 'slow'"),
        ("UPDATE server SET max_contacts = -1", "server default: max_contacts can't be"),
        ("UPDATE sipd_meta SET value = '99' WHERE name = 'schema'", "has schema version 99"),
        ("DELETE FROM sipd_meta", "does not say which schema"),
        ("UPDATE users SET aor = x'ff'", "user"),
        ("INSERT INTO contacts "
         "VALUES ('alice@example.com', 'no uri', 1000, 2e9, 'c', 1, 'proxy', '', '', '', '', 0, '', '', 0, '')",
         "contact 'no uri' of alice@example.com: no URI"),
    ],
)  # fmt: skip
def test_a_check_finds(shell, statement, said):
    change(shell, statement)
    heard = shell("db", "check", status=(1, 2))
    assert said in heard
    assert "hidden-word" not in heard


def test_a_check_of_many_faults_is_no_flood(shell):
    change(shell, *[f"INSERT INTO domain VALUES ('d{number}', 'nowhere')" for number in range(200)])
    heard = shell("db", "check", status=1)
    assert "and 150 more" in heard
    assert len(heard.splitlines()) < 60
