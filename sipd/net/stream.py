"""One stream connection: a Flow that never waits, and the task that reads it (§18.3, RFC 5626 §3.5.1).

The byte stream is any Trio stream, so TLS and WebSocket need their own
opening only. What it costs to be slow is bounded in bytes and in seconds.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import trio

from sipd.message import PING, Framer
from sipd.net.base import StreamFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sipd.hop import Hop
    from sipd.net.base import Receiver, Tap

PONG: Final = b"\r\n"
"""The answer to a PING, the keep-alive of streams (RFC 5626 §4.4.1)."""

READ_SIZE: Final = 16384
"""Bytes read at once: a turn has no more messages than fit in here."""

PIECE: Final = 65536
"""Bytes handed to a slow connection at once."""

MAX_WAITING: Final = 262144
"""Bytes kept for a peer that does not read; with more it is closed."""


BROKEN: Final = frozenset({"bad_framing", "bad_handshake"})
"""Why nothing more is read although the peer goes on: it still reads what we answered."""


class Patience(NamedTuple):
    """Seconds a peer may take (T27)."""

    connect: float = 10.0
    head: float = 10.0  # from the first byte of a message to the end of its head
    message: float = 32.0  # from the first byte of a message to its last
    idle: float = 900.0  # between messages; keep-alives come up to 840 s apart (RFC 5626 §4.4.1)
    stuck: float = 32.0  # until PIECE bytes are taken
    half_closed: float = 32.0  # for our answers, after the peer has said its last (64*T1)
    goodbye: float = 1.0  # for the peer to read why we close


PATIENCE: Final = Patience()
"""The patience when nothing else is said."""


class Framing(Protocol):
    """Cuts what comes into messages: a `Framer`, or WebSocket frames."""

    broken: bool

    @property
    def partial(self) -> bool:
        """Whether a message has begun and is not whole."""

    @property
    def in_body(self) -> bool:
        """Whether the longer time for the rest of that message runs."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages and pings that these bytes complete."""


class Owner(Protocol):
    """What a connection tells, and where it looks what is wanted of it."""

    tap: Tap | None
    patience: Patience
    dropped: int

    def ended(self, flow: StreamFlow, why: str) -> None:
        """The connection is over; called once, not from within `send`."""

    def broke(self, flow: StreamFlow, fault: Exception) -> None:
        """Something of ours broke over this connection."""

    def half_closed(self, flow: StreamFlow) -> None:
        """The peer will send nothing more: no request of ours should go there."""

    def pinned(self, flow: StreamFlow) -> None:
        """`flow.is_pinned` has changed."""


class StreamFlow:
    """The way to one peer over one connection, open or being opened.

    While it is being opened it keeps what it is given. `close` is for those
    who want the connection gone.
    """

    __slots__ = (
        "_closed",
        "_drained",
        "_finish",
        "_may_idle",
        "_nursery",
        "_owed",
        "_owner",
        "_partial_since",
        "_pending",
        "_stream",
        "_write_now",
        "is_counted",
        "is_pinned",
        "names",
        "near",
        "remote",
        "scope",
        "sent_by",
        "was_accepted",
        "why",
    )

    reliable: Final = True
    needs_length: bool = True

    def __init__(self, remote: Hop, sent_by: str, near: Hop, owner: Owner) -> None:
        self.remote = remote
        self.sent_by = sent_by
        self.near = near  # our listener's
        self.names: tuple[str, ...] = ()  # of its verified certificate
        self.was_accepted = False  # opened by the peer
        self.is_counted = False  # among the connections of its source
        self.is_pinned = False  # a live binding came over it
        self._may_idle = inf  # seconds between signs of life, while it is
        self.scope = trio.CancelScope()  # the connection's life, from connect to close
        self.why = ""
        self._owner = owner
        self._closed = False
        self._pending = bytearray()
        self._partial_since: float | None = None  # when the message at hand began
        self._owed = 0  # requests that came and have no final response yet
        self._finish = False  # no further message is taken
        self._drained: trio.Event | None = None  # once we only wait to have sent all
        self._stream: trio.abc.Stream | None = None
        self._nursery: trio.Nursery | None = None
        self._write_now: Callable[[bytes], int] | None = None

    def __repr__(self) -> str:
        return f"<StreamFlow {self.remote}{' ' + self.why if self._closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent here any more."""
        return self._closed

    def send(self, data: bytes) -> None:
        """Sends now what the kernel takes; keeps the rest, or closes when the peer has left too much unread."""
        if self._closed:
            self._owner.dropped += 1
            return
        if self._owner.tap is not None:
            self._owner.tap("out", self, data)
        if self._owed and data[:8] == b"SIP/2.0 " and data[8:9] != b"1":
            self._owed -= 1
        self._send_or_keep(self._framed(data))
        if self._drained is not None:
            self._see_if_drained()

    def _framed(self, data: bytes) -> bytes:
        """A message as it lies in the byte stream."""
        return data

    def _framing(self) -> Framing:
        """What cuts messages out of the byte stream."""
        return Framer()

    def _cut(self, framing: Framing, data: bytes) -> list[bytes]:
        """The messages that these bytes complete."""
        return framing.feed(data)

    def _why_broken(self) -> str:
        """Why no more messages can be cut out."""
        return "bad_framing"

    def _send_or_keep(self, data: bytes) -> None:
        if self._write_now is not None and not self._pending:
            try:
                taken = self._write_now(data)
            except BlockingIOError:
                taken = 0
            except OSError:
                self.close("reset")
                return
            if taken == len(data):
                return
            data = data[taken:]
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        if len(self._pending) + len(data) > MAX_WAITING:
            self._owner.dropped += 1
            self.close("slow_client")
            return
        idle = not self._pending
        self._pending += data
        if idle and self._nursery is not None:
            self._nursery.start_soon(self._write)

    def close(self, why: str = "closed") -> None:
        """Ends the connection at once; what is not sent yet is lost."""
        if not self._closed:
            self._closed = True
            self.why = why
            self.scope.cancel()

    def finish(self) -> None:
        """Ends the connection once what was answered is sent: what follows a broken message is not to be read (T24)."""
        self._finish = True

    def pin(self, pinned: bool = True, idle: float = inf) -> None:
        """Says that a live binding came over this connection: it does not count per source (T58), and may idle (T27).

        That it may for `idle` seconds: its phone was told to show signs of life (RFC 5626 §4.4).
        """
        if (pinned, idle) == (self.is_pinned, self._may_idle):
            return
        changes, self.is_pinned, self._may_idle = pinned != self.is_pinned, pinned, idle
        if changes:
            self._owner.pinned(self)
        if self._partial_since is None:
            self._wait_at_most(None)

    def _wait_at_most(self, partial_since: float | None, *, in_body: bool = False) -> None:
        """Sets the time at which the peer has been too slow (T27)."""
        patience, self._partial_since = self._owner.patience, partial_since
        if partial_since is not None:
            self.scope.deadline = partial_since + (patience.message if in_body else patience.head)
        else:
            self.scope.deadline = trio.current_time() + (self._may_idle if self.is_pinned else patience.idle)

    async def converse(
        self, opening: Callable[[], Awaitable[tuple[trio.abc.Stream, Callable[[bytes], int] | None]]], receive: Receiver
    ) -> None:
        """Opens the stream, then reads it to its end; `opening` gives it, with a plain `send` if it has one.

        Raises nothing of what a peer or the network can do.
        """
        try:
            with self.scope:
                self.scope.deadline = trio.current_time() + self._owner.patience.connect
                self._stream, self._write_now = await opening()
                async with trio.open_nursery() as nursery:  # the reader, and a writer while something waits
                    self._opened(nursery)
                    why = await self._read(self._stream, receive)
                    self.scope.deadline = float("inf")
                    await self._say_goodbye(self._stream, why)
                    self.close(why)
            if not self._closed:  # a deadline has passed
                self.close(self._what_took_too_long())
        except StreamFault as fault:
            self.close(str(fault))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.close("no_connection")
        except Exception as fault:  # the door of one connection: what breaks here ends it alone (T121)
            self.close("fault")
            self._owner.broke(self, fault)
        finally:
            self.close("shutdown")
            self._owner.ended(self, self.why)
            if self._stream is not None:
                await trio.aclose_forcefully(self._stream)

    def _what_took_too_long(self) -> str:
        if self._stream is None:
            return "slow_handshake" if self.was_accepted else "no_connection"
        return "idle" if self._partial_since is None else "slow_client"

    def _opened(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        if self._pending:
            nursery.start_soon(self._write)

    async def _read(self, stream: trio.abc.Stream, receive: Receiver) -> str:
        """Gives each message to `receive`; returns why there are no more."""
        framer = self._framing()
        since = trio.current_time() if framer.partial else None
        while True:
            self._wait_at_most(since, in_body=framer.in_body)
            try:
                data = await stream.receive_some(READ_SIZE)
            except StreamFault as fault:
                return str(fault)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return "reset"
            if not data:
                return "ended"
            items = self._cut(framer, bytes(data))
            pinged = False
            for item in items:
                if item == PING and pinged:
                    continue  # of many in a row one is answered: each costs a system call, and the peer four bytes
                pinged = item == PING
                self._received(item, receive)
                if self._closed:
                    return self.why
                if self._finish:
                    return "bad_framing"
            if framer.broken:
                return self._why_broken()
            if not framer.partial:
                since = None
            elif items or since is None:
                since = trio.current_time()

    def _received(self, item: bytes, receive: Receiver) -> None:
        if item == PING:
            self.send(PONG)
            return
        if self._owner.tap is not None:
            self._owner.tap("in", self, item)
        if item[:4] != b"SIP/" and item[:4] != b"ACK ":
            self._owed += 1
        receive(item, self)

    async def _write(self) -> None:
        """Sends what waits, as the peer takes it."""
        assert self._stream is not None
        try:
            while self._pending:
                piece = bytes(self._pending[:PIECE])
                with trio.move_on_after(self._owner.patience.stuck) as patience:
                    await self._stream.send_all(piece)
                if patience.cancelled_caught:
                    self.close("slow_client")
                    return
                del self._pending[: len(piece)]
            if self._drained is not None:
                self._see_if_drained()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.close("reset")

    def _see_if_drained(self) -> None:
        if self._drained is not None and not self._owed and not self._pending:
            self._drained.set()

    async def _say_goodbye(self, stream: trio.abc.Stream, why: str) -> None:
        """Lets our last answers reach the peer: after a half close those it waits for, after bad framing the 400."""
        patience, self._drained = self._owner.patience, trio.Event()
        if why in BROKEN or why == "closed":
            self._owed = 0
        elif why != "ended":
            return
        self._owner.half_closed(self)
        self._see_if_drained()
        with trio.move_on_after(patience.half_closed):
            await self._drained.wait()
        if why in BROKEN:
            await _see_off(stream, patience.goodbye)


async def _see_off(stream: trio.abc.Stream, seconds: float) -> None:
    """Says that we say no more, and reads on for a while: closing with bytes unread would destroy our answer."""
    with trio.move_on_after(seconds):
        try:
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            while await stream.receive_some(READ_SIZE):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
