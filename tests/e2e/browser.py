"""A phone in a browser, as JsSIP and SIP.js are: a WebSocket that somebody else wrote, and SIP in the page.

It has no address. So its Via and Contact name a host under `.invalid`, and
all that is for it must come over its connection (RFC 7118 §5, RFC 5626).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from sipd.message import Request, Response, parse, response_to
from tests.e2e.house import DOMAIN
from tests.running import HERE

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

PATIENCE = 20.0
"""Seconds that anything may take; only a failing test takes as long."""

OFFER = "\r\n".join(
    ("v=0", f"o=- 1 1 IN IP4 {HERE}", "s=-", f"c=IN IP4 {HERE}", "t=0 0", "m=audio 9 RTP/AVP 0 8", "a=sendrecv", "")
).encode()
_PARAM = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Dialog:
    """One side of a dialog, as much as is needed to send in it (RFC 3261 §12)."""

    def __init__(self, call_id: str, local: str, remote: str, target: str, routes: Sequence[str]) -> None:
        self.call_id, self.local, self.remote, self.target = call_id, local, remote, target
        self.routes = tuple(routes)
        self.cseq = 1


class Browser:
    """A user agent on one open WebSocket. `said` has every message that came, in order."""

    def __init__(self, websocket: WebSocketConnection, transport: str, user: str, password: str) -> None:
        self.websocket = websocket
        self.transport = transport
        self.user, self.password = user, password
        self.host = f"{secrets.token_hex(6)}.invalid"
        self.contact = f"sip:{secrets.token_hex(4)}@{self.host};transport=ws;ob"
        self.instance = uuid.uuid4().urn
        self.cseq = 0
        self.said: list[Request | Response] = []
        self._news = trio.Event()

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{DOMAIN}"

    # --- what it hears -----------------------------------------------------------------------

    async def listen(self) -> None:
        """Take in what comes; requests other than INVITE and ACK are answered 200."""
        while True:
            data = await self.websocket.get_message()
            message = parse(data.encode() if isinstance(data, str) else data)
            self.said.append(message)
            if isinstance(message, Request) and message.method not in ("INVITE", "ACK"):
                await self.answer(message, 200)
            self._news.set()
            self._news = trio.Event()

    async def request(self, method: str) -> Request:
        """The first request of that method, once it has come; it is then forgotten."""
        with trio.fail_after(PATIENCE):
            while True:
                for message in self.said:
                    if isinstance(message, Request) and message.method == method:
                        self.said.remove(message)
                        return message
                await self._news.wait()

    async def response(self, sent: Request) -> Response:
        """The final response to this request."""
        with trio.fail_after(PATIENCE):
            while True:
                for message in self.said:
                    if (
                        isinstance(message, Response)
                        and message.status >= 200
                        and message.via.branch == sent.via.branch
                    ):
                        return message
                await self._news.wait()

    # --- what it says ------------------------------------------------------------------------

    async def say(self, message: Request | Response) -> None:
        await self.websocket.send_message(bytes(message).decode())

    async def answer(self, request: Request, status: int, body: bytes = b"") -> None:
        headers = [("Record-Route", value) for value in request.values("Record-Route")]
        if request.method == "INVITE":
            headers.append(("Contact", f"<{self.contact}>"))
        if body:
            headers.append(("Content-Type", "application/sdp"))
        await self.say(response_to(request, status, to_tag="b" + request.call_id[:8], headers=headers, body=body))

    def build(self, method: str, uri: str, *, dialog: Dialog | None = None, to: str = "", body: bytes = b"",
              headers: Sequence[tuple[str, str]] = ()) -> Request:  # fmt: skip
        """A request without Content-Length: the frame says where it ends (RFC 7118 §5)."""
        if dialog is None:
            self.cseq += 1
            dialog = Dialog(f"{secrets.token_hex(8)}", f"<{self.aor}>;tag={secrets.token_hex(4)}", to, uri, ())
            cseq = self.cseq
        else:
            dialog.cseq += 1
            cseq = dialog.cseq
        return Request.build(
            method,
            dialog.target,
            (
                ("Via", f"SIP/2.0/{self.transport} {self.host};branch=z9hG4bK{secrets.token_hex(8)}"),
                ("Max-Forwards", "70"),
                *(("Route", route) for route in dialog.routes),
                ("From", dialog.local),
                ("To", dialog.remote),
                ("Call-ID", dialog.call_id),
                ("CSeq", f"{cseq} {method}"),
                ("User-Agent", "a page"),
                *headers,
                *((("Content-Type", "application/sdp"),) if body else ()),
            ),
            body,
        )

    async def ask(self, request: Request) -> tuple[Request, Response]:
        """Send it, once more with credentials when they are asked for; what was sent last, and the final response."""
        await self.say(request)
        response = await self.response(request)
        if response.status not in (401, 407):
            return request, response
        if request.method == "INVITE":
            await self.say(self.ack(request, response))
        names = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
        asked, given = names[response.status]
        lines = bytes(request).partition(b"\r\n\r\n")[0].decode().split("\r\n")
        number = request.cseq.number + 1
        self.cseq = max(self.cseq, number)
        lines = [re.sub(r"branch=\w+", f"branch=z9hG4bK{secrets.token_hex(8)}", line) if line.startswith("Via:")
                 else re.sub(r"^CSeq: \d+", f"CSeq: {number}", line) for line in lines]  # fmt: skip
        lines.append(f"{given}: {self.credentials(response.values(asked)[0], request.method, request.request_uri)}")
        second = parse("\r\n".join(lines).encode() + b"\r\n\r\n" + request.body)
        assert isinstance(second, Request)
        await self.say(second)
        return second, await self.response(second)

    def credentials(self, challenge: str, method: str, uri: str) -> str:
        """RFC 7616 §3.4 with qop=auth, by hand."""
        asked = {name: quoted or plain for name, quoted, plain in _PARAM.findall(challenge)}
        algorithm = asked.get("algorithm", "MD5")

        def h(text: str) -> str:
            return _HASHES[algorithm](text.encode()).hexdigest()

        cnonce, nc = secrets.token_hex(8), "00000001"
        ha1, ha2 = h(f"{self.user}:{asked['realm']}:{self.password}"), h(f"{method}:{uri}")
        response = h(f"{ha1}:{asked['nonce']}:{nc}:{cnonce}:auth:{ha2}")
        return (
            f'Digest algorithm={algorithm}, username="{self.user}", realm="{asked["realm"]}", '
            f'nonce="{asked["nonce"]}", uri="{uri}", response="{response}", qop=auth, cnonce="{cnonce}", nc={nc}'
        )

    def ack(self, invite: Request, response: Response) -> Request:
        """The ACK of a final response that is no 2xx: of the same branch (§17.1.1.3)."""
        return Request.build(
            "ACK",
            invite.request_uri,
            (
                ("Via", str(invite.via)),
                ("Max-Forwards", "70"),
                ("From", invite.first("From") or ""),
                ("To", response.first("To") or ""),
                ("Call-ID", invite.call_id),
                ("CSeq", f"{invite.cseq.number} ACK"),
            ),
        )

    # --- what it does ------------------------------------------------------------------------

    async def register(self, expires: int = 600) -> Response:
        contact = f'<{self.contact}>;reg-id=1;+sip.instance="<{self.instance}>";expires={expires}'
        request = self.build(
            "REGISTER",
            f"sip:{DOMAIN}",
            to=f"<{self.aor}>",
            headers=(("Contact", contact), ("Supported", "path, gruu, outbound")),
        )
        return (await self.ask(request))[1]

    async def call(self, uri: str) -> tuple[Dialog, Response]:
        """Call somebody, and acknowledge his answer."""
        invite, response = await self.ask(
            self.build("INVITE", uri, to=f"<{uri}>", body=OFFER, headers=(("Contact", f"<{self.contact}>"),))
        )
        assert response.status == 200, response
        dialog = Dialog(
            invite.call_id,
            invite.first("From") or "",
            response.first("To") or "",
            response.contacts[0].uri.text,
            response.values("Record-Route")[::-1],
        )
        dialog.cseq = invite.cseq.number - 1  # the ACK has that of the INVITE (§13.2.2.4)
        await self.say(self.build("ACK", "", dialog=dialog))
        return dialog, response

    def called(self, invite: Request) -> Dialog:
        """The dialog of a call that came in and was answered."""
        dialog = Dialog(
            invite.call_id,
            f"{invite.first('To')};tag=b{invite.call_id[:8]}",
            invite.first("From") or "",
            invite.contacts[0].uri.text,
            invite.values("Record-Route"),
        )
        dialog.cseq = 100
        return dialog

    async def hang_up(self, dialog: Dialog) -> Response:
        return (await self.ask(self.build("BYE", "", dialog=dialog)))[1]


@asynccontextmanager
async def browser(port: int, user: str, password: str, context: ssl.SSLContext | None = None) -> AsyncIterator[Browser]:
    """A page of this user that is connected, by wss where a TLS context is given."""
    tcp = await trio.open_tcp_stream(HERE, port)
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = tcp
    if context is not None:
        stream = trio.SSLStream(tcp, context, server_hostname=HERE, https_compatible=True)
    async with stream, trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE):
            websocket = await wrap_client_stream(nursery, stream, HERE, "/", subprotocols=["sip"])
        assert websocket.subprotocol == "sip"
        page = Browser(websocket, "WS" if context is None else "WSS", user, password)
        nursery.start_soon(page.listen)
        yield page
        nursery.cancel_scope.cancel()
