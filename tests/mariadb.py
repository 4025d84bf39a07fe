"""A real MariaDB for tests and benchmarks: in its own directory, on its own port, and nobody else's.

A machine's own MariaDB is never touched: neither its files, nor its socket,
nor its configuration. The first data directory of a process is made by
`mariadb-install-db`; each server starts on a copy of it, in well under a second.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trustme

PROGRAM = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")

USER, PASSWORD = "sipd", "pass-word of/the:tests@%"
"""Who may do everything in databases whose name starts with `sip`, and nothing else: as a server of sipd's."""

READY = r"ready for connections\."

_numbers = itertools.count(1)


class MariaDb:
    """One server. Its commits are durable, as its defaults have it.

    `settings` are lines of my.cnf, such as {"max_connections": 5}. `tls`: an
    authority that shall sign its certificate, for 127.0.0.1 and localhost;
    connections in clear stay possible (else: "require_secure_transport": 1).
    """

    def __init__(
        self, directory: Path, *, settings: Mapping[str, str | int] | None = None, tls: trustme.CA | None = None
    ) -> None:
        self.program = self.find()
        self.directory = directory
        self.port = free_port()
        self.settings: dict[str, str | int] = {**DEFAULTS, **(settings or {})}
        self._data = directory / "data"
        self._child: Child | None = None
        self.lasting = False  # all tests use it: `stop_all` leaves it alone
        if tls is not None:
            self.settings |= _certificate(tls, directory)

    @property
    def pid(self) -> int:
        """Of the server that runs."""
        return self.child.pid

    @property
    def child(self) -> Child:
        """The server that runs, with what it has said."""
        assert self._child is not None, "start() first"
        return self._child

    @property
    def running(self) -> bool:
        """Whether it runs; a frozen one does."""
        return self._child is not None and self._child.alive

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD) -> str:
        """As sipd takes it, with the password."""
        return f"sql://{quote(user, safe='')}:{quote(password, safe='')}@{HERE}:{self.port}/{quote(database)}"

    # what it is

    def find(self) -> str:
        """The program. Raises FileNotFoundError when it isn't installed."""
        if PROGRAM is None:
            raise FileNotFoundError("mariadbd is not installed")
        return PROGRAM

    def template(self) -> Path:
        """A data directory with no databases yet."""
        return template()

    # its life

    def start(self) -> None:
        """Start it, on the data it had before. Raises AssertionError when it isn't ready within half a minute."""
        assert not self.running, "it runs already"
        first = not self._data.exists()
        if first:
            self.directory.mkdir(parents=True, exist_ok=True)
            shutil.copytree(self.template(), self._data)
        defaults = self.directory / "my.cnf"
        lines = [*self.settings.items(), *_whose(), ("datadir", self._data.resolve()), ("port", self.port)]
        lines.append(("tmpdir", self.directory.resolve()))
        defaults.write_text("[mysqld]\n" + "".join(f"{name}={value}\n" for name, value in lines))
        self._child = Child([self.program, f"--defaults-file={defaults}"], name="mariadbd")
        self._child.lasting = self.lasting
        self._child.wait_for(READY, seconds=30)
        if first:
            self.run(USERS)

    def stop(self) -> None:
        """End it well, or at all (SIGTERM; SIGKILL after ten seconds)."""
        if self._child is not None:
            self.thaw()
            self._child.stop()

    def kill(self) -> None:
        """End it without a chance to tidy up (SIGKILL)."""
        self.child.kill()

    def restart(self) -> None:
        """End it well and start it again on the same data and port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it stand still: connections are accepted by the kernel, and nothing is answered (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)
        while any(" T " not in task.read_text().rpartition(")")[2][:4] for task in _tasks(self.pid)):
            self.child.pause(0.001)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)

    # what is in it

    def run(self, statements: str, database: str = "") -> str:
        """Carry out SQL as its root, over its socket (text of ours, nothing from outside); rows as lines with tabs."""
        return self._client(["--socket=sock", "--user=root"], statements, database)

    def ask(self, statements: str, database: str = "", *more: str) -> str:
        """Carry out SQL as the user of the tests, over TCP; `more` are options of the program `mariadb`.

        Raises AssertionError with the number and the words of an error, as `run` does.
        """
        who = [f"--host={HERE}", f"--port={self.port}", "--protocol=tcp", f"--user={USER}", "--connect-timeout=2"]
        return self._client([*who, *more], statements, database, MYSQL_PWD=PASSWORD)

    def _client(self, options: list[str], statements: str, database: str, **env: str) -> str:
        done = subprocess.run(
            ["mariadb", "--no-defaults", *options, "--batch", "--skip-column-names", "--default-character-set=utf8mb4",
             *([database] if database else [])],
            cwd=self._data, input=statements, capture_output=True, text=True, timeout=120, env={**os.environ, **env},
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"MariaDB: {done.stderr}")
        return done.stdout

    def new_database(self) -> str:
        """The name of an empty database that nobody has used."""
        name = f"sip{os.getpid()}_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4;")
        return name

    def read_only(self, on: bool) -> None:
        """Refuse every write (error 1290), or take writes again."""
        self.run(f"SET GLOBAL read_only = {int(on)};")

    def connections(self) -> int:
        """How many clients other than the one who asks are connected now."""
        return int(self.run("SELECT COUNT(*) - 1 FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Daemon';"))


DEFAULTS: dict[str, str | int] = {
    "socket": "sock",  # in the data directory: a socket's path may not be longer than 107 bytes
    "pid-file": "pid",
    "bind-address": HERE,
    "skip-name-resolve": 1,
    "character-set-server": "utf8mb4",
    "innodb_buffer_pool_size": "128M",
    "innodb_log_file_size": "16M",
    "performance_schema": 0,
}

USERS = f"""
    CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
    GRANT ALL ON `sip%`.* TO '{USER}'@'%';
    CREATE USER bench@'{HERE}' IDENTIFIED BY 'bench';
    GRANT ALL ON *.* TO bench@'{HERE}';
"""


@functools.cache
def template() -> Path:
    """A data directory as `mariadb-install-db` makes it, for this process."""
    place = Path(tempfile.mkdtemp(prefix="sipd-mariadb-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    made = subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={place / 'data'}", "--skip-test-db",
         "--auth-root-authentication-method=normal", "--innodb-log-file-size=16M",
         *(f"--{name}={value}" for name, value in _whose())],
        capture_output=True, text=True, env={**os.environ, "TMPDIR": str(place)},  # two at once get in each other's way
    )  # fmt: skip
    if made.returncode:
        raise AssertionError(f"mariadb-install-db: {made.stdout}{made.stderr}")
    return place / "data"


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*/stat"))


def _whose() -> list[tuple[str, str]]:
    return [("user", "root")] if os.getuid() == 0 else []


def _certificate(authority: trustme.CA, directory: Path) -> dict[str, str | int]:
    """Write the server's key and certificate; the lines of my.cnf that name them."""
    directory.mkdir(parents=True, exist_ok=True)
    made = authority.issue_cert(HERE, "localhost")
    paths = {name: directory / f"{name}.pem" for name in ("ssl_ca", "ssl_cert", "ssl_key")}
    authority.cert_pem.write_to_path(str(paths["ssl_ca"]))
    made.private_key_pem.write_to_path(str(paths["ssl_key"]))
    for blob in made.cert_chain_pems:
        blob.write_to_path(str(paths["ssl_cert"]), append=True)
    return {name: str(path.resolve()) for name, path in paths.items()}
