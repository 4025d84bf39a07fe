"""One look-up of RFC 3263 §4: which questions are asked for a URI, in which order, and what their answers make.

DNS chooses one transport: what fails by TLS is not tried without it (T94).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from sipd.hop import DEFAULT_PORTS, SECURE, Hop
from sipd.net.addresses import numeric
from sipd.net.dns import FAILED_TTL, NoAnswer
from sipd.net.locating import SRV_NAMES, Found, Service, choices, offered, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sipd.net.dns import Dns, Srv
    from sipd.net.locating import Sought

PATIENCE: Final = 1.0
"""Seconds for NAPTR, and as many for SRV: some name servers choke on them, and may know addresses all the same."""

LONGEST: Final = 3600.0


class Locator:
    """Asks for one place. What it finds holds no longer than any answer it stands on."""

    def __init__(self, dns: Dns, place: Sought, transports: Sequence[str], clock: Callable[[], float]) -> None:
        self._dns = dns
        self._place = place
        self._transports = wanted(place, transports)
        self._clock = clock
        self._ttl = LONGEST

    async def locate(self) -> Found:
        """The servers of the place. Raises NoAnswer when nobody can say where it is."""
        services = await self._services()
        return Found(services, self._clock() + self._ttl)

    async def _services(self) -> tuple[Service, ...]:
        place = self._place
        found: tuple[Service, ...] | None = None
        if place.port is None and self._dns.has_services(place.host):
            if place.is_free:
                found = await self._by_naptr()
            if found is None:
                found = await self._by_srv()
        return await self._by_address(place.transport) if found is None else found

    async def _by_naptr(self) -> tuple[Service, ...] | None:
        """What NAPTR leads to; None when it says nothing that we can use (§4.1)."""
        place = self._place
        try:
            answer = await self._dns.naptr(place.host, PATIENCE)
        except NoAnswer:
            self._holds_for(FAILED_TTL)
            return None
        self._holds_for(answer.ttl)
        offers = choices(answer.records, self._transports)
        found: tuple[Service, ...] | None = None
        for offer in offers:
            records = await self._srv(offer.srv_name)
            if records:
                found = await self._servers(offer.transport, records)
                if found:
                    return found
        if found is None and offers:  # §4.2: there are no SRV records
            return await self._by_address(offers[0].transport)
        return found

    async def _by_srv(self) -> tuple[Service, ...] | None:
        """What the SRV records of the first transport that has any lead to; None when none has (§4.1, §4.2)."""
        answers: dict[str, tuple[Srv, ...]] = {}

        async def ask(transport: str) -> None:
            answers[transport] = await self._srv(f"{SRV_NAMES[transport]}.{self._place.host}")

        async with trio.open_nursery() as nursery:  # one task per transport, for PATIENCE
            for transport in self._transports:
                nursery.start_soon(ask, transport)
        found: tuple[Service, ...] | None = None
        for transport in self._transports:
            if answers[transport]:
                found = await self._servers(transport, answers[transport])
                if found:
                    break
        return found

    async def _srv(self, name: str) -> tuple[Srv, ...]:
        """The SRV records of a name; none when nobody says, for the addresses may be there all the same."""
        try:
            answer = await self._dns.srv(name, PATIENCE)
        except NoAnswer:
            self._holds_for(FAILED_TTL)
            return ()
        self._holds_for(answer.ttl)
        return answer.records

    async def _servers(self, transport: str, records: Iterable[Srv]) -> tuple[Service, ...]:
        """The servers that SRV records name, with their addresses; none where they say: not here."""
        rows = offered(records)
        addresses: dict[str, tuple[str, ...]] = {}

        async def ask(target: str) -> None:
            plain = numeric(target)  # against RFC 2782, and seen
            if plain is not None:
                addresses[target] = (plain,)
                return
            try:
                answer = await self._dns.addresses(target)
            except NoAnswer:
                self._holds_for(FAILED_TTL)
                return
            self._holds_for(answer.ttl)
            addresses[target] = answer.records

        async with trio.open_nursery() as nursery:  # one task per server name, as long as the look-up
            for target in {row.target for row in rows}:
                nursery.start_soon(ask, target)
        return tuple(
            Service(row.priority, row.weight, hops)
            for row in rows
            if (hops := self._hops(transport, row.port, addresses.get(row.target, ())))
        )

    async def _by_address(self, transport: str) -> tuple[Service, ...]:
        """What A and AAAA say, at the port of the URI or the transport's own (§4.2)."""
        answer = await self._dns.addresses(self._place.host)
        self._holds_for(answer.ttl)
        port = self._place.port or DEFAULT_PORTS.get(transport, 5060)
        hops = self._hops(transport, port, answer.records)
        return (Service(0, 0, hops),) if hops else ()

    def _hops(self, transport: str, port: int, addresses: Iterable[str]) -> tuple[Hop, ...]:
        """The Hops of a server; over TLS the URI's own domain is what its certificate must prove (RFC 5922 §4)."""
        name = self._place.name if transport in SECURE else ""
        return tuple(Hop(transport, address, port, name) for address in addresses)

    def _holds_for(self, seconds: float) -> None:
        self._ttl = min(self._ttl, seconds)
