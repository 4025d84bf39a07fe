"""The page about `cpl-check` holds: what it shows is what the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.cpl import compile
from tests.docs.console import Typed, Written, steps
from tests.docs.reader import Reader
from tests.running import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PAGE = REPOSITORY / "docs" / "how-to" / "cpl-check.md"


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    Reader(PAGE, tmp_path).read()
    assert compile((tmp_path / "first" / "new.cpl").read_bytes()).has_incoming
    assert (tmp_path / "first" / "bob.svg").read_text("utf-8").startswith("<svg")


def test_the_page_shows_every_output() -> None:
    commands = " ".join(step.command for step in steps(PAGE) if isinstance(step, Typed))
    assert all(option in commands for option in ("--simulate", "--week", "--graph", "--convert"))
    assert [step.name for step in steps(PAGE) if isinstance(step, Written)] == ["bob.cpl", "old.cpl"]
