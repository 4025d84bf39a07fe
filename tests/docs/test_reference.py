"""The committed reference pages are what the code gives."""

from __future__ import annotations

import pytest

from docs.reference import machines, pages, tables
from docs.reference.flags import EXIT, PROGRAMS
from sipd.cpl.findings import CODES
from sipd.rows import Settings


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_page_is_what_the_code_gives(path) -> None:
    assert path.read_text("utf-8") == pages()[path], "made anew by: python -m docs.reference"


def test_no_limit_is_listed_twice() -> None:
    meant = [(about, meaning) for about, meaning, _ in tables.LIMITS]
    assert sorted(meant) == sorted(set(meant))


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, text in tables.meanings().items() if name != "name" and not text] == []
    assert set(tables.MEANINGS) <= set(Settings._fields)
    assert set(tables.AT_START | tables.ON_RELOAD) <= set(Settings._fields)


def test_every_code_is_listed_once_with_a_meaning() -> None:
    page = tables.cpl_page()
    for code in CODES:
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{code}` |")]
        assert line.split(" | ")[1].strip(), f"{code} has no comment"


def test_every_program_has_its_exit_status() -> None:
    assert [make().prog for make in PROGRAMS] == list(EXIT)


def test_machines_need_their_marks() -> None:
    with pytest.raises(ValueError, match="marks"):
        machines.filled("# Transactions\n")
