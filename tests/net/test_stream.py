"""One connection over a memory stream, on a virtual clock."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipd.hop import Hop
from sipd.message import PING
from sipd.net.connections import Connections
from sipd.net.stream import MAX_WAITING, PATIENCE, PONG, StreamFlow
from tests.net.heard import Failed, Heard, echo, message

PEER = Hop("TCP", "192.0.2.7", 49152)
NEAR = Hop("TCP", "192.0.2.1", 5060)


AnyStream = trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]


class Connected:
    """A connection over a memory stream: `peer` is the far end of it."""

    def __init__(self, nursery: trio.Nursery, receive=None, pair=trio.testing.memory_stream_pair) -> None:
        self.heard = Heard(receive)
        self.failed = Failed()
        self.events: list[tuple[str, str]] = []
        self.connections = Connections()
        self.connections.on_failed = self.failed
        self.connections.on_event = lambda event, remote, why: self.events.append((event, why))
        self.flow = StreamFlow(PEER, "192.0.2.1:5060", NEAR, self.connections)
        self.connections.enter(self.flow, accepted=True)
        self.ours: AnyStream
        self.peer: AnyStream
        self.ours, self.peer = pair()
        self.ended = trio.Event()
        nursery.start_soon(self.converse)

    async def opening(self):
        await trio.lowlevel.checkpoint()
        return self.ours, None

    async def converse(self) -> None:
        await self.flow.converse(self.opening, self.heard)
        self.ended.set()

    async def end(self) -> str:
        """Waits until the connection is over; why it is."""
        await self.ended.wait()
        assert self.flow.closed
        assert self.failed.flows == [self.flow], "told once"
        assert len(self.connections) == 0
        return self.flow.why


async def receive_exactly(stream: trio.abc.ReceiveStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some()
    return data


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 250), max_size=6))
def test_any_split_gives_the_same_messages_in_order(cuts):
    sent = [message("one"), message("two", b"body\r\n\r\n"), message("three")]
    stream = b"".join(sent)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            one = Connected(nursery)
            edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
            for start, stop in pairwise(edges):
                if start < stop:
                    await one.peer.send_all(stream[start:stop])
                    await trio.testing.wait_all_tasks_blocked()
            assert one.heard.items == sent
            assert all(flow is one.flow for flow in one.heard.flows)
            nursery.cancel_scope.cancel()

    trio.run(main)


async def test_a_ping_is_answered_and_other_line_ends_are_skipped(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(PING + b"\r\n" + message())
    assert await receive_exactly(one.peer, 2) == PONG
    await one.heard.count(1)
    assert one.heard.items == [message()]
    nursery.cancel_scope.cancel()


async def test_of_a_thousand_pings_in_a_row_one_is_answered(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(PING * 1000 + message() + PING)
    await one.heard.count(1)
    await trio.testing.wait_all_tasks_blocked()
    assert await one.peer.receive_some() == PONG * 2
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (b"O", PATIENCE.head),
        (b"OPTIONS sip:a@b SIP/2.0\r\nFrom: <sip:a", PATIENCE.head),
        (message("one", b"x" * 10)[:-1], PATIENCE.message),
        (message("one") + b"O", PATIENCE.head),
    ],
    ids=["first byte", "head", "body", "second message"],
)
async def test_a_peer_that_is_slow_within_a_message_is_closed(nursery, autojump_clock, data, seconds):
    one = Connected(nursery)
    await one.peer.send_all(data)
    began = trio.current_time()
    assert await one.end() == "slow_client"
    assert trio.current_time() - began == pytest.approx(seconds)
    assert one.events == [("connection_closed", "slow_client")]


async def test_a_byte_now_and_then_does_not_hold_the_head_timer(nursery, autojump_clock):
    one = Connected(nursery)

    async def drip() -> None:
        for byte in message():
            await one.peer.send_all(bytes([byte]))
            await trio.sleep(1)

    began = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await drip()
    assert await one.end() == "slow_client"
    assert trio.current_time() - began == pytest.approx(PATIENCE.head, abs=1.1)


async def test_honest_peers_are_left_alone_for_900_seconds_after_each_message(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(message())
    await trio.sleep(840)
    await one.peer.send_all(PING)
    await trio.sleep(840)
    assert not one.flow.closed
    assert await one.end() == "idle"
    assert trio.current_time() == pytest.approx(840 + PATIENCE.idle)


async def test_a_connection_with_a_live_binding_may_idle(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(message())
    await one.heard.count(1)
    one.flow.pin()
    await trio.sleep(5000)
    assert not one.flow.closed
    one.flow.pin(False)
    assert await one.end() == "idle"
    assert trio.current_time() == pytest.approx(5000 + PATIENCE.idle)


async def test_who_was_told_to_show_signs_of_life_is_gone_without_them(nursery, autojump_clock):
    """RFC 5626 §4.4: after more than the time he was told; a ping is one."""
    one = Connected(nursery)
    await one.peer.send_all(message())
    await one.heard.count(1)
    one.flow.pin(True, 120)
    for _ in range(5):
        await trio.sleep(110)
        await one.peer.send_all(PING)
    assert await one.end() == "idle"
    assert trio.current_time() == pytest.approx(5 * 110 + 120)


async def test_pinning_does_not_forgive_half_a_message(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(b"OPTIONS")
    await trio.sleep(1)
    one.flow.pin()
    assert await one.end() == "slow_client"
    assert trio.current_time() == pytest.approx(PATIENCE.head)


async def test_what_can_not_be_framed_is_answered_then_closed(nursery, autojump_clock):
    one = Connected(nursery, lambda data, flow: flow.send(b"SIP/2.0 400 Bad Request\r\n\r\n"))
    await one.peer.send_all(message() + b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: bad\r\n\r\n" + message("never"))
    assert await receive_exactly(one.peer, 54) == b"SIP/2.0 400 Bad Request\r\n\r\n" * 2
    assert await one.peer.receive_some() == b""
    await one.peer.aclose()
    assert await one.end() == "bad_framing"
    assert len(one.heard.items) == 2


async def test_a_peer_that_does_not_leave_after_bad_framing_is_left(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
    assert await one.end() == "bad_framing"
    assert trio.current_time() == pytest.approx(PATIENCE.goodbye)


ANSWERS = [b"SIP/2.0 100 Trying\r\n\r\n", b"SIP/2.0 180 Ringing\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"]


async def test_after_a_half_close_answers_are_still_sent(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(message())
    await one.peer.send_eof()
    await one.heard.count(1)
    for seconds, answer in enumerate(ANSWERS, 5):
        await trio.sleep(seconds)
        assert one.connections.find(PEER) is None, "no new request goes there"
        one.flow.send(answer)
        assert await receive_exactly(one.peer, len(answer)) == answer
    assert await one.end() == "ended"
    assert trio.current_time() == pytest.approx(5 + 6 + 7), "over with the last final response"


async def test_after_a_half_close_answers_have_32_seconds(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(message("one") + message("two"))
    await one.peer.send_eof()
    await one.heard.count(2)
    one.flow.send(ANSWERS[2])
    assert await one.end() == "ended"
    assert trio.current_time() == pytest.approx(PATIENCE.half_closed)


@pytest.mark.parametrize("data", [b"", b"ACK" + message()[7:], b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"])
async def test_a_close_when_no_answer_is_owed_ends_at_once(nursery, autojump_clock, data):
    one = Connected(nursery)
    await one.peer.send_all(data)
    await one.peer.send_eof()
    assert await one.end() == "ended"
    assert trio.current_time() == 0
    assert len(one.heard.items) == bool(data)


async def test_a_close_after_the_answer_ends_at_once(nursery, autojump_clock):
    one = Connected(nursery, lambda data, flow: flow.send(ANSWERS[2]))
    await one.peer.send_all(message())
    await one.peer.send_eof()
    assert await one.end() == "ended"
    assert trio.current_time() == 0
    assert await one.peer.receive_some() == ANSWERS[2]


async def test_a_reset_in_mid_message_ends_the_connection_and_nothing_else(nursery, autojump_clock):
    one = Connected(nursery)
    await one.peer.send_all(message("one") + message("two")[:20])
    await one.heard.count(1)
    await one.ours.receive_stream.aclose()
    await one.peer.aclose()
    assert await one.end() == "reset"
    one.flow.send(b"too late")
    assert one.connections.dropped == 1


async def test_a_peer_that_reads_nothing_is_closed_by_bytes(nursery, autojump_clock):
    one = Connected(nursery, pair=trio.testing.lockstep_stream_pair)  # takes nothing until it is read
    await trio.testing.wait_all_tasks_blocked()
    piece = b"x" * 10000
    sent = 0
    while not one.flow.closed:
        one.flow.send(piece)
        sent += len(piece)
    assert MAX_WAITING < sent <= MAX_WAITING + len(piece)
    assert await one.end() == "slow_client"
    assert one.connections.dropped == 1


async def test_a_peer_that_reads_nothing_is_closed_by_time(nursery, autojump_clock):
    one = Connected(nursery, pair=trio.testing.lockstep_stream_pair)
    await trio.testing.wait_all_tasks_blocked()
    one.flow.send(b"answer")
    assert await one.end() == "slow_client"
    assert trio.current_time() == pytest.approx(PATIENCE.stuck)


async def test_order_is_kept_when_the_peer_is_slow(nursery, autojump_clock):
    one = Connected(nursery, echo)
    sent = b"".join(message(f"n{number}") for number in range(300))
    nursery.start_soon(one.peer.send_all, sent)
    got = b""
    while len(got) < len(sent):
        got += await one.peer.receive_some(777)
        await trio.sleep(0.01)
    assert got == sent
    nursery.cancel_scope.cancel()


async def test_what_is_sent_while_opening_goes_out_once_open(nursery, autojump_clock):
    one = Connected(nursery)
    one.flow.send(b"first ")
    one.flow.send(b"second")
    assert await receive_exactly(one.peer, 12) == b"first second"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("accepted", "why"), [(True, "slow_handshake"), (False, "no_connection")])
async def test_opening_may_take_ten_seconds(nursery, autojump_clock, accepted, why):
    one = Connected(nursery)
    one.flow.was_accepted = accepted

    async def never():
        await trio.sleep_forever()

    one.opening = never  # type: ignore[method-assign]
    assert await one.end() == why
    assert trio.current_time() == pytest.approx(PATIENCE.connect)


async def test_closing_from_within_receive_stops_the_reading(nursery, autojump_clock):
    one = Connected(nursery, lambda data, flow: flow.close("unwanted"))
    await one.peer.send_all(message("one") + message("two"))
    assert await one.end() == "unwanted"
    assert one.heard.items == [message("one")]


async def test_the_tap_sees_both_directions(nursery, autojump_clock):
    one = Connected(nursery, echo)
    seen: list[tuple[str, bytes]] = []
    one.connections.tap = lambda direction, flow, data: seen.append((direction, data))
    await one.peer.send_all(message())
    await one.heard.count(1)
    assert seen == [("in", message()), ("out", message())]
    nursery.cancel_scope.cancel()


async def test_a_shutdown_ends_the_connection(autojump_clock):
    async with trio.open_nursery() as nursery:
        one = Connected(nursery)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert one.flow.why == "shutdown"
    assert one.flow.closed
