"""Upgrades a database again and again, each time killed one step later: `python -m tests.store.upgrader URL [KEEP]`.

Each try is a process of its own that sends itself SIGKILL. For SQLite a try
begins with a copy of the file; MySQL goes on where the last one was killed.
Prints how many were killed before one came to its end.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sipd.store.migrate import upgrade_sqlite
from sipd.store.sqlite_file import connect

if TYPE_CHECKING:
    from collections.abc import Callable


def killed(work: Callable[[Callable[[], None]], None], step: int) -> bool:
    """Whether `work`, in a process of its own, was killed at its call number `step` of the function it is given."""
    child = os.fork()
    if not child:
        count = itertools.count(1)

        def reached() -> None:
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            work(reached)
        except BaseException as error:
            print(f"step {step}: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(1)
    return os.WIFSIGNALED(status)


def sqlite(path: Path) -> int:
    """Kill upgrades of copies of it before each statement; each copy is as it was."""
    copy = path.with_name("copy.sqlite3")
    before = dump(path)

    def work(reached: Callable[[], None]) -> None:
        with closing(connect(copy, 1.0)) as connection:
            connection.set_trace_callback(lambda _: reached())
            upgrade_sqlite(connection, "it")

    for step in itertools.count(1):
        shutil.copy(path, copy)
        if not killed(work, step):
            return step - 1
        if dump(copy) != before:
            raise SystemExit(f"killed at statement {step}: a part of the upgrade stays")
    raise AssertionError


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


if __name__ == "__main__":
    print(sqlite(Path(sys.argv[1])))
