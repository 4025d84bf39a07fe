"""A hundred calls a second by SIPp, each with a digest of its own, while something else goes wrong."""

from __future__ import annotations

import csv
import signal
from typing import TYPE_CHECKING, NamedTuple

from sipd.rows import Binding, PutBinding
from tests.e2e.phones import SCENARIOS
from tests.endure.crowd import DOMAIN
from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from sipd.rows import Change

CALLED = "called"
CALLERS = {"caller0": "secret-of-caller-0", "caller1": "secret-of-caller-1"}
"""With passwords that SIPp can read."""

FOR_EVER = 4e9
"""The called phone's binding lasts: this is not about its own."""


class Made(NamedTuple):
    """What SIPp has counted so far."""

    done: int
    failed: int
    retransmissions: int


class Calls:
    """A phone that is called, and the callers; `rows` are to be in the database before."""

    def __init__(self, directory: Path, rate: int = 100) -> None:
        self._directory, self._rate = directory, rate
        self._port = free_port()
        self._statistics = directory / "calls.csv"
        self._called: Child | None = None
        self._caller: Child | None = None

    @property
    def rows(self) -> list[Change]:
        """Where the called phone is."""
        return [PutBinding(Binding(f"{CALLED}@{DOMAIN}", f"sip:{CALLED}@{HERE}:{self._port}", expires_at=FOR_EVER))]

    def start(self, server: int) -> None:
        """Begin to call, by the server on that port."""
        self._called = Child(
            ["sipp", "-sf", SCENARIOS / "answer.xml", "-i", HERE, "-p", str(self._port), "-mp", str(free_port()),
             "-nostdin", "-trace_err", "-error_file", self._directory / "called.errors"],
            name="called", cwd=self._directory,
        )  # fmt: skip
        self._called.wait_for_port(self._port)
        rows = [f"{user};[authentication username={user} password={secret}]\n" for user, secret in CALLERS.items()]
        callers = self._directory / "callers.csv"
        callers.write_text("SEQUENTIAL\n" + "".join(rows))
        self._caller = Child(
            ["sipp", f"{HERE}:{server}", "-sf", SCENARIOS / "call.xml", "-i", HERE, "-p", str(free_port()),
             "-mp", str(free_port()), "-inf", callers, "-nostdin", "-r", str(self._rate), "-l", "5000",
             "-auth_uri", DOMAIN, "-key", "domain", DOMAIN, "-key", "callee", CALLED,
             "-trace_err", "-error_file", self._directory / "caller.errors",
             "-trace_stat", "-stf", self._statistics, "-fd", "1"],
            name="caller", cwd=self._directory,
        )  # fmt: skip

    @property
    def made(self) -> Made:
        """So far, as of the last second."""
        if not self._statistics.exists():
            return Made(0, 0, 0)
        with self._statistics.open(newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter=";") if row["Retransmissions(C)"]]
        if not rows:
            return Made(0, 0, 0)
        last = rows[-1]
        return Made(*(int(last[name]) for name in ("SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)")))

    def finish(self) -> Made:
        """Call no more, let those under way end, and count."""
        assert self._caller is not None
        assert self._called is not None
        self._caller.process.send_signal(signal.SIGUSR1)
        self._caller.wait(seconds=60)
        self._called.stop()
        return self.made

    @property
    def errors(self) -> str:
        """The first things that SIPp did not expect."""
        file = self._directory / "caller.errors"
        return file.read_text(errors="replace")[:3000] if file.exists() else ""
