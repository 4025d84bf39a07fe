"""From a database URL to its Store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.store.memory import MemoryStore
from sipd.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.store.base import Store
    from sipd.store.url import DatabaseUrl


def open_store(url: DatabaseUrl, *, serving: bool = False, name: str = "") -> Store:
    """The store of that URL, not yet opened.

    `serving`: for a server, of which an SQLite file has one, and MySQL one of each `name` (T102).
    """
    return BACKENDS[url.scheme](url, serving, name)


def _sqlite(url: DatabaseUrl, serving: bool, name: str) -> Store:
    assert url.path is not None
    return SqliteStore(url.path, serving=serving)


def _memory(url: DatabaseUrl, serving: bool, name: str) -> Store:
    return MemoryStore()


def _sql(url: DatabaseUrl, serving: bool, name: str) -> Store:
    from sipd.store.mysql import MysqlStore  # a library and its weight, for those who need it

    return MysqlStore(url, serving=serving, name=name)


BACKENDS: Final[Mapping[str, Callable[[DatabaseUrl, bool, str], Store]]] = {
    "sqlite": _sqlite,
    "memory": _memory,
    "sql": _sql,
}
"""URL scheme -> how to make its Store; the other arguments say whether a server asks, and its name."""
