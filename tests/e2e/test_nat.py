"""Phones without an address that leads to them, over real sockets: NAT, and connections only (RFC 5626, RFC 3581)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from sipd.message import Request, Response, parse, response_to
from tests.e2e.house import DOMAIN, Server
from tests.running import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


@pytest.fixture
def server_without_log_in(start_server: Callable[..., Server]) -> Server:
    """A server that takes From at its word."""
    return start_server(auth="none")


class Phone:
    """A phone on one socket. `claims`: the host and port it believes to have."""

    def __init__(self, name: str, server: int, transport: str = "udp", claims: str = "") -> None:
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.name = name
        self.transport = transport
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.settimeout(10)
        self._socket.connect((HERE, server))
        self._pending = b""
        self.claims = claims or f"{HERE}:{self._socket.getsockname()[1]}"
        self.contact = f"<sip:{name}@{self.claims}" + (";transport=tcp>" if transport == "tcp" else ">")

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, message: Request | Response) -> None:
        self._socket.send(bytes(message))

    def request(
        self,
        method: str,
        uri: str,
        *,
        call_id: str,
        from_: str,
        to: str,
        contact: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> Request:
        branch = f"z9hG4bK{uuid4().hex}"
        return Request.build(
            method,
            uri,
            (
                ("Via", f"SIP/2.0/{self.transport.upper()} {self.claims};branch={branch};rport"),
                ("Max-Forwards", "70"),
                ("From", from_),
                ("To", to),
                ("Call-ID", call_id),
                ("CSeq", f"1 {method}" if method != "BYE" else "2 BYE"),
                ("Contact", contact or self.contact),
                *headers,
            ),
        )

    def _next(self) -> Request | Response:
        if self.transport == "udp":
            return parse(self._socket.recv(65535), stream=False)
        while b"\r\n\r\n" not in self._pending:
            piece = self._socket.recv(65535)
            assert piece, "the connection ended"
            self._pending += piece
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")  # none of these has a body
        return parse(head + b"\r\n\r\n", stream=True)

    def hears(self, method: str) -> Request:
        """The next request of that method; what else comes is passed over."""
        while True:
            message = self._next()
            if isinstance(message, Request) and message.method == method:
                return message

    def gets(self, method: str) -> Response:
        """The next final response to that method."""
        while True:
            message = self._next()
            if isinstance(message, Response) and message.cseq.method == method and message.status >= 200:
                return message

    def register(self, contact: str = "", *headers: tuple[str, str]) -> None:
        address = f"<sip:{self.name}@{DOMAIN}>"
        parties = {"call_id": uuid4().hex, "from_": f"{address};tag=r", "to": address}
        self.send(self.request("REGISTER", f"sip:{DOMAIN}", contact=contact, headers=headers, **parties))
        assert self.gets("REGISTER").status == 200

    def unregister(self) -> None:
        self.register("*", ("Expires", "0"))

    def answer(self, request: Request, *more: tuple[str, str]) -> None:
        copied = [("Record-Route", value) for value in request.values("Record-Route")]
        self.send(response_to(request, 200, to_tag="b", headers=(*copied, *more)))


NAT = {"claims": "192.168.77.7:5060"}
TCP = {"transport": "tcp", "claims": f"{HERE}:1"}  # nobody listens there


PAIRS = [({}, NAT), (NAT, NAT), (NAT, {}), (TCP, TCP), ({}, TCP), (TCP, NAT)]


def call_and_hang_up(server: Server, alice: Phone, bob: Phone, *, back: bool, restart: bool = False) -> None:
    """Alice calls Bob; she or (`back`) he hangs up."""
    call_id = uuid4().hex
    ours, theirs = f"<{ALICE}>;tag=a", f"<{BOB}>;tag=b"
    alice.send(alice.request("INVITE", BOB, call_id=call_id, from_=ours, to=f"<{BOB}>"))
    bob.answer(bob.hears("INVITE"), ("Contact", bob.contact))
    ok = alice.gets("INVITE")
    assert ok.status == 200
    route_set = [("Route", value) for value in ok.values("Record-Route")]
    forth = {"call_id": call_id, "from_": ours, "to": theirs}
    alice.send(alice.request("ACK", bob.contact.strip("<>"), headers=route_set[::-1], **forth))
    bob.hears("ACK")
    if restart:
        server.kill()
        server.start()
    if back:
        here, there, routes, parties = bob, alice, route_set, {"call_id": call_id, "from_": theirs, "to": ours}
    else:
        here, there, routes, parties = alice, bob, route_set[::-1], forth
    here.send(here.request("BYE", there.contact.strip("<>"), headers=routes, **parties))
    there.answer(there.hears("BYE"))
    assert here.gets("BYE").status == 200


def test_both_sides_of_a_call_are_reached(server_without_log_in):
    server = server_without_log_in
    for caller, callee in PAIRS:
        with Phone("alice", server.port, **caller) as alice, Phone("bob", server.port, **callee) as bob:
            bob.register()
            for back in (False, True):
                call_and_hang_up(server, alice, bob, back=back)
            bob.unregister()


def test_a_restart_within_the_call_changes_nothing_for_datagrams(server_without_log_in):
    server = server_without_log_in
    with Phone("alice", server.port, **NAT) as alice, Phone("bob", server.port, **NAT) as bob:
        bob.register()
        call_and_hang_up(server, alice, bob, back=True, restart=True)
        call_and_hang_up(server, alice, bob, back=False)
