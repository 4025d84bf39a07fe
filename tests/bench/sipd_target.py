"""sipd as a target."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from sipd.store import SqliteStore
from tests import wire
from tests.bench.population import populated, rows_of
from tests.running import HERE, REPOSITORY, Child

if TYPE_CHECKING:
    from tests.bench.scenarios import Scenario


class Sipd:
    """One sipd: on `memory:` with authentication off, or on SQLite with digest where the scenario says durable."""

    name = "sipd"

    def __init__(self, scenario: Scenario, port: int, directory: Path, *, profile: Path | None = None) -> None:
        self.port = port
        self._scenario = scenario
        self._directory = directory
        self._profile = profile
        self._child: Child | None = None

    @property
    def server_pids(self) -> list[int]:
        return [] if self._child is None else [self._child.pid]

    @property
    def database_pids(self) -> list[int]:
        return []  # SQLite is inside the server

    def start(self) -> None:
        """Raises AssertionError, with what it said, when it doesn't come up."""
        self._directory.mkdir(parents=True, exist_ok=True)
        arguments = ["-X", "--listen", f"udp:{HERE}:{self.port}"]
        if self._scenario.durable:
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
