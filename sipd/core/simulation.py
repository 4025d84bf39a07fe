"""Predicts what the server does with a call: which scripts run, whom they ring when, how it ends. Pure.

The decisions are the server's own (`core/policy.py`, `cpl/evaluate.py`,
`core/scripts.py`, `core/response_context.py`); what is made up are the house,
the phones, and the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.core.behaviour import Behaviours
from sipd.core.decision import Proxy, Respond, RunScript
from sipd.core.inquiry import ANONYMOUS, Context, Identity, Inquiry
from sipd.core.location import groups, looked_up
from sipd.core.policy import decide
from sipd.core.response_context import best_of
from sipd.core.ringing import Alarm, Fork, Listener, Part, Ringing
from sipd.core.scripts import (
    MAX_LOGS,
    ORDERS,
    by_policy,
    facts_of,
    in_order,
    log_line,
    may_ring,
    result_of,
    seconds_to_ring,
    who_answers_for,
)
from sipd.core.simulated import Round, Simulated, Walked, Written
from sipd.cpl.evaluate import evaluate
from sipd.errors import SipError
from sipd.hop import Hop, Target
from sipd.message import q_to_text
from sipd.script import Default, Log, Lookup, LookupResult, Mail, ProxyResult, ProxyTo, Redirect, Reject
from sipd.seal import Seal

if TYPE_CHECKING:
    from collections.abc import Generator

    from sipd.core.decision import Decision
    from sipd.core.simulated import SimulatedCall, SimulatedHouse
    from sipd.message import Response
    from sipd.script import Direction, Effect, Result
    from sipd.script import Final as End
    from sipd.trace import Entry, Trace

_SEAL: Final = Seal(b"of a call that is made up")
_CALLER: Final = Hop("UDP", "192.0.2.1", 5060)


class _NoNonces:
    def count_is_fresh(self, nonce: str, count: int) -> bool:
        return True

    def was_challenged(self, call_id: str) -> bool:
        return True


class _NoPlaces:
    has_tls = True

    def is_ours(self, host: str, port: int | None) -> bool:
        return False


_CONTEXT: Final = Context(_SEAL, _NoNonces(), _NoPlaces())


def simulate(house: SimulatedHouse, call: SimulatedCall, behaviours: Behaviours | None = None) -> Simulated:
    """What would come of this call. It ends as a call does, and takes no time.

    Raises SipError or ValueError for a call that no request can make. Never asked: DNS, ENUM, the network; a
    lookup by URI and a telephone number come to what the house says.
    """
    return _Simulation(house, call, behaviours or Behaviours()).run()


@dataclass(slots=True)
class _Round:
    """A round of ringing while it is under way."""

    at: float
    owner: str
    place: str
    ordering: str
    timeout: float | None
    outcome: str = ""
    barred: tuple[str, ...] = ()


@dataclass(slots=True)
class _Told:
    """What is kept of the way."""

    steps: list[Walked] = field(default_factory=list)
    rounds: list[_Round] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    ran: list[tuple[str, Direction]] = field(default_factory=list)


class _Simulation:
    """One simulated call: the root of its parts."""

    def __init__(self, house: SimulatedHouse, call: SimulatedCall, behaviours: Behaviours) -> None:
        request = call.request()
        scheme = "" if house.settings.auth == "none" else "digest"
        self.trace: Trace = []
        self.told = _Told()
        self.final: Response | None = None
        self._at = 0.0
        self.ringing = Ringing(house, behaviours, request, partial(_Search, self))
        self._inquiry = Inquiry(
            request, _CALLER, _CONTEXT, 0.0, call.at.timestamp(), self.trace, request.uri, admitted=True,
            identity=Identity(call.proven, scheme) if call.proven else ANONYMOUS,
            breadth=house.settings.max_breadth,
        )  # fmt: skip

    def run(self) -> Simulated:
        """Let it happen; all that was rung has come to an end then."""
        _Search(self, self, self._inquiry, 0).start()
        self.ringing.time.run()
        final, told = self.final, self.told
        assert final is not None, "every call ends"
        rounds = tuple(self._round(number, each) for number, each in enumerate(told.rounds, 1))
        return Simulated(
            final.status,
            final.reason,
            tuple(final.values("Contact")) if final.status >= 300 else (),
            self._at,
            self._answered_by(),
            tuple(told.steps),
            rounds,
            tuple(told.written),
            tuple(told.ran),
        )

    def _round(self, number: int, each: _Round) -> Round:
        rung = tuple(branch.as_rung(order) for order, (at, branch) in enumerate(self.ringing.rung, 1) if at == number)
        return Round(
            number, each.at, each.owner, each.place, each.ordering, each.timeout, rung, each.outcome, each.barred
        )

    def _answered_by(self) -> str:
        if self.final is None or self.final.status >= 300:
            return ""
        answered = [branch for _, branch in self.ringing.rung if branch.final is self.final]
        return answered[0].target.uri.text if answered else ""

    def note(self, owner: str, trace: list[Entry]) -> None:
        """Keep these steps, which were taken now."""
        now = self.ringing.time.now
        self.told.steps.extend(Walked(now, owner, entry) for entry in trace)
        trace.clear()

    def begin_round(self, owner: str, place: str, ordering: str, timeout: float | None) -> int:
        """One more round of ringing; its number, from 1."""
        self.told.rounds.append(_Round(self.ringing.time.now, owner, place, ordering, timeout))
        return len(self.told.rounds)

    def receive(self, part: Part, response: Response) -> None:
        """The first final response is the caller's."""
        if self.final is None:
            self.final = response
            self._at = self.ringing.time.now


class _Search:
    """One URI being found: see `server/search.py`. `number` is of the round that rings it; 0: none yet."""

    def __init__(self, call: _Simulation, parent: Listener, inquiry: Inquiry, number: int) -> None:
        self._call = call
        self._parent = parent
        self._number = number
        self._child: Part | None = None
        self.inquiry = inquiry
        self.final: Response | None = None

    def start(self) -> None:
        """Ask policy and carry its decision out."""
        call = self._call
        try:
            decision = decide(self.inquiry, call.ringing.house)
        except SipError as fault:
            call.note("", call.trace)
            self.end(call.ringing.refusal(fault))
            return
        call.note("", call.trace)
        self.carry_out(decision, "")

    def carry_out(self, decision: Decision, owner: str) -> None:
        """Do what was decided; `owner` of the script that left it to the server, empty: nobody's."""
        match decision:
            case Proxy():
                self.fork(decision, owner)
            case RunScript():
                self._call.told.ran.append((decision.owner, decision.direction))
                self._child = _Run(self._call, self, decision)
                self._child.start()
            case Respond():
                contacts = [value for name, value in decision.headers if name == "Contact"]
                self.end(self._call.ringing.response(decision.status, decision.reason, contacts))
            case _:
                raise AssertionError("an INVITE that is no dialog's comes to nothing else")

    def fork(self, decision: Proxy, owner: str) -> None:
        """Ring these by q, as with no script or when the script of `owner` leaves it to the server (§16.6)."""
        call, asked = self._call, decision.disposition
        settings = call.ringing.house.settings
        number = self._number or call.begin_round(owner, "", "by priority", None)
        recurse = decision.owner is not None and (settings.recurse if asked.recurse is None else asked.recurse)
        self._child = Fork(
            call.ringing,
            self,
            self.inquiry,
            groups(decision.targets, order=asked.order),
            None if asked.order == "sequential" else settings.stagger,
            number,
            recurse=recurse,
            order=asked.order,
            cancels=asked.cancel,
        )
        self._child.start()

    def had_its_say(self, owner: str, direction: str) -> None:
        """The script chose nothing: ask again, with it among those consulted (RFC 3880 §10 a)."""
        self.inquiry = self.inquiry.toward(self.inquiry.uri, consulted=(owner, direction))
        self._child = None
        self.start()

    def cancel(self) -> None:
        """Cancel what is under way."""
        if self._child is not None:
            self._child.cancel()
        elif self.final is None:
            self.end(self._call.ringing.response(487))

    def receive(self, part: Part, response: Response) -> None:
        """What the child says goes up; its final is this search's."""
        self.final = self.final or response
        self._parent.receive(self, response)

    def end(self, response: Response) -> None:
        """End with a response of the server's."""
        if self.final is None:
            self.final = response
            self._parent.receive(self, response)


class _Run:
    """One run of a user's script: see `server/scripting.py`."""

    def __init__(self, call: _Simulation, search: _Search, decision: RunScript) -> None:
        self._call = call
        self._search = search
        self._owner = decision.owner
        self._direction = decision.direction
        self._trace: Trace = []
        self._script: Generator[Effect, Result, End] = evaluate(
            decision.program, facts_of(search.inquiry, decision), self._trace
        )
        self._fork: Fork | None = None
        self._detached: list[Fork] = []
        self._timer: Alarm | None = None
        self._finals: list[Response] = []
        self._answers: str | None = None
        self._running = False
        self._result: ProxyResult | None = None
        self._recurse = True
        self._rang_at = 0.0
        self._logs = 0
        self._over = False
        self.final: Response | None = None

    def start(self) -> None:
        """Run to the first proxy operation or to the end."""
        self._advance(None)

    def cancel(self) -> None:
        """No output is taken any more."""
        self._over = True
        self._disarm()
        if self._fork is not None and self._fork.final is None:
            self._fork.cancel()
        elif self.final is None:
            self._up(self._call.ringing.response(487))

    def receive(self, part: Part, response: Response) -> None:
        """A final response of a fork: 2xx goes up, another is an outcome for the script."""
        if part is not self._fork:  # its time was over: only a 2xx still counts
            if response.status < 300:
                self._over = True
                self._disarm()
                if self._fork is not None:
                    self._fork.cancel()
                self._up(response)
            elif self._fork is not None:
                self._fork.widen(self._breadth_left())
        elif response.status < 300 or self._over:
            self._over = True
            self._disarm()
            self._up(response)
        else:
            self._finals.append(response)
            self._resume(result_of(response, recurse=self._recurse, owner=self._answers))

    def _advance(self, result: Result) -> None:
        self._running = True
        self._run(result)
        self._running = False

    def _run(self, result: Result) -> None:
        while True:
            try:
                effect = self._script.send(result)
            except StopIteration as end:
                self._call.note(self._owner, self._trace)
                self._end(end.value)
                return
            place = self._trace[-1].place if self._trace else ""
            self._call.note(self._owner, self._trace)
            match effect:
                case ProxyTo():
                    result = self._proxy(effect, place)
                    if result is None:
                        return
                case Lookup():
                    result = self._lookup(effect)
                case Log() | Mail():
                    self._write(effect)
                    result = None

    def _write(self, effect: Log | Mail) -> None:
        line, ringing = "", self._call.ringing
        if isinstance(effect, Log):
            self._logs += 1
            if self._logs > MAX_LOGS:
                return
            line = log_line(ringing.request, self._direction, effect.comment)
        self._call.told.written.append(Written(ringing.time.now, self._owner, effect, line))

    def _lookup(self, effect: Lookup) -> LookupResult:
        house = self._call.ringing.house
        if effect.source != "registration":
            return house.lookups.get(effect.source, LookupResult("failure"))
        targets = looked_up(self._search.inquiry, house, self._owner)
        return LookupResult("success", tuple(targets)) if targets else LookupResult("notfound")

    def _proxy(self, effect: ProxyTo, place: str) -> ProxyResult | None:
        """Ring them; what it came to where that is known at once, else None."""
        self._result = None
        call, house = self._call, self._call.ringing.house
        seconds = seconds_to_ring(effect, call.ringing.request)
        number = call.begin_round(self._owner, place, effect.ordering, seconds)
        targets = may_ring(self._search.inquiry, house, effect.targets)
        call.told.rounds[-1].barred = tuple(each.uri.text for each in effect.targets if each not in targets)
        if not targets:
            return self._tell(number, ProxyResult("failure"))
        inquiry = self._onward()
        left = self._breadth_left()
        inquiry.breadth = left if effect.timeout is None else (left + 1) // 2
        ordered, order = in_order(targets, effect.ordering), ORDERS[effect.ordering]
        self._fork = Fork(call.ringing, self, inquiry, ordered, None, number, recurse=effect.recurse, order=order)
        self._recurse = effect.recurse
        self._rang_at = call.ringing.time.now
        self._answers = None if effect.recurse else who_answers_for(house, targets, self._owner)
        if seconds is not None:
            self._timer = call.ringing.time.after(seconds, self._time_over)
        self._fork.start()
        return self._result

    def _resume(self, result: ProxyResult) -> None:
        if self._fork is not None:
            self._tell(self._fork.number, result)
            self._detached.append(self._fork)
            self._fork = None
        self._disarm()
        result = result._replace(took=self._call.ringing.time.now - self._rang_at)
        if self._running:
            self._result = result
        else:
            self._advance(result)

    def _tell(self, number: int, result: ProxyResult) -> ProxyResult:
        """Keep which output is taken after this round."""
        self._call.told.rounds[number - 1].outcome = result.outcome
        return result

    def _time_over(self) -> None:
        self._timer = None
        fork, self._fork = self._fork, None
        if fork is None or self._over:
            return
        self._detached.append(fork)
        self._finals.append(self._call.ringing.response(408))
        fork.cancel()
        if not self._over:
            self._resume(self._tell(fork.number, ProxyResult("noanswer")))

    def _breadth_left(self) -> int:
        used = sum(fork.outgoing for fork in self._detached)
        return self._search.inquiry.breadth - used - (0 if self._fork is None else self._fork.breadth)

    def _onward(self) -> Inquiry:
        inquiry = self._search.inquiry
        through = self._owner if self._direction == "incoming" else None
        return inquiry.toward(inquiry.uri, consulted=(self._owner, self._direction), through=through)

    def _end(self, end: End) -> None:
        self._over = True
        ringing = self._call.ringing
        match end:
            case Reject():
                self._up(ringing.response(end.status, end.reason))
            case Redirect():
                contacts = [f"<{target.uri.text}>;q={q_to_text(target.q)}" for target in end.targets]
                self._up(ringing.response(301 if end.permanent else 302, "", contacts))
            case Default(proxied=True):
                self._up(best_of(self._finals) if self._finals else ringing.response(480))
            case Default():
                self._leave_it_to_policy(end.targets)

    def _leave_it_to_policy(self, targets: tuple[Target, ...] | None) -> None:
        """Nothing was signalled: as without a script, or what policy does with the locations (RFC 3880 §10 a to c)."""
        search = self._search
        untouched = self._direction == "outgoing" and targets == (Target(search.inquiry.uri),)
        if targets is None or untouched:
            search.had_its_say(self._owner, self._direction)
            return
        search.inquiry = self._onward()
        callee = self._owner if self._direction == "incoming" else None
        search.carry_out(by_policy(search.inquiry, self._call.ringing.house, targets, callee), self._owner)

    def _up(self, response: Response) -> None:
        self.final = self.final or response
        self._search.receive(self, response)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
