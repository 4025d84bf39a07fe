"""What the lazy attributes of a message are read by, and what is read ahead because every message is asked for it.

A reader gives the value of one attribute (`Message._readers`) or raises
BadSyntax. The usual spellings go the quick way; what that can't settle, the
typed value does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.errors import BadSyntax
from sipd.message.grammar import MAX_TOKEN, TOKEN, split_list
from sipd.message.headers import extras_of
from sipd.message.message import Message, Request
from sipd.message.uri import Uri, parse_uri
from sipd.message.values import (
    Address,
    CSeq,
    Via,
    cseq_from_line,
    expires_from_text,
    media_type,
    number_from_line,
    number_from_text,
    parse_address,
    parse_cseq,
    parse_route,
    parse_via,
    party_from_line,
    via_from_line,
)

if TYPE_CHECKING:
    from collections.abc import Set

SHORT_LINE: Final = 64
USUAL_LINE: Final = 256
"""Longest lines that are looked up among those read before: what is remembered stays small."""

MAX_VALUES: Final = 2000
"""Most Contact values we take apart; more in one message is an attack (T22, T23)."""

_CALL_ID: Final = re.compile(r"[!-~]+")
_USUAL_CALL_ID: Final = re.compile(r"Call-ID: [!-~]{1,1000}")
# A tag that no quoted string can have forged: asked of the text after the last ">".
_QUICK_TAG: Final = re.compile(r";[ \t]*+tag[ \t]*+=[ \t]*+([^ \t\";,<>=]++)[ \t]*+(?=;|$)", re.IGNORECASE | re.ASCII)


def read_ahead(message: Message) -> None:
    """Read what every message is asked for: Via, branch, CSeq, Call-ID. Raises BadSyntax for a bad Via (T01)."""
    names, lines = message.names, message.lines
    via = via_from_line(lines[message.via_at]) if "Via" in names else None
    if via is None:
        via = top_via(message)
        message.branch = via.branch
    else:
        message.branch = via.params[0][1]  # the usual spelling begins with it
    message.via = via
    try:
        line = lines[names.index("CSeq")]
        if len(line) <= SHORT_LINE:
            message.cseq = cseq_from_line(line)
        line = lines[names.index("Call-ID")]
    except (ValueError, BadSyntax):
        return  # missing or bad: said when somebody reads it, as it may not matter
    if _USUAL_CALL_ID.fullmatch(line):
        message.call_id = line[9:]


def read_parties(request: Request) -> None:
    """Read From and To whole, with their tags: a bad one raises BadSyntax here and now (T06)."""
    from_ = request.from_ = _party(request, "From")
    to = request.to = _party(request, "To")
    request.from_tag = from_.tag
    request.to_tag = to.tag


def read_ahead_request(request: Request) -> None:
    """Read what a request is asked for besides: its URI and Max-Forwards, if they are as usual."""
    names = request.names
    if "Max-Forwards" in names:
        line = request.lines[names.index("Max-Forwards")]
        if len(line) <= SHORT_LINE and 0 <= (hops := number_from_line(line)) <= 255:
            request.max_forwards = hops
    try:
        request.uri = parse_uri(request.request_uri)
    except BadSyntax:
        return  # said when somebody reads it: a retransmission is absorbed all the same


def top_via(message: Message) -> Via:
    """What `message.via` is: the topmost Via, its branch looked at. Raises BadSyntax."""
    value = _needed(message, "Via")
    via = parse_via(split_list(value)[0] if "," in value else value)
    _ = via.branch  # a bad one raises here and now
    return via


def _extras(message: Message) -> Set[str]:
    return extras_of(message.names)


def _one_via(message: Message) -> bool:
    return message.names.count("Via") == 1 and len(split_list(_needed(message, "Via"))) == 1


def _via_at(message: Message) -> int:
    if "Via" not in message.names:
        raise BadSyntax("Missing Via")
    return message.names.index("Via")


def _needed(message: Message, name: str) -> str:
    value = message.first(name)
    if value is None:
        raise BadSyntax(f"Missing {name}")
    return value


def _call_id(message: Message) -> str:
    value = _needed(message, "Call-ID")
    if not _CALL_ID.fullmatch(value) or len(value) > MAX_TOKEN:
        raise BadSyntax("Bad Call-ID")
    return value


def _party(message: Message, name: str) -> Address:
    """From or To: all but the tag is looked up among what has been read before."""
    line = message.lines[message.names.index(name)] if name in message.names else ""
    if len(line) <= USUAL_LINE:
        head, found, tag = line.rpartition(">;tag=")
        if not found:
            known = party_from_line(line) if line[-1:] == ">" else None
            if known is not None:
                return known
        elif TOKEN.fullmatch(tag):
            known = party_from_line(head + ">")
            if known is not None:
                return Address(known.display, known.uri, (("tag", tag),))
    return parse_address(_needed(message, name))


def _tag(message: Message, name: str, attribute: str) -> str | None:
    """The tag in a hurry; what the hurry can't settle, the typed value does."""
    if name in message.names:
        _, found, tag = message.lines[message.names.index(name)].rpartition(">;tag=")
        if found and len(tag) <= MAX_TOKEN and TOKEN.fullmatch(tag):
            return tag
    value = _needed(message, name)
    _, angle, tail = value.rpartition(">")
    if angle and '"' not in tail:
        if "tag" not in tail.lower():
            return None
        tags = _QUICK_TAG.findall(tail)
        if len(tags) == 1 and len(tags[0]) <= MAX_TOKEN:
            return str(tags[0])
    address: Address = getattr(message, attribute)
    return address.tag


def _contacts(message: Message) -> list[Address]:
    if message.star_contact:
        return []
    values = message.values("Contact")
    if len(values) > MAX_VALUES:
        raise BadSyntax("Too many Contacts")
    return [parse_address(value) for value in values]


def _routes(message: Message) -> list[Address]:
    return [parse_route(value) for value in message.values("Route")] if "Route" in message.names else []


def _cseq(message: Message) -> CSeq:
    return parse_cseq(_needed(message, "CSeq"))


def _branch(message: Message) -> str | None:
    return message.via.branch


def _from(message: Message) -> Address:
    return _party(message, "From")


def _to(message: Message) -> Address:
    return _party(message, "To")


def _from_tag(message: Message) -> str | None:
    return _tag(message, "From", "from_")


def _to_tag(message: Message) -> str | None:
    return _tag(message, "To", "to")


def _uri(request: Request) -> Uri:
    return parse_uri(request.request_uri)


def _max_forwards(message: Message) -> int | None:
    value = message.first("Max-Forwards")
    if value is None:
        return None
    number = number_from_text(value, 256)
    if number > 255:
        raise BadSyntax("Bad Max-Forwards")
    return number


def _expires(message: Message) -> int | None:
    value = message.first("Expires")
    return None if value is None else expires_from_text(value)


def _content_type(message: Message) -> str | None:
    value = message.first("Content-Type")
    return None if value is None else media_type(value)


Message._readers = {
    "extras": _extras,
    "one_via": _one_via,
    "via_at": _via_at,
    "via": top_via,
    "call_id": _call_id,
    "branch": _branch,
    "cseq": _cseq,
    "from_": _from,
    "to": _to,
    "from_tag": _from_tag,
    "to_tag": _to_tag,
    "contacts": _contacts,
    "star_contact": lambda message: message.names.count("Contact") == 1 and message.first("Contact") == "*",
    "max_forwards": _max_forwards,
    "expires": _expires,
    "content_type": _content_type,
    "routes": _routes,
    "record_routes": lambda message: [parse_route(value) for value in message.values("Record-Route")],
}
Request._readers = Message._readers | {"uri": _uri}
