"""The flows that live bindings came over: they may idle, and what a lost one bound is removed (RFC 5626 §6, §7)."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from sipd.core.location import target_of
from sipd.core.tables import Missing
from sipd.errors import ServiceUnavailable
from sipd.hop import RELIABLE, Hop, Way
from sipd.rows import DropBinding, PutBinding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sipd.hop import Flow, Target
    from sipd.net import Network
    from sipd.rows import Binding, Change
    from sipd.server.house import House

Key = tuple[str, str, str]
"""What tells a binding from all others: address-of-record, URI and key."""

EVERYWHERE: Final = ("0.0.0.0", "::")
"""What a listener is bound to that takes connections at every address of its machine."""

AGAIN: Final = 1.0
"""Seconds until a binding that is just being changed is looked at again."""


GRACE: Final = 20.0
"""Seconds that a sign of life may be late (RFC 5626 §4.4, §5.4): for what is on its way."""


class Pins:
    """Which bindings each connection has.

    Datagrams have none: that nobody is there is said by ICMP, which anybody
    can send. It is believed where a request was on its way (`flow_failed`),
    not from out of the blue.
    """

    def __init__(self, network: Network, flow_timer: Callable[[], int]) -> None:
        self._network = network
        self._flow_timer = flow_timer  # what outbound phones are told, in seconds; 0: nothing
        self._told: dict[Key, int] = {}  # what the phones of these bindings were told
        self._hops: dict[Key, Hop] = {}  # the far end of each binding's flow
        self._bindings: dict[Hop, set[Key]] = {}  # the other way round

    def heed(self, changes: Sequence[Change]) -> None:
        """Told by the cache of every change that is committed."""
        for change in changes:
            if isinstance(change, PutBinding):
                self._put(change.binding)
            elif isinstance(change, DropBinding) and self._hops:
                self._unpin((change.aor, change.uri, change.key))

    def lost(self, house: House, flow: Flow) -> None:
        """A connection is gone: what is bound to it is removed at once; a phone with another way keeps its binding."""
        for key in tuple(self._bindings.get(flow.remote, ())):
            drop(house, key, partial(_lives_on, Way(flow.remote, flow.near)))

    def _put(self, binding: Binding) -> None:
        key = (binding.aor, binding.uri, binding.key)
        hop = Way.from_text(binding.received).remote if binding.received else None
        if self._hops.get(key) != hop:
            self._unpin(key)
        if hop is not None and hop.transport in RELIABLE:
            self._hops[key] = hop
            self._bindings.setdefault(hop, set()).add(key)
            self._told.pop(key, None)
            if binding.reg_id and (seconds := self._flow_timer()):
                self._told[key] = seconds
            self._pin(hop)

    def _pin(self, hop: Hop) -> None:
        """It may idle; where all who are bound to it were told to show signs of life, no longer than that."""
        idle = max(self._told.get(key, inf) for key in self._bindings[hop])
        self._network.pin(hop, True, idle + GRACE)

    def _unpin(self, key: Key) -> None:
        hop = self._hops.pop(key, None)
        if hop is None:
            return
        sharing = self._bindings[hop]
        sharing.discard(key)
        self._told.pop(key, None)
        if sharing:  # another user's binding is on the same connection
            self._pin(hop)
        else:
            del self._bindings[hop]
            self._network.pin(hop, False)


def _lives_on(way: Way, binding: Binding) -> bool:
    """Whether nothing but this flow leads to that binding's phone."""
    if not binding.received or not target_of(binding).bound:
        return False
    its = Way.from_text(binding.received)
    return its.remote[:3] == way.remote[:3] and its.near in (None, way.near)


def drop(house: House, key: Key, fits: Callable[[Binding], bool]) -> None:
    """Remove that binding if it still is one that `fits`; looked at again when it is just being changed."""
    aor, uri, name = key
    try:
        bindings = house.tables.settled_bindings(aor)
    except Missing:
        house.transactions.deadlines.call_at(house.now() + AGAIN, partial(drop, house, key, fits))
        return
    if any(binding.uri == uri and binding.key == name and fits(binding) for binding in bindings):
        _submit(house, aor, [DropBinding(aor, uri, name)])


def lost_meanwhile(house: House, way: Way, changes: Sequence[Change]) -> None:
    """These were stored for one who came this way: of a connection that has ended meanwhile nobody will tell."""
    if way.remote.transport not in RELIABLE or house.network.on(way) is not None:
        return
    received = str(way)
    for change in changes:
        if isinstance(change, PutBinding) and change.binding.received == received:
            drop(house, (change.binding.aor, change.binding.uri, change.binding.key), partial(_lives_on, way))


def flow_failed(house: House, target: Target) -> None:
    """The hop that knows the flow says that it is gone, or we do: remove the binding it was of (RFC 5626 §7).

    A connection that another server on the same database has we know nothing about.
    """
    if target.owner and (target.path or target.received is None or may_be_ours(house, target.received)):
        drop(house, (target.owner, target.uri.text, target.key), partial(_leads_to, target))


def may_be_ours(house: House, way: Way) -> bool:
    """Whether that connection was to this server, as far as can be told.

    Where others share the database, `0.0.0.0:5060` may be a listener of any of them: such a binding is left to be
    replaced by its phone, or to expire.
    """
    if not house.tables.shared:
        return True
    return way.near is not None and way.near in house.network.listening and way.near.host not in EVERYWHERE


def _leads_to(target: Target, binding: Binding) -> bool:
    its = target_of(binding)
    return (its.received, its.path) == (target.received, target.path)


def drop_dead(house: House, bindings: Iterable[Binding]) -> None:
    """At a start: take in the bindings there are, less those bound to a connection of our own, which is gone."""
    ours = set(house.network.listening)
    dead: defaultdict[str, list[DropBinding]] = defaultdict(list)
    for binding in bindings:
        if binding.received and target_of(binding).bound:
            remote, near = Way.from_text(binding.received)
            if remote.transport in RELIABLE and near in ours and may_be_ours(house, Way(remote, near)):
                dead[binding.aor].append(DropBinding(binding.aor, binding.uri, binding.key))
    for aor, changes in dead.items():
        _submit(house, aor, changes)


def _submit(house: House, aor: str, changes: Sequence[Change]) -> None:
    try:
        house.writer.submit(changes, aor, _whatever)
    except ServiceUnavailable:
        house.log.event("binding_kept", aor=aor, text="its flow is gone, and the database is busy")


def _whatever(fault: Exception | None) -> None:
    """A binding that could not be removed is found dead again when it is used."""
