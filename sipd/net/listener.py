"""Accepting and opening stream connections: the TCP listener, made so that TLS is a step of its own (§18)."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SipError
from sipd.hop import DEFAULT_PORTS, Hop
from sipd.message import Request, parse
from sipd.net.addresses import WILDCARDS, Unreachable, bind_failure, family_of, host_port, primary_address, unicast
from sipd.net.base import unheard
from sipd.net.connections import Connections
from sipd.net.stream import StreamFlow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.hop import Flow
    from sipd.net.base import Receiver
    from sipd.net.tls import Tls

BACKLOG: Final = 1024
MAX_ACCEPTED: Final = 16
"""Connections accepted in one turn."""

PAUSE: Final = 0.1
"""Seconds without accepting when descriptors or memory are used up (T103)."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

KEEPALIVE: Final = (
    # A peer that vanished is noticed: one that owes us an acknowledgement after 32 s, an idle one after 15 minutes.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 600),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 32_000),
)

_IP_BIND_ADDRESS_NO_PORT = 24  # Linux: the port is chosen at connect, so many connections can share one


class StreamListener:
    """One listening TCP socket, its connections, and those opened from its address.

    `hop` has the real port after `bind`; `sent_by_host` as for UDP. A
    transport on top of TCP overrides `wrap`.
    """

    def __init__(
        self,
        hop: Hop,
        receive: Receiver = unheard,
        sent_by_host: str | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.hop = hop
        self.receive = receive
        self.sent_by_host = sent_by_host
        self.connections = Connections() if connections is None else connections
        self.family = family_of(hop.host)
        self.sent_by = ""
        self.closed = False
        self._socket: socket.socket | None = None
        self._nursery: trio.Nursery | None = None
        self._unstarted: list[StreamFlow] = []
        self._is_starved = False

    def bind(self) -> None:
        """Opens the socket; raises SetupError with the address when that can't be had (T102)."""
        try:
            ours = socket.socket(self.family, socket.SOCK_STREAM)
        except OSError as error:
            raise bind_failure(self.hop, error) from error
        try:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may linger
            if self.family == socket.AF_INET6:
                ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ours.bind((self.hop.host, self.hop.port))
            ours.listen(BACKLOG)
        except OSError as error:
            ours.close()
            raise bind_failure(self.hop, error) from error
        self._socket = ours
        self.hop = self.hop._replace(port=ours.getsockname()[1])
        host = self.sent_by_host
        if host is None:
            host = primary_address(self.family) if self.hop.host in WILDCARDS else self.hop.host
        self.sent_by = host_port(host, self.hop.port)

    def close(self) -> None:
        """Gives the port back: no further connections. Those that are open stay."""
        self.closed = True
        if self._socket is not None:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accepts connections until closed, then waits for them to end; cancelled, it ends them."""
        if self._socket is None:
            raise RuntimeError("bind() comes before run()")
        try:
            async with trio.open_nursery() as self._nursery:  # every connection of this listener
                for flow in self._unstarted:
                    self._start(flow, None)
                task_status.started()
                with suppress(trio.ClosedResourceError):
                    while not self.closed:
                        await trio.lowlevel.wait_readable(self._socket)
                        if not self._accept_some(self._socket):
                            await trio.sleep(PAUSE)
        finally:
            self.close()

    def _accept_some(self, ours: socket.socket) -> bool:
        """Whether accepting may go on at once."""
        for _ in range(MAX_ACCEPTED):
            try:
                theirs, address = ours.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in EXHAUSTED:
                    if not self._is_starved:
                        self.connections.on_event("descriptors_used_up", self.hop, errno.errorcode[error.errno])
                    self._is_starved = True
                    return False
                continue  # that connection broke before it was accepted
            self._is_starved = False
            self._accepted(theirs, Hop(self.hop.transport, address[0].partition("%")[0], address[1]))
        return True

    def _accepted(self, theirs: socket.socket, remote: Hop) -> None:
        if not self.connections.admits(remote.host):
            theirs.close()
            self.connections.on_event("connection_refused", remote, "too many")
            return
        flow = self.make_flow(remote)
        self.connections.enter(flow, accepted=True)
        self._start(flow, theirs)

    def make_flow(self, remote: Hop) -> StreamFlow:
        """A new connection to that far end, not open yet."""
        return StreamFlow(remote, self.sent_by, self.hop, self.connections)

    def flow_to(self, host: str, port: int, name: str = "") -> StreamFlow:
        """The connection to that far end, open or being opened; `name` is what its certificate must prove.

        Raises Unreachable when there are too many.
        """
        remote = Hop(self.hop.transport, unicast(host), port, name)
        flow = self.connections.find(remote)
        if flow is None:
            if self.closed or self.connections.is_full:
                raise Unreachable("No Connection Free")
            flow = self.make_flow(remote)
            self.connections.enter(flow, accepted=False)
            self._start(flow, None)
        return flow

    def _start(self, flow: StreamFlow, theirs: socket.socket | None) -> None:
        if self._nursery is None:
            self._unstarted.append(flow)
            return

        async def opening() -> tuple[trio.abc.Stream, Callable[[bytes], int] | None]:
            raw = await self._connect(flow.remote) if theirs is None else theirs
            try:
                return await self.wrap(flow, raw)
            except BaseException:
                raw.close()
                raise

        self._nursery.start_soon(flow.converse, opening, self.receiver(flow))

    def receiver(self, flow: StreamFlow) -> Receiver:
        """What takes the messages that come over this connection."""
        return self.receive

    async def _connect(self, remote: Hop) -> socket.socket:
        raw = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            ours = trio.socket.from_stdlib_socket(raw)
            if self.hop.host not in WILDCARDS:
                with suppress(OSError):
                    raw.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                await ours.bind((self.hop.host, 0))
            await ours.connect((remote.host, remote.port))
        except BaseException:
            raw.close()
            raise
        return raw

    async def wrap(self, flow: StreamFlow, raw: socket.socket) -> tuple[trio.abc.Stream, Callable[[bytes], int] | None]:
        """The stream over a connected socket, and what sends on it without waiting, where there is such a thing.

        The latter says how many bytes it took; what it did not take goes to
        the stream's `send_all` next. TCP has nothing to wait for; a transport
        with a handshake awaits it here, and says in StreamFault why it failed.
        """
        keep_alive(raw)
        return trio.SocketStream(trio.socket.from_stdlib_socket(raw)), raw.send


def keep_alive(raw: socket.socket) -> None:
    """Has the kernel see to it that a far end that vanished is noticed."""
    for option in KEEPALIVE:
        raw.setsockopt(*option)


class TlsListener(StreamListener):
    """One listening socket for TLS, and the connections of TLS opened from its address. Set `tls` before `run`."""

    tls: Tls

    async def wrap(self, flow: StreamFlow, raw: socket.socket) -> tuple[trio.abc.Stream, Callable[[bytes], int] | None]:
        """The TLS stream over a connected socket; the handshake is awaited here."""
        keep_alive(raw)
        if flow.was_accepted and not self.connections.is_exempt(flow.remote.host):
            delay = self.connections.handshakes.delay(flow.remote.host, trio.current_time())
            if delay:
                await trio.sleep(delay)
        stream = await self.tls.secured(flow, raw)
        if not flow.was_accepted:
            self.connections.alias(flow, flow.remote)  # good for the other names of that server, too (RFC 5923 §8.1)
        return stream, stream.send_now

    def receiver(self, flow: StreamFlow) -> Receiver:
        """What takes the messages; from a client that may prove its names, also the wish to be reached this way."""
        return self._receive_and_alias if flow.was_accepted and self.tls.files.client != "never" else self.receive

    def _receive_and_alias(self, data: bytes, flow: Flow) -> None:
        if b"alias" in data and flow.names and isinstance(flow, StreamFlow):
            port = advertised_port(data)
            if port is not None:
                self.connections.alias(flow, flow.remote._replace(port=port))
        self.receive(data, flow)


def advertised_port(data: bytes) -> int | None:
    """The port in the topmost Via of a request whose sender takes requests on the connection it came by, too.

    None where it does not say so by `alias`, or it is no request (RFC 5923 §8.2).
    """
    try:
        message = parse(data, stream=True)
        via = message.via
    except SipError:
        return None
    if not isinstance(message, Request) or via.transport != "TLS" or via.param("alias") is None:
        return None
    return via.port or DEFAULT_PORTS["TLS"]
