"""Our own callers and phone, for a steady rate: latencies to the microsecond, which SIPp's clock can't tell.

One thread, two sockets, no task switches: what is measured is the server and two short Python functions.
"""

from __future__ import annotations

import gc
import re
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from tests import wire
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.scenarios import Scenario

T1 = 0.5
GRACE = 4.0  # seconds after the last start in which operations may still end
BRANCH = re.compile(rb"branch=z9hG4bK([^;,\s]+)")
ECHOED = re.compile(rb"^((?:Via|From|To|Call-ID|CSeq|Record-Route)[ \t]*:[^\r\n]*)\r\n", re.M | re.I)
ROUTE = re.compile(rb"^Record-Route[ \t]*:[ \t]*([^\r\n]*)\r\n", re.M | re.I)
CONTACT = re.compile(rb"^Contact[ \t]*:[^<\r\n]*<([^>\r\n]+)>", re.M | re.I)
TO = re.compile(rb"^To[ \t]*:[^\r\n]*\r\n", re.M | re.I)
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 8\r\n" \
      b"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"  # fmt: skip


class Steady(NamedTuple):
    """What a steady rate came to; latencies in seconds, sorted."""

    latencies: list[float]
    started: int
    failed: int
    retransmissions: int
    seconds: float

    @property
    def failed_share(self) -> float:
        return self.failed / max(1, self.started)

    def percentile(self, share: float) -> float:
        """The latency that `share` (0..1) of the operations kept below; NaN when there are none."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


@dataclass(slots=True)
class Attempt:
    """One request under way. `then` is called with its final response, and may start the next one."""

    message: bytes
    began: float
    then: Callable[[Attempt, bytes], None]
    tries: int = 1
    call: dict[str, bytes | int | str] = field(default_factory=dict)


class End(NamedTuple):
    """A socket and what takes its datagrams."""

    socket: socket.socket
    take: Callable[[bytes, tuple[str, int]], None]


class Phones:
    """The calling phones and the called one."""

    def __init__(self, scenario: Scenario, server: int, called_port: int) -> None:
        self._scenario = scenario
        self._server = (HERE, server)
        self._uri = f"sip:{HERE}:{server}"
        self._calling, self._called = _socket(0), _socket(called_port)
        self._port = int(self._calling.getsockname()[1])
        self._open: dict[bytes, Attempt] = {}
        self._resend: deque[tuple[float, bytes]] = deque()
        self._heard: set[bytes] = set()
        self._dialogs: list[tuple[bytes, bytes, bytes, dict[str, int]]] = []
        self._latencies: list[float] = []
        self._failed = self._retransmissions = self._serial = 0
        self._run = uuid4().hex[:12]  # unique branches and Call-IDs in every run

    def close(self) -> None:
        self._calling.close()
        self._called.close()

    def forget(self) -> None:
        """Leave out of the figures what was so far (the warm-up)."""
        self._latencies.clear()
        self._failed = self._retransmissions = 0

    def keep(self, rate: float, seconds: float) -> Steady:
        """Start `rate` operations a second for that long, and wait for the last to end."""
        start = {"options": self._options, "register": self._register, "digest": self._register,
                 "dialog": self._info}.get(self._scenario.name, self._invite)  # fmt: skip
        selector = selectors.DefaultSelector()
        selector.register(self._calling, selectors.EVENT_READ, End(self._calling, self._response))
        selector.register(self._called, selectors.EVENT_READ, End(self._called, self._request))
        if self._scenario.name == "dialog":
            before = len(self._latencies)
            for _ in range(10 - len(self._dialogs)):
                self._invite(hold=True)
            self._turn(selector, lambda: len(self._dialogs) == 10, time.perf_counter() + GRACE)
            del self._latencies[before:]
        gc.collect()
        gc.disable()
        try:
            total, begun = int(rate * seconds), time.perf_counter()
            for number in range(total):
                due = begun + number / rate
                self._turn(selector, lambda: False, due)
                start()
            self._turn(selector, lambda: not self._open, time.perf_counter() + GRACE)
            took = time.perf_counter() - begun
        finally:
            gc.enable()
            selector.close()
        failed = self._failed + len(self._open)
        return Steady(sorted(self._latencies), total, failed, self._retransmissions, took)

    def _turn(self, selector: selectors.BaseSelector, enough: Callable[[], bool], until: float) -> None:
        """Handle what comes in until `enough()` or that time."""
        while not enough() and (now := time.perf_counter()) < until:
            wait = until - now
            if self._resend:
                wait = min(wait, max(0.0, self._resend[0][0] - now))
            for key, _ in selector.select(wait):
                try:
                    while True:
                        key.data.take(*key.data.socket.recvfrom(65535))
                except BlockingIOError:
                    pass
                except ConnectionRefusedError:
                    self._failed += 1
            self._send_again(time.perf_counter())

    def _send_again(self, now: float) -> None:
        while self._resend and self._resend[0][0] <= now:
            _, branch = self._resend.popleft()
            attempt = self._open.get(branch)
            if attempt is None:
                continue
            if attempt.tries == 7:
                del self._open[branch]
                self._failed += 1
                continue
            attempt.tries += 1
            self._retransmissions += 1
            self._calling.sendto(attempt.message, self._server)
            self._resend.append((now + T1, branch))

    # ----------------------------------------------------------------- what is sent

    def _ask(self, method: str, uri: str, then, *, call: bytes = b"", cseq: int = 1, to: str = "", user: str = "caller",
             headers: str = "", body: bytes = b"", began: float = 0.0, answered: bool = True) -> Attempt:  # fmt: skip
        self._serial += 1
        branch = f"{self._run}{self._serial:06x}".encode()
        call = call or b"%s@steady" % branch
        message = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {HERE}:{self._port};branch=z9hG4bK{branch.decode()};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{user}@{HERE}>;tag={call.partition(b'@')[0].decode()}\r\n"
            f"To: {to or f'<{uri}>'}\r\n"
            f"Call-ID: {call.decode()}\r\nCSeq: {cseq} {method}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        now = time.perf_counter()
        attempt = Attempt(message, began or now, then, call={"id": call, "cseq": cseq, "user": user, "to": to})
        if answered:
            self._open[branch] = attempt
            self._resend.append((now + T1, branch))
        self._calling.sendto(message, self._server)
        return attempt

    def _options(self) -> None:
        self._ask("OPTIONS", self._uri, self._over)

    def _register(self) -> None:
        user, _ = self._scenario.users[self._serial % len(self._scenario.users)]
        contact = f"Contact: <sip:{user}@{HERE}:{self._port}>\r\nExpires: 3600\r\n"
        then = self._challenged if self._scenario.durable else self._over
        self._ask("REGISTER", self._uri, then, to=f"<sip:{user}@{HERE}>", user=user, headers=contact)

    def _challenged(self, attempt: Attempt, response: bytes) -> None:
        if not response.startswith(b"SIP/2.0 401"):
            self._failed += 1
            return
        user = str(attempt.call["user"])
        proof = wire.authorization(response.decode(), "REGISTER", self._uri, user, dict(self._scenario.users)[user])
        contact = f"Contact: <sip:{user}@{HERE}:{self._port}>\r\nExpires: 3600\r\n"
        call = attempt.call["id"]
        assert isinstance(call, bytes)
        self._ask("REGISTER", self._uri, self._over, call=call, cseq=2, to=str(attempt.call["to"]), user=user,
                  headers=contact + proof, began=attempt.began)  # fmt: skip

    def _invite(self, *, hold: bool = False) -> None:
        headers = f"Contact: <sip:caller@{HERE}:{self._port}>\r\nContent-Type: application/sdp\r\n"
        self._ask("INVITE", f"sip:bob@{HERE}:{self._server[1]}", self._held if hold else self._answered,
                  headers=headers, body=SDP)  # fmt: skip

    def _answered(self, attempt: Attempt, response: bytes) -> None:
        if self._over(attempt, response):
            target, to, routes, call = self._acknowledge(response, attempt)
            self._ask("BYE", target, self._ended, call=call, cseq=2, to=to, headers=routes)

    def _held(self, attempt: Attempt, response: bytes) -> None:
        if self._over(attempt, response):
            target, to, routes, call = self._acknowledge(response, attempt)
            self._dialogs.append((target.encode(), to.encode(), routes.encode(), {call.decode(): 1}))

    def _acknowledge(self, response: bytes, attempt: Attempt) -> tuple[str, str, str, bytes]:
        contact, to, call = CONTACT.search(response), TO.search(response), attempt.call["id"]
        assert contact is not None
        assert to is not None
        assert isinstance(call, bytes)
        routes = b"".join(b"Route: %s\r\n" % route for route in reversed(ROUTE.findall(response))).decode()
        target, to_value = contact[1].decode(), to[0].decode().partition(":")[2].strip()
        self._ask("ACK", target, None, call=call, to=to_value, headers=routes, answered=False)
        return target, to_value, routes, call

    def _info(self) -> None:
        target, to, routes, counts = self._dialogs[self._serial % len(self._dialogs)]
        ((call, cseq),) = counts.items()
        counts[call] = cseq + 1
        self._ask("INFO", target.decode(), self._over, call=call.encode(), cseq=cseq + 1, to=to.decode(),
                  headers=routes.decode())  # fmt: skip

    def _over(self, attempt: Attempt, response: bytes) -> bool:
        """Book the operation; whether it succeeded."""
        if not response.startswith(b"SIP/2.0 200"):
            self._failed += 1
            return False
        self._latencies.append(time.perf_counter() - attempt.began)
        return True

    def _ended(self, attempt: Attempt, response: bytes) -> None:
        self._failed += not response.startswith(b"SIP/2.0 200")

    # ----------------------------------------------------------------- what comes in

    def _response(self, data: bytes, _source: object) -> None:
        branch = BRANCH.search(data)
        if branch is None or data.startswith(b"SIP/2.0 1"):
            return
        attempt = self._open.pop(branch[1], None)
        if attempt is None:
            self._retransmissions += 1
        else:
            attempt.then(attempt, data)

    def _request(self, data: bytes, source: tuple[str, int]) -> None:
        method = data.partition(b" ")[0]
        if method == b"ACK":
            return
        branch = BRANCH.search(data)
        if branch is not None:
            mark = method + branch[1]
            self._retransmissions += mark in self._heard
            self._heard.add(mark)
        head = b"\r\n".join(ECHOED.findall(data))
        if method == b"INVITE":
            head = TO.sub(lambda line: line[0].rstrip() + b";tag=called\r\n", head + b"\r\n").rstrip()
            contact = f"\r\nContact: <sip:bob@{HERE}:{self._called.getsockname()[1]}>".encode()
            self._called.sendto(b"SIP/2.0 180 Ringing\r\n" + head + contact + b"\r\nContent-Length: 0\r\n\r\n", source)
            head += contact + b"\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(SDP) + SDP
            self._called.sendto(b"SIP/2.0 200 OK\r\n" + head, source)
        else:
            self._called.sendto(b"SIP/2.0 200 OK\r\n" + head + b"\r\nContent-Length: 0\r\n\r\n", source)


def _socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind((HERE, port))
    made.setblocking(False)
    return made
