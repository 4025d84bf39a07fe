"""The messages of RFC 4475 and RFC 5118 against a running server: an answer each, or silence, and it lives on."""

from __future__ import annotations

import random
import re
import select
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests import wire
from tests.data.torture import DROP, TORTURE, WAIT, Torture
from tests.e2e.house import Server
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

VIA = re.compile(
    rb"^(?:via|v)\s*:\s*SIP\s*/\s*[\d.]+\s*/\s*\S+\s+(?:\[[^\]]*\]|[^\s:;,]+)\s*(?::\s*(\d+))?", re.I | re.M
)
FINAL = re.compile(rb"^SIP/2\.0 ([2-6]\d\d) ", re.MULTILINE)
# The answer goes to the port that the Via names, which is 5060 mostly: an address of our own keeps that port free.
HOST = f"127.{random.randrange(1, 250)}.{random.randrange(1, 250)}.{random.randrange(2, 250)}"


def running(directory: Path) -> Iterator[Server]:
    house = Server(directory)
    house.prepare("example.com")
    house.start()
    yield house
    house.stop()


@pytest.fixture(scope="module")
def udp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all datagrams: what the first one breaks, the next one shows."""
    yield from running(tmp_path_factory.mktemp("udp"))


@pytest.fixture(scope="module")
def tcp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another for the streams, or a message would repeat the one of the datagram (§17.2.3)."""
    yield from running(tmp_path_factory.mktemp("tcp"))


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A third for what comes byte by byte, for the same reason."""
    yield from running(tmp_path_factory.mktemp("slow"))


def ping(server: Server) -> None:
    """The server answers; so it has dealt with what came before."""
    with wire.Asker(server.port) as asker:
        answer = asker.ask(wire.request("OPTIONS", f"sip:{HERE}:{server.port}", asker.port))
    assert answer is not None, f"the server is gone\n{server.child.output if server.child else ''}"
    assert answer.startswith("SIP/2.0 200"), answer


def final(receive: Callable[[], bytes | None], *, seconds: float = 8.0) -> tuple[int | None, bytes]:
    """The status of the first final response, None when there is none; and all that was received."""
    deadline, heard = time.monotonic() + seconds, b""
    while time.monotonic() < deadline:
        data = receive()
        if data is None:
            break
        heard += data
        if found := FINAL.search(heard):
            return int(found[1]), heard
    return None, heard


def from_socket(source: socket.socket, *, wait: float) -> Callable[[], bytes | None]:
    """Reads what comes; None when nothing came for `wait` seconds, or the end has come."""

    def receive() -> bytes | None:
        if not select.select([source], [], [], wait)[0]:
            return None
        try:
            return source.recv(65535) or None
        except ConnectionResetError:
            return None

    return receive


def own(row: Torture) -> bytes:
    """The message; two of RFC 5118 have the same branch, and would be one and the same request (§17.2.3)."""
    return row.data.replace(b"z9hG4bKas3-111", b"z9hG4bKas3-" + row.file.rpartition("/")[2].encode())


def names(row: Torture) -> str:
    return row.file.removesuffix(".dat")


@pytest.mark.parametrize("row", TORTURE, ids=names)
def test_datagram(udp_server, row):
    sent_by = VIA.search(row.data)
    port = int(sent_by[1]) if sent_by and sent_by[1] and 0 < int(sent_by[1]) < 65536 else 5060
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((HOST, port))
        phone.sendto(own(row), (HERE, udp_server.port))
        if row.answers == DROP:
            ping(udp_server)
            status, heard = final(from_socket(phone, wait=0.0))
            assert heard == b"", f"§{row.section}: nothing may come back, not even {status}"
        else:
            status, heard = final(from_socket(phone, wait=8.0))
            assert status in row.answers, (
                f"§{row.section} {row.note}: {status}, not one of {sorted(row.answers)}\n{heard!r}"
            )
            ping(udp_server)


def over_stream(server: Server, row: Torture, send: Callable[[socket.socket, bytes], None]) -> None:
    """The message over a connection, sent in that way: the answer that is asked for, and the server lives on."""
    expected = row.answers if row.over_stream is None else row.over_stream
    with socket.create_connection((HERE, server.port), timeout=5) as phone:
        send(phone, own(row))
        if expected in (DROP, WAIT):
            ping(server)
            status, heard = final(from_socket(phone, wait=0.0))
            assert heard == b"", f"§{row.section}: nothing may come back, not even {status}"
        else:
            status, heard = final(from_socket(phone, wait=8.0))
            assert status in expected, f"§{row.section} {row.note}: {status}\n{heard!r}"
    ping(server)


def byte_by_byte(phone: socket.socket, data: bytes) -> None:
    """Each byte in a segment of its own: the server sees every prefix, and every split is among what it reads."""
    phone.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(data)):
        try:
            phone.send(data[at : at + 1])
        except OSError:  # refused and closed before the end: the answer is there
            return


@pytest.mark.parametrize("row", TORTURE, ids=names)
def test_stream(tcp_server, row):
    over_stream(tcp_server, row, lambda phone, data: phone.sendall(data))


@pytest.mark.parametrize("row", TORTURE, ids=names)
def test_stream_byte_by_byte(slow_server, row):
    over_stream(slow_server, row, byte_by_byte)
