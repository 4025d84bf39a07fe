"""Users who add, refresh, replace and remove contacts without end, and what is known of each."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.endure.model import Faults, Knowledge, State, Wish
from tests.endure.phone import Answer, Phone, Wire

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.endure.phone import Server

DOMAIN = "example.test"

MOST = 8
"""Contacts of one user."""

KINDS = ("add", "add", "add two", "refresh", "refresh all", "replace", "remove", "remove two", "clear")


def users(count: int) -> dict[str, str]:
    """So many names, with passwords."""
    return {f"user{number}": f"secret of {number}" for number in range(count)}


class Wishes:
    """Random changes; contacts and marks are never used twice."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._serial = 0

    def next(self, state: State) -> Wish:
        """A change of that state."""
        ports = sorted(port for port, _ in state)
        kind = self.chance.choice(KINDS)
        if len(ports) >= MOST and kind.startswith("add"):
            kind = "replace"
        if not ports or (len(ports) < 2 and kind == "remove two"):
            kind = "add two"
        match kind:
            case "add":
                return Wish(put=(self._new(),))
            case "add two":
                return Wish(put=(self._new(), self._new()))
            case "refresh":
                return Wish(put=((self.chance.choice(ports), self._mark()),))
            case "refresh all":
                return Wish(put=tuple((port, self._mark()) for port in ports))
            case "replace":
                return Wish(put=(self._new(),), gone=(self.chance.choice(ports),))
            case "remove":
                return Wish(gone=(self.chance.choice(ports),))
            case "remove two":
                return Wish(gone=tuple(self.chance.sample(ports, 2)))
            case _:
                return Wish(clear=True)

    def _mark(self) -> int:
        self._serial += 1
        return self._serial

    def _new(self) -> tuple[int, int]:
        mark = self._mark()
        return 1024 + mark % 64000, mark  # 64,000 changes later its first owner has long let go of that port


@dataclass
class Tally:
    """What came of all REGISTERs so far."""

    acknowledged: int = 0  # changes answered 200
    answers: Counter[int] = field(default_factory=Counter)  # by status; 0: none in time
    cut: int = 0  # under way when a server was killed
    faults: Faults = field(default_factory=Faults)

    def __str__(self) -> str:
        said = " ".join(f"{status}:{count}" for status, count in sorted(self.answers.items()))
        faults = self.faults
        return (
            f"acknowledged {self.acknowledged}, cut {self.cut}, answers {said}; "
            f"lost {faults.lost}, resurrected {faults.resurrected}, torn {faults.torn}"
        )


UNCHANGED = frozenset({400, 403, 404, 423, 503})
"""Answers that promise that nothing was carried out."""


class Crowd:
    """All users, one phone each, on one server."""

    def __init__(self, wire: Wire, people: dict[str, str], wishes: Wishes) -> None:
        self.wire = wire
        self.tally = Tally()
        self.phones = [Phone(user, password, DOMAIN, f"of-{user}") for user, password in people.items()]
        self.known = {user: Knowledge() for user in people}
        self._wishes = wishes

    def ask_all(self, server: Server) -> None:
        """Everybody who has nothing under way asks for a change."""
        for phone in self.phones:
            if phone.wish is None:
                self.ask(phone, server)

    def ask(self, phone: Phone, server: Server) -> None:
        """A new change by one of them."""
        self.wire.ask(phone, self._wishes.next(self.known[phone.user].one), server=server)

    def step(self, seconds: float = 0.1) -> list[Answer]:
        """What was answered just now; all of it is taken note of."""
        answers = self.wire.step(seconds)
        for answer in answers:
            self.heard(answer)
        return answers

    def heard(self, answer: Answer) -> None:
        """Note what is known now."""
        knowledge, user = self.known[answer.phone.user], answer.phone.user
        self.tally.answers[answer.status] += 1
        if answer.status == 200:
            if not answer.wish.asks_only:
                self.tally.acknowledged += 1
            self.tally.faults.add(knowledge.acknowledged(answer.wish, answer.listed), f"200 to {user}")
        elif answer.status not in UNCHANGED:
            knowledge.uncertain(answer.wish)

    def cut(self) -> None:
        """The server is gone: read what it still said, then all that is under way may have been carried out, or not."""
        while self.step(0.0):
            pass
        for phone, wish in self.wire.drop():
            self.tally.cut += 1
            self.known[phone.user].uncertain(wish)

    def settle(self, seconds: float = 40.0) -> None:
        """Until nothing is under way. Raises AssertionError when that takes longer."""
        self._until(lambda: not self.wire.waiting, seconds, "are still waiting")

    def shown(self, server: Server, where: str) -> dict[str, State]:
        """What the server says is bound, to each user himself; nothing may be under way."""
        said: dict[str, State] = {}
        for phone in self.phones:
            self.wire.ask(phone, server=server)
        left = len(self.phones)
        while left:
            for answer in self.wire.step(1.0):
                left -= 1
                assert answer.status == 200, f"{where}: {answer.phone.user} asks what is bound: {answer.text!r}"
                said[answer.phone.user] = answer.listed
        return said

    def compare(self, found: dict[str, State], where: str) -> None:
        """Measure what the database holds; nothing may be under way."""
        for user, knowledge in self.known.items():
            self.tally.faults.add(knowledge.found(found.get(user, frozenset())), f"{where}: {user}")

    def _until(self, done: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.step(0.1)
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds} s {[phone.user for phone in self.wire.waiting]} {otherwise}")
