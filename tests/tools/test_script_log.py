"""`sipdctl script log`: the last lines that a user's scripts have logged (RFC 3880 §7.2)."""

from __future__ import annotations

import json

import pytest

from sipd.rows import AddScriptLog
from tests.tools.test_script_history import Shell
from tests.tools.test_sipdctl import ALICE


@pytest.fixture
def shell(tmp_path):
    """With a log of 300 lines, every third of them in the log `late`; the last has a control character."""
    made = Shell(tmp_path)
    made("db", "init", "example.com")
    made("user", "add", ALICE)
    lines = [
        AddScriptLog(ALICE, float(number), "" if number % 3 else "late", f"line {number}") for number in range(300)
    ]
    made.store(*lines, AddScriptLog(ALICE, 300.0, "odd", "\x1b[2J"))
    return made


def comments(shell, *words) -> list[str]:
    return [row["comment"] for row in json.loads(shell("script", "log", ALICE, *words, "--json"))]


def test_the_last_lines_oldest_first(shell):
    assert comments(shell)[:-1] == [f"line {number}" for number in range(201, 300)]
    assert comments(shell, "--limit", "3")[:-1] == ["line 298", "line 299"]
    assert len(comments(shell, "--limit", "100000")) == 301


def test_of_one_log(shell):
    assert comments(shell, "--name", "late", "--limit", "2") == ["line 294", "line 297"]
    assert comments(shell, "--name", "") != []
    assert shell("script", "log", ALICE, "--name", "none") == "nothing was logged\n"


def test_a_terminal_is_shown_no_control_characters(shell):
    assert "\x1b" not in shell("script", "log", ALICE, "--limit", "1")


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "100001", "٣", ""])
def test_a_limit_is_a_number(shell, limit):
    assert "--limit can't be" in shell("script", "log", ALICE, f"--limit={limit}", status=1)
