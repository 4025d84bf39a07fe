"""SIP over WebSocket: the codec by itself, and listeners with a real client on the loopback (RFC 7118, RFC 6455)."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream
from wsproto import ConnectionType
from wsproto.connection import Connection as Client
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from sipd.hop import Hop
from sipd.message import PING
from sipd.net.addresses import Unreachable
from sipd.net.connections import Connections, Room
from sipd.net.flows import Flows
from sipd.net.stream import PATIENCE
from sipd.net.tls import Tls
from sipd.net.websocket import MAX_MESSAGE, MOST_SMALL, Frames, WebSocketFlow, WebSocketListener
from tests.net.certificates import Authority
from tests.net.heard import IN_TIME, Failed, Heard, echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LINES = {
    "Host": "sip-ws.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Origin": "http://www.example.com",
    "Sec-WebSocket-Protocol": "sip",
    "Sec-WebSocket-Version": "13",
}
PEER = Hop("WS", "192.0.2.7", 49152)
SHORT = b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\n"  # no Content-Length: the frame says where it ends


def upgrade(start: str = "GET / HTTP/1.1", **changes: str | None) -> bytes:
    """A handshake; a change of None leaves the line out."""
    lines = {**LINES, **{name.replace("_", "-"): value for name, value in changes.items()}}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{start}\r\n{text}\r\n".encode("latin-1")


def answer_to(request: bytes, origins: tuple[str, ...] = ()) -> tuple[Frames, int, bytes]:
    """The codec after this handshake, the status it answers with, and all of the answer."""
    frames = Frames(frozenset(origins))
    assert frames.feed(request) == []
    return frames, int(frames.replies.split(b" ")[1]), frames.replies


def opened() -> tuple[Frames, Client]:
    frames, status, _ = answer_to(upgrade())
    assert status == 101
    frames.replies = b""
    return frames, Client(ConnectionType.CLIENT)


def heard_by(client: Client, frames: Frames) -> list[Event]:
    client.receive_data(frames.replies)
    frames.replies = b""
    return list(client.events())


# --- the handshake ------------------------------------------------------------------------------


def test_the_handshake_of_the_rfc_is_answered_as_there():
    """RFC 7118 §4.1: key and answer are those of the example."""
    frames, status, answer = answer_to(upgrade())
    assert status == 101
    assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in answer.lower()
    assert b"sec-websocket-protocol: sip\r\n" in answer.lower()
    assert b"sec-websocket-extensions" not in answer.lower()
    assert (frames.is_open, frames.partial, frames.broken) == (True, False, False)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(Sec_WebSocket_Protocol=None), 400),
        (upgrade(Sec_WebSocket_Protocol="xmpp, mqtt"), 400),
        (upgrade(Sec_WebSocket_Protocol="xmpp, sip"), 101),
        (upgrade(Sec_WebSocket_Version="8"), 426),  # and says which it has (RFC 6455 §4.4)
        (upgrade(Sec_WebSocket_Version=None), 400),
        (upgrade(Sec_WebSocket_Key=None), 400),
        (upgrade(Upgrade=None), 400),
        (upgrade(Connection="close"), 400),
        (upgrade("POST / HTTP/1.1"), 400),
        (upgrade(Host="\xff"), 400),
        (upgrade(Sec_WebSocket_Protocol="sip\xe9"), 400),
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", 400),
        (b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\n", 400),  # SIP straight over TCP
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS to the plain port
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 20000, 400),
    ],
)
def test_only_a_good_offer_of_sip_is_accepted(request_, status):
    frames, got, answer = answer_to(request_)
    assert got == status, answer
    assert frames.broken == (status != 101)
    if status != 101:
        assert frames.why == "bad_handshake"
        assert b"connection: close" in answer.lower()
    if status == 426:
        assert b"sec-websocket-version: 13" in answer.lower()


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        ((), "http://evil.example", 101),
        (("https://phone.example.com",), "https://phone.example.com", 101),
        (("https://phone.example.com",), "HTTPS://Phone.Example.COM", 101),
        (("https://phone.example.com",), "https://evil.example", 403),
        (("https://phone.example.com",), "https://phone.example.com.evil.example", 403),
        (("https://phone.example.com",), "null", 403),
        (("https://phone.example.com",), None, 101),  # no browser: nothing made it come here against its user's will
    ],
)
def test_the_page_a_browser_shows_must_be_one_of_ours(origins, origin, status):
    assert answer_to(upgrade(Origin=origin), origins)[1] == status


@given(st.binary(max_size=300))
def test_no_bytes_before_the_handshake_do_harm(data):
    frames = Frames()
    frames.feed(data)
    assert not frames.is_open


@given(st.lists(st.integers(0, 400), max_size=8))
def test_a_handshake_in_any_pieces(cuts):
    frames, whole = Frames(), upgrade()
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    for start, stop in pairwise(edges):
        frames.feed(whole[start:stop])
    assert frames.is_open


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TextMessage, BytesMessage])
def test_text_and_binary_are_both_taken_and_need_no_content_length(kind):
    frames, client = opened()
    data = SHORT.decode() if kind is TextMessage else SHORT
    assert frames.feed(bytes(client.send(kind(data=data)))) == [SHORT]


def test_the_fragments_of_a_message_are_one_message_and_a_ping_may_come_between():
    frames, client = opened()
    assert frames.feed(bytes(client.send(TextMessage(data="OPTIONS sip:a@b SIP", message_finished=False)))) == []
    assert frames.partial
    assert frames.in_body
    assert frames.feed(bytes(client.send(Ping(payload=b"you?")))) == []
    assert heard_by(client, frames) == [Pong(payload=b"you?")]
    assert frames.feed(bytes(client.send(TextMessage(data="/2.0\r\nCall-ID: x\r\n\r\n")))) == [SHORT]
    assert not frames.partial


def test_two_messages_in_one_read_are_two_in_order():
    frames, client = opened()
    both = b"".join(bytes(client.send(TextMessage(data=name))) for name in ("one", "two"))
    assert frames.feed(both) == [b"one", b"two"]


@pytest.mark.parametrize(("data", "items"), [("\r\n\r\n", [PING]), ("\r\n", []), ("\r\n" * 3, []), ("", [])])
def test_the_crlf_keep_alive_inside_a_websocket(data, items):
    """RFC 7118 §6: RFC 5626 §3.5.1 is usable here too."""
    frames, client = opened()
    assert frames.feed(bytes(client.send(TextMessage(data=data)))) == items
    assert not frames.broken


@pytest.mark.parametrize(
    ("data", "kind"), [(SHORT, TextMessage), ("Jörg".encode(), TextMessage), (b"\xff", BytesMessage)]
)
def test_what_is_utf8_goes_as_text_and_all_else_as_binary(data, kind):
    """RFC 7118 §4.2."""
    frames, client = opened()
    client.receive_data(frames.framed(data))
    (event,) = client.events()
    assert isinstance(event, kind)
    assert (event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)) == data


@pytest.mark.parametrize("piece", [MAX_MESSAGE + 1, 5000, 7])
def test_a_message_over_the_limit_ends_with_1009(piece):
    """RFC 6455 §7.4.1; however small its pieces are."""
    frames, client = opened()
    for sent in range(0, MAX_MESSAGE + 1, piece):
        assert not frames.broken, sent
        frames.feed(bytes(client.send(BytesMessage(data=b"x" * piece, message_finished=False))))
    assert (frames.broken, frames.why) == (True, "bad_framing")
    assert heard_by(client, frames)[-1].code == 1009  # type: ignore[attr-defined]  # or the comparison fails


@pytest.mark.parametrize(
    ("begin", "small"),
    [
        (b"", b"\x89\x80\0\0\0\0"),  # pings
        (b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"),  # fragments with nothing in them
        (b"", b"\x81\x84\0\0\0\0abcd"),  # messages that are none
    ],
)
def test_small_frames_by_the_thousand_end_it(begin, small):
    """Each costs as much as a message: of 16 KiB full of them nobody else would have a turn for a tenth of a second."""
    frames, _ = opened()
    frames.feed(begin + small * 20)
    assert not frames.broken
    items = frames.feed(small * 2700)
    assert (frames.broken, frames.why) == (True, "bad_framing")
    assert len(items) <= MOST_SMALL


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01x", 1002),  # not masked (RFC 6455 §5.1)
        (b"\x83\x80\0\0\0\0", 1002),  # an opcode that is none
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit: no extension was agreed
        (b"\x80\x80\0\0\0\0", 1002),  # goes on with nothing
        (b"\x09\x80\0\0\0\0", 1002),  # a fragment of a ping
        (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),  # a long ping
        (b"\x81\xff\x80\0\0\0\0\0\0\x01\0\0\0\0", 1002),  # 2^63 bytes to come
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),  # text that is not UTF-8
    ],
)
def test_frames_that_break_the_protocol_end_the_websocket(data, code):
    frames, client = opened()
    assert frames.feed(data) == []
    assert (frames.broken, frames.why) == (True, "bad_framing")
    assert heard_by(client, frames)[-1].code == code  # type: ignore[attr-defined]


def test_a_close_is_answered_with_its_code_and_nothing_is_sent_afterwards():
    frames, client = opened()
    frames.feed(bytes(client.send(CloseConnection(code=1001, reason="the page was left"))))
    assert (frames.broken, frames.why, frames.is_open) == (True, "closed", False)
    (event,) = heard_by(client, frames)
    assert isinstance(event, CloseConnection)
    assert event.code == 1001
    assert frames.framed(SHORT) == b""


@given(st.binary(max_size=400))
def test_no_bytes_after_the_handshake_do_harm(data):
    frames, _ = opened()
    for start in range(0, len(data), 7):
        frames.feed(data[start : start + 7])
        if frames.broken:
            break


# --- over a stream, on the virtual clock --------------------------------------------------------


class Served:
    """A WebSocketFlow over a memory stream; `peer` is the far end."""

    def __init__(self, nursery: trio.Nursery, heard: Heard | None = None) -> None:
        self.heard = heard or Heard()
        self.connections = Connections()
        self.connections.on_failed = Failed()
        self.flow = WebSocketFlow(PEER, "192.0.2.1:80", Hop("WS", "192.0.2.1", 80), self.connections)
        self.connections.enter(self.flow, accepted=True)
        self.ours, self.peer = trio.testing.memory_stream_pair()
        self.ended = trio.Event()
        nursery.start_soon(self.converse)

    async def opening(self):
        await trio.lowlevel.checkpoint()
        return self.ours, None

    async def converse(self) -> None:
        await self.flow.converse(self.opening, self.heard)
        self.ended.set()

    async def shake_hands(self) -> Client:
        await self.peer.send_all(upgrade())
        assert (await self.peer.receive_some()).startswith(b"HTTP/1.1 101 ")
        return Client(ConnectionType.CLIENT)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", upgrade()[:-1]])
async def test_a_handshake_has_ten_seconds_from_the_connection_on(nursery, autojump_clock, sent):
    one = Served(nursery)
    if sent:
        await one.peer.send_all(sent)
    began = trio.current_time()
    await one.ended.wait()
    assert one.flow.why == "slow_client"
    assert trio.current_time() - began == pytest.approx(PATIENCE.head)


async def test_a_message_has_its_time_and_an_idle_websocket_more(nursery, autojump_clock):
    one, other = Served(nursery), Served(nursery)
    client = await one.shake_hands()
    await other.shake_hands()
    await one.peer.send_all(bytes(client.send(TextMessage(data="OPTIONS", message_finished=False))))
    began = trio.current_time()
    await one.ended.wait()
    assert one.flow.why == "slow_client"
    assert trio.current_time() - began == pytest.approx(PATIENCE.message)
    await other.ended.wait()
    assert other.flow.why == "idle"
    assert trio.current_time() - began == pytest.approx(PATIENCE.idle)


async def test_a_crlf_ping_is_answered_by_a_crlf(nursery, autojump_clock):
    one = Served(nursery)
    client = await one.shake_hands()
    await one.peer.send_all(bytes(client.send(TextMessage(data="\r\n\r\n"))))
    client.receive_data(bytes(await one.peer.receive_some()))
    assert list(client.events()) == [TextMessage(data="\r\n")]
    nursery.cancel_scope.cancel()


async def test_a_broken_message_does_not_end_the_websocket(nursery, autojump_clock):
    heard = Heard(lambda data, flow: flow.finish())  # type: ignore[attr-defined]  # what dispatch does with bad messages
    one = Served(nursery, heard)
    client = await one.shake_hands()
    for name in ("one", "two"):
        await one.peer.send_all(bytes(client.send(TextMessage(data=name))))
    await heard.count(2)
    assert not one.flow.closed
    nursery.cancel_scope.cancel()


async def test_nothing_is_sent_before_the_handshake(nursery, autojump_clock):
    one = Served(nursery)
    one.flow.send(SHORT)
    assert one.connections.dropped == 1
    await one.shake_hands()
    one.flow.send(SHORT)
    client = Client(ConnectionType.CLIENT)
    client.receive_data(bytes(await one.peer.receive_some()))
    assert list(client.events()) == [TextMessage(data=SHORT.decode())]
    nursery.cancel_scope.cancel()


# --- over sockets, with a client of others ------------------------------------------------------


def bound(receive=echo, host: str = "127.0.0.1", origins: frozenset[str] = frozenset()) -> WebSocketListener:
    connections = Connections(Room(per_source=1000))
    connections.on_failed = Failed()
    connections.origins = origins
    listener = WebSocketListener(Hop("WS", host, 0), receive, connections=connections)
    listener.bind()
    return listener


@asynccontextmanager
async def client_of(listener: WebSocketListener) -> AsyncIterator[WebSocketConnection]:
    """A client of trio-websocket's; the socket is closed whatever becomes of the WebSocket."""
    async with (
        trio.open_nursery() as reader,
        await trio.open_tcp_stream(listener.hop.host, listener.hop.port) as stream,
    ):
        yield await wrap_client_stream(reader, stream, "sip.example.com", "/", subprotocols=["sip"])
        reader.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_client_of_others_speaks_with_us(nursery, host):
    heard = Heard(echo)
    listener = bound(heard, host)
    await nursery.start(listener.run)
    with trio.fail_after(IN_TIME):
        async with client_of(listener) as ours:
            assert ours.subprotocol == "sip"
            await ours.send_message(SHORT.decode())
            assert await ours.get_message() == SHORT.decode()
            await ours.send_message(b"\xff" + SHORT)
            assert await ours.get_message() == b"\xff" + SHORT
            await ours.ping(b"there?")
            flow = heard.flows[0]
            assert flow.remote.transport == "WS"
            assert (flow.reliable, flow.needs_length) == (True, False)
            assert listener.flow_to(host, flow.remote.port) is flow
            with pytest.raises(Unreachable):
                listener.flow_to(host, 1)
    nursery.cancel_scope.cancel()


async def test_a_client_that_offers_no_sip_is_refused_with_words(nursery):
    listener = bound()
    await nursery.start(listener.run)
    with trio.fail_after(IN_TIME):
        async with await trio.open_tcp_stream("127.0.0.1", listener.hop.port) as ours:
            await ours.send_all(upgrade(Sec_WebSocket_Protocol=None))
            answer = b""
            while more := await ours.receive_some():
                answer += more
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b"\r\n\r\nSec-WebSocket-Protocol must offer sip\n")
    nursery.cancel_scope.cancel()


async def test_a_message_too_long_ends_with_1009_and_others_go_on(nursery):
    listener = bound()
    await nursery.start(listener.run)
    with trio.fail_after(IN_TIME):
        async with client_of(listener) as other:
            async with client_of(listener) as ours:
                await ours.send_message(b"x" * (MAX_MESSAGE + 1))
                with pytest.raises(ConnectionClosed) as end:
                    await ours.get_message()
                assert end.value.reason is not None
                assert end.value.reason.code == 1009
            await other.send_message("still here")
            assert await other.get_message() == "still here"
    nursery.cancel_scope.cancel()


async def test_the_network_never_opens_a_websocket(nursery):
    network = Flows()
    place = network.listen(Hop("WS", "127.0.0.1", 0))
    await nursery.start(network.run)
    with pytest.raises(Unreachable):
        network.to(place)
    assert network.known(place) is None
    nursery.cancel_scope.cancel()


async def test_a_browser_comes_by_wss_and_a_certificate_it_trusts(nursery, tmp_path):
    authority = Authority(tmp_path)
    flows = Flows(echo, tls=Tls(authority.files(authority.signed("sip.example.com"))))
    hop = flows.listen(Hop("WSS", "127.0.0.1", 0))
    await nursery.start(flows.run)
    context = ssl.create_default_context(cafile=str(authority.path))
    with trio.fail_after(IN_TIME):
        tcp = await trio.open_tcp_stream(hop.host, hop.port)
        async with (
            trio.open_nursery() as reader,
            trio.SSLStream(tcp, context, server_hostname="sip.example.com", https_compatible=True) as stream,
        ):
            ours = await wrap_client_stream(reader, stream, "sip.example.com", "/", subprotocols=["sip"])
            for text in ("one", "x" * 100_000):
                await ours.send_message(text)
                assert await ours.get_message() == text
            flow = next(iter(flows.connections._open))
            assert (flow.remote.transport, flow.reliable, flow.needs_length) == ("WSS", True, False)
            await ours.aclose(1000)
            reader.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def test_a_web_page_asked_for_by_mistake_is_told_what_this_is(nursery):
    listener = bound()
    await nursery.start(listener.run)
    with trio.fail_after(IN_TIME):
        async with await trio.open_tcp_stream("127.0.0.1", listener.hop.port) as ours:
            await ours.send_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            answer = b""
            while more := await ours.receive_some():
                answer += more
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Upgrade" in answer
    nursery.cancel_scope.cancel()
