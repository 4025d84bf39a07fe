"""Every stream connection of the server: by far end, counted per source and in all (§18, T58, RFC 5923)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.guard import network_of
from sipd.net.base import unsaid, untold
from sipd.net.pace import Pace
from sipd.net.stream import PATIENCE, Patience, StreamFlow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.hop import Hop
    from sipd.net.base import Event, FlowFailed, Tap


class Room(NamedTuple):
    """How many connections there may be (T58)."""

    total: int = 10_000
    per_source: int = 100  # accepted ones from one address, without those that are pinned


ROOM: Final = Room()
"""The room when nothing else is said."""


def _nobody(host: str) -> bool:
    """The `is_exempt` before somebody is."""
    return False


class Connections:
    """Who is connected. A connection is used for what goes to its far end, whoever opened it (§18.1.1)."""

    def __init__(self, room: Room = ROOM, patience: Patience = PATIENCE) -> None:
        self.room = room
        self.patience = patience
        self.on_failed: FlowFailed = untold
        self.on_event: Event = unsaid
        self.tap: Tap | None = None
        self.origins: frozenset[str] = frozenset()  # from which web pages a WebSocket may be opened; empty: any
        self.is_exempt: Callable[[str], bool] = _nobody  # whether an address may have any number: a peer's
        self.dropped = 0  # messages that a closed or slow connection did not take
        self.refused = 0  # connections that were one too many
        self.handshakes = Pace()
        self._open: set[StreamFlow] = set()
        self._by_remote: dict[Hop, StreamFlow] = {}
        self._aliases: dict[Hop, list[StreamFlow]] = {}  # place -> connections that lead there too (RFC 5923 §5)
        self._places: dict[StreamFlow, Hop] = {}  # the other way round
        self._per_source: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether no further connection may be opened."""
        return len(self._open) >= self.room.total

    def admits(self, source: str) -> bool:
        """Whether one more connection from this address may be accepted; counts those that may not."""
        admitted = not self.is_full and (
            self._per_source[network_of(source)] < self.room.per_source or self.is_exempt(source)
        )
        if not admitted:
            self.refused += 1
        return admitted

    def find(self, remote: Hop) -> StreamFlow | None:
        """The connection to use for what goes to `remote`: that to or from there, or one that may stand in for it."""
        flow = self._by_remote.get(remote)
        if flow is not None and not flow.closed:
            return flow
        return self._stand_in(remote) if remote.name and self._aliases else None

    def alias(self, flow: StreamFlow, place: Hop) -> None:
        """Says that what goes to `place` may go over this connection, for the names that its far end has proved.

        One place for each connection, the first (RFC 5923 §8.1, §8.2, §9.2).
        """
        if flow.names and flow not in self._places:
            place = place._replace(name="")
            self._places[flow] = place
            self._aliases.setdefault(place, []).append(flow)

    def _stand_in(self, remote: Hop) -> StreamFlow | None:
        flows = self._aliases.get(remote._replace(name=""), ())
        return next((flow for flow in flows if remote.name in flow.names and not flow.closed), None)

    def enter(self, flow: StreamFlow, *, accepted: bool) -> None:
        """Takes in a new connection."""
        self._open.add(flow)
        self._by_remote[flow.remote] = flow
        flow.was_accepted = accepted
        if accepted:
            self._count(flow)

    def half_closed(self, flow: StreamFlow) -> None:
        """Sends no more requests there: the peer says nothing more."""
        if self._by_remote.get(flow.remote) is flow:
            del self._by_remote[flow.remote]
        place = self._places.pop(flow, None)
        if place is not None:
            flows = self._aliases[place]
            flows.remove(flow)
            if not flows:
                del self._aliases[place]

    def broke(self, flow: StreamFlow, fault: Exception) -> None:
        """Tells of a fault of ours; the connection ends."""
        self.on_event("fault", flow.remote, f"{type(fault).__name__}: {fault}")

    def pinned(self, flow: StreamFlow) -> None:
        """Leaves a connection with a live binding out of its source's count, or takes it in again."""
        if flow.is_pinned:
            self._uncount(flow)
        elif flow in self._open and flow.was_accepted:
            self._count(flow)

    def ended(self, flow: StreamFlow, why: str) -> None:
        """Forgets a connection and tells that it is gone."""
        self.half_closed(flow)
        self._uncount(flow)
        self._open.discard(flow)
        self.on_event("connection_closed", flow.remote, why)
        self.on_failed(flow)

    def _count(self, flow: StreamFlow) -> None:
        flow.is_counted = True
        self._per_source[network_of(flow.remote.host)] += 1

    def _uncount(self, flow: StreamFlow) -> None:
        if flow.is_counted:
            flow.is_counted = False
            source = network_of(flow.remote.host)
            self._per_source[source] -= 1
            if not self._per_source[source]:
                del self._per_source[source]
