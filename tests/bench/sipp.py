"""SIPp as the load: as many operations as the server and one core of load can make together."""

from __future__ import annotations

import csv
import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.scenarios import HERE as FILES
from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.scenarios import Scenario

PROGRAM = shutil.which("sipp")


class Outcome(NamedTuple):
    """What SIPp's statistics say at the end."""

    done: int
    failed: int
    retransmissions: int
    seconds: float

    @property
    def failed_share(self) -> float:
        return self.failed / max(1, self.done + self.failed)


def answer_calls(scenario: Scenario, port: int, directory: Path) -> Child:
    """Start the phone that is rung, on that port. Stop it when the round is over."""
    return Child(
        [PROGRAM or "sipp", "-sf", FILES / scenario.called, "-i", HERE, "-p", str(port), "-mp", str(free_port()),
         "-nostdin", "-timer_resol", "1", "-trace_err", "-error_file", directory / "called.err"],
        name="sipp-called", cwd=directory,
    )  # fmt: skip


def load(scenario: Scenario, server: int, directory: Path, calls: int, *, rate: int = 20000) -> Outcome:
    """Make `calls` runs of the scenario, `scenario.together` under way at once, and say how it went."""
    users, statistics = directory / "users.csv", directory / "statistics.csv"
    # SIPp fills in the keyword of the whole header field only, so that the row has to hold all of it.
    rows = [f"{user};[authentication username={user} password={password}]\n" for user, password in scenario.users]
    users.write_text("SEQUENTIAL\n" + "".join(rows))
    statistics.unlink(missing_ok=True)
    began = time.perf_counter()
    child = Child(
        [PROGRAM or "sipp", f"{HERE}:{server}", "-sf", FILES / scenario.caller, "-i", HERE, "-p", str(free_port()),
         "-mp", str(free_port()), "-s", "bob", "-inf", users, "-nostdin", "-m", str(calls), "-r", str(rate),
         "-l", str(scenario.together), "-timer_resol", "1", "-timeout", "180", "-timeout_error",
         "-trace_err", "-error_file", directory / "caller.err", "-trace_stat", "-stf", statistics, "-fd", "1"],
        name="sipp-caller", cwd=directory,
    )  # fmt: skip
    child.wait(seconds=200)
    took = time.perf_counter() - began
    if not statistics.exists():
        raise AssertionError(f"SIPp made no statistics\n{child.output}")
    with statistics.open(newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    done, failed = int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
    return Outcome(done, failed + max(0, calls - done - failed), int(last["Retransmissions(C)"]), took)
