"""What a text/uri-list says about where somebody is (RFC 3880 §5.2, RFC 2483 §5)."""

from __future__ import annotations

from typing import Final

from sipd.cpl.nodes import MAX_LOCATIONS, PROXYABLE
from sipd.cpl.reader import MAX_VALUE
from sipd.cpl.values import REDIRECT_ONLY
from sipd.errors import SipError
from sipd.hop import Target
from sipd.message import parse_uri
from sipd.script import LookupResult

URI_LIST: Final = "text/uri-list"

NOT_THERE: Final = frozenset({204, 404, 410})
"""Statuses of HTTP that mean: there are none."""


def locations_from(status: int, content_type: str, body: bytes, owner: str) -> LookupResult:
    """What a lookup came to whose URI was answered like this; `owner` is whose script asked.

    A line that is no URI a `location` may have is passed over; where no line
    is one, that is a failure. No more than MAX_LOCATIONS are taken.
    """
    if status in NOT_THERE:
        return LookupResult("notfound")
    if status != 200 or content_type.partition(";")[0].strip(" \t").lower() != URI_LIST:
        return LookupResult("failure")
    lines = [line.strip(" \t") for line in body.decode("latin-1").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        return LookupResult("notfound")
    targets: dict[str, Target] = {}
    for line in lines:
        target = _target(line, owner)
        if target is not None and len(targets) < MAX_LOCATIONS:
            targets.setdefault(target.uri.text, target)
    return LookupResult("success", tuple(targets.values())) if targets else LookupResult("failure")


def _target(line: str, owner: str) -> Target | None:
    if len(line) > MAX_VALUE:
        return None
    try:
        uri = parse_uri(line)
    except SipError:
        return None
    known = uri.scheme in PROXYABLE or uri.scheme in REDIRECT_ONLY
    return Target(uri, owner=owner) if known and line.isascii() else None
