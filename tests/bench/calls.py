"""What a whole call costs in process, on a network in memory: with a script and without, by CPU and by count.

Sockets and the kernel are left out, and with them most of their noise. The
count is of what Python's profiler hears (calls and returns, of functions of C
too) from the code of sipd, on a clock that stands still, so that no timer of
an earlier call is among it: the same in each run, and a change of one shows.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import trio
import trio.testing

from sipd.rows import Binding, PutBinding
from tests.bench.scenarios import SCRIPT_RFC
from tests.bench.steady import CONTACT, ECHOED, ROUTE, TO
from tests.running import REPOSITORY
from tests.server.phones import DOMAIN, SERVER, WALL, World, open_world

if TYPE_CHECKING:
    from types import FrameType

    from sipd.hop import Flow

SDP: Final = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 8\r\n"
CALLER: Final = "10.0.1.1"
CALLED: Final = "10.0.1.2"
OURS: Final = str(REPOSITORY / "sipd")

SCRIPTS: Final[dict[str, str]] = {"no script": "", "script": SCRIPT_RFC}


class Cost(NamedTuple):
    """Of one call."""

    us: float
    events: int
    by_function: Counter[str]


class Phones:
    """A caller and a called phone that read no more of a message than they must."""

    def __init__(self, world: World) -> None:
        self._caller = world.network.listener("UDP", CALLER, 5060, self._answered)
        self._called = world.network.listener("UDP", CALLED, 5060, self._rung)
        self._flow = self._caller.flow_to(SERVER.host, SERVER.port)
        self._serial = 0
        self._to_make = 0
        self.over = trio.Event()

    def make(self, calls: int) -> None:
        """So many, one after the other; sets `over` after the last."""
        self._to_make = calls
        self.over = trio.Event()
        self._invite()

    def _ask(self, method: str, uri: bytes, to: bytes, more: bytes, body: bytes = b"") -> None:
        self._flow.send(
            b"%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\n"
            b"From: <sip:alice@example.com>;tag=t%d\r\nTo: %s\r\nCall-ID: call-%d@10.0.1.1\r\nCSeq: %d %s\r\n"
            b"%sContent-Length: %d\r\n\r\n%s"
            % (method.encode(), uri, method.encode(), self._serial, self._serial, to, self._serial,
               2 if method == "BYE" else 1, method.encode(), more, len(body), body)
        )  # fmt: skip

    def _invite(self) -> None:
        if self._to_make == 0:
            self.over.set()
            return
        self._to_make -= 1
        self._serial += 1
        more = b"Contact: <sip:alice@10.0.1.1:5060>\r\nContent-Type: application/sdp\r\n"
        bob = f"sip:bob@{DOMAIN}".encode()
        self._ask("INVITE", bob, b"<%s>" % bob, more, SDP)

    def _answered(self, data: bytes, flow: Flow) -> None:
        if data.startswith(b"SIP/2.0 1"):
            return
        assert data.startswith(b"SIP/2.0 200"), data.decode()
        if b" BYE\r\n" in data:
            self._invite()
            return
        contact, to = CONTACT.search(data), TO.search(data)
        assert contact is not None
        assert to is not None
        routes = b"".join(b"Route: %s\r\n" % route for route in reversed(ROUTE.findall(data)))
        value = to[0].partition(b":")[2].strip()
        self._ask("ACK", contact[1], value, routes)
        self._ask("BYE", contact[1], value, routes)

    def _rung(self, data: bytes, flow: Flow) -> None:
        if data.startswith(b"ACK"):
            return
        head = b"\r\n".join(ECHOED.findall(data))
        if data.startswith(b"BYE"):
            flow.send(b"SIP/2.0 200 OK\r\n%s\r\nContent-Length: 0\r\n\r\n" % head)
            return
        head = TO.sub(lambda line: line[0].rstrip() + b";tag=called\r\n", head + b"\r\n").rstrip()
        head += b"\r\nContact: <sip:bob@10.0.1.2:5060>"
        flow.send(b"SIP/2.0 180 Ringing\r\n%s\r\nContent-Length: 0\r\n\r\n" % head)
        flow.send(b"SIP/2.0 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (head, len(SDP), SDP))


class Counted:
    """Counts the profiler's events of our own code, by function, while it is entered."""

    def __init__(self) -> None:
        self.by_function: Counter[str] = Counter()

    def __enter__(self) -> Counted:
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(OURS):
            self.by_function[f"{code.co_filename[len(OURS) + 1 :]}:{code.co_qualname}"] += 1


async def _open(nursery: trio.Nursery, script: str) -> tuple[World, Phones]:
    """A server with bob, his phone and his script, that has had some calls already."""
    world = await open_world(nursery, "alice", "bob", max_request_rate=0, max_transactions=200_000)
    phones = Phones(world)
    bound = Binding(aor=f"bob@{DOMAIN}", uri=f"sip:bob@{CALLED}:5060", q=1000, expires_at=WALL + 1e6)
    world.put(PutBinding(bound))
    if script:
        world.script(bound.aor, script)
    phones.make(200)
    await phones.over.wait()
    return world, phones


async def _time(calls: int, rounds: int) -> dict[str, float]:
    """The best of the rounds, in microseconds a call."""
    best = dict.fromkeys(SCRIPTS, float("inf"))
    async with trio.open_nursery() as nursery:
        opened = {name: await _open(nursery, script) for name, script in SCRIPTS.items()}
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):  # one after the other, so that what else runs here disturbs all alike
                for name, (_, phones) in opened.items():
                    phones.make(calls)
                    began = time.process_time()
                    await phones.over.wait()
                    best[name] = min(best[name], 1e6 * (time.process_time() - began) / calls)
        finally:
            gc.enable()
        nursery.cancel_scope.cancel()
    return best


async def _count(script: str, calls: int = 20) -> Counter[str]:
    async with trio.open_nursery() as nursery:
        world, phones = await _open(nursery, script)
        with Counted() as counted:
            phones.make(calls)
            await phones.over.wait()
        assert world.house.counters.faults == 0
        nursery.cancel_scope.cancel()
    return Counter({name: round(count / calls) for name, count in counted.by_function.items()})


def costs(*, calls: int = 100, rounds: int = 30) -> dict[str, Cost]:
    """By the words of SCRIPTS."""
    best = trio.run(_time, calls, rounds)
    found = {}
    for name, script in SCRIPTS.items():
        count = trio.run(_count, script, clock=trio.testing.MockClock())
        found[name] = Cost(best[name], count.total(), count)
    return found


def table() -> str:
    """A line for each, and what the script adds, function by function."""
    found = costs()
    plain = found["no script"]
    lines = [f"{'one call in memory':<24}{'us':>8}{'ratio':>8}{'events':>9}{'ratio':>8}"]
    for name, cost in found.items():
        ratio = f"{cost.us / plain.us:>8.3f}{cost.events:>9}{cost.events / plain.events:>8.3f}"
        lines.append(f"{name:<24}{cost.us:>8.1f}{ratio}")
    for name, cost in found.items():
        more = {key: cost.by_function[key] - plain.by_function[key] for key in {*cost.by_function, *plain.by_function}}
        for key, count in sorted(more.items(), key=lambda item: -abs(item[1])):
            if count:
                lines.append(f"    {name}: {count:+4} {key}")
    return "\n".join(lines)
