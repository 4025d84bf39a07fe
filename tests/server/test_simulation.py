"""What `simulate` predicts is what the server does: calls at random, through both (SCRIPTING §1.4).

`python -m tests.server.test_simulation FIRST LAST` runs as many as you like.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trio
import trio.testing

from sipd.core.behaviour import Behaviours
from sipd.core.simulated import SimulatedCall, SimulatedHouse
from sipd.cpl import compile
from sipd.message import Request, Response, parse_uri
from sipd.rows import Settings
from sipd.script import Log
from sipd.server.simulation import simulate
from tests.server.made_up import USERS, aor, made_up
from tests.server.phones import DOMAIN, WALL, Phone, World, open_world

if TYPE_CHECKING:
    from sipd.core.behaviour import Behaviour
    from sipd.core.simulated import Simulated
    from tests.server.made_up import MadeUp

Ring = tuple[str, list[float]]
"""Who was rung, and when; then when he was cancelled."""

CASES = 300
LONGEST = 3000.0
"""Seconds, of the virtual clock, after which every call has ended."""

BATCH = 25


class Came(NamedTuple):
    """What came of a call, as both tell it."""

    status: int
    reason: str
    contacts: tuple[str, ...]
    rung: tuple[str, ...]  # in their order
    cancelled: tuple[str, ...]  # sorted
    logged: tuple[tuple[str, str, str], ...]
    times: tuple[float, ...]  # of the final response, of each that was rung, of each that was cancelled


class ScriptedPhone(Phone):
    """A phone that does one thing after another, each at its time."""

    def __init__(self, world: World, uri: str, row: tuple[Behaviour, ...], rung: list[Ring]) -> None:
        parsed = parse_uri(uri)
        super().__init__(world, parsed.user or "", parsed.host)
        self.row = row
        self.rung = rung
        self.calls: dict[str, list[float]] = {}  # by branch: when it was rung, and cancelled
        self.invites: dict[str, Request] = {}
        self.over: set[str] = set()

    def react(self, request: Request, flow) -> None:
        branch = request.via.param("branch") or ""
        if request.method == "CANCEL":
            self.reply(request, flow, 200)
            if len(self.calls[branch]) == 1:
                self.calls[branch].append(trio.current_time())
            self.end(branch, self.invites[branch], flow, 487, ())
        elif request.method == "INVITE" and branch not in self.calls:
            behaviour = self.row[min(len(self.calls), len(self.row) - 1)]
            self.calls[branch] = [trio.current_time()]
            self.rung.append((self.uri, self.calls[branch]))
            self.invites[branch] = request
            if behaviour.silent:
                return
            if behaviour.rings:
                self.reply(request, flow, 180)
            if behaviour.status and not behaviour.after:
                self.end(branch, request, flow, behaviour.status, behaviour.contacts)
            elif behaviour.status:
                self.world.nursery.start_soon(self.later, branch, request, flow, behaviour)

    async def later(self, branch: str, request: Request, flow, behaviour: Behaviour) -> None:
        await trio.sleep(behaviour.after)
        self.end(branch, request, flow, behaviour.status, behaviour.contacts)

    def end(self, branch: str, request: Request, flow, status: int, contacts) -> None:
        if branch not in self.over:
            self.over.add(branch)
            said = (f"<{self.uri}>",) if status < 300 else contacts
            self.reply(request, flow, status, tuple(("Contact", contact) for contact in said))


async def served(call: MadeUp) -> Came:
    """The call through a whole server."""
    async with trio.open_nursery() as nursery:
        world = await open_world(nursery, *USERS, **call.settings)
        rung: list[Ring] = []
        for uri, row in call.phones.items():
            ScriptedPhone(world, uri, row, rung)
        world.bind_again(call.bindings)
        for owner, text in call.scripts.items():
            world.script(owner, text.decode())
        caller = world.phone("caller", host="10.0.9.9")
        start = trio.current_time()
        caller.send(caller.request("INVITE", call.called, from_uri=call.caller, headers=call.headers))
        await trio.sleep(LONGEST)
        ended = [(seen.at, seen.message) for seen in caller.seen if isinstance(seen.message, Response)]
        at, final = next((at, message) for at, message in ended if message.status >= 200)
        cancelled = sorted((uri, times[1] - start) for uri, times in rung if times[1:])
        logged = []
        for owner in call.scripts:
            logged += [(owner, line.name, line.comment) for line in await world.store.script_log(owner)]
        faults = world.house.counters.faults
        nursery.cancel_scope.cancel()
    assert faults == 0, "something broke behind the door"
    return Came(
        final.status,
        final.reason,
        tuple(final.values("Contact")) if final.status >= 300 else (),
        tuple(uri for uri, _ in rung),
        tuple(uri for uri, _ in cancelled),
        tuple(logged),
        (at - start, *(times[0] - start for _, times in rung), *(at for _, at in cancelled)),
    )


def simulated(call: MadeUp) -> Simulated:
    """The call as it is simulated."""
    registered = {aor(name): [b for b in call.bindings if b.aor == aor(name)] for name in USERS}
    programs = {owner: compile(text) for owner, text in call.scripts.items()}
    settings = Settings(auth="none")._replace(**call.settings)
    house = SimulatedHouse({DOMAIN: DOMAIN}, registered, programs, settings, complete=True)
    proven = call.caller.removeprefix("sip:") if call.caller.endswith(f"@{DOMAIN}") else ""
    at = datetime.fromtimestamp(WALL, UTC)
    made = SimulatedCall(call.caller, call.called, call.called, at, call.headers, proven)
    behaviours = Behaviours(tuple((parse_uri(uri), row) for uri, row in call.phones.items()))
    return simulate(house, made, behaviours)


def predicted(call: MadeUp) -> Came:
    """The same as what comes of it."""
    told = simulated(call)
    rung = [each for group in told.rounds for each in group.rung]
    rung.sort(key=lambda each: each.order)
    gone = [
        (each.uri, each.cancelled_at)
        for each in rung
        if each.cancelled_at is not None and each.heard and each.status == 487
    ]
    cancelled = sorted((uri, at) for uri, at in gone)
    lines = [
        (each.owner, each.effect.name, each.effect.comment) for each in told.written if isinstance(each.effect, Log)
    ]
    logged = [line for owner in call.scripts for line in lines if line[0] == owner]
    return Came(
        told.status,
        told.reason,
        told.contacts,
        tuple(each.uri for each in rung),
        tuple(uri for uri, _ in cancelled),
        tuple(logged),
        (told.at, *(each.at for each in rung), *(at for _, at in cancelled)),
    )


def difference(seed: int) -> str:
    """What the two tell differently of the call of that number; empty: nothing."""
    call = made_up(seed)
    expected = predicted(call)
    clock = trio.testing.MockClock(autojump_threshold=0)
    came = trio.run(served, call, clock=clock)
    if came[:-1] == expected[:-1] and came.times == pytest.approx(expected.times, abs=0.2):
        return ""
    return f"case {seed}\n{call}\nserved    {came}\npredicted {expected}"


@pytest.mark.parametrize("first", range(0, CASES, BATCH))
def test_what_is_predicted_is_what_the_server_does(first: int) -> None:
    for seed in range(first, first + BATCH):
        found = difference(seed)
        assert not found, found


def test_the_calls_at_random_meet_with_everything() -> None:
    told = [simulated(made_up(seed)) for seed in range(CASES)]
    outcomes = Counter(group.outcome for each in told for group in each.rounds)
    assert all(outcomes[name] >= 10 for name in ("", "busy", "noanswer", "redirection", "failure")), outcomes
    orderings = Counter(group.ordering for each in told for group in each.rounds)
    assert all(orderings[name] >= 20 for name in ("by priority", "parallel", "sequential", "first-only")), orderings
    assert sum(len(each.rounds) >= 3 for each in told) >= 20
    assert sum(len(each.ran) >= 2 for each in told) >= 20
    assert sum(bool(each.written) for each in told) >= 10
    assert {2, 3, 4, 5, 6} == {each.status // 100 for each in told}


if __name__ == "__main__":
    different = 0
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        found = difference(number)
        if found:
            different += 1
            print(found, flush=True)
    print(f"{different} different")
