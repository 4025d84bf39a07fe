"""A network in a dict: listeners at any address, for tests and simulations on a virtual clock.

Whole messages go from flow to flow in a later turn, in the order they were
sent. Real sockets look idle to a virtual clock; this does not.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from sipd.hop import RELIABLE, SECURE, WEB, Flow, Hop, Way, is_default
from sipd.net.addresses import Unreachable, family_of, far_end, host_port, numeric
from sipd.net.base import unheard, untold
from sipd.net.udp import SHORTEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.net.base import FlowFailed, Receiver

EPHEMERAL: Final = 49152
"""The first port given to the near end of a connection that we open."""


class Sent(NamedTuple):
    """One message as the network saw it leave."""

    time: float  # of Trio's clock
    source: Hop
    target: Hop
    data: bytes
    lost: bool


def _never(source: Hop, target: Hop, data: bytes) -> bool:
    return False


class MemoryFlow:
    """The way to one far end in memory: a UDP address, or one end of a connection."""

    __slots__ = (
        "_closed",
        "far",
        "listener",
        "local",
        "names",
        "near",
        "needs_length",
        "reliable",
        "remote",
        "sent_by",
    )

    def __init__(self, listener: MemoryListener, local: Hop, remote: Hop) -> None:
        self.listener = listener
        self.local = local
        self.remote = remote
        self.near = listener.hop  # where we listen, or opened it from
        self.sent_by = listener.sent_by
        self.reliable = remote.transport in RELIABLE  # it is a connection
        self.needs_length = self.reliable and remote.transport not in WEB  # in a WebSocket each is by itself
        self.names: tuple[str, ...] = ()  # what a test says that its certificate proves
        self.far: MemoryFlow | None = None  # the other end of a connection, once it is open
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryFlow {self.local} to {self.remote}>"

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent here any more."""
        return self._closed or self.listener.closed

    def send(self, data: bytes) -> None:
        """Has `data` received by the far end in a later turn, unless it gets lost."""
        if not self.closed:
            self.listener.network.carry(self, data)

    def close(self) -> None:
        """Ends a connection; both ends hear of it in a later turn."""
        if not self._closed:
            self._closed = True
            self.listener.network.later(self._ended)

    def fail(self) -> None:
        """What a broken link does: a connection is over, a datagram flow stays; the near end is told."""
        if self.reliable:
            self.close()
        else:
            self.listener.on_failed(self)

    def _ended(self) -> None:
        self.listener.forget(self)
        self.listener.on_failed(self)
        if self.far is not None:
            self.far.close()


class MemoryListener:
    """One address in memory where `receive` gets what is sent there."""

    def __init__(self, network: MemoryNetwork, hop: Hop, receive: Receiver, sent_by_host: str | None = None) -> None:
        self.network = network
        self.hop = hop
        self.receive = receive
        self.on_failed: FlowFailed = untold
        self.sent_by = host_port(sent_by_host or hop.host, hop.port)
        self.closed = False
        self._flows: dict[Hop, MemoryFlow] = {}

    def flow_to(self, host: str, port: int, name: str = "") -> MemoryFlow:
        """The flow from here to that address: kept for datagrams, reused or opened for a connection.

        Who is reached proves whatever `name` is asked for.
        """
        known = self.known(Hop(self.hop.transport, host, port, name))
        if known is not None:
            return known
        remote = Hop(self.hop.transport, numeric(host) or host, port, name)
        return self.known(remote) or self._open(remote)

    def known(self, remote: Hop) -> MemoryFlow | None:
        """The flow to `remote` that is open already."""
        flow = self._flows.get(remote)
        return None if flow is None or flow.closed else flow

    def _open(self, remote: Hop) -> MemoryFlow:
        connection = remote.transport in RELIABLE
        local = self.hop._replace(port=self.network.next_port()) if connection else self.hop
        flow = self._flows[remote] = MemoryFlow(self, local, remote)
        if connection:
            flow.names = (remote.name,) if remote.name else ()
            self.network.later(lambda: self.network.connect(flow))
        return flow

    def accept(self, far: MemoryFlow) -> None:
        """Takes a connection opened by `far`."""
        flow = self._flows[far.local] = MemoryFlow(self, self.hop, far.local)
        flow.far, far.far = far, flow

    def forget(self, flow: MemoryFlow) -> None:
        """Drops a flow that has ended."""
        if self._flows.get(flow.remote) is flow:
            del self._flows[flow.remote]

    def close(self) -> None:
        """Takes the listener off the network and ends its connections."""
        self.closed = True
        self.network.places.pop(self.hop, None)
        for flow in list(self._flows.values()):
            if flow.reliable:
                flow.close()


class MemoryNetwork:
    """The network itself. `sent` has every message in order; set `loss` and `unreachable` to make it a bad one.

    `loss(source, target, data)` says of each datagram whether it gets lost;
    a Hop in `unreachable` fails what is sent or opened to it, and the sender
    is told; `latency` is how many seconds every message takes.
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.places: dict[Hop, MemoryListener] = {}
        self.sent: list[Sent] = []
        self.loss: Callable[[Hop, Hop, bytes], bool] = _never
        self.unreachable: set[Hop] = set()
        self.latency = latency
        self._due: deque[tuple[float, Callable[[], None]]] = deque()
        self._lot = trio.lowlevel.ParkingLot()
        self._turn = trio.Lock()
        self._port = EPHEMERAL - 1

    def listener(
        self, transport: str, host: str, port: int, receive: Receiver = unheard, *, sent_by_host: str | None = None
    ) -> MemoryListener:
        """A new listener; ValueError when there is one at that address."""
        hop = Hop(transport, numeric(host) or host, port)
        if hop in self.places:
            raise ValueError(f"{hop} is in use")
        made = self.places[hop] = MemoryListener(self, hop, receive, sent_by_host)
        return made

    def host(self, *hops: Hop, sent_by_host: str | None = None) -> MemoryHost:
        """One server's Network, listening at these places."""
        made = MemoryHost(self)
        for hop in hops:
            made.listen(hop, sent_by_host)
        return made

    def next_port(self) -> int:
        """A port that no connection has yet."""
        self._port += 1
        return self._port

    def later(self, function: Callable[[], None]) -> None:
        """Has `function` called in a later turn, after `latency`."""
        self._due.append((trio.current_time() + self.latency, function))
        self._lot.unpark()

    def carry(self, flow: MemoryFlow, data: bytes) -> None:
        """Takes one message on its way."""
        lost = not flow.reliable and self.loss(flow.local, flow.remote, data)
        there = flow.remote._replace(name="") if flow.remote.name else flow.remote
        self.sent.append(Sent(trio.current_time(), flow.local, there, data, lost))
        if there in self.unreachable:
            self.later(flow.fail)
        elif not lost:
            self.later(lambda: self._deliver(flow, data))

    def connect(self, flow: MemoryFlow) -> None:
        """Opens the connection that `flow` is the near end of, or fails it."""
        place = flow.remote._replace(name="")
        there = self.places.get(place)
        if flow.closed:
            return
        if there is None or place in self.unreachable:
            flow.fail()
        else:
            there.accept(flow)

    def _deliver(self, flow: MemoryFlow, data: bytes) -> None:
        if flow.reliable:
            if flow.far is not None and not flow.far.closed:
                flow.far.listener.receive(data, flow.far)
            return
        there = self.places.get(flow.remote)
        if there is not None and len(data) >= SHORTEST:
            there.receive(data, there.flow_to(flow.local.host, flow.local.port))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carries messages until cancelled. Of several that run, one does the work and the next takes over."""
        task_status.started()
        async with self._turn:
            while True:
                await trio.lowlevel.checkpoint()
                if not self._due:
                    await self._lot.park()
                for _ in range(len(self._due)):  # what these send is for the next turn
                    when, function = self._due[0]
                    if when > trio.current_time():
                        await trio.sleep_until(when)
                    self._due.popleft()
                    function()


class MemoryHost:
    """One server's view of a MemoryNetwork: a `sipd.net.base.Network`."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.receive: Receiver = unheard
        self.on_failed: FlowFailed = untold
        self._listeners: list[MemoryListener] = []
        self._places: set[tuple[str, int]] = set()
        self._names: set[str] = set()

    @property
    def listening(self) -> list[Hop]:
        """Where we listen."""
        return [listener.hop for listener in self._listeners]

    def listen(self, hop: Hop, sent_by_host: str | None = None) -> Hop:
        """Listens at `hop` too."""
        listener = self.network.listener(*hop[:3], self._received, sent_by_host=sent_by_host)
        listener.on_failed = self._failed
        self._listeners.append(listener)
        self._places.add((listener.hop.host, hop.port))
        self._places.update((name, hop.port) for name in self._names)
        if sent_by_host is not None:
            self.add_name(sent_by_host)
        return hop

    def add_name(self, host: str) -> None:
        """Says that a host name means us, at every port we listen on."""
        self._names.add(host.lower())
        self._places.update((host.lower(), hop.port) for hop in self.listening)

    @property
    def has_tls(self) -> bool:
        """Whether one of our listeners takes TLS."""
        return any(listener.hop.transport in SECURE for listener in self._listeners)

    def gauges(self) -> dict[str, int]:
        """None: what is in memory is seen in tests."""
        return {}

    def is_ours(self, host: str, port: int | None) -> bool:
        """Whether this host and port name one of our listeners."""
        if (host, port) in self._places:
            return True
        host = numeric(host) or host.lower()
        if port is None:
            return any((host, hop.port) in self._places for hop in self.listening if is_default(hop))
        return (host, port) in self._places

    def to(self, hop: Hop, near: Flow | None = None) -> MemoryFlow:
        """The flow to `hop`, from the listener of `near` when that fits. Raises Unreachable."""
        hop = far_end(hop) if hop.name else hop
        if isinstance(near, MemoryFlow) and not near.closed:
            if near.remote == hop:
                return near
            if hop.transport == "UDP" == near.near.transport and family_of(hop.host) == family_of(near.near.host):
                return near.listener.flow_to(hop.host, hop.port)
        fitting = [
            listener
            for listener in self._listeners
            if listener.hop.transport == hop.transport and family_of(listener.hop.host) == family_of(hop.host)
        ]
        if not fitting:
            raise Unreachable(f"No {hop.transport} Listener")
        for listener in fitting:
            flow = listener.known(hop)
            if hop.transport in RELIABLE and flow is not None:
                return flow
        if hop.transport in WEB:
            raise Unreachable("No WebSocket Open")
        from_near = [listener for listener in fitting if isinstance(near, MemoryFlow) and near.listener is listener]
        return (from_near or fitting)[0].flow_to(hop.host, hop.port, hop.name)

    def known(self, hop: Hop) -> MemoryFlow | None:
        """The open connection to `hop`, if there is one."""
        hop = far_end(hop)
        flows = (listener.known(hop) for listener in self._listeners)
        return next((flow for flow in flows if flow is not None), None)

    def on(self, way: Way) -> Flow | None:
        """The flow that this means, if it is still there."""
        for listener in self._listeners:
            if listener.hop.transport == way.remote.transport and way.near in (None, listener.hop):
                flow = listener.known(way.remote)
                if flow is None and way.remote.transport not in RELIABLE:
                    flow = listener.flow_to(way.remote.host, way.remote.port)
                if flow is not None:
                    return flow
        return None

    def finish(self, flow: Flow) -> None:
        """End this connection; nothing for datagrams."""
        if isinstance(flow, MemoryFlow) and flow.reliable:
            flow.close()

    def pin(self, hop: Hop, pinned: bool = True, idle: float = inf) -> None:
        """Nothing: connections in memory don't idle out."""

    def _received(self, data: bytes, flow: Flow) -> None:
        self.receive(data, flow)

    def _failed(self, flow: Flow) -> None:
        self.on_failed(flow)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listens until cancelled."""
        try:
            await self.network.run(task_status=task_status)
        finally:
            for listener in self._listeners:
                listener.close()
