"""Registration information: what a subscriber is told of a user's contacts, as XML (RFC 3680 §4.7, §5, RFC 5628).

`changes_of` is the state machine of each contact: what has become of it since
it was looked at last. `document` writes that down, or all there is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from sipd.core.gruu import first_cseq, latest_of, public_gruu, temporary_gruu
from sipd.core.outbound import instance_key, short_key
from sipd.errors import BadSyntax
from sipd.message import escaped_user, parse_params, q_to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sipd.rows import Binding
    from sipd.seal import Seal

MEDIA_TYPE: Final = "application/reginfo+xml"
_NAMESPACE: Final = "urn:ietf:params:xml:ns:reginfo"
_GRUU_NAMESPACE: Final = "urn:ietf:params:xml:ns:gruuinfo"
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Key = tuple[str, str]
"""What tells one binding of a user from the others: URI and key."""

ContactEvent = Literal[
    "registered", "created", "refreshed", "shortened", "expired", "deactivated", "unregistered", "rejected"
]
ENDED: Final = frozenset({"expired", "deactivated", "unregistered", "rejected"})
"""Events after which a contact is no more (§4.7.1)."""


class Known(NamedTuple):
    """A binding as it was seen last, and since when it has been there."""

    binding: Binding
    since: float | None = None  # wall-clock seconds; None: from before anybody looked


class Told(NamedTuple):
    """One contact in a document: what befell it last."""

    known: Known
    event: ContactEvent

    @property
    def id(self) -> str:
        """The same in all documents, and for no other contact of that user."""
        return contact_id(self.known.binding)


def contact_id(binding: Binding) -> str:
    """What tells a contact from others, the same after a restart (§5.1)."""
    return short_key(f"{binding.uri}\n{binding.key}")


def changes_of(
    old: Mapping[Key, Known], new: Iterable[Binding], causes: Mapping[Key, ContactEvent], wall: float
) -> tuple[list[Told], dict[Key, Known]]:
    """What has become of each contact since `old`, and what is known now; `new` are those that hold at `wall`.

    `causes` says why bindings were dropped, where that is known: else it was
    not their phone that wanted it.
    """
    told: list[Told] = []
    now: dict[Key, Known] = {}
    for binding in new:
        key = binding.uri, binding.key
        before = old.get(key)
        if before is None:
            now[key] = Known(binding, wall)
            told.append(Told(now[key], "registered" if binding.call_id else "created"))
            continue
        now[key] = before._replace(binding=binding)
        if binding != before.binding:
            told.append(Told(now[key], _changed(before.binding, binding)))
    for key, known in old.items():
        if key not in now:
            expired = known.binding.expires_at <= wall
            told.append(Told(known, "expired" if expired else causes.get(key, "deactivated")))
    return told, now


def _changed(old: Binding, new: Binding) -> ContactEvent:
    """Whether a REGISTER refreshed it, or somebody else has shortened its time (§4.7.1)."""
    registered = (old.call_id, old.cseq, old.refreshed_at) != (new.call_id, new.cseq, new.refreshed_at)
    return "shortened" if not registered and new.expires_at < old.expires_at else "refreshed"


def as_registered(bindings: Iterable[Known]) -> list[Told]:
    """All contacts there are, for a document with the full state."""
    return [Told(known, "registered" if known.binding.call_id else "created") for known in bindings]


def document(
    aor: str, version: int, contacts: Sequence[Told], current: Iterable[Binding], *, full: bool, wall: float, seal: Seal
) -> bytes:
    """The XML of these contacts of a user; `current` are all his bindings that hold (§5).

    A registration without any is `init`, and `terminated` where the document says how the last one ended.
    """
    there = list(current)
    user, _, domain = aor.rpartition("@")
    state = "active" if there else "terminated" if contacts else "init"
    gruus = latest_of(there)
    more = f' xmlns:gr="{_GRUU_NAMESPACE}"' if gruus else ""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<reginfo xmlns="{_NAMESPACE}"{more} version="{version}" state="{"full" if full else "partial"}">',
        f'<registration aor={_attr(f"sip:{escaped_user(user)}@{domain}")} id="{short_key(aor)}" state="{state}">',
    ]
    for told in contacts:
        lines += _contact(told, gruus, wall, seal)
    lines += ["</registration>", "</reginfo>", ""]
    return "\n".join(lines).encode()


def _contact(told: Told, gruus: Mapping[str, Binding], wall: float, seal: Seal) -> list[str]:
    binding, since = told.known
    active = told.event not in ENDED
    attributes = [f'id="{told.id}"', f'state="{"active" if active else "terminated"}"', f'event="{told.event}"']
    if since is not None:
        attributes.append(f'duration-registered="{max(0, round(wall - since))}"')
    if active:
        attributes.append(f'expires="{max(0, round(binding.expires_at - wall))}"')
    attributes.append(f'q="{q_to_text(binding.q)}"')
    if binding.call_id:
        attributes += [f"callid={_attr(binding.call_id)}", f'cseq="{binding.cseq}"']
    lines = [f"<contact {' '.join(attributes)}>", f"<uri>{_text(binding.uri)}</uri>"]
    lines += [f"<unknown-param name={_attr(name)}>{_text(value)}</unknown-param>" for name, value in _params(binding)]
    latest = gruus.get(instance_key(binding.instance)) if binding.instance and active else None
    if latest is not None:
        first = first_cseq(latest)
        lines.append(f"<gr:pub-gruu uri={_attr(public_gruu(binding, seal))}/>")
        lines.append(f'<gr:temp-gruu uri={_attr(temporary_gruu(binding, latest, seal))} first-cseq="{first}"/>')
    return [*lines, "</contact>"]


def _params(binding: Binding) -> list[tuple[str, str]]:
    """Further parameters of the Contact, as they stood there (§5.1 unknown-param)."""
    found: list[tuple[str, str]] = [] if binding.action == "proxy" else [("action", binding.action)]
    if binding.instance:
        escaped = binding.instance.replace("\\", "\\\\").replace('"', '\\"')
        found.append(("+sip.instance", f'"{escaped}"'))
    if binding.reg_id:
        found.append(("reg-id", str(binding.reg_id)))
    try:
        return [*found, *((name, value or "") for name, value in parse_params(binding.params))]
    except BadSyntax:  # others write rows, too
        return found


def _text(text: str) -> str:
    """Any text as XML: what XML has no way to say becomes a mark."""
    return escape(_NOT_XML.sub("\ufffd", text))


def _attr(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))
