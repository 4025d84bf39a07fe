"""A database that is away while 100 calls a second go on: no call fails, and no REGISTER is told what is not true.

The faults come in turn. After each one REGISTERs must be stored again within
seconds, and what is stored is compared with what was answered.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.load.load import memory
from tests.running import HERE, READY, REPOSITORY, Child

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from tests.endure.calls import Calls, Made
    from tests.endure.crowd import Crowd
    from tests.endure.databases import Database
    from tests.endure.faults import Fault

RATE = 40.0
"""REGISTERs a second, as long as not everybody waits."""

BACK = 5.0
"""Seconds from the end of a fault to the first change that is stored again."""

ANSWERS = frozenset({200, 500, 503})
"""What a REGISTER may hear while the database is away."""

GROWTH = 8 << 20
"""Bytes that a server may have more at the end, beside what it remembers of calls."""

OF_A_CALL = 640
"""Bytes that it remembers of each call: its nonce for 300 s, its Call-ID for 600."""

DESCRIPTORS = 4
"""Descriptors that it may have more: connections of a pool that was not full."""

LAG = re.compile(r"^steps=(\d+) cpu=([\d.]+) blocked=(.*)$")


@dataclass
class Seen:
    """What one fault did."""

    name: str
    answers: Counter[int]
    slowest: float = 0.0  # seconds, of a REGISTER that was sent during the fault
    back: float = 0.0  # seconds, from its end to a 200

    def __str__(self) -> str:
        said = " ".join(f"{status}:{count}" for status, count in sorted(self.answers.items()))
        return f"{self.name:<26} REGISTER {said:<24} slowest {self.slowest:.1f} s, back in {self.back:.1f} s"


@dataclass
class Outcome:
    """What all of it came to."""

    crowd: Crowd
    calls: Made
    seen: list[Seen]
    wrong: list[str] = field(default_factory=list)
    growth: int = 0  # bytes
    descriptors: int = 0  # more than before

    def __bool__(self) -> bool:
        return not self.wrong


class Watched:
    """A sipd that measures its own loop."""

    def __init__(self, url: str, port: int) -> None:
        words = [sys.executable, "-m", "tests.load.watched", url, f"udp:{HERE}:{port}"]
        self.child = Child(words, name="sipd", cwd=REPOSITORY)
        self.child.wait_for(READY)

    @property
    def memory(self) -> int:
        """Bytes of its own."""
        return memory(self.child.pid)

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def lag(self) -> tuple[float, float]:
        """Stop it; the longest step of its loop, and the third longest time it was blocked, in seconds."""
        self.child.stop()
        said = LAG.search("\n".join(self.child.lines[-1:]))
        assert said is not None, self.child.output
        return float(said[2]), float(said[3].split()[-3])


@dataclass
class Scene:
    """A database, a server on it, users and calls; `faults` are what may befall it."""

    database: Database
    sipd: Watched
    port: int
    crowd: Crowd
    calls: Calls
    faults: list[Fault]


class Away:
    """REGISTERs to a server whose database is away at times."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._crowd = scene, scene.crowd
        self._server = (HERE, scene.port)
        self._due = 0.0
        self._slowest = 0.0
        self._stored = 0.0  # when the last change that was stored had been sent

    def go_on(self, seconds: float) -> None:
        """REGISTERs for that long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._turn()

    def suffer(self, fault: Fault) -> Seen:
        """Go through that fault. Raises AssertionError when all is not well again in time after it."""
        before = self._crowd.tally.answers.copy()
        self._slowest = 0.0
        self._meanwhile(fault.begin)
        self.go_on(fault.seconds)
        self._meanwhile(fault.end)
        end = time.monotonic()
        while self._stored < end:
            self._turn()
            assert time.monotonic() < end + 60, (
                f"{fault.name}: not back after a minute\n{self._scene.sipd.child.output}"
            )
        back = time.monotonic() - end
        self.go_on(1.0)
        self._crowd.settle()
        self._crowd.compare(self._scene.database.contacts(), fault.name)
        return Seen(fault.name, self._crowd.tally.answers - before, self._slowest, back)

    def _turn(self) -> None:
        now = time.monotonic()
        self._due = max(self._due, now - 0.1)  # what could not be asked in time is not made up for
        idle = [phone for phone in self._crowd.phones if phone.wish is None]
        while idle and self._due <= now:
            self._crowd.ask(idle.pop(0), self._server)
            self._due += 1 / RATE
        self._crowd.phones.sort(key=lambda phone: phone.began)  # who was asked last comes last
        for answer in self._crowd.step(0.02):
            self._slowest = max(self._slowest, answer.ended - answer.began)
            if answer.status == 200:
                self._stored = max(self._stored, answer.began)

    def _meanwhile(self, work: Callable[[], object]) -> None:
        """REGISTERs while somebody else works. Raises what that raised."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            self._turn()
        if failed:
            raise failed[0]


def away(scene: Scene, *, warm_up: float, say: Callable[[str], None] = print) -> Outcome:
    """Let all of these faults come, one after the other, and say what was wrong."""
    run, sipd, crowd, calls = Away(scene), scene.sipd, scene.crowd, scene.calls
    calls.start(scene.port)
    run.go_on(warm_up)
    bytes_before, files_before = sipd.memory, sipd.descriptors
    seen = []
    for fault in scene.faults:
        seen.append(run.suffer(fault))
        made = calls.made
        say(f"{seen[-1]}; {made.done} calls, {made.failed} failed, {sipd.memory >> 10} KiB, {sipd.descriptors} files")
    outcome = Outcome(crowd, calls.finish(), seen)
    outcome.growth, outcome.descriptors = sipd.memory - bytes_before, sipd.descriptors - files_before
    outcome.wrong = list(judged(outcome, sipd, calls))
    cpu, blocked = sipd.lag()
    say(f"longest step {cpu * 1000:.0f} ms of processor time, blocked {blocked * 1000:.0f} ms")
    say(f"{outcome.calls}, growth {outcome.growth >> 10} KiB, {outcome.descriptors} more files; {crowd.tally}")
    for text in outcome.wrong:
        say(f"WRONG: {text}")
    return outcome


def judged(outcome: Outcome, sipd: Watched, calls: Calls) -> Iterator[str]:
    """What is not as it must be."""
    if outcome.calls.failed or not outcome.calls.done:
        yield f"calls: {outcome.calls}\n{calls.errors}"
    yield from outcome.crowd.tally.faults.words
    for seen in outcome.seen:
        if not seen.answers.keys() <= ANSWERS:
            yield f"answers to REGISTER: {seen}"
        if seen.back > BACK:
            yield f"it took long to come back: {seen}"
    if outcome.growth > GROWTH + OF_A_CALL * outcome.calls.done or outcome.descriptors > DESCRIPTORS:
        yield f"growth: {outcome.growth >> 10} KiB, {outcome.descriptors} descriptors"
    for line in sipd.child.errors + sipd.child.lines:
        if "Traceback" in line or "event=fault" in line:
            yield line
