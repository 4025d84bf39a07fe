"""What a sips URI asks of a proxy: TLS on every hop, and no scheme made of the other (RFC 5630 §5.3, RFC 3261 §26.2.2).

A sips contact may be reached from a sip request, under its sip name and still
over TLS; a sip contact is never reached from a sips request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.errors import BadSyntax, TemporarilyUnavailable
from sipd.message import parse_address, parse_route, parse_uri

if TYPE_CHECKING:
    from sipd.hop import Target
    from sipd.message import Request, Uri

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


def way_of(request: Request, target: Target) -> Uri:
    """The URI that says where to send: first Route, else the Request-URI (§16.6 step 7); as sips for a sips target."""
    if target.path:
        way = parse_route(target.path[0]).uri
    else:
        routes = request.routes if "Route" in request.names else ()
        way = routes[0].uri if routes else target.uri
    return with_scheme("sips", way) if target.uri.scheme == "sips" and way.is_sip else way


def may_follow(asked: Uri, contact: Uri) -> bool:
    """Whether a 3xx to a request for `asked` may be followed there: a change of scheme is the caller's to decide."""
    return not asked.is_sip or contact.scheme == asked.scheme


def is_secure(request: Request, target: Target) -> bool:
    """Whether a request to this target is to go over TLS all the way: its URI, or the next Route, is a sips URI."""
    if target.uri.scheme == "sips":
        return True
    if "Route" not in request.names:
        return False
    routes = request.routes
    return bool(routes) and routes[0].uri.scheme == "sips"


def check_sips_contact(request: Request) -> None:
    """For a REGISTER with a sips Contact: all that leads to it is sips, or 400 (RFC 5630 §5.2)."""
    if request.uri.scheme != "sips":
        raise BadSyntax("A sips Contact needs a sips Request-URI")
    if any(parse_address(value).uri.scheme != "sips" for value in request.values("Path")):
        raise BadSyntax("A sips Contact needs a sips Path")


def with_scheme(scheme: str, uri: Uri) -> Uri:
    """The same sip or sips URI with that scheme."""
    return uri if uri.scheme == scheme else parse_uri(f"{scheme}:{uri.text.partition(':')[2]}")
