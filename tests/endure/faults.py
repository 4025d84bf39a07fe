"""What may befall a database, each with its beginning and its end."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.endure.databases import Maria, Sqlite
    from tests.endure.relay import Relay
    from tests.mariadb import MariaDb


class Fault(NamedTuple):
    """One of them. Both calls return when it is so."""

    name: str
    seconds: float  # from the one to the other
    begin: Callable[[], object]
    end: Callable[[], object]


def nothing() -> None:
    """What there is to do for a fault that ends by itself."""


def of_mariadb(database: Maria, relay: Relay) -> list[Fault]:
    """All that is tried with MariaDB; sipd reaches it by the relay."""
    server = database.server

    def silent(on: bool) -> None:
        relay.silent = on

    def slow(seconds: float) -> None:
        relay.delay = seconds

    return [
        Fault("stopped", 3, server.stop, server.start),
        Fault("frozen", 3, server.freeze, server.thaw),
        Fault("killed", 2, server.kill, server.start),
        Fault("read-only", 3, lambda: server.read_only(True), lambda: server.read_only(False)),
        Fault("refused", 3, relay.shut, relay.open),
        Fault("restarted", 0, server.restart, nothing),
        Fault("slow: 100 ms each way", 5, lambda: slow(0.1), lambda: slow(0)),
        Fault("very slow: 4 s each way", 10, lambda: slow(4), lambda: slow(0)),
        Fault("black hole", 20, lambda: silent(True), lambda: silent(False)),
        Fault("frozen long", 20, server.freeze, server.thaw),
        Fault("killed long", 20, server.kill, server.start),
        *of_disk(database.directory, after=lambda: revive(server)),
    ]


def of_sqlite(database: Sqlite, pid: int) -> list[Fault]:
    """All that is tried with SQLite, in the server with this process."""
    path = database.path
    aside = path.with_suffix(".aside")
    locker = Locker(path)
    return [
        Fault("locked", 1, locker.lock, locker.free),
        Fault("locked long", 10, locker.lock, locker.free),
        Fault("file moved away", 3, lambda: path.rename(aside), lambda: aside.rename(path)),
        Fault("another file in its place", 3, lambda: put_another(path, aside), lambda: aside.rename(path)),
        Fault("file size limited", 3, lambda: limit_files(pid, 8192), lambda: limit_files(pid, resource.RLIM_INFINITY)),
        *of_disk(database.directory, lambda: take_over_log(path)),
    ]


def of_disk(
    directory: Path, before: Callable[[], None] = nothing, after: Callable[[], object] = nothing
) -> list[Fault]:
    """A disk that is full, where the database has one of its own; `before` takes away what room it has set aside."""
    if not directory.is_mount():
        return []
    filler = directory / "filler"

    def begin() -> None:
        before()
        fill(filler)

    def end() -> None:
        filler.unlink()
        after()

    return [Fault("disk full", 5, begin, end)]


def revive(server: MariaDb) -> None:
    """What a service manager does: InnoDB ends itself at some failed writes. Returns when it answers."""
    deadline = time.monotonic() + 30
    while server.running:
        try:
            server.run("SELECT 1;")
            return
        except AssertionError:
            assert time.monotonic() < deadline, server.child.output
            time.sleep(0.2)
    server.start()


def take_over_log(path: Path) -> None:
    """Make the write-ahead log an empty file, which has to grow again."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Locker:
    """Another process's long transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def lock(self) -> None:
        self._connection = sqlite3.connect(self._path, timeout=5, check_same_thread=False, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def free(self) -> None:
        assert self._connection is not None
        self._connection.execute("ROLLBACK")
        self._connection.close()


def put_another(path: Path, aside: Path) -> None:
    """A restored backup, say: the same name, another file."""
    path.rename(aside)
    shutil.copy(aside, path)


def limit_files(pid: int, size: int) -> None:
    """No file of that process grows beyond so many bytes: a write fails as on a full disk."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def fill(filler: Path) -> None:
    """Write until there is no room left."""
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@contextlib.contextmanager
def own_disk(directory: Path, size: str) -> Iterator[bool]:
    """Give this new directory a small file system of its own; whether that could be done, which root may."""
    directory.mkdir()
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "endure", directory], check=False, capture_output=True
    ).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", directory], check=True)
