"""What the requests of one registration or one call have in common (RFC 3261 §10.2, §12)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import trio

from sipd.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.phone.account import Account

COOKIE: Final = "z9hG4bK"

FINAL_OF_CANCEL: Final = 487


class Times(NamedTuple):
    """How long things take, in seconds."""

    t1: float = 0.5  # RFC 3261 §17.1.1.1
    t2: float = 4.0
    patience: float = 8.0  # how long an answer of any kind is waited for: timers B and F, cut short
    ringing: float = 30.0  # how long a call may ring before it is cancelled


class Incoming(NamedTuple):
    """What a phone does with a call: ring for so long, then answer with this status; 0: ring on."""

    ring: float = 0.5
    status: int = 200


@dataclass(slots=True)
class Dialog:
    """A series of requests to one far end."""

    local: str  # From value with our tag
    remote: str  # To value, with the far tag once there is one
    target: str  # Request-URI
    call_id: str = field(default_factory=lambda: secrets.token_hex(12))
    routes: tuple[str, ...] = ()
    cseq: int = 0
    established: bool = False  # the far end has its say: route set and remote target are its (§12.1)

    @classmethod
    def begun(cls, account: Account, to: str, target: str) -> Dialog:
        """A new one from the account's user to `to`, first sent to `target`."""
        return cls(f"<{account.uri}>;tag={secrets.token_hex(8)}", f"<{to}>", target)

    def establish(self, response: Response) -> None:
        """Take tag, remote target and route set from the 2xx of an INVITE (§12.1.2)."""
        self.remote = response.first("To") or self.remote
        contacts = response.contacts
        if contacts:
            self.target = contacts[0].uri.text
        self.routes = tuple(reversed(response.values("Record-Route")))
        self.established = True

    def request(
        self, method: str, via: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", cseq: int = 0
    ) -> Request:
        """A request of this dialog (§8.1.1, §12.2.1.1); `via` is a whole Via value."""
        return Request.build(
            method,
            self.target,
            (
                ("Via", via),
                ("Max-Forwards", "70"),
                *(("Route", value) for value in self.routes),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{cseq or self.cseq} {method}"),
                *headers,
            ),
            body,
        )


@dataclass(slots=True)
class Call:
    """One call at one phone: how it went, and what can be waited for."""

    call_id: str
    dialog: Dialog | None = None  # of a call that we made
    status: int = 0  # the final answer of its INVITE
    reason: str = ""
    seconds: float = 0.0  # from the INVITE to the final answer
    ended_by: Literal["", "us", "them"] = ""
    ringing: trio.Event = field(default_factory=trio.Event)
    acked: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)
    cancelled: trio.Event = field(default_factory=trio.Event)

    @property
    def answered(self) -> bool:
        """Whether both can speak."""
        return 200 <= self.status < 300


def hop_by_hop(invite: Request, method: str, to: str = "") -> Request:
    """The CANCEL of an INVITE, or the ACK of its refusal: same branch, same Route (§9.1, §17.1.1.3)."""
    headers = [("Via", str(invite.via)), ("Max-Forwards", "70")]
    headers += [("Route", value) for value in invite.values("Route")]
    headers += [(name, invite.first(name) or "") for name in ("From", "To", "Call-ID")]
    if to:
        headers[-2] = ("To", to)
    return Request.build(method, invite.request_uri, [*headers, ("CSeq", f"{invite.cseq.number} {method}")])


def session(host: str) -> bytes:
    """A session description that promises silence: the discard port, inactive (RFC 4566, RFC 3264 §5.1)."""
    family = "IP6" if ":" in host else "IP4"
    lines = (
        "v=0",
        f"o=- 1 1 IN {family} {host}",
        "s=test call",
        f"c=IN {family} {host}",
        "t=0 0",
        "m=audio 9 RTP/AVP 0",
        "a=inactive",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()
