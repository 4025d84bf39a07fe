"""Local domains: names and addresses whose users are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import carry_out, domain_name
from sipd.rows import DropDomain, PutDomain
from sipd.store import Key

if TYPE_CHECKING:
    from sipd.store import Store


async def add(store: Store, arguments: Arguments) -> Plain:
    """Make a name local, by itself or as another name of a domain."""
    name = domain_name(arguments.word("name"))
    alias_of = arguments.optional("alias-of")
    main = name if alias_of is None else domain_name(alias_of)
    rows = (await store.load_some([Key("domain", name), Key("domain", main)])).domains
    known = {row.name: row.canonical for row in rows}
    if alias_of is not None and known.get(main) != main:
        raise Refusal(f"{main} is not a domain of its own here", "See: sipdctl domain list")
    if known.get(name, main) != main and _users(name, [user.aor for user in (await store.load_all()).users]):
        raise Refusal(f"{name} has users of its own", "Remove them first, or leave it as it is")
    await carry_out(store, [PutDomain(name, main)])
    return {"domain": name, "canonical": main}


async def listing(store: Store, arguments: Arguments) -> Plain:
    """All local domains."""
    snapshot = await store.load_all()
    aors = [user.aor for user in snapshot.users]
    return [
        {"domain": row.name, "canonical": row.canonical, "users": len(_users(row.name, aors))}
        for row in sorted(snapshot.domains)
    ]


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Make a domain foreign."""
    name = domain_name(arguments.word("name"))
    snapshot = await store.load_all()
    if name not in {row.name for row in snapshot.domains}:
        raise Refusal(f"{name} is not a local domain", "See: sipdctl domain list")
    others = [row.name for row in snapshot.domains if row.canonical == name and row.name != name]
    if others:
        raise Refusal(f"{', '.join(others)} are other names of {name}", "Remove them first")
    users = _users(name, [user.aor for user in snapshot.users])
    if users:
        raise Refusal(f"{name} still has {len(users)} users, such as {users[0]}", "Remove them first: sipdctl user rm")
    await carry_out(store, [DropDomain(name)])
    return {"removed": name}


def _users(domain: str, aors: list[str]) -> list[str]:
    return [aor for aor in aors if aor.rpartition("@")[2] == domain]


NAME: Final = Parameter("name", "host name or numeric address")

VERBS: Final = (
    Verb(
        "domain",
        "add",
        "make a name or address local",
        (NAME, Parameter("alias-of", "the domain whose users it means", "option")),
        add,
    ),
    Verb("domain", "list", "all local domains", (), listing, unmade="no local domains"),
    Verb("domain", "rm", "make a domain foreign", (NAME,), remove),
)
