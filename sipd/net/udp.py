"""UDP: one socket, drained without waiting, and a Flow per far end (§18)."""

from __future__ import annotations

import socket
import sys
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import trio

from sipd.hop import Hop
from sipd.net import stun
from sipd.net.addresses import WILDCARDS, bind_failure, family_of, host_port, primary_address, unicast
from sipd.net.base import unheard, unsaid, untold
from sipd.net.icmp import ask_for_errors, errors_of
from sipd.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.net.base import Event, FlowFailed, Receiver, Tap

MAX_TURN: Final = 64
"""Datagrams taken in one turn; then the other tasks have theirs."""

LONGEST_TURN: Final = 0.01
"""Seconds after which the other tasks have theirs, however few datagrams that were: some take long (T122)."""

HELD: Final = 16
"""Datagrams taken before what they call for is sent: a millisecond of work."""

RECEIVE_BUFFER: Final = 4 << 20
"""Bytes the kernel is asked to keep for us while we are busy (T99)."""

MAX_FLOWS: Final = 16384
"""Far ends whose Flow is kept at hand (up to twice as many for a while)."""

MAX_WAITING: Final = 1024
"""Datagrams kept while the kernel takes no more; further ones are lost and counted."""

WATCH: Final = 1.0
"""Seconds between looks at what the kernel has dropped."""

MAX_REFUSALS: Final = 50
"""Flows told as failed in one second because ICMP said so."""

FIRST_OF_SIP: Final = 0x20
"""No SIP message begins with a lower byte, save the line ends before it (§7.5); STUN begins with 0."""

SHORTEST: Final = 20
"""No SIP message is shorter; what is, is a phone's keep-alive (T30)."""

Address = tuple[str, int] | tuple[str, int, int, int]

_SO_RCVBUFFORCE = 33  # Linux; needs CAP_NET_ADMIN
_SO_MEMINFO, _DROPS = 55, 8  # Linux: a list of figures, and the place of this one in it


class UdpFlow:
    """The way to one UDP address from one socket of ours."""

    __slots__ = ("_address", "_sendto", "listener", "near", "remote", "sent_by")

    reliable: Final = False
    names: Final[tuple[str, ...]] = ()
    needs_length: Final = False

    def __init__(self, listener: UdpListener, address: Address, sendto: Callable[[bytes, Address], int]) -> None:
        self.remote = Hop("UDP", address[0].partition("%")[0], address[1])
        self.sent_by = listener.sent_by
        self.near = listener.hop  # where our socket is bound
        self.listener = listener
        self._address = address
        self._sendto = sendto

    def __repr__(self) -> str:
        return f"<UdpFlow {self.listener.hop} to {self.remote}>"

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
        except OSError:
            if self.listener.read_errors():  # it was about another datagram, and hit the first to come along
                if not self.send_again(data):
                    self.listener.wait_to_send(data, self)
            else:
                self.listener.send_failed(self)

    def send_again(self, data: bytes) -> bool:
        """Whether a datagram that had to wait is now gone, or known not to be sendable."""
        try:
            self._sendto(data, self._address)
        except BlockingIOError:
            return False
        except OSError:
            self.listener.send_failed(self)
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
        self.on_event: Event = unsaid
        self._refusals = MAX_REFUSALS  # of which flows may still be told in this second
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
            ask_for_errors(ours)
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
                nursery.start_soon(self._count_losses)
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
        began = monotonic()
        for turn in range(MAX_TURN // HELD):
            held: list[tuple[UdpFlow, bytes]] = []
            self.held = held
            try:
                more = self._take(ours, turn == 0)
            finally:
                self.held = None
                for flow, data in held:
                    flow.send_now(data)
            if not more or monotonic() - began > LONGEST_TURN:
                return

    def _take(self, ours: socket.socket, woken: bool) -> bool:
        """Takes up to HELD datagrams; False when no more are there. `woken`: there was something to wake us."""
        recvfrom, receive, flows = ours.recvfrom, self.receive, self._flows
        for number in range(HELD):
            try:
                data, address = recvfrom(65535)
            except BlockingIOError:
                if woken and not number:
                    self.read_errors()
                return False
            except OSError:  # an ICMP error of something sent before: the next datagram may be there
                self.read_errors()
                continue
            if len(data) < SHORTEST or (data[0] < FIRST_OF_SIP and self._is_keep_alive(data, address)):
                continue
            flow = flows.get(address)
            if flow is None:
                flow = self._new_flow(address)
            if self.tap is not None:
                self.tap("in", flow, data)
            receive(data, flow)
        return True

    def _is_keep_alive(self, data: bytes, address: Address) -> bool:
        """Whether this is no message: line ends, NULs (T30), or STUN, which is answered (RFC 5626 §8)."""
        if not data.strip(b"\r\n\0"):
            return True
        said = stun.answer(data, address[0].partition("%")[0], address[1])
        if said is not None and self._socket is not None:
            with suppress(OSError):  # lost, as any datagram may be: the phone asks again
                self._socket.sendto(said, address)
        return data[0] == 0  # STUN that asks for nothing we have, or no STUN: nobody to tell

    def read_errors(self) -> bool:
        """Whether ICMP had something to say of what we sent; the flows that lead nowhere are told as failed (§18.4).

        Anybody can send ICMP, so only so many are heeded in a second; what is
        not is left to the timers.
        """
        found = False
        if self._socket is not None and not self.closed:
            for error in errors_of(self._socket, MAX_TURN):
                found = True
                flow = self._flows.get(error.address)
                if flow is None or not error.is_final or error.quoted[:8] == b"SIP/2.0 " or not self._refusals:
                    continue
                self._refusals -= 1
                self.send_failed(flow)
        return found

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

    def send_failed(self, flow: UdpFlow) -> None:
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

    async def _count_losses(self) -> None:
        """Says once a second what the kernel has dropped meanwhile (T99)."""
        known = 0
        while True:
            await trio.sleep(WATCH)
            self._refusals = MAX_REFUSALS
            lost = self.lost_in_kernel()
            if lost > known:
                self.on_event("datagrams_lost", self.hop, f"n={lost - known} all={lost}")
            known = lost

    def lost_in_kernel(self) -> int:
        """Datagrams that the kernel dropped because we were too slow, since `bind` (T99); 0 if it does not say."""
        if self._socket is None or self.closed:
            return 0
        try:
            figures = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))
        except OSError:  # no Linux, or one before 4.12
            return 0
        return int.from_bytes(figures[4 * _DROPS :], sys.byteorder)


def _ask_for_buffer(ours: socket.socket) -> None:
    try:
        ours.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:  # not privileged, or no Linux: as much as the limit allows
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
