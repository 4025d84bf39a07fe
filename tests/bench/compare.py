"""One round of one target, and rounds of two targets put side by side."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from tests import wire
from tests.bench import machine, sipp
from tests.bench.registering import Registering
from tests.bench.scenarios import SCRIPT_DRAFT, SCRIPT_RFC, Scenario
from tests.bench.steady import Phones, Steady
from tests.running import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ALLOWED_FAILURES = 0.001


class Target(Protocol):
    """A server that can be measured."""

    name: str
    port: int

    @property
    def server_pids(self) -> list[int]: ...

    @property
    def database_pids(self) -> list[int]: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Phase:
    """One load of one round: CPU microseconds an operation, of the server and of its database."""

    operations: int
    per_second: float
    server_us: float
    database_us: float
    failed_share: float
    retransmissions: int
    dropped: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None

    @property
    def total_us(self) -> float:
        return self.server_us + self.database_us

    @property
    def counts(self) -> bool:
        return self.failed_share <= ALLOWED_FAILURES and self.operations > 0


@dataclass
class Round:
    """One start of one target under both loads."""

    scenario: str
    target: str
    number: int
    saturated: Phase
    steady: Phase
    resident_mib: float
    idle_ms: float  # CPU a second, server and database together, with nothing to do

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Sizes:
    """How much of everything: `share` of each scenario's calls, and the steady load."""

    share: float
    rate: float
    seconds: float


def one_round(scenario: Scenario, number: int, make: Callable[[int, Path], Target], where: Path,
              sizes: Sizes) -> Round:  # fmt: skip
    """Start the target, warm it up, put both loads on it, stop it."""
    cores = machine.cores()
    target = make(free_port(), where)
    with machine.pinned(cores.server):
        try:
            target.start()
        except BaseException:
            target.stop()
            raise
    try:
        with machine.pinned(cores.load):
            script = SCRIPT_DRAFT if target.name.startswith("kamailio") else SCRIPT_RFC
            saturated = _saturate(scenario, target, where, sizes, script)
            idle = _rest(target)
            resident = machine.resident_mib(target.server_pids)
            steady = _hold(scenario, target, sizes, script)
        return Round(scenario.name, target.name, number, saturated, steady, resident, idle)
    finally:
        target.stop()


def _rest(target: Target, seconds: float = 1.5) -> float:
    """CPU milliseconds a second of a target that is left alone."""
    meter = Meter(target)
    time.sleep(seconds)
    server, database, _ = meter.read()
    return 1000 * (server + database) / seconds


def _prepare(scenario: Scenario, target: Target, port: int, script: str) -> None:
    """Register the phone that is rung, and its script."""
    if scenario.called:
        wire.register(target.port, "bob", port)
    if scenario.cpl:
        wire.upload(target.port, "bob", script)


def _saturate(scenario: Scenario, target: Target, where: Path, sizes: Sizes, script: str) -> Phase:
    calls = max(20, int(scenario.calls * sizes.share))
    if scenario.own:
        return _register(scenario, target, lambda phones: phones.saturate(calls, scenario.together))
    port = free_port()
    called = sipp.answer_calls(scenario, port, where) if scenario.called else None
    try:
        _prepare(scenario, target, port, script)
        sipp.load(scenario, target.port, where, max(10, calls // 10))
        meter = Meter(target)
        outcome = sipp.load(scenario, target.port, where, calls)
        server, database, dropped = meter.read()
    finally:
        if called is not None:
            called.kill()  # SIPp takes its time over an orderly end, and has nothing to lose
    done = max(1, outcome.done * scenario.operations)
    return Phase(outcome.done * scenario.operations, done / outcome.seconds, server / done * 1e6, database / done * 1e6,
                 outcome.failed_share, outcome.retransmissions, dropped)  # fmt: skip


def _register(scenario: Scenario, target: Target, load: Callable[[Registering], Steady]) -> Phase:
    """Phones that have registered once already, under that load."""
    phones = Registering(scenario.users, target.port, kept=scenario.kept)
    try:
        phones.saturate(len(scenario.users), 20)
        meter = Meter(target)
        outcome = load(phones)
        server, database, dropped = meter.read()
        if phones.refused:
            print(f"{target.name}: {phones.refused}", flush=True)
    finally:
        phones.close()
    return _phase(outcome, server, database, dropped)


def _hold(scenario: Scenario, target: Target, sizes: Sizes, script: str) -> Phase:
    if scenario.own:
        return _register(scenario, target, lambda phones: phones.keep(sizes.rate, sizes.seconds))
    port = free_port()
    phones = Phones(scenario, target.port, port)
    try:
        if scenario.called:
            # The binding of the load's phone goes, or half of the calls would ring at nobody's.
            wire.unregister(target.port, "bob")
            _prepare(scenario, target, port, script)
        phones.keep(sizes.rate, 0.3)
        phones.forget()
        meter = Meter(target)
        outcome = phones.keep(sizes.rate, sizes.seconds)
        server, database, dropped = meter.read()
    finally:
        phones.close()
    return _phase(outcome, server, database, dropped)


def _phase(outcome: Steady, server: float, database: float, dropped: int) -> Phase:
    done = max(1, len(outcome.latencies))
    return Phase(
        len(outcome.latencies), done / outcome.seconds, server / done * 1e6, database / done * 1e6,
        outcome.failed_share, outcome.retransmissions, dropped,
        *(1000 * outcome.percentile(share) for share in (0.5, 0.95, 0.99)),
    )  # fmt: skip


class Meter:
    """CPU of a target since now."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._before = self._now()

    def read(self) -> tuple[float, float, int]:
        """Seconds of the server's processes and of its database's, and datagrams dropped, since it was made."""
        server, database, dropped = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return server, database, int(dropped)

    def _now(self) -> tuple[float, float, float]:
        target = self._target
        return (machine.cpu_seconds(target.server_pids), machine.cpu_seconds(target.database_pids),
                float(machine.udp_drops(target.port)))  # fmt: skip


@dataclass
class Comparison:
    """The pairwise ratios of two targets in one kind of load: only pairs in which both rounds count."""

    ratios: list[float]
    left_out: int

    @property
    def median(self) -> float:
        return statistics.median(self.ratios) if self.ratios else float("nan")

    def __str__(self) -> str:
        if not self.ratios:
            return "no pair counts"
        left_out = f", {self.left_out} left out" if self.left_out else ""
        return f"{self.median:.2f} ({min(self.ratios):.2f}-{max(self.ratios):.2f}{left_out})"


def compare(first: Sequence[Round], second: Sequence[Round], load: str) -> Comparison:
    """CPU of `first` as a ratio to that of `second`, round by round; `load` is "saturated" or "steady"."""
    ratios, left_out = [], 0
    for one, other in zip(first, second, strict=False):
        a, b = getattr(one, load), getattr(other, load)
        if a.counts and b.counts and b.total_us > 0:
            ratios.append(a.total_us / b.total_us)
        else:
            left_out += 1
    return Comparison(ratios, left_out)


def stamp() -> str:
    """Now, for the report."""
    return time.strftime("%Y-%m-%d %H:%M:%S")
