"""Galera under load: the node that sipd is connected to is killed, and another; then two servers on two nodes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.endure.crowd import Crowd, Wishes, users
from tests.endure.databases import prepare
from tests.endure.phone import Wire
from tests.running import HERE, free_port, start_sipd

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.endure.galera import Cluster

USERS = 40

BACK = 30.0
"""Seconds until changes are stored again after a node was killed: Galera alone takes up to six."""


class Failover:
    """One server, whose URL names all nodes."""

    def __init__(self, cluster: Cluster, crowd: Crowd, say: Callable[[str], None]) -> None:
        self._cluster, self._crowd, self._say = cluster, crowd, say
        self._server = (HERE, free_port())
        self.sipd = start_sipd(cluster.url(), f"udp:{HERE}:{self._server[1]}")

    def load(self, seconds: float) -> None:
        """REGISTERs of everybody for that long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._crowd.ask_all(self._server)
            self._crowd.step(0.05)

    def kill(self, number: int) -> None:
        """kill -9 of that node under load; the time until a change is stored again; then it comes back."""
        node = self._cluster.nodes[number]
        self.load(1.0)
        served = [index for index, other in enumerate(self._cluster.nodes) if index != number]
        node.kill()
        killed = time.monotonic()
        back = self._until_stored(killed)
        self.load(2.0)
        self._crowd.settle()
        for index in served:
            self._crowd.compare(self._cluster.contacts(index), f"node {number} killed, node {index}")
        joining = threading.Thread(target=node.start)
        joining.start()
        while joining.is_alive():
            self.load(0.2)
        self._crowd.settle()
        for index in range(len(self._cluster.nodes)):
            self._crowd.compare(self._cluster.contacts(index), f"node {number} back, node {index}")
        self._say(f"node {number} killed: stored again after {back:.1f} s; {self._crowd.tally}")

    def used(self) -> int:
        """The node that sipd is connected to."""
        counts = [node.connections() for node in self._cluster.nodes]
        return counts.index(max(counts))

    def _until_stored(self, since: float) -> float:
        while True:
            self._crowd.ask_all(self._server)
            for answer in self._crowd.step(0.05):
                if answer.status == 200 and answer.began > since:
                    return time.monotonic() - since
            late = time.monotonic() > since + BACK
            assert not late, f"nothing stored in {BACK} s\n{self.sipd.output}\n{self._cluster.shown}"


def failover(cluster: Cluster, chance: random.Random, kills: int, say: Callable[[str], None] = print) -> bool:
    """Kill so many nodes, the one in use first; whether nothing was lost, resurrected or torn."""
    people = users(USERS)
    prepare(cluster.url(), people)
    with Wire() as wire:
        crowd = Crowd(wire, people, Wishes(chance))
        run = Failover(cluster, crowd, say)
        for number in range(kills):
            run.load(2.0)
            used = run.used()
            run.kill(used if number % 2 == 0 else (used + 1) % len(cluster.nodes))
        run.load(1.0)
        crowd.settle()
        run.sipd.end_well()
    for word in crowd.tally.faults.words:
        say(f"WRONG: {word}")
    return not crowd.tally.faults
