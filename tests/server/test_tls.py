"""A whole server on real sockets: what goes out over TLS, and to whom."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from sipd.hop import Hop
from sipd.message import Request, Response, parse, parse_address, response_to
from sipd.net import Flows
from sipd.net.tls import Tls
from sipd.rows import Peer, PutPeer, Settings
from sipd.server.startup import furnish, serve
from sipd.store import Cache, MemoryStore, Writer, create
from tests.net.certificates import Authority
from tests.net.heard import IN_TIME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def serving(authority: Authority, **settings) -> AsyncIterator[tuple[Flows, Cache]]:
    """A server for example.com over UDP and TLS, known as sip.example.com, that asks for certificates."""
    store = MemoryStore()
    await create(store, ["example.com"], settings=Settings(**{"auth": "none", **settings}))
    await store.open()
    cache = Cache(store)
    await cache.fill()
    network = Flows(tls=Tls(authority.files(authority.signed("sip.example.com", HERE), client="requested")))
    for transport in ("UDP", "TLS"):
        network.listen(Hop(transport, HERE, 0))
    house = furnish(cache, Writer(store, cache), network)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, house)
        yield network, cache
        nursery.cancel_scope.cancel()
    assert house.counters.faults == 0, "something broke behind the door"


class Far:
    """Another server over TLS: remembers what came, answers 200."""

    def __init__(self, authority: Authority, *names: str) -> None:
        self.requests: list[Request] = []
        self.flows = Flows(self.receive, tls=Tls(authority.files(authority.signed(*names), client="requested")))
        self.hop = self.flows.listen(Hop("TLS", HERE, 0))
        self.answers: list[Response] = []
        self.news = trio.Event()

    def receive(self, data, flow) -> None:
        message = parse(data, stream=True)
        if isinstance(message, Request):
            self.requests.append(message)
            if message.method != "ACK":
                flow.send(bytes(response_to(message, 200, to_tag="far", headers=(("Contact", f"<sip:{HERE}>"),))))
        else:
            self.answers.append(message)
            self.news.set()


@asynccontextmanager
async def running(far: Far) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(far.flows.run)
        yield
        nursery.cancel_scope.cancel()


def request(method: str, uri: str, via: str, from_uri: str = "sip:alice@example.com") -> bytes:
    return bytes(
        Request.build(
            method,
            uri,
            (
                ("Via", f"{via};branch=z9hG4bK{method}{abs(hash(uri))};rport"),
                ("Max-Forwards", "70"),
                ("From", f"<{from_uri}>;tag=1"),
                ("To", f"<{uri}>"),
                ("Call-ID", f"{method}-{uri}"),
                ("CSeq", f"1 {method}"),
                ("Contact", f"<sip:{HERE}:9>"),
            ),
        )
    )


async def final_answer(server: Hop, data: bytes) -> Response:
    """What a UDP phone hears in the end."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours, trio.fail_after(IN_TIME):
        await ours.connect((server.host, server.port))
        await ours.send(data)
        while True:
            answer = parse(await ours.recv(4000))
            assert isinstance(answer, Response)
            if answer.status >= 200:
                return answer


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
async def test_a_request_from_a_udp_phone_goes_on_over_tls(authority, method):
    far = Far(authority, HERE)
    async with serving(authority) as (network, _), running(far):
        udp, tls = network.listening
        uri = f"sip:bob@{HERE}:{far.hop.port};transport=tls"
        answer = await final_answer(udp, request(method, uri, f"SIP/2.0/UDP {HERE}:9"))
        assert answer.status == 200
        (got,) = far.requests
        assert got.via.transport == "TLS"
        assert (got.via.host, got.via.port) == (HERE, tls.port)
        routes = got.values("Record-Route")
        if method == "INVITE":
            onward, back = (parse_address(route).uri for route in routes)
            assert (onward.host, onward.port, onward.param("transport")) == (HERE, tls.port, "tls")
            assert (back.host, back.port, back.param("transport")) == (HERE, udp.port, None)
        else:
            assert routes == []


@pytest.mark.parametrize("names", [("other.example",), ("localhost",)])
async def test_who_does_not_prove_the_name_gets_nothing_and_the_caller_hears_it(authority, names):
    """T94: a transport error, at once, and no other way is tried."""
    far = Far(authority, *names)
    async with serving(authority) as (network, _), running(far):
        uri = f"sip:bob@{HERE}:{far.hop.port};transport=tls"
        answer = await final_answer(network.listening[0], request("INVITE", uri, f"SIP/2.0/UDP {HERE}:9"))
        assert answer.status == 500
        assert far.requests == []


async def test_a_peer_is_known_by_the_name_its_certificate_proves(authority):
    """RFC 5922 §7.4: what it asks for is judged by that."""
    async with serving(authority, auth="digest") as (network, cache):
        tls = network.listening[1]
        statuses: list[int] = []
        for names in (("stranger.example",), ("gateway.example",)):
            if len(statuses) == 1:
                cache.apply([PutPeer(Peer("gateway", "cert:gateway.example"))])
            far = Far(authority, *names)
            async with running(far):
                flow = far.flows.to(tls._replace(name="sip.example.com"))
                sent_by = f"SIP/2.0/TLS {HERE}:{far.hop.port}"
                flow.send(request("MESSAGE", "sip:nobody@example.com", sent_by, "sip:x@gateway.example"))
                with trio.fail_after(IN_TIME):
                    await far.news.wait()
                statuses.append(far.answers[0].status)
        assert statuses == [480, 404], "that there is no such user hears only who is known"
