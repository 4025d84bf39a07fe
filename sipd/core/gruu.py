"""GRUUs: URIs that reach one phone of a user, from anywhere (RFC 5627).

A public one is the address-of-record with `gr`: a mark that stands for the
instance, and another that proves it ours. A temporary one hides user and
instance: they are encrypted in the user part, with what tells whether it is
still good. Neither is kept anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.outbound import instance_key
from sipd.core.routes import address_of_record, joined, local_domain
from sipd.errors import Forbidden, NotFound, TemporarilyUnavailable
from sipd.message import escaped_user, quote, sip_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Uri
    from sipd.rows import Binding
    from sipd.seal import Seal

_PREFIX: Final = "tgruu."
_HALF: Final = 12  # hex digits of a mark that are used
_CSEQ: Final = 5  # of the hex digits of an epoch those that say when it began
_BLOCK: Final = 64  # bytes: the length of a temporary GRUU says no more of a user than this


class Gruu(NamedTuple):
    """What a GRUU stands for."""

    aor: str
    instance: str  # the mark of the instance
    epoch: str = ""  # of a temporary one: must be that of the instance's bindings


def epoch(seal: Seal, aor: str, call_id: str, cseq: int, wall: float) -> str:
    """What temporary GRUUs made from now on have in common, until the client changes its Call-ID (RFC 5627 §5.1).

    Its end says when that began: see `first_cseq`.
    """
    mark = seal.mark("gruu-epoch", aor, call_id, str(cseq), f"{wall:.6f}")[: _HALF - _CSEQ]
    return f"{mark}{cseq % 16**_CSEQ:0{_CSEQ}x}"


def first_cseq(binding: Binding) -> int:
    """The CSeq of the REGISTER that got the first of the temporary GRUUs that are good now (RFC 5628 §5)."""
    if not binding.gruu:
        return binding.cseq
    since = (binding.cseq - int(binding.gruu[-_CSEQ:], 16)) % 16**_CSEQ
    return max(0, binding.cseq - since)


def parameters(binding: Binding, latest: Binding, seal: Seal) -> str:
    """The pub-gruu and temp-gruu of a Contact in the answer to REGISTER (RFC 5627 §5.2).

    `latest` is the binding of the same instance that was refreshed last: each
    of its refreshes makes a new temporary GRUU.
    """
    public, temporary = public_gruu(binding, seal), temporary_gruu(binding, latest, seal)
    return f";pub-gruu={quote(public)};temp-gruu={quote(temporary)}"


def public_gruu(binding: Binding, seal: Seal) -> str:
    """The URI that leads to that instance for as long as there is the user."""
    user, _, domain = binding.aor.rpartition("@")
    mark = _proven(binding.aor, _instance_mark(binding.aor, binding.instance, seal), seal)
    return f"{_scheme(binding)}:{escaped_user(user)}@{domain};gr={mark}"


def temporary_gruu(binding: Binding, latest: Binding, seal: Seal) -> str:
    """The newest URI that leads to that instance and says nothing of it; `latest` as in `parameters`."""
    instance = _instance_mark(binding.aor, binding.instance, seal)
    return f"{_scheme(binding)}:{_temporary(latest, instance, seal)}@{binding.aor.rpartition('@')[2]};gr"


def _scheme(binding: Binding) -> str:
    return "sips" if binding.uri[:5].lower() == "sips:" else "sip"


def _instance_mark(aor: str, instance: str, seal: Seal) -> str:
    return seal.mark("gruu", aor, instance_key(instance))[:_HALF]


def _proven(aor: str, instance: str, seal: Seal) -> str:
    return instance + seal.mark("gruu-public", aor, instance)[:_HALF]


def _temporary(latest: Binding, instance: str, seal: Seal) -> str:
    new = seal.mark("gruu-new", latest.call_id, str(latest.cseq), f"{latest.refreshed_at:.6f}")
    data = bytes.fromhex(new[:16] + instance + latest.gruu.rjust(_HALF, "0")) + latest.aor.encode()
    return _PREFIX + seal.hide("temp-gruu", data.ljust(-(-len(data) // _BLOCK) * _BLOCK, b"\0"))


def is_gruu(uri: Uri) -> bool:
    """Whether a URI means to be a GRUU."""
    return bool(uri.params) and uri.param("gr") is not None


def as_address(uri: Uri, owner: str) -> Uri:
    """The URI as a script of its owner shall see it: of a GRUU the address-of-record, which he knows."""
    if not is_gruu(uri):
        return uri
    user, _, domain = owner.rpartition("@")
    return sip_uri(domain, user=escaped_user(user), scheme=uri.scheme)


def callee_of(uri: Uri, domain: str, seal: Seal) -> str:
    """The address-of-record that a URI of that local domain means; raises NotFound for a `gr` that is not ours."""
    return gruu_of(uri, domain, seal).aor if is_gruu(uri) else joined(uri.user_unescaped, domain)


def gruu_of(uri: Uri, domain: str, seal: Seal) -> Gruu:
    """What this GRUU of a local domain stands for; raises NotFound for one that we have not made (RFC 5627 §6.1)."""
    gr = (uri.param("gr") or "").lower()
    if gr:
        aor = joined(uri.user_unescaped, domain)
        if aor and len(gr) == 2 * _HALF and seal.equal(gr, _proven(aor, gr[:_HALF], seal)):
            return Gruu(aor, gr[:_HALF])
    elif (uri.user or "").startswith(_PREFIX):
        data = seal.reveal("temp-gruu", (uri.user or "")[len(_PREFIX) :])
        if data is not None:
            aor = data[20:].rstrip(b"\0").decode()
            if aor.rpartition("@")[2] == domain:
                return Gruu(aor, data[8:14].hex(), data[14:20].hex())
    raise NotFound


def contacts_of_instance(inquiry: Inquiry, tables: Tables, bindings: Iterable[Binding]) -> list[Binding]:
    """Of the callee's live bindings those that the GRUU sought means (RFC 5627 §6.1).

    Raises 480 when that phone is not registered, NotFound for a temporary
    GRUU that is no longer good. A Path is left out where the request has a
    way of its own, as in a dialog.
    """
    uri, seal = inquiry.uri, inquiry.context.seal
    gruu = gruu_of(uri, tables.domain(uri.host) or "", seal)
    found = [one for one in bindings if one.instance and _instance_mark(one.aor, one.instance, seal) == gruu.instance]
    if gruu.epoch and not any(binding.gruu == gruu.epoch for binding in found):
        raise NotFound
    if not found:
        raise TemporarilyUnavailable
    if "Route" in inquiry.request.names:
        return [binding._replace(path=()) for binding in found]
    return found


def check_contact(inquiry: Inquiry, tables: Tables, aor: str, contact: Uri, instance: str) -> None:
    """403 for a Contact that would lead back to its own address-of-record: a GRUU of it, or with an instance itself.

    With an instance any but a SIP URI is refused as well (RFC 5627 §5.1).
    """
    if instance and not contact.is_sip:
        raise Forbidden("Contact of an instance is no SIP URI")
    domain = local_domain(contact, tables, inquiry.context.places) if contact.is_sip else None
    if domain is None:
        return
    if is_gruu(contact):
        try:
            loops = callee_of(contact, domain, inquiry.context.seal) == aor
        except NotFound:
            loops = joined(contact.user_unescaped, domain) == aor
    else:
        loops = bool(instance) and address_of_record(contact, tables) == aor
    if loops:
        raise Forbidden("Contact leads back to the address-of-record")


def latest_of(bindings: Sequence[Binding]) -> dict[str, Binding]:
    """The binding of each instance that was refreshed last, by instance key."""
    latest: dict[str, Binding] = {}
    for binding in bindings:
        if binding.instance:
            key = instance_key(binding.instance)
            if key not in latest or latest[key].refreshed_at <= binding.refreshed_at:
                latest[key] = binding
    return latest
