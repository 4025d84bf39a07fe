"""Two servers on one database: random registrations at both, calls that look how soon each sees the other's."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sipd.rows import PutSettings, Settings
from tests.endure.crowd import DOMAIN, users
from tests.endure.databases import prepare
from tests.endure.nodes import Nodes
from tests.endure.phone import Wire
from tests.endure.visible import AWAY, BUSY, Visitor
from tests.running import FAULTS, HERE, Child, free_port, start_sipd

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from tests.endure.databases import Contacts
    from tests.endure.phone import Server
    from tests.mariadb import MariaDb

USERS = 30
VISITOR, GUEST = "visitor", "guest"
PASSWORD = "secret of the visitor"

SEEN_IN = 1.0
"""Seconds in which a call at another server must see a change."""

EVERY = 60.0
"""Seconds between two looks at the figures."""

COPIED = """
    CREATE TEMPORARY TABLE new_{table} SELECT * FROM {table} WHERE aor = '{visitor}';
    UPDATE new_{table} SET aor = '{guest}';
    INSERT INTO {table} SELECT * FROM new_{table};
"""
"""What makes a user of another, by plain SQL and whatever columns there are."""


class Sql(Protocol):
    """What carries out text of ours in the database of all servers."""

    def __call__(self, statements: str) -> object: ...


@dataclass
class Seen:
    """What came of a run."""

    nodes: Nodes
    visitor: Visitor
    wrong: list[str] = field(default_factory=list)


class Looker(threading.Thread):
    """The visitor comes and goes, in a thread of its own, until told to end; `failure` is why he ended early."""

    def __init__(self, visitor: Visitor, servers: Sequence[Server], sql: Sql) -> None:
        super().__init__(name="visitor")
        self._visitor, self._servers, self._sql = visitor, servers, sql
        self._ended = threading.Event()
        self.failure: BaseException | None = None

    def end(self) -> None:
        """No more; raises nothing."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        try:
            for first, last in self._turns():
                self._visitor.come_and_go(self._servers[first], self._servers[last])
                self._by_sql(self._servers[last])
        except BaseException as error:
            self.failure = error

    def _turns(self) -> Iterator[tuple[int, int]]:
        while not self._ended.wait(0.1):
            yield 0, -1
            yield -1, 0

    def _by_sql(self, server: Server) -> None:
        """A user with a phone is made by SQL, and taken away by SQL."""
        visitor, guest = f"{VISITOR}@{DOMAIN}", f"{GUEST}@{DOMAIN}"
        self._visitor.register(self._servers[0], 600)
        self._visitor.until(server, VISITOR, BUSY)
        made = "".join(COPIED.format(table=table, visitor=visitor, guest=guest) for table in ("users", "contacts"))
        self._visitor.changed(lambda: self._sql(made), server, GUEST, BUSY)
        self._visitor.changed(lambda: self._sql(f"DELETE FROM users WHERE aor = '{guest}';"), server, GUEST, AWAY)
        self._visitor.register(self._servers[0], 0)


class Disturber(threading.Thread):
    """Kills and freezes a MariaDB all the while, until told to end."""

    def __init__(self, server: MariaDb, chance: random.Random) -> None:
        super().__init__(name="disturber")
        self._server, self._chance = server, chance
        self._ended = threading.Event()
        self.times = 0

    def end(self) -> None:
        """It runs again, and stays so."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set():
            if self.times == 0 or self._chance.random() < 0.6:
                self._server.kill()
                self._ended.wait(self._chance.uniform(0.2, 0.7))
                self._server.start()
            else:
                self._server.freeze()
                self._ended.wait(self._chance.choice((0.5, 4.0)))
                self._server.thaw()
            self.times += 1
            self._ended.wait(self._chance.uniform(1, 3))


def together(
    database: Contacts, urls: Sequence[str], sql: Sql, seconds: float, chance: random.Random,
    say: Callable[[str], None] = print, *, disturbed: MariaDb | None = None, seen_in: float = SEEN_IN,
) -> Seen:  # fmt: skip
    """Run one server for each URL, all of one database without tables as yet; what came of it.

    `disturbed`: kill and freeze this one all the while, and nobody calls.
    `seen_in`: seconds in which each server must know what the other has stored.
    """
    people = users(USERS)
    names = [f"node{number}" for number in range(len(urls))]
    prepare(urls[0], {**people, VISITOR: PASSWORD}, [PutSettings(Settings(name)) for name in names])
    servers = [(HERE, free_port()) for _ in urls]
    children = [
        start_sipd(url, f"udp:{HERE}:{port}", more=("-S", name))
        for url, (_, port), name in zip(urls, servers, names, strict=True)
    ]
    visitor = Visitor(VISITOR, PASSWORD)
    looker = Looker(visitor, servers, sql) if disturbed is None else Disturber(disturbed, chance)
    with Wire() as wire:
        nodes = Nodes(wire, people, servers, chance)
        seen = Seen(nodes, visitor)
        nodes.go_on(1.0)
        looker.start()
        try:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                nodes.go_on(min(left, EVERY))
                say(words(seen))
        finally:
            looker.end()
        nodes.go_on(3.0)
        nodes.settle()
        time.sleep(SEEN_IN)
        seen.wrong = list(judged(seen, looker, database, children, seen_in))
    visitor.close()
    for child in children:
        child.end_well()
    for text in seen.wrong:
        say(f"WRONG: {text}")
    return seen


def words(seen: Seen) -> str:
    """The figures so far."""
    said = " ".join(f"{status}:{count}" for status, count in sorted(seen.nodes.answers.items()))
    return (
        f"{seen.nodes.operations} REGISTERs, answers {said}, slowest {seen.nodes.slowest * 1000:.0f} ms\n"
        f"  registered here, called there: {seen.visitor.appeared}\n"
        f"  removed there, called here:    {seen.visitor.vanished}\n"
        f"  changed by SQL, called:        {seen.visitor.by_sql}"
    )


def judged(
    seen: Seen, looker: Looker | Disturber, database: Contacts, children: Sequence[Child], seen_in: float
) -> Iterator[str]:
    """What is not as it must be; nothing may be under way."""
    if isinstance(looker, Looker) and looker.failure is not None:
        yield f"the visitor: {looker.failure!r}"
    yield from seen.nodes.violations(database, old=seen_in)
    yield from seen.nodes.disagreements(database)
    if not seen.nodes.answers.keys() <= {200, 400, 500, 503}:
        yield f"answers: {seen.nodes.answers}"
    for name, delays in vars(seen.visitor).items():
        worst = getattr(delays, "worst", 0.0)
        if worst > seen_in:
            yield f"{name}: {delays}"
    for child in children:
        for line in child.errors:
            if FAULTS.search(line) or "event=fault" in line:
                yield f"{child.name}: {line}"
