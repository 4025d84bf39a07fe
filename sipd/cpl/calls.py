"""Calls and phones in words, for whoever runs scripts without a server."""

from __future__ import annotations

from datetime import datetime

from sipd.errors import SipError
from sipd.hop import Target
from sipd.message import Address, Uri, parse_address, parse_uri
from sipd.script import Direction, Facts


def call(
    origin: str,
    destination: str,
    *,
    at: datetime | str,
    original_destination: str = "",
    direction: Direction = "incoming",
    owner: str = "",
    subject: str | None = None,
    organization: str | None = None,
    user_agent: str | None = None,
    accept_language: str | None = None,
    priority: str | None = None,
    authenticated: str | None = None,
) -> Facts:
    """A call as a script sees it, from the texts of its header fields.

    `origin` is the From, `"Alice" <sip:alice@example.com>` or the URI alone;
    `destination` the Request-URI; `original_destination` the To, when it is
    another; `at` when the call comes, with its offset from UTC
    (`2026-12-24T18:00+01:00`, or an aware datetime). `owner` is whose script
    runs: without it the callee of an incoming call, the caller of an outgoing
    one. None stands for a header field that the call does not have.
    Raises ValueError for what is no address, no URI or no such time.
    """
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"the time {at} does not say its offset from UTC, for example 2026-12-24T18:00+01:00")
    caller, callee = _address(origin), _uri(destination)
    whose = caller.uri if direction == "outgoing" else callee
    return Facts(
        owner=owner or f"{whose.user or ''}@{whose.host or ''}",
        direction=direction,
        origin=caller,
        destination=callee,
        original_destination=_address(original_destination or destination),
        now=moment,
        subject=subject,
        organization=organization,
        user_agent=user_agent,
        accept_language=accept_language,
        priority=priority,
        authenticated=authenticated,
    )


def place(uri: str, q: float = 1.0) -> Target:
    """A place that a call can go to: for LookupResult and ProxyResult. The highest `q`, 0 to 1, is tried first.

    Raises ValueError for what is no URI, or no such number.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"q is a number from 0 to 1, not {q}")
    return Target(_uri(uri), round(q * 1000))


def _uri(text: str) -> Uri:
    try:
        return parse_uri(text.strip())
    except SipError:
        raise ValueError(f"{text!r} is no URI, for example sip:alice@example.com") from None


def _address(text: str) -> Address:
    try:
        return parse_address(text if "<" in text else f"<{text.strip()}>")
    except SipError:
        raise ValueError(f'{text!r} is no address, for example "Alice" <sip:alice@example.com>') from None
