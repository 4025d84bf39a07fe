"""A phone's sockets: UDP and TCP on one port, as a user agent must have both (RFC 3261 §18)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import BadSyntax
from sipd.hop import Hop
from sipd.message import Framer, Request, is_ipv6, parse
from sipd.phone.faults import NoWay, Unanswered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Hear = Callable[[bytes, Hop], Awaitable[None]]

TRIES: Final = 20
"""Ports looked at until one is free on both transports."""

LARGEST: Final = 65535


class Wire:
    """The way in and out. What comes goes to `hear` with the place it came from, which `send` takes for the answer."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._udp: trio.socket.SocketType | None = None
        self._nursery: trio.Nursery | None = None
        self._streams: dict[Hop, trio.SocketStream] = {}
        self.host = ""
        self.port = 0

    @property
    def sent_by(self) -> str:
        """Our end as Via and Contact name it."""
        return f"[{self.host}]:{self.port}" if is_ipv6(self.host) else f"{self.host}:{self.port}"

    async def run(self, server: Hop, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on the address that leads to `server` until cancelled. Raises NoWay when there is none."""
        try:
            self.host = await _near(server)
            udp, tcp = await self._bind()
        except OSError as fault:
            raise NoWay(f"no way from here to {server}: {fault.strerror or fault}") from fault
        with udp:
            self._udp = udp
            async with trio.open_nursery() as nursery:  # bounds the readers of all sockets
                self._nursery = nursery
                nursery.start_soon(self._read_datagrams, udp)
                nursery.start_soon(trio.serve_listeners, self._accepted, [trio.SocketListener(tcp)])
                task_status.started()
                await trio.sleep_forever()

    async def _bind(self) -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
        family = trio.socket.AF_INET6 if is_ipv6(self.host) else trio.socket.AF_INET
        for left in reversed(range(TRIES)):
            udp = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
            tcp = trio.socket.socket(family, trio.socket.SOCK_STREAM)
            try:
                await udp.bind((self.host, 0))
                self.port = udp.getsockname()[1]
                await tcp.bind((self.host, self.port))
                tcp.listen(5)
                return udp, tcp
            except OSError:
                udp.close()
                tcp.close()
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def send(self, data: bytes, far: Hop) -> None:
        """Send one message: over UDP, or over a TCP connection that is there or is made. Raises NoWay."""
        assert self._udp is not None
        assert self._nursery is not None
        try:
            if far.transport == "UDP":
                await self._udp.sendto(data, (far.host, far.port))
                return
            if far.transport != "TCP":
                raise NoWay(f"this phone does not speak {far.transport}")
            stream = self._streams.get(far)
            if stream is None:
                stream = await trio.open_tcp_stream(far.host, far.port, local_address=self.host)
                self._streams[far] = stream
                self._nursery.start_soon(self._read_stream, stream, far)
            await stream.send_all(data)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            raise NoWay(f"{far} can't be reached: {_words(fault)}") from fault

    async def _read_datagrams(self, udp: trio.socket.SocketType) -> None:
        while True:
            try:
                data, address = await udp.recvfrom(LARGEST)
            except ConnectionError:  # what an earlier datagram met; who waits for its answer will notice
                continue
            await self._hear(data, Hop("UDP", address[0], address[1]))

    async def _accepted(self, stream: trio.SocketStream) -> None:
        name = stream.socket.getpeername()
        far = Hop("TCP", name[0], name[1])
        self._streams[far] = stream
        await self._read_stream(stream, far)

    async def _read_stream(self, stream: trio.SocketStream, far: Hop) -> None:
        framer = Framer()
        try:
            async with stream:
                while data := await stream.receive_some(LARGEST):
                    for item in framer.feed(data):
                        await self._hear(item, far)
                    if framer.broken:
                        return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the far end is gone: who waits for its answer will notice
        finally:
            self._streams.pop(far, None)


async def reach(server: Hop, patience: float, first_gap: float = 0.5) -> None:
    """Return once anything that speaks SIP answers an OPTIONS at `server` (§11); TCP need only accept.

    Raises NoWay at once when the host says that nobody listens there,
    Unanswered when nothing came within `patience` seconds.
    """
    kind = trio.socket.SOCK_DGRAM if server.transport == "UDP" else trio.socket.SOCK_STREAM
    family = trio.socket.AF_INET6 if is_ipv6(server.host) else trio.socket.AF_INET
    with trio.socket.socket(family, kind) as asking, trio.move_on_after(patience):  # bounds the whole look
        try:
            # A connected UDP socket hears of ICMP's "port unreachable"; that of a phone is not connected.
            await asking.connect((server.host, server.port))
            if server.transport == "TCP":
                return
            data = bytes(_options(server, asking.getsockname()))
            gap = first_gap
            while True:
                await asking.send(data)
                with trio.move_on_after(gap):
                    if await _is_sip(asking):
                        return
                gap *= 2
        except OSError as fault:
            raise NoWay(f"nobody listens at {server}: {_words(fault)}", "OPTIONS") from fault
    raise Unanswered(f"no answer from {server} within {patience:g} s", "OPTIONS")


async def _is_sip(asking: trio.socket.SocketType) -> bool:
    while True:
        try:
            parse(await asking.recv(LARGEST))
        except BadSyntax:
            continue
        return True


def _options(server: Hop, name: tuple[str, int]) -> Request:
    near, far = (
        f"[{h}]:{p}" if is_ipv6(h) else f"{h}:{p}" for h, p in ((name[0], name[1]), (server.host, server.port))
    )
    return Request.build(
        "OPTIONS",
        f"sip:{far}",
        (
            ("Via", f"SIP/2.0/UDP {near};branch=z9hG4bK{secrets.token_hex(8)};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{near}>;tag={secrets.token_hex(8)}"),
            ("To", f"<sip:{far}>"),
            ("Call-ID", secrets.token_hex(12)),
            ("CSeq", "1 OPTIONS"),
        ),
    )


async def _near(far: Hop) -> str:
    """The address of ours that leads there: a connected UDP socket knows, and sends nothing."""
    family = trio.socket.AF_INET6 if is_ipv6(far.host) else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as probe:
        await probe.connect((far.host, far.port))
        return str(probe.getsockname()[0])


def _words(fault: BaseException) -> str:
    cause = fault.__cause__ if isinstance(fault, trio.BrokenResourceError) and fault.__cause__ else fault
    return (cause.strerror if isinstance(cause, OSError) else "") or str(cause) or type(cause).__name__
