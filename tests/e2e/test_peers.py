"""Peers of a running server: added and removed while it runs, known by address or by the certificate they show."""

from __future__ import annotations

import itertools
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from sipd.message import Request, parse
from tests.net.certificates import Authority
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.house import Server

ASSERTED = "<tel:+1999>"
NUMBERS = itertools.count(1)


@pytest.fixture
def far() -> Iterator[socket.socket]:
    """Somewhere outside, which only those may reach who are trusted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((HERE, 0))
        made.settimeout(0.3)
        yield made


def message(far: socket.socket, transport: str) -> bytes:
    n = next(NUMBERS)
    lines = (
        f"MESSAGE sip:x@{HERE}:{far.getsockname()[1]} SIP/2.0",
        f"Via: SIP/2.0/{transport} {HERE}:9;branch=z9hG4bKpeer{n};rport",
        "Max-Forwards: 70",
        "From: <sip:+1999@carrier.example>;tag=1",
        "To: <sip:x@else.example>",
        f"Call-ID: peer-{n}",
        "CSeq: 1 MESSAGE",
        f"P-Asserted-Identity: {ASSERTED}",
        "Content-Length: 0",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def arrives(send: Callable[[bytes], object], far: socket.socket, transport: str) -> Request:
    """What comes through once the server has noticed; it looks several times a second."""
    for _ in range(30):
        send(message(far, transport))
        try:
            got = parse(far.recv(65536))
        except TimeoutError:
            continue
        assert isinstance(got, Request)
        return got
    raise AssertionError("nothing ever came through")


def test_a_peer_added_to_a_running_server_gets_through_and_one_removed_does_not(server: Server, far):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
        near.connect((HERE, server.port))
        near.settimeout(5)
        near.send(message(far, "UDP"))
        assert near.recv(65536).startswith(b"SIP/2.0 403 ")
        server.ctl("peer", "add", "gateway", HERE)
        got = arrives(near.send, far, "UDP")
        assert got.values("P-Asserted-Identity") == [ASSERTED]
        server.ctl("peer", "rm", "gateway")
        near.settimeout(0.3)
        assert any(is_refused(near, message(far, "UDP")) for _ in range(30)), "still trusted"


def is_refused(near: socket.socket, request: bytes) -> bool:
    """Whether this very request is answered with 403; those that get through are answered by nobody."""
    near.send(request)
    call_id = request.partition(b"Call-ID: ")[2].partition(b"\r\n")[0]
    try:
        while call_id not in (answer := near.recv(65536)):
            pass
    except TimeoutError:
        return False
    return answer.startswith(b"SIP/2.0 403 ")


def test_a_peer_is_known_by_the_certificate_it_shows(start_server, far, tmp_path):
    authority = Authority(tmp_path)
    settings = {"tls_certificate": str(authority.signed(HERE).chain), "tls_ca": str(authority.path)}
    server: Server = start_server(tls=True, tls_client="requested", **settings)
    server.ctl("peer", "add", "carrier", "cert:SIP.Carrier.example")
    context = ssl.create_default_context(cafile=authority.path)

    def connected() -> ssl.SSLSocket:
        raw = socket.create_connection((HERE, server.tls_port), timeout=5)
        return context.wrap_socket(raw, server_hostname=HERE)

    with connected() as nameless:  # it came later than the peer's row, and shows nothing
        nameless.send(message(far, "TLS"))
        assert nameless.recv(65536).startswith(b"SIP/2.0 403 ")
    context.load_cert_chain(authority.signed("other.example").chain)
    with connected() as other:
        other.send(message(far, "TLS"))
        assert other.recv(65536).startswith(b"SIP/2.0 403 ")
    context.load_cert_chain(authority.signed("sip.carrier.example").chain)
    with connected() as carrier:
        assert arrives(carrier.send, far, "TLS").values("P-Asserted-Identity") == [ASSERTED]
