"""Databases full of users, and of phones that are bound: made through the Store, so on any database."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sipd.rows import Binding, PutBinding, PutDomain, PutSettings, PutUser, Settings
from sipd.store import user_row
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sipd.rows import Change
    from sipd.store import Store

SLICE = 500
"""Rows of one transaction."""


async def populated(store: Store, changes: Iterable[Change]) -> None:
    """Make this database with these rows, and close it."""
    settings = Settings(digest_algorithms="MD5")  # the only one that all who are measured know
    await store.create(bytes(32), [PutSettings(settings), PutDomain(HERE, HERE)])
    try:
        group: list[Change] = []
        for change in changes:
            group.append(change)
            if len(group) == SLICE:
                await _put(store, group)
                group = []
        await _put(store, group)
    finally:
        await store.close()


async def _put(store: Store, group: Sequence[Change]) -> None:
    for fault in await store.apply([group]):
        if fault is not None:
            raise fault


def rows_of(users: Iterable[tuple[str, str]]) -> Iterator[PutUser]:
    """Users with these names and passwords."""
    for name, password in users:
        yield PutUser(user_row(f"{name}@{HERE}", HERE, password))


def bindings_of(users: Iterable[str], wall: float, port: int = 0) -> Iterator[PutBinding]:
    """A phone for each of these user names, which end one after the other in the second hour from `wall`.

    Each has an address of its own, or, where a port is given, that port of this host.
    """
    for number, name in enumerate(users):
        host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        call_id = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:20]
        yield PutBinding(
            Binding(f"{name}@{HERE}", f"sip:{name}@{HERE}:{port}" if port else f"sip:{name}@{host}:5060",
                    expires_at=wall + 3600 + number % 3600, call_id=f"{call_id}@{host}", cseq=1 + number % 100,
                    user_agent="Bench Phone 1.0", refreshed_at=wall)
        )  # fmt: skip
