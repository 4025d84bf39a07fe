"""100,000 users with their phones: memory, start-up, and what it costs to keep them (`python -m tests.bench --many`).

One server on core 0, the load on core 1, as in the other benchmarks. Lag is
seen from outside: a process of its own asks the server something every 10 ms,
and the longest answer is what any call would have waited, with the load's own
core and the kernel in between. So it is at least the lag of the server's loop.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import trio

from sipd.rows import PutUser
from sipd.store import SqliteStore, open_store, parse_url, user_row
from tests import mariadb, wire
from tests.bench import machine
from tests.bench.kamailio import DURABLE
from tests.bench.population import bindings_of, populated, rows_of
from tests.bench.registering import Registering
from tests.bench.scenarios import SCENARIOS
from tests.bench.steady import Phones
from tests.mariadb import MariaDb
from tests.running import HERE, REPOSITORY, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.queues import Queue
    from pathlib import Path

    from sipd.rows import Change
    from sipd.store import Store

CONTACT_PORT = 40000
"""Where all phones say that they are; nobody calls them."""

WAITED_OUT = 35
"""Seconds until no transaction is kept any more for the case that a request comes again (64*T1)."""

PROBE = 0.01
HOUR = 3600.0


class Database:
    """Where the rows are; `url(name)` is what sipd is given."""

    def __init__(self, kind: str, where: Path) -> None:
        self.kind = kind
        self._where = where
        self._server: MariaDb | None = None
        if kind == "mariadb":
            self._server = MariaDb(where / "db", settings={**DURABLE, "innodb_buffer_pool_size": "512M"})
            self._server.start()

    def url(self, name: str) -> str:
        """Of one of the databases."""
        return f"sqlite://{self._where / name}.sqlite3" if self._server is None else self._server.url(f"sip_{name}")

    def make(self, name: str, rows: Iterator[Change]) -> None:
        """One with these rows."""
        if self._server is not None:
            self._server.run(f"CREATE DATABASE sip_{name} CHARACTER SET utf8mb4;")
        trio.run(populated, self._store(name), rows)

    def _store(self, name: str) -> Store:
        if self._server is None:
            return SqliteStore(self._where / f"{name}.sqlite3")
        return open_store(parse_url(self.url(name), base=self._where))

    def sql(self, name: str, statement: str) -> None:
        """Plain SQL, as somebody with another tool would write it."""
        if self._server is not None:
            self._server.run(statement, f"sip_{name}")
            return
        import sqlite3

        connection = sqlite3.connect(self._where / f"{name}.sqlite3", timeout=10)
        with connection:
            connection.execute(statement)
        connection.close()

    def size(self, name: str) -> str:
        """How large it is on the disk."""
        if self._server is not None:
            count = self._server.run("SELECT COUNT(*) FROM change_log;", f"sip_{name}").strip()
            return f"{_mib(self._server.directory)} MiB of data and logs, {count} lines of change_log"
        return f"{_mib(self._where / f'{name}.sqlite3')} MiB and {_mib(self._where / f'{name}.sqlite3-wal')} MiB of log"

    @property
    def pids(self) -> list[int]:
        """Of its server."""
        return [] if self._server is None else [self._server.pid]

    def stop(self) -> None:
        """No longer run it."""
        if self._server is not None:
            self._server.stop()


class Server:
    """One sipd."""

    def __init__(self, url: str, where: Path) -> None:
        self.port = free_port()
        environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(where)}
        began = time.perf_counter()
        with machine.pinned(machine.cores().server):
            self._child = Child(
                [sys.executable, "-m", "sipd", "-X", "-D", url, "--listen", f"udp:{HERE}:{self.port}"],
                name="sipd", cwd=where, env=environment,
            )  # fmt: skip
        self._first_answer()
        self.took = time.perf_counter() - began
        self.pids = [self._child.pid]

    def _first_answer(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind((HERE, 0))
            asker.connect((HERE, self.port))
            asker.settimeout(0.01)
            message = wire.request("OPTIONS", f"sip:{HERE}:{self.port}", int(asker.getsockname()[1]))
            while self._child.alive:
                try:
                    asker.send(message)
                    asker.recv(65535)
                except ConnectionRefusedError:
                    time.sleep(0.002)
                except TimeoutError:
                    continue
                else:
                    return
        raise AssertionError(self._child.output)

    def reload(self) -> None:
        """Have it load everything again."""
        os.kill(self._child.pid, 1)

    @property
    def cpu(self) -> float:
        """Seconds so far."""
        return machine.cpu_seconds(self.pids)

    @property
    def mib(self) -> float:
        """Memory now."""
        return machine.resident_mib(self.pids)

    def stop(self) -> None:
        """End it."""
        self._child.stop()


class Lag(NamedTuple):
    """Milliseconds until an answer."""

    middle: float
    p99: float
    most: float
    lost: int

    def __str__(self) -> str:
        lost = f", {self.lost} lost" if self.lost else ""
        return (
            f"answers after {self.middle:.1f} ms, 99 of 100 within {self.p99:.1f}, the last after {self.most:.1f}{lost}"
        )


def watched(port: int, work: Callable[[], None]) -> Lag:
    """How the server answers others while `work` is done."""
    over = multiprocessing.Event()
    told: Queue[tuple[list[float], int]] = multiprocessing.Queue()
    prober = multiprocessing.Process(target=_probe, args=(port, over, told), daemon=True)
    prober.start()
    try:
        work()
    finally:
        over.set()
        latencies, lost = told.get(timeout=20)
        prober.join(5)
    latencies.sort()
    if not latencies:
        return Lag(float("nan"), float("nan"), float("nan"), lost)
    p99 = latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))]
    return Lag(1000 * statistics.median(latencies), 1000 * p99, 1000 * latencies[-1], lost)


def _probe(port: int, over, told: Queue[tuple[list[float], int]]) -> None:
    os.sched_setaffinity(0, machine.cores().load)
    latencies, lost = [], 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.bind((HERE, 0))
        asker.connect((HERE, port))
        asker.settimeout(3.0)
        mine = int(asker.getsockname()[1])
        while not over.is_set():
            began = time.perf_counter()
            asker.send(wire.request("OPTIONS", f"sip:{HERE}:{port}", mine))
            try:
                asker.recv(65535)
            except OSError:
                lost += 1
                continue
            latencies.append(time.perf_counter() - began)
            time.sleep(PROBE)
    told.put((latencies, lost))


def _call(port: int, rate: float, seconds: float, told: Queue[tuple[int, int, float]]) -> None:
    """Calls to bob for that long."""
    os.sched_setaffinity(0, machine.cores().load)
    ringing = free_port()
    wire.register(port, "bob", ringing, password="secret-b")
    phones = Phones(SCENARIOS["call"], port, ringing)
    outcome = phones.keep(rate, seconds)
    phones.close()
    told.put((outcome.started, outcome.failed, 1000 * outcome.percentile(0.99)))


def measure(kind: str, where: Path, *, many: int, rounds: int, seconds: float) -> None:
    """Print what it costs on that kind of database."""
    if kind == "mariadb" and mariadb.PROGRAM is None:
        print("mariadb: not measured, install the Debian package mariadb-server")
        return
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    with machine.pinned(machine.cores().server):
        database = Database(kind, where)
    try:
        _measure(database, where, many, rounds, seconds)
    finally:
        database.stop()


def _measure(database: Database, where: Path, many: int, rounds: int, seconds: float) -> None:
    names = [(f"user{number}", f"secret-of-{number}") for number in range(many)]

    def rows(bound: bool) -> Iterator[Change]:
        yield PutUser(user_row(f"bob@{HERE}", HERE, "secret-b"))
        yield PutUser(user_row(f"caller@{HERE}", HERE, "secret-c")._replace(level="never"))
        yield from rows_of(names)
        if bound:
            yield from bindings_of((name for name, _ in names), time.time(), CONTACT_PORT)

    database.make("empty", iter(()))
    database.make("users", rows(False))
    database.make("bound", rows(True))
    print(f"\n{database.kind}, {many:,} users with a phone each")
    Server(database.url("empty"), where).stop()  # compiles
    taken: dict[str, list[tuple[float, float, float]]] = {"empty": [], "users": [], "bound": []}
    for _ in range(rounds):
        for name, figures in taken.items():
            server = Server(database.url(name), where)
            time.sleep(0.5)
            figures.append((server.took, server.cpu, server.mib))
            server.stop()
    for name, figures in taken.items():
        took, cpu, mib = (sorted(column) for column in zip(*figures, strict=True))
        middle = len(took) // 2
        more = 2**20 * (mib[middle] - sorted(one[2] for one in taken["empty"])[middle]) / many
        print(
            f"  {name:<6} first answer after {took[middle]:.2f} s ({took[0]:.2f}-{took[-1]:.2f}), "
            f"CPU {cpu[middle]:.2f} s, {mib[middle]:.0f} MiB, {more:.0f} bytes a user above empty",
            flush=True,
        )
    server = Server(database.url("bound"), where)
    try:
        _keep(database, server, names, seconds)
    finally:
        server.stop()


def _keep(database: Database, server: Server, names: list[tuple[str, str]], seconds: float) -> None:
    many = len(names)

    def costs(what: str, work: Callable[[], str | None], each: int = 0) -> None:
        before, held, began = server.cpu, machine.cpu_seconds(database.pids), time.perf_counter()
        said: list[str | None] = []
        lag = watched(server.port, lambda: said.append(work()))
        cpu, other = server.cpu - before, machine.cpu_seconds(database.pids) - held
        apiece = f", {1e6 * cpu / each:.0f} + {1e6 * other / each:.0f} us each" if each else ""
        beside = f" + {other:.2f} s of the database" if database.pids else ""
        print(f"  {what}: {time.perf_counter() - began:.1f} s, CPU {cpu:.2f} s{beside}{apiece}; {lag}; "
              f"{server.mib:.0f} MiB{'; ' + said[0] if said and said[0] else ''}", flush=True)  # fmt: skip

    costs("at rest", lambda: time.sleep(5))

    def all_again() -> None:
        server.reload()
        last, quiet = server.cpu, 0
        while quiet < 3:
            time.sleep(1)
            now = server.cpu
            quiet = quiet + 1 if now - last < 0.2 else 0
            last = now

    costs("all rows loaded again", all_again)

    def foreign() -> None:
        for number in range(20):
            database.sql("bound", f"UPDATE users SET full_name = 'Number {number}' WHERE aor = 'user{number}@{HERE}'")
            time.sleep(0.5)

    costs("20 users changed by plain SQL", foreign, 20)
    phones = Registering(names, server.port, kept=True, contact_port=CONTACT_PORT)
    try:
        rate = many / HOUR

        def hour() -> str:
            told: Queue[tuple[int, int, float]] = multiprocessing.Queue()
            caller = multiprocessing.Process(target=_call, args=(server.port, 50.0, seconds, told), daemon=True)
            caller.start()
            outcome = phones.keep(rate, seconds)
            calls, failed, p99 = told.get(timeout=60)
            caller.join(5)
            return f"{outcome.started} REGISTERs, {outcome.failed} failed, 99 of 100 within " \
                   f"{1000 * outcome.percentile(0.99):.1f} ms; {calls} calls, {failed} failed, p99 {p99:.1f} ms; " \
                   f"{database.size('bound')}"  # fmt: skip

        costs(f"{rate:.0f} refreshes and 50 calls a second", hour)

        for turn in ("challenged", "with the nonce they have"):

            def refresh() -> str:
                outcome = phones.saturate(many, 40)
                return f"{outcome.started / outcome.seconds:.0f} a second, {outcome.failed} failed, 99 of 100 within " \
                       f"{1000 * outcome.percentile(0.99):.1f} ms; {database.size('bound')}"  # fmt: skip

            costs(f"{many:,} refreshes, {turn}", refresh, many)
            time.sleep(WAITED_OUT)
            print(f"    half a minute later: {server.mib:.0f} MiB", flush=True)
    finally:
        phones.close()


def _mib(path: Path) -> int:
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) >> 20
    return path.stat().st_size >> 20 if path.exists() else 0
