"""What a user's script is told and what it may want: Facts in, Effects out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from sipd.hop import Target
    from sipd.message import Address, Uri

Direction = Literal["incoming", "outgoing"]
Ordering = Literal["parallel", "sequential", "first-only"]


class Facts(NamedTuple):
    """One call as a script sees it (RFC 3880 §4.1.1, §4.2.1): values of the request, nothing derived.

    A header field the request does not have is None. `priority` is the
    Priority header field, `accept_language` the merged Accept-Language.
    """

    owner: str  # address-of-record whose script runs
    direction: Direction
    origin: Address  # From
    destination: Uri  # Request-URI
    original_destination: Address  # To
    now: datetime  # aware; when the request came
    subject: str | None = None
    organization: str | None = None
    user_agent: str | None = None
    accept_language: str | None = None
    priority: str | None = None
    authenticated: str | None = None  # who the caller proved to be


class Lookup(NamedTuple):
    """Find locations (RFC 3880 §5.2). Answered with LookupResult."""

    source: str  # `registration`, or the http or https URI of a text/uri-list, of a host that the settings name
    timeout: float


class LookupResult(NamedTuple):
    """What a Lookup came to; `targets` only with success."""

    outcome: Literal["success", "notfound", "failure"]
    targets: tuple[Target, ...] = ()
    took: float | None = None  # seconds that it took, for the trace; None: nobody looked


class ProxyTo(NamedTuple):
    """Ring these (RFC 3880 §6.1). Answered with ProxyResult; a success ends the script instead."""

    targets: tuple[Target, ...]
    ordering: Ordering
    timeout: float | None  # seconds; None: as long as policy allows
    recurse: bool


class ProxyResult(NamedTuple):
    """What a ProxyTo came to; `contacts` are those of the 3xx when it is a redirection."""

    outcome: Literal["busy", "noanswer", "redirection", "failure"]
    contacts: tuple[Target, ...] = ()
    took: float | None = None  # seconds that it rang, for the trace; None: nobody looked


class Log(NamedTuple):
    """Write a line to the owner's log (RFC 3880 §7.2). Answered with None; can't fail."""

    name: str
    comment: str


class Mail(NamedTuple):
    """Send mail (RFC 3880 §7.1). Answered with None; can't fail.

    What the URL of the node says, decoded and checked when the script was
    taken; `sipd.cpl.letter.compose` makes the message of it and of the call.
    Addresses are addr-specs with ASCII domains. None stands for the default.
    """

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    subject: str | None = None
    reply_to: tuple[str, ...] = ()
    body: str | None = None  # lines end with \n
    headers: tuple[tuple[str, str], ...] = ()  # others the URL sets


class Reject(NamedTuple):
    """End: refuse the call with this status (RFC 3880 §6.3)."""

    status: int
    reason: str


class Redirect(NamedTuple):
    """End: 301 or 302 with these contacts (RFC 3880 §6.2)."""

    targets: tuple[Target, ...]
    permanent: bool


class Default(NamedTuple):
    """End: the default behaviour of RFC 3880 §10.

    `targets` is the location set when the script changed it, or when it is an
    outgoing script (cases b, c), None when nothing was done (case a).
    `proxied` says that the script has proxied before: the best response so
    far goes upstream (case e) and `targets` is not used.
    """

    targets: tuple[Target, ...] | None
    proxied: bool = False


Effect = Lookup | ProxyTo | Log | Mail
Final = Reject | Redirect | Default
Result = LookupResult | ProxyResult | None
