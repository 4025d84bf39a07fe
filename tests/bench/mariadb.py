"""A MariaDB for one benchmark run, in its own directory, spoken to over its socket."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")


class MariaDb:
    """A server that nothing but this run uses; commits are durable as its defaults have it."""

    def __init__(self, directory: Path) -> None:
        if PROGRAM is None:
            raise FileNotFoundError("mariadbd is not installed")
        self._directory = directory
        self._port = free_port()
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def url(self, database: str) -> str:
        """As Kamailio's db_mysql writes it."""
        return f"mysql://bench:bench@{HERE}:{self._port}/{database}"

    def start(self) -> None:
        """Raises AssertionError when it isn't ready within half a minute."""
        self._directory.mkdir(parents=True)
        data, socket = self._directory / "data", self._directory / "sock"
        # `mariadb-install-db` refuses a relative path; its socket's path may not be longer than 107 bytes.
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, capture_output=True,
        )  # fmt: skip
        defaults = self._directory / "my.cnf"
        defaults.write_text(
            "[mysqld]\nuser=root\n"
            f"datadir={data}\nsocket={socket}\npid-file={self._directory / 'pid'}\n"
            f"bind-address={HERE}\nport={self._port}\nskip-name-resolve\n"
            "character-set-server=utf8mb4\ninnodb_buffer_pool_size=128M\n"
        )
        self._child = Child([PROGRAM or "", f"--defaults-file={defaults}"], name="mariadbd")
        deadline = time.monotonic() + 30
        while not self._try("SELECT 1;"):
            if time.monotonic() > deadline or not self._child.alive:
                raise AssertionError(f"MariaDB doesn't come up\n{self._child.output}")
        self.run("CREATE USER bench@'127.0.0.1' IDENTIFIED BY 'bench'; GRANT ALL ON *.* TO bench@'127.0.0.1';")

    def run(self, statements: str) -> None:
        """Carry out SQL text (ours; nothing from outside ever gets here)."""
        done = self._client(statements)
        if done.returncode:
            raise AssertionError(f"MariaDB: {done.stderr}")

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def _try(self, statements: str) -> bool:
        return self._client(statements).returncode == 0

    def _client(self, statements: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self._directory / 'sock'}", "--user=root"],
            input=statements, capture_output=True, text=True,
        )  # fmt: skip
