"""TLS over the loopback, with real certificates, on the real clock."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from cryptography.x509.oid import ExtendedKeyUsageOID

from sipd.errors import SetupError
from sipd.hop import Hop
from sipd.net.flows import Flows
from sipd.net.stream import Patience, StreamFlow
from sipd.net.tls import Certificate, Tls, TlsFiles
from tests.net.certificates import EXPIRED, Authority, encrypted, for_purpose
from tests.net.heard import IN_TIME, Failed, Heard, echo, message
from tests.net.test_listener import closed, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(authority) -> Authority:
    return Authority(authority.directory, "stranger")


class Server:
    """Flows with one TLS listener; remembers what it heard and what was said of it."""

    def __init__(self, files: TlsFiles, patience: Patience = Patience(), receive=echo) -> None:  # noqa: B008 - immutable
        self.heard, self.failed = Heard(receive), Failed()
        self.events: list[tuple[str, str]] = []
        self.tls = Tls(files)
        self.flows = Flows(self.heard, patience=patience, tls=self.tls)
        self.flows.on_failed = self.failed
        self.flows.on_event = lambda event, remote, why: self.events.append((event, why))
        self.hop = self.flows.listen(Hop("TLS", HERE, 0))
        self.opened: list[trio.SocketStream] = []
        self.has_half_closed = trio.Event()
        connections = self.flows.connections
        half_closed = connections.half_closed

        def noted(flow: StreamFlow) -> None:
            half_closed(flow)
            self.has_half_closed.set()

        connections.half_closed = noted  # type: ignore[method-assign]  # nothing tells of it outside

    async def open_tcp(self) -> trio.SocketStream:
        """A connection to its port without TLS."""
        self.opened.append(await trio.open_tcp_stream(HERE, self.hop.port))
        return self.opened[-1]

    def hop_for(self, name: str) -> Hop:
        return self.hop._replace(name=name)

    async def end_of(self, count: int = 1) -> str:
        """Why the connection that failed last did."""
        await self.failed.count(count)
        return self.events[-1][1]


@asynccontextmanager
async def running(*servers: Server) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for server in servers:
            await nursery.start(server.flows.run)
        try:
            yield
        finally:
            for server in servers:
                for stream in server.opened:
                    stream.socket.close()
        nursery.cancel_scope.cancel()


def phone(authority: Authority, certificate: Certificate | None = None) -> ssl.SSLContext:
    """What a phone that knows this authority connects with."""
    context = ssl.create_default_context(cafile=authority.path)
    if certificate is not None:
        context.load_cert_chain(certificate.chain)
    return context


async def connected(server: Server, context: ssl.SSLContext, name: str | None = "sip.example.com"):
    stream = trio.SSLStream(await server.open_tcp(), context, server_hostname=name, https_compatible=True)
    with trio.fail_after(IN_TIME):
        await stream.do_handshake()
    return stream


async def test_a_phone_talks_over_tls(authority):
    server = Server(authority.files(authority.signed("sip.example.com")))
    async with running(server):
        ours = await connected(server, phone(authority))
        assert ours.version() == "TLSv1.3"
        await ours.send_all(message("one") + b"\r\n\r\n" + message("two", b"body"))
        sent = message("one") + b"\r\n" + message("two", b"body")
        assert await read(ours, len(sent)) == sent
        flow = server.heard.flows[0]
        assert flow.remote == Hop("TLS", HERE, ours.transport_stream.socket.getsockname()[1])
        assert (flow.reliable, flow.names, flow.near) == (True, (), server.hop)
        assert flow.sent_by == f"{HERE}:{server.hop.port}"
        assert server.flows.known(flow.remote) is flow


async def test_much_data_goes_through_whole_both_ways(authority):
    server = Server(authority.files(authority.signed("sip.example.com")))
    async with running(server):
        ours = await connected(server, phone(authority))
        for size in (1, 16384, 16385, 60000, 60001, 60002):
            sent = message(body=b"x" * size)
            await ours.send_all(sent)
            assert await read(ours, len(sent)) == sent


async def test_a_peer_that_reads_late_gets_all_in_order(authority):
    server = Server(authority.files(authority.signed("sip.example.com")), receive=None)
    async with running(server):
        ours = await connected(server, phone(authority))
        await ours.send_all(message())
        await server.heard.count(1)
        (flow,) = server.heard.flows
        for _ in range(20):  # more than the kernel takes, until we read
            expected = b""
            while len(expected) < 200_000:
                piece = b"%06d" % len(expected) * 1500
                expected += piece
                flow.send(piece)
            assert await read(ours, len(expected)) == expected
        assert not flow.closed


async def test_a_peer_that_reads_nothing_is_closed(authority):
    server = Server(authority.files(authority.signed("sip.example.com")), receive=None)
    async with running(server):
        ours = await connected(server, phone(authority))
        await ours.send_all(message())
        await server.heard.count(1)
        (flow,) = server.heard.flows
        for _ in range(2000):
            flow.send(b"x" * 10000)
            if flow.closed:
                break
        assert await server.end_of() == "slow_client"
        await ours.aclose()


async def test_we_say_that_we_close(authority):
    """RFC 5246 §7.2.1: close_notify, so that the peer can tell it from an attack."""
    server = Server(authority.files(authority.signed("sip.example.com")), Patience(idle=0.01))
    async with running(server):
        ours = await connected(server, phone(authority))
        ours._https_compatible = False  # an end without close_notify would raise
        with trio.fail_after(IN_TIME):
            assert await ours.receive_some() == b""
        assert await server.end_of() == "idle"


@pytest.mark.parametrize("politely", [True, False])
async def test_answers_still_go_to_a_peer_that_has_said_its_last(authority, politely):
    server = Server(authority.files(authority.signed("sip.example.com")), receive=None)
    async with running(server):
        ours = await connected(server, phone(authority))
        await ours.send_all(message())
        await server.heard.count(1)
        (flow,) = server.heard.flows
        if politely:
            with pytest.raises(ssl.SSLWantReadError):
                ours._ssl_object.unwrap()
            await ours.transport_stream.send_all(ours._outgoing.read())
        else:
            await ours.transport_stream.send_eof()
        with trio.fail_after(IN_TIME):
            await server.has_half_closed.wait()
        assert server.flows.known(flow.remote) is None, "no request of ours goes there any more (RFC 5923 §8.3)"
        flow.send(b"SIP/2.0 200 OK\r\n\r\n")
        got = b""
        with trio.fail_after(IN_TIME):
            while piece := await ours.transport_stream.receive_some():
                got += piece
        assert got, "the answer came, in whatever records"
        assert await server.end_of() == "ended"


async def test_bad_framing_is_answered_and_then_closed(authority):
    def refuse(data, flow):
        flow.send(b"SIP/2.0 400 Bad\r\n\r\n")
        server.flows.finish(flow)

    server = Server(authority.files(authority.signed("sip.example.com")), receive=refuse)
    async with running(server):
        ours = await connected(server, phone(authority))
        await ours.send_all(message())
        answer = b"SIP/2.0 400 Bad\r\n\r\n"
        assert await read(ours, len(answer)) == answer
        await closed(ours)
        assert await server.end_of() == "bad_framing"


# --- what is turned away -------------------------------------------------------------------------


async def test_plain_text_on_the_port_is_closed_and_said(authority):
    server = Server(authority.files(authority.signed("sip.example.com")))
    async with running(server):
        ours = await server.open_tcp()
        await ours.send_all(message())
        await closed(ours)
        assert await server.end_of() == "TLS failed: the peer does not speak TLS"
        assert server.heard.items == []


async def test_versions_before_1_2_are_refused(authority):
    """RFC 8996, T93."""
    server = Server(authority.files(authority.signed("sip.example.com")))
    old = phone(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with running(server):
        with pytest.raises(trio.BrokenResourceError):
            await connected(server, old)
        assert await server.end_of() == "TLS failed: the peer speaks no TLS from 1.2 on"


async def test_version_1_2_with_a_good_cipher_is_taken(authority):
    server = Server(authority.files(authority.signed("sip.example.com")))
    context = phone(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with running(server):
        ours = await connected(server, context)
        assert ours.version() == "TLSv1.2"
        assert "ECDHE" in ours.cipher()[0]
        await ours.send_all(message())
        assert await read(ours, len(message())) == message()


async def test_a_weak_cipher_is_refused(authority):
    server = Server(authority.files(authority.signed("sip.example.com")))
    weak = phone(authority)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:@SECLEVEL=0")
    async with running(server):
        with pytest.raises(trio.BrokenResourceError):
            await connected(server, weak)
        assert await server.end_of() == "TLS failed: there is no cipher that both ends accept"


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01"], ids=["silent", "stuck"])
async def test_a_handshake_has_its_time(authority, first):
    server = Server(authority.files(authority.signed("sip.example.com")), Patience(connect=0.05))
    async with running(server):
        ours = await server.open_tcp()
        await ours.send_all(first)
        await closed(ours)
        assert await server.end_of() == "slow_handshake"


async def test_handshakes_of_one_source_wait_for_their_turn(authority, monkeypatch):
    """Others do not wait, nor do peers."""
    server = Server(authority.files(authority.signed("sip.example.com")), Patience(connect=0.2))
    waits = iter([0.0, 60.0, 60.0])
    monkeypatch.setattr(server.flows.connections.handshakes, "delay", lambda source, now: next(waits))
    async with running(server):
        await connected(server, phone(authority))
        await closed(await server.open_tcp())
        assert await server.end_of() == "slow_handshake"
        server.flows.connections.is_exempt = lambda host: True
        await connected(server, phone(authority))


async def test_a_peer_that_goes_away_in_the_handshake_is_said(authority):
    server = Server(authority.files(authority.signed("sip.example.com")))
    async with running(server):
        ours = await server.open_tcp()
        await ours.aclose()
        assert await server.end_of() == "TLS failed: the peer went away during the handshake"


# --- certificates of clients ---------------------------------------------------------------------


@pytest.mark.parametrize("client", ["requested", "required"])
async def test_the_names_of_a_peer_that_shows_a_certificate(authority, client):
    server = Server(authority.files(authority.signed("sip.example.com"), client=client))
    async with running(server):
        ours = await connected(server, phone(authority, authority.signed("Peer.example.net", "192.0.2.7")))
        await ours.send_all(message())
        await server.heard.count(1)
        assert server.heard.flows[0].names == ("peer.example.net", "192.0.2.7")


async def test_a_certificate_that_is_not_asked_for_proves_nothing(authority):
    server = Server(authority.files(authority.signed("sip.example.com"), client="never"))
    async with running(server):
        ours = await connected(server, phone(authority, authority.signed("peer.example.net")))
        await ours.send_all(message())
        await server.heard.count(1)
        assert server.heard.flows[0].names == ()


async def test_a_phone_without_one_is_let_in_when_it_is_only_requested(authority):
    server = Server(authority.files(authority.signed("sip.example.com"), client="requested"))
    async with running(server):
        ours = await connected(server, phone(authority))
        await ours.send_all(message())
        await server.heard.count(1)
        assert server.heard.flows[0].names == ()


async def test_a_phone_without_one_is_turned_away_when_it_is_required(authority):
    server = Server(authority.files(authority.signed("sip.example.com"), client="required"))
    async with running(server):
        await closed(await connected(server, phone(authority)))
        assert await server.end_of() == "TLS failed: the peer shows no certificate"


@pytest.mark.parametrize(
    ("expired", "why"),
    [(False, "its certificate is signed by an authority that we do not know"), (True, "its certificate has expired")],
)
async def test_a_certificate_that_is_not_good_is_turned_away(authority, stranger, expired, why):
    server = Server(authority.files(authority.signed("sip.example.com"), client="requested"))
    shown = authority.signed("peer.example.net", not_after=EXPIRED) if expired else stranger.signed("peer.example.net")
    async with running(server):
        await closed(await connected(server, phone(authority, shown)))
        assert await server.end_of() == f"TLS failed: {why}"


# --- which certificate we show -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("a.example", "a.example"),
        ("B.example", "b.example"),
        ("x.c.example", "*.c.example"),
        ("x.y.c.example", "a.example"),
        ("unknown.example", "a.example"),
        (None, "a.example"),
    ],
)
async def test_the_certificate_is_chosen_by_the_name_asked_for(authority, asked, shown):
    server = Server(authority.files(*(authority.signed(name) for name in ("a.example", "b.example", "*.c.example"))))
    context = phone(authority)
    context.check_hostname = False
    async with running(server):
        ours = await connected(server, context, asked)
        assert ours.getpeercert()["subjectAltName"] == (("DNS", shown),)


async def test_every_certificate_asks_for_that_of_the_client(authority):
    files = authority.files(authority.signed("a.example"), authority.signed("b.example"), client="required")
    server = Server(files)
    async with running(server):
        await closed(await connected(server, phone(authority), "b.example"))
        assert await server.end_of() == "TLS failed: the peer shows no certificate"
        ours = await connected(server, phone(authority, authority.signed("peer.example.net")), "b.example")
        await ours.send_all(message())
        await server.heard.count(1)
        assert server.heard.flows[0].names == ("peer.example.net",)


# --- connections that we open --------------------------------------------------------------------


async def test_we_open_a_connection_to_who_proves_the_name(authority):
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)
    theirs = Server(authority.files(authority.signed("theirs.example"), client="required"))
    async with running(ours, theirs):
        flow = ours.flows.to(theirs.hop_for("Theirs.example."))
        flow.send(message())
        await ours.heard.count(1)
        assert ours.heard.items == [message()]
        assert flow.names == ("theirs.example",)
        assert theirs.heard.flows[0].names == ("ours.example",), "we show our certificate"
        assert flow.remote == theirs.hop_for("theirs.example")
        assert ours.flows.to(theirs.hop_for("theirs.EXAMPLE")) is flow


async def test_an_address_must_be_in_the_certificate(authority):
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)
    theirs = Server(authority.files(authority.signed("theirs.example", HERE)))
    async with running(ours, theirs):
        flow = ours.flows.to(theirs.hop)
        assert ours.flows.to(theirs.hop_for(HERE)) is flow, "an address is its own name"
        flow.send(message())
        await ours.heard.count(1)
        assert flow.names == ("theirs.example", HERE)


@pytest.mark.parametrize(
    ("names", "wanted", "why"),
    [
        (["other.example"], "theirs.example", "its certificate is for other.example, not for theirs.example"),
        (["*.example"], "theirs.example", "its certificate is for *.example, not for theirs.example"),
        (["theirs.example"], "sub.theirs.example", "its certificate is for theirs.example, not for sub.theirs.example"),
        (["theirs.example"], "", f"its certificate is for theirs.example, not for {HERE}"),
        (["theirs.example"], "a..b", "a..b can't be a name in a certificate"),
    ],
)
async def test_who_proves_another_name_gets_nothing(authority, names, wanted, why):
    """RFC 5922 §7.3: MUST close the connection immediately (T94)."""
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)
    theirs = Server(authority.files(authority.signed(*names)))
    async with running(ours, theirs):
        flow = ours.flows.to(theirs.hop_for(wanted))
        flow.send(message())
        assert await ours.end_of() == f"TLS failed: {why}"
        assert ours.failed.flows == [flow], "the transactions over it hear of it"
        assert theirs.heard.items == []


@pytest.mark.parametrize(
    ("expired", "why"),
    [(False, "its certificate is signed by an authority that we do not know"), (True, "its certificate has expired")],
)
async def test_who_proves_nothing_gets_nothing(authority, stranger, expired, why):
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)
    shown = authority.signed("theirs.example", not_after=EXPIRED) if expired else stranger.signed("theirs.example")
    theirs = Server(authority.files(shown))
    async with running(ours, theirs):
        ours.flows.to(theirs.hop_for("theirs.example")).send(message())
        assert await ours.end_of() == f"TLS failed: {why}"
        assert "our certificate" in await theirs.end_of() or "our certificate" in theirs.events[-1][1]
        assert theirs.heard.items == []


async def test_one_certificate_alone_can_be_trusted(authority, stranger):
    """`tls_ca` may hold the very certificate of a partner, whoever signed it."""
    shown = stranger.signed("theirs.example")
    ours = Server(TlsFiles((authority.signed("ours.example"),), shown.chain), receive=None)
    theirs = Server(TlsFiles((shown,), authority.path))
    async with running(ours, theirs):
        ours.flows.to(theirs.hop_for("theirs.example")).send(message())
        await ours.heard.count(1)


async def test_a_certificate_for_another_purpose_proves_nothing(authority, tmp_path):
    """RFC 5922 §7.1: restrictions by extendedKeyUsage MUST be checked, of a server's certificate and of a client's."""
    for_clients, root = for_purpose(tmp_path, ExtendedKeyUsageOID.CLIENT_AUTH, "theirs.example")
    ours = Server(TlsFiles((authority.signed("ours.example"),), root), receive=None)
    theirs = Server(authority.files(for_clients))
    async with running(ours, theirs):
        ours.flows.to(theirs.hop_for("theirs.example")).send(message())
        assert await ours.end_of() == "TLS failed: its certificate is for another purpose"
    for_servers, root = for_purpose(tmp_path, ExtendedKeyUsageOID.SERVER_AUTH, "peer.example.net")
    server = Server(TlsFiles((authority.signed("sip.example.com"),), root, client="requested"))
    async with running(server):
        await closed(await connected(server, phone(authority, for_servers)))
        assert await server.end_of() == "TLS failed: its certificate is for another purpose"


async def test_a_refused_certificate_of_ours_is_said(authority, stranger):
    """With TLS 1.3 our end has finished the handshake when the peer says no."""
    ours = Server(TlsFiles((stranger.signed("ours.example"),), authority.path), receive=None)
    theirs = Server(authority.files(authority.signed("theirs.example"), client="required"))
    async with running(ours, theirs):
        ours.flows.to(theirs.hop_for("theirs.example")).send(message())
        assert (
            await ours.end_of()
            == "TLS failed: the peer does not accept our certificate: it does not know who signed it"
        )


async def test_a_plain_port_is_no_tls_port(authority):
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"SIP/2.0 400 What?\r\n\r\n")

    async with running(ours), trio.open_nursery() as nursery:
        (plain,) = await nursery.start(partial(trio.serve_tcp, host=HERE), answer, 0)
        ours.flows.to(Hop("TLS", HERE, plain.socket.getsockname()[1], "theirs.example")).send(message())
        assert await ours.end_of() == "TLS failed: the peer does not speak TLS"
        nursery.cancel_scope.cancel()


async def test_one_connection_per_name(authority):
    """T94: what goes to another name does not go over a connection that proved this one."""
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)
    theirs = Server(authority.files(authority.signed("a.example"), authority.signed("b.example")))
    async with running(ours, theirs):
        first, second = ours.flows.to(theirs.hop_for("a.example")), ours.flows.to(theirs.hop_for("b.example"))
        assert first is not second
        first.send(message("a"))
        second.send(message("b"))
        await ours.heard.count(2)
        assert (first.names, second.names) == (("a.example",), ("b.example",))


# --- one connection for both directions (RFC 5923) ----------------------------------------------


def request(via: str) -> bytes:
    return f"OPTIONS sip:a@example.com SIP/2.0\r\nVia: {via}\r\nCall-ID: one\r\nContent-Length: 0\r\n\r\n".encode()


ASKED = "SIP/2.0/TLS peer.example.net:5071;branch=z9hG4bK1;alias"
THERE = Hop("TLS", HERE, 5071, "peer.example.net")


@pytest.mark.parametrize(
    ("via", "hop", "is_reused"),
    [
        (ASKED, THERE, True),
        (ASKED, THERE._replace(name="Also.example.net."), True),
        (ASKED.replace(":5071", ""), THERE._replace(port=5061), True),  # no port: the default one
        (ASKED.replace(";alias", ""), THERE, False),
        (ASKED.replace("branch", "alias-of=x;branch").replace(";alias", ";x", 1).replace(";alias", ""), THERE, False),
        (ASKED, THERE._replace(name="other.example.net"), False),  # §9.3: another domain of the same address
        (ASKED, THERE._replace(name=""), False),  # an address proves nothing
        (ASKED, THERE._replace(port=5061), False),
        (ASKED, THERE._replace(host="127.0.0.2"), False),
        (ASKED, THERE._replace(transport="TCP"), False),
        (ASKED.replace("TLS", "TCP"), THERE, False),
        (f"SIP/2.0/TLS a.example;branch=z9hG4bK0, {ASKED}", THERE, False),  # the topmost Via alone
        ("no Via at all;alias", THERE, False),
    ],
)
async def test_a_client_is_reached_by_its_own_connection(authority, via, hop, is_reused):
    """§8.2: by the address in its Via, and for the names that its certificate proves, where it says `alias`."""
    server = Server(authority.files(authority.signed("sip.example.com"), client="requested"))
    shown = authority.signed("peer.example.net", "also.example.net")
    async with running(server):
        ours = await connected(server, phone(authority, shown))
        await ours.send_all(request(via))
        await server.heard.count(1)
        (flow,) = server.heard.flows
        assert (server.flows.known(hop) is flow) is is_reused
        if is_reused:
            assert server.flows.to(hop) is flow


async def test_a_client_without_a_certificate_is_not_reached_that_way(authority):
    """§9.2: MUST proceed as if there was no `alias`."""
    server = Server(authority.files(authority.signed("sip.example.com"), client="requested"))
    async with running(server):
        ours = await connected(server, phone(authority))
        await ours.send_all(request(ASKED))
        await server.heard.count(1)
        assert server.flows.known(THERE) is None


async def test_a_connection_that_is_gone_is_used_no_more(authority):
    """§8.2: a new one is opened."""
    server = Server(authority.files(authority.signed("sip.example.com"), client="requested"), receive=None)
    shown = authority.signed("peer.example.net")
    async with running(server):
        flows = []
        for number in (1, 2):
            ours = await connected(server, phone(authority, shown))
            await ours.send_all(request(ASKED))
            await server.heard.count(number)
            flow = server.heard.flows[-1]
            assert isinstance(flow, StreamFlow)
            flows.append(flow)
        assert server.flows.known(THERE) is flows[0]
        flows[0].close()
        assert server.flows.known(THERE) is flows[1]
        flows[1].close()
        await server.failed.count(2)
        assert server.flows.known(THERE) is None
        assert server.flows.to(THERE) not in flows


async def test_a_server_is_reached_by_one_connection_for_all_its_names(authority):
    """§8.1: the URI matches one of the identities that the server has proved."""
    ours = Server(authority.files(authority.signed("ours.example")), receive=None)
    theirs = Server(authority.files(authority.signed("a.example", "b.example")))
    async with running(ours, theirs):
        flow = ours.flows.to(theirs.hop_for("a.example"))
        flow.send(message())
        await ours.heard.count(1)
        assert ours.flows.to(theirs.hop_for("b.example")) is flow
        assert ours.flows.to(theirs.hop_for("c.example")) is not flow


# --- loading anew ----------------------------------------------------------------------------------


async def test_new_certificates_are_shown_and_no_connection_is_lost(authority):
    """T100."""
    server = Server(authority.files(authority.signed("old.example")))
    async with running(server):
        before = await connected(server, phone(authority), "old.example")
        server.tls.load(authority.files(authority.signed("new.example")))
        after = await connected(server, phone(authority), "new.example")
        for ours in (before, after):
            await ours.send_all(message())
            assert await read(ours, len(message())) == message()


@pytest.fixture(scope="module")
def broken(authority, stranger) -> dict[str, TlsFiles]:
    good, other = authority.signed("sip.example.com"), authority.signed("other.example")
    text = authority.directory / "text.pem"
    text.write_text("no certificate")
    missing = authority.directory / "missing.pem"
    return {
        "no file": TlsFiles((good._replace(chain=missing),)),
        "no certificate": TlsFiles((good._replace(chain=text),)),
        "no key": TlsFiles((good._replace(key=text),)),
        "another key": TlsFiles((good._replace(key=other.key),)),
        "encrypted key": TlsFiles((encrypted(good, b"secret"),)),
        "no authorities": TlsFiles((good,), missing),
        "bad authorities": TlsFiles((good,), text),
    }


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("no file", "tls_certificate: .*missing.pem: No such file"),
        ("no certificate", "tls_certificate: .*text.pem: this is no certificate"),
        ("no key", "tls_key: .*text.pem: "),
        ("another key", "tls_key: .*: the key does not belong to the certificate"),
        ("encrypted key", "tls_key: .* is encrypted"),
        ("no authorities", "tls_ca: .*missing.pem: No such file"),
        ("bad authorities", "tls_ca: .*text.pem: there is no certificate in it"),
    ],
)
def test_a_bad_file_is_named_and_the_old_ones_stay(authority, broken: dict[str, TlsFiles], case: str, says: str):
    """T100."""
    tls = Tls(authority.files(authority.signed("sip.example.com")))
    before = (tls.files, tls._contexts)
    with pytest.raises(SetupError, match=says):
        tls.load(broken[case])
    assert (tls.files, tls._contexts) == before


def test_a_tls_listener_needs_a_certificate():
    with pytest.raises(SetupError, match="there is no certificate"):
        Flows().listen(Hop("TLS", HERE, 0))


def test_nothing_old_or_weak_is_offered(authority, tmp_path: Path):
    """T93."""
    contexts = Tls(authority.files(authority.signed("sip.example.com")))._contexts
    for context in (contexts.server, contexts.client):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        for cipher in context.get_ciphers():
            assert cipher["aead"], cipher
            assert cipher["protocol"] == "TLSv1.3" or "ECDHE" in cipher["name"], cipher
    assert contexts.client.verify_mode == ssl.CERT_REQUIRED
