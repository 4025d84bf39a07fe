"""UDP: one socket, drained without waiting, and a Flow per far end (§18)."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from sipd.hop import Hop
from sipd.net.addresses import WILDCARDS, bind_failure, family_of, host_port, primary_address, unicast
from sipd.net.base import Recent, unheard, untold

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.net.base import FlowFailed, Receiver, Tap

MAX_TURN: Final = 64
"""Datagrams taken in one turn; then the other tasks have theirs."""

HELD: Final = 16
"""Datagrams taken before what they call for is sent: a millisecond of work."""

RECEIVE_BUFFER: Final = 4 << 20
"""Bytes the kernel is asked to keep for us while we are busy (T99)."""

MAX_FLOWS: Final = 16384
"""Far ends whose Flow is kept at hand (up to twice as many for a while)."""

MAX_WAITING: Final = 1024
"""Datagrams kept while the kernel takes no more; further ones are lost and counted."""

SHORTEST: Final = 20
"""No SIP message is shorter; what is, is a phone's keep-alive (T30)."""

Address = tuple[str, int] | tuple[str, int, int, int]

_SO_RCVBUFFORCE = 33  # Linux; needs CAP_NET_ADMIN


class UdpFlow:
    """The way to one UDP address from one socket of ours."""

    __slots__ = ("_address", "_sendto", "listener", "remote", "sent_by")

    reliable: Final = False
    names: Final[tuple[str, ...]] = ()
    needs_length: Final = False

    def __init__(self, listener: UdpListener, address: Address, sendto: Callable[[bytes, Address], int]) -> None:
        self.remote = Hop("UDP", address[0].partition("%")[0], address[1])
        self.sent_by = listener.sent_by
        self.listener = listener
        self._address = address
        self._sendto = sendto

    def __repr__(self) -> str:
        return f"<UdpFlow {self.listener.hop} to {self.remote}>"

    @property
    def near(self) -> Hop:
        """Where our socket is bound."""
        return self.listener.hop

    @property
    def closed(self) -> bool:
        """Whether our socket is gone."""
        return self.listener.closed

    def send(self, data: bytes) -> None:
        """Sends one datagram, at the end of the turn in which datagrams are taken in, else now.

        What the kernel does not take then waits, or is told as failed (§18.4).
        """
        if self.listener.tap is not None:
            self.listener.tap("out", self, data)
        if self.listener.held is not None:
            self.listener.held.append((self, data))
        else:
            self.send_now(data)

    def send_now(self, data: bytes) -> None:
        """Hands one datagram to the kernel."""
        try:
            self._sendto(data, self._address)
        except BlockingIOError:
            self.listener.wait_to_send(data, self)
        except OSError as error:
            self.listener.send_failed(self, error)

    def send_again(self, data: bytes) -> bool:
        """Whether a datagram that had to wait is now gone, or known not to be sendable."""
        try:
            self._sendto(data, self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            self.listener.send_failed(self, error)
        return True


class UdpListener:
    """One UDP socket: gives what comes in to `receive`, and makes the Flows that send from it.

    `hop` has the real port after `bind`. `sent_by_host` is the host our Via
    names; without it that is the address bound to, or for a wildcard the one
    of ours that leads out (§18.1.1). `on_failed` is called from within `send`:
    whoever sets it passes it on in a later turn.
    """

    def __init__(self, hop: Hop, receive: Receiver = unheard, sent_by_host: str | None = None) -> None:
        self.hop = hop
        self.receive = receive
        self.sent_by_host = sent_by_host
        self.family = family_of(hop.host)
        self.sent_by = ""
        self.closed = False
        self.tap: Tap | None = None
        self.on_failed: FlowFailed = untold
        self.held: list[tuple[UdpFlow, bytes]] | None = None  # what is sent at the end of this turn
        self.dropped = 0  # datagrams that could not be kept for sending
        self.failures = 0  # datagrams the kernel refused to send
        self._socket: socket.socket | None = None
        self._flows: Recent[Address, UdpFlow] = Recent(MAX_FLOWS)
        self._waiting: deque[tuple[bytes, UdpFlow]] = deque()
        self._writable = trio.lowlevel.ParkingLot()

    def bind(self) -> None:
        """Opens the socket; raises SetupError with the address when that can't be had (T102)."""
        try:
            ours = socket.socket(self.family, socket.SOCK_DGRAM)
        except OSError as error:
            raise bind_failure(self.hop, error) from error
        try:
            ours.setblocking(False)
            if self.family == socket.AF_INET6:
                ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _ask_for_buffer(ours)
            ours.bind((self.hop.host, self.hop.port))
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
        """Gives the port back; every Flow from here is closed."""
        self.closed = True
        if self._socket is not None:
            if trio.lowlevel.in_trio_run():
                trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Takes datagrams, at most MAX_TURN a turn, until cancelled or closed."""
        if self._socket is None:
            raise RuntimeError("bind() comes before run()")
        try:
            async with trio.open_nursery() as nursery:  # as long as the socket is open
                nursery.start_soon(self._flush, self._socket)
                task_status.started()
                with suppress(trio.ClosedResourceError):
                    while not self.closed:
                        await trio.lowlevel.wait_readable(self._socket)  # always lets the other tasks have a turn
                        self._drain(self._socket)
                nursery.cancel_scope.cancel()
        finally:
            self.close()

    def _drain(self, ours: socket.socket) -> None:
        """Takes what is there, a few datagrams at a time, and sends what these call for.

        To hand a datagram to a sleeping program means to wake it, which costs more
        than all else about sending: so what is to be sent is held for a moment,
        and who was woken by the first finds the others there.
        """
        for _ in range(MAX_TURN // HELD):
            held: list[tuple[UdpFlow, bytes]] = []
            self.held = held
            try:
                more = self._take(ours)
            finally:
                self.held = None
                for flow, data in held:
                    flow.send_now(data)
            if not more:
                return

    def _take(self, ours: socket.socket) -> bool:
        """Takes up to HELD datagrams; False when no more are there."""
        recvfrom, receive, flows = ours.recvfrom, self.receive, self._flows
        for _ in range(HELD):
            try:
                data, address = recvfrom(65535)
            except BlockingIOError:
                return False
            except OSError:  # an ICMP error of something sent before: the next datagram may be there
                continue
            if len(data) < SHORTEST or (data[0] < 0x20 and not data.strip(b"\r\n\0")):
                continue  # a keep-alive
            flow = flows.get(address)
            if flow is None:
                flow = self._new_flow(address)
            if self.tap is not None:
                self.tap("in", flow, data)
            receive(data, flow)
        return True

    def flow_to(self, host: str, port: int) -> UdpFlow:
        """The Flow to a numeric host and port of this socket's family; kept for the next time.

        Raises Unreachable for what is no unicast address.
        """
        address: Address = (host, port) if self.family == socket.AF_INET else (host, port, 0, 0)
        flow = self._flows.get(address)
        if flow is None:
            plain = unicast(host)
            if plain != host:  # the same far end in another spelling
                return self.flow_to(plain, port)
            flow = self._new_flow(address)
        return flow

    def _new_flow(self, address: Address) -> UdpFlow:
        if self._socket is None:
            raise RuntimeError("bind() comes before flow_to()")
        flow = UdpFlow(self, address, self._socket.sendto)
        self._flows.put(address, flow)
        return flow

    def wait_to_send(self, data: bytes, flow: UdpFlow) -> None:
        """Keeps a datagram until the kernel takes it, or loses it when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append((data, flow))
        self._writable.unpark()

    def send_failed(self, flow: UdpFlow, error: OSError) -> None:
        """Tells that a datagram can't be sent there: too large, no route, forbidden (§18.4)."""
        self.failures += 1
        self.on_failed(flow)

    async def _flush(self, ours: socket.socket) -> None:
        while True:
            if not self._waiting:
                await self._writable.park()
            await trio.lowlevel.wait_writable(ours)
            for _ in range(MAX_TURN):
                if not self._waiting or not self._waiting[0][1].send_again(self._waiting[0][0]):
                    break
                self._waiting.popleft()

    def lost_in_kernel(self) -> int:
        """Datagrams that the kernel dropped because we were too slow, since `bind` (T99); 0 if it does not say."""
        if self._socket is None or self.closed:
            return 0
        inode = str(os.fstat(self._socket.fileno()).st_ino)
        try:
            with open("/proc/net/udp6" if self.family == socket.AF_INET6 else "/proc/net/udp") as table:
                rows = [line.split() for line in table]
        except OSError:
            return 0
        return next((int(row[12]) for row in rows if len(row) > 12 and row[9] == inode), 0)


def _ask_for_buffer(ours: socket.socket) -> None:
    try:
        ours.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:  # not privileged, or no Linux: as much as the limit allows
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
