"""One TLS connection as a stream, byte by byte, against OpenSSL itself at the other end."""

from __future__ import annotations

import _ssl
import ctypes
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sipd.net.base import StreamFault
from sipd.net.tls_stream import MOST_UNSENT, TlsStream
from tests.net.certificates import Authority
from tests.net.heard import IN_TIME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.signed("sip.example.com").chain)
    return server, ssl.create_default_context(cafile=authority.path)


@asynccontextmanager
async def connected(contexts) -> AsyncIterator[tuple[TlsStream, trio.SSLStream[trio.SocketStream]]]:
    """Our end, and a client by Trio's own means; the kernel keeps little between them."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        theirs = await trio.open_tcp_stream(*listening.getsockname())
        raw, _ = listening.accept()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours = TlsStream(raw, contexts[0], server_side=True)
    peer = trio.SSLStream(theirs, contexts[1], server_hostname="sip.example.com", https_compatible=True)
    with trio.fail_after(IN_TIME):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.handshake)
            await peer.do_handshake()
        try:
            yield ours, peer
        finally:
            ours.close()
            theirs.socket.close()


async def read(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some()
        assert more, "closed too early"
        data += more
    return data


async def test_what_was_encrypted_ahead_is_not_sent_twice(contexts):
    """As a connection uses it: what send_now does not take is given to send_all, in pieces of any size."""
    async with connected(contexts) as (ours, peer), trio.open_nursery() as nursery:
        pieces = [bytes([65 + number % 26]) * (7000 + number * 1000) for number in range(60)]
        whole = b"".join(pieces)
        refused = 0

        async def send() -> None:
            nonlocal refused
            for piece in pieces:
                taken = ours.send_now(piece)
                refused += not taken
                rest = piece[taken:]
                while rest:
                    await ours.send_all(rest[:5000])
                    rest = rest[5000:]

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await read(peer, len(whole)) == whole
        assert refused > 5, "the kernel took it all: nothing was tested"


async def test_while_something_waits_nothing_is_taken(contexts):
    async with connected(contexts) as (ours, peer):
        sent = 50_000
        while ours.send_now(b"x" * 50_000):
            sent += 50_000
        assert ours.send_now(b"y") == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.send_all, b"x" * 50_000)
            nursery.start_soon(read, peer, sent)
        await ours.wait_send_all_might_not_block()
        assert ours.send_now(b"z") == 1


async def test_after_saying_goodbye_what_comes_is_thrown_away(contexts):
    """RFC 5923 §8.3."""
    async with connected(contexts) as (ours, peer):
        await ours.send_eof()
        assert await peer.receive_some() == b""
        await peer.transport_stream.send_all(b"whatever")
        await peer.transport_stream.send_eof()
        assert await ours.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(b"more")


async def test_closing_is_said_and_ends_those_who_wait(contexts):
    async with connected(contexts) as (ours, peer):
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await ours.receive_some()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await ours.aclose()
        assert await peer.receive_some() == b""
        with pytest.raises(trio.ClosedResourceError):
            await ours.send_all(b"more")
        await ours.aclose()


async def test_bytes_that_are_no_tls_break_it_with_a_reason(contexts):
    async with connected(contexts) as (ours, peer):
        await peer.transport_stream.send_all(b"OPTIONS sip:a@example.com SIP/2.0\r\n\r\n")
        with pytest.raises(StreamFault, match="TLS failed: the peer does not speak TLS"):
            await ours.receive_some()


async def test_a_reset_breaks_it(contexts):
    async with connected(contexts) as (ours, peer):
        peer.transport_stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await trio.aclose_forcefully(peer)
        with pytest.raises(trio.BrokenResourceError):
            await ours.receive_some()


async def test_waiting_for_room_ends_when_there_is_some(contexts):
    async with connected(contexts) as (ours, _):
        await ours.wait_send_all_might_not_block()
        assert ours.send_now(b"x") == 1


def ask_for_new_keys(client: ssl.SSLObject) -> None:
    """What OpenSSL can and Python's ssl does not offer: a KeyUpdate that wants one in return (RFC 8446 §4.6.3)."""
    openssl = ctypes.CDLL(_ssl.__file__)  # finds the symbols of what it is linked with
    inner = vars(client)["_sslobj"]
    handle = ctypes.c_void_p.from_address(id(inner) + 24)  # behind PyObject_HEAD and the pointer to the socket
    assert openssl.SSL_key_update(handle, 1) == 1
    openssl.SSL_do_handshake(handle)


async def test_a_peer_that_asks_for_keys_and_does_not_read_is_given_up(contexts):
    async with connected(contexts) as (ours, peer), trio.open_nursery() as nursery:

        async def ask() -> None:
            client, wire = peer._ssl_object, peer.transport_stream
            while True:
                for _ in range(500):
                    ask_for_new_keys(client)
                await wire.send_all(peer._outgoing.read())

        nursery.start_soon(ask)
        with pytest.raises(StreamFault, match="does not read"):
            await ours.receive_some()
        assert len(ours._unsent) < 2 * MOST_UNSENT
        nursery.cancel_scope.cancel()
