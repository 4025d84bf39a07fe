"""The checklist of CPL and of uploads, one numbered row each, and the tests that show it: read from docs/checklists.

A row is a number, a blank and what is asked, with the sections. Below it,
indented, stand the tests that show it, and perhaps `but: ...`, a difference
and why. A blank line ends a row.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from docs.reference.standards import TEST
from docs.reference.words import code

CPL: Final = Path(__file__).resolve().parent.parent / "checklists" / "cpl.txt"

_ROW: Final = re.compile(r"(\d+\.\d+) (\S.*)")


class Line(NamedTuple):
    """One row."""

    number: str
    asked: str
    tests: tuple[str, ...]
    but: str


def checklist(text: str | None = None) -> list[Line]:
    """All rows, in the order of the file; raises ValueError, naming the line, for one that is not as it should be."""
    found: list[Line] = []
    for number, line in enumerate((CPL.read_text("utf-8") if text is None else text).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        row, word = _ROW.fullmatch(line), line.strip()
        if row is not None:
            found.append(Line(row[1], row[2], (), ""))
        elif line[0].isspace() and found and TEST.fullmatch(word):
            found[-1] = found[-1]._replace(tests=(*found[-1].tests, word))
        elif line[0].isspace() and found and word.startswith("but: "):
            found[-1] = found[-1]._replace(but=word)
        else:
            raise ValueError(f"cpl.txt:{number}: neither a row, nor a test, nor `but: ...`: {word}")
    return found


def rows(part: str) -> list[tuple[str, str, str]]:
    """The rows of one part for a table: number, what is asked, what shows it."""
    return [
        (line.number, line.asked, "<br>".join([*map(code, line.tests), *([line.but] if line.but else [])]))
        for line in checklist()
        if line.number.partition(".")[0] == part
    ]
