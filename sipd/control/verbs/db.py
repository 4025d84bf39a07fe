"""The database itself: make one, look whether it is sound."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import domain_name
from sipd.store import create

if TYPE_CHECKING:
    from sipd.store import Store


async def init(store: Store, arguments: Arguments) -> Plain:
    """Make the tables, one settings row and the local domains."""
    domains = [domain_name(text) for text in arguments.words("domain")] or own_names()
    if await store.exists():
        raise Refusal(f"{store.shown} is there already", "Take another name, or move it away")
    await create(store, domains)
    return {"database": store.shown, "domains": domains}


async def check(store: Store, arguments: Arguments) -> Plain:
    """Let the database look itself over."""
    found = await store.check()
    if found:
        raise Refusal(f"{store.shown} is damaged: {'; '.join(found[:5])}", "Restore it from a backup")
    snapshot = await store.load_all()
    return {
        "database": store.shown,
        "sound": True,
        "users": len(snapshot.users),
        "contacts": len(snapshot.bindings),
        "scripts": len(snapshot.scripts),
        "domains": len(snapshot.domains),
    }


def own_names() -> list[str]:
    """This machine's name, where it is one, and its loopback names."""
    names = ["localhost", "127.0.0.1"]
    try:
        return list(dict.fromkeys([domain_name(socket.gethostname()), *names]))
    except Refusal:
        return names


VERBS: Final = (
    Verb(
        "db",
        "init",
        "make a database, with the domains it serves (the first is where users of all of them live)",
        (Parameter("domain", "a host name or address that counts as local; none: this machine's", "words"),),
        init,
        makes=True,
    ),
    Verb("db", "check", "look whether the database is sound, and what it holds", (), check),
)
