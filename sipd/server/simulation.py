"""Predicts what comes of a call: which scripts run, whom they ring when, how it ends.

Search, Fork and script runs are the server's own; what is made up are the
house, the phones, and the time (`ringing`). No network, no database, no
event loop.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.core.behaviour import Behaviours
from sipd.core.decision import RunScript
from sipd.core.inquiry import ANONYMOUS, Context, Identity, Inquiry
from sipd.core.recursion import uri_key
from sipd.core.routes import address_of_record, local_domain
from sipd.core.scripts import may_ring, seconds_to_ring
from sipd.core.simulated import Round, Simulated, Walked
from sipd.hop import Hop
from sipd.script import LookupResult
from sipd.server.fork import Fork
from sipd.server.node import MOST_BRANCHES
from sipd.server.ringing import Branch, MadeUpHouse, Pages, Phones, Timeline
from sipd.server.scripting import CplRun
from sipd.server.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.core.decision import Commit, Decision, Proxy
    from sipd.core.recursion import Key
    from sipd.core.simulated import SimulatedCall, SimulatedHouse
    from sipd.core.tables import Missing
    from sipd.hop import Target
    from sipd.message import Response, Uri
    from sipd.script import Direction, Lookup, ProxyResult, ProxyTo
    from sipd.server.node import Awaited, Node, Parent
    from sipd.trace import Trace

_CALLER: Final = Hop("UDP", "192.0.2.1", 5060)
_TOLD_OTHERWISE: Final = frozenset({"fork", "script", "mail", "cancel"})
"""Steps that are not told as such, but as rounds of ringing and as what is written."""


class _NoPlaces:
    has_tls = True

    def is_ours(self, host: str, port: int | None) -> bool:
        return False


def simulate(house: SimulatedHouse, call: SimulatedCall, behaviours: Behaviours | None = None) -> Simulated:
    """What would come of this call. It ends as a call does, and takes no time.

    Raises SipError or ValueError for a call that no request can make. Never asked: DNS, ENUM, the network; a
    lookup by URI and a telephone number come to what the house says.
    """
    return _Simulation(house, call, behaviours or Behaviours()).run()


class _Simulation:
    """A call that is made up, as its Search, Forks and script runs see it (`CallView`)."""

    overloaded: Final = False

    def __init__(self, tables: SimulatedHouse, call: SimulatedCall, behaviours: Behaviours) -> None:
        self.request = call.request()
        self.trace: Trace = []
        self.followed = 0
        self.timeline = Timeline()
        self.pages = Pages(self.timeline)
        self.house = MadeUpHouse(tables, self.timeline, self.timeline.now, self.pages, self.pages)
        self.phones = Phones(self.house, behaviours, self.request)
        self.steps: list[Walked] = []
        self.rounds: list[Round] = []
        self.ran: list[tuple[str, Direction]] = []
        self.number_of: dict[Parent, int] = {}  # of the round in which a fork rings
        self._final: Response | None = None
        self._at = 0.0
        self._targets: list[Uri] = []  # handed to `child`
        self._tried: dict[Key, int] = {}
        scheme = "" if tables.settings.auth == "none" else "digest"
        self.inquiry = Inquiry(
            self.request, _CALLER, Context(self.house.seal, self.house.admission.guard, _NoPlaces()), 0.0,
            call.at.timestamp(), self.trace, self.request.uri, admitted=True,
            identity=Identity(call.proven, scheme) if call.proven else ANONYMOUS,
            breadth=tables.settings.max_breadth,
        )  # fmt: skip

    def run(self) -> Simulated:
        """Let it happen; all that was rung has come to an end then."""
        _Search(self, self, self.inquiry, 0).start()
        self.note("")
        for _ in self.timeline.run():
            self.note("")
        final = self._final
        assert final is not None, "every call ends"
        rung = [(branch.number, branch.as_rung(order)) for order, branch in enumerate(self.phones.rung, 1)]
        answered = [branch.target.uri.text for branch in self.phones.rung if branch.final is final]
        return Simulated(
            final.status,
            final.reason,
            tuple(final.values("Contact")) if final.status >= 300 else (),
            self._at,
            answered[0] if answered and final.status < 300 else "",
            tuple(self.steps),
            tuple(each._replace(rung=tuple(ring for at, ring in rung if at == each.number)) for each in self.rounds),
            tuple(self.pages.written),
            tuple(self.ran),
        )

    def note(self, owner: str) -> None:
        """Keep the steps taken since: now, by the script of `owner`; empty: by the server."""
        self.steps += [
            Walked(self.timeline.time, owner, step) for step in self.trace if step.step not in _TOLD_OTHERWISE
        ]
        self.trace.clear()

    def begin_round(
        self, owner: str, place: str, ordering: str, timeout: float | None = None, barred: tuple[str, ...] = ()
    ) -> int:
        """One more round of ringing; its number, from 1."""
        number = len(self.rounds) + 1
        self.rounds.append(Round(number, self.timeline.time, owner, place, ordering, timeout, (), "", barred))
        return number

    # --- what the parts see of a call ----------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more children the call may have."""
        return MOST_BRANCHES - len(self._targets)

    def receive(self, child: Node, response: Response) -> None:
        """The first final response is the caller's."""
        if self._final is None:
            self._final = response
            self._at = self.timeline.time

    def guarded(self, function: Callable[[], None]) -> None:
        """Call it; when it breaks all of the simulation does."""
        function()

    def commit(self, decision: Commit) -> None:
        """Never: that is for a REGISTER."""
        raise AssertionError("an INVITE changes nothing")

    def load(self, missing: Missing, inquiry: Inquiry, loaded: Callable[[], None]) -> None:
        """Never: this house has all its rows."""
        raise missing

    def find_by_uri(self, owner: str, effect: Lookup, found: Callable[[LookupResult], None]) -> Awaited:
        """What the house says that it comes to, at once."""
        result = self.house.tables.lookups.get(effect.source, LookupResult("failure"))
        return self.timeline.call_at(self.timeline.time, partial(found, result))

    def child(self, parent: Parent, target: Target, inquiry: Inquiry, breadth: int) -> Node:
        """A search for a user of whom something is known; a branch for any other target."""
        uri, tables, number = target.uri, self.house.tables, self.number_of[parent]
        self._targets.append(uri)
        if local_domain(uri, tables, inquiry.context.places) is not None:
            is_sought = tables.complete or tables.knows(address_of_record(uri, tables))
        else:
            is_sought = uri.scheme == "tel" and not tables.numbers
        if is_sought and not self.phones.named(uri):
            return _Search(self, parent, inquiry.toward(uri, through=target.owner, breadth=breadth), number)
        return Branch(self.phones, parent, target, number)

    def tried(self, ahead: Sequence[Target]) -> dict[Key, int]:
        """Where the call has been, or is about to be, sent, with how many 3xx led there."""
        for uri in (self.request.uri, *self._targets, *(target.uri for target in ahead)):
            self._tried.setdefault(uri_key(uri), 0)
        return self._tried


class _Search(Search):
    """A Search that tells of its rounds of ringing. `number` is of the round it is itself rung in; 0: none."""

    def __init__(self, call: _Simulation, parent: Parent, inquiry: Inquiry, number: int) -> None:
        super().__init__(call, parent, inquiry)
        self._simulation = call
        self._number = number

    def carry_out(self, decision: Decision) -> None:
        """As ever, but a script's run is one that tells of its rounds, too."""
        if isinstance(decision, RunScript):
            self._simulation.ran.append((decision.owner, decision.direction))
            self._child = _Run(self._simulation, self, decision)
            self._child.start()
        else:
            super().carry_out(decision)

    def fork(self, decision: Proxy) -> None:
        """A round of its own, unless it belongs to one."""
        call, run = self._simulation, self._child
        owner = run.owner if isinstance(run, _Run) else ""
        fork = Fork.by_q(call, self, self.inquiry, decision)
        call.number_of[fork] = self._number or call.begin_round(owner, "", "by priority")
        self._child = fork
        fork.start()


class _Run(CplRun):
    """A script's run that tells of its steps and rounds."""

    def __init__(self, call: _Simulation, search: _Search, decision: RunScript) -> None:
        super().__init__(call, search, decision)
        self.owner = decision.owner
        self._simulation = call
        self._number = 0  # of the round that it began last

    def _tell(self) -> None:
        call = self._simulation
        call.note("")
        super()._tell()
        call.note(self.owner)

    def _proxy(self, effect: ProxyTo) -> ProxyResult | None:
        call = self._simulation
        place = call.steps[-1].entry.place
        kept = may_ring(self._search.inquiry, call.house.tables, effect.targets)
        barred = tuple(target.uri.text for target in effect.targets if target not in kept)
        timeout = seconds_to_ring(effect, call.request)
        self._number = call.begin_round(self.owner, place, effect.ordering, timeout, barred)
        result = super()._proxy(effect)
        if result is not None:
            self._outcome(result)
        return result

    def _fork_for(self, effect: ProxyTo, targets: tuple[Target, ...]) -> Fork:
        fork = super()._fork_for(effect, targets)
        self._simulation.number_of[fork] = self._number
        return fork

    def _resume(self, result: ProxyResult, said: str) -> None:
        self._outcome(result)
        super()._resume(result, said)

    def _outcome(self, result: ProxyResult) -> None:
        rounds = self._simulation.rounds
        rounds[self._number - 1] = rounds[self._number - 1]._replace(outcome=result.outcome)
