"""A whole server on a network in memory, with the means to change its rows: what worlds and stages are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipd.rows import PutDomain, PutSettings, PutUser, Settings
from sipd.server.startup import furnish, serve
from sipd.store import Cache, MemoryStore, SqliteStore, Store, Writer, create, user_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import trio

    from sipd.net import MemoryHost
    from sipd.net.resolver import Resolver
    from sipd.server.house import House

    AnyStore = MemoryStore | SqliteStore | Store


@dataclass
class Served:
    """One server that runs."""

    cache: Cache
    store: AnyStore
    house: House

    def settings(self, **changes) -> None:
        self.put(PutSettings(self.cache.settings._replace(**changes)))

    def put(self, *changes) -> None:
        """Change rows, as if somebody else had."""
        results = self.store.apply_now([changes])
        assert results == [None], results
        self.cache.apply(changes)


async def open_served(
    nursery: trio.Nursery,
    network: MemoryHost,
    domain: str,
    users: Iterable[str],
    resolver: Resolver,
    wall: Callable[[], float],
    *,
    also: Iterable[str] = (),
    store: AnyStore | None = None,
    **settings,
) -> Served:
    """A server for that domain and its other names `also`; the users have `pw-` and their names for passwords.

    Authentication is off unless told; without a store the rows are in memory,
    and in one that exists they stay as they are.
    """
    store = store or MemoryStore()
    people = [PutUser(user_row(f"{name}@{domain}", domain, f"pw-{name}")) for name in users]
    row = Settings(**{"auth": "none", **settings})
    if await store.exists():  # another server's: this is one more on the same database
        await store.open()
    else:
        await create(store, [domain], settings=row, more=[*people, *(PutDomain(name, domain) for name in also)])
    cache = Cache(store)
    await cache.fill()
    house = furnish(cache, Writer(store, cache), network, wall=wall, resolver=resolver)
    await nursery.start(serve, house)
    return Served(cache, store, house)
