"""All four machines beside an oracle written from the RFC's words (by_the_rfc.py), through random inputs and times.

After every step both have sent the same at the same times, told their user
the same, and are over at the same moment. Times are multiples of a tick, so
that they are equal to the last digit.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sipd.transaction.timers import TICKS, TimerValues
from tests.transaction.by_the_rfc import InviteClient, InviteServer, NonInviteClient, NonInviteServer, Times
from tests.transaction.scene import BRANCH, Scene, request, response

if TYPE_CHECKING:
    from sipd.transaction import ClientTransaction, ServerTransaction
    from tests.transaction.by_the_rfc import Sent, Transaction

TICK = 1 / TICKS
STATUSES = st.sampled_from([100, 180, 183, 199] * 3 + [200, 202, 299, 300, 302, 401, 486, 487, 503, 600, 603, 699])
PAUSES = st.sampled_from([1, 16, 32, 33, 64, 96, 256, 320, 2047, 2048]) | st.integers(1, 2200)  # ticks
VALUES = st.sampled_from([Times(), Times(), Times(0.25, 2.0, 5.0), Times(1.0, 4.0, 10.0), Times(0.5, 0.5, 0.5)])
SELDOM = st.sampled_from([False] * 7 + [True])
OFTEN = settings(max_examples=50, stateful_step_count=10, deadline=None)


class Twins(RuleBasedStateMachine):
    """What the four have in common: one transaction of ours, one of the oracle's, one clock."""

    ends_by_itself: ClassVar[frozenset[str]]  # in these states time alone is enough

    def __init__(self) -> None:
        super().__init__()
        self.sent: Sent = []
        self.told: list[object] = []
        self.theirs: Any  # a transaction of the oracle, each with inputs of its own
        self.method = ""

    def scene_of(self, *, reliable: bool, times: Times) -> Scene:
        self.scene = Scene(reliable=reliable)
        values = TimerValues(times.t1, times.t2, times.t4)
        self.scene.table.__init__(lambda: self.scene.now, values, 100)  # type: ignore[misc]
        return self.scene

    def all_of_theirs(self) -> list[Transaction]:
        return [self.theirs]

    def pass_time(self, until: float) -> None:
        """From alarm to alarm of theirs: a tick before one, and at it, both are the same."""
        while (first := min(self.all_of_theirs(), key=lambda one: one.next())).next() <= until:
            if first.next() - TICK > self.scene.now:
                self.scene.run(first.next() - TICK)
                self.compare()
            self.scene.run(first.next())
            while first.next() <= self.scene.now:
                first.ring()
                first = min(self.all_of_theirs(), key=lambda one: one.next())
            self.compare()
        self.scene.run(until)
        for one in self.all_of_theirs():
            one.now = until

    @rule(ticks=PAUSES)
    def wait(self, ticks: int) -> None:
        self.pass_time(self.scene.now + ticks * TICK)

    @invariant()
    def compare(self) -> None:
        if not hasattr(self, "scene"):
            return
        wire = self.scene.wire
        words = [data.split(b" ")[1 if data.startswith(b"SIP/2.0") else 0].decode() for data in wire.data]
        assert list(zip(wire.times, words, strict=True)) == self.sent
        assert self.scene.user.told == self.told
        alive = sum(one.state != "Terminated" for one in self.all_of_theirs())
        assert self.scene.table.servers + self.scene.table.clients == alive, "destroyed at once, and not before"

    def teardown(self) -> None:
        if not hasattr(self, "scene"):
            return
        self.pass_time(self.scene.now + 500)
        self.compare()
        assert self.theirs.state in {"Terminated", "Proceeding", "Trying"} - self.ends_by_itself
        assert len(self.scene.table.deadlines) == 0, "nothing is left in the queue"


class ClientTwins(Twins):
    ours: ClientTransaction

    @rule(status=STATUSES)
    def hear(self, status: int) -> None:
        if self.scene.table.client_for(response(status, self.method)) is self.ours:
            self.scene.hears(self.ours, status)
        self.theirs.hear(status)

    @rule(seldom=SELDOM)
    def transport_error(self, seldom: bool) -> None:
        if seldom:
            self.scene.table.flow_failed(self.scene.wire)
            self.theirs.transport_error()


class InviteClientTwins(ClientTwins):
    ends_by_itself = frozenset({"Trying"})  # Proceeding lasts until Timer C of the user (§16.6 step 11)

    @initialize(reliable=st.booleans(), times=VALUES)
    def begin(self, reliable: bool, times: Times) -> None:
        self.method = "INVITE"
        scene = self.scene_of(reliable=reliable, times=times)
        self.ours = scene.client("INVITE")
        self.theirs = InviteClient(scene.now, times, reliable, self.sent, self.told)
        self.theirs.begin()

    def all_of_theirs(self) -> list[Transaction]:
        return [self.theirs, *([self.theirs.cancelled] if self.theirs.cancelled else [])]

    @rule()
    def cancel(self) -> None:
        self.scene.table.cancel(self.ours)
        self.theirs.cancel()

    @rule(seldom=SELDOM)
    def transport_error(self, seldom: bool) -> None:
        super().transport_error(seldom)
        if seldom and self.theirs.cancelled:
            self.theirs.cancelled.transport_error()

    @rule(status=STATUSES)
    def hear_of_the_cancel(self, status: int) -> None:
        answer = response(status, "CANCEL")
        cancel = self.scene.table.client_for(answer)
        if cancel is not None:
            self.scene.table.receive_response(cancel, answer)
        if self.theirs.cancelled:
            self.theirs.cancelled.hear(status)

    @invariant()
    def one_final_is_told_and_after_a_2xx_only_more_of_them(self) -> None:
        if hasattr(self, "scene"):
            finals = [what for what in self.scene.user.told if not isinstance(what, int) or what >= 200]
            assert len(finals) <= 1 or all(isinstance(what, int) and 200 <= what < 300 for what in finals)

    @invariant()
    def every_refusal_told_was_acked(self) -> None:
        if hasattr(self, "scene"):
            refusals = [what for what in self.scene.user.told if isinstance(what, int) and what >= 300]
            assert self.scene.wire.methods.count("ACK") >= len(refusals)


class NonInviteClientTwins(ClientTwins):
    ends_by_itself = frozenset({"Trying", "Proceeding"})

    @initialize(reliable=st.booleans(), times=VALUES, method=st.sampled_from(["BYE", "REGISTER", "FOO"]))
    def begin(self, reliable: bool, times: Times, method: str) -> None:
        self.method = method
        scene = self.scene_of(reliable=reliable, times=times)
        self.ours = scene.client(method)
        self.theirs = NonInviteClient(scene.now, times, reliable, self.sent, self.told)
        self.theirs.begin(method)

    @rule()
    def cancel(self) -> None:
        self.scene.table.cancel(self.ours)  # only an INVITE can be (§9.1): nothing happens


class ServerTwins(Twins):
    ours: ServerTransaction
    ends_by_itself = frozenset()

    @rule(status=STATUSES)
    def answer(self, status: int) -> None:
        self.scene.answers(self.ours, status)
        self.theirs.answer(status)

    @rule()
    def again(self) -> None:
        repeated = request(self.method)
        if self.scene.table.server_for(repeated) is self.ours:
            self.scene.table.receive_again(self.ours, repeated)
        self.theirs.again()

    @rule()
    def transport_error(self) -> None:
        self.scene.table.flow_failed(self.scene.wire)  # RFC 6026 §8.8: a server stays


class InviteServerTwins(ServerTwins):
    @initialize(reliable=st.booleans(), times=VALUES)
    def begin(self, reliable: bool, times: Times) -> None:
        self.method = "INVITE"
        scene = self.scene_of(reliable=reliable, times=times)
        self.ours = scene.server("INVITE")
        self.theirs = InviteServer(scene.now, times, reliable, self.sent, self.told)
        self.theirs.begin()

    @rule()
    def ack(self) -> None:
        ack = request("ACK", BRANCH, ";tag=9")
        if self.scene.table.server_for(ack) is self.ours:
            self.scene.table.receive_again(self.ours, ack)
        self.theirs.ack()


class NonInviteServerTwins(ServerTwins):
    @initialize(reliable=st.booleans(), times=VALUES, method=st.sampled_from(["BYE", "REGISTER", "FOO"]))
    def begin(self, reliable: bool, times: Times, method: str) -> None:
        self.method = method
        scene = self.scene_of(reliable=reliable, times=times)
        self.ours = scene.server(method)
        self.theirs = NonInviteServer(scene.now, times, reliable, self.sent, self.told)
        self.theirs.begin()

    @rule()
    def give_up(self) -> None:
        self.scene.table.abandon(self.ours)
        self.theirs.give_up()


TestInviteClient = InviteClientTwins.TestCase
TestNonInviteClient = NonInviteClientTwins.TestCase
TestInviteServer = InviteServerTwins.TestCase
TestNonInviteServer = NonInviteServerTwins.TestCase
TestInviteClient.settings = TestNonInviteClient.settings = OFTEN
TestInviteServer.settings = TestNonInviteServer.settings = OFTEN

Step = tuple[str, dict[str, object]]


def wait(seconds: float) -> Step:
    return "wait", {"ticks": int(seconds * TICKS)}


def hear(status: int) -> Step:
    return "hear", {"status": status}


def answer(status: int) -> Step:
    return "answer", {"status": status}


FAILURE: Step = ("transport_error", {"seldom": True})
AGAIN: Step = ("again", {})

LIVES = [
    (InviteClientTwins, {}, [wait(0.7), hear(180), hear(200), hear(486), ("cancel", {}), FAILURE]),
    (NonInviteClientTwins, {"method": "BYE"}, [wait(0.7), wait(5), hear(100), hear(200), hear(404), FAILURE]),
    (InviteServerTwins, {}, [wait(0.7), answer(180), answer(200), answer(486), AGAIN, ("ack", {})]),
    (NonInviteServerTwins, {"method": "BYE"}, [wait(6), answer(100), answer(200), answer(404), AGAIN, ("give_up", {})]),
]


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize(("twins", "more", "steps"), LIVES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_life_of_three_steps(
    twins: type[Any], more: dict[str, object], steps: list[Step], reliable: bool
) -> None:
    for life in product(steps, repeat=3):
        both = twins()
        both.begin(reliable=reliable, times=Times(0.25, 2.0, 5.0), **more)  # D is not 64*T1 then
        for step, given in life:
            getattr(both, step)(**given)
            both.compare()
        both.teardown()
