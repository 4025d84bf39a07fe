"""The question put to policy."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - as those below
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sipd.message import Request  # noqa: TC001 - mypyc looks it up when the class is made, and Seal
from sipd.seal import Seal  # noqa: TC001

if TYPE_CHECKING:
    from sipd.core.decision import Mark
    from sipd.core.ways import Token
    from sipd.hop import Hop
    from sipd.message import Uri
    from sipd.rows import Peer, PutTimezone
    from sipd.trace import Trace


class Identity(NamedTuple):
    """Who sent the request, as far as he proved it (§22)."""

    user: str  # canonical address-of-record of the proven user; empty: nobody is proven
    scheme: str = ""  # "digest", "basic" when credentials were verified, "peer" when a trusted server sent it


PROOFS: Final = frozenset({"digest", "basic"})
"""Schemes of those who proved it themselves."""

ANONYMOUS = Identity("")


class GuardView(Protocol):
    """What decisions may ask about nonces, failed log-ins and uploads; marks change it afterwards."""

    def count_is_fresh(self, nonce: str, count: int) -> bool:
        """Whether this nonce-count was not used before and is at most 64 below the highest (T11)."""

    def was_challenged(self, call_id: str) -> bool:
        """Whether this Call-ID has had its one challenge of level `requested`."""

    def is_held(self, user: str, source: str, now: float) -> bool:
        """Whether this source has failed too often to be looked at as that user now (T117)."""

    def may_upload(self, user: str, at: float) -> bool:
        """Whether this user may have another script checked at that wall-clock time."""


class OurPlaces(Protocol):
    """Which hosts and ports are this server's own sockets."""

    @property
    def has_tls(self) -> bool:
        """Whether one of our listeners takes TLS: without it a sips URI can't be reached from here (RFC 5630 §5.3)."""

    def is_ours(self, host: str, port: int | None) -> bool:
        """Whether a URI or sent-by with this host and port names one of our listeners."""


class Context(NamedTuple):
    """What stays the same for every inquiry of a server."""

    seal: Seal
    guard: GuardView
    places: OurPlaces
    ahead: Callable[[], float] = float  # seconds that the machine's clock is ahead of `Inquiry.wall`: it was set


@dataclass(slots=True)
class Inquiry:
    """One request and the URI now sought; what ADMIT found is kept for SEARCH.

    `decide` may fill in `identity`, `uri`, `request` (with our Route values,
    the credentials for us and what is not believed taken off), `in_dialog`,
    `through`, `peer`, `preferred`, `unmet_privacy`, `breadth`,
    `callee`, `zones`, `marks` and `counted`, and sets `admitted`; it changes nothing else.
    """

    request: Request
    source: Hop  # where it came from
    context: Context
    now: float  # monotonic seconds
    wall: float  # seconds since 1970, without the jumps of the machine's clock: for what expires
    trace: Trace
    uri: Uri  # the URI sought: at first the Request-URI
    near: Hop | None = None  # the socket of ours it came in by
    names: tuple[str, ...] = ()  # what the sender's certificate proves
    admitted: bool = False  # ADMIT has been walked
    identity: Identity = ANONYMOUS
    peer: Peer | None = None  # the trusted server that sent it
    preferred: str = ""  # the user that P-Preferred-Identity hints at, for the challenge of an anonymous one
    unmet_privacy: tuple[str, ...] = ()  # critical privacy that only a peer might give (RFC 3323 §5)
    in_dialog: bool = False  # our sealed Route was on top: follow it
    through: Token | None = None  # the flow that our Route names: send by it
    consulted: frozenset[tuple[str, str]] = frozenset()  # (aor, direction) of scripts run
    path: tuple[str, ...] = ()  # users gone through
    breadth: int = 60  # branches that the search for `uri` may have at once (RFC 5393 §5.3)
    callee: str = ""  # address-of-record that `uri` means, when it is one of ours
    marks: tuple[Mark, ...] = ()  # found by ADMIT, handed out with the Decision
    counted: tuple[Mark, ...] = ()  # those handed out before, with a Missing
    looked_up: dict[tuple[str, str], tuple[str, ...]] | None = None  # rows from elsewhere, for this call (SOURCES)
    zones: tuple[PutTimezone, ...] = ()  # time zones fetched for the script of this REGISTER, to be kept
    conflicts: int = 0  # how often another server was first

    @property
    def clock_time(self) -> float:
        """Seconds since 1970 as the machine's clock has it now: what people call the time."""
        return self.wall + self.context.ahead()

    def toward(
        self,
        uri: Uri,
        *,
        consulted: tuple[str, str] | None = None,
        through: str | None = None,
        breadth: int | None = None,
    ) -> Inquiry:
        """The question one step on: another URI, one more script that had its say, one more user gone through."""
        return Inquiry(  # written out, as `dataclasses.replace` takes four times as long
            self.request,
            self.source,
            self.context,
            self.now,
            self.wall,
            self.trace,
            uri,
            self.near,
            self.names,
            self.admitted,
            self.identity,
            self.peer,
            self.preferred,
            self.unmet_privacy,
            self.in_dialog,
            self.through,
            self.consulted if consulted is None else self.consulted | {consulted},
            self.path if through is None else (*self.path, through),
            self.breadth if breadth is None else breadth,
            "",
            (),
            self.counted,
            self.looked_up,
            self.zones,
            self.conflicts,
        )
