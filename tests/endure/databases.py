"""The databases that are tried: made, read past sipd, killed and started again."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio
import trustme

from sipd.rows import PutUser, Settings
from sipd.store import create, open_store, parse_url, user_row
from sipd.store.options import settings_from_texts
from tests.endure.crowd import DOMAIN
from tests.mariadb import MariaDb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.rows import Change
    from tests.endure.model import State


ROWS = "SELECT aor, uri, params FROM contacts"
PORT = re.compile(r":(\d+)$")
MARK = re.compile(r"mark=(\d+)")


class Contacts(Protocol):
    """What can be read past sipd."""

    def contacts(self) -> dict[str, State]:
        """What is stored, by user, as a program that is not sipd reads it."""


class Database(Contacts, Protocol):
    """One database of a run."""

    url: str

    def damage(self) -> list[str]:
        """What is unsound in it, as the database itself says."""

    def kill(self) -> None:
        """kill -9 of its process; of one that has none: nothing."""

    def start(self) -> None:
        """Ready again."""

    def stop(self) -> None:
        """The run is over."""


def prepare(url: str, people: dict[str, str], more: Sequence[Change] = (), **settings: str) -> None:
    """Make the tables, the domain, the users, and what is in `more`."""
    texts = [f"{key}={value}" for key, value in settings.items()]
    row = Settings()._replace(**settings_from_texts(texts))  # type: ignore[arg-type]  # checked when read
    rows = [PutUser(user_row(f"{name}@{DOMAIN}", DOMAIN, password)) for name, password in people.items()]

    async def make() -> None:
        store = open_store(parse_url(url, base=Path.cwd()))
        await create(store, [DOMAIN], settings=row, more=[*rows, *more])
        await store.close()

    trio.run(make)


def states(rows: Iterable[tuple[str, str, str]]) -> dict[str, State]:
    """The state of each user, of rows of ROWS."""
    found: dict[str, set[tuple[int, int]]] = {}
    for aor, uri, params in rows:
        port, mark = PORT.search(uri), MARK.search(params)
        assert port is not None, uri
        pair = int(port[1]), int(mark[1]) if mark is not None else 0
        found.setdefault(aor.partition("@")[0], set()).add(pair)
    return {user: frozenset(state) for user, state in found.items()}


class Sqlite:
    """One file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "sip.sqlite3"
        self.url = f"sqlite://{self.path}"

    def contacts(self) -> dict[str, State]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return states(connection.execute(ROWS).fetchall())

    def damage(self) -> list[str]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            said = [text for (text,) in connection.execute("PRAGMA quick_check")]
        return [] if said == ["ok"] else said

    def kill(self) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


class Maria:
    """A database of a MariaDB that nobody else uses; with `tls` it takes no connections in clear."""

    def __init__(self, directory: Path, *, tls: bool = False) -> None:
        self.directory = directory
        self._authority = directory / "authority.pem" if tls else None
        authority = trustme.CA() if tls else None
        if authority is not None and self._authority is not None:
            authority.cert_pem.write_to_path(str(self._authority))
        settings = {"require_secure_transport": 1} if tls else {}
        self.server = MariaDb(directory / "mariadb", settings=settings, tls=authority)
        self.url = ""
        self._name = ""

    def contacts(self) -> dict[str, State]:
        lines = self.run(f"{ROWS};").splitlines()
        return states((aor, uri, params) for aor, uri, params in (line.split("\t") for line in lines))

    def damage(self) -> list[str]:
        said = [line.split("\t") for line in self.run("CHECK TABLE contacts;").splitlines()]
        return ["\t".join(words) for words in said if words[-1] != "OK"]

    def run(self, statements: str) -> str:
        """Carry out SQL in it, as its root."""
        return self.server.run(statements, self._name)

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()
        if not self._name:
            self._name = self.server.new_database()
            self.url = self.server.url(self._name)
            if self._authority is not None:
                self.url += f"?tls=verify&ca={self._authority}"

    def url_by(self, port: int) -> str:
        """The same by another port of this machine, where something stands before it."""
        return self.url.replace(f":{self.server.port}/", f":{port}/")

    def stop(self) -> None:
        self.server.stop()
