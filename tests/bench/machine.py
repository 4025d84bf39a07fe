"""What the kernel says: CPU seconds and memory of process trees, and which core runs what."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Cores(NamedTuple):
    """Where the server runs and where the load; the same when there is but one core."""

    server: frozenset[int]
    load: frozenset[int]

    @property
    def apart(self) -> bool:
        return self.server != self.load


def cores() -> Cores:
    """One core for the server, another for the load, of those this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(frozenset(usable[:1]), frozenset(usable[1:2] or usable[:1]))


@contextlib.contextmanager
def pinned(to: frozenset[int]) -> Iterator[None]:
    """What is started inside runs on these cores (a child inherits them)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    found = [pid]
    for parent in found:  # grows while it is walked
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these trees so far, with that of children that have ended."""
    total = 0
    for root in pids:
        for pid in tree(root):
            with contextlib.suppress(OSError):
                # The name may hold spaces and brackets: the fields begin after its last one.
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
                total += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return total / TICK


def resident_mib(pids: Iterable[int]) -> float:
    """Memory of these trees, shared pages counted once (PSS where the kernel tells it, else RSS)."""
    total = 0.0
    for root in pids:
        for pid in tree(root):
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
            except (OSError, StopIteration):
                with contextlib.suppress(OSError):
                    total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
    return total


def udp_drops(port: int) -> int:
    """Datagrams the kernel threw away because the socket of that port was full."""
    dropped = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            dropped += int(fields[-1])
    return dropped
