"""What a script is told of a call, and what is made of what it asks for: rules, no deeds (RFC 3880 §4.1.1, §6.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from sipd.core.gruu import as_address
from sipd.core.location import contacts_of
from sipd.script import Facts, ProxyResult

if TYPE_CHECKING:
    from sipd.core.decision import RunScript
    from sipd.core.inquiry import Inquiry
    from sipd.hop import Target
    from sipd.message import Request, Response

OUTCOMES: Final[dict[int, Literal["busy", "noanswer"]]] = {486: "busy", 600: "busy", 408: "noanswer"}
"""Which output a final response takes; 3xx is redirection, all else failure (RFC 3880 §6.1.1)."""

MAX_LOGS: Final = 20
"""Lines one run may write to its owner's log (T47)."""


def facts_of(inquiry: Inquiry, decision: RunScript) -> Facts:
    """The call as the script shall see it (RFC 3880 §4.1.1)."""
    request = inquiry.request
    return Facts(
        owner=decision.owner,
        direction=decision.direction,
        origin=request.from_,
        destination=as_address(inquiry.uri, decision.owner) if decision.direction == "incoming" else inquiry.uri,
        original_destination=request.to,
        now=datetime.fromtimestamp(inquiry.wall, UTC),
        subject=request.first("Subject"),
        organization=request.first("Organization"),
        user_agent=request.first("User-Agent"),
        accept_language=_merged(request, "Accept-Language"),
        priority=request.first("Priority"),
        authenticated=inquiry.identity.user or None,
    )


def _merged(request: Request, name: str) -> str | None:
    """All values of a list header in one text; None when there is none."""
    return ", ".join(request.values(name)) if name in request.names else None


def in_order(targets: tuple[Target, ...], ordering: str) -> list[list[Target]]:
    """The location set as groups to ring one after another (RFC 3880 §6.1)."""
    by_priority = sorted(targets, key=lambda target: -target.q)
    if ordering == "parallel":
        return [by_priority] if by_priority else []
    if ordering == "first-only":
        return [by_priority[:1]] if by_priority else []
    return [[target] for target in by_priority]


def result_of(response: Response, *, recurse: bool) -> ProxyResult:
    """What a proxy operation came to that ended with this response, which is not 2xx.

    With `recurse` the redirection output is never taken: the response pointed nowhere new (RFC 3880 §6.1).
    """
    if response.status >= 400:
        return ProxyResult(OUTCOMES.get(response.status, "failure"))
    if recurse:
        return ProxyResult("failure")
    return ProxyResult("redirection", contacts_of(response))
