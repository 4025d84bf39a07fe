"""docs/how-to/script-errors.md: cpl-check says of each script on the page what stands under it."""

from __future__ import annotations

import shlex

from sipd.tools.cpl_check import main
from tests.docs.console import Typed, Written, steps
from tests.running import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "script-errors.md"


def test_cpl_check_says_what_the_page_shows(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    checked = 0
    for step in steps(PAGE):
        match step:
            case Written(name, text):
                (tmp_path / name).write_text(text, "utf-8")
            case Typed(_, command, shown):
                program, *words = shlex.split(command)
                assert program == "cpl-check"
                main(words)
                assert capsys.readouterr().out.splitlines() == list(shown)
                checked += 1
    assert checked >= 10
