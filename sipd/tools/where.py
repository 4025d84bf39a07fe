"""Where the database is, and its rows, for the nouns that ask more than the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError
from sipd.store import locate, open_store

if TYPE_CHECKING:
    import argparse

    from sipd.store import DatabaseUrl, Snapshot


def database_of(options: argparse.Namespace) -> DatabaseUrl:
    """The database that -D, -f, -s or the environment name. Raises SetupError."""
    root = None if options.root is None else Path(options.root)
    return locate(options.database, options.database_file, os.environ, Path.cwd(), root=root)


CLOSING: Final = 2.0
"""Seconds that closing the database may take."""


def rows_of(url: DatabaseUrl) -> Snapshot:
    """Every row of it. Raises SetupError where there is none that a tool can open."""
    if url.scheme == "memory":
        raise SetupError("memory: is inside one running sipd", "Tools need a database in a file: sqlite:///path/file")
    store = open_store(url)

    async def load() -> Snapshot:
        try:
            await store.open()
            return await store.load_all()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):  # closing is quick or given up
                await store.close()

    return trio.run(load)
