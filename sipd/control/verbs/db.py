"""The database itself: make one, bring it up to date, look whether it is sound."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Faults, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import domain_name
from sipd.control.verbs.odd import odd_rows
from sipd.errors import SetupError
from sipd.store import create

if TYPE_CHECKING:
    from sipd.store import Store

MOST_SHOWN: Final = 50
"""Findings told one by one."""


async def init(store: Store, arguments: Arguments) -> Plain:
    """Make the tables, one settings row and the local domains."""
    domains = [domain_name(text) for text in arguments.words("domain")] or own_names()
    if await store.exists():
        raise Refusal(f"{store.shown} is there already", "Take another name, or move it away")
    await create(store, domains)
    return {"database": store.shown, "domains": domains}


async def upgrade(store: Store, arguments: Arguments) -> Plain:
    """Bring an older database to the schema of this sipd."""
    dry = arguments.flag("dry")
    before, after = await store.upgrade(dry=dry)
    done = "nothing to do" if before == after else "not done" if dry else "done"
    return {"database": store.shown, "from": before, "to": after, "upgrade": done}


async def check(store: Store, arguments: Arguments) -> Plain:
    """Look the database over: what it says of itself, what it lacks, which rows make no sense."""
    before, after = await store.upgrade(dry=True)
    if before != after:
        raise Refusal(
            f"{store.shown} has schema version {before}, this sipd works with {after}",
            "Bring it up to date: sipdctl db upgrade",
        )
    await store.open()
    found = await store.check()
    try:
        snapshot = await store.load_all()
    except SetupError as error:
        raise _damaged(store, [*found, error.text]) from error
    found += odd_rows(snapshot)
    if found:
        raise _damaged(store, found)
    return {
        "database": store.shown,
        "sound": True,
        "schema": after,
        "users": len(snapshot.users),
        "contacts": len(snapshot.bindings),
        "aliases": len(snapshot.aliases),
        "scripts": len(snapshot.scripts),
        "domains": len(snapshot.domains),
        "servers": len(snapshot.settings),
    }


def _damaged(store: Store, found: list[str]) -> Faults:
    shown = [*found[:MOST_SHOWN], *([f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else [])]
    return Faults(f"{store.shown} is not sound", shown, "Mend the rows, or restore it from a backup")


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
    Verb(
        "db",
        "upgrade",
        "bring a database that an older sipd has made to the schema of this one, as a start of sipd does",
        (Parameter("dry", "only say from which schema to which", "flag"),),
        upgrade,
        makes=True,
    ),
    Verb("db", "check", "look whether the database is sound, and what it holds", (), check, makes=True),
)
