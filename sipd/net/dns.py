"""Questions to the hosts file, to name servers and to the system: one question, its records, how long they hold.

Answers are plain values; what dnspython raises becomes NoAnswer. RFC 1035, 2308 (negative answers), 2782, 3403.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.resolver
import trio

from sipd.net.hosts import Hosts, WatchedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_THREADS: Final = 8
MAX_ADDRESSES: Final = 10
"""Addresses of one family and name that are looked at."""

SHORTEST_TTL: Final = 1.0
LONGEST_TTL: Final = 3600.0
ABSENT_TTL: Final = 60.0
"""Seconds for which what does not exist is not asked for again, where the name server does not say how long."""

LONGEST_ABSENT: Final = 300.0
"""The most of what a name server may say there (RFC 2308 §5): a domain that is just set up must not wait for hours."""

FAILED_TTL: Final = 5.0
"""Seconds for which nobody is asked again after no or a bad answer."""

RECHECK: Final = 5.0
"""Seconds between looks at whether the hosts file or resolv.conf has changed."""

LIFETIME: Final = 3.0
"""Seconds for one question, unless whoever asks has less patience."""

R = TypeVar("R")


class Srv(NamedTuple):
    """A server of a service (RFC 2782); the target is lower case without a final dot, empty for `.`: not here."""

    priority: int
    weight: int
    port: int
    target: str


class Naptr(NamedTuple):
    """A rule (RFC 3403 §4.1): flags in lower case, service in upper case, replacement as an SRV target."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


class Answer(NamedTuple, Generic[R]):
    """What was found, and for how many seconds that holds; no records: it does not exist."""

    records: tuple[R, ...]
    ttl: float


class NoAnswer(Exception):
    """Nobody could say: no name server answered, or none of them soundly."""


class Dns:
    """Asks for names. Raises nothing at construction: without a resolv.conf the system's own look-up is used."""

    def __init__(
        self, *, resolv_conf: Path, hosts: Path, nameserver: tuple[str, int] | None, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._threads = trio.CapacityLimiter(MAX_THREADS)
        self._hosts = Hosts(hosts)
        self._conf = WatchedFile(resolv_conf)
        self._nameserver = nameserver
        self._backend = dns.asyncbackend.get_backend("trio")
        self._dns: dns.asyncresolver.Resolver | None = None
        self._recheck_at = float("-inf")

    @property
    def nameservers(self) -> list[str]:
        """Whom we ask; empty: the system."""
        return [] if self._dns is None else [str(server) for server in self._dns.nameservers]

    def recheck(self) -> None:
        """Take in changes of the hosts file and of resolv.conf, which DHCP may write again at any time."""
        if self._clock() < self._recheck_at:
            return
        self._recheck_at = self._clock() + RECHECK
        self._hosts.refresh()
        if self._conf.has_changed():
            self._dns = self._configured()

    def has_services(self, host: str) -> bool:
        """Whether there may be NAPTR and SRV records: not for names of the hosts file, nor without a name server."""
        return self._dns is not None and not self._hosts.addresses(host)

    async def naptr(self, name: str, lifetime: float) -> Answer[Naptr]:
        """The NAPTR records of a name. Raises NoAnswer, at the latest after `lifetime` seconds."""
        answer = await self._query(name, "NAPTR", lifetime)
        return Answer(
            tuple(
                Naptr(
                    record.order,
                    record.preference,
                    record.flags.decode("latin-1").lower(),
                    record.service.decode("latin-1").upper(),
                    record.regexp.decode("latin-1"),
                    _name(record.replacement),
                )
                for record in answer.records
                if isinstance(record, dns.rdtypes.IN.NAPTR.NAPTR)
            ),
            answer.ttl,
        )

    async def srv(self, name: str, lifetime: float) -> Answer[Srv]:
        """The SRV records of a name. Raises NoAnswer, at the latest after `lifetime` seconds."""
        answer = await self._query(name, "SRV", lifetime)
        return Answer(
            tuple(
                Srv(record.priority, record.weight, record.port, _name(record.target))
                for record in answer.records
                if isinstance(record, dns.rdtypes.IN.SRV.SRV)
            ),
            answer.ttl,
        )

    async def addresses(self, host: str, lifetime: float = LIFETIME) -> Answer[str]:
        """Numeric addresses of a name, IPv4 first: hosts file, then A and AAAA. Raises NoAnswer."""
        local = self._hosts.addresses(host)
        if local:
            return Answer(local, RECHECK)
        if self._dns is None:
            return await self._ask_system(host)
        answers: dict[str, Answer[str]] = {}
        failures: list[NoAnswer] = []

        async def ask(kind: str) -> None:
            try:
                answer = await self._query(host, kind, lifetime)
                answers[kind] = Answer(tuple(record.to_text() for record in answer.records), answer.ttl)
            except NoAnswer as failure:
                failures.append(failure)

        async with trio.open_nursery() as nursery:  # A and AAAA at the same time, within `lifetime`
            nursery.start_soon(ask, "A")
            nursery.start_soon(ask, "AAAA")
        found = tuple(
            text for kind in ("A", "AAAA") if kind in answers for text in answers[kind].records[:MAX_ADDRESSES]
        )
        if not found and failures:
            raise failures[0]
        ttls = [answer.ttl for answer in answers.values() if answer.records or not found]
        return Answer(found, FAILED_TTL if failures else min(ttls))

    async def _query(self, name: str, kind: str, lifetime: float) -> Answer[dns.rdata.Rdata]:
        if self._dns is None:
            return Answer((), ABSENT_TTL)
        try:
            question = dns.name.from_text(name)
            answer = await self._dns.resolve(
                question, kind, search=False, lifetime=lifetime, backend=self._backend, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN as absent:
            return Answer((), _absent_for(absent.kwargs["responses"][question]))
        except (dns.exception.DNSException, OSError, UnicodeError) as failure:
            raise NoAnswer(str(failure)) from failure
        if answer.rrset is None:
            return Answer((), _absent_for(answer.response))
        ttl = float(answer.chaining_result.minimum_ttl)
        return Answer(tuple(answer), min(max(ttl, SHORTEST_TTL), LONGEST_TTL))

    async def _ask_system(self, name: str) -> Answer[str]:
        look = partial(socket.getaddrinfo, name, None, type=socket.SOCK_DGRAM)
        try:
            infos = await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._threads)
        except (OSError, UnicodeError) as failure:
            raise NoAnswer(str(failure)) from failure
        found = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos)
        return Answer(tuple(sorted(found, key=lambda text: ":" in text)), ABSENT_TTL)

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


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""


def _absent_for(response: dns.message.QueryMessage) -> float:
    """Seconds to believe that something is not there: the SOA says (RFC 2308 §5), else ABSENT_TTL."""
    if not any(records.rdtype == dns.rdatatype.SOA for records in response.authority):
        return ABSENT_TTL
    return min(max(float(response.resolve_chaining().minimum_ttl), SHORTEST_TTL), LONGEST_ABSENT)
