"""The one face of a call's tree: Search, Fork and Branch; downwards start and cancel, upwards receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sipd.core.decision import Commit
    from sipd.core.forwarding import Ends
    from sipd.core.inquiry import Inquiry
    from sipd.core.recursion import Key
    from sipd.hop import Flow, Target, Way
    from sipd.message import Request, Response
    from sipd.server.house import House
    from sipd.trace import Trace


class Node(Protocol):
    """A part of a call that ends with exactly one final response."""

    def __hash__(self) -> int:
        """Each is itself and no other."""

    @property
    def final(self) -> Response | None:
        """The final response, once it has ended."""

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


class CallView(Parent, Protocol):
    """What the parts of a call see of the whole."""

    house: House
    request: Request
    flow: Flow  # where its answers go
    came: Way  # the flow it came in by
    trace: Trace
    supervised: bool  # has a nursery of its own, with a task per branch
    followed: int  # contacts of 3xx that are being tried

    @property
    def room(self) -> int:
        """How many more children the call may have."""

    @property
    def overloaded(self) -> bool:
        """Whether the server has as many client transactions as it may have."""

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
        """The same for one that has broken already."""

    def commit(self, decision: Commit) -> None:
        """Make changes durable and answer then: the end of a call that had to wait for a row."""

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task that lives no longer than the call."""

    def child(self, parent: Parent, target: Target, inquiry: Inquiry, breadth: int) -> Node:
        """A Search for a URI of this house, and for a number; a Branch for any other target; `breadth` is its share."""

    def tried(self, ahead: Sequence[Target]) -> dict[Key, int]:
        """Where the request has been, or is about to be, sent by us, with how many 3xx led there; may be added to."""
