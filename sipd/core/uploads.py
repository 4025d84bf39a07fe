"""Scripts that travel in REGISTER (draft-lennox-sip-reg-payload-01; SCRIPTING.md section 4).

A body with `Content-Disposition: script;action=store` is the user's new CPL
script, `action=remove` with no body takes the stored one away, and the 200 to
any REGISTER brings the stored script back to a client whose Accept names it.
An upload that fails is the REGISTER's failure: nothing of it is carried out.

Only proven users upload. Where the server's authentication is off nobody can
prove anything, so uploads are taken from the server's own host only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.dates import date_value, seconds_of
from sipd.core.decision import Respond, ScriptChecked
from sipd.core.fetched import MOST_KEPT, Unfetched, compiled_with_zones
from sipd.core.multipart import split_multipart
from sipd.core.tables import Missing
from sipd.cpl import CplError, terms_of
from sipd.errors import BadSyntax, Forbidden, ServiceUnavailable, SipError
from sipd.message import media_type, quote, split_list
from sipd.message.grammar import find_param, parse_params
from sipd.rows import DropScript, PutScript, PutTimezone, Script
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Request

TIMEZONES: Final = "timezones"
"""The kind of row that `Missing` names: by URLs with blanks between, each with what it led to, byte by character."""

CPL: Final = "application/cpl+xml"
CPL_TYPES: Final = frozenset({CPL, "application/cpl-xml"})
"""The media types of a CPL script: RFC 3880 §14.3, and the one of the drafts before it."""

ACCEPT_HEADERS: Final[tuple[tuple[str, str], ...]] = (("Accept", CPL), ("Accept-Disposition", "script"))
"""What every answer to REGISTER and OPTIONS says that we take (draft, section 4.2)."""

LARGEST_OVER_UDP: Final = 1300
"""A response over UDP that would be larger leaves without the script: the client asks again over TCP."""

_LONGEST_WARNING: Final = 400
_DISPOSITIONS: Final = frozenset({"script", "sip-cgi"})
_COPIED: Final = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")

ScriptChange = PutScript | DropScript


class Disposition(NamedTuple):
    """A Content-Disposition of the draft, section 3.1; type and action in lower case, None when absent."""

    type: str
    action: str | None
    optional: bool  # handling=optional: whoever does not know the body may pass over it


class _Entity(NamedTuple):
    """What is to be stored or removed, taken out of a multipart if need be."""

    disposition: Disposition | None
    content_type: str | None
    body: bytes


def is_upload(request: Request) -> bool:
    """Whether a REGISTER has a body, or a Content-Disposition without one."""
    return bool(request.body) or "Content-Disposition" in request.names


def receive(inquiry: Inquiry, tables: Tables, aor: str) -> ScriptChange | Respond | None:
    """The change of the stored script that a REGISTER asks for; None for none, a Respond for one refused.

    Every refusal says what would be taken (section 4.2).
    """
    if not is_upload(inquiry.request):
        return None
    try:
        return _receive(inquiry, tables, aor)
    except CplError as error:
        inquiry.trace.append(Step("upload", aor, "script refused"))
        return _refusal(inquiry, error)
    except SipError as error:
        inquiry.trace.append(Step("upload", aor, error.text))
        return Respond(error.status, error.text, (*error.headers, *ACCEPT_HEADERS))


def _receive(inquiry: Inquiry, tables: Tables, aor: str) -> ScriptChange | None:
    request, settings = inquiry.request, tables.settings
    entity = _entity(request)
    if entity is None:
        return None
    disposition = entity.disposition
    if disposition is None or disposition.type not in _DISPOSITIONS:
        if disposition is not None and disposition.optional:
            return None
        if disposition is None and entity.content_type in CPL_TYPES:
            raise BadSyntax("A script needs Content-Disposition with an action")
        raise SipError(status=415)
    if disposition.type == "sip-cgi":
        raise Forbidden("SIP-CGI scripts are not taken here")
    if disposition.action not in ("store", "remove"):
        raise BadSyntax("Content-Disposition needs action=store or action=remove")
    if not _may_upload(inquiry):
        raise Forbidden("Scripts only from proven users")
    if len(entity.body) > settings.max_script:
        raise SipError("Script too long", status=413)
    if entity.content_type is not None and entity.content_type not in CPL_TYPES:
        raise SipError(status=415)
    if disposition.action == "remove":
        if entity.body:
            raise BadSyntax("action=remove goes with an empty body")
        _check_unmodified(request, tables, aor)
        there = tables.script(aor, "cpl") is not None
        return DropScript(aor, "cpl", inquiry.wall, inquiry.identity.user or aor) if there else None
    if entity.content_type is None:
        raise SipError(status=415)
    by = inquiry.identity.user or aor
    if not inquiry.context.guard.may_upload(by, inquiry.wall):
        raise ServiceUnavailable("Too many scripts", headers=(("Retry-After", "60"),))
    owner = tables.user(aor)
    terms = terms_of(settings, owner.gateway_class if owner else "")
    checked = (*inquiry.marks, ScriptChecked(by, len(entity.body), inquiry.wall))
    try:
        program, fetched = compiled_with_zones(entity.body, terms, tables.timezones, _fetched(inquiry))
    except Unfetched as unfetched:
        raise Missing(TIMEZONES, " ".join(unfetched.urls)) from None
    except CplError:
        inquiry.marks = checked
        raise
    inquiry.marks = checked
    _check_unmodified(request, tables, aor)
    if len(tables.timezones.keys() | fetched) > MOST_KEPT:
        raise Forbidden("Too many time zones are kept here")
    inquiry.trace.append(Step("upload", aor, f"store, {len(program.warnings)} warnings"))
    inquiry.zones = tuple(PutTimezone(url, data, inquiry.wall) for url, data in fetched.items())
    return PutScript(Script(aor, "cpl", entity.body, CPL, inquiry.wall, by))


def _fetched(inquiry: Inquiry) -> dict[str, bytes | None]:
    """What this upload has had fetched: URLs, and what they led to; None: nothing."""
    found: dict[str, bytes | None] = {}
    for (kind, key), rows in (inquiry.looked_up or {}).items():
        if kind == TIMEZONES:
            found |= dict.fromkeys(key.split(" "))
            found |= {url: data.encode("latin-1") for url, data in zip(rows[::2], rows[1::2], strict=True)}
    return found


def _may_upload(inquiry: Inquiry) -> bool:
    """Unauthenticated store and remove must be refused (draft, section 8)."""
    host = inquiry.source.host
    return bool(inquiry.identity.scheme) or host.startswith("127.") or host == "::1"


def _check_unmodified(request: Request, tables: Tables, aor: str) -> None:
    """412 when ours is newer than the client thinks (section 3.3); a bad date is ignored."""
    text = request.first("If-Unmodified-Since")
    since = None if text is None else seconds_of(text)
    if since is None:
        return
    script = tables.script(aor, "cpl")
    if script is not None and int(script.modified) > since:
        raise SipError("Script was modified", status=412, headers=(("Date", date_value(int(script.modified))),))


# -- taking the request apart ----------------------------------------------------


def _entity(request: Request) -> _Entity | None:
    content_type = request.content_type
    if request.first("Content-Encoding") not in (None, "", "identity"):
        raise SipError(status=415, headers=(("Accept-Encoding", "identity"),))
    if content_type == "multipart/mixed" and request.body:
        return _part_for_us(request)
    text = request.first("Content-Disposition")
    disposition = None if text is None else disposition_from_text(text)
    if disposition is None and not request.body:
        return None
    return _Entity(disposition, content_type, request.body)


def _part_for_us(request: Request) -> _Entity | None:
    """The one script of a multipart; its other parts are passed over when they may be, else 415 (§8.2.3)."""
    _, _, tail = (request.first("Content-Type") or "").partition(";")
    boundary = find_param(parse_params(";" + tail), "boundary") or ""
    found: _Entity | None = None
    for headers, body in split_multipart(request.body, boundary):
        entity = _entity_of_part(headers, body)
        disposition = entity.disposition
        if disposition is not None and disposition.type in _DISPOSITIONS:
            if found is not None:
                raise BadSyntax("One script at a time")
            found = entity
        elif disposition is None or not disposition.optional:
            raise SipError(status=415)
    return found


def _entity_of_part(headers: Mapping[str, str], body: bytes) -> _Entity:
    text, kind = headers.get("content-disposition"), headers.get("content-type")
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise SipError(status=415)
    return _Entity(
        None if text is None else disposition_from_text(text), None if kind is None else media_type(kind), body
    )


def disposition_from_text(text: str) -> Disposition:
    """A Content-Disposition value (draft, section 3.1). Raises BadSyntax. A file name in it is nothing to us (T52)."""
    kind, semicolon, tail = text.partition(";")
    params = parse_params(";" + tail) if semicolon else ()
    action = find_param(params, "action")
    return Disposition(
        kind.strip(" \t").lower(),
        None if action is None else action.lower(),
        (find_param(params, "handling") or "").lower() == "optional",
    )


# -- answers -----------------------------------------------------------------------


def _refusal(inquiry: Inquiry, error: CplError) -> Respond:
    """A refused script: the first error in Warning 399, all of them in the body when text/plain is accepted.

    Over UDP those that there is room for.
    """
    request = inquiry.request
    first = _CONTROL.sub(" ", str(error.findings[0]).encode("utf-8", "replace").decode())[:_LONGEST_WARNING]
    headers = (("Warning", f"399 sipd {quote(first)}"), *ACCEPT_HEADERS)
    if not _accepts(request, "text/plain"):
        return Respond(error.status, error.text, headers)
    answer = Respond(error.status, error.text, (*headers, ("Content-Type", "text/plain;charset=utf-8")))
    room = LARGEST_OVER_UDP - _size(request, answer) if inquiry.source.transport == "UDP" else None
    return answer._replace(body=_listed(error.report().encode("utf-8", "replace"), room))


def _listed(report: bytes, room: int | None) -> bytes:
    """Whole lines of a report, as many as there is room for, and how many are missing; all of them when it is None."""
    if room is None or len(report) <= room:
        return report
    lines = report.splitlines(keepends=True)
    kept: list[bytes] = []
    room -= 60  # for the last line
    for line in lines:
        if len(line) > room:
            break
        kept.append(line)
        room -= len(line)
    return b"".join(kept) + b"and %d more: ask over TCP\n" % (len(lines) - len(kept))


def with_script(inquiry: Inquiry, tables: Tables, aor: str, answer: Respond, change: ScriptChange | None) -> Respond:
    """The 200 with the script that will be stored by then, when the client wants it and there is room (section 4.2).

    Without Accept it is not wanted: the default is application/sdp (RFC 3261 §20.1).
    """
    request = inquiry.request
    if "Accept" not in request.names:
        return answer
    wanted = next((kind for kind in sorted(CPL_TYPES) if _accepts(request, kind)), None)
    if wanted is None or not _accepts_disposition(request) or isinstance(change, DropScript):
        return answer
    script = change.script if change is not None else tables.script(aor, "cpl")
    if script is None:
        return answer
    modified = date_value(int(script.modified))
    headers = (
        *answer.headers,
        ("Content-Type", wanted),
        ("Content-Disposition", f'script;modification-date="{modified}"'),
    )
    filled = answer._replace(headers=headers, body=script.text)
    if inquiry.source.transport == "UDP" and _size(request, filled) > LARGEST_OVER_UDP:
        return answer
    return filled


def _size(request: Request, answer: Respond) -> int:
    """The bytes this answer will have, a little more rather than less."""
    copied = sum(len(line) + 2 for name, line in zip(request.names, request.lines, strict=True) if name in _COPIED)
    own = sum(len(name) + len(value) + 4 for name, value in answer.headers)
    # Status line, To tag, received and rport, Content-Length and the Server line.
    return copied + own + len(answer.body) + 200


def _accepts(request: Request, kind: str) -> bool:
    """Whether Accept names this media type, by itself or by a range, and not with q=0 (§20.1)."""
    ranges = (kind, kind.partition("/")[0] + "/*", "*/*")
    best: tuple[int, bool] | None = None
    for value in request.values("Accept"):
        name, _, tail = value.partition(";")
        name = name.strip(" \t").lower().replace(" ", "")
        if name in ranges:
            place = ranges.index(name)
            refused = re.search(r";[ \t]*q[ \t]*=[ \t]*0(\.0*)?[ \t]*(;|$)", ";" + tail) is not None
            if best is None or place < best[0]:
                best = place, not refused
    return best is not None and best[1]


def _accepts_disposition(request: Request) -> bool:
    """Whether Accept-Disposition, where it is there, names `script` or `*`; an empty one wants none (section 3.2)."""
    if "Accept-Disposition" not in request.names:
        return True
    return any(
        value.partition(";")[0].strip(" \t").lower() in ("script", "*")
        for text in request.values("Accept-Disposition")
        for value in split_list(text)
    )
