"""The week grid: slots in local time, equal rows as one, a letter for each outcome."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from sipd.cpl.week import LETTERS, NO_TIME, OTHERS, Row, week

PARIS = ZoneInfo("Europe/Paris")
MONDAY = datetime(2026, 11, 23, 15, 40, tzinfo=PARIS)


def office(moment):
    return "rings you" if moment.weekday() < 5 and 9 <= moment.hour < 17 else "voicemail"


def test_equal_rows_are_one_and_each_outcome_has_a_letter():
    grid = week(MONDAY, office)
    assert grid.days == (
        "Mon 23 Nov",
        "Tue 24 Nov",
        "Wed 25 Nov",
        "Thu 26 Nov",
        "Fri 27 Nov",
        "Sat 28 Nov",
        "Sun 29 Nov",
    )
    assert grid.rows == (
        Row("00:00", "09:00", ("A",) * 7),
        Row("09:00", "17:00", (*("B",) * 5, "A", "A")),
        Row("17:00", "24:00", ("A",) * 7),
    )
    assert grid.legend == (("A", "voicemail"), ("B", "rings you"))


def test_the_table_for_a_terminal():
    assert str(week(MONDAY, office)).splitlines() == [
        "             Mon 23  Tue 24  Wed 25  Thu 26  Fri 27  Sat 28  Sun 29",
        "00:00–09:00    A       A       A       A       A       A       A",
        "09:00–17:00    B       B       B       B       B       A       A",
        "17:00–24:00    A       A       A       A       A       A       A",
        "",
        "A  voicemail",
        "B  rings you",
    ]


def test_a_time_that_clocks_leave_out_is_empty_and_one_that_comes_twice_is_asked_once():
    asked: list[datetime] = []

    def ask(moment: datetime) -> str:
        asked.append(moment)
        return ""

    grid = week(datetime(2027, 3, 22, tzinfo=PARIS), ask, 15)
    assert [row for row in grid.rows if NO_TIME in row.cells] == [Row("02:00", "03:00", (*("A",) * 6, NO_TIME))]
    assert len(asked) == 7 * 96 - 4
    asked.clear()
    week(datetime(2026, 10, 19, tzinfo=PARIS), ask, 15)
    assert len(asked) == 7 * 96
    assert not any(moment.fold for moment in asked)


def test_more_outcomes_than_letters():
    grid = week(MONDAY, str)
    assert grid.legend[-1][0] == OTHERS
    assert len(grid.legend) == len(LETTERS) + 1


@pytest.mark.parametrize(("starts", "minutes"), [(datetime(2026, 11, 23), 30), (MONDAY, 0), (MONDAY, 25)])
def test_what_is_no_grid(starts, minutes):
    with pytest.raises(ValueError, match="minutes that divide"):
        week(starts, office, minutes)
