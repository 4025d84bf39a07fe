from __future__ import annotations

import socket
from contextlib import closing
from struct import pack

import pytest
import trio

from sipd.errors import SetupError
from sipd.hop import Hop
from sipd.net import udp
from sipd.net.addresses import Unreachable, family_of
from sipd.net.udp import HELD, MAX_REFUSALS, MAX_TURN, MAX_WAITING, UdpListener
from sipd.recent import Recent
from tests.net.heard import Failed, Heard, echo, message


def bound(host: str = "127.0.0.1", receive=echo) -> UdpListener:
    listener = UdpListener(Hop("UDP", host, 0), receive)
    listener.bind()
    return listener


def phone(listener: UdpListener) -> socket.socket:
    made = socket.socket(listener.family, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.connect((listener.hop.host, listener.hop.port))
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_what_comes_in_goes_back_by_its_flow(nursery, host):
    heard = Heard(echo)
    listener = bound(host, heard)
    await nursery.start(listener.run)
    with closing(phone(listener)) as ours:
        ours.send(message())
        await heard.count(1)
        assert await trio.socket.from_stdlib_socket(ours).recv(2000) == message()
        (flow,) = heard.flows
        assert flow.remote == Hop("UDP", host, ours.getsockname()[1])
        assert flow.sent_by == (f"[{host}]" if ":" in host else host) + f":{listener.hop.port}"
        assert (flow.reliable, flow.closed) == (False, False)
        assert listener.flow_to(flow.remote.host, flow.remote.port) is flow, "one Flow per far end"
    nursery.cancel_scope.cancel()


async def test_the_greatest_datagram_is_taken_whole(nursery):
    """65,535 bytes with the heads of IP and UDP (RFC 3261 §18.1.1)."""
    heard = Heard(echo)
    listener = bound("127.0.0.1", heard)
    await nursery.start(listener.run)
    greatest = message(body=b"x" * 65000)
    greatest += b"y" * (65507 - len(greatest))
    with closing(phone(listener)) as ours:
        ours.send(greatest)
        await heard.count(1)
        assert await trio.socket.from_stdlib_socket(ours).recv(70000) == greatest
    nursery.cancel_scope.cancel()


class Steps(trio.abc.Instrument):
    """How many messages each step of any task has taken."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard
        self.taken: list[int] = []
        self.before = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.before = len(self.heard.items)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken.append(len(self.heard.items) - self.before)


async def test_at_most_64_datagrams_are_taken_in_a_turn(nursery):
    heard = Heard()
    listener = bound(receive=heard)
    with closing(phone(listener)) as ours:
        for number in range(1000):
            ours.send(message(f"n{number}"))
    steps = Steps(heard)
    trio.lowlevel.add_instrument(steps)
    await nursery.start(listener.run)
    await heard.count(1000)
    trio.lowlevel.remove_instrument(steps)
    assert heard.items == [message(f"n{number}") for number in range(1000)]
    assert max(steps.taken) == MAX_TURN
    nursery.cancel_scope.cancel()


async def test_a_turn_ends_early_when_datagrams_take_long(nursery, monkeypatch):
    """T122: other tasks wait for a few datagrams at most, whatever these call for."""
    now = [0.0]
    monkeypatch.setattr(udp, "monotonic", lambda: now[0])

    def slow(data: bytes, flow) -> None:
        now[0] += 0.002

    heard = Heard(slow)
    listener = bound(receive=heard)
    with closing(phone(listener)) as ours:
        for number in range(100):
            ours.send(message(f"n{number}"))
    steps = Steps(heard)
    trio.lowlevel.add_instrument(steps)
    await nursery.start(listener.run)
    await heard.count(100)
    trio.lowlevel.remove_instrument(steps)
    assert max(steps.taken) == HELD
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0" * 40, b"\r\n" * 30, b"hello", b"jaK\0\r\n"])
async def test_keep_alives_are_not_messages(nursery, data):
    heard = Heard()
    listener = bound(receive=heard)
    await nursery.start(listener.run)
    with closing(phone(listener)) as ours:
        ours.send(data)
        ours.send(message())
    await heard.count(1)
    assert heard.items == [message()]
    nursery.cancel_scope.cancel()


def test_a_port_in_use_is_named_and_so_is_what_to_do():
    first = bound()
    with pytest.raises(SetupError, match=str(first.hop)) as refused:
        UdpListener(first.hop).bind()
    assert "in use" in refused.value.text
    assert refused.value.hint
    first.close()
    again = UdpListener(first.hop)
    again.bind()
    again.close()


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(SetupError, match="not an address of this machine"):
        UdpListener(Hop("UDP", "198.51.100.1", 5060)).bind()


def test_a_wildcard_names_a_concrete_address_in_sent_by():
    wild = bound("0.0.0.0")
    assert not wild.sent_by.startswith("0.0.0.0")
    assert wild.flow_to("192.0.2.7", 5060).sent_by == wild.sent_by
    wild.close()
    named = UdpListener(Hop("UDP", "0.0.0.0", 0), sent_by_host="sip.example.com")
    named.bind()
    assert named.sent_by == f"sip.example.com:{named.hop.port}"
    named.close()


def test_both_families_can_have_the_same_port():
    first = bound("::")
    second = UdpListener(Hop("UDP", "0.0.0.0", first.hop.port))
    second.bind()
    second.close()
    first.close()


def test_what_the_kernel_refuses_is_told():
    failed = Failed()
    listener = bound()
    listener.on_failed = failed
    flow = listener.flow_to("127.0.0.1", 9)
    flow.send(b"x" * 70000)
    assert failed.flows == [flow]
    assert listener.failures == 1
    listener.close()
    assert flow.closed


@pytest.mark.parametrize("host", ["224.0.0.1", "0.0.0.0", "example.com"])
def test_only_one_machine_is_sent_to(host):
    listener = bound()
    with pytest.raises(Unreachable):
        listener.flow_to(host, 5060)
    listener.close()


def test_two_spellings_are_one_far_end():
    listener = bound("::1")
    assert listener.flow_to("0:0:0::1", 5060) is listener.flow_to("::1", 5060)
    listener.close()


def test_the_flows_kept_are_bounded():
    listener = bound()
    listener._flows = Recent(10)
    for port in range(1, 101):
        listener.flow_to("127.0.0.1", port)
    assert len(listener._flows) <= 20
    listener.close()


class FullSocket:
    """Stands for a kernel that takes nothing for a while: loopback never fills a UDP send buffer."""

    def __init__(self) -> None:
        self.is_full = True
        self.taken: list[bytes] = []

    def sendto(self, data: bytes, address: object) -> int:
        if self.is_full:
            raise BlockingIOError
        self.taken.append(data)
        return len(data)


async def test_what_the_kernel_does_not_take_now_waits_and_is_bounded(nursery):
    listener = bound()
    flow, kernel = listener.flow_to("127.0.0.1", 9), FullSocket()
    flow._sendto = kernel.sendto
    for number in range(MAX_WAITING + 5):
        flow.send(b"%d" % number)
    assert listener.dropped == 5
    kernel.is_full = False
    await nursery.start(listener.run)
    with trio.fail_after(5):
        while len(kernel.taken) < MAX_WAITING:
            await trio.lowlevel.checkpoint()
    assert kernel.taken == [b"%d" % number for number in range(MAX_WAITING)]
    nursery.cancel_scope.cancel()


async def test_the_kernel_counts_what_it_lost(nursery):
    listener = bound()
    assert listener.lost_in_kernel() == 0
    with closing(phone(listener)) as ours:
        for _ in range(40000):
            ours.send(b"x" * 1400)
            if listener._socket is not None and listener.lost_in_kernel():
                break
        assert listener.lost_in_kernel() > 0
    listener.close()
    assert listener.lost_in_kernel() == 0


async def test_the_tap_sees_both_directions(nursery):
    seen: list[tuple[str, bytes]] = []
    heard = Heard(echo)
    listener = bound(receive=heard)
    listener.tap = lambda direction, flow, data: seen.append((direction, data))
    await nursery.start(listener.run)
    with closing(phone(listener)) as ours:
        ours.send(message())
        await heard.count(1)
    assert seen == [("in", message()), ("out", message())]
    nursery.cancel_scope.cancel()


async def test_cancelling_gives_the_port_back():
    listener = bound()
    async with trio.open_nursery() as nursery:
        await nursery.start(listener.run)
        nursery.cancel_scope.cancel()
    again = UdpListener(listener.hop)
    again.bind()
    again.close()


async def test_closing_ends_the_run(nursery):
    listener = bound()
    await nursery.start(listener.run)
    listener.close()


# --- ICMP and STUN ------------------------------------------------------------------------------


def dead_port(host: str) -> int:
    """A port that nobody listens on: it was free a moment ago."""
    with closing(socket.socket(family_of(host), socket.SOCK_DGRAM)) as tried:
        tried.bind((host, 0))
        return int(tried.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_where_nobody_is_fails_its_flow_at_once_and_no_other(nursery, host):
    """RFC 3261 §18.4: what ICMP says is told to those it concerns."""
    failed = Failed()
    listener = bound(host, Heard())
    listener.on_failed = failed
    await nursery.start(listener.run)
    with closing(phone(listener)) as ours:
        alive = listener.flow_to(host, ours.getsockname()[1])
        dead = listener.flow_to(host, dead_port(host))
        dead.send(message("one"))
        alive.send(message("two"))  # the socket has an error by now, of another datagram
        await failed.count(1)
        assert failed.flows == [dead]
        assert await trio.socket.from_stdlib_socket(ours).recv(2000) == message("two")
        assert (dead.closed, alive.closed) == (False, False), "a datagram flow can be tried again"
    nursery.cancel_scope.cancel()


async def test_a_response_that_did_not_arrive_fails_nobodys_request(nursery):
    """A caller who has hung up his socket is no reason to give up a request to the same address."""
    failed, heard = Failed(), Heard()
    listener = bound(receive=heard)
    listener.on_failed = failed
    await nursery.start(listener.run)
    gone, dead = (listener.flow_to("127.0.0.1", dead_port("127.0.0.1")) for _ in range(2))
    gone.send(b"SIP/2.0 200 OK\r\n\r\n")
    dead.send(message())
    await failed.count(1)
    assert failed.flows == [dead]
    nursery.cancel_scope.cancel()


async def test_errors_that_wait_do_not_keep_the_listener_busy(nursery):
    listener = bound()
    failed = Failed()
    listener.on_failed = failed
    await nursery.start(listener.run)
    steps = Steps(Heard())
    for _ in range(5):
        listener.flow_to("127.0.0.1", dead_port("127.0.0.1")).send(message())
    await failed.count(5)
    trio.lowlevel.add_instrument(steps)
    with trio.move_on_after(0.2):
        await trio.sleep_forever()
    trio.lowlevel.remove_instrument(steps)
    assert len(steps.taken) < 20
    nursery.cancel_scope.cancel()


async def test_forged_icmp_can_fail_only_so_many_flows_in_a_second(nursery):
    listener = bound()
    failed = Failed()
    listener.on_failed = failed
    for _ in range(MAX_REFUSALS + 20):
        listener.flow_to("127.0.0.1", dead_port("127.0.0.1")).send(message())
    listener.read_errors()
    listener.read_errors()
    assert len(failed.flows) == MAX_REFUSALS
    listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_stun_is_answered_on_the_port_of_sip_and_goes_no_further(nursery, host):
    """RFC 5626 §8."""
    heard = Heard(echo)
    listener = bound(host, heard)
    await nursery.start(listener.run)
    binding = pack("!HHI12s", 1, 0, 0x2112A442, b"transaction!")
    with closing(phone(listener)) as ours:
        far = trio.socket.from_stdlib_socket(ours)
        ours.send(binding)
        answer = await far.recv(2000)
        assert answer[:2] == b"\1\1"
        assert answer[8:20] == b"transaction!"
        assert int.from_bytes(answer[26:28], "big") ^ 0x2112 == ours.getsockname()[1]
        ours.send(b"\0" + binding[:8] + b"what is this, in the end?")
        ours.send(message())
        assert await far.recv(2000) == message()
    assert heard.items == [message()]
    nursery.cancel_scope.cancel()


async def test_what_the_kernel_drops_is_said_once_a_second(nursery, autojump_clock):
    """T99. The virtual clock jumps to the next look: nothing here waits for the socket."""
    events: list[tuple[str, str]] = []
    listener = bound()
    listener.on_event = lambda event, hop, detail: events.append((event, detail))
    with closing(phone(listener)) as ours:
        sent = 0
        while listener.lost_in_kernel() < 10:
            ours.send(bytes(8000))
            sent += 1
            assert sent < 100_000
        nursery.start_soon(listener._count_losses)
        await trio.sleep(5.5)
    lost = listener.lost_in_kernel()
    assert events == [("datagrams_lost", f"n={lost} all={lost}")]
    listener.close()
    nursery.cancel_scope.cancel()
