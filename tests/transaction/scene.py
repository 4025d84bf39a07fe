"""A table on a clock that stands still, flows that remember, users that write down what they are told."""

from __future__ import annotations

from math import inf

from sipd.hop import Hop
from sipd.message import Request, Response, parse
from sipd.transaction import ClientTransaction, ServerTransaction, Transactions

BRANCH = "z9hG4bK-1"


class Wire:
    """A flow that keeps (time, first line) of all that was sent."""

    def __init__(self, scene: Scene, reliable: bool) -> None:
        self.scene = scene
        self.reliable = self.needs_length = reliable
        self.remote = Hop("TCP" if reliable else "UDP", "192.0.2.9", 5060)
        self.near = self.remote._replace(host="192.0.2.1")
        self.names: tuple[str, ...] = ()
        self.sent_by = "192.0.2.1:5060"
        self.closed = False
        self.data: list[bytes] = []
        self.times: list[float] = []

    def send(self, data: bytes) -> None:
        self.data.append(data)
        self.times.append(self.scene.now)

    @property
    def methods(self) -> list[str]:
        return [data.split(b" ")[0].decode() for data in self.data]

    @property
    def statuses(self) -> list[int]:
        return [int(data.split(b" ")[1]) for data in self.data]


class User:
    """A client's and a server's user in one."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def response(self, client: ClientTransaction, response: Response) -> None:
        self.told.append(response.status)

    def timed_out(self, client: ClientTransaction) -> None:
        self.told.append("timed out")

    def transport_failed(self, client: ClientTransaction) -> None:
        self.told.append("failed")

    def acked(self, server: ServerTransaction, ack: Request) -> None:
        self.told.append("acked")

    def ended(self, server: ServerTransaction) -> None:
        self.told.append("ended")


class Scene:
    def __init__(self, *, reliable: bool = False, capacity: int = 100) -> None:
        self.now = 0.0
        self.table = Transactions(lambda: self.now, capacity=capacity)
        self.wire = Wire(self, reliable)
        self.user = User()

    def run(self, until: float = inf) -> None:
        """Let time pass, from one deadline to the next."""
        while (due := self.table.deadlines.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.table.expire(self.now)
        if until < inf:
            self.now = until

    def client(self, method: str = "INVITE", branch: str = BRANCH) -> ClientTransaction:
        data = request_bytes(method, branch)
        return self.table.open_client(data, branch, method, self.wire, self.user)

    def server(self, method: str = "INVITE", branch: str | None = BRANCH) -> ServerTransaction:
        server = self.table.open_server(request(method, branch), self.wire)
        server.user = self.user
        return server

    def hears(self, client: ClientTransaction, *statuses: int) -> None:
        for status in statuses:
            self.table.receive_response(client, response(status, client.method, client.branch))

    def answers(self, server: ServerTransaction, *statuses: int) -> None:
        for status in statuses:
            self.table.respond(server, status, b"SIP/2.0 %d X\r\nTo: <sip:b@example.com>;tag=9\r\n\r\n" % status)

    def again(self, server: ServerTransaction, method: str, branch: str | None = BRANCH, to: str = ";tag=9") -> None:
        repeated = request(method, branch, to if method == "ACK" else "")
        assert self.table.server_for(repeated) is server
        self.table.receive_again(server, repeated)


def request_bytes(method: str = "INVITE", branch: str | None = BRANCH, to: str = "", more: str = "") -> bytes:
    via = "SIP/2.0/UDP 192.0.2.1:5060" + (f";branch={branch}" if branch else "")
    return (
        f"{method} sip:b@example.com SIP/2.0\r\nVia: {via}\r\n{more}Max-Forwards: 69\r\n"
        f"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>{to}\r\nCall-ID: c1\r\n"
        f"CSeq: 7 {method}\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 4\r\n\r\nbody"
    ).encode()


def request(method: str = "INVITE", branch: str | None = BRANCH, to: str = "") -> Request:
    message = parse(request_bytes(method, branch, to))
    assert isinstance(message, Request)
    return message


def response(status: int, method: str = "INVITE", branch: str = BRANCH, tag: str = "9") -> Response:
    message = parse(
        (
            f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n"
            f"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag={tag}\r\n"
            f"Call-ID: c1\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Response)
    return message
