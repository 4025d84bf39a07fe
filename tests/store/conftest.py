from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sipd.rows import PutDomain, PutSettings, Settings
from sipd.store import MemoryStore, SqliteStore, Store, create, open_store, parse_url
from tests.store.rows import USERS

if TYPE_CHECKING:
    from tests.mariadb import MariaDb


@pytest.fixture(params=["memory", "sqlite", "mariadb"])
async def store(request, tmp_path):
    """A store of each kind with the domain example.com and the users alice and bob."""
    made: Store
    if request.param == "mariadb":
        made = await on_mariadb(request.getfixturevalue("mariadb"))
    else:
        made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "sip.sqlite3", patience=0.1)
        await create(made, ["example.com"], more=USERS)
    yield made
    await made.close()


@pytest.fixture
async def shared(mariadb):
    """A store on a MariaDB, with the same rows."""
    made = await on_mariadb(mariadb)
    yield made
    await made.close()


def store_of(server: MariaDb, database: str, **options) -> Store:
    """A store on that database of this server, not yet open."""
    return open_store(parse_url(server.url(database), base=Path("/")), **options)


_made: dict[MariaDb, str] = {}


def made_on(server: MariaDb) -> str:
    """The name of that database, once a store was made."""
    return _made[server]


async def on_mariadb(server: MariaDb) -> Store:
    """A store with the first rows. All tests use one database: tables and triggers take a second to make."""
    if server not in _made:
        name = server.new_database()
        made = store_of(server, name)
        await create(made, ["example.com"], more=USERS)
        _made[server] = name
        return made
    name = _made[server]
    tables = server.run("SHOW TABLES", name).split()
    emptied = ["users", *(table for table in tables if table not in ("sipd_meta", "users", "change_log"))]
    server.run("".join(f"DELETE FROM {table};" for table in [*emptied, "change_log"]), name)
    made = store_of(server, name)
    await made.open()
    assert await made.apply([[PutSettings(Settings()), PutDomain("example.com", "example.com"), *USERS]]) == [None]
    return made


@pytest.fixture
async def sqlite(tmp_path):
    """A store in a file, with the same rows."""
    made = SqliteStore(tmp_path / "sip.sqlite3", patience=0.1)
    await create(made, ["example.com"], more=USERS)
    yield made
    await made.close()
