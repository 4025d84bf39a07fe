"""Whose is this URI; our own Route values; the sealed Record-Route (RFC 3261 §16.4, §16.6 step 4).

A Record-Route of ours carries `sd`, a mark over Call-ID and the tag of the
party who sent the request. In that dialog one side has this tag in From, the
other in To, so both make the mark and nobody else does (T65). Where its user
part is a flow token the mark is over that as well: the request goes by that
flow. In a call of ours to somebody elsewhere it is over the caller's address
instead, and good for what comes from there (ADR 0008). A Path value of ours
has a token and a mark over it alone: whoever was given it may reach that flow
(RFC 5626 §5.3).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sipd.core.ways import is_token, token_from_text
from sipd.errors import Forbidden
from sipd.message import Request, is_address, sip_uri
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.inquiry import Inquiry, OurPlaces
    from sipd.core.tables import Tables
    from sipd.message import Uri
    from sipd.seal import Seal

PURPOSE: Final = "record-route"
PATH: Final = "path"
_DEFAULT_PORTS: Final = (5060, 5061)
_AS_WE_WRITE_IT: Final = re.compile(
    r"Route[ \t]*:[ \t]*<sip:(\[[0-9a-f:.]+\]|[a-z0-9.-]+):([0-9]{1,5})(?:;transport=[a-z]+)?;lr;sd=",
    re.IGNORECASE | re.ASCII,
)
_OF_TWO: Final = re.compile(
    r"Route: <sips?:(?:(fl\.[A-Za-z0-9_-]+)@)?((?:\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})"
    r"(?:;transport=[a-z]+)?;lr;sd=([0-9a-f]{24})>"
)
_USUAL_LENGTH: Final = 256
_PLAIN_TAG: Final = re.compile(r"[A-Za-z0-9.~_-]{1,128}")


def names_us(host: str, port: int | None, tables: Tables, places: OurPlaces) -> bool:
    """Whether host and port mean this server: one of its sockets, or a local domain without a port of another.

    A phone on our own host has another port, so an explicit port must be ours;
    with a domain name the two default ports are (RFC 3263 §4.2 leads here).
    """
    if port is not None and places.is_ours(host, port):
        return True
    if port is None:
        return tables.domain(host) is not None or places.is_ours(host, None)
    return port in _DEFAULT_PORTS and not is_address(host) and tables.domain(host) is not None


def local_domain(uri: Uri, tables: Tables, places: OurPlaces) -> str | None:
    """The local domain whose user, or whose server, a URI means; None when that is somebody else's (§16.5).

    Only sip and sips URIs have a domain. A maddr that is not ours makes any
    URI foreign.
    """
    if uri.scheme != "sip" and uri.scheme != "sips":
        return None
    domain = tables.domain(uri.host)
    if domain is None:
        return None
    port = uri.port
    if port is not None and not names_us(uri.host, port, tables, places):
        return None
    if uri.params:
        maddr = uri.param("maddr")
        if maddr is not None and not names_us(maddr, port, tables, places):
            return None
    return domain


def address_of_record(uri: Uri, tables: Tables) -> str:
    """The canonical `user@domain` of a sip or sips URI in a local domain (§10.3 step 5); else empty.

    Empty too without a user part, or when that is not UTF-8 (T09): nobody has such a name.
    """
    if uri.user is None or (uri.scheme != "sip" and uri.scheme != "sips"):
        return ""
    domain = tables.domain(uri.host)
    if domain is None:
        return ""
    return joined(uri.user_unescaped, domain)


def primary(aor: str, tables: Tables) -> str:
    """The user whom an address of ours means: an alias of one is his; all else means what it says."""
    if aor and tables.user(aor) is None:
        users = tables.alias(aor)
        if len(users) == 1:
            return users[0]
    return aor


def joined(user: str, domain: str) -> str:
    """`user@domain`, or empty when there is no user part or it is not UTF-8."""
    if not user:
        return ""
    if not user.isascii():
        try:
            user.encode()
        except UnicodeEncodeError:
            return ""
    return f"{user}@{domain}"


def means_server(uri: Uri, tables: Tables, places: OurPlaces) -> bool:
    """Whether a Request-URI means this server itself: no user part, and a place or domain of ours."""
    return not uri.user and uri.is_sip and names_us(uri.host, uri.port, tables, places)


def leads_here(uri: Uri, tables: Tables, places: OurPlaces) -> bool:
    """Whether a sip or sips URI leads to this server, be it to a user of ours or not; a maddr leads elsewhere."""
    return names_us(uri.host, uri.port, tables, places) and uri.param("maddr") is None


def registers_elsewhere(inquiry: Inquiry, tables: Tables) -> bool:
    """Whether it is a REGISTER for a registrar other than this one, to be passed on like any request (§16.3)."""
    return inquiry.request.method == "REGISTER" and tables.domain(inquiry.uri.host) is None


def record_route_value(
    request: Request,
    sent_by: str,
    transport: str,
    seal: Seal,
    token: str = "",
    *,
    secure: bool = False,
    only_from: str = "",
) -> str:
    """The Record-Route value to put on a request that we want to see the dialog of.

    `sent_by` is `host:port` of the flow it leaves by or came in on, `transport`
    as in Via. `token` names the flow that leads to that side, where nothing
    else does. `secure`: a sips URI, which says by itself that it means TLS
    (RFC 5630 §5.3). `only_from`: without a token it is good for what its maker
    sends from that address. Nothing of it needs to be remembered.
    """
    token_or_place = token or only_from
    if secure:
        mark = seal.mark(
            PURPOSE, request.call_id, request.from_tag or "", *([token_or_place] if token_or_place else [])
        )
        user, param = f"{token}@" if token else "", ";transport=ws" if transport == "WSS" else ""
        return f"<sips:{user}{sent_by}{param};lr;sd={mark}>"
    if token:
        mark = seal.mark(PURPOSE, request.call_id, request.from_tag or "", token)
        return f"<sip:{token}@{sent_by}{_transport_param(transport)};lr;sd={mark}>"
    mark = seal.mark(PURPOSE, request.call_id, request.from_tag or "", *([only_from] if only_from else []))
    if transport == "UDP":
        return f"<sip:{sent_by};lr;sd={mark}>"
    return f"<sip:{sent_by};transport={transport.lower()};lr;sd={mark}>"


def path_value(sent_by: str, transport: str, seal: Seal, token: str, *, secure: bool) -> str:
    """The Path value to put on a REGISTER whose client is reached by the flow that `token` names (RFC 5626 §5.1)."""
    scheme, param = ("sips", "") if secure else ("sip", _transport_param(transport))
    return f"<{scheme}:{token}@{sent_by}{param};lr;ob;sd={seal.mark(PATH, token)}>"


def _transport_param(transport: str) -> str:
    return "" if transport == "UDP" else f";transport={transport.lower()}"


def strip_routes(inquiry: Inquiry, tables: Tables) -> None:
    """Take our own values off Route, from either kind of router, and see whether a seal of ours was there.

    §16.4: a Request-URI that is a Record-Route of ours comes from a strict
    router, and the last Route is the URI meant; our maddr is taken off; then
    the top Route goes while it names us. The last of those that go says by
    which flow the request is sent, if it names one: of two of a dialog that is
    the side it leaves by (RFC 5658 §3). Fills in `request`, `uri`, `in_dialog`
    and `through`; asked again it finds nothing left to do. Raises Forbidden
    for a token that is not ours, or not of this dialog (RFC 5626 §5.3.1).
    """
    names, uri = inquiry.request.names, inquiry.uri
    if uri.params and uri.is_sip:
        if "Route" in names and uri.param("sd") is not None and _sealed(inquiry, uri.param("sd"), _token(uri)):
            inquiry.through = token_from_text(_token(uri))
            _loosen(inquiry)
            names, uri = inquiry.request.names, inquiry.uri
        if uri.param("maddr") is not None:
            _strip_maddr(inquiry, tables)
    if "Route" in names and not (_strip_only_route(inquiry) or _strip_two(inquiry)):
        _strip_own(inquiry, tables)


@lru_cache(64)
def _place_named(line: str) -> tuple[str, int] | None:
    """Host and port in a Route line as we wrote it, up to the mark; remembered, as there are few."""
    found = _AS_WE_WRITE_IT.fullmatch(line)
    return None if found is None else (found[1].strip("[]"), int(found[2]))


def _strip_only_route(inquiry: Inquiry) -> bool:
    """The usual case in a hurry: one Route, just as we wrote it, with a seal that holds."""
    request = inquiry.request
    names = request.names
    if names.count("Route") != 1:
        return False
    at = names.index("Route")
    line = request.lines[at]
    place = _place_named(line[:-25]) if line[-1:] == ">" and len(line) <= _USUAL_LENGTH else None  # 24 are the mark
    if place is None or not inquiry.context.places.is_ours(*place) or not _sealed(inquiry, line[-25:-1]):
        return False
    inquiry.in_dialog = True
    names, lines = names.copy(), request.lines.copy()
    del names[at], lines[at]
    inquiry.request = request.with_lines(names, lines)
    return True


@lru_cache(64)
def _place(text: str) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _strip_two(inquiry: Inquiry) -> bool:
    """The other usual case in a hurry: two Routes, as we wrote them for the sides of a dialog, with seals that hold."""
    request = inquiry.request
    names, lines = request.names, request.lines
    at = names.index("Route")
    if names.count("Route") != 2 or names[at + 1] != "Route" or len(lines[at]) + len(lines[at + 1]) > 2 * _USUAL_LENGTH:
        return False
    first, last = _OF_TWO.fullmatch(lines[at]), _OF_TWO.fullmatch(lines[at + 1])
    places = inquiry.context.places
    if first is None or last is None or not (places.is_ours(*_place(first[2])) and places.is_ours(*_place(last[2]))):
        return False
    through = None if last[1] is None else token_from_text(last[1])
    if (through is None) is not (last[1] is None) or not _sealed(inquiry, last[3], last[1] or ""):
        return False
    if first[1] is not None and not _sealed(inquiry, first[3], first[1]):
        return False
    inquiry.in_dialog, inquiry.through = True, through
    names, lines = names.copy(), lines.copy()
    del names[at : at + 2], lines[at : at + 2]
    inquiry.request = request.with_lines(names, lines)
    return True


def _strip_own(inquiry: Inquiry, tables: Tables) -> None:
    """Drop the Route values on top that name us."""
    routes, places = inquiry.request.routes, inquiry.context.places
    own = 0
    for route in routes:
        uri = route.uri
        if not uri.is_sip or not names_us(uri.host, uri.port, tables, places):
            break
        own += 1
        if is_token(uri.user):
            _follow_token(inquiry, uri)
            continue
        inquiry.through = None
        inquiry.in_dialog = _sealed(inquiry, uri.param("sd"))  # the last one decides, as it does of the way
    if own:
        inquiry.request = _with_routes(inquiry.request, inquiry.request.values("Route")[own:])


def _token(uri: Uri) -> str:
    """The flow token of a Record-Route or Path URI; empty: it has none."""
    return uri.user or "" if is_token(uri.user) else ""


def _follow_token(inquiry: Inquiry, uri: Uri) -> None:
    """A Route of ours says by which flow to send, if it bears our mark. Raises Forbidden (RFC 5626 §5.3.1)."""
    token, mark = _token(uri), uri.param("sd") or ""
    through = token_from_text(token)
    of_path = uri.param("ob") is not None
    if through is None or not (
        inquiry.context.seal.holds(mark, PATH, token) if of_path else _sealed(inquiry, mark, token)
    ):
        inquiry.trace.append(Step("route", token, "no flow token of ours"))
        raise Forbidden("Bad Flow Token")
    if not of_path:
        inquiry.in_dialog = True
    elif through.way.remote[:3] == inquiry.source[:3] or inquiry.request.method == "REGISTER":
        through = None  # it comes from that very flow: an outgoing request (RFC 5626 §5.3)
    inquiry.through = through


def _loosen(inquiry: Inquiry) -> None:
    """A strict router's request as a loose one would have sent it: the last Route is the URI that was meant."""
    request = inquiry.request
    inquiry.in_dialog = True
    inquiry.uri = request.routes[-1].uri
    inquiry.request = _with_routes(
        request, request.values("Route")[:-1], f"{request.method} {inquiry.uri.text} SIP/2.0"
    )


def _with_routes(request: Request, routes: list[str], start_line: str = "") -> Request:
    """The same request with these Route values, one a line in the place of the first, and nothing else changed."""
    names, lines = request.names.copy(), request.lines.copy()
    first = names.index("Route")
    for _ in range(names.count("Route")):
        place = names.index("Route")
        del names[place], lines[place]
    if routes:
        names[first:first] = ["Route"] * len(routes)
        lines[first:first] = [f"Route: {route}" for route in routes]
    return request.with_lines(names, lines, start_line)


def _sealed(inquiry: Inquiry, mark: str | None, token: str = "") -> bool:
    """Whether this is the mark of the dialog the request says it belongs to, and of the flow token beside it.

    A request without To tag belongs to none, nor does a REGISTER, whatever
    they carry: with a seal got in one call nobody may begin another.
    """
    request, seal = inquiry.request, inquiry.context.seal
    if not mark or request.method == "REGISTER":
        return False
    call_id, to_tag = request.call_id, _tag(request, "To")
    if to_tag is None:
        return False
    from_tag = _tag(request, "From") or ""
    if token:
        return seal.holds(mark, PURPOSE, call_id, from_tag, token) or seal.holds(mark, PURPOSE, call_id, to_tag, token)
    return (
        seal.holds(mark, PURPOSE, call_id, from_tag)
        or seal.holds(mark, PURPOSE, call_id, to_tag)
        or seal.holds(mark, PURPOSE, call_id, from_tag, inquiry.source.host)  # of one who called somebody elsewhere
    )


def _tag(request: Request, name: str) -> str | None:
    """The tag of From or To; when it ends the line, as nearly always, without reading the rest."""
    names = request.names
    if name in names:
        _, found, tag = request.lines[names.index(name)].rpartition(">;tag=")
        if found and _PLAIN_TAG.fullmatch(tag):
            return tag
    return request.from_tag if name == "From" else request.to_tag


def _strip_maddr(inquiry: Inquiry, tables: Tables) -> None:
    """Take off a maddr that is ours, with port and transport (§16.4): it has brought the request here."""
    uri, places = inquiry.uri, inquiry.context.places
    maddr = uri.param("maddr")
    if not maddr or not names_us(maddr, uri.port, tables, places):
        return
    params = tuple(pair for pair in uri.params if pair[0] not in ("maddr", "transport"))
    inquiry.uri = sip_uri(uri.host, user=uri.user, password=uri.password, params=params, scheme=uri.scheme)
    inquiry.trace.append(Step("route", "maddr", "taken off"))
