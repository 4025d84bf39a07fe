"""sipd as a target."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from sipd.store import SqliteStore, open_store, parse_url
from tests import wire
from tests.bench.kamailio import DURABLE
from tests.bench.population import populated, rows_of
from tests.mariadb import MariaDb
from tests.running import HERE, REPOSITORY, Child

if TYPE_CHECKING:
    from tests.bench.scenarios import Scenario


class Sipd:
    """One sipd: on `memory:` with authentication off, or with digest on a database where the scenario says durable.

    That is an SQLite file, or a MariaDB of its own, set as the one of Kamailio is.
    """

    def __init__(
        self, scenario: Scenario, port: int, directory: Path, *, profile: Path | None = None, mariadb: bool = False
    ) -> None:
        self.name = "sipd-mariadb" if mariadb else "sipd"
        self.port = port
        self._scenario = scenario
        self._directory = directory
        self._profile = profile
        self._child: Child | None = None
        self._database = MariaDb(directory / "db", settings=DURABLE) if mariadb else None

    @property
    def server_pids(self) -> list[int]:
        return [] if self._child is None else [self._child.pid]

    @property
    def database_pids(self) -> list[int]:
        return [] if self._database is None else [self._database.pid]  # SQLite is inside the server

    def start(self) -> None:
        """Raises AssertionError, with what it said, when it doesn't come up."""
        self._directory.mkdir(parents=True, exist_ok=True)
        arguments = ["-X", "--listen", f"udp:{HERE}:{self.port}"]
        if self._database is not None:
            arguments += ["-D", self._filled(self._database)]
        elif self._scenario.durable:
            arguments += ["-D", f"sqlite://{self._seeded()}"]
        else:
            arguments += ["-D", "memory:", "--set", "auth=none"]
        profiler = ["-m", "cProfile", "-o", str(self._profile)] if self._profile else []
        self._child = Child(
            [sys.executable, *profiler, "-m", "sipd", *arguments],
            name="sipd", cwd=self._directory, env={"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        wire.wait_until_answering(self.port, self._child)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
        if self._database is not None:
            self._database.stop()

    def _filled(self, database: MariaDb) -> str:
        """The URL of a new database with the scenario's users."""
        database.start()
        url = database.url(database.new_database())
        trio.run(populated, open_store(parse_url(url, base=self._directory)), rows_of(self._scenario.users))
        return url

    def _seeded(self) -> Path:
        """A copy of a database that holds the scenario's users; made once a run."""
        template = self._directory.parent / f"{self._scenario.name}.sqlite3"
        if not template.exists():
            trio.run(populated, SqliteStore(template), rows_of(self._scenario.users))
        copy = self._directory / "sipd.sqlite3"
        for suffix in ("", "-wal"):
            source = Path(f"{template}{suffix}")
            if source.exists():
                shutil.copy(source, f"{copy}{suffix}")
        return copy
