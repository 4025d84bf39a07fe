"""Several servers on one database: phones register at random at any of them, and the answers must fit one order.

Every user has three phones, which add, refresh, replace and remove contacts of
their own, remove all, and ask; often all at once, at different servers. Now
and then a phone sends its next REGISTER to another server before the last one
is answered, as one does that fails over: the later CSeq must win.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.endure.crowd import DOMAIN
from tests.endure.history import Operation, violation
from tests.endure.model import FETCH, NOTHING, State, Wish
from tests.endure.phone import Phone, Wire

if TYPE_CHECKING:
    import random

    from tests.endure.databases import Contacts
    from tests.endure.phone import Answer, Server

PHONES = 3
"""Of each user."""

MOST = 4
"""Contacts of one phone: a user has at most 20."""

RATE = 60.0
"""REGISTERs a second."""

TOGETHER = 0.3
"""How often all phones of a user register at once."""

OVERTAKING = 0.1
"""How often a phone sends its next REGISTER elsewhere without waiting."""


@dataclass
class Owner:
    """A user: his phones, each with a twin that shares its Call-ID, and what has been answered to them."""

    user: str
    phones: list[Phone]
    twins: list[Phone]
    mine: dict[str, State] = field(default_factory=dict)  # by Call-ID: what that phone believes to have bound
    history: list[Operation] = field(default_factory=list)


class Nodes:
    """The load on several servers."""

    def __init__(self, wire: Wire, people: dict[str, str], servers: list[Server], chance: random.Random) -> None:
        self._wire, self._servers, self._chance = wire, servers, chance
        self._owners = [_owner(user, password) for user, password in people.items()]
        self._by_user = {owner.user: owner for owner in self._owners}
        self._mark = 0
        self._due = 0.0
        self.answers: Counter[int] = Counter()
        self.slowest = 0.0

    def go_on(self, seconds: float) -> None:
        """REGISTERs for that long."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self._due = max(self._due, now - 0.1)
            while self._due <= now:
                self._due += self._ask(self._chance.choice(self._owners)) / RATE
            self._hear(0.02)

    def settle(self, seconds: float = 40.0) -> None:
        """Until nothing is under way."""
        until = time.monotonic() + seconds
        while self._wire.waiting:
            self._hear(0.1)
            assert time.monotonic() < until, f"{len(self._wire.waiting)} still wait after {seconds} s"

    def _ask(self, owner: Owner) -> int:
        """One REGISTER of that user, or several at once; how many."""
        idle = [number for number in range(PHONES) if owner.phones[number].wish is owner.twins[number].wish is None]
        if not idle:
            return 1  # of his turn
        chosen = idle if self._chance.random() < TOGETHER else [self._chance.choice(idle)]
        asked = 0
        for number in chosen:
            phone, twin = owner.phones[number], owner.twins[number]
            server = self._chance.choice(self._servers)
            phone.cseq = twin.cseq = max(phone.cseq, twin.cseq)
            wish = self._wish(owner, phone)
            self._wire.ask(phone, wish, server=server)
            asked += 1
            if self._chance.random() < OVERTAKING and wish.put:
                others = [other for other in self._servers if other != server] or self._servers
                twin.cseq = phone.cseq
                self._wire.ask(twin, self._again(wish), server=self._chance.choice(others))
                asked += 1
        return asked

    def _wish(self, owner: Owner, phone: Phone) -> Wish:
        mine = sorted(port for port, _ in owner.mine.get(phone.call_id, NOTHING))
        kinds = ["add", "add", "add two", "fetch"] if len(mine) < MOST else ["fetch"]
        if mine:
            kinds += ["refresh", "refresh", "replace", "remove", "remove", "clear"]
        match self._chance.choice(kinds):
            case "add":
                return Wish(put=(self._new(),))
            case "add two":
                return Wish(put=(self._new(), self._new()))
            case "refresh":
                return Wish(put=tuple((port, self._next()) for port in mine))
            case "replace":
                return Wish(put=(self._new(),), gone=(self._chance.choice(mine),))
            case "remove":
                return Wish(gone=(self._chance.choice(mine),))
            case "clear":
                return Wish(clear=True)
            case _:
                return FETCH

    def _again(self, wish: Wish) -> Wish:
        """The same contacts put once more, or taken away."""
        ports = [port for port, _ in wish.put]
        if self._chance.random() < 0.5:
            return Wish(put=tuple((port, self._next()) for port in ports))
        return Wish(gone=tuple(ports))

    def _next(self) -> int:
        self._mark += 1
        return self._mark

    def _new(self) -> tuple[int, int]:
        mark = self._next()
        return 1024 + mark % 64000, mark

    def _hear(self, seconds: float) -> None:
        for answer in self._wire.step(seconds):
            self.answers[answer.status] += 1
            self.slowest = max(self.slowest, answer.ended - answer.began)
            owner = self._by_user[answer.phone.user]
            owner.history.append(self._operation(answer))
            mine = owner.mine.get(answer.phone.call_id, NOTHING)
            if answer.status == 200:  # believed, until the next answer says otherwise
                known = {port for port, _ in mine} | {port for port, _ in answer.wish.put}
                owner.mine[answer.phone.call_id] = frozenset(pair for pair in answer.listed if pair[0] in known)

    def _operation(self, answer: Answer) -> Operation:
        return Operation(
            answer.began, answer.ended, answer.phone.call_id, answer.cseq, self._servers.index(answer.server),
            answer.wish, answer.status, answer.listed,
        )  # fmt: skip

    # what came of it

    @property
    def operations(self) -> int:
        """How many have been answered, or given up."""
        return sum(len(owner.history) for owner in self._owners)

    def violations(self, database: Contacts, *, old: float) -> list[str]:
        """Of each user whose answers, and what is stored now, fit no one order: why not.

        `old`: seconds by which what servers only show may be behind.
        """
        stored = database.contacts()
        found = []
        for owner in self._owners:
            text = violation(owner.history, stored.get(owner.user, NOTHING), old=old)
            if text:
                found.append(f"{owner.user}: {text}")
        return found

    def disagreements(self, database: Contacts) -> list[str]:
        """Where a server shows, to a phone that asks, something else than what is stored."""
        stored, found = database.contacts(), []
        for number, server in enumerate(self._servers):
            for owner in self._owners:
                self._wire.ask(owner.phones[0], server=server)
            for _ in self._owners:
                answers: list[Answer] = []
                while not answers:
                    answers = self._wire.step(0.5)
                for answer in answers:
                    user = answer.phone.user
                    if answer.status != 200 or answer.listed != stored.get(user, NOTHING):
                        shown = f"{answer.status} {sorted(answer.listed)}"
                        found.append(f"server {number} shows {user} {shown}, stored is {sorted(stored.get(user, ()))}")
                if not self._wire.waiting:
                    break
        return found


def _owner(user: str, password: str) -> Owner:
    phones = [Phone(user, password, DOMAIN, f"{user}-{number}") for number in range(PHONES)]
    twins = [Phone(user, password, DOMAIN, f"{user}-{number}") for number in range(PHONES)]
    return Owner(user, phones, twins)
