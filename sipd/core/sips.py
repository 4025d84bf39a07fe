"""What a sips URI asks of a proxy: TLS on every hop, and no scheme made of the other (RFC 5630 §5.3, RFC 3261 §26.2.2).

A sips contact may be reached from a sip request, under its sip name and still
over TLS; a sip contact is never reached from a sips request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.errors import TemporarilyUnavailable
from sipd.message import parse_uri

if TYPE_CHECKING:
    from sipd.hop import Target
    from sipd.message import Uri

SECURE: Final = frozenset({"TLS", "WSS"})
"""Transports that a sips URI may go by."""

NOT_ALLOWED: Final = (("Warning", '380 sipd "SIPS Not Allowed"'),)
REQUIRED: Final = (("Warning", '381 sipd "SIPS Required"'),)


def as_asked(asked: Uri, target: Target) -> Target:
    """The target under the scheme that the request has. Raises 480 with Warning 380 for a sips request to another."""
    scheme = target.uri.scheme
    if scheme == asked.scheme or not asked.is_sip:
        return target
    if asked.scheme == "sips":
        raise TemporarilyUnavailable(headers=NOT_ALLOWED)
    return target._replace(uri=with_scheme("sip", target.uri)) if scheme == "sips" else target


def may_follow(asked: Uri, contact: Uri) -> bool:
    """Whether a 3xx to a request for `asked` may be followed there: a change of scheme is the caller's to decide."""
    return not asked.is_sip or contact.scheme == asked.scheme


def with_scheme(scheme: str, uri: Uri) -> Uri:
    """The same sip or sips URI with that scheme."""
    return uri if uri.scheme == scheme else parse_uri(f"{scheme}:{uri.text.partition(':')[2]}")
