"""What a REGISTER makes of a user's bindings (RFC 3261 §10.3 steps 6 and 7, RFC 5626 §6, RFC 5627 §5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.gruu import check_contact, epoch, is_gruu
from sipd.core.outbound import flow_key, instance_key, rules, short_key
from sipd.core.sips import check_sips_contact
from sipd.core.ways import is_direct, only_by_flow
from sipd.errors import BadSyntax, Forbidden, IntervalTooBrief
from sipd.hop import Way
from sipd.message import expires_from_text, parse_uri, q_from_text, unquote, write_params
from sipd.rows import Binding, DropBinding, PutBinding

if TYPE_CHECKING:
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Address, Params, Request, Uri
    from sipd.rows import Action, Change, Settings

SCHEMES: Final = frozenset({"sip", "sips", "tel"})
"""Schemes a Contact may have to be stored (T71)."""

_LONGEST_MINIMUM: Final = 3600  # a request for an hour is never too brief (§10.3 step 7)
_OWN_PARAMS: Final = frozenset({"q", "expires", "action", "+sip.instance", "reg-id", "pub-gruu", "temp-gruu"})
LONGEST_PARAMS: Final = 1024
"""Characters of further parameters of a Contact that are kept; more are left out."""

LONGEST_URI: Final = 2000
"""Bytes of a Contact's URI: as wide as its column."""

LONGEST_CALL_ID: Final = 8000
"""The same of a Call-ID."""

_OUT_OF_ORDER: Final = "Out of order"


class Bindings(NamedTuple):
    """What a REGISTER makes of the bindings: those that hold then, and how to get there."""

    current: list[Binding]
    changes: list[Change]
    outbound: bool = False  # a flow was bound by instance and reg-id


def updated(inquiry: Inquiry, tables: Tables, aor: str, settled: list[Binding]) -> Bindings:
    """The bindings after this request and the changes that lead there (§10.3 steps 6 and 7); all or none.

    Raises BadSyntax (400) for what is malformed or out of order, 423, or 403
    for too many contacts.
    """
    request, settings = inquiry.request, tables.settings
    if "Contact" not in request.names:
        return Bindings(settled, [])
    contacts = request.contacts
    if not contacts:
        if not request.star_contact:
            raise BadSyntax("Empty Contact")
        return _without_all(request, aor, settled)
    if len(contacts) > settings.max_contacts + len(settled):  # each of those may be taken away here
        raise Forbidden("Too many contacts")
    wishes = [_wants(contact.params) if contact.params else _NOTHING_SAID for contact in contacts]
    outbound = False
    for wants in wishes:
        if wants.reg_id and wants.instance:
            outbound = _outbound(request, wishes, settings)
            break
    made = Bindings(list(settled), [], outbound)
    new: set[tuple[str, str]] = set()  # what this very request has put: a second value for one takes its place
    for contact, wants in zip(contacts, wishes, strict=True):
        _apply(inquiry, tables, aor, contact, wants, made, new)
    if len(made.current) > settings.max_contacts:
        raise Forbidden("Too many contacts")
    return made


def _outbound(request: Request, wishes: list[_Wants], settings: Settings) -> bool:
    """Whether the flows that these Contacts speak of are bound as such; raises 439, and 400 for more than one flow."""
    if not rules(request):
        return False
    if sum(_expires(request, wants.expires, settings) > 0 for wants in wishes) > 1:
        raise BadSyntax("A flow is registered alone")
    return True


def _without_all(request: Request, aor: str, settled: list[Binding]) -> Bindings:
    """`Contact: *` takes every binding away, and needs `Expires: 0` to be meant (§10.2.2)."""
    expires = request.first("Expires")
    if expires is None or expires_from_text(expires) != 0:
        raise BadSyntax("Contact * needs Expires 0")
    for binding in settled:
        _check_order(request, binding)
    return Bindings([], [DropBinding(aor, binding.uri, binding.key, "unregistered") for binding in settled])


def _apply(
    inquiry: Inquiry,
    tables: Tables,
    aor: str,
    contact: Address,
    wants: _Wants,
    made: Bindings,
    new: set[tuple[str, str]],
) -> None:
    """One Contact value: adds, updates or removes one binding of `made.current`, and notes the change."""
    request, uri = inquiry.request, contact.uri
    current, changes = made.current, made.changes
    if uri.scheme not in SCHEMES:
        raise Forbidden("Contact scheme not allowed")
    expires = _expires(request, wants.expires, tables.settings)
    if uri.scheme == "sips" and expires:
        check_sips_contact(request)
    flow = made.outbound and wants.reg_id > 0 and wants.instance != ""
    received = _received(inquiry, uri, flow)
    key = flow_key(wants.instance, wants.reg_id) if flow else ""
    place = _find_flow(key, current) if flow else _find(request, contact, wants, received, expires, current)
    if place is not None:
        old = current[place]
        key = old.key
        if (old.uri, key) not in new:
            _check_order(request, old)
        if expires == 0 or old.uri != uri.text:
            changes.append(DropBinding(aor, old.uri, key, "unregistered"))
    if expires == 0:
        if place is not None:
            del current[place]
        return
    if not flow and (place is None or current[place].uri != uri.text):
        key = _free_key(key, request.call_id, {one.key for one in current if one.uri == uri.text})
    binding = _binding(inquiry, aor, uri, wants, expires=expires, received=received, key=key, flow=flow)
    if wants.instance or is_gruu(uri):
        check_contact(inquiry, tables, aor, uri, wants.instance)
        if wants.instance:
            binding = binding._replace(gruu=_epoch(inquiry, binding, made, place))
    changes.append(PutBinding(binding))
    new.add((uri.text, key))
    if place is None:
        current.append(binding)
    else:
        current[place] = binding


def _free_key(key: str, call_id: str, taken: set[str]) -> str:
    """That key, or another where it is `taken`: another phone behind another NAT calls itself the same."""
    number = 0
    while key in taken:
        key = short_key(f"{call_id} {number}" if number else call_id)
        number += 1
    return key


def _binding(
    inquiry: Inquiry, aor: str, uri: Uri, wants: _Wants, *, expires: int, received: str, key: str, flow: bool
) -> Binding:
    """What is stored of one Contact value. Raises BadSyntax for what can't be."""
    request, names = inquiry.request, inquiry.request.names
    if len(uri.text) > LONGEST_URI or len(request.call_id) > LONGEST_CALL_ID:
        raise BadSyntax("Contact or Call-ID too long")
    return Binding(
        aor,
        _stored(uri.text),
        wants.q,
        inquiry.wall + expires,
        request.call_id,
        request.cseq.number,
        wants.action,
        tuple(map(_stored, request.values("Path"))) if "Path" in names else (),
        received,
        _readable(request.first("User-Agent") or "") if "User-Agent" in names else "",
        wants.instance,
        wants.reg_id if flow else 0,
        wants.others,
        key,
        inquiry.wall,
    )


def _epoch(inquiry: Inquiry, binding: Binding, made: Bindings, place: int | None) -> str:
    """Which temporary GRUUs of this instance are good from now on; other bindings of it are told (RFC 5627 §5.1).

    Those made before stay so while the Call-ID does; a new flow brings its
    own Call-ID and spoils none. `place`: of the binding whose place this one takes.
    """
    instance = instance_key(binding.instance)
    same = [one for one in made.current if one.instance and instance_key(one.instance) == instance]
    rivals = [one for one in same if not binding.reg_id or one.reg_id == binding.reg_id]
    if rivals:
        last = max(rivals, key=lambda one: one.refreshed_at)
        if last.call_id == binding.call_id:
            return last.gruu
    elif same:
        return same[0].gruu
    new = epoch(inquiry.context.seal, binding.aor, binding.call_id, binding.cseq, inquiry.wall)
    for number, one in enumerate(made.current):
        if one in same and number != place:
            made.current[number] = one._replace(gruu=new)
            made.changes.append(PutBinding(made.current[number]))
    return new


def _received(inquiry: Inquiry, contact: Uri, flow: bool) -> str:
    """The flow to send by instead of to the Contact, as text; empty when the Contact itself can be used.

    An outbound phone is reached by its flow whatever its Contact says (RFC 5626 §6).
    """
    request, source = inquiry.request, inquiry.source
    if not flow and contact.host == source.host and source.transport == "UDP":
        return ""  # as most are
    if (flow or only_by_flow(source, request.via, contact)) and is_direct(request):
        return str(Way(source, inquiry.near))
    return ""


def _find_flow(key: str, current: list[Binding]) -> int | None:
    """The place of the binding of that instance and reg-id, whatever its Contact is (RFC 5626 §6)."""
    for place, binding in enumerate(current):
        if binding.key == key:
            return place
    return None


def _find(
    request: Request, contact: Address, wants: _Wants, received: str, expires: int, current: list[Binding]
) -> int | None:
    """The place of the binding with an equivalent URI (§19.1.4), and of the same phone where two may have one URI."""
    text = contact.uri.text
    for place, binding in enumerate(current):
        if binding.uri == text and not binding.key and not (received and binding.received):
            return place
    equal = [place for place, binding in enumerate(current) if parse_uri(binding.uri).same_binding(contact.uri)]
    for place in equal:
        binding = current[place]
        if not binding.reg_id and _same_phone(request, wants, received, binding):
            return place
    if expires == 0:  # who takes a Contact away need not know by which flow it was bound
        return next((place for place in equal if current[place].reg_id), None)
    return None


def _same_phone(request: Request, wants: _Wants, received: str, binding: Binding) -> bool:
    """Whether two phones behind NAT that call themselves the same are one (docs/adr/0014).

    By instance where both have one, else by Call-ID, or because they are behind the same NAT.
    """
    if not received or not binding.received or binding.call_id == request.call_id:
        return True
    if wants.instance and binding.instance:
        return instance_key(wants.instance) == instance_key(binding.instance)
    return Way.from_text(received).remote.host == Way.from_text(binding.received).remote.host


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
    return _Wants(
        q_from_text(said["q"]) if "q" in said else 1000,
        said.get("expires"),
        "redirect" if said.get("action", "").lower() == "redirect" else "proxy",
        _readable(said.get("+sip.instance", "")),
        _reg_id(said.get("reg-id", "")),
        _readable(others, LONGEST_PARAMS) if len(others) <= LONGEST_PARAMS else "",
    )


def _reg_id(text: str) -> int:
    """1 to 2^31 - 1 (RFC 5626 §4.2); 0 for anything else, which means nothing."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    return number if number < 2**31 else 0


def _stored(text: str) -> str:
    """`text` itself, when it can be stored: what we look things up by must be UTF-8 (T09)."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadSyntax("Not UTF-8") from None
    return text


def _readable(text: str, longest: int = 255) -> str:
    """A text for people, cut to its column; bytes that are no UTF-8, and NUL, become marks (T36)."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text.replace("\0", "?")[:longest]
