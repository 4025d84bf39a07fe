"""Phones of which every message is written down: they answer nothing by themselves and forget nothing."""

from __future__ import annotations

from collections import deque
from hashlib import md5
from typing import TYPE_CHECKING

import trio

from sipd.hop import DEFAULT_PORTS, Hop
from sipd.message import Request, Response, parse, parse_address, parse_auth, parse_uri, response_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.hop import Flow
    from sipd.message import Message
    from tests.flows.stage import Stage

    Headers = Sequence[tuple[str, str]]

OFFER = b"v=0\r\no=- 2890844526 2890844526 IN IP4 192.0.2.101\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n\
m=audio 49172 RTP/AVP 0\r\n"
ANSWER = OFFER.replace(b"49172", b"3456")
HOLD = OFFER + b"a=sendonly\r\n"
SDP = (("Content-Type", "application/sdp"),)

TIMER_A = (0.5, 1, 2, 4, 8, 16)
"""Pauses between the seven INVITEs of a client that gets no answer (RFC 3261 §17.1.1.2)."""


class Agent:
    """One phone: what it hears waits in order until `hear` takes it; what it sends, a Leg sends."""

    def __init__(self, stage: Stage, name: str, host: str, address: str, aor: str, proxy: str) -> None:
        self.stage = stage
        self.name = name
        self.host = host
        self.aor = aor
        self.proxy = proxy
        self.passwords: dict[str, str] = {}  # realm -> password
        self.challenges: dict[str, dict[str, str]] = {}  # realm -> the last challenge, and how often it was answered
        self.flows: dict[int, Flow] = {}  # of each request heard, the way back
        self._count = 0
        self._inbox: deque[Message] = deque()
        self._news = trio.Event()
        self._listeners = {
            transport: stage.network.listener(transport, address, DEFAULT_PORTS[transport], self._receive)
            for transport in ("UDP", "TCP", "TLS")
        }

    @property
    def contact(self) -> str:
        """Its own URI."""
        return f"sip:{self.aor.partition('@')[0]}@{self.host}{self._transport}"

    @property
    def _transport(self) -> str:
        return ";transport=tcp" if self.stage.transport == "TCP" else ""

    def _receive(self, data: bytes, flow: Flow) -> None:
        message = parse(data, stream=flow.reliable)
        self._inbox.append(message)
        if isinstance(message, Request):
            self.flows[id(message)] = flow
        self._news.set()
        self._news = trio.Event()

    async def _next(self, what: str) -> Message:
        with trio.move_on_after(200):  # longer than any timer of the flows
            while not self._inbox:
                await self._news.wait()
            return self._inbox.popleft()
        raise AssertionError(f"{self.name} never heard {what}")

    async def hears(self, method: str) -> Request:
        """The next message, which is a request of that method."""
        message = await self._next(method)
        assert isinstance(message, Request), f"{self.name} heard {message.start_line} in place of {method}"
        assert message.method == method, f"{self.name} heard {message.start_line} in place of {method}"
        return message

    async def gets(self, *statuses: int) -> Response:
        """The next messages, which are responses with these statuses; gives the last."""
        for status in statuses:
            message = await self._next(str(status))
            assert isinstance(message, Response), f"{self.name} heard {message.start_line} in place of {status}"
            assert message.status == status, f"{self.name} heard {message.start_line} in place of {status}"
        assert isinstance(message, Response)
        return message

    def quiet(self) -> bool:
        """Whether nothing more was heard."""
        return not self._inbox

    def call(self, uri: str, *, routes: Iterable[str] = (), from_: str = "") -> Leg:
        """A dialog to be, its request not yet sent."""
        return Leg(self, remote=f"<{uri}>", target=uri, routes=routes, local=f"<{from_ or f'sip:{self.aor}'}>")

    async def rung(self, method: str = "INVITE") -> Leg:
        """The next message, which is a request that may begin a dialog; its side of it."""
        request = await self.hears(method)
        leg = Leg(
            self,
            remote=str(request.first("From")),
            target=request.contacts[0].uri.text,
            routes=request.values("Record-Route"),
            local=str(request.first("To")),
            call_id=request.call_id,
        )
        leg.heard = request
        return leg

    def fresh(self) -> str:
        """A word that this phone never used."""
        self._count += 1
        return f"{self.name}{self._count}"

    def send(self, message: Message, hop: Hop) -> None:
        """Send, by the connection there is or a new one."""
        self._listeners[hop.transport].flow_to(hop.host, hop.port).send(bytes(message))

    def take(self, challenge: Response) -> dict[str, str]:
        """Remember a challenge, to be answered from now on; its parameters."""
        name = "WWW-Authenticate" if challenge.status == 401 else "Proxy-Authenticate"
        for value in challenge.values(name):
            scheme, params, _ = parse_auth(value)
            assert scheme == "digest"
            assert params["algorithm"] == "MD5"
            self.challenges[params["realm"]] = {**params, "header": name, "count": "0"}
        return dict(params)

    def proofs(self, method: str, uri: str) -> Headers:
        """An answer to every challenge it knows (RFC 2617 §3.2.2), each nonce with its next count."""
        made = []
        for realm, params in self.challenges.items():
            params["count"] = str(int(params["count"]) + 1)
            nc, nonce, cnonce = f"{int(params['count']):08x}", params["nonce"], self.fresh()
            user = self.aor.partition("@")[0]
            secret = _md5(f"{user}:{realm}:{self.passwords[realm]}")
            response = _md5(f"{secret}:{nonce}:{nc}:{cnonce}:auth:{_md5(f'{method}:{uri}')}")
            name = "Authorization" if params["header"] == "WWW-Authenticate" else "Proxy-Authorization"
            value = (
                f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5, '
                f'response="{response}", qop=auth, nc={nc}, cnonce="{cnonce}"'
            )
            made.append((name, value))
        return made


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


class Leg:
    """One phone's side of a dialog (RFC 3261 §12), or of what may become one."""

    def __init__(
        self, agent: Agent, *, remote: str, target: str, routes: Iterable[str], local: str, call_id: str = ""
    ) -> None:
        self.agent = agent
        self.call_id = call_id or f"{agent.fresh()}@{agent.host}"
        self.tag = f"tag-{agent.fresh()}"
        self.local = local  # without the tag
        self.remote = remote  # with the tag, once there is one
        self.target = target
        self.routes = list(routes)
        self.cseq = 0
        self.sent: Request | None = None  # the last INVITE
        self.heard: Request | None = None  # the last request

    # --- as a client -------------------------------------------------------------------------

    def send(
        self,
        method: str,
        *,
        headers: Headers = (),
        body: bytes = b"",
        contact: str | None = None,
        prove: bool = False,
    ) -> Request:
        """A request of this dialog, with an answer to the challenges known where it is to `prove` who sends it."""
        self.cseq += 1
        if prove:
            headers = (*headers, *self.agent.proofs(method, self.target))
        made = self._made(method, self.cseq, f"z9hG4bK{self.agent.fresh()}", headers, body, contact)
        if method == "INVITE":
            self.sent = made
        self.agent.send(made, self.first_hop())
        return made

    def invite(self, *, headers: Headers = (), body: bytes = OFFER, prove: bool = False) -> Request:
        """An INVITE with an offer; in a dialog, a re-INVITE."""
        return self.send("INVITE", headers=(*headers, *(SDP if body else ())), body=body, prove=prove)

    def learn(self, response: Response) -> Response:
        """Take the dialog's state from a response that makes one (§12.1.2)."""
        self.remote = str(response.first("To"))
        self.target = response.contacts[0].uri.text
        self.routes = list(reversed(response.values("Record-Route")))
        return response

    def ack(self, response: Response, *, headers: Headers = (), body: bytes = b"") -> Request:
        """The ACK: of a 2xx a request of its own along the route set, else one of the INVITE's transaction."""
        assert self.sent is not None
        if response.status < 300:
            if response.contacts:
                self.target = response.contacts[0].uri.text  # the answer to a re-INVITE refreshes it (§12.2.1.2)
            ack = self._made("ACK", response.cseq.number, f"z9hG4bK{self.agent.fresh()}", headers, body, "")
        else:
            ack = self._of_the_invite("ACK", str(response.first("To")))
        self.agent.send(ack, self.first_hop())
        return ack

    def cancel(self) -> Request:
        """CANCEL of the INVITE under way (§9.1)."""
        assert self.sent is not None
        cancel = self._of_the_invite("CANCEL", str(self.sent.first("To")))
        self.agent.send(cancel, self.first_hop())
        return cancel

    def again(self) -> None:
        """The INVITE once more, as it was."""
        assert self.sent is not None
        self.agent.send(self.sent, self.first_hop())

    def first_hop(self) -> Hop:
        """Where its requests go: the first Route, its proxy, or the target itself."""
        stage = self.agent.stage
        uri = parse_address(self.routes[0]).uri if self.routes else parse_uri(self.target)
        host = uri.host
        if not self.routes and self.agent.proxy and ";tag=" not in self.remote:
            host = self.agent.proxy
        transport = (uri.param("transport") or stage.transport).upper()
        return Hop(transport, stage.addresses[stage.serves.get(host, host)], uri.port or DEFAULT_PORTS[transport])

    def _of_the_invite(self, method: str, to: str) -> Request:
        """ACK or CANCEL: the same top Via, From, Call-ID, number and Route as its INVITE (§9.1, §17.1.1.3)."""
        invite = self.sent
        assert invite is not None
        return Request.build(
            method,
            invite.request_uri,
            (
                ("Via", str(invite.first("Via"))),
                ("Max-Forwards", "70"),
                *(("Route", value) for value in invite.values("Route")),
                ("From", str(invite.first("From"))),
                ("To", to),
                ("Call-ID", invite.call_id),
                ("CSeq", f"{invite.cseq.number} {method}"),
            ),
        )

    def _made(self, method: str, cseq: int, branch: str, headers: Headers, body: bytes, contact: str | None) -> Request:
        agent = self.agent
        own = agent.contact if contact is None else contact
        transport = self.first_hop().transport
        via = f"SIP/2.0/{transport} {agent.host}:{DEFAULT_PORTS[transport]};branch={branch}"
        return Request.build(
            method,
            self.target,
            (
                ("Via", via),
                ("Max-Forwards", "70"),
                *(("Route", value) for value in self.routes),
                ("From", f"{self.local};tag={self.tag}"),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{cseq} {method}"),
                *((("Contact", f"<{own}>"),) if own else ()),
                *headers,
            ),
            body,
        )

    # --- as a server -------------------------------------------------------------------------

    def answer(
        self,
        status: int,
        *,
        to: Request | None = None,
        headers: Headers = (),
        body: bytes = b"",
        contact: str | None = None,
    ) -> Response:
        """A response to the last request, or to that one."""
        request = to or self.heard
        assert request is not None
        agent = self.agent
        own = agent.contact if contact is None else contact
        in_dialog = 100 < status < 300 and request.method in ("INVITE", "SUBSCRIBE", "REFER")
        made = response_to(
            _received(request, agent.flows[id(request)]),
            status,
            to_tag=self.tag,
            headers=(
                *(("Record-Route", value) for value in request.values("Record-Route") if in_dialog),
                *((("Contact", f"<{own}>"),) if in_dialog and own else ()),
                *headers,
            ),
            body=body,
            content_type="application/sdp" if body else None,
        )
        agent.flows[id(request)].send(bytes(made))
        return made

    async def hears(self, method: str) -> Request:
        """The next request of that method, in this dialog."""
        request = self.heard = await self.agent.hears(method)
        assert request.call_id == self.call_id, f"{self.agent.name}: {request.start_line} is of another call"
        return request

    async def gets(self, *statuses: int) -> Response:
        """The next responses, in this dialog; gives the last."""
        response = await self.agent.gets(*statuses)
        assert response.call_id == self.call_id, f"{self.agent.name}: {response.start_line} is of another call"
        return response


def _received(request: Request, flow: Flow) -> Request:
    """The request with `received` in the top Via, which every server that gets a name there adds (§18.2.1)."""
    at = request.names.index("Via")
    names, lines = request.names.copy(), request.lines.copy()
    if ";received=" not in lines[at].partition(",")[0]:
        lines[at] = f"{lines[at]};received={flow.remote.host}"
    return Request(request.start_line, names, lines, request.body)
