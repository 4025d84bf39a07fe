"""What a script is told of a call, and what is made of what it asks for: rules, no deeds (RFC 3880 §4.1.1, §6.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from sipd.core.decision import Proxy, Respond
from sipd.core.gruu import as_address
from sipd.core.location import contacts_of, redirect
from sipd.core.preferences import disposition_of
from sipd.core.recursion import answers_for
from sipd.core.rights import may_call_out
from sipd.core.routes import local_domain
from sipd.cpl.nodes import PROXYABLE
from sipd.script import Facts, ProxyResult

if TYPE_CHECKING:
    from sipd.core.decision import RunScript
    from sipd.core.inquiry import Inquiry
    from sipd.core.preferences import Order
    from sipd.core.tables import Tables
    from sipd.hop import Target
    from sipd.message import Request, Response
    from sipd.script import Direction, Ordering, ProxyTo

OUTCOMES: Final[dict[int, Literal["busy", "noanswer"]]] = {486: "busy", 600: "busy", 408: "noanswer", 487: "noanswer"}
"""Which output a final response takes; 3xx is redirection, all else failure (RFC 3880 §6.1.1, ADR 6)."""

ORDERS: Final[dict[Ordering, Order]] = {"parallel": "parallel", "sequential": "sequential", "first-only": ""}
"""The order in which the places are tried that a redirection leads to, where the script recurses (RFC 3880 §6.1)."""


def facts_of(inquiry: Inquiry, decision: RunScript) -> Facts:
    """The call as the script shall see it (RFC 3880 §4.1.1)."""
    request, owner, direction, uri = inquiry.request, decision.owner, decision.direction, inquiry.uri
    names, first = request.names, request.first
    return Facts(
        owner,
        direction,
        request.from_,
        as_address(uri, owner) if direction == "incoming" else uri,
        request.to,
        datetime.fromtimestamp(inquiry.clock_time, UTC),
        first("Subject") if "Subject" in names else None,
        first("Organization") if "Organization" in names else None,
        first("User-Agent") if "User-Agent" in names else None,
        ", ".join(request.values("Accept-Language")) if "Accept-Language" in names else None,
        first("Priority") if "Priority" in names else None,
        inquiry.identity.user or None,
    )


def in_order(targets: tuple[Target, ...], ordering: str) -> list[list[Target]]:
    """The location set as groups to ring one after another (RFC 3880 §6.1)."""
    if len(targets) == 1:
        return [[targets[0]]]
    by_priority = sorted(targets, key=lambda target: -target.q)
    if ordering == "parallel":
        return [by_priority] if by_priority else []
    if ordering == "first-only":
        return [by_priority[:1]] if by_priority else []
    return [[target] for target in by_priority]


def may_ring(inquiry: Inquiry, tables: Tables, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Those of a script's targets that it may ring (T63, T88).

    What its owner wrote or registered, who is a user here, and what the
    caller may call himself; but not where a place elsewhere pointed.
    """
    for target in targets:
        if target.owner is None:
            break
    else:
        return targets
    if may_call_out(inquiry, tables):
        return targets
    places = inquiry.context.places
    return tuple(t for t in targets if t.owner is not None or local_domain(t.uri, tables, places) is not None)


def who_answers_for(tables: Tables, targets: tuple[Target, ...], owner: str) -> str | None:
    """The script's owner, when all these are his own phones: then he answers for where they point (T88)."""
    return owner if all(target.owner == owner and answers_for(tables, target) for target in targets) else None


def seconds_to_ring(effect: ProxyTo, request: Request) -> float | None:
    """How long the script, else the caller by Expires, wants it to ring; None: as long as policy allows (§10)."""
    if effect.timeout is not None or "Expires" not in request.names:
        return effect.timeout
    text = (request.first("Expires") or "").strip(" \t")
    seconds = int(text) if len(text) <= 10 and text.isascii() and text.isdigit() else 0
    return float(seconds) if seconds else None


def by_policy(inquiry: Inquiry, tables: Tables, targets: tuple[Target, ...], owner: str | None) -> Proxy | Respond:
    """What is done with the locations that a script changed and left: proxy or redirect, as for bindings (§10 c).

    `owner`: the user of ours whom the Request-URI means. What can't be rung is
    only told the caller, and that only where there is nothing to ring.
    """
    if not targets:
        return Respond(404)
    disposition = disposition_of(inquiry.request)
    rung = tuple(target for target in targets if target.uri.scheme in PROXYABLE and target.action == "proxy")
    if not rung or tables.settings.mode == "redirect" or disposition.redirect:
        return redirect(targets)
    if not disposition.fork:
        rung = (max(rung, key=lambda target: (target.q, target.qa)),)
    return Proxy(rung, owner=owner, disposition=disposition)


def result_of(response: Response, *, recurse: bool, owner: str | None = None) -> ProxyResult:
    """What a proxy operation came to that ended with this response, which is not 2xx.

    With `recurse` the redirection output is never taken: the response pointed
    nowhere new (RFC 3880 §6.1). `owner`: who answers for where it points.
    """
    if response.status >= 400:
        return ProxyResult(OUTCOMES.get(response.status, "failure"))
    if recurse:
        return ProxyResult("failure")
    return ProxyResult("redirection", contacts_of(response, owner))


def log_line(request: Request, direction: Direction, comment: str) -> str:
    """What is written when a script logs: its comment, and whose call it was (RFC 3880 §7.2)."""
    return f"{comment} ({direction}, from {request.from_.uri.text})".lstrip()
