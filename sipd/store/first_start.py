"""A database for somebody who just typed `sipd`: tables, settings, domains, a secret key, two users."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sipd.rows import PutDomain, PutSettings, PutUser, Settings
from sipd.store.cache import domain_key
from sipd.store.secrets import random_password, user_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.rows import Change
    from sipd.store.base import Store

FIRST_USERS: Final = ("alice", "bob")
KEY_BYTES: Final = 32


async def first_start(store: Store, hosts: Sequence[str], *, settings: Settings | None = None) -> list[tuple[str, str]]:
    """Make the database, and return its users with their passwords, which are stored nowhere.

    `hosts` are our names and addresses, at least one: all become local, and
    users belong to the first. Everything is there, or, after an interruption,
    nothing. Raises SetupError when there is a database already.
    """
    passwords = [(f"{name}@{domain_key(hosts[0])}", random_password()) for name in FIRST_USERS]
    users = [PutUser(user_row(aor, domain_key(hosts[0]), password)) for aor, password in passwords]
    await create(store, hosts, settings=settings, more=users)
    return passwords


async def create(
    store: Store, hosts: Sequence[str], *, settings: Settings | None = None, more: Sequence[Change] = ()
) -> None:
    """Make the database with a settings row, local domains and `more`.

    The first of `hosts` is the domain that users of all of them are stored under.
    """
    names = list(dict.fromkeys(domain_key(host) for host in hosts))
    changes: list[Change] = [PutSettings(Settings() if settings is None else settings)]
    changes += [PutDomain(name, names[0]) for name in names]
    await store.create(secrets.token_bytes(KEY_BYTES), [*changes, *more])
