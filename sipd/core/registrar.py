"""REGISTER -> Commit, or the answer at once (RFC 3261 §10.3, RFC 3327).

Reads the settled bindings: while a change of this address-of-record waits to
be committed `Missing` is raised, so REGISTERs of one user are decided one
after another without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core import uploads
from sipd.core.dates import date_value
from sipd.core.decision import Commit, Respond
from sipd.core.sips import check_contact
from sipd.errors import BadSyntax, Forbidden, IntervalTooBrief
from sipd.hop import RELIABLE, WEB
from sipd.message import expires_from_text, host_key, parse_uri, q_from_text, q_to_text, quote, unquote, write_params
from sipd.rows import Binding, DropBinding, PutBinding
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Address, Params, Request, Uri
    from sipd.rows import Action, Change, Settings

SCHEMES: Final = frozenset({"sip", "sips", "tel"})
"""Schemes a Contact may have to be stored (T71)."""

_LONGEST_MINIMUM: Final = 3600  # a request for an hour is never too brief (§10.3 step 7)
_OWN_PARAMS: Final = frozenset({"q", "expires", "action", "+sip.instance", "reg-id"})
_LONGEST_PARAMS: Final = 1024
_OUT_OF_ORDER: Final = "Out of order"


class Bindings(NamedTuple):
    """What a REGISTER makes of the bindings: those that hold then, and how to get there."""

    current: list[Binding]
    changes: list[Change]


def register(inquiry: Inquiry, tables: Tables) -> Decision | None:
    """The answer to a REGISTER that ADMIT let through, with the changes it asks for; None for other methods."""
    request = inquiry.request
    if request.method != "REGISTER":
        return None
    aor = inquiry.callee
    if "Contact" not in request.names and not uploads.is_upload(request):
        live = [binding for binding in tables.bindings(aor) if binding.expires_at > inquiry.wall]
        return _answer(inquiry, tables, aor, live, None)
    settled = [binding for binding in tables.settled_bindings(aor) if binding.expires_at > inquiry.wall]
    made = updated(inquiry, tables.settings, aor, settled)
    script = uploads.receive(inquiry, tables, aor)
    if isinstance(script, Respond):
        return script  # nothing of the REGISTER is carried out
    changes = made.changes if script is None else [*made.changes, script]
    response = _answer(inquiry, tables, aor, made.current, script)
    inquiry.trace.append(Step("register", aor, "commit" if changes else "unchanged"))
    if not changes:
        return response
    return Commit(tuple(changes), response, aor)


def updated(inquiry: Inquiry, settings: Settings, aor: str, settled: list[Binding]) -> Bindings:
    """The bindings after this request and the changes that lead there (§10.3 steps 6 and 7); all or none.

    Raises BadSyntax (400) for what is malformed or out of order, 423, or 403
    for too many contacts.
    """
    request = inquiry.request
    if "Contact" not in request.names:
        return Bindings(settled, [])
    contacts = request.contacts
    if not contacts:
        if not request.star_contact:
            raise BadSyntax("Empty Contact")
        return _without_all(request, aor, settled)
    if len(contacts) > settings.max_contacts:
        raise Forbidden("Too many contacts")
    current: list[Binding] = list(settled)
    changes: list[Change] = []
    new: set[str] = set()  # URIs this very request has put: a second value for one takes its place
    for contact in contacts:
        _apply(inquiry, settings, aor, contact, Bindings(current, changes), new)
    if len(current) > settings.max_contacts:
        raise Forbidden("Too many contacts")
    return Bindings(current, changes)


def _without_all(request: Request, aor: str, settled: list[Binding]) -> Bindings:
    """`Contact: *` takes every binding away, and needs `Expires: 0` to be meant (§10.2.2)."""
    expires = request.first("Expires")
    if expires is None or expires_from_text(expires) != 0:
        raise BadSyntax("Contact * needs Expires 0")
    for binding in settled:
        _check_order(request, binding)
    return Bindings([], [DropBinding(aor, binding.uri, binding.key) for binding in settled])


def _apply(inquiry: Inquiry, settings: Settings, aor: str, contact: Address, made: Bindings, new: set[str]) -> None:
    """One Contact value: adds, updates or removes one binding of `made.current`, and notes the change."""
    request, uri = inquiry.request, contact.uri
    current, changes = made
    if uri.scheme not in SCHEMES:
        raise Forbidden("Contact scheme not allowed")
    wants = _wants(contact.params) if contact.params else _NOTHING_SAID
    expires = _expires(request, wants.expires, settings)
    place = _find(contact, current)
    if uri.scheme == "sips" and expires:
        check_contact(request)
    if place is not None:
        old = current[place]
        if old.uri not in new:
            _check_order(request, old)
        if expires == 0 or old.uri != uri.text:
            changes.append(DropBinding(aor, old.uri, old.key))
    if expires == 0:
        if place is not None:
            del current[place]
        return
    binding = Binding(
        aor,
        _stored(uri.text),
        wants.q,
        inquiry.wall + expires,
        request.call_id,
        request.cseq.number,
        wants.action,
        tuple(map(_stored, request.values("Path"))) if "Path" in request.names else (),
        came_from(inquiry, contact.uri),
        _readable(request.first("User-Agent") or "") if "User-Agent" in request.names else "",
        wants.instance,
        wants.reg_id,
        wants.others,
    )
    changes.append(PutBinding(binding))
    new.add(binding.uri)
    if place is None:
        current.append(binding)
    else:
        current[place] = binding


def came_from(inquiry: Inquiry, contact: Uri) -> str:
    """Where to send instead of to the Contact, as text; empty when the Contact itself can be used.

    A phone behind NAT calls itself by an address that leads nowhere from here
    (RFC 3581 §1, RFC 5626 §4.2): it has the same host in Via and Contact, and
    the packet came from another. A connection is the way back to whoever opened it,
    and a WebSocket the only one: a browser has no address, and says so by a host
    under `.invalid` (RFC 7118 §5).
    Where somebody registers another's address, that address is meant.
    """
    source, via = inquiry.source, inquiry.request.via
    if contact.host == source.host and source.transport == "UDP":
        return ""
    if source.transport in WEB:
        return str(source)
    if source.transport in RELIABLE:
        own = contact.transport == source.transport
        return str(source) if own and host_key(contact.host) in (host_key(via.host), host_key(source.host)) else ""
    behind_nat = host_key(via.host) == host_key(contact.host) != host_key(source.host)
    return str(source) if behind_nat else ""


def _find(contact: Address, current: list[Binding]) -> int | None:
    """The place of the binding with an equivalent URI (§19.1.4)."""
    text = contact.uri.text
    for place, binding in enumerate(current):
        if binding.uri == text:
            return place
    for place, binding in enumerate(current):
        if parse_uri(binding.uri).same_binding(contact.uri):
            return place
    return None


def _check_order(request: Request, binding: Binding) -> None:
    """A request of the same Call-ID must have a higher CSeq than the last one that changed this binding (T69)."""
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise BadSyntax(_OUT_OF_ORDER)


def _expires(request: Request, asked: str | None, settings: Settings) -> int:
    """How long the binding shall hold: as asked, at most the maximum; 0 removes it. Raises 423 below the least."""
    seconds = request.expires if asked is None else expires_from_text(asked)
    if seconds is None:
        seconds = settings.default_expires
    least = min(settings.min_expires, _LONGEST_MINIMUM)
    if 0 < seconds < least:
        raise IntervalTooBrief(headers=(("Min-Expires", str(least)),))
    return min(seconds, settings.max_expires)


class _Wants(NamedTuple):
    """What the parameters of a Contact say (§10.2.1, §20.10, RFC 5626 §4.1)."""

    q: int = 1000
    expires: str | None = None
    action: Action = "proxy"
    instance: str = ""
    reg_id: int = 0
    others: str = ""  # given back, not understood


_NOTHING_SAID: Final = _Wants()


def _wants(params: Params) -> _Wants:
    """Raises BadSyntax for a bad q (T70)."""
    said = {name: unquote(value or "") for name, value in params}
    others = write_params(tuple(pair for pair in params if pair[0] not in _OWN_PARAMS))
    reg_id = said.get("reg-id", "")
    return _Wants(
        q_from_text(said["q"]) if "q" in said else 1000,
        said.get("expires"),
        "redirect" if said.get("action", "").lower() == "redirect" else "proxy",
        _readable(said.get("+sip.instance", "")),
        int(reg_id) if reg_id.isascii() and reg_id.isdigit() and len(reg_id) < 10 else 0,
        _readable(others, _LONGEST_PARAMS) if len(others) <= _LONGEST_PARAMS else "",
    )


def _stored(text: str) -> str:
    """`text` itself, when it can be stored: what we look things up by must be UTF-8 (T09)."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadSyntax("Not UTF-8") from None
    return text


def _readable(text: str, longest: int = 255) -> str:
    """A text for people, cut to its column; bytes that are no UTF-8 become marks (T36)."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text[:longest]


# -- the answer ----------------------------------------------------------------


def _answer(
    inquiry: Inquiry, tables: Tables, aor: str, current: Iterable[Binding], script: uploads.ScriptChange | None
) -> Respond:
    """200 with every binding as it is after the commit, Date, and the stored script when it is wanted (step 8)."""
    request, wall = inquiry.request, inquiry.wall
    headers = [("Contact", contact_value(binding, wall)) for binding in current]
    headers.append(("Date", date_value(int(wall))))
    if "Path" in request.names and _supports(request, "path"):
        headers.extend(("Path", value) for value in request.values("Path"))
    headers.extend(ANSWER_HEADERS)
    return uploads.with_script(inquiry, tables, aor, Respond(200, headers=tuple(headers)), script)


ANSWER_HEADERS: Final = (("Supported", "path"), *uploads.ACCEPT_HEADERS)


def contact_value(binding: Binding, wall: float) -> str:
    """A binding as the 200 lists it, with the seconds it still has."""
    text = f"<{binding.uri}>;expires={max(1, round(binding.expires_at - wall))}"
    if binding.q != 1000:
        text = f"{text};q={q_to_text(binding.q)}"
    if binding.action != "proxy":
        text = f"{text};action={binding.action}"
    if binding.instance:
        text = f"{text};+sip.instance={quote(binding.instance)}"
        if binding.reg_id:
            text = f"{text};reg-id={binding.reg_id}"
    return text + binding.params if binding.params else text


def _supports(request: Request, extension: str) -> bool:
    return any(value.lower() == extension for value in request.values("Supported"))
