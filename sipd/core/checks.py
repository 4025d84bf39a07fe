"""What a request must pass before anything is decided about it (RFC 3261 §16.3, §8.2; RFC 5393 §4.2).

CHECKS in the RFC's order. The routes have been looked at before, so that a
request from a strict router is checked as the request it means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sipd.core.privacy import can_be_given
from sipd.core.routes import leads_here, means_server, registers_elsewhere
from sipd.errors import (
    BadExtension,
    BadSyntax,
    Forbidden,
    LoopDetected,
    TooManyHops,
    UnsupportedUriScheme,
)
from sipd.message import parse_via, read_parties

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Request
    from sipd.seal import Seal

SCHEMES: Final = frozenset({"sip", "sips", "tel"})
"""Schemes a Request-URI may have (§16.3 step 2)."""

OWN_METHODS: Final = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "SUBSCRIBE")
"""The methods the server handles itself; any other is passed on as it is (§16.3 step 1)."""

PROXY_EXTENSIONS: Final[frozenset[str]] = frozenset({"pref"})
"""Option tags understood in Proxy-Require: caller preferences (RFC 3841 §5); `privacy` (RFC 3323 §4.3) if it can be."""

EXTENSIONS: Final = frozenset({"gruu", "outbound", "path", "pref"})
"""Option tags understood in Require, by the registrar and where OPTIONS asks the server itself."""

_LOOP: Final = "loop"


def check_request(inquiry: Inquiry, tables: Tables) -> None:
    """Go through CHECKS. Raises the SipError of the first that fails."""
    request = inquiry.request
    inquiry.breadth = tables.settings.max_breadth
    for check in _CHECKS_OF.get(request.method, _CHECKS_OF_OTHERS)[not request.extras]:
        check(inquiry, tables)


def check_syntax(inquiry: Inquiry, tables: Tables) -> None:
    """What every request must have is there and can be read (§8.1.1, T04, T06)."""
    request = inquiry.request
    if request.cseq.method != request.method:
        raise BadSyntax("CSeq method is another")
    request.call_id  # noqa: B018  reading it raises
    if inquiry.in_dialog:
        return  # the seal was made of the tags, and nothing else of From and To is used
    read_parties(request)


def check_scheme(inquiry: Inquiry, tables: Tables) -> None:
    """416 for a scheme unknown here, as sips is without TLS (T95); 400 for a URI with a headers part (T07, T64)."""
    uri = inquiry.uri
    if uri.scheme not in SCHEMES or (uri.scheme == "sips" and not inquiry.context.places.has_tls):
        raise UnsupportedUriScheme
    if uri.headers or (uri.params and uri.param("method") is not None):
        raise BadSyntax("Headers or method in the Request-URI")


def check_max_forwards(inquiry: Inquiry, tables: Tables) -> None:
    """483 when it may go no further and isn't for us (T40); none at all counts as 70."""
    request = inquiry.request
    if request.max_forwards != 0 or is_options_to_us(inquiry, tables):
        return
    if request.method != "REGISTER" or registers_elsewhere(inquiry, tables):
        raise TooManyHops


def check_max_breadth(inquiry: Inquiry, tables: Tables) -> None:
    """400 for a Max-Breadth that is no positive number or comes twice (RFC 5393 §5.3.1); else it is `breadth`.

    None at all counts as the most there may be, and so does more than that.
    """
    request = inquiry.request
    most = tables.settings.max_breadth
    if "Max-Breadth" not in request.names:
        return
    values = request.values("Max-Breadth")
    if len(values) > 1 or not values[0].isascii() or not values[0].isdigit() or not values[0].strip("0"):
        raise BadSyntax("Bad Max-Breadth")
    digits = values[0].lstrip("0")
    inquiry.breadth = min(most, int(digits)) if len(digits) < 9 else most


def check_loop(inquiry: Inquiry, tables: Tables) -> None:
    """482 when this very request has been sent on by us before: a Via of ours has its mark (T37, T38)."""
    request = inquiry.request
    if request.one_via:
        return  # it comes from the one who made it
    context = inquiry.context
    end = "." + loop_mark(request, context.seal)
    for text in request.values("Via"):
        if end not in text:
            continue
        via = parse_via(text)
        if (via.branch or "").endswith(end) and context.places.is_ours(via.host, via.port):
            raise LoopDetected


def loop_mark(request: Request, seal: Seal, *, with_to_tag: bool = True) -> str:
    """24 hex digits over all that decides where a request goes; the end of the branch of each Via we add.

    Our branches are `z9hG4bK`, 16 random hex digits, a dot and this mark,
    of the request as `decide` left it in the Inquiry. The method is not in it,
    so CANCEL and ACK have the branch of their INVITE (RFC 5393 §4.2.1); where
    that must hold without state, the To tag is left out, as only the ACK has it.
    """
    routes = request.values("Route") if "Route" in request.names else ()
    return seal.mark(
        _LOOP,
        request.request_uri,
        request.call_id,
        str(request.cseq.number),
        request.from_tag or "",
        (request.to_tag or "") if with_to_tag else "",
        *routes,
    )


def check_proxy_require(inquiry: Inquiry, tables: Tables) -> None:
    """420 for an extension the way must know and we don't (§16.3 step 5); ACK and CANCEL have no say (§8.2.2.3)."""
    request = inquiry.request
    if "Proxy-Require" in request.names and request.method not in ("ACK", "CANCEL"):
        known = PROXY_EXTENSIONS | {"privacy"} if can_be_given(request) else PROXY_EXTENSIONS
        refuse_unknown(request, "Proxy-Require", known)


def check_own(inquiry: Inquiry, tables: Tables) -> None:
    """What we answer ourselves: REGISTER to a domain of ours, no number or mere address (403); Require (§8.2.2.3)."""
    request = inquiry.request
    if request.method == "REGISTER":
        if not inquiry.uri.is_sip:
            raise Forbidden("Not a domain of this server")
        if registers_elsewhere(inquiry, tables):
            if leads_here(inquiry.uri, tables, inquiry.context.places):
                raise Forbidden("Not a domain of this server")  # nor is there another registrar to ask
            return
    elif request.method != "OPTIONS" or "Require" not in request.names or not is_options_to_us(inquiry, tables):
        return
    if "Require" in request.names:
        refuse_unknown(request, "Require", EXTENSIONS)


def is_options_to_us(inquiry: Inquiry, tables: Tables) -> bool:
    """Whether it asks what this server itself can do (§11)."""
    if inquiry.request.method != "OPTIONS" or "Route" in inquiry.request.names:
        return False
    return means_server(inquiry.uri, tables, inquiry.context.places)


def refuse_unknown(request: Request, name: str, known: frozenset[str]) -> None:
    """420 for option tags in that header field that are not known (§8.2.2.3)."""
    unknown = [tag for tag in request.values(name) if tag.lower() not in known]
    if unknown:
        raise BadExtension(headers=tuple(("Unsupported", tag) for tag in unknown))


_Check = Callable[["Inquiry", "Tables"], None]

CHECKS: Final[tuple[_Check, ...]] = (
    check_syntax,
    check_scheme,
    check_max_forwards,
    check_max_breadth,
    check_loop,
    check_proxy_require,
    check_own,
)
"""One test of a request each, in the order of §16.3; step 6, credentials, is `identity.identify`."""

ABOUT_EXTRAS: Final = frozenset({check_max_breadth, check_proxy_require})
"""Those about header fields that are not USUAL: where a request has no such (`extras`), they are passed over."""


def _both(checks: Iterable[_Check]) -> tuple[tuple[_Check, ...], tuple[_Check, ...]]:
    """The checks of a request with extras, and of one without."""
    made = tuple(checks)
    return made, tuple(check for check in made if check not in ABOUT_EXTRAS)


_CHECKS_OF_OTHERS: Final = _both(check for check in CHECKS if check is not check_own)
_CHECKS_OF: Final = {"REGISTER": _both(CHECKS), "OPTIONS": _both(CHECKS)}
