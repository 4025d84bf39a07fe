"""Every socket of the server behind one face: what dispatch, branches and startup use (§18)."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError
from sipd.hop import SECURE
from sipd.net.addresses import WILDCARDS, Unreachable, family_of, far_end, source_toward
from sipd.net.base import Later, unheard, untold
from sipd.net.connections import ROOM, Connections, Room
from sipd.net.listener import StreamListener, TlsListener
from sipd.net.places import Places
from sipd.net.stream import PATIENCE, Patience, StreamFlow
from sipd.net.udp import UdpFlow, UdpListener
from sipd.net.websocket import SecureWebSocketListener, WebSocketListener
from sipd.recent import Recent

if TYPE_CHECKING:
    from sipd.hop import Flow, Hop, Way
    from sipd.net.base import Event, FlowFailed, Receiver, Tap
    from sipd.net.tls import Tls

Listener = UdpListener | StreamListener

TRANSPORTS: Final[dict[str, type[UdpListener] | type[StreamListener]]] = {
    "UDP": UdpListener,
    "TCP": StreamListener,
    "TLS": TlsListener,
    "WS": WebSocketListener,
    "WSS": SecureWebSocketListener,
}
"""A row per transport that can be listened on; its default port is in `sipd.hop`."""

REFRESH: Final = 60.0
"""Seconds between looks at which addresses the machine has."""

MAX_ROUTES: Final = 4096


class Flows:
    """All listeners, all connections: a `sipd.net.base.Network` on real sockets.

    Set `receive`, `on_failed` and, if wanted, `on_event` before `run`; `tap`
    at any time. `tls` is needed where there are listeners for it.
    """

    def __init__(
        self,
        receive: Receiver = unheard,
        *,
        room: Room = ROOM,
        patience: Patience = PATIENCE,
        tls: Tls | None = None,
    ) -> None:
        self.receive = receive
        self.tls = tls
        self.on_failed: FlowFailed = untold
        self.connections = Connections(room, patience)
        self.connections.on_failed = self._tell
        self._listeners: list[Listener] = []
        self._places = Places()
        self._later = Later()
        self._routes: Recent[tuple[str, str], Listener] = Recent(MAX_ROUTES)
        self._tap: Tap | None = None

    @property
    def listening(self) -> list[Hop]:
        """Where we listen, with the real ports, in the order the listeners were added."""
        return [listener.hop for listener in self._listeners]

    @property
    def tap(self) -> Tap | None:
        """Is shown every message in and out while it is set (`-d net`)."""
        return self._tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._tap = self.connections.tap = tap
        for listener in self._listeners:
            if isinstance(listener, UdpListener):
                listener.tap = tap

    @property
    def on_event(self) -> Event:
        """Is told of connections closed or refused, and of descriptors used up."""
        return self.connections.on_event

    @on_event.setter
    def on_event(self, on_event: Event) -> None:
        self.connections.on_event = on_event

    def listen(self, hop: Hop, sent_by_host: str | None = None) -> Hop:
        """Opens a listener there; returns the Hop with its real port. Raises SetupError (T102)."""
        make = TRANSPORTS.get(hop.transport)
        if make is None:
            raise SetupError(f"{hop}: {hop.transport} is no transport known here", "Use udp, tcp, tls, ws or wss")
        listener = make(hop, sent_by_host=sent_by_host)
        if isinstance(listener, TlsListener):
            if self.tls is None:
                raise SetupError(f"{hop}: there is no certificate", "Name one in tls_certificate")
            listener.tls = self.tls
        listener.bind()
        self.add_listener(listener)
        return listener.hop

    def add_listener(self, listener: Listener) -> None:
        """Takes in a listener that is bound; to be called before `run`."""
        self._listeners.append(listener)
        self._places.add(listener.hop)
        if listener.sent_by_host is not None:
            self._places.add_name(listener.sent_by_host)
        if isinstance(listener, UdpListener):
            listener.tap = self._tap
            listener.on_failed = self._tell
            listener.on_event = self._say
        else:
            listener.connections = self.connections

    def add_name(self, host: str) -> None:
        """Says that a host name means us, at every port we listen on."""
        self._places.add_name(host)

    @property
    def has_tls(self) -> bool:
        """Whether one of our listeners takes TLS."""
        return any(listener.hop.transport in SECURE for listener in self._listeners)

    def is_ours(self, host: str, port: int | None) -> bool:
        """Whether this host and port (None: the default one) name one of our listeners."""
        return self._places.is_ours(host, port)

    def to(self, hop: Hop, near: Flow | None = None) -> Flow:
        """The flow to `hop`, at once; see `Network.to`. Raises Unreachable."""
        hop = far_end(hop) if hop.name else hop
        if near is not None and near.remote == hop and not near.closed:
            return near
        if hop.transport != "UDP":
            open_flow = self.connections.find(hop)
            if open_flow is not None:
                return open_flow
        elif type(near) is UdpFlow and near.listener.family == family_of(hop.host) and not near.closed:
            return near.listener.flow_to(hop.host, hop.port)
        listener = self._listener_toward(hop, near)
        if isinstance(listener, UdpListener):
            return listener.flow_to(hop.host, hop.port)
        return listener.flow_to(hop.host, hop.port, hop.name)

    def known(self, hop: Hop) -> Flow | None:
        """The open connection to `hop`, if there is one."""
        return self.connections.find(far_end(hop) if hop.name else hop)

    def on(self, way: Way) -> Flow | None:
        """The flow that this means, if it is still there; from a datagram socket it always is."""
        near = way.near
        if way.remote.transport != "UDP":
            flow = self.connections.find(way.remote)
            return flow if flow is not None and near in (None, flow.near) else None
        family = family_of(way.remote.host)
        for listener in self._listeners:
            fits = isinstance(listener, UdpListener) and listener.family == family and not listener.closed
            if fits and near in (None, listener.hop):
                with suppress(Unreachable):  # what an old row says is no address of this socket's family
                    return listener.flow_to(way.remote.host, way.remote.port)
        return None

    def finish(self, flow: Flow) -> None:
        """Take no further message from this connection, and end it once all is sent; nothing for datagrams."""
        if isinstance(flow, StreamFlow):
            flow.finish()

    def pin(self, hop: Hop, pinned: bool = True, idle: float = inf) -> None:
        """A live binding came over the connection to `hop`, or (False) none does any more."""
        flow = self.connections.find(hop)
        if flow is not None:
            flow.pin(pinned, idle)

    def _listener_toward(self, hop: Hop, near: Flow | None) -> Listener:
        """The listener to send from: that of `near`'s address, else the one the system would choose."""
        family = family_of(hop.host)
        fitting = [
            listener
            for listener in self._listeners
            if listener.hop.transport == hop.transport and listener.family == family and not listener.closed
        ]
        if not fitting:
            raise Unreachable(f"No {hop.transport} Listener")
        if len(fitting) == 1:
            return fitting[0]
        wanted = None if near is None else near.near.host
        for listener in fitting:
            if listener.hop.host == wanted:
                return listener
        return self._usual_listener(hop, fitting)

    def _usual_listener(self, hop: Hop, fitting: list[Listener]) -> Listener:
        listener = self._routes.get((hop.transport, hop.host))
        if listener is None or listener.closed:
            source = source_toward(hop.host)
            by_host = {listener.hop.host: listener for listener in reversed(fitting)}
            wildcard = next((listener for listener in fitting if listener.hop.host in WILDCARDS), fitting[0])
            listener = by_host.get(source or "", wildcard)
            self._routes.put((hop.transport, hop.host), listener)
        return listener

    def _tell(self, flow: Flow) -> None:
        self._later.call(lambda: self.on_failed(flow))

    def _say(self, event: str, hop: Hop, detail: str) -> None:
        self.on_event(event, hop, detail)

    def gauges(self) -> dict[str, int]:
        """Counts for the metrics, by name."""
        udp = [listener for listener in self._listeners if isinstance(listener, UdpListener)]
        return {
            "connections": len(self.connections),
            "connections_refused": self.connections.refused,
            "sends_dropped": self.connections.dropped + sum(listener.dropped for listener in udp),
            "sends_failed": sum(listener.failures for listener in udp),
            "datagrams_lost_in_kernel": sum(listener.lost_in_kernel() for listener in udp),
        }

    def close(self) -> None:
        """Gives all ports back: for a server that won't `run`, or that drains."""
        for listener in self._listeners:
            listener.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listens until cancelled; a listener that fails ends it with its exception."""
        async with trio.open_nursery() as nursery:  # the listeners; with them every connection
            nursery.start_soon(self._later.run)
            nursery.start_soon(self._refresh)
            for listener in self._listeners:
                listener.receive = self.receive
                await nursery.start(listener.run)
            task_status.started()

    async def _refresh(self) -> None:
        while True:
            await trio.sleep(REFRESH)
            self._places.refresh()
