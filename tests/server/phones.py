"""Scripted phones on a network in memory, and a server between them, on the virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from sipd.hop import Hop
from sipd.message import Request, Response, parse, response_to
from sipd.net import MemoryNetwork, Unreachable
from sipd.net.resolver import Resolver
from sipd.rows import Binding, PutBinding, PutScript, Script
from tests.server.served import Served, open_served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipd.message import Uri
    from sipd.store import MemoryStore, SqliteStore, Store

SERVER = Hop("UDP", "10.0.0.1", 5060)
DOMAIN = "example.com"
WALL = 1_700_000_000.0


class FixedResolver(Resolver):
    """Numeric addresses at once, names from a dict after a while: the virtual clock knows no sockets."""

    found: dict[str, Hop | list[Hop]]

    async def find(self, uri: Uri, steady: str = "") -> list[Hop]:
        await trio.sleep(0.1)
        if uri.host in self.found:
            found = self.found[uri.host]
            return self.dead.last(found if isinstance(found, list) else [found])
        raise Unreachable("Next Hop Not Found")


@dataclass
class Seen:
    """One message a phone got, with the time."""

    at: float
    message: Request | Response


class Phone:
    """A user agent that does as it is told; what it gets is kept."""

    def __init__(
        self,
        world: World,
        name: str,
        host: str,
        does: str = "rings",
        port: int = 5060,
        transport: str = "UDP",
        *,
        claims: str = "",
        params: str = "",
    ):
        """`claims`: what it believes its host:port to be, where a NAT is between; `params`: of its Contact URI."""
        self.world = world
        self.claims = claims or f"{host}:{port}"
        self.params = params
        self.rport = ";rport" if claims else ""
        self.contact = ""  # instead of its own URI, as a GRUU
        self.name = name
        self.does = does
        self.hop = Hop(transport, host, port)
        self.listener = world.network.listener(transport, host, port, self.receive)
        self.seen: list[Seen] = []
        self.dialog_routes: list[str] = []
        self.answered = False
        self._news = trio.Event()
        self._invite: tuple[Request, object] | None = None

    @property
    def uri(self) -> str:
        transport = "" if self.hop.transport == "UDP" else f";transport={self.hop.transport.lower()}"
        return f"sip:{self.name}@{self.claims}{transport}{self.params}"

    # --- what it gets ------------------------------------------------------------------------

    def receive(self, data: bytes, flow) -> None:
        message = parse(data, stream=flow.reliable)
        self.seen.append(Seen(trio.current_time(), message))
        self._news.set()
        self._news = trio.Event()
        if isinstance(message, Request):
            self.react(message, flow)

    def react(self, request: Request, flow) -> None:
        if request.method == "INVITE":
            self._invite = (request, flow)
            for word in self.does.split():
                self.act(word)
        elif request.method == "CANCEL":
            self.reply(request, flow, 200)
            if self._invite is not None and not self.answered and "deaf" not in self.does:
                self.reply(*self._invite, 487)
        elif request.method != "ACK":
            self.reply(request, flow, 200)

    def act(self, word: str) -> None:
        assert self._invite is not None
        if word == "rings":
            self.reply(*self._invite, 180)
        elif word == "answers":
            self.answer()
        elif word.isdigit():
            self.reply(*self._invite, int(word))
        elif word.startswith("moved:"):
            self.reply(*self._invite, 302, (("Contact", f"<{word[6:]}>"),))

    def answer(self, status: int = 200) -> None:
        """Pick up."""
        assert self._invite is not None
        self.answered = True
        self.reply(*self._invite, status, (("Contact", f"<{self.contact or self.uri}>"),))

    def reply(self, request: Request, flow, status: int, headers=()) -> None:
        copied = tuple(("Record-Route", value) for value in request.values("Record-Route"))
        flow.send(bytes(response_to(request, status, to_tag=f"tag-{self.name}", headers=(*copied, *headers))))

    # --- what it sends -----------------------------------------------------------------------

    def send(self, request: Request, hop: Hop | None = None) -> None:
        to = hop or SERVER._replace(transport=self.hop.transport)
        self.listener.flow_to(to.host, to.port).send(bytes(request))

    def request(
        self,
        method: str,
        uri: str,
        *,
        to: str | None = None,
        cseq: int = 1,
        call_id: str = "",
        branch: str = "",
        from_tag: str = "f1",
        to_tag: str = "",
        headers=(),
        body: bytes = b"",
        from_uri: str = "",
        contact: str = "",
    ) -> Request:
        self.world.count += 1
        n = self.world.count
        to_text = f"<{to or uri}>" + (f";tag={to_tag}" if to_tag else "")
        return Request.build(
            method,
            uri,
            (
                (
                    "Via",
                    f"SIP/2.0/{self.hop.transport} {self.claims};branch={branch or f'z9hG4bKt{n}'}{self.rport}",
                ),
                ("Max-Forwards", "70"),
                ("From", f"<{from_uri or f'sip:{self.name}@{DOMAIN}'}>;tag={from_tag}"),
                ("To", to_text),
                ("Call-ID", call_id or f"call{n}@{self.hop.host}"),
                ("CSeq", f"{cseq} {method}"),
                ("Contact", contact or f"<{self.contact or self.uri}>"),
                *headers,
            ),
            body,
        )

    def ack(self, invite: Request, response: Response) -> None:
        """The ACK of a 2xx, along the route set."""
        routes = tuple(("Route", value) for value in reversed(response.values("Record-Route")))
        contact = response.contacts[0].uri.text if "Contact" in response.names else invite.request_uri
        self.send(
            self.request(
                "ACK",
                contact,
                to=invite.to.uri.text,
                to_tag=response.to_tag or "",
                headers=routes,
                call_id=invite.call_id,
                from_tag=invite.from_tag or "",
            )
        )

    # --- looking back ------------------------------------------------------------------------

    def requests(self, method: str) -> list[Request]:
        return [s.message for s in self.seen if isinstance(s.message, Request) and s.message.method == method]

    def statuses(self, method: str = "INVITE") -> list[int]:
        return [
            s.message.status for s in self.seen if isinstance(s.message, Response) and s.message.cseq.method == method
        ]

    def responses(self, status: int) -> list[Response]:
        return [s.message for s in self.seen if isinstance(s.message, Response) and s.message.status == status]

    def time_of(self, what: str | int) -> float:
        """When the first request of that method, or response of that status, came."""
        for seen in self.seen:
            message = seen.message
            if (isinstance(message, Request) and message.method == what) or (
                isinstance(message, Response) and message.status == what
            ):
                return seen.at
        raise AssertionError(f"{self.name} never saw {what}")

    async def until(self, condition: Callable[[], bool], seconds: float = 300) -> None:
        with trio.fail_after(seconds):
            while not condition():
                await self._news.wait()

    async def status(self, status: int) -> Response:
        """Wait for a response with that status."""
        await self.until(lambda: bool(self.responses(status)))
        return self.responses(status)[0]


@dataclass
class World(Served):
    """A served house on a network in memory, and phones there."""

    network: MemoryNetwork
    nursery: trio.Nursery
    resolver: FixedResolver
    count: int = 0
    phones: dict[str, Phone] = field(default_factory=dict)
    set_by: list[float] = field(default_factory=list)

    def set_clock(self, seconds: float) -> None:
        """Set the machine's clock on by so many seconds, or back."""
        self.set_by.append(seconds)

    def phone(self, name: str, does: str = "rings", **more) -> Phone:
        host = more.pop("host", f"10.0.1.{len(self.phones) + 1}")
        made = Phone(self, name, host, does, **more)
        self.phones[name] = made
        return made

    def bind(self, aor: str, phone: Phone, q: int = 1000, **more) -> None:
        """Register without REGISTER."""
        self.put(PutBinding(Binding(aor=aor, uri=phone.uri, q=q, expires_at=WALL + 1e6, **more)))

    def bind_again(self, bindings: Iterable[Binding]) -> None:
        """Put these rows as they are."""
        self.put(*map(PutBinding, bindings))

    def script(self, aor: str, text: str) -> None:
        self.put(PutScript(Script(aor, "cpl", text.encode(), "application/cpl+xml", WALL)))


async def open_world(
    nursery: trio.Nursery,
    *users: str,
    places: tuple[Hop, ...] = (),
    at: Hop = SERVER,
    domain: str = DOMAIN,
    beside: World | None = None,
    store: MemoryStore | SqliteStore | Store | None = None,
    wall: float = WALL,
    **settings,
) -> World:
    """A server for example.com with these users, authentication off unless told; it listens at `places` too.

    `beside`: on the network of another one. `store`: in this one, else in memory. `wall`: the time it is.
    """
    network = MemoryNetwork() if beside is None else beside.network
    host = network.host(at, at._replace(transport="TCP"), *places)
    start = trio.current_time()
    resolver = FixedResolver(clock=trio.current_time)
    resolver.found = {}
    set_by: list[float] = []
    served = await open_served(
        nursery, host, domain, users, resolver, lambda: wall + sum(set_by) + trio.current_time() - start,
        also=[at.host], store=store, **settings,
    )  # fmt: skip
    return World(served.cache, served.store, served.house, network, nursery, resolver, set_by=set_by)
