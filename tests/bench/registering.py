"""Phones that register with digest, as fast as they are answered or at a steady rate.

A phone keeps its Call-ID and counts its CSeq, as real ones do. It either is
challenged anew each time (`kept=False`: 401, then the right answer), or goes
on with the nonce it has and counts nc (RFC 7616 §3.4), which is the usual
refresh. It has one REGISTER under way at a time. One thread, one socket:
some 15 us of Python an operation, so that the server is what is measured.
"""

from __future__ import annotations

import gc
import re
import select
import socket
import time
from collections import deque
from hashlib import md5
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tests import wire
from tests.bench.steady import GRACE, T1, Steady
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BRANCH: Final = b"branch=z9hG4bK"
BRANCH_LENGTH: Final = 16
REALM: Final = re.compile(rb'realm="([^"]*)"')
NONCE: Final = re.compile(rb'nonce="([^"]*)"')
CNONCE: Final = b"0a4f113b"
TRIES: Final = 7
LONGEST: Final = 1800.0
"""Seconds that `saturate` goes on at most."""


class Phone:
    """One user's phone: what it says, and the nonce it was given."""

    __slots__ = ("begun", "cseq", "head", "message", "name", "nc", "nonce", "realm", "secret", "sent", "tries")

    def __init__(self, name: str, password: str, run: str, port: int) -> None:
        self.name = name.encode()
        self.secret = wire.ha1(name, HERE, password).encode()
        self.head = (
            f"Max-Forwards: 70\r\nFrom: <sip:{name}@{HERE}>;tag={run}\r\nTo: <sip:{name}@{HERE}>\r\n"
            f"Call-ID: {run}-{name}@{HERE}\r\nContact: <sip:{name}@{HERE}:{port}>\r\n"
            "Expires: 3600\r\nUser-Agent: Bench Phone 1.0\r\n"
        ).encode()
        self.cseq = self.nc = self.tries = 0
        self.nonce = self.realm = self.message = b""
        self.begun = self.sent = 0.0


class Registering:
    """Many phones behind one socket. `contact_port`: the one they say they have."""

    def __init__(self, users: Sequence[tuple[str, str]], server: int, *, kept: bool, contact_port: int = 0) -> None:
        self._kept = kept
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((HERE, 0))
        self._socket.connect((HERE, server))
        self._socket.setblocking(False)
        port = int(self._socket.getsockname()[1])
        self._run = uuid4().hex[:6]  # branches and Call-IDs are of this run only
        self._uri = f"sip:{HERE}:{server}".encode()
        self._start = b"REGISTER %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;rport;%s" % (
            self._uri,
            HERE.encode(),
            port,
            BRANCH,
        )
        self._what = md5(b"REGISTER:" + self._uri).hexdigest().encode()
        self._idle = deque(Phone(name, password, self._run, contact_port or port) for name, password in users)
        self._open: dict[bytes, Phone] = {}
        self._serial = 0
        self._latencies: list[float] = []
        self._failed = self._resent = 0
        self.refused: dict[bytes, int] = {}  # status lines that were no success

    def close(self) -> None:
        self._socket.close()

    def saturate(self, operations: int, together: int) -> Steady:
        """So many, `together` under way at once (fewer where there are fewer phones)."""
        left = operations

        def begin_next() -> None:
            nonlocal left
            if left:
                left -= 1
                self._begin()

        def work() -> None:
            for _ in range(min(together, operations, len(self._idle))):
                begin_next()
            self._until(lambda: not self._open, begin_next, LONGEST)

        return self._measured(operations, work)

    def keep(self, rate: float, seconds: float, at_times: Callable[[], None] | None = None) -> Steady:
        """Start `rate` a second for that long; `at_times` is called about each second."""
        total = int(rate * seconds)

        def work() -> None:
            begun, told = time.perf_counter(), 0
            for number in range(total):
                due = begun + number / rate
                self._until(lambda: False, None, due - time.perf_counter())
                if self._idle:
                    self._begin()
                else:
                    self._failed += 1
                if at_times is not None and int(due - begun) > told:
                    told = int(due - begun)
                    at_times()
            self._until(lambda: not self._open, None, GRACE)

        return self._measured(total, work)

    def _measured(self, operations: int, work: Callable[[], None]) -> Steady:
        self._latencies, self._failed, self._resent = [], 0, 0
        gc.collect()
        gc.disable()
        begun = time.perf_counter()
        try:
            work()
        finally:
            gc.enable()
        took = time.perf_counter() - begun
        failed = self._failed + len(self._open)
        self._open.clear()
        return Steady(sorted(self._latencies), operations, failed, self._resent, took)

    def _begin(self) -> None:
        phone = self._idle.popleft()
        if not self._kept:
            phone.nonce = b""
        phone.begun = time.perf_counter()
        self._ask(phone)

    def _ask(self, phone: Phone) -> None:
        self._serial += 1
        branch = b"%s%010x" % (self._run.encode(), self._serial)
        phone.cseq += 1
        proof = b""
        if phone.nonce:
            phone.nc += 1
            said = b"%s:%s:%08x:%s:auth:%s" % (phone.secret, phone.nonce, phone.nc, CNONCE, self._what)
            proof = (
                b'Authorization: Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", '
                b'algorithm=MD5, cnonce="%s", qop=auth, nc=%08x\r\n'
                % (phone.name, phone.realm, phone.nonce, self._uri, md5(said).hexdigest().encode(), CNONCE, phone.nc)
            )
        phone.message = b"%s%s\r\n%sCSeq: %d REGISTER\r\n%sContent-Length: 0\r\n\r\n" % (
            self._start, branch, phone.head, phone.cseq, proof,
        )  # fmt: skip
        phone.tries = 1
        phone.sent = time.perf_counter()
        self._open[branch] = phone
        self._socket.send(phone.message)

    def _until(self, enough: Callable[[], bool], then: Callable[[], None] | None, seconds: float) -> None:
        """Take what comes until `enough()` or that many seconds from now; `then` after each operation that ended."""
        receive, poll = self._socket.recv, select.poll()
        poll.register(self._socket, select.POLLIN)
        until = time.perf_counter() + seconds
        again = time.perf_counter() + T1
        while not enough() and (now := time.perf_counter()) < until:
            if now >= again:
                self._send_again(now)
                again = now + T1 / 5
            if poll.poll(1000 * max(0.0, min(until, again) - now)):
                try:
                    while True:
                        if self._answered(receive(65535)) and then is not None:
                            then()
                except BlockingIOError:
                    pass

    def _answered(self, data: bytes) -> bool:
        """Whether this response ended an operation."""
        if data[8:9] == b"1":
            return False
        place = data.find(BRANCH) + len(BRANCH)
        phone = self._open.pop(data[place : place + BRANCH_LENGTH], None)
        if phone is None:
            return False
        if data[8:11] == b"401" and (not phone.nonce or b"stale=true" in data.lower()):
            realm, nonce = REALM.search(data), NONCE.search(data)
            assert realm is not None
            assert nonce is not None
            phone.realm, phone.nonce, phone.nc = realm[1], nonce[1], 0
            self._ask(phone)
            return False
        if data[8:11] == b"200":
            self._latencies.append(time.perf_counter() - phone.begun)
        else:
            line = data.partition(b"\r\n")[0]
            self.refused[line] = self.refused.get(line, 0) + 1
            phone.nonce = b""
            self._failed += 1
        self._idle.append(phone)
        return True

    def _send_again(self, now: float) -> None:
        for branch, phone in list(self._open.items()):
            if now - phone.sent < T1:
                continue
            if phone.tries == TRIES:
                del self._open[branch]
                self._failed += 1
                self._idle.append(phone)
                continue
            phone.tries += 1
            phone.sent = now
            self._resent += 1
            self._socket.send(phone.message)
