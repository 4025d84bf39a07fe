"""Many peers, and what they do to the server and to an honest caller: the means of the tests and programs here."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.e2e.house import DOMAIN
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60.0
"""Seconds that anything may take on a machine that is busy with other things."""

OURS = 128
"""Descriptors of ours that are no connection."""


def allow_files(wanted: int) -> None:
    """Raises the limit of descriptors of this process; RuntimeError when the system does not let it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + OURS:
        if hard != resource.RLIM_INFINITY and hard < wanted + OURS:
            raise RuntimeError(f"this process may have {hard} descriptors, and needs {wanted + OURS}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + OURS, hard))


def memory(pid: int) -> int:
    """Bytes of memory that this process has to itself (proportional set size, without what others share)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not say")


def cpu_seconds(pid: int) -> float:
    """Seconds of a processor that this process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connections_of(pid: int) -> int:
    """How many sockets this process has open."""
    count = 0
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(entry.path).startswith("socket:")
    return count


class Crowd:
    """Connections to one port that do as they are told."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            one.close()

    def connect(self, port: int, count: int, context: ssl.SSLContext | None = None, first: bytes = b"") -> None:
        """Open so many more connections, inside TLS where there is a context; each says `first` and hears an answer."""
        allow_files(len(self.sockets) + count)
        for _ in range(count):
            one = socket.create_connection((HERE, port), timeout=PATIENCE)
            if context is not None:
                one = context.wrap_socket(one, server_hostname=HERE)
            if first:
                one.sendall(first)
                one.recv(65536)
            one.setblocking(False)
            self.sockets.append(one)

    def say(self, data: bytes) -> None:
        """Each one sends this, or has been sent away."""
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.send(data)

    def hear(self, wanted: bytes, seconds: float = PATIENCE) -> int:
        """How many have heard `wanted`, each reading until it has, or has been sent away."""
        waiting = {one.fileno(): one for one in self.sockets}
        poll = select.poll()
        for number in waiting:
            poll.register(number, select.POLLIN)
        heard, got, deadline = 0, dict.fromkeys(waiting, b""), time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            for number, _ in poll.poll(100):
                try:
                    data = waiting[number].recv(65536)
                except OSError:
                    data = b""
                got[number] += data
                if wanted in got[number] or not data:
                    heard += wanted in got[number]
                    del waiting[number]
                    poll.unregister(number)
        return heard

    def ended(self) -> int:
        """How many the server has closed by now; what it said is read and forgotten."""
        count = 0
        for one in self.sockets:
            try:
                while data := one.recv(65536):
                    pass
                count += not data
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except OSError:
                count += 1
        return count


def request(method: str, uri: str, port: int, *more: str, call_id: str = "", to_tag: str = "", cseq: int = 1,
            body: bytes = b"", transport: str = "UDP", user: str = "alice") -> bytes:  # fmt: skip
    """A request from that port of ours."""
    call_id = call_id or uuid4().hex
    lines = (
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} {HERE}:{port};branch=z9hG4bK{uuid4().hex};rport",
        "Max-Forwards: 70",
        f"From: <sip:{user}@{DOMAIN}>;tag=a{call_id[:6]}",
        f"To: <{uri}>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *more,
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


class Pair:
    """A caller and a phone on UDP, both honest; `latencies` has the caller's seconds from each INVITE to its 200."""

    def __init__(self, port: int) -> None:
        self.server = (HERE, port)
        self.caller, self.phone = self._bound(), self._bound()
        self.latencies: list[float] = []
        self.failed = 0

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.caller.close()
        self.phone.close()

    @staticmethod
    def _bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((HERE, 0))
        return made

    def register(self, user: str = "bob") -> None:
        """The phone registers, without credentials: the server is to ask for none."""
        port = self.phone.getsockname()[1]
        aor = f"sip:{user}@{DOMAIN}"
        contact = f"Contact: <sip:{user}@{HERE}:{port}>;expires=3600"
        self.phone.sendto(request("REGISTER", aor, port, contact, user=user), self.server)
        answer = self._from(self.phone, b"REGISTER")
        assert answer.startswith(b"SIP/2.0 200 "), answer

    def call(self, user: str = "bob", seconds: float = 5.0) -> None:
        """One call, rung, answered and hung up; one that takes longer has failed."""
        port = self.caller.getsockname()[1]
        uri, call_id = f"sip:{user}@{DOMAIN}", uuid4().hex
        contact = f"Contact: <sip:alice@{HERE}:{port}>"
        begin = time.monotonic()
        try:
            self.caller.sendto(request("INVITE", uri, port, contact, call_id=call_id), self.server)
            invite = self._from(self.phone, b"INVITE ", call_id, seconds)
            self.phone.sendto(self._answer(invite), self.server)
            answer = self._from(self.caller, b"SIP/2.0 200", call_id, seconds)
        except TimeoutError:
            self.failed += 1
            return
        self.latencies.append(time.monotonic() - begin)
        routes = [line.replace("Record-Route", "Route") for line in self._lines(answer, "Record-Route")]
        target = f"sip:{user}@{HERE}:{self.phone.getsockname()[1]}"
        for number, method in ((1, "ACK"), (2, "BYE")):
            sent = request(method, target, port, *routes, call_id=call_id, to_tag="b", cseq=number)
            self.caller.sendto(sent, self.server)
        with contextlib.suppress(TimeoutError):
            bye = self._from(self.phone, b"BYE ", call_id, seconds)
            self.phone.sendto(self._answer(bye), self.server)
            self._from(self.caller, b"CSeq: 2 BYE", call_id, seconds)

    def calls(self, count: int) -> float:
        """So many calls, one after the other; the latency that 99 in 100 stayed below, in seconds."""
        before = len(self.latencies)
        for _ in range(count):
            self.call()
        new = sorted(self.latencies[before:])
        assert new, "not one call got through"
        return new[min(len(new) - 1, len(new) * 99 // 100)]

    @staticmethod
    def _lines(message: bytes, *names: str) -> Iterator[str]:
        for line in message.partition(b"\r\n\r\n")[0].decode().split("\r\n"):
            if line.partition(":")[0] in names:
                yield line

    def _answer(self, asked: bytes) -> bytes:
        port = self.phone.getsockname()[1]
        lines = [
            f"{line};tag=b" if line.startswith("To:") and ";tag=" not in line else line
            for line in self._lines(asked, "Via", "From", "To", "Call-ID", "CSeq", "Record-Route")
        ]
        return "\r\n".join(
            ["SIP/2.0 200 OK", *lines, f"Contact: <sip:bob@{HERE}:{port}>", "Content-Length: 0", "", ""]
        ).encode()

    @staticmethod
    def _from(ours: socket.socket, begin: bytes, call_id: str = "", seconds: float = PATIENCE) -> bytes:
        """The next datagram in which `begin` is, of that call."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            ours.settimeout(left)
            data = ours.recv(65535)
            if begin in data and call_id.encode() in data:
                return data
        raise TimeoutError
