"""The engine of time-switches against the definition, candidate by candidate, in random cases (RFC 3880 appendix A).

100,000 of them: `python -m tests.cpl.oracle 100000`.
"""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise

from dateutil.rrule import rrulestr

from sipd.cpl.counting import Costly
from sipd.cpl.occurs import Overlapping, Periods, moment_in
from sipd.cpl.recurrence import DAY, read_timetable
from sipd.cpl.zones import UTC_ZONE
from tests.cpl.oracle import FREQUENCIES, Case, check, random_case


def test_the_engine_agrees_with_the_definition():
    seen = check(5_000, seed=3880)
    assert seen["inside"] > 700, "calls inside and outside of the times"
    for what in (*FREQUENCIES, "once", "count", "byweekno", "byyearday", "bysetpos"):
        assert seen[what] > 40, what


LOOKED_AT = {
    "secondly": 0.1,
    "minutely": 2,
    "hourly": 30,
    "daily": 800,
    "weekly": 1500,
    "monthly": 4000,
    "yearly": 9000,
}
"""Days after dtstart in which dateutil looks for starts: it counts from dtstart, and never gives up."""


def starts_by_dateutil(case: Case) -> list[int]:
    """The first starts after dtstart in UTC, at most 20, as python-dateutil has them."""
    words = case.attributes()
    parts = [f"{name}={value}" for name, value in words.items() if name not in ("dtstart", "duration")]
    parts.append(f"until={case.start + timedelta(days=LOOKED_AT[case.freq]):%Y%m%dT%H%M%S}")
    found = []
    for start in rrulestr(";".join(parts).upper(), dtstart=case.start):
        if start > case.start:
            found.append(start.toordinal() * DAY + start.hour * 3600 + start.minute * 60 + start.second)
        if len(found) == 20:
            break
    return found


def is_for_dateutil(case: Case) -> bool:
    """Whether it soon finds what there is: it searches to the year 9999 where limits contradict each other.

    It also takes a week number without a day for all days of that week.
    """
    limits = [name for name in ("bymonth", "bymonthday", "byyearday", "bysetpos") if name in case.lists]
    most = 2 if case.freq in ("monthly", "yearly") else 1
    clock = [name for name in ("byhour", "byminute", "bysecond") if name in case.lists]
    if not case.freq or "byweekno" in case.lists or set(case.lists.get("bysetpos", ())) - {1, -1}:
        return False
    if case.freq in ("secondly", "minutely", "hourly", "daily") and case.interval > 1 and (clock or case.byday):
        return False
    return len(limits) + bool(case.byday) <= most


def test_the_engine_agrees_with_dateutil_where_that_is_right():
    chance = random.Random(5545)
    compared = 0
    while compared < 400:
        case = random_case(chance)
        case.utc, case.zone, case.end, case.until, case.count = False, "UTC", None, None, 0
        case.days, case.seconds = 0, 1
        if not is_for_dateutil(case):
            continue
        table = read_timetable(case.attributes(), lambda *words: None)
        assert table is not None
        try:
            periods = Periods(table, UTC_ZONE)
        except (Costly, Overlapping):
            continue
        starts = starts_by_dateutil(case)
        inside = [each for each in starts if periods.contains(moment_in(UTC_ZONE, each))]
        assert inside == starts, case.attributes()
        between = [(one + other) // 2 for one, other in pairwise(starts) if other - one > 2]
        assert not any(periods.contains(moment_in(UTC_ZONE, each)) for each in between), case.attributes()
        compared += 1
