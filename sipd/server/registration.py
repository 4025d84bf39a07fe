"""Carries out Commit: durable first, answered then; asked again on conflict; 503 while the database is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.errors import ServiceUnavailable, StoreAway
from sipd.hop import RELIABLE, Way
from sipd.rows import DropBinding, PutBinding
from sipd.server.answer import answer, local_response, refusal
from sipd.store import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.core.decision import Commit
    from sipd.core.inquiry import Inquiry
    from sipd.hop import Hop
    from sipd.net import Network
    from sipd.rows import Change
    from sipd.server.house import House
    from sipd.transaction import ServerTransaction


Key = tuple[str, str, str]
"""What tells a binding from all others: address-of-record, URI and key."""


class Pins:
    """Connections that live bindings came over: they may idle for as long as these hold (T27, T58)."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._hops: dict[Key, Hop] = {}  # of each binding
        self._bindings: dict[Hop, set[Key]] = {}  # the other way round

    def heed(self, changes: Sequence[Change]) -> None:
        """Told by the cache of every change that is committed."""
        for change in changes:
            if isinstance(change, PutBinding):
                binding = change.binding
                key = (binding.aor, binding.uri, binding.key)
                hop = Way.from_text(binding.received).remote if binding.received else None
                if self._hops.get(key) != hop:
                    self._unpin(key)
                if hop is not None and hop.transport in RELIABLE:
                    self._hops[key] = hop
                    self._bindings.setdefault(hop, set()).add(key)
                    self._network.pin(hop)
            elif isinstance(change, DropBinding) and self._hops:
                self._unpin((change.aor, change.uri, change.key))

    def _unpin(self, key: Key) -> None:
        hop = self._hops.pop(key, None)
        if hop is None:
            return
        sharing = self._bindings[hop]
        sharing.discard(key)
        if not sharing:  # another user's binding may be on the same connection
            del self._bindings[hop]
            self._network.pin(hop, False)


RETRY_AFTER: Final = (("Retry-After", "10"),)


def commit(house: House, server: ServerTransaction, inquiry: Inquiry, decision: Commit) -> None:
    """Queue the changes; the 200 leaves when they are on disk (§10.3 step 8, P1)."""
    request, response = inquiry.request, decision.response

    def done(fault: Exception | None) -> None:
        if fault is None:
            said = local_response(
                house.seal, request, response.status, response.reason, response.headers, response.body
            )
            status = response.status
        elif isinstance(fault, StoreAway):
            status = 503
            said = local_response(house.seal, request, 503, "Database Unavailable", RETRY_AFTER)
        elif isinstance(fault, Refused):  # the user was removed while his REGISTER waited
            status = 404
            said = local_response(house.seal, request, 404)
        else:
            house.log.event("commit_failed", aor=decision.reads, kind=type(fault).__name__, text=fault)
            status = 500
            said = local_response(house.seal, request, 500, "Not Stored", RETRY_AFTER)
        answer(house, server, said)
        house.explain.keep(inquiry.wall, request, inquiry.source, status, inquiry.trace)

    try:
        house.writer.submit(decision.changes, decision.reads, done)
    except ServiceUnavailable as fault:
        answer(house, server, refusal(house.seal, request, fault))
