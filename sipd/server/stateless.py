"""Passes messages on without a transaction: the ACK of a 2xx, and in stateless mode all that has one way (§16.11).

Nothing is repeated, nothing is waited for, no 100 is made: a repetition that
comes in goes out. What policy once let pass is remembered for a while, by a
hash: its repetition, whose credentials are used up, and its ACK and CANCEL,
which have none, are no open door for others (T63, T113). Forgotten,
they are refused like a stranger's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.core.checks import loop_mark
from sipd.core.forwarding import COOKIE, Passage, forwarded_copy, returned_copy
from sipd.core.inquiry import ANONYMOUS, Identity
from sipd.core.privacy import assertion, no_privacy
from sipd.core.rights import ends_of
from sipd.core.routes import local_domain
from sipd.core.sips import as_asked, way_of
from sipd.core.stateless import Back, sealed_branch, unique_part, way_back
from sipd.errors import SipError
from sipd.hop import DEFAULT_PORTS, SECURE, Hop, Way
from sipd.net import Unreachable
from sipd.recent import Recent
from sipd.server.answer import discreet, local_response, our_tag
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.hop import Flow, Target
    from sipd.message import Request, Response, Uri
    from sipd.server.house import House

REMEMBERED: Final = 10_000
"""Requests with proven senders, that lead out of the house, whose repetitions, ACK and CANCEL are known again."""


class Stateless:
    """Requests onward, responses back."""

    __slots__ = ("_house", "_passed")

    def __init__(self, house: House) -> None:
        self._house = house
        self._passed: Recent[str, Identity] = Recent(2 * REMEMBERED)  # two keys each

    def __len__(self) -> int:
        """Requests known again."""
        return len(self._passed)

    @property
    def on(self) -> bool:
        """Whether the server's mode is stateless."""
        return self._house.tables.settings.mode == "stateless"

    def takes(self, decision: Decision) -> Target | None:
        """The one place this can go without a transaction: no fork, no search, no flow to fall back on; else None."""
        targets: tuple[Target, ...] = getattr(decision, "targets", ())
        if len(targets) != 1 or targets[0].others:
            return None
        house = self._house
        if local_domain(targets[0].uri, house.tables, house.context.places) is not None:
            return None
        return targets[0]

    def sender_of(self, request: Request) -> Identity:
        """Who sent what this repeats, acknowledges or cancels, when policy let that pass lately."""
        if request.method in ("ACK", "CANCEL"):
            return self._passed.get(self._branch_key(request)) or ANONYMOUS
        return self._passed.get(self._copy_key(request)) or ANONYMOUS

    def remember(self, request: Request, sender: Identity) -> None:
        """Note what a proven sender may have repeated, acknowledged and cancelled; the request is as it came."""
        if sender.scheme and request.method not in ("ACK", "CANCEL"):
            self._passed.put(self._copy_key(request), sender)
            self._passed.put(self._branch_key(request), sender)

    def forward(self, inquiry: Inquiry, flow: Flow, target: Target) -> None:
        """Pass a request on: at once, or when DNS has told the way."""
        house, request = self._house, inquiry.request
        if request.method == "ACK" and not inquiry.in_dialog and request.to_tag == our_tag(house.seal, request):
            return  # the ACK of a refusal of ours
        way, secure = way_of(request, target), target.uri.scheme == "sips"  # over TLS, under whichever name
        if target.uri.scheme != request.uri.scheme:
            try:
                target = as_asked(request.uri, target)
            except SipError as fault:
                self._failed(inquiry, flow, fault.status, headers=fault.headers)
                return
        if target.received is not None and not target.path:
            out = house.network.on(target.received)
            if out is not None and (not secure or out.remote.transport in SECURE):
                self._send(inquiry, flow, target, out)
                return
            if target.bound:
                self._failed(inquiry, flow, 430)
                return
        try:
            hops = house.resolver.now(way, self._steady(request))
            if hops is not None:
                self._send_first(inquiry, flow, target, hops)
                return
        except SipError:
            self._failed(inquiry, flow, 500)
            return
        house.start_task(partial(self._find_and_send, inquiry, flow, target, way))

    def pass_back(self, response: Response) -> bool:
        """Pass a response on to where the request came from; False when it answers nothing we passed on."""
        found = way_back(response, self._house.seal)
        if found is None:
            return False
        via, back = found
        network = self._house.network
        host = via.received or via.host
        remote = Hop(via.transport, host, back.port)
        near = network.listening[back.listener] if back.listener < len(network.listening) else None
        flow = network.on(Way(remote, near))
        try:
            if flow is None:  # the connection is gone (§18.2.2)
                flow = network.to(remote._replace(port=via.port or DEFAULT_PORTS.get(via.transport, 5060)))
        except SipError:
            return False
        self._house.counters.relayed += 1
        flow.send(bytes(discreet(self._house, returned_copy(response), flow)))
        return True

    # --- inside ------------------------------------------------------------------------------

    def _steady(self, request: Request) -> str:
        """What makes all of a transaction, its repetitions, CANCEL and ACK, go to one server (RFC 3263 §4.4)."""
        return unique_part(request, self._house.seal) if self.on else ""

    async def _find_and_send(self, inquiry: Inquiry, flow: Flow, target: Target, way: Uri) -> None:
        """A request whose way takes a look at DNS: the task of one request, which bounds it."""
        house = self._house
        try:
            hops = await house.resolver.find(way, self._steady(inquiry.request))
            self._send_first(inquiry, flow, target, hops)
        except SipError:
            self._failed(inquiry, flow, 500)

    def _send_first(self, inquiry: Inquiry, flow: Flow, target: Target, hops: list[Hop]) -> None:
        """Send it to the first hop it may go to. Raises Unreachable."""
        hops = target.allowed(hops)
        if not hops:
            raise Unreachable("No Way To The Next Hop")
        self._send(inquiry, flow, target, self._house.network.to(hops[0], flow))

    def _send(self, inquiry: Inquiry, flow: Flow, target: Target, out: Flow) -> None:
        house, request = self._house, inquiry.request
        to_peer = house.is_peer(out)
        if inquiry.unmet_privacy and not to_peer:
            self._failed(inquiry, flow, 500, no_privacy(inquiry.unmet_privacy))
            return
        unique = unique_part(request, house.seal)
        if self.on:
            loop = "" if inquiry.in_dialog else loop_mark(request, house.seal, with_to_tag=False)
            branch = sealed_branch(request, unique, self._back(flow), loop, house.seal)
        else:  # the ACK of a 2xx, which nobody answers
            branch = COOKIE + unique
        passage = Passage(
            target,
            branch,
            out.sent_by,
            out.remote.transport,
            flow.sent_by,
            flow.remote.transport,
            house.tables.settings.record_route,
            house.seal,
            inquiry.breadth,
            Way(inquiry.source, inquiry.near),
            to_peer=to_peer,
            asserted=assertion(inquiry.identity, house.tables) if to_peer else (),
            confined=ends_of(inquiry, house.tables, target, flow, out, to_peer),
        )
        house.counters.relayed += 1
        out.send(forwarded_copy(request, passage))

    def _back(self, flow: Flow) -> Back:
        listening = self._house.network.listening
        listener = listening.index(flow.near) if flow.near in listening else 255
        return Back(min(listener, 255), flow.remote.port)

    def _failed(
        self, inquiry: Inquiry, flow: Flow, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """It can go nowhere: said without keeping anything (§8.2.7); of an ACK nobody can be told."""
        house, request = self._house, inquiry.request
        inquiry.trace.append(Step("stateless", request.request_uri, "no way there"))
        house.counters.dropped += 1
        if request.method != "ACK":
            flow.send(bytes(local_response(house.seal, request, status, reason, headers)))

    def _copy_key(self, request: Request) -> str:
        return self._house.seal.mark("copy", bytes(request).decode("utf-8", "surrogateescape"))

    def _branch_key(self, request: Request) -> str:
        return self._house.seal.mark("branch", unique_part(request, self._house.seal), request.request_uri)
