"""How fast one source may do what costs us much: so many at once, then one after another."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from sipd.guard import network_of
from sipd.recent import Recent

HANDSHAKES: Final = 20
"""TLS handshakes a second from one address, once BURST are spent: each takes about a millisecond of the processor."""

BURST: Final = 200
"""TLS handshakes that one address may have at once, as when all phones of an office come back."""

MAX_SOURCES: Final = 4096


class Pace:
    """A leaky bucket for each source: `delay` says how long to wait for one's turn."""

    def __init__(self, rate: float = HANDSHAKES, burst: int = BURST, sources: int = MAX_SOURCES) -> None:
        self._gap = 1 / rate
        self._most = burst * self._gap
        self._empty_at: Recent[str, float] = Recent(sources)

    def delay(self, source: str, now: float) -> float:
        """Seconds until it is the turn of one more; none for this machine itself. Counts it."""
        if ip_address(source).is_loopback:
            return 0.0
        network = network_of(source)
        empty_at = max(self._empty_at.get(network) or now, now) + self._gap
        self._empty_at.put(network, empty_at)
        return max(0.0, empty_at - now - self._most)
