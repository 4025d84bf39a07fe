"""What the standards ask of us, one row each, and the test that holds it: read from docs/standards/*.txt.

A file is an RFC. Its lines, `#` and what is blank aside:

    title: what the RFC is about
    16.3 MUST refuse a request whose ...
        tests/server/test_x.py::test_y
        no, because ...
        not ours: ...

A row begins with section and level; `16.6(4)` is step 4 of section 16.6, and
`MUST*2` covers two sentences that ask the same, or of rules for others two of
one matter. Below it, indented, stand its verdicts: tests that hold it (the id of a parametrised case may follow), why
it is not held, or whose rule it is. A test and a "no" together: held in part.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from docs.reference.words import code, page, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STANDARDS: Final = Path(__file__).resolve().parent.parent / "standards"

LEVELS: Final = (
    *("MUST NOT", "MUST", "SHOULD NOT", "SHOULD", "SHALL NOT", "SHALL", "REQUIRED"),
    *("NOT RECOMMENDED", "RECOMMENDED"),
)
"""The words of RFC 2119 that ask for something."""

VERDICTS: Final = ("held", "held in part", "no", "not ours")

_ROW: Final = re.compile(
    rf"(?P<section>[0-9A-Z][0-9.]*(?:\([0-9a-z]+\))?) (?P<level>{'|'.join(LEVELS)})(?:\*(?P<times>\d+))? (?P<text>\S.*)"
)
TEST: Final = re.compile(r"tests/[\w/]+\.py(?:::\w+)+(?:\[.+\])?")
"""How a test is named: file, class where it has one, function, and perhaps the id of a case."""


class Row(NamedTuple):
    """One requirement, and what came of it."""

    section: str
    level: str
    times: int  # sentences that ask it
    text: str
    tests: tuple[str, ...]
    no: str  # why it is not held, or not wholly
    not_ours: str  # whose it is

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        if self.tests:
            return "held in part" if self.no or self.not_ours else "held"
        return "no" if self.no else "not ours"

    @property
    def order(self) -> tuple[tuple[int, str], ...]:
        """What rows of a file are sorted by: the section, number by number."""
        parts = re.findall(r"[0-9]+|[A-Za-z]+", self.section)
        return tuple((int(part), "") if part.isdigit() else (10**9, part) for part in parts)


class Standard(NamedTuple):
    """One RFC."""

    number: int
    title: str
    rows: tuple[Row, ...]

    @property
    def verdicts(self) -> Counter[str]:
        """How many rows came to each verdict."""
        return Counter(row.verdict for row in self.rows)


def standards(folder: Path = STANDARDS) -> list[Standard]:
    """All files, by number."""
    files = sorted(folder.glob("rfc*.txt"), key=lambda path: int(path.stem.removeprefix("rfc")))
    return [read(path.name, path.read_text("utf-8")) for path in files]


def read(name: str, text: str) -> Standard:
    """One file; raises ValueError, naming the line, when it is not as the table needs it."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if not lines or not lines[0][1].startswith("title: "):
        raise ValueError(f"{name}: begins with `title: `")
    number = int(re.sub(r"\D", "", name))
    return Standard(number, lines[0][1].removeprefix("title: ").strip(), tuple(_rows(name, lines[1:])))


def _rows(name: str, lines: list[tuple[int, str]]) -> Iterator[Row]:
    begins = [at for at, (_, line) in enumerate(lines) if not line[0].isspace()]
    if lines and begins[:1] != [0]:
        raise ValueError(f"{name}:{lines[0][0]}: a verdict without its row")
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        number, line = lines[begin]
        found = _ROW.fullmatch(line.rstrip())
        if found is None:
            raise ValueError(f"{name}:{number}: not `section LEVEL what is asked`: {line}")
        verdicts = _verdicts(name, lines[begin + 1 : end])
        if not any(verdicts):
            raise ValueError(f"{name}:{number}: no verdict")
        yield Row(found["section"], found["level"], int(found["times"] or 1), found["text"], *verdicts)


def _verdicts(name: str, lines: Iterable[tuple[int, str]]) -> tuple[tuple[str, ...], str, str]:
    tests: list[str] = []
    said = {"no, because ": "", "not ours: ": ""}
    for number, line in lines:
        word = line.strip()
        start = next((start for start in said if word.startswith(start)), "")
        if start and not said[start]:
            said[start] = word.removeprefix(start)
        elif TEST.fullmatch(word):
            tests.append(word)
        else:
            raise ValueError(f"{name}:{number}: neither a test, nor `no, because ...`, nor `not ours: ...`: {word}")
    return tuple(tests), said["no, because "], said["not ours: "]


def standards_page() -> str:
    """A summary, and one table per RFC."""
    found = standards()
    summary = [
        (
            *(f"[RFC {standard.number}](#rfc-{standard.number})", standard.title, str(len(standard.rows))),
            *(str(standard.verdicts[verdict]) for verdict in VERDICTS),
        )
        for standard in found
    ]
    intro = [
        "What the standards ask with MUST, SHOULD and their likes, in our words, and the test that holds each.",
        "A row says *no, because* where sipd does otherwise, and *not ours* where the rule is for others than a proxy,",
        "registrar, redirect server or transport. §16.6(4) is its step 4; MUST ×2 stands for two sentences",
        "that ask the same, or, where the rule is not ours, are about one matter.",
        "The rows are kept in `docs/standards/`.",
        "",
    ]
    blocks = [line for standard in found for line in _block(standard)]
    return page("Standards", intro, table(("standard", "about", "rows", *VERDICTS), summary), blocks)


def _block(standard: Standard) -> list[str]:
    rows = [
        (f"§{row.section}", row.level + (f" ×{row.times}" if row.times > 1 else ""), _plain(row.text), _held(row))
        for row in standard.rows
    ]
    heads = ("section", "level", "what is asked", "held by")
    return [f"## RFC {standard.number}", "", f"{standard.title}.", "", *table(heads, rows)]


def _held(row: Row) -> str:
    said = [f"no, because {_plain(row.no)}"] if row.no else []
    said += [f"not ours: {_plain(row.not_ours)}"] if row.not_ours else []
    return "<br>".join([*map(code, row.tests), *said])


def _plain(text: str) -> str:
    """The text with the signs that Markdown would take for its own escaped."""
    return re.sub(r"[*<_`\[\]]", r"\\\g<0>", text)
