"""SUBSCRIBE to registrations: which of them are for us, and who may (RFC 6665 §4.2.1, RFC 3680 §4).

Ours is what asks for the event package `reg` of an address-of-record here, and
all that asks the server itself. Any other package is the phones' matter, and
goes to them as any request does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.checks import EXTENSIONS, refuse_unknown
from sipd.core.decision import Registering, Subscribe
from sipd.core.gruu import is_gruu
from sipd.core.reginfo import MEDIA_TYPE
from sipd.core.routes import local_domain, means_server, primary, registers_elsewhere
from sipd.errors import BadEvent, BadSyntax, Forbidden, IntervalTooBrief, NotFound, SipError
from sipd.message import find_param, parse_params, write_params
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Request
    from sipd.rows import Settings

PACKAGE: Final = "reg"
DEFAULT_EXPIRES: Final = 3761
"""Seconds that a subscription holds when it does not say (RFC 3680 §4.4)."""

ALLOW_EVENTS: Final = (("Allow-Events", PACKAGE),)
_LONGEST_MINIMUM: Final = 3600  # a subscription for an hour is never too brief (RFC 6665 §4.2.1.1)
_ACCEPTED: Final = frozenset({MEDIA_TYPE, "application/*", "*/*"})
_LONGEST_ID: Final = 256


def asks_us(inquiry: Inquiry, tables: Tables) -> bool:
    """Whether we answer it as a user agent would, to a user who has proved himself: then the challenge is a 401.

    That is REGISTER, but for another registrar, and SUBSCRIBE to registrations (RFC 6665 §4.2.1.3).
    """
    method = inquiry.request.method
    if method == "REGISTER":
        return not registers_elsewhere(inquiry, tables)
    return method == "SUBSCRIBE" and _is_ours(inquiry, tables)


def _is_ours(inquiry: Inquiry, tables: Tables) -> bool:
    request, uri, places = inquiry.request, inquiry.uri, inquiry.context.places
    if "Route" in request.names or not uri.is_sip:
        return False
    if not uri.user:
        return means_server(uri, tables, places)
    return (
        _package(request) == PACKAGE
        and not is_gruu(uri)  # that is one phone, and means to be asked itself
        and local_domain(uri, tables, places) is not None
    )


def _package(request: Request) -> str:
    """The event package asked for, compared byte by byte (RFC 6665 §8.2.1); empty: none."""
    return (request.first("Event") or "").partition(";")[0].strip(" \t")


def subscribe(inquiry: Inquiry, tables: Tables) -> Subscribe | None:
    """What a SUBSCRIBE for us asks for; None for one that goes to the phones.

    Raises 489 for another package, 420, 415, 406, 400 and 423 for what it
    wants otherwise, 403 where the subscriber is not the user himself, one
    that he has named, or an administrator.
    """
    request = inquiry.request
    if request.method != "SUBSCRIBE" or not asks_us(inquiry, tables):
        return None
    if _package(request) != PACKAGE:
        raise BadEvent(headers=ALLOW_EVENTS)
    if "Require" in request.names:
        refuse_unknown(request, "Require", EXTENSIONS)
    _check_body(request)
    contacts = request.contacts if "Contact" in request.names else []
    if len(contacts) != 1 or not contacts[0].uri.is_sip:
        raise BadSyntax("Contact must be one SIP URI")
    aor, subscriber = "", inquiry.identity.user
    if request.to_tag is None:
        aor = primary(inquiry.callee, tables)
        _check_right(inquiry, tables, subscriber, aor)
    wanted = Subscribe(
        aor,
        subscriber,
        _event(request),
        contacts[0].uri.as_request_uri(),
        _expires(request, tables.settings),
        proven=bool(inquiry.identity.scheme),
    )
    inquiry.trace.append(Step("subscribe", aor or "in a dialog", f"{wanted.expires} s"))
    return wanted


def may_subscribe(subscriber: str, aor: str, tables: Tables) -> bool:
    """Whether this user may see the registrations of that one: his own, those of who named him, an administrator all.

    RFC 3680 §4.6.
    """
    user = tables.user(subscriber) if subscriber else None
    return user is not None and (
        subscriber == aor or user.role == "administrator" or tables.may_register_for(subscriber, aor)
    )


def _check_right(inquiry: Inquiry, tables: Tables, subscriber: str, aor: str) -> None:
    if not may_subscribe(subscriber, aor, tables):
        inquiry.trace.append(Step("subscribe", f"{subscriber} to {aor}", "denied"))
        mark = Registering(subscriber, aor, allowed=False)
        if mark not in inquiry.marks:
            inquiry.marks = (*inquiry.marks, mark)
        raise Forbidden
    if tables.user(aor) is None:  # said to administrators only
        raise NotFound


def _check_body(request: Request) -> None:
    """Filters are not known here (RFC 3680 §4.3); the document must be welcome (§4.5)."""
    if request.body:
        handling = (request.first("Content-Disposition") or "").partition(";")
        params = parse_params(f";{handling[2]}") if handling[1] else ()
        if (find_param(params, "handling") or "").lower() != "optional":
            raise SipError(status=415, headers=(("Accept", ""),))
    if "Accept" in request.names:
        accepted = {value.partition(";")[0].strip(" \t").lower() for value in request.values("Accept")}
        if accepted.isdisjoint(_ACCEPTED):
            raise SipError(status=406)


def _event(request: Request) -> str:
    """The Event as each NOTIFY repeats it: the package, and the id if there is one (RFC 6665 §8.2.1)."""
    params = (request.first("Event") or "").partition(";")
    ids = [pair for pair in parse_params(f";{params[2]}") if pair[0] == "id"][:1] if params[1] else []
    text = write_params(tuple(ids))
    if len(text) > _LONGEST_ID + len(";id="):
        raise BadSyntax("Event id too long")
    return PACKAGE + text


def _expires(request: Request, settings: Settings) -> int:
    """How long it shall hold: as asked, at most the maximum; 0: only one look. Raises 423 below the least."""
    seconds = DEFAULT_EXPIRES if request.expires is None else request.expires
    least = min(settings.min_expires, _LONGEST_MINIMUM)
    if 0 < seconds < least:
        raise IntervalTooBrief(headers=(("Min-Expires", str(least)),))
    return min(seconds, settings.max_expires)
