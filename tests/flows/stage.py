"""A stage for the flows of RFC 3665 and RFC 5359: servers and phones as they are called there, on a virtual clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from sipd.hop import DEFAULT_PORTS, Hop
from sipd.net import MemoryNetwork, Unreachable
from sipd.net.resolver import Resolver
from sipd.rows import Binding, PutBinding, PutDomain, PutScript, PutUser, Script
from sipd.store import user_row
from tests.flows.agent import Agent
from tests.server.served import Served, open_served

if TYPE_CHECKING:
    from sipd.message import Uri

WALL = 1_700_000_000.0

ADDRESSES = {
    "client.atlanta.example.com": "192.0.2.101",
    "ss1.atlanta.example.com": "192.0.2.111",
    "alg1.atlanta.example.com": "192.0.2.128",
    "client.biloxi.example.com": "192.0.2.201",
    "ss2.biloxi.example.com": "192.0.2.222",
    "client.chicago.example.com": "192.0.2.100",
    "ss3.chicago.example.com": "192.0.2.233",
}
"""The hosts of RFC 3665 §1.2 and their addresses; others get one when they come on the stage."""


class Names(Resolver):
    """What DNS would say: host names of the stage, and which server serves a domain."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def now(self, uri: Uri, steady: str = "") -> list[Hop]:
        """As RFC 3263 §4 has it, without its questions; at once, so that a fork's order is always the same."""
        host = self._stage.serves.get(uri.host, uri.host)
        address = self._stage.addresses.get(host)
        if address is None:
            raise Unreachable("Next Hop Not Found")
        transport = (uri.param("transport") or self._stage.transport).upper()
        return [Hop(transport, address, uri.port or DEFAULT_PORTS[transport])]


@dataclass
class Proxy(Served):
    """One sipd on the stage."""

    name: str
    host: str
    domain: str

    @property
    def records_route(self) -> bool:
        return self.cache.settings.record_route

    def bind(self, user: str, contact: str, q: int = 1000, **more) -> None:
        """Register without REGISTER; `contact` is the URI."""
        self.put(PutBinding(Binding(f"{user}@{self.domain}", contact, q, WALL + 1e6, **more)))

    def script(self, user: str, text: str) -> None:
        """Store a CPL script."""
        self.put(PutScript(Script(f"{user}@{self.domain}", "cpl", text.encode(), "application/cpl+xml", WALL)))

    def user(self, aor: str, realm: str, password: str) -> None:
        """Add somebody whose realm is not his domain."""
        self.put(PutUser(user_row(aor, realm, password)))

    def also_serves(self, domain: str) -> None:
        """Make it another domain of its own, with its own users."""
        self.put(PutDomain(domain, domain))


class Stage:
    """All that take part in one flow. `transport` is that of the flow where a URI names none."""

    def __init__(self, nursery: trio.Nursery, transport: str = "UDP") -> None:
        self.network = MemoryNetwork()
        self.transport = transport
        self.addresses = dict(ADDRESSES)
        self.serves: dict[str, str] = {}  # domain -> host of its server
        self.actors: dict[str, str] = {}  # address -> name in the figure
        self.proxies: dict[str, Proxy] = {}
        self.agents: dict[str, Agent] = {}
        self._nursery = nursery
        self._start = trio.current_time()
        self._last = 0

    def place(self, name: str, host: str) -> str:
        """The address of a host, known from now on by that name."""
        if host not in self.addresses:
            self._last += 1
            self.addresses[host] = f"198.51.100.{self._last}"
        self.actors[self.addresses[host]] = name
        return self.addresses[host]

    async def proxy(self, name: str, host: str, domain: str, *users: str, **settings) -> Proxy:
        """A sipd for that domain, with these users, whose password is `pw-` and their name; auth off unless told."""
        address = self.place(name, host)
        self.serves.setdefault(domain, host)
        ends = [Hop(transport, address, DEFAULT_PORTS[transport]) for transport in ("UDP", "TCP", "TLS")]
        network = self.network.host(*ends, sent_by_host=host)
        served = await open_served(
            self._nursery, network, domain, users, Names(self), self.wall, also=[host], **settings
        )
        made = self.proxies[name] = Proxy(served.cache, served.store, served.house, name, host, domain)
        return made

    def agent(self, name: str, host: str, aor: str, *, proxy: str = "") -> Agent:
        """A phone; `proxy` is the host it sends all to that has no Route."""
        made = self.agents[name] = Agent(self, name, host, self.place(name, host), aor, proxy)
        return made

    def wall(self) -> float:
        return WALL + trio.current_time() - self._start
