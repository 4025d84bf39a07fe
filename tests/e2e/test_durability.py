"""What was answered 200 outlives a power cut: kill -9 at random moments under load (T54 to T56)."""

from __future__ import annotations

import random
import re
import select
import socket
import time
from dataclasses import dataclass, field

from tests import wire
from tests.e2e.house import DOMAIN, USERS
from tests.running import HERE

ROUNDS = 6
REQUESTS = 200
MOST = 8  # contacts of one user
CONTACT = re.compile(r"<sip:[^@>]+@192\.0\.2\.\d+:(\d+)>")


@dataclass
class Subject:
    """One user: what he knows to be stored, and what he has asked for and not heard of."""

    user: str
    password: str
    known: frozenset[int] = frozenset()
    asked: frozenset[int] | None = None
    headers: str = ""
    sent: bytes = b""
    resend: float = 0.0

    def allowed(self) -> set[frozenset[int]]:
        """What may be found after a crash: a request is carried out whole or not at all."""
        return {self.known} if self.asked is None else {self.known, self.asked}


@dataclass
class Crowd:
    """All of them over one socket, each with one request under way."""

    server: int
    chance: random.Random
    subjects: list[Subject]
    acknowledged: int = 0
    serial: int = 0
    socket: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def __post_init__(self) -> None:
        self.socket.bind((HERE, 0))
        self.port = int(self.socket.getsockname()[1])

    def press_until(self, acknowledged: int, *, seconds: float = 60.0) -> None:
        """Send and be answered until that many REGISTERs have had their 200."""
        for subject in self.subjects:
            subject.asked = None
            self.ask_something(subject)
        deadline = time.monotonic() + seconds
        goal = self.acknowledged + acknowledged
        while self.acknowledged < goal:
            now = time.monotonic()
            assert now < deadline, f"{goal - self.acknowledged} REGISTERs had no answer in {seconds} s"
            if select.select([self.socket], [], [], 0.1)[0]:
                self.heard(self.socket.recv(65535).decode())
            for subject in self.subjects:
                if now >= subject.resend:
                    self.send(subject, subject.sent)

    def ask_something(self, subject: Subject) -> None:
        """One change: one contact more, two more, one less, or none left."""
        kind = self.chance.choice(["add", "add", "add two", "remove", "remove", "clear"])
        if kind == "clear" and subject.known:
            subject.asked, subject.headers = frozenset(), "Contact: *\r\nExpires: 0\r\n"
        elif subject.known and (kind == "remove" or len(subject.known) >= MOST):
            gone = self.chance.choice(sorted(subject.known))
            subject.asked = subject.known - {gone}
            subject.headers = f"{contact(subject.user, gone)};expires=0\r\n"
        else:
            new = [self.new_port() for _ in range(2 if kind == "add two" else 1)]
            subject.asked = subject.known | frozenset(new)
            subject.headers = "".join(f"{contact(subject.user, port)};expires=3600\r\n" for port in new)
        self.send(subject, self.register(subject))

    def heard(self, answer: str) -> None:
        """Prove who we are, or take note of the 200."""
        user = re.search(r"^From: <sip:([^@]+)@", answer, re.MULTILINE)
        assert user is not None
        subject = next(one for one in self.subjects if one.user == user[1])
        branch = re.search(r"branch=([^;\r\n]+)", answer)
        assert branch is not None
        if branch[1].encode() not in subject.sent:
            return  # of an earlier request of his, sent twice
        if answer.startswith("SIP/2.0 401"):
            proof = wire.authorization(answer, "REGISTER", f"sip:{DOMAIN}", subject.user, subject.password)
            self.send(subject, self.register(subject, proof))
            return
        assert answer.startswith("SIP/2.0 200"), answer
        assert subject.asked is not None
        assert listed(answer) == subject.asked, "the 200 lists other contacts than it should (RFC 3261 §10.3 step 8)"
        subject.known = subject.asked
        self.acknowledged += 1
        self.ask_something(subject)

    def register(self, subject: Subject, proof: str = "") -> bytes:
        return wire.request("REGISTER", f"sip:{DOMAIN}", self.port, user=subject.user, domain=DOMAIN,
                            to=f"<sip:{subject.user}@{DOMAIN}>", headers=subject.headers + proof)  # fmt: skip

    def send(self, subject: Subject, message: bytes) -> None:
        subject.sent, subject.resend = message, time.monotonic() + 0.5
        self.socket.sendto(message, (HERE, self.server))

    def new_port(self) -> int:
        self.serial += 1
        return 1024 + self.serial


def contact(user: str, port: int) -> str:
    return f"Contact: <sip:{user}@192.0.2.1:{port}>"


def listed(answer: str) -> frozenset[int]:
    return frozenset(int(port) for port in CONTACT.findall(answer))


def found(server: int, subject: Subject) -> frozenset[int]:
    """What the server says is bound, asked by the user himself."""
    with wire.Asker(server) as asker:

        def ask(proof: str = "") -> str:
            message = wire.request("REGISTER", f"sip:{DOMAIN}", asker.port, user=subject.user, domain=DOMAIN,
                                   to=f"<sip:{subject.user}@{DOMAIN}>", headers=proof)  # fmt: skip
            answer = asker.ask(message)
            assert answer is not None
            return answer

        proof = wire.authorization(ask(), "REGISTER", f"sip:{DOMAIN}", subject.user, subject.password)
        answer = ask(proof)
    assert answer.startswith("SIP/2.0 200"), answer
    return listed(answer)


def test_every_answered_register_outlives_a_kill(server):
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    people = dict(USERS)
    for number in range(4):
        people[f"user{number}"] = f"a-secret-{number}"
        server.add_user(f"user{number}", f"a-secret-{number}")
    crowd = Crowd(server.port, chance, [Subject(user, password) for user, password in people.items()])
    for number in range(ROUNDS):
        crowd.press_until(chance.randrange(1, REQUESTS))
        server.kill()
        server.start()
        for subject in crowd.subjects:
            bound = found(server.port, subject)
            assert bound in subject.allowed(), (
                f"seed {seed}, round {number}, {subject.user}: missing {sorted(subject.known - bound)}, "
                f"came back {sorted(bound - subject.known)}, asked was {subject.headers!r}"
            )
            subject.known = bound
    crowd.socket.close()
