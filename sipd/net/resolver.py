"""URI -> Hops in the order to try: numeric at once, names through the hosts file and DNS, never blocking (RFC 3263).

A name without port and transport is asked for as NAPTR, then SRV, then A and
AAAA; with a transport as SRV first, with a port as A and AAAA only. The pure
rules are in `locating.py`, the order of the questions is in `locator.py`.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from sipd.hop import WEB
from sipd.net.addresses import ENDS_IN_NUMBER, Unreachable
from sipd.net.dead import DeadHops
from sipd.net.dns import FAILED_TTL, Dns, NoAnswer
from sipd.net.enum import Listed, Number, Query
from sipd.net.locating import MAX_HOPS, PREFERRED, Found, Service, Sought, in_order, numeric_hop, sought
from sipd.net.locator import Locator
from sipd.net.lookups import Lookups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipd.hop import Hop
    from sipd.message import Uri

TIMEOUT: Final = 3.0
"""Seconds for one URI, however many questions it takes (T110)."""

MAX_LOOKUPS: Final = 64
"""URIs looked up at a time; more wait for their turn, within their TIMEOUT."""

STALE: Final = 86400.0
"""Seconds for which an answer is better than none after its time, while no name server answers (RFC 8767)."""


class Resolver:
    """Finds the Hops of URIs, and remembers them for as long as DNS allows.

    `listening` says where we listen, so by which transports and address
    families we can send; without it that is UDP and TCP, of both families.
    `dead` is told by branches which hops have failed: they come last.
    """

    def __init__(
        self,
        *,
        listening: Callable[[], Iterable[Hop]] | None = None,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
        nameserver: tuple[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self.dead = DeadHops(clock)
        self.dns = Dns(resolv_conf=resolv_conf, hosts=hosts, nameserver=nameserver, clock=clock)
        self.limit = trio.CapacityLimiter(MAX_LOOKUPS)
        self._listening = listening
        self._clock = clock
        self._chance = chance or random.Random()
        self._lookups: Lookups[Sought, Found] = Lookups(self._look_up, clock)
        self._numbers: Lookups[Number, Listed] = Lookups(self._look_up_number, clock)

    @property
    def lookups(self) -> int:
        """Names looked up so far, for the metrics."""
        return self._lookups.count

    @property
    def remembered(self) -> int:
        """Answers that are kept, of names and of numbers."""
        return len(self._lookups) + len(self._numbers)

    @property
    def transports(self) -> tuple[str, ...]:
        """The transports we can open a way by, in the order we like them."""
        if self._listening is None:
            return ("UDP", "TCP")
        ours = {hop.transport for hop in self._listening()}
        return tuple(transport for transport in PREFERRED if transport in ours)

    def now(self, uri: Uri, steady: str = "") -> list[Hop] | None:
        """The Hops of `uri` in the order to try, without waiting; None when `find` has to be awaited.

        Where servers share the load by chance, `steady` decides: the same text, the same order (RFC 3263 §4.4).
        """
        hop = numeric_hop(uri)  # no other than a SIP URI has a host
        if hop is not None:
            return [hop]
        if not uri.is_sip:
            return None
        found = self._lookups.known(sought(uri))
        return None if found is None else self._in_order(found, steady) or None

    async def find(self, uri: Uri, steady: str = "") -> list[Hop]:
        """The Hops of `uri` in the order to try. Raises Unreachable (503) when there are none (RFC 3263 §4.3)."""
        hops = self.now(uri, steady)
        if hops is None:
            place = sought(uri)
            if not uri.is_sip or ENDS_IN_NUMBER.fullmatch(place.host):
                raise Unreachable("Not an Address")
            if uri.transport in WEB or place.host.endswith(".invalid"):
                raise Unreachable("No Connection Open")  # a browser: by its own connection or not at all (RFC 7118 §5)
            hops = self._in_order(await self._lookups.get(place), steady)
        if not hops:
            raise Unreachable("Next Hop Not Found")
        return hops

    def _in_order(self, found: Found, steady: str) -> list[Hop]:
        chance = random.Random(steady) if steady else self._chance
        hops = [hop for service in in_order(found.services, chance) for hop in service.hops]
        return self.dead.last(list(dict.fromkeys(hops)))[:MAX_HOPS]

    async def listed(self, number: str, domain: str) -> tuple[str, ...]:
        """The sip and sips URIs that a number (`+` and digits) is known under in that domain (RFC 6116).

        None when there are none, or nobody says within TIMEOUT.
        """
        return (await self._numbers.get(Number(number, domain))).uris

    async def _look_up_number(self, number: Number, old: Listed | None) -> Listed:
        self.dns.recheck()
        query = Query(self.dns, number, self._clock)
        with trio.move_on_after(TIMEOUT):  # all questions for this number, and the wait for its turn
            async with self.limit:
                return await query.run()
        return query.found()._replace(expires=self._clock() + FAILED_TTL)

    # --- asking ------------------------------------------------------------------------------

    async def _look_up(self, place: Sought, old: Found | None) -> Found:
        self.dns.recheck()
        found: Found | None = None
        with trio.move_on_after(TIMEOUT):  # all questions for this URI, and the wait for its turn
            async with self.limit:
                try:
                    found = await Locator(self.dns, place, self.transports, self._clock).locate()
                except NoAnswer:
                    found = None
        if found is not None:
            return found._replace(services=self._reachable(found.services))
        now = self._clock()
        stale = old is not None and now - old.expires < STALE
        return Found(old.services if old is not None and stale else (), now + FAILED_TTL)

    def _reachable(self, services: tuple[Service, ...]) -> tuple[Service, ...]:
        """What we can send to: by a transport and an address family that we listen on."""
        if self._listening is None:
            return services
        ours = {(hop.transport, ":" in hop.host) for hop in self._listening()}
        return tuple(
            service._replace(hops=hops)
            for service in services
            if (hops := tuple(hop for hop in service.hops if (hop.transport, ":" in hop.host) in ours))
        )
