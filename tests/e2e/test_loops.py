"""Loops and broad forks through real sockets (RFC 5393, T38, T39)."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sipd.message import Request, Response, parse, response_to
from tests.e2e.house import DOMAIN
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 10.0
"""Seconds after which a test gives up; what is measured is far below."""


class Socket:
    """One UDP socket of a phone or a proxy, spoken to by blocking calls."""

    def __init__(self, server: int) -> None:
        self.server = (HERE, server)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HERE, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.settimeout(LIMIT)
        self.port = self.socket.getsockname()[1]
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.socket.close()

    def send(self, method: str, uri: str, *more: str, call_id: str = "one") -> None:
        aor = uri if method == "REGISTER" else f"sip:alice@{DOMAIN}"
        lines = [
            f"{method} {f'sip:{DOMAIN}' if method == 'REGISTER' else uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {HERE}:{self.port};branch=z9hG4bK{call_id}{method}",
            "Max-Forwards: 70",
            f"From: <{aor}>;tag=a",
            f"To: <{uri}>",
            f"Call-ID: {call_id}",
            f"CSeq: 1 {method}",
            *more,
            "Content-Length: 0",
        ]
        self.socket.sendto("\r\n".join([*lines, "", ""]).encode(), self.server)

    def final(self) -> int:
        """The status of the next final response; its head may be longer than we ourselves would take."""
        while True:
            status = int(self.socket.recv(65535)[8:11])
            if status >= 200:
                return status

    def serve(self, react: Callable[[Request | Response], bytes | None]) -> None:
        """Answer what comes, in a thread that ends with the socket."""
        self.socket.settimeout(0.1)

        def run() -> None:
            while not self._over.is_set():
                with suppress(TimeoutError):
                    answer = react(parse(self.socket.recv(65535)))
                    if answer is not None:
                        self.socket.sendto(answer, self.server)

        self._thread = threading.Thread(target=run)
        self._thread.start()


@pytest.fixture
def sockets():
    """Makes sockets that speak to a server, and closes them."""
    made: list[Socket] = []

    def make(server):
        made.append(Socket(server.port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def register(phone: Socket, user: str, *contacts: str) -> None:
    phone.send("REGISTER", f"sip:{user}@{DOMAIN}", *(f"Contact: <{contact}>" for contact in contacts), call_id=user)
    assert phone.final() == 200


def test_two_users_each_bound_to_both_by_way_of_another_proxy(start_server, sockets):
    server = start_server(auth="none")
    alice, proxy = sockets(server), sockets(server)
    forwarded = []

    def bounce(message: Request | Response) -> bytes | None:
        lines = bytes(message).decode().split("\r\n")
        vias = [at for at, line in enumerate(lines) if line.startswith("Via: ")]
        if isinstance(message, Response):
            del lines[vias[0]]
            return "\r\n".join(lines).encode()
        if message.method != "INVITE":
            return None
        forwarded.append(message.uri.user)
        lines[0] = f"INVITE sip:{message.uri.user}@{DOMAIN} SIP/2.0"
        lines.insert(vias[0], f"Via: SIP/2.0/UDP {HERE}:{proxy.port};branch=z9hG4bK{len(forwarded)}")
        return "\r\n".join(lines).encode()

    for user in ("bob", "carol"):
        register(alice, user, *(f"sip:{name}@{HERE}:{proxy.port}" for name in ("bob", "carol")))
    proxy.serve(bounce)
    start = time.monotonic()
    alice.send("INVITE", f"sip:bob@{DOMAIN}", call_id="loop")
    assert alice.final() == 482
    assert time.monotonic() - start < 1
    assert len(forwarded) <= 4


def test_300_contacts_are_rung_60_at_a_time(start_server, sockets):
    server = start_server(auth="none", max_contacts="300")
    alice, phones = sockets(server), sockets(server)
    ringing: set[str] = set()
    most = 0
    rung = 0
    gate = threading.Event()

    def busy(message: Request | Response) -> bytes | None:
        nonlocal most, rung
        if not isinstance(message, Request) or message.method != "INVITE" or message.branch is None:
            return None
        if message.branch in ringing:
            return None
        rung += 1
        ringing.add(message.branch)
        most = max(most, len(ringing))
        if len(ringing) < 60 and rung < 60:
            return None  # the first sixty ring; then each that ends lets one more in
        ringing.discard(message.branch)
        gate.set()
        return bytes(response_to(message, 486, to_tag="b"))

    for first in range(0, 300, 50):
        register_some = [f"sip:p{at}@{HERE}:{phones.port}" for at in range(first, first + 50)]
        alice.send(
            "REGISTER",
            f"sip:bob@{DOMAIN}",
            *(f"Contact: <{contact}>" for contact in register_some),
            call_id=f"r{first}",
        )
        assert alice.final() == 200
    phones.serve(busy)
    alice.send("INVITE", f"sip:bob@{DOMAIN}", call_id="broad")
    assert gate.wait(LIMIT)
    deadline = time.monotonic() + LIMIT
    while rung < 300 and time.monotonic() < deadline:
        gate.clear()
        gate.wait(0.1)
    assert rung == 300, "everyone has his turn"
    assert most == 60
