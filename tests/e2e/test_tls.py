"""TLS through a whole server: phones that nobody here wrote, and certificates that change while they talk."""

from __future__ import annotations

import signal
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.e2e.house import DOMAIN
from tests.e2e.phones import Baresip
from tests.net.certificates import Authority
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.house import Server


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server(start_server: Callable[..., Server], authority: Authority) -> Server:
    return start_server(tls=True, tls_certificate=str(authority.signed(HERE, DOMAIN).chain))


def call(caller: Baresip, callee: Baresip) -> None:
    """From the first ring to the end, which the callee makes."""
    caller.do("dial", uri=f"sip:{callee.user}@{DOMAIN}")
    assert callee.event("incoming")["peer"] == f"sip:{caller.user}@{DOMAIN}"
    caller.event("ringing")
    callee.do("answer")
    caller.event("established")
    callee.event("established")
    callee.do("hangup")
    caller.event("closed")
    callee.event("closed")


def test_a_phone_over_tls_and_one_over_udp_call_each_other(tls_server, authority):
    with (
        Baresip("alice", tls_server.tls_port, transport="tls", authorities=authority.path) as alice,
        Baresip("bob", tls_server.port) as bob,
    ):
        alice.register()
        bob.register()
        assert "tls:127.0.0.1" in tls_server.ctl("ul", "show") or "transport=tls" in tls_server.ctl("ul", "show")
        call(alice, bob)
        call(bob, alice)


def test_two_phones_over_tls_call_each_other(tls_server, authority):
    with (
        Baresip("alice", tls_server.tls_port, transport="tls", authorities=authority.path) as alice,
        Baresip("bob", tls_server.tls_port, transport="tls", authorities=authority.path) as bob,
    ):
        alice.register()
        bob.register()
        call(alice, bob)


def test_a_phone_that_trusts_somebody_else_does_not_register(tls_server, tmp_path):
    """What the verified calls above prove nothing without."""
    stranger = Authority(tmp_path, "stranger")
    with Baresip("alice", tls_server.tls_port, transport="tls", authorities=stranger.path) as alice:
        alice.do("register")
        alice.event("registration_failed")
        tls_server.child.wait_for("TLS failed: the peer does not accept our certificate")
    assert "127.0.0.1" not in tls_server.ctl("ul", "show")


def test_a_phone_that_is_told_to_trust_a_self_made_certificate_registers(start_server):
    server = start_server(tls=True)
    server.child.wait_for(r"event=certificate_made file=\S*/sipd\.tls\.crt")
    key = server.directory / "sipd.tls.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    with Baresip("alice", server.tls_port, transport="tls", authorities=key.with_suffix(".crt")) as alice:
        alice.register()


# --- loading certificates anew -------------------------------------------------------------------


class Peer:
    """One connection over TLS, kept open."""

    def __init__(self, server: Server, authorities: Path) -> None:
        context = ssl.create_default_context(cafile=authorities)
        raw = socket.create_connection((HERE, server.tls_port), timeout=10)
        self.stream = context.wrap_socket(raw, server_hostname=HERE)
        shown = self.stream.getpeercert()
        assert shown is not None
        self.serial = shown["serialNumber"]

    def ask(self) -> str:
        """The status line of the answer to an OPTIONS."""
        request = (
            f"OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS {HERE}:9;branch=z9hG4bK{id(self)}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@{DOMAIN}>;tag=1\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: {id(self)}\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        self.stream.sendall(request.encode())
        return self.stream.recv(4096).partition(b"\r\n")[0].decode()

    def close(self) -> None:
        self.stream.close()


def test_sighup_loads_certificates_and_drops_no_connection(tls_server, authority):
    """T100."""
    before = Peer(tls_server, authority.path)
    tls_server.ctl("server", "set", f"tls_certificate={authority.signed(HERE).chain}")
    tls_server.child.process.send_signal(signal.SIGHUP)
    tls_server.child.wait_for("sipd: reloaded")
    after = Peer(tls_server, authority.path)
    assert after.serial != before.serial
    assert before.ask() == after.ask() == "SIP/2.0 200 OK"
    before.close()
    after.close()


def test_a_bad_file_is_said_and_the_old_certificate_stays(tls_server, authority):
    """T100."""
    before = Peer(tls_server, authority.path)
    missing = authority.directory / "missing.pem"
    tls_server.ctl("server", "set", f"tls_certificate={missing}")
    tls_server.child.process.send_signal(signal.SIGHUP)
    tls_server.child.wait_for(f"event=reload_failed.*{missing}")
    after = Peer(tls_server, authority.path)
    assert after.serial == before.serial
    assert before.ask() == after.ask() == "SIP/2.0 200 OK"
    before.close()
    after.close()
