"""What is made up in a simulated call: the time, the phones, and what else a house has."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from sipd.core.behaviour import RINGS
from sipd.core.simulated import Rung, Written
from sipd.core.sips import as_asked
from sipd.errors import SipError
from sipd.guard import Guard
from sipd.log import LOG, EventLog
from sipd.metrics import Counters
from sipd.script import Log
from sipd.seal import Seal
from sipd.server.admission import Admission
from sipd.server.answer import local_response, refusal
from sipd.server.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sipd.core.behaviour import Behaviour, Behaviours
    from sipd.core.simulated import SimulatedHouse
    from sipd.hop import Target
    from sipd.message import Request, Response, Uri
    from sipd.script import Facts, Mail
    from sipd.server.node import Parent

SILENCE: Final = 32.0
"""Seconds after which a target of which nothing was heard has failed with 408 (Timer B, §17.1.1.2)."""


class Alarm:
    """Something that is to happen."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """It shall not."""
        self.act = None


class Timeline:
    """What happens when. What is due at one time happens in the order in which it was put there."""

    def __init__(self) -> None:
        self.time = 0.0
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0

    def now(self) -> float:
        """Seconds since the call came."""
        return self.time

    def call_at(self, when: float, function: Callable[[], None]) -> Alarm:
        """Do this then."""
        alarm = Alarm(function)
        self._count += 1
        heappush(self._heap, (when, self._count, alarm))
        return alarm

    def run(self) -> Iterator[float]:
        """Let all of it happen; the time, after each thing that did."""
        while self._heap:
            self.time, _, alarm = heappop(self._heap)
            act, alarm.act = alarm.act, None
            if act is not None:
                act()
                yield self.time


class Pages:
    """What scripts log and mail is only written down."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.written: list[Written] = []

    def add(self, aor: str, at: float, name: str, line: str) -> None:
        """Write down a line of a log."""
        self.written.append(Written(self._timeline.time, aor, Log(name, line)))

    def post(self, owner: str, mail: Mail, facts: Facts) -> str:
        """Write down a mail."""
        self.written.append(Written(self._timeline.time, owner, mail))
        return "written down"


@dataclass(slots=True)
class MadeUpHouse:
    """As much of a house as a made-up call needs."""

    tables: SimulatedHouse
    deadlines: Timeline
    now: Callable[[], float]
    diary: Pages
    mailer: Pages
    seal: Seal = field(default_factory=partial(Seal, b"of a call that is made up"))
    admission: Admission = field(default_factory=lambda: Admission(Guard(), LOG))
    runs: Runs = field(default_factory=Runs)
    counters: Counters = field(default_factory=Counters)
    log: EventLog = LOG


class Phones:
    """All the phones of a made-up call: what they do, and which were rung."""

    def __init__(self, house: MadeUpHouse, behaviours: Behaviours, request: Request) -> None:
        self.house = house
        self.request = request
        self.rung: list[Branch] = []
        self._behaviours = behaviours
        self._times: dict[str, int] = {}  # how often each target was called

    def named(self, uri: Uri) -> bool:
        """Whether it is said by name what this one does."""
        return self._behaviours.of(uri) is not None

    def behaviour(self, uri: Uri, number: int) -> Behaviour:
        """What it does this time, in the round of that number."""
        row = self._behaviours.of(uri)
        if row is None:
            row, times = self._behaviours.others, number
        else:
            times = self._times[uri.text] = self._times.get(uri.text, 0) + 1
        return row[min(times, len(row)) - 1]

    def response(self, status: int, contacts: tuple[str, ...] = ()) -> Response:
        """A response of a phone."""
        headers = tuple(("Contact", contact) for contact in contacts)
        return local_response(self.house.seal, self.request, status, headers=headers)


class Branch:
    """One target that is called, and does what is said of it, in the place of `server/branch.py`."""

    flow_failed: Final = False

    def __init__(self, phones: Phones, parent: Parent, target: Target, number: int) -> None:
        self._phones = phones
        self._parent = parent
        self._timeline = phones.house.deadlines
        self.target = target
        self.number = number  # of the round of ringing
        self.final: Response | None = None
        self.cancelled_at: float | None = None
        self.until = 0.0
        self._rang_at = 0.0
        self._behaviour = RINGS
        self._alarm: Alarm | None = None

    def as_rung(self, order: int) -> Rung:
        """What became of it; `order`: it was the first, second … to be called."""
        status = 0 if self.final is None else self.final.status
        heard = not self._behaviour.silent
        uri, q = self.target.uri.text, self.target.q
        return Rung(order, uri, q, self._rang_at, self.until, status, self.cancelled_at, heard)

    def start(self) -> None:
        """Call it."""
        phones = self._phones
        self._rang_at = self._timeline.time
        try:
            as_asked(phones.request.uri, self.target)
        except SipError as fault:
            self._finish(refusal(phones.house.seal, phones.request, fault))
            return
        self._behaviour = behaviour = phones.behaviour(self.target.uri, self.number)
        phones.rung.append(self)
        timer_c = phones.house.tables.settings.timer_c
        if behaviour.silent:
            self._end_in(SILENCE, 408)
        elif behaviour.status and behaviour.after <= timer_c:
            self._end_in(behaviour.after, behaviour.status, behaviour.contacts)
        else:
            self._alarm = self._timeline.call_at(self._rang_at + timer_c, self.cancel)  # it rang too long (§16.8)

    def cancel(self) -> None:
        """It stops ringing, and says 487; one that is silent is waited for."""
        if self.final is not None or self.cancelled_at is not None:
            return
        now, behaviour = self._timeline.time, self._behaviour
        self.cancelled_at = now
        if self._alarm is None:  # not called yet
            self._finish(self._phones.response(487))
        elif behaviour.silent:
            self._end_in(self._rang_at + SILENCE - now, 487)
        elif not behaviour.status or self._rang_at + behaviour.after > now:
            self._end_in(0.0, 487)

    def release(self) -> None:
        """Nothing waits for the collector here."""

    def _end_in(self, seconds: float, status: int, contacts: tuple[str, ...] = ()) -> None:
        """It says this then, and nothing else before."""
        if self._alarm is not None:
            self._alarm.cancel()
        final = self._phones.response(status, contacts)
        self._alarm = self._timeline.call_at(self._timeline.time + seconds, partial(self._finish, final))

    def _finish(self, final: Response) -> None:
        self.final = final
        self.until = self._timeline.time
        self._parent.receive(self, final)
