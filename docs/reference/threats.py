"""What sipd withstands, one row each, and the test that shows it: read from docs/threats.txt.

A row is an id, what may befall the server, a colon and what it does then.
Below it, indented, stand the tests that hold it, or `not yet: ...`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from docs.reference.standards import TEST
from docs.reference.words import code, page, table

THREATS: Final = Path(__file__).resolve().parent.parent / "threats.txt"

_ROW: Final = re.compile(r"(T\d{2,3}) ([^:]+): (\S.*)")


class Threat(NamedTuple):
    """One row."""

    id: str
    threat: str
    behaviour: str
    tests: tuple[str, ...]
    not_yet: str


def threats(text: str | None = None) -> list[Threat]:
    """All rows, in the order of the file; raises ValueError, naming the line, for one that is not as it should be."""
    found: list[Threat] = []
    for number, line in enumerate((THREATS.read_text("utf-8") if text is None else text).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        row, word = _ROW.fullmatch(line), line.strip()
        if row is not None:
            found.append(Threat(row[1], row[2], row[3], (), ""))
        elif line[0].isspace() and found and TEST.fullmatch(word):
            found[-1] = found[-1]._replace(tests=(*found[-1].tests, word))
        elif line[0].isspace() and found and word.startswith("not yet: "):
            found[-1] = found[-1]._replace(not_yet=word)
        else:
            raise ValueError(f"threats.txt:{number}: neither a row, nor a test, nor `not yet: ...`: {word}")
    for threat in found:
        if not threat.tests and not threat.not_yet:
            raise ValueError(f"threats.txt: {threat.id} has no test")
    return found


def threats_page() -> str:
    """The table."""
    intro = [
        "All input from the network is taken to be hostile. A row says what may come, what sipd does then, and the",
        "test that shows it. For every row: no exception leaves a task, no client's mistake is answered 500, an event",
        "is one line in the log with control characters escaped, and nothing that was acknowledged is lost.",
        "",
    ]
    rows = [
        (
            row.id,
            row.threat,
            row.behaviour,
            "<br>".join([*map(code, row.tests), *([row.not_yet] if row.not_yet else [])]),
        )
        for row in threats()
    ]
    return page("What it withstands", intro, table(("", "what comes", "what sipd does", "shown by"), rows))
