"""Takes every message in: to its transaction, or to policy and on as an answer, a relay or a Call. No await in it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sipd.core.decision import Commit, Proxy, Relay, Respond, Subscribe
from sipd.core.forwarding import is_ours, stamp
from sipd.core.inquiry import Inquiry
from sipd.core.policy import decide
from sipd.core.privacy import ORDINARY, believed
from sipd.core.tables import Missing
from sipd.errors import (
    BadSyntax,
    Forbidden,
    LoopDetected,
    NotFound,
    ServiceUnavailable,
    SipError,
    TemporarilyUnavailable,
)
from sipd.message import Request, Response, parse, response_to
from sipd.net.addresses import numeric
from sipd.server.answer import answer, local_response, refusal
from sipd.server.call import Call, ask_again
from sipd.server.door import guarded, report
from sipd.server.merged import Merged
from sipd.server.notifier import Notice, Notifier
from sipd.server.registration import commit
from sipd.server.stateless import Stateless
from sipd.server.trying import Trying
from sipd.trace import Step
from sipd.transaction.machine import ACCEPTED

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.hop import Flow
    from sipd.server.house import House
    from sipd.trace import Trace
    from sipd.transaction import ServerTransaction

NO_ANSWER: Final = frozenset({"ACK"})
"""Methods that are never answered (§17)."""


TOLD: Final = 10
"""One in so many of the requests that a second may bring hears that there are too many, when there are."""

MOST_DELAYED: Final = 10_000
"""Most challenges that wait at once for their second to be over; further ones are never sent (T117)."""

RETRY_AFTER: Final = (("Retry-After", "5"),)
"""When one whom we have no room for may try again, in seconds (§21.5.4)."""


class Dispatch:
    """The door for messages. `receive` is the Receiver of every listener; it never raises."""

    __slots__ = ("_house", "_rate", "delayed", "merged", "notifier", "stateless", "trying")

    def __init__(self, house: House) -> None:
        self._house = house
        self._rate = house.admission.rate
        self.stateless = Stateless(house)
        self.trying = Trying(house.transactions)
        self.merged = Merged()
        self.notifier = Notifier(house)
        self.delayed = 0  # challenges that wait for their second to be over

    def receive(self, data: bytes, flow: Flow) -> None:
        """Take one message: a datagram, or what a stream's framing cut out."""
        house = self._house
        house.counters.received += 1
        try:
            if (
                self._rate.limit
                and data[:4] != b"SIP/"
                and (excess := self._rate.excess(flow.remote.host, house.now))
                and not self._is_known(flow)
            ):
                self._turn_away(data, flow, excess)
                return
            try:
                message = parse(data, stream=flow.needs_length)
            except BadSyntax as fault:
                self._unreadable(fault, flow)
                return
            if type(message) is Response:
                self._response(message, flow)
            else:
                self._request(message, flow)  # type: ignore[arg-type]  # a message is one or the other
        except BadSyntax:  # a response or an ACK of which something we read is malformed: nobody to tell
            house.counters.dropped += 1
        except Exception as fault:  # the door: what breaks here breaks one message
            report("dispatch", fault, house.counters, house.log)

    def _is_known(self, flow: Flow) -> bool:
        """Whether this source may send what it likes: this machine, a peer, one where a user has proved himself."""
        house, host = self._house, flow.remote.host
        return (
            host in house.admission.proven
            or host.startswith("127.")
            or host == "::1"
            or house.tables.peer(host, flow.names) is not None
        )

    def _turn_away(self, data: bytes, flow: Flow, excess: int) -> None:
        """Too many requests from one source (T59): the first of them hear so, without state; then there is silence."""
        house = self._house
        house.counters.turned_away += 1
        if excess == 1:
            house.log.event("too_many_requests", source=flow.remote, limit=self._rate.limit)
        if excess > max(1, self._rate.limit // TOLD):
            return
        try:
            message = parse(data, stream=flow.needs_length)
            if isinstance(message, Request) and message.method not in NO_ANSWER:
                stamp(message, flow.remote)
                fault = ServiceUnavailable("Too Many Requests", headers=RETRY_AFTER)
                self._answer_without_state(message, self._way_back(message, flow), fault)
        except SipError:  # nobody to tell
            house.counters.dropped += 1

    def flow_failed(self, flow: Flow) -> None:
        """A way out is gone: its client transactions hear of it, in a turn of their own; responses go elsewhere."""
        house = self._house
        guarded("flow", lambda: house.transactions.flow_failed(flow), house.counters, house.log)
        guarded("flow", lambda: house.returning.flow_failed(house, flow), house.counters, house.log)

    # --- responses ---------------------------------------------------------------------------

    def _response(self, response: Response, flow: Flow) -> None:
        house = self._house
        if response.extras and not ORDINARY.issuperset(response.extras):
            response = believed(response, house.is_peer(flow))
        client = house.transactions.client_for(response)
        if client is None:  # a stray one is passed on only where our seal says that we passed its request (T112, T114)
            if not (self.stateless.on and self.stateless.pass_back(response)):
                house.counters.dropped += 1
            return
        # Nor is one that names another (§18.1.2), or has no way to go once our Via is off (§16.7 step 3).
        no_further = response.one_via and client.user is not None and not isinstance(client.user, Notice)
        if no_further or not is_ours(response, client.flow.sent_by):
            house.counters.dropped += 1
            return
        house.transactions.receive_response(client, response)

    # --- requests ----------------------------------------------------------------------------

    def _request(self, request: Request, flow: Flow) -> None:
        try:
            self._new_or_known(request, flow)
        except SipError as fault:
            self._answer_without_state(request, flow, fault)
        except Exception as fault:  # the door: this request is answered, and nobody else hears of it
            report("request", fault, self._house.counters, self._house.log)
            if request.method not in NO_ANSWER:
                self._broke(request, flow)

    def _broke(self, request: Request, flow: Flow) -> None:
        """Answer a request over which something of ours broke: by its transaction, if it had got one and no call."""
        house = self._house
        data = bytes(local_response(house.seal, request, 500))
        known = house.transactions.server_for(request)
        if known is None:
            flow.send(data)
        elif known.user is None:
            house.transactions.respond(known, 500, data)

    def _new_or_known(self, request: Request, flow: Flow) -> None:
        house = self._house
        transactions = house.transactions
        came = flow
        stamp(request, flow.remote)  # first: without a branch cookie the whole Via tells a repetition (§17.2.3)
        known = transactions.server_for(request)
        if known is not None and not (known.state == ACCEPTED and request.method == "ACK"):
            if request.method != "ACK":
                house.counters.retransmitted += 1
                if known.flow.closed:  # its sender has come back by another connection
                    known.flow = self._way_back(request, flow)
            transactions.receive_again(known, request)
            return
        flow = self._way_back(request, flow)
        if request.method == "CANCEL":
            self._cancel(request, flow, came)
        else:
            self._decide(request, flow, came)

    def _way_back(self, request: Request, flow: Flow) -> Flow:
        """Where responses go: the connection, or the packet's source; without rport the port of sent-by (T18).

        Where the setting says so a maddr in the Via comes first (§18.2.2); it must be an address.
        """
        via = request.via
        if flow.reliable:
            return flow
        if self._house.tables.settings.honour_maddr:
            host = numeric(via.param("maddr") or "")
            if host is not None:
                return self._house.network.to(flow.remote._replace(host=host, port=via.port or 5060), flow)
        port = via.port or 5060
        if port == flow.remote.port or via.param("rport") is not None:
            return flow
        return self._house.network.to(flow.remote._replace(port=port), flow)

    def _inquiry(self, request: Request, came: Flow, trace: Trace, stateless: bool) -> Inquiry:
        house = self._house
        inquiry = Inquiry(
            *(request, came.remote, house.context, house.now(), house.wall(), trace, request.uri),
            near=came.near,
            names=came.names,
        )
        if stateless:
            inquiry.identity = self.stateless.sender_of(request)
        return inquiry

    def _decide(self, request: Request, flow: Flow, came: Flow) -> None:
        """Ask policy. `came` is the way the request came, `flow` the one its answers go."""
        house = self._house
        trace: Trace = []
        stateless = house.tables.settings.mode == "stateless"
        decision: Decision | Missing
        wait = 0.0
        try:
            if request.method == "REGISTER" and not request.one_via and self.merged.is_merged(request):
                raise LoopDetected("Merged Request")
            inquiry = self._inquiry(request, came, trace, stateless)
            decision = decide(inquiry, house.tables)
        except Missing as missing:
            decision = missing
            house.admission.apply(missing.marks, inquiry.now, inquiry.source.host)
        except SipError as fault:
            self._refuse(request, flow, fault, trace)
            return
        else:
            if decision.marks:
                wait = house.admission.apply(decision.marks, inquiry.now, inquiry.source.host)
        match decision:
            case Respond(challenge=True):
                self._challenge(request, flow, decision, trace, wait)
            case Respond() | Subscribe() if request.method != "REGISTER" and self.merged.is_merged(request):
                self._refuse(request, flow, LoopDetected("Merged Request"), trace)
            case Respond():
                self._respond(request, flow, decision, trace)
            case Relay():
                self.stateless.forward(inquiry, flow, decision.target)
            case _ if request.method in NO_ANSWER:
                house.counters.dropped += 1
            case Commit():
                self._commit(inquiry, flow, decision)
            case Subscribe():
                self._subscribe(inquiry, flow, decision)
            case Proxy() if stateless and (target := self.stateless.takes(decision)):
                self.stateless.remember(request, inquiry.identity)
                self.stateless.forward(inquiry, flow, target)
                house.explain.keep(inquiry.wall, request, inquiry.source, 0, trace)
            case _:
                self._call(inquiry, flow, decision)

    def _open(self, request: Request, flow: Flow) -> ServerTransaction | None:
        try:
            return self._house.transactions.open_server(request, flow)
        except ServiceUnavailable as fault:  # over capacity: said without keeping anything (T59)
            fault.headers = RETRY_AFTER
            self._answer_without_state(request, flow, fault)
            return None

    def _respond(self, request: Request, flow: Flow, decision: Respond, trace: Trace) -> None:
        status, seal = decision.status, self._house.seal
        self._say(
            request,
            flow,
            local_response(seal, request, status, decision.reason, decision.headers, decision.body),
            trace,
        )

    def _say(self, request: Request, flow: Flow, response: Response, trace: Trace) -> None:
        """A final answer made on the spot; in stateless mode nothing is kept of it (§8.2.7), of an ACK nothing said."""
        house = self._house
        if request.method in NO_ANSWER:
            house.counters.dropped += 1
            return
        if self.stateless.on:
            house.counters.answered += 1
            flow.send(bytes(response))
        else:
            server = self._open(request, flow)
            if server is None:
                return
            answer(house, server, response)
        house.explain.keep(house.wall(), request, flow.remote, response.status, trace)

    def _challenge(self, request: Request, flow: Flow, decision: Respond, trace: Trace, wait: float) -> None:
        """A challenge: nothing is kept of it (T61); the ACK it draws is known by our tag."""
        house = self._house
        if request.method in NO_ANSWER:
            return
        response = local_response(house.seal, request, decision.status, decision.reason, decision.headers)
        if wait:  # one who guesses passwords is served slowly (T117)
            self._send_later(bytes(response), flow, wait)
        else:
            flow.send(bytes(response))
        house.counters.answered += 1
        house.explain.keep(house.wall(), request, flow.remote, decision.status, trace)

    def _send_later(self, data: bytes, flow: Flow, wait: float) -> None:
        house = self._house
        if self.delayed >= MOST_DELAYED:
            house.counters.dropped += 1
            return
        self.delayed += 1

        def send() -> None:
            self.delayed -= 1
            flow.send(data)

        house.transactions.deadlines.call_at(house.now() + wait, send)

    def _refuse(self, request: Request, flow: Flow, fault: SipError, trace: Trace) -> None:
        trace.append(Step("refused", fault.text, str(fault.status)))
        self._say(request, flow, refusal(self._house.seal, request, fault), trace)

    def _commit(self, inquiry: Inquiry, flow: Flow, decision: Commit) -> None:
        server = self._open(inquiry.request, flow)
        if server is not None:
            commit(self._house, server, inquiry, decision, ask_again)
            if not server.answered:
                self.trying.expect(server, inquiry.now)

    def _subscribe(self, inquiry: Inquiry, flow: Flow, wanted: Subscribe) -> None:
        server = self._open(inquiry.request, flow)
        if server is not None:
            self.notifier.subscribe(server, inquiry, wanted)

    def _call(self, inquiry: Inquiry, flow: Flow, decision: Decision | Missing) -> None:
        house, request = self._house, inquiry.request
        server = self._open(request, flow)
        if server is None:
            return
        if request.method == "INVITE":  # past admission: quiet the caller's timer A (§16.2)
            house.transactions.respond(server, 100, bytes(response_to(request, 100)))
        else:
            self.trying.expect(server, inquiry.now)
        call = Call(house, server, inquiry, flow)
        try:
            call.begin(decision)
        except Exception as fault:
            report("call", fault, house.counters, house.log)
            call.fail()

    # --- CANCEL ------------------------------------------------------------------------------

    def _cancel(self, request: Request, flow: Flow, came: Flow) -> None:
        """CANCEL is answered here and ends the branches of its INVITE; never challenged (§9.2, §16.10)."""
        house = self._house
        invite = house.transactions.invite_for(request)
        if invite is None and self.stateless.on:
            self._pass_cancel(request, flow, came)
            return
        server = self._open(request, flow)
        if server is None:
            return
        status = 481 if invite is None else 200
        answer(house, server, local_response(house.seal, request, status))
        if invite is not None and isinstance(invite.user, Call):
            invite.user.guarded(invite.user.cancel)

    def _pass_cancel(self, request: Request, flow: Flow, came: Flow) -> None:
        """The CANCEL of what was passed on without state goes the same way; 481 where it can't (§16.10)."""
        house = self._house
        inquiry = self._inquiry(request, came, [], stateless=True)
        target = None
        with suppress(Missing, Forbidden, NotFound, TemporarilyUnavailable):
            target = self.stateless.takes(decide(inquiry, house.tables))
        if target is None:
            flow.send(bytes(local_response(house.seal, request, 481)))
        else:
            self.stateless.forward(inquiry, flow, target)

    def _answer_without_state(self, request: Request, flow: Flow, fault: SipError) -> None:
        house = self._house
        house.counters.dropped += 1
        if request.method not in NO_ANSWER:
            flow.send(bytes(refusal(house.seal, request, fault)))

    def _unreadable(self, fault: BadSyntax, flow: Flow) -> None:
        """Tell the source where a request can be answered at all; else drop it (T01)."""
        house = self._house
        house.log.event("bad_message", source=flow.remote, text=fault.text)
        house.network.finish(flow)
        if fault.request is None or fault.request.method in NO_ANSWER:
            house.counters.dropped += 1
            return
        try:
            stamp(fault.request, flow.remote)
            with suppress(BadSyntax):  # a Via that can't be read whole says no port: back to where it came from
                flow = self._way_back(fault.request, flow)
            flow.send(bytes(refusal(house.seal, fault.request, fault)))
        except (SipError, ValueError):
            house.counters.dropped += 1
