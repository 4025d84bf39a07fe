"""SQLite keeps what any program gives it: such rows end no start, and are the same however they are loaded."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from sipd.store import SqliteStore, create, user_row
from sipd.store.cache import Cache

ALICE = "alice@example.com"
TABLES: dict[str, dict[str, Any]] = {  # a row of each, of any type
    "users": user_row(ALICE, "example.com", "seven-green-apples")._asdict(),
    "contacts": {
        "aor": ALICE, "uri": "sip:a@192.0.2.1", "q": 1000, "expires_at": 100.5, "call_id": "1", "cseq": 1,
        "action": "proxy", "path": "", "received": "", "user_agent": "P", "instance": "", "reg_id": 0, "params": "",
        "flow_key": "", "refreshed_at": 1.0, "gruu": "",
    },
    "registrations": {"aor": ALICE, "version": 3},
    "aliases": {"alias": "team@example.com", "primary_user": ALICE},
    "third_parties": {"aor": ALICE, "delegate": ALICE},
    "domain": {"name": "example.net", "canonical": "example.net"},
    "dialplan": {"position": 1, "pattern": "9", "replacement": ""},
    "peers": {"name": "pbx", "matches": "192.0.2.1", "gateway_class": ""},
    "timezones": {"url": "http://x/", "data": b"x", "fetched": 1.0},
    "scripts": {
        "aor": ALICE, "kind": "cpl", "script": b"<cpl/>", "media_type": "x", "modified": 1.0, "modified_by": "a",
        "version": 1, "enabled": 1,
    },
}  # fmt: skip


class Latin(str):
    """Text that goes into the file in ISO 8859-1, as from a terminal that is not UTF-8."""

    __slots__ = ()


ODD = st.sampled_from(
    [
        ALICE, f"{ALICE} ", "Alice@example.com", "", "a\0b@x", "é@x", "e\N{COMBINING ACUTE ACCENT}@x", "*", "5", 0, -1,
        2**63 - 1, 1.5, float("inf"), 1e308, b"", b"bob@example.com", b"\xff@x", b"\0", b"5\xff", Latin("\xf6@x"),
    ]
)  # fmt: skip


def odd_row(table: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    columns = [column for column in TABLES[table] if column != "kind"]
    return st.dictionaries(st.sampled_from(columns), ODD, max_size=3).map(lambda odd: (table, TABLES[table] | odd))


def put(path: Path, table: str, row: dict[str, Any]) -> None:
    """As another program does, where the database lets it."""
    places = ", ".join("CAST(? AS TEXT)" if isinstance(value, Latin) else "?" for value in row.values())
    values = [value.encode("latin-1") if isinstance(value, Latin) else value for value in row.values()]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys = ON")
        other.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)


def all_of(cache: Cache) -> dict[str, object]:
    image = cache.image
    bindings = {aor: sorted(map(repr, rows)) for aor, rows in image.bindings.items()}
    assert all(type(aor) is str for aor in [*image.users, *bindings])
    return {
        "users": dict(image.users), "bindings": bindings, "scripts": image.scripts, "removed": image.removed,
        "domains": image.domains, "delegates": image.delegates, "peers": image.peers, "timezones": image.timezones,
        "aliases": image.aliases, "dialplan": image.dialplan, "versions": image.versions,
        "kinds": [image.kinds.of(domain) for domain in ("example.com", "x", "")],
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "made.sqlite3"

    async def make() -> None:
        store = SqliteStore(path)
        await create(store, ["example.com"])
        await store.close()

    trio.run(make)
    return path


@settings(max_examples=200)
@given(rows=st.lists(st.sampled_from(sorted(TABLES)).flatmap(odd_row), max_size=8))
def test_what_others_wrote_is_the_same_loaded_row_by_row_and_all_at_once(made, rows):
    async def loaded(path: Path) -> None:
        store = SqliteStore(path)
        await store.open()
        followed, fresh = Cache(store), Cache(store)
        await followed.fill()
        for row in [("users", TABLES["users"]), *rows]:
            try:
                put(path, *row)
            except sqlite3.IntegrityError:
                continue
        await followed.catch_up()
        assert not followed.following.stale
        await fresh.fill()
        assert all_of(followed) == all_of(fresh)
        await fresh.reload()
        assert all_of(followed) == all_of(fresh)
        fresh.expired(1e300)
        await store.close()

    with tempfile.TemporaryDirectory() as directory:
        trio.run(loaded, Path(shutil.copy(made, directory)))
