"""Whether each 200 leaves after the disk has said that it holds the change: what a power cut would show.

Looked at from outside: strace lists the writes to SQLite's log, its
fdatasync calls, and the answers. Not for CI, where nobody may trace others.
"""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING, NamedTuple

from tests.endure.crowd import Crowd, Wishes, users
from tests.endure.databases import Sqlite, prepare
from tests.endure.phone import Wire
from tests.running import HERE, Child, free_port, start_sipd

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from pathlib import Path

    from tests.endure.crowd import Tally

CALLS = "pwrite64,write,fdatasync,fsync,sendto,sendmsg"

LINE = re.compile(r"^(?P<thread>\d+) +(?:<\.\.\. )?(?P<call>\w+)(?P<rest>.*)$")


class Order(NamedTuple):
    """How many 200s left, by what the log's file was then."""

    after: int  # all that had been written to it was on the disk
    before: int  # something was not
    syncs: int


def traced(directory: Path, seconds: float, chance: random.Random) -> tuple[Order, Tally]:
    """REGISTERs for that long, under strace. Raises FileNotFoundError where there is none."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("to be installed first: strace")
    people = users(20)
    database = Sqlite(directory)
    prepare(database.url, people)
    server = (HERE, free_port())
    sipd = start_sipd(database.url, f"udp:{HERE}:{server[1]}")
    trace = directory / "trace"
    strace = Child(["strace", "-f", "-y", "-s", "24", "-o", trace, "-e", f"trace={CALLS}", "-p", str(sipd.pid)])
    strace.wait_for("attached")
    with Wire() as wire:
        crowd = Crowd(wire, people, Wishes(chance))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            crowd.ask_all(server)
            crowd.step(0.05)
        crowd.settle()
    strace.stop()
    sipd.end_well()
    return order(trace.read_text(errors="replace").splitlines()), crowd.tally


def order(lines: Iterable[str]) -> Order:
    """Read a trace. A call that is interrupted by another thread's has two lines."""
    after = before = syncs = 0
    dirty = False
    syncing: set[str] = set()  # threads whose sync of the log goes on
    for line in lines:
        found = LINE.match(line)
        if found is None:
            continue
        thread, call, rest = found["thread"], found["call"], found["rest"]
        if call in ("fdatasync", "fsync"):
            if "-wal>" in rest and "unfinished" in rest:
                syncing.add(thread)
            elif ("-wal>" in rest or thread in syncing) and rest.endswith("= 0"):
                syncing.discard(thread)
                syncs += 1
                dirty = False
        elif "-wal>" in rest and "write" in call:
            dirty = True
        elif call.startswith("send") and "SIP/2.0 200" in rest:
            after, before = after + (not dirty), before + dirty
    return Order(after, before, syncs)
