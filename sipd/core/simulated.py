"""The values of a simulation: the house and the call that are made up, and what would come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sipd.message import Request, parse_uri
from sipd.rows import Binding, Settings, User

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sipd.core.challenge import Kind
    from sipd.cpl import Program
    from sipd.rows import Peer, Script, ScriptKind
    from sipd.script import Direction, Log, LookupResult, Mail
    from sipd.trace import Entry

FOR_EVER: float = float("inf")


class SimulatedHouse(NamedTuple):
    """A server that is made up: the tables that its decisions ask. Nothing is missing there.

    With `complete` there are no users but these; else everybody of its
    domains is one, and a user of whom nothing is said is one phone by that
    name.
    """

    domains: Mapping[str, str]  # name -> the domain that its users are of, itself mostly
    registered: Mapping[str, Sequence[Binding]]  # by address-of-record; also of a user without any
    programs: Mapping[str, Program]
    settings: Settings = Settings()
    complete: bool = False
    lookups: Mapping[str, LookupResult] = {}  # what a lookup by URI comes to; one that is not here fails
    numbers: bool = False  # whether telephone numbers lead anywhere
    aliases: Mapping[str, Sequence[str]] = {}  # the users that an address leads to which is none

    def domain(self, host: str) -> str | None:
        """The domain whose users that host means."""
        return self.domains.get(host.lower().rstrip("."))

    def knows(self, aor: str) -> bool:
        """Whether it is told what this user has."""
        return aor in self.registered or aor in self.programs

    def user(self, aor: str) -> User | None:
        """The user of that address-of-record."""
        return User(aor, aor.rpartition("@")[2]) if self.knows(aor) or not self.complete else None

    def alias(self, aor: str) -> Sequence[str]:
        """The users that this address leads to."""
        return self.aliases.get(aor, ())

    def bindings(self, aor: str) -> Sequence[Binding]:
        """His registered contacts."""
        if self.knows(aor) or self.complete:
            return self.registered.get(aor, ())
        return (Binding(aor, f"sip:{aor}", expires_at=FOR_EVER),)

    def kinds(self, domain: str) -> Sequence[tuple[Kind, int]]:
        """None: nobody is asked."""
        return ()

    @property
    def shared(self) -> bool:
        """No."""
        return False

    def settled_bindings(self, aor: str) -> Sequence[Binding]:
        """The same: nothing changes."""
        return self.bindings(aor)

    def script(self, aor: str, kind: ScriptKind) -> Script | None:
        """None: there are Programs only."""
        return None

    def program(self, aor: str) -> Program | None:
        """His script."""
        return self.programs.get(aor)

    @property
    def timezones(self) -> Mapping[str, bytes]:
        """None: its programs have what they need."""
        return {}

    @property
    def has_peers(self) -> bool:
        """No."""
        return False

    def peer(self, host: str, names: Sequence[str] = ()) -> Peer | None:
        """None."""
        return None

    def may_register_for(self, delegate: str, aor: str) -> bool:
        """Nobody registers."""
        return False


class SimulatedCall(NamedTuple):
    """A call that is made up. `caller` and `to` as From and To have them; `uri` is whom it is sent to first."""

    caller: str
    to: str
    uri: str
    at: datetime  # aware
    headers: tuple[tuple[str, str], ...] = ()
    proven: str = ""  # address-of-record that the caller proved to be; his outgoing script runs

    def request(self) -> Request:
        """Its INVITE. Raises SipError or ValueError for what no request can have."""
        request = Request.build(
            "INVITE",
            parse_uri(self.uri).text,
            (
                ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKsimulated"),
                ("Max-Forwards", "70"),
                ("From", f"{_bracketed(self.caller)};tag=1"),
                ("To", _bracketed(self.to)),
                ("Call-ID", "simulated"),
                ("CSeq", "1 INVITE"),
                *self.headers,
            ),
        )
        _ = request.uri, request.from_, request.to  # they can be read
        return request


def _bracketed(address: str) -> str:
    return address if "<" in address else f"<{address}>"


class Walked(NamedTuple):
    """One step on the way: of a script (then it has a place in it), or of the server."""

    at: float  # seconds since the call came
    owner: str  # of the script; empty: the server's own
    entry: Entry


class Rung(NamedTuple):
    """One target that was called."""

    order: int  # the how-manieth of the call, from 1
    uri: str
    q: int  # thousandths
    at: float  # seconds since the call came
    until: float  # when it was over
    status: int  # what it came to; 487 when it was cancelled
    cancelled_at: float | None  # when the server gave it up
    heard: bool  # whether anything was heard of it: else a CANCEL has to wait (§9.1)


class Round(NamedTuple):
    """Targets called by one proxy operation, or by the default behaviour."""

    number: int
    at: float
    owner: str  # whose script; empty: nobody's
    place: str  # of its node; empty: the default behaviour
    ordering: str  # parallel, sequential or first-only; `by priority`: as without a script
    timeout: float | None  # seconds
    rung: tuple[Rung, ...]
    outcome: str  # which output the script took; empty: it ended with it
    barred: tuple[str, ...] = ()  # targets that the script may not ring for this caller (T63, T88)


class Written(NamedTuple):
    """What a script had written or mailed; the comment of a Log is the whole line."""

    at: float
    owner: str
    effect: Log | Mail


class Simulated(NamedTuple):
    """What would come of the call."""

    status: int  # the final response
    reason: str
    contacts: tuple[str, ...]  # of a 3xx, as its Contact has them
    at: float  # seconds since the call came
    answered_by: str  # URI of who picked up; empty: nobody did
    steps: tuple[Walked, ...]
    rounds: tuple[Round, ...]
    written: tuple[Written, ...]
    ran: tuple[tuple[str, Direction], ...]  # scripts, in the order they began
