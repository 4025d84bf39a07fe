"""sipdctl and addsipuser as an administrator runs them: processes in a directory of their own."""

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from sipd.control.verbs import VERBS
from sipd.rows import PutBinding, Settings
from sipd.store import SqliteStore, user_row
from sipd.tools import sipdctl, sippasswd
from tests.running import HERE, free_port
from tests.store.rows import apply, binding

REPOSITORY = Path(__file__).resolve().parents[2]
CPL = """<?xml version="1.0" encoding="UTF-8"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>
"""
ALICE = "alice@example.com"


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


class Shell:
    """Runs the tools in one directory, whose database is sip.sqlite3."""

    def __init__(self, directory):
        self.directory = directory

    def __call__(self, *words, tool="sipdctl", stdin="", status=0, database=("-D", "sqlite:sip.sqlite3"), **environ):
        done = subprocess.run(
            [sys.executable, "-m", f"sipd.tools.{tool}", *database, *words],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(self.directory), **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == status, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        assert bool(done.stderr) == bool(status), "an error says what is wrong, success says nothing there"
        return done.stderr if status else done.stdout


@pytest.fixture
def empty_shell(tmp_path):
    return Shell(tmp_path)


@pytest.fixture
def shell(empty_shell):
    """With a database for example.com and its user alice."""
    empty_shell("db", "init", "example.com")
    empty_shell("user", "add", ALICE, "--password-file", "-", stdin="hidden-word\n")
    return empty_shell


async def rows(shell):
    store = SqliteStore(shell.directory / "sip.sqlite3")
    await store.open()
    snapshot = await store.load_all()
    await store.close()
    return snapshot._replace(users=list(snapshot.users), bindings=list(snapshot.bindings))


async def test_a_password_from_standard_input_is_stored_as_hashes(shell):
    assert (await rows(shell)).users == [user_row(ALICE, "example.com", "hidden-word")]
    everything = b"".join(file.read_bytes() for file in shell.directory.glob("sip.sqlite3*"))
    assert b"hidden-word" not in everything


async def test_a_random_password_is_printed_once_and_works(shell):
    said = shell("user", "add", "sip:b%6fb@EXAMPLE.com.")
    [password] = re.findall(r"password +([a-z0-9-]{19})\n", said)
    assert user_row("bob@example.com", "example.com", password) in (await rows(shell)).users
    assert password not in shell("user", "list", "--json")
    again = json.loads(shell("--json", "user", "passwd", "bob@example.com"))
    assert again["password"] != password
    assert user_row("bob@example.com", "example.com", again["password"]) in (await rows(shell)).users


async def test_users_are_changed_and_removed(shell):
    shell("user", "set", ALICE, "level=requested", "full_name=Alice Liddell")
    [alice] = (await rows(shell)).users
    assert alice == user_row(ALICE, "example.com", "hidden-word")._replace(level="requested", full_name="Alice Liddell")
    shell("user", "add", "bob@example.com", "role=administrator")
    shell("user", "allow", ALICE, "bob@example.com")
    assert [tuple(row) for row in (await rows(shell)).delegates] == [(ALICE, "bob@example.com")]
    shell("user", "deny", ALICE, "bob@example.com")
    assert not (await rows(shell)).delegates
    shell("user", "rm", ALICE)
    assert [user.role for user in (await rows(shell)).users] == ["administrator"]


def test_tables_are_aligned(shell):
    shell("user", "add", "zebediah.longname@example.com")
    lines = shell("user", "list").splitlines()
    assert [line.split()[0] for line in lines] == ["user", ALICE, "zebediah.longname@example.com"]
    assert len({line.index(word) for line, word in zip(lines, ["level", "required", "required"], strict=True)}) == 1
    assert shell("ul", "show") == "nobody is registered\n"


def test_domains(shell):
    shell("domain", "add", "SIP.example.com.", "--alias-of", "example.com")
    shell("domain", "add", "2001:db8:0::1")
    found = json.loads(shell("domain", "list", "--json"))
    assert [(row["domain"], row["canonical"], row["users"]) for row in found] == [
        ("2001:db8::1", "2001:db8::1", 0),
        ("example.com", "example.com", 1),
        ("sip.example.com", "example.com", 0),
    ]
    assert json.loads(shell("--json", "user", "add", "carol@sip.example.com"))["user"] == "carol@example.com"
    shell("domain", "rm", "sip.example.com")
    assert len(json.loads(shell("domain", "list", "--json"))) == 2


def test_peers(shell):
    assert shell("peer", "list") == "no peers\n"
    shell("peer", "add", "gateway", "192.0.2.7", "--gateway-class", "pstn")
    shell("peer", "add", "office", "2001:DB8:0::/48")
    made = json.loads(shell("peer", "add", "carrier", "CERT:SIP.Carrier.example.", "--json"))
    assert made == {"peer": "carrier", "match": "cert:sip.carrier.example", "gateway_class": ""}
    assert json.loads(shell("peer", "list", "--json")) == [
        made,
        {"peer": "gateway", "match": "192.0.2.7", "gateway_class": "pstn"},
        {"peer": "office", "match": "2001:db8::/48", "gateway_class": ""},
    ]
    assert "there is a peer gateway already" in shell("peer", "add", "gateway", "192.0.2.8", status=1)
    assert "192.0.2.7 is the peer gateway already" in shell("peer", "add", "other", "192.0.2.7", status=1)
    shell("peer", "rm", "gateway")
    assert [row["peer"] for row in json.loads(shell("peer", "list", "--json"))] == ["carrier", "office"]


async def test_bindings_are_shown_and_steer_no_terminal(shell):
    store = SqliteStore(shell.directory / "sip.sqlite3")
    await store.open()
    await apply(
        store,
        PutBinding(binding(q=700, user_agent="x\x1b[2J\udce9")),
        PutBinding(binding(uri="sip:old@h", expires_at=9.0)),
    )
    await store.close()
    said = shell("ul", "show", ALICE)
    assert "sip:alice@192.0.2.1" in said
    assert "0.7" in said
    assert "sip:old" not in said
    assert "\x1b" not in said
    assert "\\x1b[2J" in said
    assert json.loads(shell("ul", "show", "--json"))[0]["agent"] == "x\x1b[2J\udce9"


async def test_a_script_is_checked_stored_printed_and_removed(shell):
    (shell.directory / "good.cpl").write_text(CPL)
    shell("script", "put", ALICE, "good.cpl")
    assert shell("script", "get", ALICE) == CPL
    shell("script", "put", ALICE, "-", stdin=CPL)
    assert json.loads(shell("script", "get", ALICE, "--json"))["version"] == 2
    assert shell("script", "log", ALICE) == "nothing was logged\n"
    bad = shell("script", "put", ALICE, "-", stdin=CPL.replace("reject", "rejekt"), status=1)
    assert "line 2, column" in bad
    assert (await rows(shell)).scripts[0].text == CPL.encode(), "the sound one stays"
    shell("script", "rm", ALICE)
    assert not (await rows(shell)).scripts


async def test_settings(shell):
    shell("server", "set", "auth=none", "stagger=2.5", "record_route=no", "max_expires=9000")
    [settings] = (await rows(shell)).settings
    assert (settings.auth, settings.stagger, settings.record_route, settings.max_expires) == ("none", 2.5, False, 9000)
    assert json.loads(shell("server", "show", "--json")) == settings._asdict()
    assert ["auth", "none"] in [line.split() for line in shell("server", "show").splitlines()]
    shell("server", "set", "auth=digest", "nonsense=1", status=1)
    assert (await rows(shell)).settings == [settings], "all or none"


async def test_a_server_more_on_one_database_gets_a_row_of_its_own(shell):
    """As docs/how-to/mariadb.md has it: each server is given a name, which is that of its row."""
    shell("server", "set", "--server", "east", "listen=udp:192.0.2.1:5060")
    shell("server", "set", "--server", "east", "auth=none")
    assert (await rows(shell)).settings == [
        Settings(),
        Settings("east", listen="udp:192.0.2.1:5060", auth="none"),
    ]
    assert "several server configurations: default, east" in shell("server", "set", "auth=none", status=1)
    for bad in ("", "east ", "e\nast", "x" * 65):
        assert "letters, such as east" in shell("server", "set", "--server", bad, "auth=none", status=1)
    assert len((await rows(shell)).settings) == 2


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ("contacts SET q = 'abc'", ["ul", "list"]),
        ("contacts SET expires_at = 'abc'", ["user", "show", ALICE]),
        ("contacts SET expires_at = 9e999", ["ul", "show"]),
        ("contacts SET uri = x'ff'", ["ul", "add", ALICE, "sip:b@192.0.2.2"]),
        ("scripts SET modified = 'abc'", ["script", "list"]),
        ("domain SET canonical = x'4af6'", ["user", "show", ALICE]),
    ],
)
def test_rows_that_make_no_sense_are_named_by_whatever_stumbles_over_them(shell, odd, words):
    shell("ul", "add", ALICE, "sip:a@192.0.2.1")
    shell("script", "put", ALICE, "-", stdin=CPL)
    with closing(sqlite3.connect(shell.directory / "sip.sqlite3")) as connection:
        connection.execute(f"UPDATE {odd}")
        connection.commit()
    assert "Traceback" not in shell(*words, status=1)
    assert "is not sound" in shell("db", "check", status=1)


def test_the_script_of_somebody_who_is_not_there_is_listed_with_the_others(shell):
    shell("script", "put", ALICE, "-", stdin=CPL)
    with closing(sqlite3.connect(shell.directory / "sip.sqlite3")) as connection:
        connection.execute("UPDATE scripts SET aor = 'nobody@x'")
        connection.commit()
    assert [row["user"] for row in json.loads(shell("script", "list", "--json"))] == ["nobody@x"]


@pytest.mark.parametrize("name", ["nonce_life", "max_script", "max_expires", "stagger"])
def test_a_setting_that_another_program_made_no_number_is_named_and_can_be_set(shell, name):
    with closing(sqlite3.connect(shell.directory / "sip.sqlite3")) as connection:
        connection.execute(f"UPDATE server SET {name} = 'many', listen = 'udp:127.0.0.1:0'")
        connection.commit()
    said = f"{name} in the server configuration 'default' is 'many', and no number"
    assert said in shell("script", "list", status=2)
    assert said in shell("server", "set", "auth=none", status=1)
    started = subprocess.run(
        [sys.executable, "-m", "sipd", "-D", f"sqlite:{shell.directory}/sip.sqlite3"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert started.returncode == 1
    assert said in started.stderr
    assert "Traceback" not in started.stderr
    shell("server", "set", f"{name}={Settings._field_defaults[name]}")
    shell("server", "set", "auth=none")


def test_a_database_is_made_with_this_machines_names(empty_shell):
    made = json.loads(empty_shell("db", "init", "--json"))
    assert "127.0.0.1" in made["domains"]
    assert json.loads(empty_shell("db", "check", "--json"))["sound"] is True


def test_the_database_is_found_in_every_way(shell, tmp_path_factory):
    url = f"sqlite:{shell.directory}/sip.sqlite3"
    elsewhere = Shell(tmp_path_factory.mktemp("elsewhere"))
    assert ALICE in elsewhere("user", "list", database=(), SIPD_DATABASE=url)
    (elsewhere.directory / "cinema_db.conf").write_text(url)
    assert ALICE in elsewhere("user", "list", database=())
    assert ALICE in elsewhere("user", "list", database=("-f", "cinema_db.conf"))


ERRORS = [
    (["db", "init"], 1, "is there already"),
    (["user", "add", ALICE], 1, "there is a user alice@example.com already"),
    (["user", "add", "alice"], 1, "not an address: 'alice'"),
    (["user", "add", "@example.com"], 1, "not an address"),
    (["user", "add", "a b@example.com"], 1, "not an address"),
    (["user", "add", "a:b@example.com"], 1, "not an address"),
    (["user", "add", "a%00b@example.com"], 1, "not an address"),
    (["user", "add", "alice@example..com"], 1, "not a host name"),
    (["user", "add", "alice@example.net"], 1, "sipdctl domain add example.net"),
    (["user", "add", "bob@example.com", "--password-file", "nofile"], 2, "can't read nofile"),
    (["user", "add", "bob@example.com", "--password-file", "."], 2, "can't read ."),
    (["user", "add", "bob@example.com", "--password-file", "-"], 2, "there is no password in -"),
    (["user", "add", "bob@example.com", "level=often"], 1, "never, requested, required"),
    (["user", "set", ALICE, "aor=bob@example.com"], 1, "not a setting of a user"),
    (["user", "passwd", "nobody@example.com"], 1, "there is no user nobody@example.com"),
    (["user", "rm", "nobody@example.com"], 1, "there is no user"),
    (["user", "allow", ALICE, "nobody@example.com"], 1, "there is no user"),
    (["user", "deny", ALICE, ALICE], 1, "may not register for"),
    (["ul", "show", "nobody@example.com"], 1, "there is no user"),
    (["domain", "add", "-x"], 2, "usage"),
    (["domain", "add", "exa mple.com"], 1, "not a host name or address"),
    (["domain", "add", "1.2.3"], 1, "not a host name or address"),
    (["domain", "add", "x.com", "--alias-of", "y.com"], 1, "y.com is not a domain of its own"),
    (["domain", "rm", "example.net"], 1, "is not a local domain"),
    (["domain", "rm", "example.com"], 1, "still has 1 users, such as alice@example.com"),
    (["peer", "add", "gate way", "192.0.2.7"], 1, "not a name for a peer"),
    (["peer", "add", "gateway", "gw.example.net"], 1, "cert: and a name of its certificate"),
    (["peer", "add", "gateway", "cert:"], 1, "not a host name"),
    (["peer", "add", "gateway", "cert:*.example.net"], 1, "not a host name"),
    (["peer", "add", "gateway", "192.0.2.0/33"], 1, "not a network"),
    (["peer", "add", "gateway", "192.0.2.7/24"], 1, "Write 192.0.2.0/24 for all of it"),
    (["peer", "add", "gateway", "0.0.0.0/0"], 1, "every address there is"),
    (["peer", "add", "gateway"], 2, "MATCH"),
    (["peer", "rm", "gateway"], 1, "there is no peer gateway"),
    (["script", "put", ALICE, "nofile"], 2, "can't read nofile: No such file"),
    (["script", "put", ALICE, "-"], 1, "sipdctl: the script has"),
    (["script", "get", ALICE], 1, "alice@example.com has no script"),
    (["script", "rm", ALICE], 1, "has no script"),
    (["server", "set", "auth"], 1, "not a setting: 'auth'"),
    (["server", "set", "auth=maybe"], 1, "auth can't be 'maybe'. It is one of: digest, basic, none"),
    (["server", "set", "max_contacts=many"], 1, "a whole number from 1 to 1000"),
    (["server", "set", "max_expires=60"], 1, "must not fall"),
    (["server", "set"], 1, "nothing to set"),
    (["server", "show", "--server", "other"], 1, "no server configuration 'other'"),
    (["fly"], 2, "invalid choice: 'fly'"),
    (["usr", "list"], 2, "Did you mean user?"),
    (["user", "ad", ALICE], 2, "Did you mean add?"),
    (["user", "add"], 2, "required: ADDRESS\n"),
    (["server", "set", "auht=none"], 1, "not a setting: 'auht=none'. Did you mean auth?"),
    (["ul", "add", ALICE, "192.0.2.1"], 1, "not a contact: '192.0.2.1'"),
    (["ul", "rm", ALICE], 1, "which contact is not said. Write one, or --all"),
    (["alias", "add", "team@example.com"], 1, "Write: sipdctl alias add ALIAS USER [USER ...]"),
    (["user", "list", "--limit", "x"], 1, "--limit can't be 'x'. It is a whole number"),
    (["user", "import", "nofile"], 2, "can't read nofile: No such file"),
    (["user", "export", "-o", "no/where.csv"], 2, "can't write no/where.csv: No such file"),
    ([], 2, "required: NOUN"),
]


@pytest.mark.parametrize(
    ("words", "status", "said"), ERRORS, ids=[" ".join(words) or "nothing" for words, _, _ in ERRORS]
)
def test_an_error_says_what_was_wrong(shared_shell, monkeypatch, capsys, words, status, said):
    """In this process, for speed: `main` is all there is to the tool."""
    monkeypatch.chdir(shared_shell.directory)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit) as end:  # argparse raises it by itself
        sys.exit(sipdctl.main(["-D", "sqlite:sip.sqlite3", *words]))
    assert end.value.code == status
    output = capsys.readouterr()
    assert said in output.err
    assert not output.out


@pytest.fixture(scope="module")
def shared_shell(tmp_path_factory):
    """One database for all errors: they change nothing."""
    shell = Shell(tmp_path_factory.mktemp("errors"))
    shell("db", "init", "example.com")
    shell("user", "add", ALICE)
    before = (shell.directory / "sip.sqlite3").read_bytes()
    yield shell
    assert (shell.directory / "sip.sqlite3").read_bytes() == before


@pytest.mark.parametrize(
    ("database", "said"),
    [
        (("-D", "sqlite:nothing.sqlite3"), "db init"),
        (("-D", "sqlite:no/where.sqlite3"), "there is no directory"),
        (("-D", "sqlite:text"), "is not an SQLite database"),
        (("-D", "sqlite:other.sqlite3"), "but none of sipd's"),
        (("-D", "postgres://root:secretive@db/sip"), "not a database URL: 'postgres:***'"),
        (
            ("-D", "sql://root:secretive@127.0.0.1:1/sip"),
            "@127.0.0.1:1/sip: 127.0.0.1:1: Connection refused",
        ),
        (("-D", "memory:"), "inside one running sipd"),
        (("-f", "nofile"), "there is no file"),
        (("-f", "text"), "has 20 lines"),
        ((), "there is no d"),
    ],
)
def test_a_database_that_can_t_be_used_is_exit_2(empty_shell, database, said):
    (empty_shell.directory / "text").write_text("one line of many\n" * 20)
    with sqlite3.connect(empty_shell.directory / "other.sqlite3") as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    error = empty_shell("user", "list", database=database, status=2)
    assert said in error
    assert "secretive" not in error


def test_a_terminal_without_utf_8_gets_the_rest_and_a_pipe_gets_utf_8(shell):
    shell("user", "set", ALICE, "full_name=Jörg")
    assert "J\\xf6rg" in shell("user", "list", PYTHONIOENCODING="ascii")
    shell("user", "set", ALICE, "full_name=Jorg")
    script = CPL.replace("reject", 'reject reason="schön"')
    shell("script", "put", ALICE, "-", stdin=script)
    assert shell("script", "get", ALICE, PYTHONIOENCODING="ascii") == script


def test_a_full_disk_behind_the_output_is_one_line(shell):
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m sipd.tools.sipdctl -D sqlite:sip.sqlite3 user list > /dev/full"],
        cwd=shell.directory, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "sipdctl: can't print what came of it: No space left on device\n")


@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS if not verb.makes], ids=lambda verb: f"{verb.noun} {verb.name}"
)
def test_a_database_that_is_away_is_one_line_and_exit_2(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"correct horse\n")))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("sqlite:nothing\n")
    words = {"word": "alice@example.com", "words": "level=never", "file": "file"}
    given = [words[parameter.kind] for parameter in verb.parameters if parameter.kind in words]
    away = f"sql://sipd:secretive@{HERE}:{free_port()}/sip"
    assert sipdctl.main(["-D", away, verb.noun, verb.name, *given]) == 2
    said = capsys.readouterr()
    *_, last = said.err.splitlines()
    assert "Connection refused" in last
    assert last.endswith("Nothing was changed; try again when the database can be had")
    assert "secretive" not in said.err
    assert not said.out


def test_a_locked_database_is_exit_2(shell):
    blocker = sqlite3.connect(shell.directory / "sip.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert "is locked by another process" in shell("domain", "add", "example.net", status=2)
    assert ALICE in shell("user", "list"), "reading waits for nobody"
    blocker.execute("ROLLBACK")
    blocker.close()


class TestAddsipuser:
    async def test_with_the_options_of_the_original(self, shell):
        shell("-p", "correct horse", "-r", "the realm", "bob@example.com", tool="addsipuser")
        assert user_row("bob@example.com", "the realm", "correct horse") in (await rows(shell)).users

    async def test_a_password_from_standard_input(self, shell):
        shell("-p", "-", "bob@example.com", tool="addsipuser", stdin="correct horse\n")
        assert user_row("bob@example.com", "example.com", "correct horse") in (await rows(shell)).users

    def test_a_random_password_is_printed(self, shell):
        assert re.search(r"password +[a-z0-9-]{19}\n", shell("bob@example.com", tool="addsipuser"))

    @pytest.mark.parametrize(
        ("words", "status", "said"),
        [
            ([ALICE], 1, "addsipuser: there is a user alice@example.com already"),
            (["-p", "short", "bob@example.com"], 1, "fewer than 8 letters"),
            (["-p", "", "bob@example.com"], 1, "fewer than 8 letters"),
            (["-r", 'a"b', "bob@example.com"], 1, "not a realm"),
            ([], 2, "required: user@domain"),
        ],
    )
    def test_an_error_says_what_was_wrong(self, shared_shell, words, status, said):
        assert said in shared_shell(*words, tool="addsipuser", status=status)

    def test_the_help_says_that_p_is_kept_in_the_history(self, shell):
        assert "history of the shell" in " ".join(shell("--help", tool="addsipuser").split())


class TestSippasswd:
    async def test_a_password_from_standard_input(self, shell):
        shell("-p", "-", ALICE, tool="sippasswd", stdin="correct horse\n")
        assert (await rows(shell)).users == [user_row(ALICE, "example.com", "correct horse")]

    async def test_with_the_options_of_the_original_and_all_else_as_it_was(self, shell):
        shell("user", "set", ALICE, "level=never", "full_name=Alice Liddell")
        shell("-p", "correct horse", "-r", "the realm", ALICE, tool="sippasswd")
        expected = user_row(ALICE, "the realm", "correct horse")._replace(level="never", full_name="Alice Liddell")
        assert (await rows(shell)).users == [expected]

    async def test_a_random_password_is_printed(self, shell):
        [password] = re.findall(r"password +([a-z0-9-]{19})\n", shell(ALICE, tool="sippasswd"))
        assert (await rows(shell)).users == [user_row(ALICE, "example.com", password)]

    def test_a_terminal_is_asked_twice(self, shell, monkeypatch):
        answers = iter(["correct horse", "correct horse", "one thing", "another thing"])
        monkeypatch.chdir(shell.directory)
        monkeypatch.setattr(sys, "stdin", Terminal())
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
        assert sippasswd.main(["-D", "sqlite:sip.sqlite3", ALICE]) == 0
        assert sippasswd.main(["-D", "sqlite:sip.sqlite3", ALICE]) == 1
        assert "the two passwords differ" in screen.getvalue()
        assert next(answers, None) is None
        assert trio.run(rows, shell).users == [user_row(ALICE, "example.com", "correct horse")]

    @pytest.mark.parametrize(
        ("words", "status", "said"),
        [
            (["nobody@example.com"], 1, "sippasswd: there is no user nobody@example.com"),
            (["-p", "short", ALICE], 1, "fewer than 8 letters"),
            (["-r", 'a"b', ALICE], 1, "not a realm"),
            ([], 2, "required: user@domain"),
        ],
    )
    def test_an_error_says_what_was_wrong(self, shared_shell, words, status, said):
        assert said in shared_shell(*words, tool="sippasswd", status=status)


@pytest.mark.parametrize("setting", [
    "listen=foo", "digest_algorithms=ROT13", "debug=nets", "script_operations=fly", "script_operations=all guest:fly",
    "script_hosts=http://x", "timer_c=10", "record_route=maybe",
])  # fmt: skip
def test_a_setting_that_no_server_could_use_is_refused(shell, setting):
    said = shell("server", "set", setting, status=1)
    assert setting.partition("=")[2] in said
