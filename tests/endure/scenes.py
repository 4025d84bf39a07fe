"""A whole house for the programs here: database, server, users, calls."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.endure.away import Scene, Watched
from tests.endure.calls import CALLED, CALLERS, Calls
from tests.endure.crowd import Crowd, Wishes, users
from tests.endure.databases import Maria, Sqlite, prepare
from tests.endure.faults import of_mariadb, of_sqlite
from tests.endure.phone import Wire
from tests.endure.relay import Relay
from tests.running import free_port, stop_all

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

USERS = 60

SETTINGS = {"digest_algorithms": "MD5", "traces": "100"}
"""MD5 alone: SIPp gives up at a challenge whose first algorithm is another."""


@contextlib.contextmanager
def on_sqlite(disk: Path, directory: Path, chance: random.Random) -> Iterator[Scene]:
    """A server on a file in `disk`; other files are in `directory`."""
    database = Sqlite(disk)
    port, calls, crowd = _people(database.url, directory, chance)
    try:
        sipd = Watched(database.url, port)
        yield Scene(database, sipd, port, crowd, calls, of_sqlite(database, sipd.child.pid))
    finally:
        crowd.wire.close()
        stop_all()


@contextlib.contextmanager
def on_mariadb(disk: Path, directory: Path, chance: random.Random, *, tls: bool = False) -> Iterator[Scene]:
    """A server on a MariaDB with its data in `disk`, and a relay between them."""
    database = Maria(disk, tls=tls)
    database.start()
    port, calls, crowd = _people(database.url, directory, chance)
    relay = Relay(database.server.port)
    try:
        yield Scene(
            database, Watched(database.url_by(relay.port), port), port, crowd, calls, of_mariadb(database, relay)
        )
    finally:
        relay.end()
        crowd.wire.close()
        stop_all()


def _people(url: str, directory: Path, chance: random.Random) -> tuple[int, Calls, Crowd]:
    people = users(USERS)
    calls = Calls(directory)
    prepare(url, {**people, **CALLERS, CALLED: "never registers"}, calls.rows, **SETTINGS)
    return free_port(), calls, Crowd(Wire(), people, Wishes(chance))
