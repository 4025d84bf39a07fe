"""Upgrades a database again and again, each time killed elsewhere: `python -m tests.store.upgrader FILE | URL`.

Each try is a process of its own that sends itself SIGKILL. For SQLite a try
begins with a copy of the file and is killed one statement later than the last
one. For MySQL it goes on where the last one was killed, and is killed by turns
after its first, second and third statement: before a mark, after it, and after
a COMMIT. The word `make` after the URL: tables are made in an empty database,
one or two in each try. Prints how many were killed before one came to its end.
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

import trio

from sipd.store.migrate import upgrade_sqlite
from sipd.store.mysql_link import open_link
from sipd.store.mysql_migrate import PATIENCE, make_tables, upgrade
from sipd.store.mysql_wire import Login
from sipd.store.sqlite_file import connect
from sipd.store.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sipd.store.mysql_link import Link
    from sipd.store.mysql_wire import Answer
    from sipd.store.statements import Value
    from sipd.store.url import DatabaseUrl


MOST = 1000


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


class Watched:
    """A Driver that says of each change that it was carried out."""

    def __init__(self, link: Link, reached: Callable[[], None]) -> None:
        self._link = link
        self._reached = reached
        self.fetch = link.fetch
        self.tx = link.tx

    async def execute(self, statement: str, row: Sequence[Value] = ()) -> Answer:
        answer = await self._link.execute(statement, row)
        if not statement.startswith(("SET", "DO")):
            self._reached()
        return answer

    async def executemany(self, statement: str, rows: Iterable[Sequence[Value]]) -> int:
        raise NotImplementedError


def mysql(url: DatabaseUrl, make: bool) -> int:
    """Kill upgrades of it, or makings, until one is not killed."""

    def work(reached: Callable[[], None]) -> None:
        trio.run(changed, url, make, reached)

    for tried in range(MOST):
        if not killed(work, 1 + tried % (2 if make else 3)):
            return tried
    raise SystemExit(f"{MOST} were killed, and none came to its end")


async def changed(url: DatabaseUrl, make: bool, reached: Callable[[], None]) -> None:
    [(host, port)] = url.hosts
    login = Login(url.user, url.password, url.database)
    link = await open_link(host, port, login, seconds=5.0, patience=PATIENCE)
    driver = Watched(link, reached)
    await (make_tables if make else upgrade)(driver, "it", lambda text: None)
    await link.quit()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


if __name__ == "__main__":
    if sys.argv[1].startswith("sql:"):
        print(mysql(parse_url(sys.argv[1], base=Path()), make="make" in sys.argv))
    else:
        print(sqlite(Path(sys.argv[1])))
