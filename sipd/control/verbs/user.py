"""Users: who may register and call here."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import about, canonical, carry_out, known_user, page_of, realm_text
from sipd.control.verbs.sheets import field_text
from sipd.rows import DropDelegate, DropUser, ExpectUser, PutDelegate, PutUser, User
from sipd.store import Key, random_password, user_row, with_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.store import Store

SETTABLE: Final = ("level", "role", "gateway_class", "full_name")
ALGORITHMS: Final = {"MD5": "ha1_md5", "SHA-256": "ha1_sha256", "SHA-512-256": "ha1_sha512_256"}
"""Digest algorithm -> the field that says whether he can use it."""

PAGE: Final = 1000
"""Users whose contacts are asked for one by one; for more of them, all are read."""

EVERYBODY: Final = 2**31 - 1
"""More users than there are."""

SHORTEST: Final = 8
"""Letters of a password at least."""


async def add(store: Store, arguments: Arguments) -> Plain:
    """Add a user; without a password he gets a random one, which only this result shows."""
    snapshot = await about(store, arguments.word("address"))
    aor = canonical(arguments.word("address"), snapshot)
    if snapshot.users:
        raise Refusal(f"there is a user {aor} already", f"A new password: sipdctl user passwd {aor}")
    if (await store.load_some([Key("aliases", aor)])).aliases:
        raise Refusal(f"{aor} is an alias", f"Remove it first: sipdctl alias rm {aor}")
    password, shown = _password(arguments)
    realm = realm_text(arguments.optional("realm") or aor.rpartition("@")[2])
    user = _changed(user_row(aor, realm, password), arguments.words("setting"))
    await carry_out(store, [ExpectUser(aor, None), PutUser(user)])
    return {"user": aor, "realm": realm, **shown}


async def listing(store: Store, arguments: Arguments) -> Plain:
    """All users, or those that a text is part of, without their secrets; a page of them."""
    part = (arguments.optional("filter") or "").lower()
    try:
        part.encode()
    except UnicodeEncodeError:
        raise Refusal("the text to look for is not UTF-8", "Is the terminal?") from None
    after, limit = page_of(arguments)
    users = await store.find_users(part, after, limit or EVERYBODY)
    if len(users) > PAGE:
        snapshot = await store.load_all()
    else:
        snapshot = await store.load_some([Key(what, user.aor) for what in ("contacts", "scripts") for user in users])
    contacts = Counter(binding.aor for binding in snapshot.bindings)
    scripts = {script.aor for script in snapshot.scripts if script.enabled}
    return [
        {
            "user": user.aor,
            "realm": user.realm,
            "level": user.level,
            "role": user.role,
            "contacts": contacts[user.aor],
            "script": user.aor in scripts,
            "name": user.full_name,
        }
        for user in users
    ]


async def show(store: Store, arguments: Arguments) -> Plain:
    """All that is kept of one user, but his secrets."""
    snapshot = await about(store, arguments.word("address"))
    user = known_user(arguments.word("address"), snapshot)
    now = time.time()
    live = sorted(row for row in snapshot.bindings if row.aor == user.aor and row.expires_at > now)
    scripts: list[Plain] = [
        f"version {script.version}" + ("" if script.enabled else ", switched off")
        for script in snapshot.scripts
        if script.aor == user.aor
    ]
    return {
        "user": user.aor,
        "realm": user.realm,
        "level": user.level,
        "role": user.role,
        "gateway_class": user.gateway_class,
        "full_name": user.full_name,
        "algorithms": [name for name, field in ALGORITHMS.items() if getattr(user, field)],
        "aliases": sorted(row.alias for row in snapshot.aliases if row.user == user.aor),
        "delegates": sorted(row.delegate for row in snapshot.delegates if row.aor == user.aor),
        "contacts": [row.uri for row in live],
        "scripts": scripts,
    }


async def passwd(store: Store, arguments: Arguments) -> Plain:
    """Give a user another password, or another random one."""
    user = await _asked(store, arguments)
    realm = realm_text(arguments.optional("realm") or user.realm)
    password, shown = _password(arguments)
    await carry_out(store, [ExpectUser(user.aor, user), PutUser(with_password(user._replace(realm=realm), password))])
    return {"user": user.aor, "realm": realm, **shown}


async def change(store: Store, arguments: Arguments) -> Plain:
    """Change what is kept of a user besides his password."""
    user = await _asked(store, arguments)
    changed = _changed(user, arguments.words("setting"))
    await carry_out(store, [ExpectUser(user.aor, user), PutUser(changed)])
    return {"user": user.aor, **{name: getattr(changed, name) for name in SETTABLE}}


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Remove a user with all he has."""
    user = await _asked(store, arguments)
    await carry_out(store, [DropUser(user.aor)])
    return {"removed": user.aor}


async def allow(store: Store, arguments: Arguments) -> Plain:
    """Let another user register for this one (RFC 3261 §10.2: third-party registration)."""
    snapshot = await about(store, arguments.word("address"), arguments.word("other"))
    user, other = (known_user(arguments.word(name), snapshot) for name in ("address", "other"))
    await carry_out(store, [PutDelegate(user.aor, other.aor)])
    return {"user": user.aor, "delegate": other.aor}


async def deny(store: Store, arguments: Arguments) -> Plain:
    """Take that back."""
    snapshot = await about(store, arguments.word("address"), arguments.word("other"))
    user, other = (known_user(arguments.word(name), snapshot) for name in ("address", "other"))
    if (user.aor, other.aor) not in {(row.aor, row.delegate) for row in snapshot.delegates}:
        raise Refusal(f"{other.aor} may not register for {user.aor} anyway")
    await carry_out(store, [DropDelegate(user.aor, other.aor)])
    return {"user": user.aor, "delegate": other.aor}


async def _asked(store: Store, arguments: Arguments) -> User:
    """The user that is meant. Raises Refusal."""
    return known_user(arguments.word("address"), await about(store, arguments.word("address")))


def _password(arguments: Arguments) -> tuple[str, dict[str, Plain]]:
    """The password, and what to show of it: a random one only."""
    given = arguments.optional("password")
    if given is None:
        password = random_password()
        return password, {"password": password}
    try:
        return password_text(given, SHORTEST), {}
    except Refusal as error:
        raise Refusal(f"the password {error.text}", "Leave it out for a random one") from None


def password_text(text: str, least: int) -> str:
    """The password, when it is one. Raises Refusal."""
    if len(text) < least:
        raise Refusal(f"has fewer than {least} letters")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise Refusal("holds control characters")
    return text


def _changed(user: User, texts: Sequence[str]) -> User:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in SETTABLE:
            raise Refusal(f"not a setting of a user: {text!r}", f"Write KEY=VALUE with one of: {', '.join(SETTABLE)}")
        try:
            user = User(**{**user._asdict(), name: field_text(name, value)})
        except Refusal as error:
            raise Refusal(f"{name} {error.text}", error.hint) from None
    return user


ADDRESS: Final = Parameter("address", "user@domain")
OTHER: Final = Parameter("other", "user@domain of the one who may register for him")
PASSWORD: Final = Parameter("password", "the password; none: a random one", "password")
SETTING: Final = Parameter("setting", f"KEY=VALUE with one of: {', '.join(SETTABLE)}", "words")

VERBS: Final = (
    Verb(
        "user",
        "add",
        "add a user; prints a random password unless one is given",
        (ADDRESS, SETTING, PASSWORD, Parameter("realm", "digest realm; none: his domain", "option")),
        add,
    ),
    Verb(
        "user",
        "list",
        "all users, or those that a text is part of",
        (
            Parameter("filter", "part of the address or of the full name; none: all", "optional"),
            Parameter("limit", "how many at most; none: all", "option"),
            Parameter("after", "only those whose address comes after this one", "option"),
        ),
        listing,
        unmade="no users",
    ),
    Verb("user", "show", "all that is kept of a user but his secrets", (ADDRESS,), show),
    Verb(
        "user",
        "passwd",
        "give a user another password",
        (ADDRESS, PASSWORD, Parameter("realm", "another digest realm; none: the one he has", "option")),
        passwd,
    ),
    Verb("user", "set", "change what is kept of a user", (ADDRESS, SETTING), change),
    Verb("user", "rm", "remove a user with his contacts and scripts", (ADDRESS,), remove),
    Verb("user", "allow", "let another user register for him", (ADDRESS, OTHER), allow),
    Verb("user", "deny", "take that permission back", (ADDRESS, OTHER), deny),
)
