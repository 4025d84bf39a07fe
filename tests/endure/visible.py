"""How long it takes until a call at one server sees what was done at another, or in the database."""

from __future__ import annotations

import re
import select
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.endure.crowd import DOMAIN
from tests.endure.model import Wish
from tests.endure.phone import Phone, Wire
from tests.load.load import request
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.endure.phone import Answer, Server

LIMIT = 30.0
"""Seconds after which it is not seen at all."""

EVERY = 0.01
"""Seconds between two calls that look."""

BUSY, AWAY, UNKNOWN = 486, 480, 404
"""What a caller hears when the phone rang, when the user has none, and when there is no such user."""


@dataclass
class Delays:
    """Seconds, of one kind of change."""

    seen: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.seen)
        if not ordered:
            return "none"
        p50, p99 = (ordered[min(len(ordered) - 1, len(ordered) * part // 100)] for part in (50, 99))
        return f"n {len(ordered)}, p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {ordered[-1] * 1000:.0f} ms"

    @property
    def worst(self) -> float:
        return max(self.seen, default=0.0)


class Visitor:
    """A phone that comes and goes, and somebody who calls it all the time."""

    def __init__(self, user: str, password: str) -> None:
        self._wire = Wire()
        self._phone = Phone(user, password, DOMAIN, f"of-{user}")
        self._bell, self._caller = bound(), bound()
        self._contact = f"<sip:{user}@{HERE}:{self._bell.getsockname()[1]}>"
        self._user = user
        self.appeared, self.vanished, self.by_sql = Delays(), Delays(), Delays()

    def close(self) -> None:
        """Go for good."""
        for one in (self._wire, self._bell, self._caller):
            one.close()

    def come_and_go(self, one: Server, other: Server) -> None:
        """Register at the one and be called at the other; take it away there and be called here."""
        self.register(one, 600)
        self.appeared.seen.append(self.until(other, self._user, BUSY))
        self.register(other, 0)
        self.vanished.seen.append(self.until(one, self._user, AWAY))

    def changed(self, change: Callable[[], object], server: Server, user: str, status: int) -> None:
        """Have the database changed by something else; a call to that user then gets that answer."""
        change()
        self.by_sql.seen.append(self.until(server, user, status))

    def until(self, server: Server, user: str, status: int) -> float:
        """Seconds from now until the first call that is answered so. Raises AssertionError after LIMIT."""
        began = time.monotonic()
        while True:
            sent = time.monotonic()
            got = self._call(server, user)
            if got == status:
                return sent - began
            assert sent < began + LIMIT, f"a call to {user} at {server} still gets {got} after {LIMIT} s, not {status}"
            time.sleep(EVERY)

    def register(self, server: Server, expires: int) -> None:
        """His phone is bound for so many seconds; 0: not any more."""
        self._phone.fixed = f"Contact: {self._contact};expires={expires}\r\n"
        self._wire.ask(self._phone, Wish(), server=server)
        answers: list[Answer] = []
        while not answers:
            answers = self._wire.step(0.1)
        assert answers[0].status == 200, answers[0].text

    def _call(self, server: Server, user: str) -> int:
        """One INVITE by a stranger; its final status. The phone is busy."""
        port = self._caller.getsockname()[1]
        invite = request("INVITE", f"sip:{user}@{DOMAIN}", port, f"Contact: <sip:nobody@{HERE}:{port}>")
        invite = invite.replace(f"sip:alice@{DOMAIN}".encode(), b"sip:stranger@elsewhere.test")
        branch = re.search(rb"branch=[^;\r]+", invite)
        assert branch is not None
        self._caller.sendto(invite, server)
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            for ready in select.select([self._bell, self._caller], [], [], 0.2)[0]:
                data, source = ready.recvfrom(65535)
                if ready is self._bell:
                    if data.startswith(b"INVITE"):
                        self._bell.sendto(busy(data), source)
                elif branch[0] in data and not data.startswith(b"SIP/2.0 1"):
                    self._caller.sendto(ack(invite, data), server)
                    return int(data[8:11])
        raise AssertionError(f"a call to {user} at {server} has no final answer in {LIMIT} s")


def bound() -> socket.socket:
    """A socket of its own."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HERE, 0))
    return made


def lines(message: bytes, *names: bytes) -> list[bytes]:
    """The header lines of these names."""
    return [line for line in message.split(b"\r\n\r\n")[0].split(b"\r\n") if line.partition(b":")[0] in names]


def busy(invite: bytes) -> bytes:
    """486 to that INVITE."""
    copied = lines(invite, b"Via", b"From", b"To", b"Call-ID", b"CSeq")
    copied = [line + b";tag=busy" if line.startswith(b"To:") else line for line in copied]
    return b"\r\n".join([b"SIP/2.0 486 Busy Here", *copied, b"Content-Length: 0", b"", b""])


def ack(invite: bytes, final: bytes) -> bytes:
    """The ACK to a final response that is no 2xx (RFC 3261 §17.1.1.3)."""
    uri = invite.split(b" ", 2)[1]
    kept = lines(invite, b"Via", b"From", b"Call-ID", b"Max-Forwards") + lines(final, b"To")
    return b"\r\n".join([b"ACK " + uri + b" SIP/2.0", *kept, b"CSeq: 1 ACK", b"Content-Length: 0", b"", b""])
