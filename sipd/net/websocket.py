"""SIP over WebSocket (RFC 7118): the handshake, one SIP message in each WebSocket message, its close codes.

The frames are wsproto's, which does no I/O, on the byte stream of any other
connection: so the limits of time, bytes and number are those of TCP. We accept
only: nobody can be called by opening a WebSocket (§5).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, RemoteProtocolError

from sipd.hop import Hop
from sipd.message import PING
from sipd.message.parse import MAX_BODY, MAX_HEAD
from sipd.net.addresses import Unreachable, unicast
from sipd.net.listener import StreamListener, TlsListener
from sipd.net.stream import StreamFlow

if TYPE_CHECKING:
    from collections.abc import Collection

    from wsproto.connection import Connection

    from sipd.net.stream import Owner

SUBPROTOCOL: Final = "sip"
"""What the client must offer, and is given (RFC 7118 §4.1)."""

MAX_MESSAGE: Final = MAX_HEAD + MAX_BODY
"""Bytes of one WebSocket message, however many frames it comes in."""

SMALL: Final = 20
"""Bytes of a frame that holds no SIP message: a keep-alive, an empty fragment, a frame of WebSocket's own."""

MOST_SMALL: Final = 64
"""Such frames that may come in one piece of the byte stream: reading one costs us as much as a whole message."""

CLOSING_CODES: Final = {
    "slow_client": CloseReason.POLICY_VIOLATION,
    "idle": CloseReason.GOING_AWAY,
    "shutdown": CloseReason.GOING_AWAY,
}
"""Why we close -> the code that the peer hears (RFC 6455 §7.4.1)."""


class Frames:
    """Bytes of a WebSocket -> SIP messages, from the first byte of the handshake; a `Framing`.

    `replies` are bytes for the peer: the answer to its handshake, pongs, and
    the last word when `broken` is set: refused, closed, or not to be read.
    """

    __slots__ = (
        "_connection",
        "_handshake",
        "_in_message",
        "_message",
        "_origins",
        "_small",
        "broken",
        "replies",
        "why",
    )

    def __init__(self, origins: Collection[str] = ()) -> None:
        self.broken = False
        self.why = ""
        self.replies = b""
        self._origins = origins  # in lower case; empty: any
        self._handshake: WSConnection | None = WSConnection(ConnectionType.SERVER)
        self._connection: Connection | None = None
        self._message = bytearray()
        self._in_message = False  # some of its frames are still to come
        self._small = 0  # small frames in the bytes at hand

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: after the handshake, before any closing."""
        return self._connection is not None and self._connection.state is ConnectionState.OPEN

    @property
    def partial(self) -> bool:
        """Whether the handshake or a message has begun and is not whole (T27)."""
        return self._in_message or self._handshake is not None

    @property
    def in_body(self) -> bool:
        """Whether the time for a whole message runs; that for a head is the handshake's."""
        return self._in_message

    def feed(self, data: bytes) -> list[bytes]:
        """The SIP messages and keep-alives that these bytes complete, in order."""
        items: list[bytes] = []
        if not data:  # to the parser of the handshake that would be the end of the stream
            return items
        if self._handshake is not None:
            self._shake_hands(self._handshake, data)
        elif self._connection is not None:
            self._connection.receive_data(data)
            self._small = 0
            for event in self._connection.events():
                self._received(self._connection, event, items)
                if self.broken:
                    break
        return items

    def framed(self, data: bytes) -> bytes:
        """One SIP message as one frame: text where it is UTF-8, else binary (§4.2); nothing when it can't be sent."""
        connection = self._connection
        if connection is None or connection.state is not ConnectionState.OPEN:
            return b""
        try:
            return connection.send(TextMessage(data=data.decode()))
        except UnicodeDecodeError:
            return connection.send(BytesMessage(data=data))

    def closing(self, code: CloseReason, reason: str = "") -> bytes:
        """The frame that ends an open WebSocket."""
        connection = self._connection
        if connection is None or connection.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        return connection.send(CloseConnection(code=code, reason=reason))

    # --- the handshake -----------------------------------------------------------------------

    def _shake_hands(self, handshake: WSConnection, data: bytes) -> None:
        try:
            handshake.receive_data(data)
            for event in handshake.events():
                if isinstance(event, Request):
                    self._asked(handshake, event)
        except RemoteProtocolError as fault:
            hint = fault.event_hint
            status = hint.status_code if isinstance(hint, RejectConnection) else 400
            self._refuse(
                handshake, status, str(fault), list(hint.headers) if isinstance(hint, RejectConnection) else []
            )
        except UnicodeError:  # of a host name or a list that is not ASCII
            self._refuse(handshake, 400, "Bad header field")

    def _asked(self, handshake: WSConnection, request: Request) -> None:
        origin = next((value for name, value in request.extra_headers if name == b"origin"), b"")
        if SUBPROTOCOL not in request.subprotocols:
            self._refuse(handshake, 400, "Sec-WebSocket-Protocol must offer sip")
        elif self._origins and origin and origin.decode("latin-1").lower() not in self._origins:
            self._refuse(handshake, 403, "Origin not allowed")
        else:
            self.replies += handshake.send(AcceptConnection(subprotocol=SUBPROTOCOL))
            self._connection = handshake.connection
            self._handshake = None  # it holds four times what the connection itself does

    def _refuse(
        self, handshake: WSConnection, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        self.broken, self.why = True, "bad_handshake"
        body = text.encode("ascii", "replace") + b"\n"
        fields = [
            *(headers or ()),
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"close"),
        ]
        with suppress(ProtocolError):  # what is no HTTP at all gets no answer
            self.replies += handshake.send(RejectConnection(status_code=status, headers=fields, has_body=True))
            self.replies += handshake.send(RejectData(data=body))

    # --- frames ------------------------------------------------------------------------------

    def _received(self, connection: Connection, event: Event, items: list[bytes]) -> None:
        self._small += not isinstance(event, TextMessage | BytesMessage) or len(event.data) < SMALL
        if self._small > MOST_SMALL:
            self._end("bad_framing", CloseReason.POLICY_VIOLATION)
        elif isinstance(event, TextMessage | BytesMessage):
            self._piece(event, items)
        elif isinstance(event, Ping):
            self.replies += connection.send(event.response())
        elif isinstance(event, CloseConnection):
            asked = connection.state is ConnectionState.REMOTE_CLOSING
            self._end("closed" if asked else "bad_framing", CloseReason(event.code) if not asked else None, event)

    def _piece(self, event: TextMessage | BytesMessage, items: list[bytes]) -> None:
        self._message += event.data.encode() if isinstance(event, TextMessage) else event.data
        self._in_message = not event.message_finished
        if len(self._message) > MAX_MESSAGE:
            self._end("bad_framing", CloseReason.MESSAGE_TOO_BIG)
        elif event.message_finished:
            message = bytes(self._message)
            self._message.clear()
            if message.strip(b"\r\n"):
                items.append(message)
            elif message == PING:
                items.append(PING)  # RFC 5626 §3.5.1 may be used here too (RFC 7118 §6)

    def _end(self, why: str, code: CloseReason | None, event: CloseConnection | None = None) -> None:
        self.broken, self.why = True, why
        assert self._connection is not None
        if code is None and event is not None:
            self.replies += self._connection.send(event.response())
        elif code is not None:
            self.replies += self.closing(code)


class WebSocketFlow(StreamFlow):
    """The way to one browser, over the WebSocket that it has opened."""

    __slots__ = ("_frames",)

    needs_length = False

    def __init__(self, remote: Hop, sent_by: str, near: Hop, owner: Owner, origins: Collection[str] = ()) -> None:
        super().__init__(remote, sent_by, near, owner)
        self._frames = Frames(origins)

    def send(self, data: bytes) -> None:
        """Sends one SIP message as one WebSocket message; before the handshake and after the close it is lost."""
        if self._frames.is_open:
            super().send(data)
        else:
            self._owner.dropped += 1

    def finish(self) -> None:
        """Nothing: a broken message does not touch the next one, each is framed by itself."""

    def close(self, why: str = "closed") -> None:
        """Ends the connection at once, with a word of farewell where there is room for it."""
        code = CLOSING_CODES.get(why)
        if code is not None and not self._closed and self._write_now is not None and not self._pending:
            with suppress(OSError):
                self._write_now(self._frames.closing(code))
        super().close(why)

    def _framing(self) -> Frames:
        return self._frames

    def _framed(self, data: bytes) -> bytes:
        return self._frames.framed(data)

    def _cut(self, framing: object, data: bytes) -> list[bytes]:
        frames = self._frames
        items = frames.feed(data)
        if frames.replies:
            replies, frames.replies = frames.replies, b""
            self._send_or_keep(replies)
        return items

    def _why_broken(self) -> str:
        return self._frames.why


class WebSocketListener(StreamListener):
    """A listening TCP socket whose connections speak WebSocket."""

    def make_flow(self, remote: Hop) -> WebSocketFlow:
        """A connection that somebody is opening."""
        return WebSocketFlow(remote, self.sent_by, self.hop, self.connections, self.connections.origins)

    def flow_to(self, host: str, port: int, name: str = "") -> StreamFlow:
        """The connection from that far end. Raises Unreachable when there is none: only they can open one."""
        flow = self.connections.find(Hop(self.hop.transport, unicast(host), port))
        if flow is None:
            raise Unreachable("No WebSocket Open")
        return flow


class SecureWebSocketListener(WebSocketListener, TlsListener):
    """The same inside TLS: what a page that came by https may connect to. Set `tls` before `run`."""
