"""TCP over the loopback, on the real clock."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from subprocess import PIPE

import pytest
import trio

from sipd.errors import SetupError
from sipd.hop import Hop
from sipd.message import PING
from sipd.net.addresses import Unreachable
from sipd.net.connections import Connections, Room
from sipd.net.listener import StreamListener
from sipd.net.stream import PONG
from tests.net.heard import IN_TIME, Failed, Heard, echo, message

ROOMY = Room(per_source=1000)


def bound(host: str = "127.0.0.1", receive=echo, room: Room = ROOMY, failed: Failed | None = None) -> StreamListener:
    connections = Connections(room)
    connections.on_failed = failed or Failed()
    listener = StreamListener(Hop("TCP", host, 0), receive, connections=connections)
    listener.bind()
    return listener


async def connected(listener: StreamListener) -> trio.SocketStream:
    return await trio.open_tcp_stream(listener.hop.host, listener.hop.port)


async def read(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    with trio.fail_after(IN_TIME):
        while len(data) < count:
            more = await stream.receive_some()
            assert more, "closed too early"
            data += more
    return data


async def closed(stream: trio.SocketStream) -> None:
    """Waits until the far end has closed the connection, in whichever way."""
    with trio.fail_after(IN_TIME):
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
    await stream.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_messages_go_back_by_the_connection_they_came_by(nursery, host):
    heard = Heard(echo)
    listener = bound(host, heard)
    await nursery.start(listener.run)
    async with await connected(listener) as ours:
        await ours.send_all(message("one") + message("two", b"body") + PING)
        assert await read(ours, len(message("one") + message("two", b"body")) + 2) == (
            message("one") + message("two", b"body") + PONG
        )
        flow = heard.flows[0]
        assert flow.remote == Hop("TCP", host, ours.socket.getsockname()[1])
        assert flow.sent_by == (f"[{host}]" if ":" in host else host) + f":{listener.hop.port}"
        assert flow.reliable
        assert listener.flow_to(host, flow.remote.port) is flow, "an accepted connection is used again"
    nursery.cancel_scope.cancel()


async def test_one_byte_at_a_time_is_the_same(nursery):
    heard = Heard(echo)
    listener = bound(receive=heard)
    await nursery.start(listener.run)
    async with await connected(listener) as ours:
        for byte in message("one", b"a body"):
            await ours.send_all(bytes([byte]))
        assert await read(ours, len(message("one", b"a body"))) == message("one", b"a body")
    nursery.cancel_scope.cancel()


async def test_a_reset_in_mid_message_is_told_and_harms_nobody(nursery):
    heard, failed = Heard(), Failed()
    listener = bound(receive=heard, failed=failed)
    await nursery.start(listener.run)
    async with await connected(listener) as other:
        ours = await connected(listener)
        await ours.send_all(message("one") + message("two")[:10])
        await heard.count(1)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await ours.aclose()
        await failed.count(1)
        assert failed.flows == heard.flows
        heard.flows[0].send(b"too late")
        await other.send_all(message("three"))
        await heard.count(2)
    nursery.cancel_scope.cancel()


async def test_300_connections_are_served(nursery):
    heard = Heard(echo)
    listener = bound(receive=heard)
    await nursery.start(listener.run)
    with ExitStack() as closing:
        streams = [await connected(listener) for _ in range(300)]
        for stream in streams:
            closing.callback(stream.socket.close)
        for number, stream in enumerate(streams):
            await stream.send_all(message(f"n{number}"))
        for number, stream in enumerate(streams):
            assert await read(stream, len(message(f"n{number}"))) == message(f"n{number}")
        assert len(listener.connections) == 300
    nursery.cancel_scope.cancel()


async def test_one_connection_too_many_is_closed_at_once(nursery):
    heard = Heard()
    listener = bound(receive=heard, room=Room(total=10, per_source=2))
    await nursery.start(listener.run)
    async with await connected(listener) as first, await connected(listener) as second:
        for stream in (first, second):
            await stream.send_all(message())
        await heard.count(2)
        await closed(await connected(listener))
        assert listener.connections.refused == 1
    nursery.cancel_scope.cancel()


async def test_a_peer_that_reads_nothing_is_closed_when_its_buffer_is_full(nursery):
    heard, failed = Heard(), Failed()
    listener = bound(receive=heard, failed=failed)
    await nursery.start(listener.run)
    ours = await connected(listener)
    await ours.send_all(message())
    await heard.count(1)
    (flow,) = heard.flows
    for _ in range(2000):
        flow.send(b"x" * 10000)
        if flow.closed:
            break
    assert flow.closed
    await failed.count(1)
    await closed(ours)
    nursery.cancel_scope.cancel()


async def test_much_data_arrives_whole_and_in_order(nursery):
    heard = Heard()
    listener = bound(receive=heard)
    await nursery.start(listener.run)
    async with await connected(listener) as ours:
        await ours.send_all(message())
        await heard.count(1)
        expected = b""
        for number in range(200):
            piece = b"%06d" % number * 2000
            expected += piece
            heard.flows[0].send(piece)
            assert await read(ours, len(piece)) == piece
    nursery.cancel_scope.cancel()


async def test_we_open_what_is_not_open_and_use_it_again(nursery):
    ours, theirs = bound(receive=Heard()), bound(receive=Heard(echo))
    await nursery.start(ours.run)
    await nursery.start(theirs.run)
    flow = ours.flow_to("127.0.0.1", theirs.hop.port)
    flow.send(message("one"))
    flow.send(message("two"))
    assert ours.flow_to("127.0.0.1", theirs.hop.port) is flow
    assert isinstance(ours.receive, Heard)
    await ours.receive.count(2)
    assert ours.receive.items == [message("one"), message("two")]
    assert ours.receive.flows == [flow, flow]
    assert flow.sent_by == ours.sent_by
    nursery.cancel_scope.cancel()


async def test_a_connection_asked_for_before_run_is_opened_by_run(nursery):
    ours, theirs = bound(receive=Heard()), bound()
    await nursery.start(theirs.run)
    ours.flow_to("127.0.0.1", theirs.hop.port).send(message())
    await nursery.start(ours.run)
    assert isinstance(ours.receive, Heard)
    await ours.receive.count(1)
    nursery.cancel_scope.cancel()


async def test_a_closed_port_is_told_as_failed(nursery):
    failed = Failed()
    listener, gone = bound(failed=failed), bound()
    gone.close()
    await nursery.start(listener.run)
    flow = listener.flow_to("127.0.0.1", gone.hop.port)
    flow.send(message())
    assert not flow.closed, "nothing happens within send"
    await failed.count(1)
    assert failed.flows == [flow]
    assert (flow.closed, flow.why) == (True, "no_connection")
    nursery.cancel_scope.cancel()


async def test_no_connection_is_opened_when_there_are_too_many(nursery):
    listener = bound(room=Room(total=1))
    await nursery.start(listener.run)
    listener.flow_to("127.0.0.1", 9)
    with pytest.raises(Unreachable):
        listener.flow_to("127.0.0.2", 9)
    nursery.cancel_scope.cancel()


def test_a_port_in_use_is_named():
    first = bound()
    with pytest.raises(SetupError, match=f"{first.hop} is in use"):
        StreamListener(first.hop).bind()
    first.close()


async def test_the_port_can_be_had_again_at_once(nursery):
    listener = bound()
    async with trio.open_nursery() as inner:
        await inner.start(listener.run)
        ours = await connected(listener)
        await ours.send_all(message())
        await read(ours, len(message()))
        inner.cancel_scope.cancel()
    again = StreamListener(listener.hop)
    again.bind()
    again.close()
    await ours.aclose()


async def test_closing_stops_accepting_and_leaves_connections_open():
    listener = bound()
    async with trio.open_nursery() as nursery:
        await nursery.start(listener.run)
        async with await connected(listener) as ours:
            await ours.send_all(message())
            await read(ours, len(message()))
            listener.close()
            await ours.send_all(message())
            await read(ours, len(message()))
            with pytest.raises(OSError, match="all attempts"):
                await connected(listener)
            await ours.send_all(b"OPTIONS without an end")
            await ours.send_eof()
            nursery.cancel_scope.cancel()


STARVED = """
import resource, sys, time, trio
from sipd.hop import Hop
from sipd.net.connections import Connections, Room
from sipd.net.listener import StreamListener
from sipd.net.udp import UdpListener

def echo(data, flow):
    flow.send(data)

def event(name, remote, why):
    if name == "descriptors_used_up":
        events.append(why)

async def main():
    connections = Connections(Room(per_source=1000))
    connections.on_event = event
    tcp = StreamListener(Hop("TCP", "127.0.0.1", 0), echo, connections=connections)
    udp = UdpListener(Hop("UDP", "127.0.0.1", 0), echo)
    tcp.bind()
    udp.bind()
    async with trio.open_nursery() as nursery:
        await nursery.start(tcp.run)
        await nursery.start(udp.run)
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
        print(tcp.hop.port, udp.hop.port, flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        print(len(events), time.process_time(), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        nursery.cancel_scope.cancel()

events = []
trio.run(main)
"""


async def read_line(stream: trio.abc.ReceiveStream) -> list[str]:
    data = b""
    with trio.fail_after(IN_TIME):
        while not data.endswith(b"\n"):
            more = await stream.receive_some()
            assert more, "the server has gone"
            data += more
    return data.decode().split()


@asynccontextmanager
async def starved():
    """A server with 30 descriptors in a process of its own."""
    async with trio.open_nursery() as nursery:
        command = [sys.executable, "-c", STARVED]
        server = await nursery.start(partial(trio.run_process, command, stdin=PIPE, stdout=PIPE))
        yield server
        await server.stdin.aclose()


async def test_used_up_descriptors_pause_accepting_and_nothing_else():
    async with starved() as server:
        tcp, udp = map(int, await read_line(server.stdout))
        streams = [await trio.open_tcp_stream("127.0.0.1", tcp) for _ in range(40)]
        await streams[0].send_all(message("served"))
        assert await read(streams[0], len(message("served"))) == message("served")
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours, trio.fail_after(IN_TIME):
            await ours.connect(("127.0.0.1", udp))
            await ours.send(message("datagram"))
            assert await ours.recv(2000) == message("datagram")
        await server.stdin.send_all(b"\n")
        pauses, seconds = await read_line(server.stdout)
        assert int(pauses) >= 1
        assert float(seconds) < 5, "no spinning"
        for stream in streams[:39]:
            await stream.aclose()
        await streams[39].send_all(message("late"))
        assert await read(streams[39], len(message("late"))) == message("late")
        await streams[39].aclose()
