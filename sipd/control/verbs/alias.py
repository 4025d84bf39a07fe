"""Aliases: addresses that lead to users here; one that leads to several is a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import about, canonical, carry_out, known_user
from sipd.rows import DropAlias, PutAlias
from sipd.store import Key

if TYPE_CHECKING:
    from sipd.store import Snapshot, Store


async def add(store: Store, arguments: Arguments) -> Plain:
    """Let an address lead to these users too, besides those it leads to already."""
    texts = arguments.words("user")
    if not texts:
        raise Refusal("user is missing", "Write: sipdctl alias add ALIAS USER [USER ...]")
    alias, snapshot = await _alias(store, arguments, *texts)
    if alias in {user.aor for user in snapshot.users}:
        raise Refusal(f"{alias} is a user himself", "An alias is an address that is no user's own")
    users = [known_user(text, snapshot).aor for text in texts]
    await carry_out(store, [PutAlias(alias, user) for user in users])
    return {"alias": alias, "users": sorted({*users, *_users(alias, snapshot)})}


async def listing(store: Store, arguments: Arguments) -> Plain:
    """All aliases, or those that a text is part of, they or their users."""
    part = (arguments.optional("filter") or "").lower()
    groups: dict[str, list[str]] = {}
    for row in sorted((await store.load_all()).aliases):
        groups.setdefault(row.alias, []).append(row.user)
    return [
        {"alias": alias, "users": users}
        for alias, users in groups.items()
        if any(part in text.lower() for text in (alias, *users))
    ]


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Let an address no longer lead to these users; without any, to nobody."""
    texts = arguments.words("user")
    alias, snapshot = await _alias(store, arguments, *texts)
    there = _users(alias, snapshot)
    if not there:
        raise Refusal(f"there is no alias {alias}", "See: sipdctl alias list")
    users = [canonical(text, snapshot) for text in texts] or there
    for user in users:
        if user not in there:
            raise Refusal(f"{alias} does not lead to {user}", f"It leads to: {', '.join(there)}")
    await carry_out(store, [DropAlias(alias, user) for user in users])
    return {"alias": alias, "users": [user for user in there if user not in users]}


async def _alias(store: Store, arguments: Arguments, *users: str) -> tuple[str, Snapshot]:
    """The alias that is meant, with the rows of it and of these users."""
    text = arguments.word("alias")
    snapshot = await about(store, text, *users)
    alias = canonical(text, snapshot)
    rows = await store.load_some([Key("aliases", alias)])
    return alias, snapshot._replace(aliases=rows.aliases)


def _users(alias: str, snapshot: Snapshot) -> list[str]:
    return sorted(row.user for row in snapshot.aliases if row.alias == alias)


ALIAS: Final = Parameter("alias", "the address, user@domain of a local domain")

VERBS: Final = (
    Verb(
        "alias",
        "add",
        "let an address lead to a user, or to several: a group",
        (ALIAS, Parameter("user", "user@domain of those it leads to", "words")),
        add,
    ),
    Verb(
        "alias",
        "list",
        "all aliases and whom they lead to",
        (Parameter("filter", "part of an alias or of a user's address; none: all", "optional"),),
        listing,
        unmade="no aliases",
    ),
    Verb(
        "alias",
        "rm",
        "let an address lead to a user no longer",
        (ALIAS, Parameter("user", "those it shall not lead to; none: nobody is left", "words")),
        remove,
    ),
)
