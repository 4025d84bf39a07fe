"""One target of a call: its hops in turn, Timer C, CANCEL (RFC 3261 §16.6 to §16.9, RFC 3263 §4.3)."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from sipd.core.forwarding import Passage, forwarded_copy, returned_copy
from sipd.core.privacy import no_privacy
from sipd.core.sips import REQUIRED, as_asked, way_of
from sipd.errors import SipError
from sipd.hop import SECURE
from sipd.net import numeric
from sipd.server.answer import local_response, refusal
from sipd.server.hops import LARGEST_DATAGRAM, OTHER_PATIENCE, PATIENCE, Hops
from sipd.server.late import NOBODY
from sipd.server.pins import flow_failed
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.hop import Flow, Hop, Target
    from sipd.message import Response
    from sipd.server.late import LateAnswers
    from sipd.server.node import BranchView, Parent
    from sipd.transaction import ClientTransaction, Handle

_SECONDS: Final = re.compile(r"[ \t]*([0-9]{1,9})", re.ASCII)

FLOW_FAILED: Final = 430
"""The flow that alone leads to a phone is gone (RFC 5626 §11.5)."""


class Branch:
    """One target. Its attempts are client transactions, one per hop; the parent sees one final response."""

    __slots__ = (
        "_breadth",
        "_call",
        "_client",
        "_earlier",
        "_ended",
        "_flow",
        "_hops",
        "_parent",
        "_patience",
        "_rang_out",
        "_ringing_until",
        "_sent",
        "_timer",
        "_was_heard",
        "cancelled",
        "final",
        "flow_failed",
        "target",
    )

    def __init__(self, call: BranchView, parent: Parent, target: Target, breadth: int) -> None:
        self._call = call
        self._breadth = breadth  # its Max-Breadth
        self._parent = parent
        uri = target.uri.as_request_uri()  # what else a contact says is not for us to act upon (§16.6 step 2, §19.1.5)
        if uri is not target.uri:
            target = target._replace(uri=uri)
        self.target = target
        self._sent = target  # as it goes out: a sips contact may have to be called by its sip name
        self.final: Response | None = None
        self.cancelled = False
        self.flow_failed = False  # it ended because its flow is gone: another of that phone may do (RFC 5626 §7)
        self._client: ClientTransaction | None = None  # the attempt under way
        self._earlier: list[ClientTransaction] | None = None  # attempts that were silent, and left for the next hop
        self._was_heard = False  # a provisional of this attempt has come
        self._hops: Hops | None = None
        self._flow: Flow | None = None  # the one and only that the target was registered over, while it is there
        self._patience: Handle | None = None  # strikes when the next hop is to be tried
        self._timer: Handle | None = None  # Timer C
        self._ringing_until = 0.0
        self._rang_out = False  # Timer C has struck
        self._ended: trio.Event | None = None

    def start(self) -> None:
        """Send the request at once where the way is known; else its task finds the way first."""
        call = self._call
        if self.target.uri.scheme != call.request.uri.scheme:
            try:
                self._sent = as_asked(call.request.uri, self.target)
            except SipError as fault:
                self._finish(refusal(call.house.seal, call.request, fault))
                return
        hops = self._known_hops()
        if self._flow is None and self.target.bound and not self.target.path:
            self._finish(self._local(FLOW_FAILED))
            return
        if hops is not None:
            self._hops = Hops(hops, call.house.resolver.dead)
            self._try_next(500)
        if self.final is None and (hops is None or call.supervised):
            self._ended = trio.Event()
            call.spawn(self.run)

    async def run(self) -> None:
        """The branch's task: find the hops where they take finding, and live until the final response."""
        if self._hops is None:
            try:
                found = await self._call.house.resolver.find(way_of(self._call.request, self.target))
                hops = self.target.allowed(found)
            except SipError as fault:
                self._call.trace.append(Step("branch", self.target.uri.text, f"no way there: {fault.text}"))
                if self.final is None:
                    self._finish(self._no_way(500))
                return
            if self.final is None:
                self._hops = Hops(hops, self._call.house.resolver.dead)
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
        try:
            self._heard(client, response)
        except Exception as fault:  # the door, here for one call: see `Call.guarded`
            self._call.broke(fault)

    def timed_out(self, client: ClientTransaction) -> None:
        """No answer from that hop."""
        self._call.guarded(partial(self._timed_out, client))

    def transport_failed(self, client: ClientTransaction) -> None:
        """That hop could not be reached: as a 503 from it (§16.9), which upstream is a 500; or its flow is gone."""
        gone = self._flow is not None and self.target.bound
        status, reason = (FLOW_FAILED, "") if gone else (500, "Next Hop Unreachable")
        self._call.guarded(partial(self._next_or_end, client, status, reason))

    # --- inside ------------------------------------------------------------------------------

    def _heard(self, client: ClientTransaction, response: Response) -> None:
        status = response.status
        if status < 200:
            if self.final is None and client is self._client:
                self._provisional(status, response)
        elif self.final is not None or client is not self._client:
            if status < 300:
                self._heard_late(client, response)
        elif status != 503 or self.cancelled or not self._after_503(response):
            self._finish(self._read(response))

    def _heard_late(self, client: ClientTransaction, response: Response) -> None:
        """A 2xx that is not the attempt's first: of another phone behind that hop (§16.7 step 5), or of a hop left."""
        returned = returned_copy(response)
        if self.final is not None:
            self._parent.receive(self, returned)
            return
        current, self._client = self._client, client
        if current is not None:
            self._leave(current)
        self._finish(returned)

    def _after_503(self, response: Response) -> bool:
        """Try the next hop; how long this one wants to be left alone stays with us (§21.5.4, T119)."""
        seconds = _SECONDS.match(response.first("Retry-After") or "")
        if seconds is not None and self._hops is not None:
            self._hops.failed(float(seconds[1]))
        return self._try_next(500)

    def _timed_out(self, client: ClientTransaction) -> None:
        if client is self._client and self._was_heard:
            # It is there and does not come to an end: no failure that another hop would mend (RFC 3263 §4.3).
            if self.final is None:
                self._finish(self._local(487 if self.cancelled and not self._rang_out else 408))
        else:
            self._next_or_end(client, 408, "")

    def _next_or_end(self, client: ClientTransaction, status: int, reason: str) -> None:
        if client is not self._client or self.final is not None:
            return
        if self._hops is not None and not self.cancelled:
            self._hops.failed()
        if self.cancelled and not self._rang_out:
            self._finish(self._local(487))
        elif self.cancelled or not self._try_next(status):
            self._finish(self._local(status, reason))

    def _out_of_patience(self, client: ClientTransaction) -> None:
        """Nothing came from that hop, and there is another: go on there; a late 2xx of this one still counts."""
        self._patience = None
        if client is not self._client or self.final is not None or self.cancelled or self._hops is None:
            return
        self._hops.failed()
        self._call.trace.append(Step("branch", self.target.uri.text, "no answer: the next hop"))
        if self._try_next(408):
            self._leave(client)

    def _leave(self, client: ClientTransaction) -> None:
        """Want no more of that attempt: what it rings is cancelled as soon as it is heard of (§9.1)."""
        if self._earlier is None:
            self._earlier = []
        self._earlier.append(client)
        if self._call.request.method == "INVITE":
            self._call.house.transactions.cancel(client)

    def _provisional(self, status: int, response: Response) -> None:
        self._was_heard = True
        if self._patience is not None:
            self._disarm_patience()
            if self._hops is not None:
                self._hops.answered()
        # A 100 only begins it: the hop has the request, and that says nothing of a phone that rings (§16.7 step 2).
        if self._call.request.method == "INVITE" and not self.cancelled and (status > 100 or self._timer is None):
            house = self._call.house
            now = house.now()
            self._ringing_until = now + house.tables.settings.timer_c
            if self._timer is None:
                self._timer = house.transactions.deadlines.call_at(self._ringing_until, self._guarded_c, now)
        if status > 100:
            self._parent.receive(self, returned_copy(response))

    def _read(self, response: Response) -> Response:
        """A 503 speaks of that next hop, not of us: the caller hears 500, a fork weighs it first (§16.7 step 6)."""
        if response.status == 503 and self._parent is self._call:
            return self._local(500, "Next Hop Unavailable")
        return returned_copy(response)

    def _known_hops(self) -> list[Hop] | None:
        """Hops without waiting: where the phone came from, a numeric or lately found address."""
        target, house = self.target, self._call.house
        if target.received is not None and not target.path:
            flow = house.network.on(target.received)
            if flow is not None and (target.uri.scheme != "sips" or flow.remote.transport in SECURE):
                self._flow = flow
                return [flow.remote]
        try:
            hops = house.resolver.now(way_of(self._call.request, self.target))
        except SipError:
            return []
        return hops if hops is None or not target.only_host else target.allowed(hops)

    def _try_next(self, otherwise: int) -> bool:
        """Send to the next hop; False when none is left (then an unsent request ends with `otherwise`)."""
        hops = self._hops
        while hops is not None and (hop := hops.next()) is not None:
            if self._send(hops, hop):
                return True
        if self._client is None and self.final is None:
            self._finish(self._no_way(otherwise))
            return True
        return False

    def _send(self, hops: Hops, hop: Hop) -> bool:
        """Send to this hop, or to its TCP twin; False when we have no listener of that transport and family."""
        call = self._call
        house = call.house
        try:
            flow = house.network.to(hop, self._flow or call.flow)
        except SipError:
            return False
        to_peer = house.is_peer(flow)
        if call.unmet_privacy and not to_peer:  # RFC 3323 §5: what is critical, and can't be given, fails
            call.trace.append(Step("privacy", ", ".join(call.unmet_privacy), "refused"))
            self._finish(self._local(500, no_privacy(call.unmet_privacy)))
            return True
        branch = call.branch_id()
        passage = Passage(
            self._sent,
            branch,
            flow.sent_by,
            hop.transport,
            call.flow.sent_by,
            call.flow.remote.transport,
            house.tables.settings.record_route,
            house.seal,
            self._breadth,
            call.came,
            to_peer,
            call.asserted if to_peer else (),
            call.ends(self._sent, flow, to_peer),
        )
        data = forwarded_copy(call.request, passage)
        if len(data) > LARGEST_DATAGRAM and self._may_take_connections():
            twin = hops.tcp_first(len(data))
            if twin is not None:
                if self._send(hops, twin):
                    return True
                hops.next()  # no TCP of ours: as a datagram after all
        house.counters.calls += 1
        self._was_heard = False
        self._client = house.transactions.open_client(data, branch, call.request.method, flow, self)
        if self._patience is not None:
            self._disarm_patience()
        if hops.more:
            self._wait_for(self._client)
        return True

    def _may_take_connections(self) -> bool:
        """Whether a large request may go by TCP (§18.1.1): not to phones, which are often behind a NAT.

        Those are what a binding names, and in a dialog a numeric address.
        """
        target, call = self.target, self._call
        if self._flow is not None:
            return False
        if target.owner and any(binding.uri == target.uri.text for binding in call.house.tables.bindings(target.owner)):
            return False
        return call.request.to_tag is None or numeric(way_of(self._call.request, self.target).host) is None

    def _wait_for(self, client: ClientTransaction) -> None:
        """Give that hop some time to answer; then the next one is tried."""
        call = self._call
        seconds = PATIENCE.get(call.request.method, OTHER_PATIENCE)
        strike = partial(call.guarded, partial(self._out_of_patience, client))
        self._patience = call.house.transactions.deadlines.call_later(seconds, strike)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._patience is not None:
            self._disarm_patience()

    def _disarm_patience(self) -> None:
        assert self._patience is not None
        self._patience.cancel()
        self._patience = None

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

    def _no_way(self, status: int) -> Response:
        """The answer when no hop could be tried at all: 480 where TLS would have been needed (RFC 5630 §5.3)."""
        call = self._call
        if self._sent is not self.target:
            return local_response(call.house.seal, call.request, 480, headers=REQUIRED)
        return self._local(status, "No Way To The Next Hop")

    def _finish(self, final: Response) -> None:
        if final.status == FLOW_FAILED and self.target.owner:
            self.flow_failed = True
            flow_failed(self._call.house, self.target)
            final = self._local(480)  # 430 is between proxies: no phone shall ever see it (RFC 5626 §11.5)
        elif final.status == 408:
            self.flow_failed = not self._ringing_until  # it may be that: nobody has been heard over it
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
        for client in self._earlier or ():
            if client.user is not None:
                client.user = late

    def release(self) -> None:
        """Let go of the parent; nobody will be told anything any more."""
        self._parent = NOBODY
