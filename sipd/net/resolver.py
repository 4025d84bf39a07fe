"""URI -> Hops: numeric at once, names through the hosts file and DNS, never blocking (RFC 3263 §4).

A URI without a port is looked up as SRV, then as A and AAAA; with a port as
A and AAAA only. NAPTR is not asked for (§4.1 lets SRV decide without it), and
maddr is not honoured.
"""

from __future__ import annotations

import random
import re
import socket
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
import trio

from sipd.hop import DEFAULT_PORTS, Hop
from sipd.net.addresses import Unreachable, numeric
from sipd.net.base import Recent
from sipd.net.hosts import Hosts, WatchedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sipd.message import Uri

TIMEOUT: Final = 3.0
"""Seconds for one URI, however many questions it takes."""

MAX_LOOKUPS: Final = 64
MAX_THREADS: Final = 8
MAX_KEPT: Final = 4096
MAX_TARGETS: Final = 10
"""Servers of one service that are looked at, and addresses of each."""

SHORTEST_TTL: Final = 1.0
LONGEST_TTL: Final = 3600.0
ABSENT_TTL: Final = 60.0
"""Seconds for which a name that does not exist is not asked for again."""

FAILED_TTL: Final = 5.0
"""Seconds for which nobody is asked again after no or a bad answer."""

RECHECK: Final = 5.0
"""Seconds between looks at whether the hosts file or resolv.conf has changed."""

SRV_NAMES: Final = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}
"""Transport -> the service asked for (RFC 3263 §4.1); others have none."""

_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?", re.ASCII | re.DOTALL)


class Service(NamedTuple):
    """One server for a URI: where RFC 2782 puts it, and its addresses."""

    priority: int
    weight: int
    hops: tuple[Hop, ...]


class Found(NamedTuple):
    """What a lookup came to; no services: there is no such place."""

    services: tuple[Service, ...]
    expires: float


class Sought(NamedTuple):
    """What decides where a URI leads: the key of the cache."""

    host: str  # lower case, no final dot
    port: int | None
    transport: str  # what the URI asks for, or would get without DNS
    is_free: bool  # whether DNS may choose the transport


class _Answer(NamedTuple):
    texts: tuple[str, ...]  # addresses, or "priority weight port target"
    ttl: float


class Resolver:
    """Finds the Hops of URIs, and remembers them for as long as DNS allows.

    `transports` are those we can send by, in the order we like them.
    Raises nothing at construction: without a resolv.conf the system's own
    look-up is used, in threads.
    """

    def __init__(
        self,
        *,
        transports: Sequence[str] = ("UDP", "TCP"),
        resolv_conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
        nameserver: tuple[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self.transports = tuple(transports)
        self.lookups = 0  # for the metrics
        self._clock = clock
        self._chance = chance or random.Random()
        self._kept: Recent[Sought, Found] = Recent(MAX_KEPT)
        self._under_way: dict[Sought, trio.Event] = {}
        self._limit = trio.CapacityLimiter(MAX_LOOKUPS)
        self._threads = trio.CapacityLimiter(MAX_THREADS)
        self._hosts = Hosts(hosts)
        self._conf = WatchedFile(resolv_conf)
        self._nameserver = nameserver
        self._backend = dns.asyncbackend.get_backend("trio")
        self._dns: dns.asyncresolver.Resolver | None = None
        self._recheck_at = float("-inf")

    def now(self, uri: Uri) -> list[Hop] | None:
        """The Hops of `uri` in the order to try, without waiting; None when `find` has to be awaited."""
        if not uri.is_sip:
            return None
        plain = numeric(uri.host)
        if plain is not None:
            transport = uri.transport
            return [Hop(transport, plain, uri.port or DEFAULT_PORTS.get(transport, 5060))]
        return self._known(_sought(uri)) or None

    def _known(self, sought: Sought) -> list[Hop] | None:
        """The Hops remembered; [] when there are none, None when nothing is known."""
        found = self._kept.get(sought)
        if found is None or found.expires <= self._clock():
            return None
        return [hop for service in in_order(found.services, self._chance) for hop in service.hops]

    async def find(self, uri: Uri) -> list[Hop]:
        """The Hops of `uri` in the order to try. Raises Unreachable (503) when there are none (RFC 3263 §4.3)."""
        hops = self.now(uri)
        if hops is None:
            if not uri.is_sip or _ENDS_IN_NUMBER.fullmatch(uri.host):
                raise Unreachable("Not an Address")
            hops = await self._find_name(_sought(uri))
        if not hops:
            raise Unreachable("Next Hop Not Found")
        return hops

    async def _find_name(self, sought: Sought) -> list[Hop]:
        """Looks a name up once, however many ask for it meanwhile."""
        while (hops := self._known(sought)) is None:
            under_way = self._under_way.get(sought)
            if under_way is not None:
                await under_way.wait()  # then it is known, or whoever asked has gone: ask again
                continue
            self._under_way[sought] = done = trio.Event()
            try:
                self._kept.put(sought, await self._look_up(sought))
            finally:
                del self._under_way[sought]
                done.set()
        return hops

    async def _look_up(self, sought: Sought) -> Found:
        self._recheck()
        self.lookups += 1
        found: Found | None = None
        with trio.move_on_after(TIMEOUT):  # all questions for this URI
            async with self._limit:
                with suppress(dns.exception.DNSException, OSError, UnicodeError):
                    found = await self._ask(sought)
        return found or Found((), self._clock() + FAILED_TTL)

    async def _ask(self, sought: Sought) -> Found:
        if sought.port is None and not self._hosts.addresses(sought.host) and self._dns is not None:
            records = await self._services(sought.host, self._wanted(sought))
            if records:
                transport = next(transport for transport in self._wanted(sought) if transport in records)
                return await self._servers(transport, records[transport])
        port = sought.port or DEFAULT_PORTS.get(sought.transport, 5060)
        answer = await self._addresses(sought.host)
        hops = tuple(Hop(sought.transport, address, port) for address in answer.texts)
        return Found((Service(0, 0, hops),) if hops else (), self._clock() + answer.ttl)

    def _wanted(self, sought: Sought) -> tuple[str, ...]:
        wanted = self.transports if sought.is_free else (sought.transport,)
        return tuple(transport for transport in wanted if transport in SRV_NAMES)

    async def _services(self, host: str, transports: Iterable[str]) -> dict[str, _Answer]:
        """The SRV records of each transport that has any (RFC 2782)."""
        answers: dict[str, _Answer] = {}

        async def ask(transport: str) -> None:
            # Some name servers choke on SRV: the addresses may be there all the same.
            with suppress(dns.exception.DNSException, OSError):
                answer = await self._query(f"{SRV_NAMES[transport]}.{host}", "SRV", TIMEOUT / 2)
                if answer.texts:
                    answers[transport] = answer

        async with trio.open_nursery() as nursery:  # one task per transport, for half of TIMEOUT
            for transport in transports:
                nursery.start_soon(ask, transport)
        return answers

    async def _servers(self, transport: str, records: _Answer) -> Found:
        """The servers that SRV records name, with their addresses."""
        rows = [text.split(" ") for text in records.texts[:MAX_TARGETS]]
        rows = [row for row in rows if row[3] != "."]  # "." says: decidedly not here
        answers: dict[str, _Answer] = {}

        async def ask(target: str) -> None:
            with suppress(dns.exception.DNSException, OSError):
                answers[target] = await self._addresses(target)

        async with trio.open_nursery() as nursery:  # one task per server name, within TIMEOUT
            for target in {row[3] for row in rows}:
                nursery.start_soon(ask, target)
        services = tuple(
            Service(int(row[0]), int(row[1]), tuple(Hop(transport, text, int(row[2])) for text in answer.texts))
            for row in rows
            if (answer := answers.get(row[3])) is not None and answer.texts
        )
        ttl = min([records.ttl, *(answer.ttl for answer in answers.values())]) if services else FAILED_TTL
        return Found(services, self._clock() + ttl)

    async def _addresses(self, host: str) -> _Answer:
        """Numeric addresses of a name, IPv4 first: hosts file, then DNS."""
        name = host.rstrip(".").lower()
        local = self._hosts.addresses(name)
        if local:
            return _Answer(local, RECHECK)
        if self._dns is None:
            return await self._ask_system(name)
        answers: dict[str, _Answer] = {}
        failures: list[dns.exception.DNSException] = []

        async def ask(kind: str) -> None:
            try:
                answers[kind] = await self._query(name, kind)
            except dns.exception.DNSException as failure:
                failures.append(failure)

        async with trio.open_nursery() as nursery:  # A and AAAA at the same time, within TIMEOUT
            nursery.start_soon(ask, "A")
            nursery.start_soon(ask, "AAAA")
        texts = tuple(text for kind in ("A", "AAAA") if kind in answers for text in answers[kind].texts[:MAX_TARGETS])
        if not texts and failures:
            raise failures[0]
        ttls = [answer.ttl for answer in answers.values() if answer.texts or not texts]
        return _Answer(texts, FAILED_TTL if failures else min(ttls))

    async def _query(self, name: str, kind: str, lifetime: float = TIMEOUT) -> _Answer:
        """The records of one kind; none when the name or the kind does not exist. Raises DNSException."""
        assert self._dns is not None
        question = dns.name.from_text(name)
        try:
            answer = await self._dns.resolve(question, kind, search=False, lifetime=lifetime, backend=self._backend)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return _Answer((), ABSENT_TTL)
        ttl = float(answer.chaining_result.minimum_ttl)
        return _Answer(tuple(record.to_text() for record in answer), min(max(ttl, SHORTEST_TTL), LONGEST_TTL))

    async def _ask_system(self, name: str) -> _Answer:
        look = partial(socket.getaddrinfo, name, None, type=socket.SOCK_DGRAM)
        infos = await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._threads)
        found = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos)
        return _Answer(tuple(sorted(found, key=lambda text: ":" in text)), ABSENT_TTL)

    def _recheck(self) -> None:
        """Takes in changes of the hosts file and of resolv.conf, which DHCP may write again at any time."""
        if self._clock() < self._recheck_at:
            return
        self._recheck_at = self._clock() + RECHECK
        self._hosts.refresh()
        if self._conf.has_changed():
            self._dns = self._configured()

    def _configured(self) -> dns.asyncresolver.Resolver | None:
        made = dns.asyncresolver.Resolver(configure=False)
        if self._nameserver is not None:
            made.nameservers = [self._nameserver[0]]
            made.port = self._nameserver[1]
            return made
        try:
            made.read_resolv_conf(str(self._conf.path))
        except (dns.resolver.NoResolverConfiguration, OSError):
            return None
        return made


def _sought(uri: Uri) -> Sought:
    is_free = uri.scheme == "sip" and uri.param("transport") is None
    return Sought(uri.host.lower().rstrip("."), uri.port, uri.transport, is_free)


def in_order(services: Iterable[Service], chance: random.Random) -> list[Service]:
    """Services in the order to try: by priority, within one at random by weight (RFC 2782)."""
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    ordered: list[Service] = []
    while left:
        group = [service for service in left if service.priority == left[0].priority]
        mark = chance.randint(0, sum(service.weight for service in group)) if len(group) > 1 else 0
        for service in group:
            mark -= service.weight
            if mark <= 0:
                break
        ordered.append(service)
        left.remove(service)
    return ordered
