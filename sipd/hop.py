"""Where bytes go, and the way there: Hop, Flow, Target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from sipd.message import Uri

DEFAULT_PORTS: Final = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}
"""The port meant when a URI or Via names none (RFC 3261 §19.1.2, RFC 7118)."""

RELIABLE: Final = frozenset({"TCP", "TLS", "WS", "WSS"})
"""Transports that deliver or tell (§17.1.1.1): no retransmission timers there."""

WEB: Final = frozenset({"WS", "WSS"})
"""Transports on which a client can't be called up: its connection is the only way to it (RFC 7118 §5)."""

SECURE: Final = frozenset({"TLS", "WSS"})
"""Transports on which the far end proves its name."""


class Hop(NamedTuple):
    """A place bytes can be sent to (RFC 3263 §4): numeric address, no brackets."""

    transport: str  # "UDP", "TCP", ... as written in Via
    host: str
    port: int
    name: str = ""  # the domain that its certificate must prove (RFC 5922 §4); empty: none is asked for

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{self.place}"

    @property
    def place(self) -> str:
        """`host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_text(cls, text: str) -> Hop:
        """The Hop that `str(hop)` wrote. Raises ValueError for anything else."""
        transport, _, rest = text.partition(":")
        host, _, port = rest.rpartition(":")
        if not transport or not host or not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
            raise ValueError(f"not transport:host:port: {text!r}")
        return cls(transport.upper(), host.strip("[]"), int(port))


def is_default(hop: Hop) -> bool:
    """Whether its port is the one that its transport has when none is named."""
    return hop.port == DEFAULT_PORTS.get(hop.transport)


class Way(NamedTuple):
    """Which flow it is, in words that outlive it: the far end, and the socket of ours (RFC 5626 §3.1).

    `str` and `from_text` are what a binding keeps of it.
    """

    remote: Hop
    near: Hop | None = None  # our listener's; None: any of ours will do

    def __str__(self) -> str:
        return str(self.remote) if self.near is None else f"{self.remote}|{self.near.place}"

    @classmethod
    def from_text(cls, text: str) -> Way:
        """The Way that `str(way)` wrote. Raises ValueError for anything else."""
        remote, bar, near = text.partition("|")
        hop = Hop.from_text(remote)
        return cls(hop, Hop.from_text(f"{hop.transport}:{near}") if bar else None)


class Flow(Protocol):
    """A way to one far end: a UDP source address, or one stream connection.

    `send` never waits, never raises and never calls back: what can't be sent
    now is queued or lost, and a failed flow is told in a later turn.
    """

    @property
    def remote(self) -> Hop:
        """The far end."""

    @property
    def near(self) -> Hop:
        """The listener of ours that it belongs to, with the address that is bound to."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the far end's verified certificate says it is, lower case (RFC 5922 §7.1); none without one."""

    @property
    def sent_by(self) -> str:
        """Our end as Via and Record-Route name it: `host:port`, IPv6 in brackets (§18.1.1)."""

    @property
    def reliable(self) -> bool:
        """Whether the transport delivers or tells (§17)."""

    @property
    def needs_length(self) -> bool:
        """Whether only Content-Length says where a message ends (§18.3)."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent here any more."""

    def send(self, data: bytes) -> None:
        """Hand over one message."""


class Target(NamedTuple):
    """One place to try for a request (§16.5), with how to get there."""

    uri: Uri
    q: int = 1000  # thousandths: 0..1000
    path: tuple[str, ...] = ()  # Route values to put on, first hop first (RFC 3327)
    received: Way | None = None  # the flow its REGISTER came over, or that a Route of ours names
    action: Literal["proxy", "redirect"] = "proxy"
    owner: str | None = None  # the address-of-record whose binding or script named it; the number that ENUM found it by
    bound: bool = False  # nothing but that flow leads there: without it 430 (RFC 5626 §5.3)
    key: str = ""  # of the binding, which `owner`, `uri` and this name
    others: tuple[Target, ...] = ()  # the same phone's other flows, to be tried when this has failed (RFC 5626 §7)
    qa: int = 1000  # what the caller makes of it among those of equal q, thousandths (RFC 3841 §7.2.4)
    only_host: bool = False  # without that flow, nowhere but to its far end's address

    def allowed(self, hops: list[Hop]) -> list[Hop]:
        """Those of `hops` that it may be sent to."""
        if not self.only_host or self.received is None:
            return hops
        return [hop for hop in hops if hop.host == self.received.remote.host]
