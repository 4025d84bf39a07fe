"""One target of a call: its hops in turn, Timer C, CANCEL (RFC 3261 §16.6 to §16.8)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from sipd.core.forwarding import Passage, forwarded_copy, returned_copy
from sipd.errors import SipError
from sipd.message import parse_address
from sipd.server.answer import answer, local_response
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.hop import Flow, Hop, Target
    from sipd.message import Response, Uri
    from sipd.server.house import House
    from sipd.server.node import CallView, Node, Parent
    from sipd.transaction import ClientTransaction, Handle, ServerTransaction


class Branch:
    """One target. Its attempts are client transactions, one per hop; the parent sees one final response."""

    __slots__ = (
        "_breadth",
        "_call",
        "_client",
        "_ended",
        "_flow",
        "_hops",
        "_parent",
        "_rang_out",
        "_ringing_until",
        "_timer",
        "cancelled",
        "final",
        "target",
    )

    def __init__(self, call: CallView, parent: Parent, target: Target, breadth: int = 0) -> None:
        self._call = call
        self._breadth = breadth  # its Max-Breadth; 0: as it came
        self._parent = parent
        self.target = target
        self.final: Response | None = None
        self.cancelled = False
        self._client: ClientTransaction | None = None
        self._hops: list[Hop] | None = None
        self._flow: Flow | None = None  # the one and only that the target was registered over, while it is there
        self._timer: Handle | None = None
        self._ringing_until = 0.0
        self._rang_out = False  # Timer C has struck
        self._ended: trio.Event | None = None

    def start(self) -> None:
        """Send the request at once where the way is known; else its task finds the way first."""
        call = self._call
        hops = self._known_hops()
        if self._flow is None and self.target.bound and not self.target.path:
            self._finish(self._local(430))
            return
        if hops is not None:
            self._hops = hops[::-1]
            self._try_next(500)
        if self.final is None and (hops is None or call.supervised):
            self._ended = trio.Event()
            call.spawn(self.run)

    async def run(self) -> None:
        """The branch's task: find the hops where they take finding, and live until the final response."""
        if self._hops is None:
            try:
                hops = await self._call.house.resolver.find(self._way())
            except SipError as fault:
                self._call.trace.append(Step("branch", self.target.uri.text, f"no way there: {fault.text}"))
                if self.final is None:
                    self._finish(self._local(500, "No Way To The Next Hop"))
                return
            if self.final is None:
                self._hops = hops[::-1]
                self._try_next(500)
        if self.final is None and self._ended is not None:
            await self._ended.wait()

    def cancel(self) -> None:
        """Ask the phone to stop ringing; its final response is still awaited (§9.1)."""
        if self.cancelled or self.final is not None:
            return
        if self._client is None:  # nothing has been sent
            self.cancelled = True
            self._finish(self._local(487))
            return
        if self._call.request.method != "INVITE":
            return
        self.cancelled = True
        self._disarm()
        self._call.house.transactions.cancel(self._client)

    def abandon(self) -> None:
        """The call broke: stop the phone if it rings, and wait for nothing."""
        if self.final is None:
            self.cancel()
            self.final = self.final or self._local(500)
            self._disarm()
            if self._ended is not None:
                self._ended.set()

    # --- what the client transaction tells -------------------------------------------------

    def response(self, client: ClientTransaction, response: Response) -> None:
        """A response came for an attempt of ours."""
        self._call.guarded(partial(self._heard, client, response))

    def timed_out(self, client: ClientTransaction) -> None:
        """No answer from that hop."""
        self._call.guarded(partial(self._next_or_end, client, 408, ""))

    def transport_failed(self, client: ClientTransaction) -> None:
        """That hop could not be reached: as a 503 from it (§16.9), which upstream is a 500."""
        self._call.guarded(partial(self._next_or_end, client, 500, "Next Hop Unreachable"))

    # --- inside ------------------------------------------------------------------------------

    def _heard(self, client: ClientTransaction, response: Response) -> None:
        status = response.status
        if status < 200:
            if self.final is None and client is self._client:
                self._provisional(status, response)
        elif self.final is not None or client is not self._client:
            if status < 300:  # a second 2xx: another phone behind that hop answered too (§16.7 step 5)
                self._parent.receive(self, returned_copy(response))
        elif status != 503 or self.cancelled or not self._try_next(500):
            self._finish(self._read(response))

    def _next_or_end(self, client: ClientTransaction, status: int, reason: str) -> None:
        if client is not self._client or self.final is not None:
            return
        if self.cancelled and not self._rang_out:
            self._finish(self._local(487))
        elif self.cancelled or not self._try_next(status):
            self._finish(self._local(status, reason))

    def _provisional(self, status: int, response: Response) -> None:
        if self._call.request.method == "INVITE" and not self.cancelled:
            house = self._call.house
            now = house.now()
            self._ringing_until = now + house.tables.settings.timer_c
            if self._timer is None:
                self._timer = house.transactions.deadlines.call_at(self._ringing_until, self._guarded_c, now)
        if status > 100:
            self._parent.receive(self, returned_copy(response))

    def _read(self, response: Response) -> Response:
        """A 503 speaks of that next hop, not of us: the caller hears 500 (§16.7 step 6)."""
        if response.status == 503:
            return self._local(500, "Next Hop Unavailable")
        return returned_copy(response)

    def _way(self) -> Uri:
        """The URI that says where to send: first Route, else the Request-URI (§16.6 step 7)."""
        if self.target.path:
            return parse_address(self.target.path[0]).uri
        route = self._call.request.routes
        return route[0].uri if route else self.target.uri

    def _known_hops(self) -> list[Hop] | None:
        """Hops without waiting: where the phone came from, a numeric or lately found address."""
        target, house = self.target, self._call.house
        if target.received is not None and not target.path:
            self._flow = house.network.on(target.received)
            if self._flow is not None:
                return [self._flow.remote]
        try:
            return house.resolver.now(self._way())
        except SipError:
            return []

    def _try_next(self, otherwise: int) -> bool:
        """Send to the next hop; False when none is left (then an unsent request ends with `otherwise`)."""
        call = self._call
        house = call.house
        while self._hops:
            hop = self._hops.pop()
            try:
                flow = house.network.to(hop, self._flow or call.flow)
            except SipError:  # no listener of that transport or family: as if it could not be reached
                continue
            branch = call.branch_id()
            passage = Passage(
                self.target,
                branch,
                flow.sent_by,
                hop.transport,
                call.flow.sent_by,
                call.flow.remote.transport,
                house.tables.settings.record_route,
                house.seal,
                self._breadth,
                call.came,
            )
            data = forwarded_copy(call.request, passage)
            house.counters.calls += 1
            self._client = house.transactions.open_client(data, branch, call.request.method, flow, self)
            return True
        if self._client is None and self.final is None:
            self._finish(self._local(otherwise, "No Way To The Next Hop"))
            return True
        return False

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _guarded_c(self) -> None:
        self._call.guarded(self._timer_c)

    def _timer_c(self) -> None:
        self._timer = None
        house = self._call.house
        if self._ringing_until - house.now() > 0.001:
            self._timer = house.transactions.deadlines.call_at(self._ringing_until, self._guarded_c)
        else:
            self._call.trace.append(Step("branch", self.target.uri.text, "rang too long: cancelled"))
            self._rang_out = True
            self.cancel()

    def _local(self, status: int, reason: str = "") -> Response:
        return local_response(self._call.house.seal, self._call.request, status, reason)

    def _finish(self, final: Response) -> None:
        self.final = final
        self._disarm()
        self._call.trace.append(Step("branch", self.target.uri.text, f"{final.status}"))
        self._parent.receive(self, final)
        self._call.branch_ended()
        if self._ended is not None:
            self._ended.set()

    def link(self, late: LateAnswers) -> None:
        """The call is over: a 2xx that comes late goes this way."""
        if self._client is not None and self._client.user is not None:
            self._client.user = late

    def release(self) -> None:
        """Let go of the parent; nobody will be told anything any more."""
        self._parent = NOBODY


class _Nobody:
    """The parent of a branch whose call is over."""

    def receive(self, child: Node, response: Response) -> None:
        """Nothing is left to be done."""


NOBODY: Final = _Nobody()


class LateAnswers:
    """What stays of a call that is over: 2xx that come late still reach the caller (§16.7 step 10)."""

    __slots__ = ("_house", "_server")

    def __init__(self, house: House, server: ServerTransaction) -> None:
        self._house = house
        self._server = server

    def response(self, client: ClientTransaction, response: Response) -> None:
        """Pass a 2xx on; all else was settled before."""
        if 200 <= response.status < 300:
            answer(self._house, self._server, returned_copy(response))

    def timed_out(self, client: ClientTransaction) -> None:
        """Nothing to do: the call is over."""

    def transport_failed(self, client: ClientTransaction) -> None:
        """Nothing to do: the call is over."""
