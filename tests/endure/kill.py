"""kill -9 at any moment under concurrent REGISTERs: what a 200 confirmed is there, whole, and what it removed is not.

A round: everybody registers, each as soon as he has been answered; at a
random moment sipd, the database or both are killed; they are started again;
then the database is read past sipd, and everybody asks what is bound.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.endure.crowd import Crowd, Wishes, users
from tests.endure.databases import prepare
from tests.endure.phone import Wire
from tests.endure.warm import Server
from tests.running import HERE, free_port

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tests.endure.crowd import Tally
    from tests.endure.databases import Database

USERS = 40
MOST_REQUESTS = 160
"""Acknowledged changes of one round: at most about so many, at least one."""

LINGER = 0.01
"""Seconds, at most, from the last of them to the kill: it is not to come always right after an answer."""

BACK = 10.0
"""Seconds within which everybody is answered again after the database came back."""


class Killing:
    """One run: a database, a server, and users that outlive all its rounds."""

    def __init__(self, database: Database, chance: random.Random, crowd: Crowd, say: Callable[[str], None]) -> None:
        self._database, self._chance, self._crowd, self._say = database, chance, crowd, say
        self._port = free_port()
        self._server = (HERE, self._port)
        self._sipd = Server(database.url, f"udp:{HERE}:{self._port}")
        self._sipd.start()
        self.started = 0.0  # seconds that all starts of sipd took

    def round(self, number: int, victims: str) -> None:
        """Load, kill the victims (`sipd`, `database` or `both`), start them, look."""
        self._press(self._chance.randrange(1, MOST_REQUESTS))
        if victims != "sipd":
            self._database.kill()
        if victims == "database":
            self._without_database()
        else:
            self._sipd.kill()
            self._crowd.cut()
            if victims == "both":
                self._database.start()
            began = time.monotonic()
            self._sipd.start()
            self.started += time.monotonic() - began
        self._look(f"round {number}, {victims} killed")

    def _press(self, wanted: int) -> None:
        goal = self._crowd.tally.acknowledged + wanted
        deadline = time.monotonic() + 60
        while self._crowd.tally.acknowledged < goal:
            self._go_on()
            assert time.monotonic() < deadline, f"{wanted} REGISTERs had no 200 in a minute\n{self._sipd.output}"
        until = time.monotonic() + self._chance.uniform(0, LINGER)
        while time.monotonic() < until:
            self._go_on(0.0)

    def _go_on(self, seconds: float = 0.1) -> None:
        self._crowd.ask_all(self._server)
        self._crowd.step(seconds)

    def _without_database(self) -> None:
        """REGISTERs go on, are refused, and are served again when it is back."""
        until = time.monotonic() + self._chance.uniform(0.0, 0.5)
        while time.monotonic() < until:
            self._go_on(0.05)
        self._database.start()
        deadline = time.monotonic() + BACK
        served: set[str] = set()
        while len(served) < len(self._crowd.phones):
            self._crowd.ask_all(self._server)
            served |= {answer.phone.user for answer in self._crowd.step() if answer.status == 200}
            assert time.monotonic() < deadline, f"not back in {BACK} s, {len(served)} served\n{self._sipd.output}"
        self._crowd.settle()

    def _look(self, where: str) -> None:
        """Compare the database with what may be, and what sipd says with the database."""
        faults = self._crowd.tally.faults
        before = len(faults.words)
        for text in self._database.damage():
            faults.torn += 1
            faults.words.append(f"{where}: damaged: {text}")
        found = self._database.contacts()
        self._crowd.compare(found, where)
        for user, state in self._crowd.shown(self._server, where).items():
            if state != found.get(user, frozenset()):
                faults.torn += 1
                faults.words.append(
                    f"{where}: sipd shows {user} {sorted(state)}, stored is {sorted(found.get(user, ()))}"
                )
        for word in faults.words[before:]:
            self._say(word)

    def end(self) -> None:
        """Let sipd go; it must end well."""
        self._sipd.end_well()


def kill(
    database: Database,
    victims: Sequence[str],
    chance: random.Random,
    say: Callable[[str], None] = print,
    every: int = 50,
) -> Tally:
    """A round for each of the victims, on a database that runs and holds nothing yet; what came of it."""
    people = users(USERS)
    prepare(database.url, people)
    with Wire() as wire:
        crowd = Crowd(wire, people, Wishes(chance))
        killing = Killing(database, chance, crowd, say)
        began = time.monotonic()
        for number, victim in enumerate(victims, 1):
            killing.round(number, victim)
            if number % every == 0 or number == len(victims):
                took = f"{time.monotonic() - began:.0f} s ({killing.started:.0f} s of starts)"
                say(f"{number} rounds, {took}: {crowd.tally}")
        killing.end()
    return crowd.tally
