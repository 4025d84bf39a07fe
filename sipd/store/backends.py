"""From a database URL to its Store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.errors import SetupError
from sipd.store.memory import MemoryStore
from sipd.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.store.base import Store
    from sipd.store.url import DatabaseUrl


def open_store(url: DatabaseUrl, *, serving: bool = False) -> Store:
    """The store of that URL, not yet opened. `serving`: for a server, of which an SQLite file has one (T102)."""
    return BACKENDS[url.scheme](url, serving)


def _sqlite(url: DatabaseUrl, serving: bool) -> Store:
    assert url.path is not None
    return SqliteStore(url.path, serving=serving)


def _memory(url: DatabaseUrl, serving: bool) -> Store:
    return MemoryStore()


def _sql(url: DatabaseUrl, serving: bool) -> Store:
    raise SetupError(f"{url.shown}: MySQL comes with a later version of sipd", "Use sqlite:///path/file until then")


BACKENDS: Final[Mapping[str, Callable[[DatabaseUrl, bool], Store]]] = {
    "sqlite": _sqlite,
    "memory": _memory,
    "sql": _sql,
}
"""URL scheme -> how to make its Store; the second argument says that a server asks."""
