"""`sipdctl script`: who has changed a script, what was changed, and the way back."""

from __future__ import annotations

import io
import json
import os
import pty
import pwd
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
import trio

from sipd.control.verbs import VERBS
from sipd.rows import PutScript, PutUser
from sipd.store import SqliteStore, user_row
from sipd.tools import sipdctl
from tests.store.rows import apply, script
from tests.tools.test_sipdctl import ALICE, REPOSITORY

ME = pwd.getpwuid(os.getuid()).pw_name
CPL = """<?xml version="1.0" encoding="UTF-8"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <incoming>
    <reject status="{}"/>
  </incoming>
</cpl>
"""
BUSY, NOT_FOUND = CPL.format("busy"), CPL.format("notfound")


class Shell:
    """sipdctl in this process, for speed: `main` is all there is to the tool."""

    def __init__(self, directory):
        self.directory = directory

    def __call__(self, *words, stdin="", status=0):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            ended: object
            try:
                ended = sipdctl.main(["-D", f"sqlite:{self.directory}/sip.sqlite3", *words])
            except SystemExit as end:  # argparse
                ended = end.code
        assert ended == status, f"{words}: exit {ended}\n{out.getvalue()}{err.getvalue()}"
        assert bool(err.getvalue()) == bool(status)
        return err.getvalue() if status else out.getvalue()

    def store(self, *changes):
        """Put these rows there."""

        async def put():
            store = SqliteStore(self.directory / "sip.sqlite3")
            await store.open()
            await apply(store, *changes)
            await store.close()

        trio.run(put)


@pytest.fixture
def shell(tmp_path):
    """With a database for example.com, its user alice, and two versions of her script."""
    made = Shell(tmp_path)
    made("db", "init", "example.com")
    made("user", "add", ALICE)
    made("script", "put", ALICE, "-", stdin=BUSY)
    made("script", "put", ALICE, "-", stdin=NOT_FOUND)
    return made


def done_to(shell, user=ALICE):
    """What was done to the script, by version."""
    return {row["version"]: row["what"] for row in json.loads(shell("script", "history", user, "--json"))}


def test_the_history_says_who_did_what(shell):
    shell("script", "disable", ALICE)
    shell("script", "enable", ALICE)
    shell("script", "rm", ALICE)
    rows = json.loads(shell("script", "history", ALICE, "--json"))
    assert [(row["version"], row["what"]) for row in rows] == [
        (5, "removed"), (4, "enabled"), (3, "disabled"), (2, "stored"), (1, "stored"),
    ]  # fmt: skip
    assert {row["by"] for row in rows} == {ME}
    assert [row["when"] for row in rows] == sorted((row["when"] for row in rows), reverse=True)
    lines = shell("script", "history", ALICE).splitlines()
    assert lines[0].split() == ["version", "when", "by", "what", "bytes"]
    assert re.fullmatch(rf" +5  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {ME} +removed +0", lines[1])


def test_a_rollback_is_a_new_version_and_a_second_one_undoes_it(shell):
    assert json.loads(shell("script", "rollback", ALICE, "--json")) == {
        "user": ALICE, "version": 3, "as_it_was_in": 1, "warnings": [],
    }  # fmt: skip
    assert shell("script", "get", ALICE) == BUSY
    shell("script", "rollback", ALICE)
    assert shell("script", "get", ALICE) == NOT_FOUND
    shell("script", "rollback", ALICE, "3")
    assert shell("script", "get", ALICE) == BUSY
    assert done_to(shell) == {
        1: "stored", 2: "stored", 3: "rolled back to 1", 4: "rolled back to 2", 5: "rolled back to 3",
    }  # fmt: skip


def test_a_removed_script_comes_back(shell):
    shell("script", "rm", ALICE)
    said = shell("script", "get", ALICE, status=1)
    assert f"{ALICE} has no script: {ME} removed it" in said
    assert f"sipdctl script rollback {ALICE}" in said
    shell("script", "rollback", ALICE)
    assert shell("script", "get", ALICE) == NOT_FOUND
    assert done_to(shell)[4] == "rolled back to 2"


def test_a_rollback_is_checked_by_the_rules_of_today(shell):
    shell("server", "set", "script_operations=location proxy")
    said = shell("script", "rollback", ALICE, "1", status=1)
    assert "line 4, column 5" in said
    assert "sipdctl: the script has an error" in said
    assert list(done_to(shell)) == [2, 1], "nothing was stored"
    [row] = json.loads(shell("script", "list", "--json"))
    assert (row["user"], row["version"], row["by"], row["enabled"], row["sound"]) == (ALICE, 2, ME, True, False)
    shown = json.loads(shell("script", "show", ALICE, "--json"))
    assert shown["sound"] is False
    assert "line 4, column 5" in shown["errors"][0]
    shell("script", "disable", ALICE)
    assert "the script has an error" in shell("script", "enable", ALICE, status=1)


def test_differences_are_shown_as_is_usual(shell):
    said = shell("script", "diff", ALICE).splitlines()
    assert re.fullmatch(rf"--- version 1, stored [-\d]+ [:\d]+ by {ME}", said[0])
    assert said[1].startswith("+++ version 2, stored")
    assert [line for line in said[2:] if line[0] in "+-"] == [
        '-    <reject status="busy"/>',
        '+    <reject status="notfound"/>',
    ]
    assert json.loads(shell("script", "diff", ALICE, "2", "1", "--json"))["to"] == 1
    assert shell("script", "diff", ALICE, "2") == "both are the same\n"
    shell("script", "disable", ALICE)
    assert json.loads(shell("script", "diff", ALICE, "--json"))["from"] == 1, "what the last change of the text was"


def test_differences_of_scripts_in_utf_16_are_readable(shell):
    for number, text in enumerate((BUSY, NOT_FOUND)):
        file = shell.directory / f"{number}.cpl"
        file.write_bytes(text.replace("UTF-8", "UTF-16").encode("utf-16"))
        shell("script", "put", ALICE, str(file))
    assert [line for line in shell("script", "diff", ALICE).splitlines()[2:] if line[0] in "+-"] == [
        '-    <reject status="busy"/>',
        '+    <reject status="notfound"/>',
    ]


def test_earlier_versions_are_printed_and_described(shell):
    assert shell("script", "get", ALICE, "--version", "1") == BUSY
    assert json.loads(shell("script", "show", ALICE, "--version", "1", "--json"))["what"] == "stored"
    assert ["enabled", "yes"] in [line.split() for line in shell("script", "show", ALICE).splitlines()]


def test_a_script_that_is_switched_off_stays_so_until_it_is_switched_on(shell):
    off = {"user": ALICE, "version": 3, "enabled": False}
    for _ in range(2):  # a second time changes nothing
        assert json.loads(shell("script", "disable", ALICE, "--json")) == off
    assert f"sipdctl script enable {ALICE}" in shell("script", "put", ALICE, "-", stdin=BUSY)
    assert json.loads(shell("script", "list", "--json"))[0]["enabled"] is False
    assert json.loads(shell("script", "enable", ALICE, "--json")) == {"user": ALICE, "version": 5, "enabled": True}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["diff", ALICE, "7"], "version 7 of the script of alice@example.com is not kept. Kept: 1 to 3"),
        (["diff", ALICE, "last"], "not a version: 'last'"),
        (["diff", ALICE, "1", "²"], "not a version: '²'"),
        (["get", ALICE, "--version", "3"], f"in version 3 there was no script: {ME} had removed it"),
        (["rollback", ALICE, "3"], "version 3 is a removal. Remove it with: sipdctl script rm"),
        (["rollback", ALICE, "0"], "version 0 of the script"),
        (["enable", ALICE], f"{ME} removed it"),
        (["disable", ALICE], f"{ME} removed it"),
        (["rm", ALICE], f"{ME} removed it"),
        (["show", ALICE], f"{ME} removed it"),
        (["rollback", "bob@example.com"], "there is no user bob@example.com"),
        (["history", "alice"], "not an address: 'alice'"),
        (["list", "--server", "other"], "no server configuration 'other'"),
    ],
)
def test_an_error_says_what_was_wrong(shared, words, said):
    assert said in shared("script", *words, status=2 if "--server" in words else 1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """With a script that was removed: nothing changes it."""
    made = Shell(tmp_path_factory.mktemp("shared"))
    made("db", "init", "example.com")
    made("user", "add", ALICE)
    for text in (BUSY, NOT_FOUND):
        made("script", "put", ALICE, "-", stdin=text)
    made("script", "rm", ALICE)
    return made


def test_nothing_to_go_back_to(tmp_path):
    made = Shell(tmp_path)
    made("db", "init", "example.com")
    made("user", "add", ALICE)
    assert made("script", "list") == "no scripts\n"
    assert made("script", "history", ALICE) == "he has had no script\n"
    for verb in ("diff", "rollback"):
        assert f"{ALICE} has no script. Store one" in made("script", verb, ALICE, status=1)
    made("script", "put", ALICE, "-", stdin=BUSY)
    assert "no other version" in made("script", "diff", ALICE, status=1)
    assert "no earlier version" in made("script", "rollback", ALICE, status=1)
    assert "as it was in version 1" in made("script", "rollback", ALICE, "1", status=1)
    assert "Kept: 1 only" in made("script", "rollback", ALICE, "2", status=1)


def test_who_has_a_script_is_listed_by_name(shell):
    bob = "bob@example.com"
    shell.store(PutUser(user_row(bob, "example.com", "x")), PutScript(script(bob, b"<cpl", modified_by=bob)))
    assert [(row["user"], row["by"], row["sound"]) for row in json.loads(shell("script", "list", "--json"))] == [
        (ALICE, ME, True), (bob, bob, False),
    ]  # fmt: skip
    assert json.loads(shell("script", "show", bob, "--json"))["errors"]


def test_a_terminal_is_not_steered_by_a_script_and_a_file_gets_it_whole(shell):
    hostile = BUSY.replace("<incoming>", "<!-- \x9b2J\u202e\tx -->\r\n<incoming>")
    shell("script", "put", ALICE, "-", stdin=hostile)
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    for verb in ("get", "diff"):
        words = [sys.executable, "-m", "sipd.tools.sipdctl", "-D", "sqlite:sip.sqlite3", "script", verb, ALICE]
        plain = subprocess.run(words, cwd=shell.directory, env=environ, stdout=subprocess.PIPE, check=True).stdout
        assert "\x9b2J\u202e\tx".encode() in plain
        ours, theirs = pty.openpty()
        subprocess.run(words, cwd=shell.directory, env=environ, stdout=theirs, check=True)
        seen = os.read(ours, 65536).decode()
        os.close(ours)
        os.close(theirs)
        assert "\\x9b2J\\u202e\tx -->\r\n" in seen
        assert "\x9b" not in seen


def test_each_verb_of_scripts_is_told_with_one_line(tmp_path):
    said = Shell(tmp_path)("script", "--help")
    for verb in [verb for verb in VERBS if verb.noun == "script"]:
        assert re.search(rf"^    {verb.name} +{re.escape(verb.help)}$", said, re.MULTILINE), verb.name
        assert len(verb.help) < 60
