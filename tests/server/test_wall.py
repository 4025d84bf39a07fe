"""The machine's clock is set on or back by a day: phones stay registered for as long as they were granted (T109)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sipd.log import EventLog
from sipd.rows import Binding, PutBinding
from sipd.server.wall import BACK, ON, WallClock
from sipd.store import MemoryStore
from tests.server.phones import DOMAIN, SERVER, WALL, open_world
from tests.server.test_authentication import HOME, challenged, registering

if TYPE_CHECKING:
    from sipd.message import Request

DAY = 86400.0
ALICE = f"alice@{DOMAIN}"


@dataclass
class Machine:
    """A clock that is set at will; `away` seconds pass between a look at it and one at the monotonic clock."""

    real: float = WALL
    elapsed: float = 1000.0
    away: float = 0.0
    jumps: list[float] = field(default_factory=list)

    def pass_by(self, seconds: float) -> None:
        self.real += seconds
        self.elapsed += seconds

    def look(self) -> float:
        seen = self.real
        self.pass_by(self.away)
        self.away = 0.0
        return seen

    def clock(self) -> WallClock:
        return WallClock(self.look, lambda: self.elapsed, self.jumps.append)


@pytest.mark.parametrize("jump", [DAY, -DAY, ON + 1, -BACK - 1, 1e10, -1.7e9])
def test_a_jump_is_none_for_us(jump):
    machine = Machine()
    clock = machine.clock()
    machine.pass_by(100)
    machine.real += jump
    assert clock() == pytest.approx(WALL + 100)
    machine.pass_by(50)
    assert clock() == pytest.approx(WALL + 150)
    assert machine.jumps == [pytest.approx(jump)], "heard once"
    assert clock.ahead == pytest.approx(jump)
    machine.real -= jump
    assert clock() == pytest.approx(WALL + 150)
    assert clock.ahead == pytest.approx(0, abs=1e-3), "and set right again"


@pytest.mark.parametrize("step", [ON - 1, -BACK + 1, 0.001])
def test_small_corrections_are_followed(step):
    machine = Machine()
    clock = machine.clock()
    machine.real += step
    assert clock() == pytest.approx(WALL + step)
    assert machine.jumps == []


@pytest.mark.parametrize("away", [DAY, BACK + 5])
def test_a_process_that_stood_still_between_two_looks_sees_no_jump(away):
    machine = Machine()
    clock = machine.clock()
    machine.away = away
    assert clock() == pytest.approx(WALL + away)
    assert (machine.jumps, clock.ahead) == ([], 0)


@given(steps=st.lists(st.tuples(st.floats(0, 1e5), st.floats(-1e6, 1e6)), max_size=20))
def test_our_reckoning_never_leaves_real_time_by_more_than_what_is_followed(steps):
    machine = Machine()
    clock = machine.clock()
    followed = 0.0
    for passed, jump in steps:
        machine.pass_by(passed)
        machine.real += jump
        if -BACK <= jump <= ON:
            followed += abs(jump)
        assert abs(clock() - (WALL + machine.elapsed - 1000.0)) <= followed + 1
    assert len(machine.jumps) <= len(steps)


def register(phone, cseq: int, call_id: str = "reg") -> Request:
    made: Request = phone.request(
        "REGISTER", HOME, to=f"sip:{ALICE}", cseq=cseq, call_id=call_id, headers=(("Expires", "600"),)
    )
    return made


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_registration_ends_when_it_would_have(nursery, autojump_clock, monkeypatch, jump):
    world = await open_world(nursery, "alice", "bob")
    lines: list[str] = []
    monkeypatch.setattr("sipd.server.startup.LOG", EventLog(lines.append))
    alice, bob = world.phone("alice", "rings answers"), world.phone("bob")
    alice.send(register(alice, 1))
    await alice.status(200)
    await trio.sleep(100)
    world.set_clock(jump)
    bob.send(bob.request("INVITE", f"sip:{ALICE}", call_id="one"))
    await bob.status(200)
    await trio.sleep(30)  # the sweep has looked
    assert [round(binding.expires_at - WALL) for binding in world.cache.bindings(ALICE)] == [600]
    bob.send(bob.request("INVITE", f"sip:{ALICE}", call_id="two"))
    await bob.until(lambda: len(bob.responses(200)) == 2)
    alice.send(register(alice, 2))
    await alice.until(lambda: len(alice.responses(200)) == 2)
    answer = alice.responses(200)[1]
    assert ";expires=600" in answer.values("Contact")[0]
    assert answer.values("Date")[0].startswith("Wed, 15 Nov 2023" if jump > 0 else "Mon, 13 Nov 2023"), (
        "the machine's date"
    )
    await trio.sleep(610)
    assert world.cache.bindings(ALICE) == (), "and not a day later"
    bob.send(bob.request("INVITE", f"sip:{ALICE}", call_id="three"))
    await bob.status(480)
    assert len(lines) == 1
    assert f"event=clock_set seconds={jump:+.0f} " in lines[0]


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_nonces_stay_good(nursery, autojump_clock, jump):
    world = await open_world(nursery, "alice", auth="digest")
    alice = world.phone("alice")
    await trio.sleep(10)
    challenge = await challenged(alice)
    world.set_clock(jump)
    alice.send(registering(alice, challenge, count=1))
    await alice.until(lambda: alice.statuses("REGISTER") == [401, 200])
    challenge = await challenged(alice)
    alice.send(registering(alice, challenge, count=1))
    await alice.until(lambda: alice.statuses("REGISTER") == [401, 200, 401, 200])


async def test_a_script_has_the_time_of_the_machine(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob")
    alice, bob = world.phone("alice", "rings answers"), world.phone("bob")
    world.bind(ALICE, alice)
    world.script(ALICE, SCRIPT)
    bob.send(bob.request("INVITE", f"sip:{ALICE}", call_id="one"))
    await bob.status(200)
    world.set_clock(DAY)
    bob.send(bob.request("INVITE", f"sip:{ALICE}", call_id="two"))
    await bob.status(486)


SCRIPT = """<?xml version="1.0"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><time-switch tzid="UTC">
<time dtstart="20231115T000000Z" duration="P1D"><reject status="busy"/></time>
</time-switch></incoming></cpl>"""


async def test_after_a_start_with_a_clock_set_back_nothing_lives_longer_than_it_was_granted(nursery, autojump_clock):
    store = MemoryStore()
    first = await open_world(nursery, "alice", store=store, wall=WALL)
    phone = first.phone("alice")
    first.put(
        PutBinding(Binding(ALICE, phone.uri, expires_at=WALL + DAY + 600, refreshed_at=WALL + DAY)),
        PutBinding(Binding(ALICE, "sip:other@192.0.2.1", expires_at=WALL + 300, refreshed_at=WALL - 10)),
    )
    second = await open_world(nursery, store=store, beside=first, at=SERVER._replace(host="10.0.0.9"))
    await trio.sleep(1)
    assert [round(binding.expires_at - WALL) for binding in second.cache.bindings(ALICE)] == [600, 300]
