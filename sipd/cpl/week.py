"""A week in slots: what happens to a call when, for `cpl-check --week`."""

from __future__ import annotations

import string
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.document import decode
from sipd.cpl.findings import Report
from sipd.cpl.reader import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

LETTERS: Final = string.ascii_uppercase + string.ascii_lowercase
OTHERS: Final = "+"
"""Stands for every outcome after so many others that there is no letter left."""

NO_TIME: Final = " "
"""Stands where clocks are put forward over the whole slot: there is no such time."""


class Row(NamedTuple):
    """A part of the day in which nothing changes on any of the seven days."""

    begins: str  # `09:00`
    ends: str  # `17:30`, or `24:00`
    cells: tuple[str, ...]  # a letter of the legend for each day


class Week(NamedTuple):
    """Seven days, what happens in them, and what the letters mean."""

    days: tuple[str, ...]  # `Mon 23 Nov`
    rows: tuple[Row, ...]
    legend: tuple[tuple[str, str], ...]  # letter and outcome, in the order they are first met

    def __str__(self) -> str:
        """A table for a terminal: 7 narrow columns, equal rows as one, the legend below."""
        lines = [f"{'':13}" + "  ".join(day[:6] for day in self.days)]
        lines += [f"{row.begins}–{row.ends}  " + "  ".join(f"{cell:^6}" for cell in row.cells) for row in self.rows]
        return "\n".join(
            [*(line.rstrip() for line in lines), "", *(f"{letter}  {text}" for letter, text in self.legend)]
        )


def week(starts: datetime, happens: Callable[[datetime], str], minutes: int = 30) -> Week:
    """What `happens` says of a call at the beginning of each slot, from the day of `starts` on.

    `starts` is aware; its zone is that of the grid. A slot that does not
    exist, as clocks are put forward, is empty; of one that comes twice the
    first counts. `minutes` divides an hour. Raises ValueError when it doesn't.
    """
    if starts.tzinfo is None or not 0 < minutes <= 60 or 60 % minutes:
        raise ValueError("an aware datetime, and minutes that divide an hour")
    midnight = starts.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    letters: dict[str, str] = {}
    slots = range(0, 24 * 60, minutes)
    columns = [
        [_cell(midnight + timedelta(days=day, minutes=slot), happens, letters) for slot in slots] for day in range(7)
    ]
    days = tuple(f"{midnight + timedelta(days=day):%a %d %b}" for day in range(7))
    rows = _merged([tuple(column[place] for column in columns) for place in range(len(slots))], minutes)
    legend = {letter: text for text, letter in reversed(letters.items())}
    return Week(days, rows, tuple(sorted(legend.items(), key=lambda item: (LETTERS + OTHERS).index(item[0]))))


def zones_of(source: bytes, server: str = "") -> tuple[str, ...]:
    """The zones that a sound script's times are of, each once: its tzids, and `server` where a switch names none."""
    text = decode(source)
    root = read(text, Report(text))
    switches = [] if root is None else [each for each in root.walk() if each.tag == "time-switch"]
    names = [each.attributes.get("tzid") or each.attributes.get("tzurl") or server for each in switches]
    return tuple(dict.fromkeys(name.strip() for name in names if name))


def _cell(moment: datetime, happens: Callable[[datetime], str], letters: dict[str, str]) -> str:
    there = moment.astimezone(UTC).astimezone(moment.tzinfo)
    if there.replace(tzinfo=None) != moment.replace(tzinfo=None):
        return NO_TIME
    text = happens(moment)
    if text not in letters:
        letters[text] = LETTERS[len(letters)] if len(letters) < len(LETTERS) else OTHERS
    return letters[text]


def _merged(cells: list[tuple[str, ...]], minutes: int) -> tuple[Row, ...]:
    rows: list[Row] = []
    for place, row in enumerate(cells):
        begins, ends = _clock(place * minutes), _clock((place + 1) * minutes)
        if rows and rows[-1].cells == row:
            rows[-1] = rows[-1]._replace(ends=ends)
        else:
            rows.append(Row(begins, ends, row))
    return tuple(rows)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
