"""Calls by name on real sockets: a whole server, a name server, and servers found through it (RFC 3263, T110)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio

from sipd.hop import Hop
from sipd.message import Request, Response, parse, response_to
from sipd.net import Flows
from sipd.net.resolver import Resolver
from sipd.rows import Settings
from sipd.server.startup import furnish, serve
from sipd.store import Cache, MemoryStore, Writer, create
from tests.net.name_server import NameServer

if TYPE_CHECKING:
    from pathlib import Path

HERE = "127.0.0.1"


class Agent:
    """Sends requests to the server over UDP, and answers 200 to what it gets, over UDP or TCP."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.udp = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = 0
        self._heard, self._inbox = trio.open_memory_channel[Response](1000)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer over UDP, and keep the responses."""
        with self.udp:
            await self.udp.bind((HERE, 0))
            self.port = self.udp.getsockname()[1]
            task_status.started()
            while True:
                data, address = await self.udp.recvfrom(65535)
                message = parse(data)
                if isinstance(message, Response):
                    self._heard.send_nowait(message)
                else:
                    self.got.append(message)
                    await self.udp.sendto(bytes(response_to(message, 200, to_tag="t")), address)

    async def answer_stream(self, stream: trio.SocketStream) -> None:
        """Answer over TCP."""
        async for data in stream:
            request = parse(bytes(data), stream=True)
            assert isinstance(request, Request)
            self.got.append(request)
            await stream.send_all(bytes(response_to(request, 200, to_tag="t")))

    async def ask(self, uri: str, to: Hop, number: int = 0) -> None:
        """Send a MESSAGE."""
        lines = (
            ("Via", f"SIP/2.0/UDP {HERE}:{self.port};branch=z9hG4bKn{number}"),
            ("Max-Forwards", "70"),
            ("From", "<sip:alice@here.test>;tag=1"),
            ("To", f"<{uri}>"),
            ("Call-ID", f"c{number}"),
            ("CSeq", "1 MESSAGE"),
        )
        await self.udp.sendto(bytes(Request.build("MESSAGE", uri, lines)), (to.host, to.port))

    async def answer(self) -> Response:
        """The next response."""
        with trio.fail_after(10):
            return await self._inbox.receive()


@pytest.fixture
async def names(nursery):
    made = NameServer()
    await nursery.start(made.run)
    return made


@pytest.fixture
async def here(nursery, names, tmp_path: Path) -> Hop:
    """A server on UDP and TCP that asks `names`."""
    store = MemoryStore()
    await create(store, ["here.test"], settings=Settings(auth="none", enum="e164.test"))
    cache = Cache(store)
    await cache.fill()
    network = Flows()
    place = network.listen(Hop("UDP", HERE, 0))
    network.listen(Hop("TCP", HERE, 0))
    resolver = Resolver(listening=lambda: network.listening, hosts=tmp_path / "none", nameserver=names.address)
    await nursery.start(serve, furnish(cache, Writer(store, cache), network, resolver=resolver))
    return place


@pytest.fixture
async def agent(nursery) -> Agent:
    made = Agent()
    await nursery.start(made.run)
    return made


def closed_port() -> int:
    """A TCP port that refuses connections."""
    with socket.socket() as once:
        once.bind((HERE, 0))
        return int(once.getsockname()[1])


async def test_a_refused_server_is_left_for_the_next_of_its_service(here, names, agent, nursery):
    listeners = await trio.open_tcp_listeners(0, host=HERE)
    nursery.start_soon(trio.serve_listeners, agent.answer_stream, listeners)
    port = listeners[0].socket.getsockname()[1]
    names.records = {
        ("far.test", "NAPTR"): ['10 10 "s" "SIP+D2T" "" _sip._tcp.far.test.', '20 10 "s" "SIP+D2U" "" x.far.test.'],
        ("_sip._tcp.far.test", "SRV"): [f"10 0 {closed_port()} one.far.test.", f"20 0 {port} one.far.test."],
        ("one.far.test", "A"): [HERE],
    }
    await agent.ask("sip:bob@far.test", here)
    assert (await agent.answer()).status == 200
    [got] = agent.got
    assert got.via.transport == "TCP"
    assert ("x.far.test", "SRV") not in names.asked, "the second transport is not needed"


async def test_a_number_is_found_in_the_zone(here, names, agent):
    rule = f'10 10 "u" "E2U+sip" "!^\\\\+(.*)$!sip:\\\\1@{HERE}:{agent.port}!" .'
    names.records["8.4.1.0.6.4.9.7.0.2.4.4.e164.test", "NAPTR"] = [rule]
    await agent.ask("tel:+44-20-7946-0148", here)
    assert (await agent.answer()).status == 200
    assert agent.got[0].request_uri == f"sip:442079460148@{HERE}:{agent.port}"


async def test_a_dead_name_server_delays_nobody_else(here, names, agent):
    names.gate = trio.Event()  # never set: every question waits
    for number in range(1, 201):
        await agent.ask(f"sip:x@n{number}.test", here, number)
    await names.until_asked(64)
    await agent.ask(f"sip:bob@{HERE}:{agent.port}", here)
    response = await agent.answer()
    assert (response.status, response.call_id) == (200, "c0")
    assert names.most_at_once == 64, "the others wait for their turn"


async def test_who_needs_the_dead_name_server_hears_500_in_three_seconds(here, names, agent, monkeypatch):
    monkeypatch.setattr("sipd.net.resolver.TIMEOUT", 0.3)
    names.is_silent = True
    await agent.ask("sip:x@n.test", here)
    assert (await agent.answer()).status == 500
