"""User location: who is registered where. Contacts may be put there by hand, for phones that can't register."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import about, carry_out, known_user, page_of
from sipd.errors import BadSyntax
from sipd.message import parse_uri, q_from_text
from sipd.rows import Binding, DropBinding, Expect, PutBinding, Settings
from sipd.store import WHOLE, Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.message import Uri
    from sipd.rows import Change
    from sipd.store import Snapshot, Store

FOREVER: Final = 2**31 - 1
"""Seconds that a contact without an end is stored for, 68 years: what every phone can read in the 200."""

PERMANENT: Final = 2**30
"""Seconds from which on a contact counts as one without an end."""

LONGEST_URI: Final = 2000
"""Bytes of a contact, as wide as its column."""

LEAST_KNOWN: Final = Settings().max_contacts
"""Contacts of a user that make it worth asking how many are permitted."""

BY_HAND: Final = "sipdctl"
"""The User-Agent of a contact that no phone registered; it has no Call-ID (RFC 3680 §4.7.1: created)."""


async def show(store: Store, arguments: Arguments) -> Plain:
    """The contacts of one user, or of all."""
    address = arguments.optional("address")
    if address is None:
        return _told((await store.load_all()).bindings)
    snapshot = await about(store, address)
    aor = known_user(address, snapshot).aor
    return _told([binding for binding in snapshot.bindings if binding.aor == aor])


async def listing(store: Store, arguments: Arguments) -> Plain:
    """All contacts, or those that a text is part of; a page of them."""
    part = (arguments.optional("filter") or "").lower()
    after, limit = page_of(arguments)
    bindings = [
        binding
        for binding in (await store.load_all()).bindings
        if binding.aor > after and any(part in text.lower() for text in (binding.aor, binding.uri, binding.user_agent))
    ]
    bindings.sort()
    if limit is not None and len(bindings) > limit:  # the contacts of one user stay together
        last = bindings[limit - 1].aor
        bindings = [binding for binding in bindings if binding.aor <= last]
    return _told(bindings)


def _told(bindings: Sequence[Binding]) -> list[Plain]:
    now = time.time()
    return [
        {
            "user": binding.aor,
            "contact": binding.uri,
            "q": binding.q / 1000,
            "expires": round(binding.expires_at - now),
            "permanent": binding.expires_at - now >= PERMANENT,
            "received": binding.received,
            "agent": binding.user_agent,
        }
        for binding in sorted(bindings)
        if binding.expires_at > now
    ]


async def add(store: Store, arguments: Arguments) -> Plain:
    """Put a contact there by hand; one of the same URI is replaced. No phone need refresh it."""
    uri = _uri(arguments.word("contact"))
    q = _q(arguments.optional("q"))
    expires = arguments.number("expires", 1, FOREVER)
    seconds = FOREVER if expires is None else expires
    snapshot = await about(store, arguments.word("address"))
    user = known_user(arguments.word("address"), snapshot)
    now = time.time()
    there = [row for row in snapshot.bindings if row.aor == user.aor]
    same = [row for row in there if parse_uri(row.uri).same_binding(uri)]
    live = [row for row in there if row.expires_at > now and row not in same]
    most = await _most_contacts(store) if len(live) >= LEAST_KNOWN else LEAST_KNOWN
    if len(live) >= most:
        raise Refusal(
            f"{user.aor} has {len(live)} contacts already, as many as max_contacts permits",
            f"Remove one with: sipdctl ul rm {user.aor} CONTACT",
        )
    put = Binding(user.aor, uri.text, q, now + seconds, user_agent=BY_HAND, refreshed_at=now)
    changes: list[Change] = [DropBinding(row.aor, row.uri, row.key) for row in same]
    await carry_out(store, [*_expected(store, snapshot, user.aor), *changes, PutBinding(put)])
    return {"user": user.aor, "contact": uri.text, "q": q / 1000, "expires": seconds, "permanent": expires is None}


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Take a contact of a user away, or all of them."""
    contact = arguments.optional("contact")
    if (contact is None) != arguments.flag("all"):
        raise Refusal("which contact is not said", "Write one, or --all")
    snapshot = await about(store, arguments.word("address"))
    user = known_user(arguments.word("address"), snapshot)
    there = [row for row in snapshot.bindings if row.aor == user.aor]
    if contact is not None:
        uri = _uri(contact)
        there = [row for row in there if parse_uri(row.uri).same_binding(uri)]
    if not there:
        what = "contact" if contact is None else f"contact {contact}"
        raise Refusal(f"{user.aor} has no {what}", f"See: sipdctl ul show {user.aor}")
    gone: list[Change] = [DropBinding(row.aor, row.uri, row.key) for row in there]
    await carry_out(store, [*_expected(store, snapshot, user.aor), *gone])
    return {"user": user.aor, "removed": sorted({row.uri for row in there})}


async def _most_contacts(store: Store) -> int:
    """What the server permits; of several that which permits the most."""
    rows = (await store.load_some([Key("server", WHOLE)])).settings
    return max((settings.max_contacts for settings in rows), default=LEAST_KNOWN)


def _expected(store: Store, snapshot: Snapshot, aor: str) -> list[Change]:
    """Where several servers write: that none of them has changed the contacts meanwhile."""
    if not store.shared:
        return []
    return [Expect(aor, next((version for row, version in snapshot.versions if row == aor), 0))]


def _uri(text: str) -> Uri:
    """A URI that a contact can have. Raises Refusal."""
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    try:
        uri = parse_uri(bare)
    except BadSyntax as error:
        raise Refusal(f"not a contact: {text!r} ({error.text})", "Write sip:user@host:port") from None
    if uri.scheme not in ("sip", "sips", "tel") or uri.headers or len(bare.encode()) > LONGEST_URI:
        raise Refusal(f"not a contact: {text!r}", "Write a sip:, sips: or tel: URI without headers")
    return uri


def _q(text: str | None) -> int:
    try:
        return 1000 if text is None else q_from_text(text)
    except BadSyntax:
        raise Refusal(
            f"--q can't be {text!r}", "It is a number from 0 to 1, such as 0.5; the highest is tried first"
        ) from None


ADDRESS: Final = Parameter("address", "user@domain")

VERBS: Final = (
    Verb(
        "ul",
        "show",
        "contacts that are registered, with the seconds they have left",
        (Parameter("address", "user@domain; none: all users", "optional"),),
        show,
        unmade="nobody is registered",
    ),
    Verb(
        "ul",
        "list",
        "all contacts, or those that a text is part of",
        (
            Parameter("filter", "part of the address, of the contact or of the phone's name; none: all", "optional"),
            Parameter("limit", "how many, and the rest of the last user's; none: all", "option"),
            Parameter("after", "only of users whose address comes after this one", "option"),
        ),
        listing,
        unmade="nobody is registered",
    ),
    Verb(
        "ul",
        "add",
        "put a contact there by hand, for a phone that does not register",
        (
            ADDRESS,
            Parameter("contact", "its URI, as sip:alice@192.0.2.1:5060"),
            Parameter("expires", "seconds that it holds; none: until it is removed", "option"),
            Parameter("q", "0 to 1: the highest is tried first; none: 1", "option"),
        ),
        add,
    ),
    Verb(
        "ul",
        "rm",
        "take a contact away",
        (
            ADDRESS,
            Parameter("contact", "its URI", "optional"),
            Parameter("all", "all contacts of this user", "flag"),
        ),
        remove,
    ),
)
