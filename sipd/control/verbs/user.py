"""Users: who may register and call here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import canonical, carry_out, known_user, realm_text
from sipd.control.verbs.sheets import field_text
from sipd.rows import DropDelegate, DropUser, PutDelegate, PutUser, User
from sipd.store import random_password, user_row, with_password

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.store import Store

SETTABLE: Final = ("level", "role", "gateway_class", "full_name")
SHORTEST: Final = 8
"""Letters of a password at least."""


async def add(store: Store, arguments: Arguments) -> Plain:
    """Add a user; without a password he gets a random one, which only this result shows."""
    snapshot = await store.load_all()
    aor = canonical(arguments.word("address"), snapshot)
    if aor in {user.aor for user in snapshot.users}:
        raise Refusal(f"there is a user {aor} already", f"A new password: sipdctl user passwd {aor}")
    password, shown = _password(arguments)
    realm = realm_text(arguments.optional("realm") or aor.rpartition("@")[2])
    user = _changed(user_row(aor, realm, password), arguments.words("setting"))
    await carry_out(store, [PutUser(user)])
    return {"user": aor, "realm": realm, **shown}


async def listing(store: Store, arguments: Arguments) -> Plain:
    """All users, without their secrets."""
    snapshot = await store.load_all()
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
        for user in sorted(snapshot.users)
    ]


async def passwd(store: Store, arguments: Arguments) -> Plain:
    """Give a user another password, or another random one."""
    user = known_user(arguments.word("address"), await store.load_all())
    user = user._replace(realm=realm_text(arguments.optional("realm") or user.realm))
    password, shown = _password(arguments)
    await carry_out(store, [PutUser(with_password(user, password))])
    return {"user": user.aor, "realm": user.realm, **shown}


async def change(store: Store, arguments: Arguments) -> Plain:
    """Change what is kept of a user besides his password."""
    user = known_user(arguments.word("address"), await store.load_all())
    changed = _changed(user, arguments.words("setting"))
    await carry_out(store, [PutUser(changed)])
    return {"user": user.aor, **{name: getattr(changed, name) for name in SETTABLE}}


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Remove a user with all he has."""
    user = known_user(arguments.word("address"), await store.load_all())
    await carry_out(store, [DropUser(user.aor)])
    return {"removed": user.aor}


async def allow(store: Store, arguments: Arguments) -> Plain:
    """Let another user register for this one (RFC 3261 §10.2: third-party registration)."""
    snapshot = await store.load_all()
    user, other = (known_user(arguments.word(name), snapshot) for name in ("address", "other"))
    await carry_out(store, [PutDelegate(user.aor, other.aor)])
    return {"user": user.aor, "may be registered by": other.aor}


async def deny(store: Store, arguments: Arguments) -> Plain:
    """Take that back."""
    snapshot = await store.load_all()
    user, other = (known_user(arguments.word(name), snapshot) for name in ("address", "other"))
    if (user.aor, other.aor) not in {(row.aor, row.delegate) for row in snapshot.delegates}:
        raise Refusal(f"{other.aor} may not register for {user.aor} anyway")
    await carry_out(store, [DropDelegate(user.aor, other.aor)])
    return {"user": user.aor, "may no longer be registered by": other.aor}


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
    Verb("user", "list", "all users", (), listing, unmade="no users"),
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
