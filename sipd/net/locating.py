"""RFC 3263 without the asking: what a URI is looked up by, which records count, in which order to try (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.hop import DEFAULT_PORTS, SECURE, Hop
from sipd.net.addresses import numeric

if TYPE_CHECKING:
    import random
    from collections.abc import Container, Iterable, Sequence

    from sipd.message import Uri, Via
    from sipd.net.dns import Naptr, Srv

MAX_TARGETS: Final = 10
"""Servers of one service that are looked at."""

MAX_HOPS: Final = 10
"""Places that one request is tried at."""

SRV_NAMES: Final = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}
"""Transport -> the service asked for (§4.1); others have none."""

NAPTR_SERVICES: Final = {
    "SIP+D2U": "UDP",
    "SIP+D2T": "TCP",
    "SIPS+D2T": "TLS",
    "SIP+D2W": "WS",
    "SIPS+D2W": "WSS",
}
"""Service field -> transport (§4.1, RFC 7118 §10.3)."""

PREFERRED: Final = ("UDP", "TCP", "TLS")
"""The transports we can open a way by, in the order we like them where DNS has no opinion."""


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

    host: str  # TARGET (§4): lower case, no final dot
    port: int | None
    transport: str  # what the URI asks for, or would get without DNS
    is_free: bool  # whether DNS may choose the transport (§4.1)
    is_secure: bool  # a sips URI: nothing but TLS
    name: str  # the domain that a certificate must prove (RFC 5922 §4)


class Choice(NamedTuple):
    """A transport that NAPTR offers, and where its SRV records are."""

    transport: str
    srv_name: str


def target(uri: Uri) -> str:
    """TARGET of §4: the maddr parameter, else the host; IPv6 without brackets."""
    if uri.params:
        maddr = uri.param("maddr")
        if maddr:
            return maddr.removeprefix("[").removesuffix("]")
    return uri.host


def numeric_hop(uri: Uri) -> Hop | None:
    """The one Hop of a URI whose TARGET is an address; None for a name (§4.1, §4.2)."""
    plain = numeric(target(uri) if uri.params else uri.host)
    if plain is None:
        return None
    transport = uri.transport
    port = uri.port or DEFAULT_PORTS.get(transport, 5060)
    return Hop(transport, plain, port, name_of(uri)) if transport in SECURE else Hop(transport, plain, port)


def name_of(uri: Uri) -> str:
    """The domain a URI's server must prove to be: its host, whatever maddr or DNS make of it (RFC 5922 §4)."""
    return uri.host.lower().removesuffix(".")


def sought(uri: Uri) -> Sought:
    """What to look up for a sip or sips URI whose TARGET is a name."""
    transport = uri.transport
    return Sought(
        target(uri).lower().removesuffix("."),
        uri.port,
        transport,
        uri.param("transport") is None,
        uri.scheme == "sips",
        name_of(uri) if transport in SECURE or uri.param("transport") is None else "",
    )


def wanted(place: Sought, can_send: Sequence[str]) -> tuple[str, ...]:
    """The transports to look for: the one asked for, or those we can send by, secure ones only for sips (§4.1)."""
    if not place.is_free:
        return (place.transport,) if place.transport in SRV_NAMES else ()
    if place.is_secure:
        return tuple(transport for transport in can_send if transport in SECURE)
    return tuple(can_send)


def choices(records: Iterable[Naptr], transports: Container[str]) -> list[Choice]:
    """What NAPTR offers and we can use, best first: by order, then preference (RFC 3403 §4.1, RFC 3263 §4.1)."""
    fitting = [
        (record.order, record.preference, Choice(transport, record.replacement))
        for record in records
        if record.flags == "s"
        and not record.regexp
        and record.replacement
        and (transport := NAPTR_SERVICES.get(record.service)) is not None
        and transport in transports
    ]
    return [choice for _, _, choice in sorted(fitting, key=lambda row: row[:2])]


def offered(records: Iterable[Srv]) -> list[Srv]:
    """The servers that SRV records name, best priority first, no more than we look at; none for `.` (RFC 2782)."""
    return sorted((record for record in records if record.target), key=lambda record: record.priority)[:MAX_TARGETS]


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


def sender_hop(via: Via) -> Hop | None:
    """Where to open a connection for a response whose own is gone: `received`, at the port of sent-by (§18.2.2).

    None where there is no such place: datagrams need no connection, and a
    browser can't be called back (RFC 7118 §5).
    """
    if via.transport not in ("TCP", "TLS"):
        return None
    host = numeric(via.param("received") or via.host)
    if host is None:
        return None
    name = via.host.lower().removesuffix(".") if via.transport in SECURE else ""
    return Hop(via.transport, host, via.port or DEFAULT_PORTS[via.transport], name)
