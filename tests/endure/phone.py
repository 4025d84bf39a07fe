"""Many phones on one socket that register with digest, each with one REGISTER under way at most.

Fast, so that the server is what is measured: a nonce is used as long as it is
good (RFC 7616 §3.4.5), and nothing of an answer is read but what counts.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time
from dataclasses import dataclass, field
from hashlib import md5, sha256
from typing import NamedTuple

from tests.endure.model import FETCH, State, Wish
from tests.running import HERE

CHALLENGE = re.compile(
    rb'^WWW-Authenticate: *Digest realm="([^"]*)", *nonce="([^"]*)", *algorithm=([^,\r]*)', re.MULTILINE | re.IGNORECASE
)
LISTED = re.compile(rb"^Contact: <sip:[^@>]+@192\.0\.2\.1:(\d+)>[^\r]*;mark=(\d+)", re.MULTILINE)
BRANCH = re.compile(rb"branch=z9hG4bK(\d+)")
HASHES = {b"MD5": md5, b"SHA-256": sha256}

T1 = 0.5
"""Seconds before a request is sent again (RFC 3261 §17.1.2.2); then twice as many, at most T2."""

T2 = 4.0

GIVEN_UP = 32.0
"""Seconds without an answer (Timer F)."""

CHALLENGES = 3
"""So many in a row are an answer, and no question any more."""

Server = tuple[str, int]


@dataclass
class Nonce:
    """A challenge that is being used up."""

    realm: bytes
    nonce: bytes
    algorithm: bytes
    count: int = 0


@dataclass
class Phone:
    """One user agent: its identity, what it knows of each server, and the REGISTER under way."""

    user: str
    password: str
    domain: str
    call_id: str
    cseq: int = 0
    nonces: dict[Server, Nonce] = field(default_factory=dict)
    fixed: str = ""  # Contact lines, in place of what a wish says
    wish: Wish | None = None  # what is under way
    server: Server = (HERE, 0)
    branch: int = 0
    sent: bytes = b""
    began: float = 0.0
    resend: float = 0.0
    again: float = T1
    challenges: int = 0

    def __post_init__(self) -> None:
        self.aor = f"{self.user}@{self.domain}"
        self._secrets: dict[bytes, str] = {}

    def request(self, port: int) -> bytes:
        """The REGISTER under way, with the next CSeq and, when there is a nonce, with credentials."""
        assert self.wish is not None
        self.cseq += 1
        return (
            f"REGISTER sip:{self.domain} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HERE}:{port};branch=z9hG4bK{self.branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self.aor}>;tag={self.branch}\r\nTo: <sip:{self.aor}>\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {self.cseq} REGISTER\r\n"
            f"{self.fixed or contacts(self.user, self.wish)}{self._credentials()}Content-Length: 0\r\n\r\n"
        ).encode()

    def challenged(self, answer: bytes) -> bool:
        """Take note of a 401; whether it can be answered."""
        for realm, nonce, algorithm in CHALLENGE.findall(answer):
            if algorithm in HASHES:
                self.nonces[self.server] = Nonce(realm, nonce, algorithm)
                self.challenges += 1
                return self.challenges <= CHALLENGES
        return False

    def _credentials(self) -> str:
        """RFC 7616 §3.4, with qop auth."""
        nonce = self.nonces.get(self.server)
        if nonce is None:
            return ""
        nonce.count += 1
        hashed = HASHES[nonce.algorithm]
        secret = self._secrets.get(nonce.algorithm)
        if secret is None:
            text = f"{self.user}:{nonce.realm.decode()}:{self.password}"
            secret = self._secrets[nonce.algorithm] = hashed(text.encode()).hexdigest()
        uri, given = f"sip:{self.domain}", nonce.nonce.decode()
        a2 = hashed(f"REGISTER:{uri}".encode()).hexdigest()
        proof = hashed(f"{secret}:{given}:{nonce.count:08x}:c:auth:{a2}".encode()).hexdigest()
        return (
            f'Authorization: Digest username="{self.user}", realm="{nonce.realm.decode()}", nonce="{given}", '
            f'uri="{uri}", algorithm={nonce.algorithm.decode()}, qop=auth, nc={nonce.count:08x}, cnonce="c", '
            f'response="{proof}"\r\n'
        )


def contacts(user: str, wish: Wish) -> str:
    """The Contact lines of a wish; none where it only asks."""
    if wish.clear:
        return "Contact: *\r\nExpires: 0\r\n"
    lines = [f"Contact: <sip:{user}@192.0.2.1:{port}>;mark={mark};expires=3600\r\n" for port, mark in wish.put]
    lines += [f"Contact: <sip:{user}@192.0.2.1:{port}>;expires=0\r\n" for port in wish.gone]
    return "".join(lines)


class Answer(NamedTuple):
    """How a REGISTER ended; status 0: no answer in time."""

    phone: Phone
    wish: Wish
    server: Server
    status: int
    listed: State  # of a 200
    began: float  # seconds, when it was sent first
    ended: float
    text: bytes
    cseq: int  # of the request that was answered


class Wire:
    """The socket of all phones."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((HERE, 0))
        self._socket.setblocking(False)
        self._port = int(self._socket.getsockname()[1])
        self._serial = 0
        self._open: dict[int, Phone] = {}  # by the number in its branch
        self._look = 0.0  # when the next request is to be sent again

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    @property
    def waiting(self) -> list[Phone]:
        """Those with a REGISTER under way."""
        return list(self._open.values())

    def ask(self, phone: Phone, wish: Wish = FETCH, *, server: Server) -> None:
        """Send a REGISTER of that phone."""
        assert phone.wish is None, "one at a time"
        phone.wish, phone.server, phone.challenges, phone.began = wish, server, 0, time.monotonic()
        self._send_new(phone)

    def drop(self) -> list[tuple[Phone, Wish]]:
        """Forget all that is under way: the server is gone. What came before that is to be read first."""
        gone = [(phone, phone.wish) for phone in self._open.values() if phone.wish is not None]
        self._open.clear()
        for phone, _ in gone:
            phone.wish = None
        return gone

    def step(self, seconds: float = 0.1) -> list[Answer]:
        """The answers of this moment, waiting for the first at most that long."""
        now = time.monotonic()
        if now >= self._look:
            gone = self._send_again(now)
            if gone:
                return gone
        answers = []
        if select.select([self._socket], [], [], seconds)[0]:
            for _ in range(100):
                try:
                    data = self._socket.recv(65535)
                except BlockingIOError:
                    break
                except ConnectionRefusedError:  # ICMP: nobody listens there
                    continue
                answer = self._heard(data)
                if answer is not None:
                    answers.append(answer)
        return answers

    def _heard(self, data: bytes) -> Answer | None:
        branch = BRANCH.search(data)
        phone = self._open.get(int(branch[1])) if branch is not None else None
        if phone is None or data.startswith(b"SIP/2.0 1"):
            return None  # of an earlier request, sent twice; or not the end yet
        del self._open[phone.branch]
        if data.startswith(b"SIP/2.0 401") and phone.challenged(data):
            self._send_new(phone)
            return None
        return self._ended(phone, int(data[8:11]), data)

    def _ended(self, phone: Phone, status: int, data: bytes) -> Answer:
        wish, phone.wish = phone.wish, None
        assert wish is not None
        listed = frozenset((int(port), int(mark)) for port, mark in LISTED.findall(data))
        return Answer(phone, wish, phone.server, status, listed, phone.began, time.monotonic(), data, phone.cseq)

    def _send_new(self, phone: Phone) -> None:
        self._serial += 1
        phone.branch, phone.again = self._serial, T1
        self._open[phone.branch] = phone
        phone.sent = phone.request(self._port)
        self._send(phone, time.monotonic())

    def _send(self, phone: Phone, now: float) -> None:
        phone.resend = now + phone.again
        phone.again = min(2 * phone.again, T2)
        with contextlib.suppress(ConnectionRefusedError, BlockingIOError):  # it is sent again
            self._socket.sendto(phone.sent, phone.server)

    def _send_again(self, now: float) -> list[Answer]:
        self._look = now + 0.1
        ended = []
        for phone in self.waiting:
            if now - phone.began > GIVEN_UP:
                del self._open[phone.branch]
                ended.append(self._ended(phone, 0, b""))
            elif now >= phone.resend:
                self._send(phone, now)
        return ended
