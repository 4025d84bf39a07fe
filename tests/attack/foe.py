"""Raw bytes at a server's UDP and TCP port, and what comes back."""

from __future__ import annotations

import re
import select
import socket
import time
from uuid import uuid4

from tests.e2e.house import DOMAIN
from tests.running import HERE

PATIENCE = 5.0
"""Seconds for an answer that must come."""

SILENCE = 0.4
"""Seconds after which an answer that must not come is taken not to have come."""


class Foe:
    """A UDP socket, and TCP connections as wanted."""

    def __init__(self, port: int, host: str = HERE) -> None:
        """`port`: the server's; `host`: his own address."""
        self.server = (HERE, port)
        self.host = host
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((host, 0))
        self.port = int(self._udp.getsockname()[1])

    def __enter__(self) -> Foe:
        return self

    def __exit__(self, *_: object) -> None:
        self._udp.close()

    def message(self, *more: str, method: str = "OPTIONS", uri: str = "", body: bytes = b"", **other: str) -> bytes:
        """A sound request from this socket, save what is said otherwise (`via`, `to`, `from_`, `call_id` ...)."""
        unique = uuid4().hex
        uri = uri or f"sip:{HERE}:{self.server[1]}"
        via = other.get("via", f"SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{unique};rport")
        lines = [
            f"{method} {uri} SIP/2.0",
            *([f"Via: {via}"] if via else []),
            f"Max-Forwards: {other.get('max_forwards', '70')}",
            f"From: {other.get('from_', f'<sip:foe@{HERE}>;tag={unique[:8]}')}",
            f"To: {other.get('to', f'<{uri}>')}",
            f"Call-ID: {other.get('call_id', unique)}",
            f"CSeq: {other.get('cseq', f'1 {method}')}",
            *more,
        ]
        if not any(line.lower().startswith(("content-length", "l:")) for line in more):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    # over UDP

    def send(self, data: bytes) -> None:
        self._udp.sendto(data, self.server)

    def hear(self, seconds: float = PATIENCE) -> bytes | None:
        """The next datagram; None when none comes in time."""
        return self._udp.recv(65535) if select.select([self._udp], [], [], seconds)[0] else None

    def ask(self, data: bytes) -> int | None:
        """The status of the final response to this; None for silence."""
        found = self.answer(data)
        return None if found is None else status_of(found)

    def answer(self, data: bytes, seconds: float = PATIENCE) -> bytes | None:
        """The final response to this, read until a request that must be answered has been."""
        self.send(data)
        self.send(marker := self.message())
        mark = branch_of(marker)
        deadline, heard = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            got = self.hear(deadline - time.monotonic())
            if got is None or mark in got:
                break
            heard = heard if status_of(got) < 200 else got
        else:
            raise AssertionError("the server says nothing any more")
        return heard if heard is not None else self._late(SILENCE)

    def _late(self, seconds: float) -> bytes | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            got = self.hear(left)
            if got is not None and status_of(got) >= 200:
                return got
        return None

    def others_are_served(self) -> None:
        """Somebody else's OPTIONS is answered."""
        with Foe(self.server[1]) as other:
            other.send(other.message())
            got = other.hear()
        assert got is not None, "the server is gone"
        assert status_of(got) == 200

    # over TCP

    def stream(self, *pieces: bytes, seconds: float = PATIENCE, end: bool = False) -> tuple[bytes, bool]:
        """What comes back to these pieces over one connection, and whether the server closed it.

        Reads until it closes, or for SILENCE after the last answer. `end`: say that no more comes.
        """
        with socket.create_connection(self.server, timeout=seconds) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):  # it had seen enough
                pass
            heard = b""
            connection.settimeout(seconds)
            try:
                while got := connection.recv(65535):
                    heard += got
                    connection.settimeout(SILENCE)
            except TimeoutError:
                return heard, False
            except ConnectionResetError:
                return heard, True
            return heard, True

    def over_tcp(self, *more: str, **other: str) -> bytes:
        """A sound request with a Via of TCP."""
        via = f"SIP/2.0/TCP {HERE}:{self.port};branch=z9hG4bK{uuid4().hex}"
        return self.message(*more, **{"via": via, **other})  # type: ignore[arg-type]  # `body` is not among these


def status_of(response: bytes) -> int:
    """The status of a response; 0 for a request."""
    return int(response[8:11]) if response.startswith(b"SIP/2.0 ") else 0


def statuses(heard: bytes) -> list[int]:
    """The statuses of all responses in a stream."""
    return [int(found) for found in re.findall(rb"^SIP/2\.0 (\d\d\d) ", heard, re.MULTILINE)]


def branch_of(request: bytes) -> bytes:
    found = re.search(rb"branch=([^;\r\n]+)", request)
    assert found is not None
    return found[1]


ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
