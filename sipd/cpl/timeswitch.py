"""The time-switch: its zone, and what its outputs ask for (RFC 3880 §4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl.counting import Budget, Costly, nth_start
from sipd.cpl.findings import shown
from sipd.cpl.occurs import (
    CALL_BUDGET,
    MAX_LENGTH,
    MAX_SETS,
    MAX_STEPS,
    Moment,
    NotPositive,
    Overlapping,
    Periods,
    moment_at,
)
from sipd.cpl.recurrence import DAY, FOREVER, NEVER, OF_A_RULE, read_timetable
from sipd.cpl.starts import Calendar
from sipd.cpl.switches import Condition
from sipd.cpl.vtimezone import zone_from
from sipd.cpl.years import LAST_YEAR
from sipd.cpl.zones import USUAL_ZONES, Zone, datetime_of, zone_hint, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.cpl.coverage import Taken
    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report
    from sipd.script import Facts

SPARE: Final = 20_000
"""As `counting.BUDGET`, for overlaps and warnings: where it ends nothing more is said."""

YEARS_TO_RECUR: Final = 60
"""A rule that gives nothing for so many years is warned about."""

LASTING: Final = 2040
"""A year in which zones have the changes of clocks that are the rule today, for warnings."""

MANY_TIMES: Final = 24
"""Of a rule with more periods a day nobody misses the one that clocks leave out."""

MOST_HINTS: Final = 10
"""Unknown zones of a script that are compared with the names of all: each takes a millisecond or two."""

_BLANKS: Final = " \t\r\n"


class TimeSwitches:
    """Reads the time-switches of one script."""

    def __init__(self, report: Report, zone: Zone, timezones: Mapping[str, bytes]) -> None:
        self._report = report
        self._zone = zone
        self._timezones = timezones
        self._by_url: dict[tuple[str, str], Zone] = {}
        self._budget = Budget()
        self._spare = Budget(SPARE)
        self._calls = Budget(CALL_BUDGET)
        self._hints: dict[str, str] = {}  # by unknown name of a zone

    def zone(self, element: Element) -> Zone | None:
        """The zone of a switch: that of tzid or tzurl, else the server's; None after reporting."""
        tzid = element.attributes.get("tzid")
        tzurl = element.attributes.get("tzurl")
        if tzid is None and tzurl is None:
            return self._zone
        name = (tzid or "").strip(_BLANKS)
        known = zone_of(name) if name else None
        if known is not None:
            return known
        if tzurl is None:
            text = f"tzid={shown(tzid or '')}: this server knows no such time zone"
            self._report.error("CPL-TZID", text, element, "tzid", hint=self._zone_hint(name))
            return None
        return self._zone_by_url(element, tzurl.strip(_BLANKS), name)

    def _zone_hint(self, name: str) -> str:
        """What to write instead of an unknown name: looked for as often as somebody may mistype, not for a hundred."""
        if name not in self._hints:
            self._hints[name] = zone_hint(name) if len(self._hints) < MOST_HINTS else USUAL_ZONES
        return self._hints[name]

    def _zone_by_url(self, element: Element, url: str, name: str) -> Zone | None:
        data = self._timezones.get(url)
        if data is None:
            text = f"tzurl={shown(url)}: this server has no data of that time zone"
            hint = "use a tzid such as Europe/Paris, or have the administrator allow its host (setting script_hosts)"
            self._report.error("CPL-TZURL", text, element, "tzurl", hint=hint)
            return None
        key = (url, name)
        if key not in self._by_url:
            try:
                self._by_url[key] = zone_from(data, name)
            except ValueError as error:
                text = f"tzurl={shown(url)}: what it gives is no time zone: {error}"
                hint = "use a tzid such as Europe/Paris"
                self._report.error("CPL-TZURL", text, element, "tzurl", hint=hint)
                return None
        return self._by_url[key]

    def condition(self, output: Element, zone: Zone, taken: Taken) -> Condition[Moment] | None:
        """What a `time` asks for; None after reporting. `taken` is what the outputs before it take."""

        def complain(attribute: str, code: str, text: str, hint: str) -> None:
            at = attribute if attribute in output.attributes else ""
            section = "4.4" if code in ("CPL-VALUE", "CPL-CHOICE") else ""
            self._report.error(code, text, output, at, section=section, hint=hint)

        table = read_timetable(output.attributes, complain)
        self._warn_of_ignored(output)
        if table is None:
            return None
        try:
            periods = Periods(table, zone, self._budget, self._spare)
            self._calls.spend(periods.cost)
            self._warn(output, periods)
            self._warn_if_covered(output, periods, taken)
        except NotPositive:
            text = f"dtend={shown(output.attributes.get('dtend', ''))} is not after dtstart"
            complain("dtend", "CPL-VALUE", text, "one of them is local, the other UTC")
            return None
        except Overlapping as error:
            one, other = (f"{datetime_of(start):%Y-%m-%d %H:%M:%S}" for start in error.starts)
            text = f"periods overlap: one begins at {one}, and the next at {other} before it has ended"
            at = "duration" if "duration" in output.attributes else "dtend"
            complain(at, "CPL-OVERLAP", text, "make the periods shorter, or let them recur less often")
            return None
        except Costly:
            self._complain_of_cost(output, complain)
            return None
        wanted = in_words(output)
        return Condition(periods.contains, "is", wanted, False, (), periods.contains)

    def _complain_of_cost(self, output: Element, complain: Callable[[str, str, str, str], None]) -> None:
        if "count" in output.attributes:
            text = "it takes too long to work out where the count of this rule ends"
            complain("count", "CPL-COSTLY", text, "give the last day instead: until")
        else:
            at = "duration" if "duration" in output.attributes else "dtend"
            text = "periods are too long for their rule: a call would wait for them"
            most = f"at most {MAX_LENGTH // DAY} days, and {MAX_STEPS} times what freq and interval say"
            hint = f"{most}, {MAX_SETS} with bysetpos"
            complain(at, "CPL-COSTLY", text, hint)

    def _warn_of_ignored(self, output: Element) -> None:
        if "freq" in output.attributes:
            return
        for name in OF_A_RULE:
            if name in output.attributes:
                text = f"{name} is ignored: without freq there is one period only"
                self._report.warning("CPL-IGNORED", text, output, name, hint='add freq="weekly", or another')

    def _warn_of_gaps(self, output: Element, periods: Periods) -> None:
        """Of starts that are left out on the day clocks are put forward."""
        zone, starts = periods.zone, periods.starts
        year = datetime_of(periods.begins).year + 1
        if periods.last == FOREVER:
            year = max(year, LASTING)
        if not isinstance(starts, Calendar) or starts.times.count > MANY_TIMES:
            return
        for begin, end in zone.gaps(min(year, LAST_YEAR)):
            found = starts.raw(min(end - 1, periods.last), begin - 1)
            if found != NEVER:
                text = f"on {datetime_of(found):%A %Y-%m-%d} in {zone.name} clocks are put forward over this time"
                text = f"{text}, {datetime_of(found):%H:%M}: there is no period then"
                hint = "let it begin before or after, if the day matters"
                self._report.warning("CPL-GAP", text, output, "dtstart", hint=hint)
                return

    def _warn(self, output: Element, periods: Periods) -> None:
        """Of what is legal and surely not meant."""
        zone, rule = periods.zone, periods.table.rule
        if not zone.exists(periods.start):
            later = f"{datetime_of(zone.local(periods.begins)):%H:%M:%S}"
            text = f"in {zone.name} clocks are put forward over this time: the first period begins at {later}"
            self._report.warning("CPL-GAP", text, output, "dtstart", hint="choose a time that exists")
        if rule is None:
            return
        if periods.starts is None or self._never_recurs(periods):
            at = "until" if rule.until is not None else "count" if rule.occurrences == 1 else "freq"
            text = "this does not recur: the only period is the first, at dtstart"
            self._report.warning("CPL-NEVER", text, output, at, section="4.4", hint="look at its by… attributes")
            return
        if not periods.starts.names(periods.start):
            text = "dtstart is not one of the times of its rule: its period is on the list all the same"
            hint = "let dtstart be the first of the times, so that all servers agree"
            self._report.warning("CPL-DTSTART", text, output, "dtstart", hint=hint)
        self._warn_of_gaps(output, periods)

    def _warn_if_covered(self, output: Element, periods: Periods, taken: Taken) -> None:
        if taken.takes_all_of(periods):
            text = "<time> is never taken: outputs before it take all that it matches"
            hint = "put the narrower time first, or delete it"
            self._report.warning("CPL-UNREACHABLE", text, output, hint=hint)

    def _never_recurs(self, periods: Periods) -> bool:
        if periods.starts is None:
            return True
        begins = periods.zone.local(periods.begins)
        try:
            following = nth_start(periods.starts, 1, begins, self._spare, YEARS_TO_RECUR)
        except Costly:
            return False  # nobody is to wait for a warning
        return following == NEVER or following > periods.last


def look(zone: Zone) -> Callable[[Facts], Moment]:
    """How a call's time is seen in a zone."""
    return lambda facts: moment_at(zone, facts.now)


def in_words(output: Element) -> str:
    """The attributes of a `time` for the trace: `weekly 20000703T090000 PT8H byday=MO,TU`."""
    values = output.attributes
    words = [values[name].strip() for name in ("freq", "dtstart", "duration", "dtend") if name in values]
    if "dtend" in values:
        words[-1] = f"to {words[-1]}"
    if "freq" in values:
        words += [f"{name}={values[name].strip()}" for name in values if name in OF_A_RULE]
    return " ".join(words)
