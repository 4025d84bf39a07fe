"""The one face of a call's tree: Search, Fork and Branch; downwards start and cancel, upwards receive.

`CallView` and `HouseView` are what Search, Fork and script runs need of the
world: a call under way gives it, and so does one that is made up
(`simulation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sipd.core.decision import Commit
    from sipd.core.forwarding import Ends
    from sipd.core.inquiry import Inquiry
    from sipd.core.recursion import Key
    from sipd.core.tables import Missing, Tables
    from sipd.hop import Flow, Target, Way
    from sipd.log import EventLog
    from sipd.message import Request, Response
    from sipd.metrics import Counters
    from sipd.script import Facts, Lookup, LookupResult, Mail
    from sipd.seal import Seal
    from sipd.server.admission import Admission
    from sipd.server.house import House
    from sipd.server.runs import Runs
    from sipd.trace import Trace

MOST_BRANCHES: Final = 500
"""Branches, and users searched for, that one request may have in all, one after another."""


class Node(Protocol):
    """A part of a call that ends with exactly one final response."""

    def __hash__(self) -> int:
        """Each is itself and no other."""

    @property
    def final(self) -> Response | None:
        """The final response, once it has ended."""

    @property
    def flow_failed(self) -> bool:
        """A Branch ended because its flow is gone: another of that phone may do (RFC 5626 §7)."""

    def start(self) -> None:
        """Begin; may end before it returns."""

    def cancel(self) -> None:
        """End soon: nothing new is started, what rings is cancelled."""

    def release(self) -> None:
        """The call is over: let go of parents and children, so that nothing waits for the collector."""


class Parent(Protocol):
    """Who hears of a node's responses, already without our Via."""

    def receive(self, child: Node, response: Response) -> None:
        """Provisionals and 2xx at once and as often as they come; one final otherwise."""


class Awaited(Protocol):
    """What is to come: a moment, or an answer from elsewhere."""

    def cancel(self) -> None:
        """It is not waited for any more."""


class Deadlines(Protocol):
    """What is due when."""

    def call_at(self, when: float, function: Callable[[], None]) -> Awaited:
        """Call it then."""


class Diary(Protocol):
    """Where scripts log."""

    def add(self, aor: str, at: float, name: str, line: str) -> None:
        """Take a line for that log of this user."""


class Mailer(Protocol):
    """Who sends what scripts mail."""

    def post(self, owner: str, mail: Mail, facts: Facts) -> str:
        """Take this mail of a script of `owner`; what became of it, in words."""


class HouseView(Protocol):
    """What Search, Fork and script runs need of the house."""

    @property
    def tables(self) -> Tables:
        """What is configured and registered."""

    @property
    def seal(self) -> Seal:
        """The secret of the To tags of our own answers."""

    @property
    def now(self) -> Callable[[], float]:
        """Seconds on the clock of the deadlines."""

    @property
    def deadlines(self) -> Deadlines:
        """What is due when."""

    @property
    def admission(self) -> Admission:
        """The books of log-ins."""

    @property
    def diary(self) -> Diary:
        """What scripts log."""

    @property
    def mailer(self) -> Mailer:
        """What they mail."""

    @property
    def runs(self) -> Runs:
        """What they did."""

    @property
    def counters(self) -> Counters:
        """How often what happened."""

    @property
    def log(self) -> EventLog:
        """What the administrator is told."""


class CallView(Parent, Protocol):
    """What Search, Fork and script runs see of the whole call."""

    request: Request
    trace: Trace
    followed: int  # contacts of 3xx that are being tried

    @property
    def house(self) -> HouseView:
        """The house it is in."""

    @property
    def room(self) -> int:
        """How many more children the call may have."""

    @property
    def overloaded(self) -> bool:
        """Whether the server has as many client transactions as it may have."""

    def guarded(self, function: Callable[[], None]) -> None:
        """Call it; when it breaks this call ends with a 500, and no other hears of it."""

    def commit(self, decision: Commit) -> None:
        """Make changes durable and answer then: the end of a call that had to wait for a row."""

    def load(self, missing: Missing, inquiry: Inquiry, loaded: Callable[[], None]) -> None:
        """Fetch that row for this inquiry; `loaded` is called when it is there."""

    def find_by_uri(self, owner: str, effect: Lookup, found: Callable[[LookupResult], None]) -> Awaited:
        """Carry out a lookup of a script of `owner`; `found` is called later, with what it came to."""

    def child(self, parent: Parent, target: Target, inquiry: Inquiry, breadth: int) -> Node:
        """A Search for a URI of this house, and for a number; a Branch for any other target; `breadth` is its share."""

    def tried(self, ahead: Sequence[Target]) -> dict[Key, int]:
        """Where the request has been, or is about to be, sent by us, with how many 3xx led there; may be added to."""


class BranchView(CallView, Protocol):
    """What a Branch sees of its call: that and all that sending takes."""

    flow: Flow  # where its answers go
    came: Way  # the flow it came in by
    supervised: bool  # has a nursery of its own, with a task per branch

    @property
    def house(self) -> House:
        """The house it is in."""

    @property
    def unmet_privacy(self) -> tuple[str, ...]:
        """Critical privacy that only a peer might give (RFC 3323 §5)."""

    @property
    def asserted(self) -> tuple[str, ...]:
        """Who calls, as a peer is told it (RFC 3325 §5)."""

    def ends(self, target: Target, onward: Flow, to_peer: bool) -> Ends | None:
        """The ends to which the dialog that this may make is confined (P6)."""

    def branch_ended(self) -> None:
        """One branch less to wait for."""

    def branch_id(self) -> str:
        """A fresh branch parameter for one attempt (§16.6 step 8)."""

    def guarded(self, function: Callable[[], None]) -> None:
        """Call it; when it breaks this call ends with a 500, and no other hears of it."""

    def broke(self, fault: Exception) -> None:
        """End this call with a 500: something of it has broken."""

    def commit(self, decision: Commit) -> None:
        """Make changes durable and answer then: the end of a call that had to wait for a row."""

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task that lives no longer than the call."""

    def child(self, parent: Parent, target: Target, inquiry: Inquiry, breadth: int) -> Node:
        """A Search for a URI of this house, and for a number; a Branch for any other target; `breadth` is its share."""

    def tried(self, ahead: Sequence[Target]) -> dict[Key, int]:
        """Where the request has been, or is about to be, sent by us, with how many 3xx led there; may be added to."""
