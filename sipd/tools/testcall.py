"""One test call: two phones register, one calls the other, and what came of it in words."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import trio

from sipd.phone import Incoming, Ladder, NoWay, Phone, PhoneError, Times, Unanswered, reach

if TYPE_CHECKING:
    from sipd.hop import Hop
    from sipd.phone import Account, Call

RINGING: Final = 30.0
"""Seconds that a real phone may ring before we give up."""

EXPECTED: Final = {"yes": 200, "busy": 486, "none": 487}
"""What the caller hears when nothing comes between."""


class Plan(NamedTuple):
    """Who calls whom, through what, and how it is to go."""

    caller: Account
    callee: Account | None  # None: only call
    uri: str
    server: Hop
    to_server: Hop
    ring: float = 0.5
    answer: Literal["yes", "busy", "none"] = "yes"
    patience: float = 8.0

    @property
    def to(self) -> str:
        """Whom, in words."""
        return self.callee.aor if self.callee is not None else self.uri.removeprefix("sip:")


class Told(NamedTuple):
    """What came of it."""

    expected: bool
    outcome: str  # one word: answered, busy, unanswered, refused, failed
    status: int  # the final answer to the INVITE, or to what failed before it; 0: none
    verdict: str
    hints: tuple[str, ...] = ()
    call_id: str = ""
    seconds: float = 0.0  # from the INVITE to its final answer
    ladder: tuple[str, ...] = ()
    rungs: tuple[tuple[int, str, str, str], ...] = ()

    def plain(self) -> dict[str, object]:
        """The same as JSON can say it."""
        rungs = [{"ms": at, "from": begin, "to": end, "message": text} for at, begin, end, text in self.rungs]
        return {
            "expected": self.expected,
            "outcome": self.outcome,
            "status": self.status,
            "verdict": self.verdict,
            "hints": list(self.hints),
            "call_id": self.call_id,
            "answered_after_ms": round(self.seconds * 1000),
            "ladder": rungs,
        }


OUTCOMES: Final = {486: "busy", 600: "busy", 408: "unanswered", 480: "unanswered", 487: "unanswered"}
"""Final status -> the word for it; 2xx are answered, all else refused."""

HINTS: Final = {
    ("REGISTER", 401): "The password is not the right one. A new one: sipdctl user passwd {who}",
    ("REGISTER", 403): "The domain is not local, or somebody else may not register there. Look: sipdctl domain list",
    ("REGISTER", 404): "There is no such user. Add one: sipdctl user add {who}",
    ("REGISTER", 503): "The server is overloaded, or its database is away. Its log says which.",
    ("INVITE", 403): "The server does not let FROM call there.",
    ("INVITE", 404): "There is no such user. Who there is: sipdctl user list",
    ("INVITE", 407): "The password is not the right one. A new one: sipdctl user passwd {who}",
    ("INVITE", 408): "A phone was found and did not answer. Where it is registered: sipdctl ul show",
    ("INVITE", 480): "No phone is registered there now. Look: sipdctl ul show",
    ("INVITE", 482): "The call came back to where it had been: two users' scripts send it to each other?",
    ("INVITE", 500): "Something broke in the server, or in the phone it called. Its log says more.",
}
"""What failed, with what status -> what to try."""

SILENT: Final = (
    "Is sipd running? If not: sipd -D URL",
    "Does it listen elsewhere? Then say where: --server udp:HOST:PORT",
)


async def make_call(plan: Plan) -> Told:
    """Carry out the plan. Both phones are deregistered at the end, whatever happens."""
    ladder = Ladder()
    async with trio.open_nursery() as nursery:  # bounds the two phones
        try:
            told = await _converse(plan, ladder, nursery)
        except PhoneError as fault:
            told = _failed(plan, fault, _call_id(ladder))
        nursery.cancel_scope.cancel()
    columns = [plan.caller.aor, "sipd"] + ([plan.callee.aor] if plan.callee is not None else [])
    return told._replace(ladder=tuple(ladder.lines(columns)), rungs=tuple(ladder.rungs()))


async def _converse(plan: Plan, ladder: Ladder, nursery: trio.Nursery) -> Told:
    for server in dict.fromkeys((plan.server, plan.to_server)):
        await reach(server, plan.patience)
    ringing = plan.ring if plan.answer == "none" else max(RINGING, plan.ring + plan.patience)
    caller = Phone(
        plan.caller, plan.server, ladder, plan.caller.aor, times=Times(patience=plan.patience, ringing=ringing)
    )
    await nursery.start(caller.run)
    if plan.callee is None:
        return await _talk(plan, caller, None)
    callee = Phone(
        plan.callee,
        plan.to_server,
        ladder,
        plan.callee.aor,
        times=Times(patience=plan.patience),
        incoming=Incoming(plan.ring, {"yes": 200, "busy": 486, "none": 0}[plan.answer]),
    )
    await nursery.start(callee.run)
    try:
        await caller.register()
        await callee.register()
        return await _talk(plan, caller, callee)
    finally:
        with trio.CancelScope(shield=True):  # each phone has its patience
            for phone in (caller, callee):
                if phone.registered:
                    with suppress(PhoneError):
                        await phone.deregister()


async def _talk(plan: Plan, caller: Phone, callee: Phone | None) -> Told:
    """The call itself, and what is to be said of it."""
    call = await caller.call(plan.uri)
    rang = callee.calls.get(call.call_id) if callee is not None else None
    if callee is not None and rang is None:
        rang = next(iter(callee.calls.values()), None)  # a server between may have given it a Call-ID of its own
    acked = True
    if call.answered and rang is not None and rang.answered:
        with trio.move_on_after(plan.patience) as waiting:  # how long the ACK may take to the callee
            await rang.acked.wait()
        acked = not waiting.cancelled_caught
    if call.answered:
        await caller.hang_up(call)
    return _verdict(plan, call, rang, acked)


def _verdict(plan: Plan, call: Call, rang: Call | None, acked: bool) -> Told:
    after = _span(call.seconds)
    called = f"{plan.caller.aor} called {plan.to}:"
    outcome = "answered" if call.answered else OUTCOMES.get(call.status, "refused")
    said = Told(False, outcome, call.status, "", (), call.call_id, call.seconds)
    why = f"Why: sipdctl explain {call.call_id}"
    if call.status // 100 != EXPECTED[plan.answer] // 100 or (
        not call.answered and call.status != EXPECTED[plan.answer]
    ):
        hint = HINTS.get(("INVITE", call.status), "").format(who=plan.caller.aor)
        text = f"{called} {call.status} {call.reason} after {after}, where {EXPECTED[plan.answer]} was expected"
        return said._replace(verdict=text, hints=tuple(line for line in (hint, why) if line))
    if call.answered and plan.callee is not None and (rang is None or not rang.answered):
        text = f"{called} answered after {after}, but not by the test phone"
        hint = "Another phone of TO is registered, or a script answered. If that is meant: --only-call"
        return said._replace(verdict=text, hints=(hint, why))
    if not acked:
        text = f"{called} answered after {after}, but the ACK never came to the callee"
        hint = "Record-Route names an address where the server is not reached. Look at: sipdctl server show"
        return said._replace(verdict=text, hints=(hint, why))
    ends = {
        "answered": f"answered after {after}, hung up by the {'callee' if call.ended_by == 'them' else 'caller'}",
        "busy": f"busy after {after}",
        "unanswered": f"rang, was not answered, and was given up by the caller after {after}",
    }
    return said._replace(expected=True, verdict=f"{called} {ends[outcome]}")


def _failed(plan: Plan, fault: PhoneError, call_id: str) -> Told:
    """A request that came to nothing."""
    who = plan.caller.aor if plan.callee is None or plan.caller.aor in fault.text else plan.callee.aor
    hints = [HINTS[fault.method, fault.status].format(who=who)] if (fault.method, fault.status) in HINTS else []
    if isinstance(fault, NoWay | Unanswered) and not call_id:
        hints += SILENT
    if call_id:
        hints.append(f"Why: sipdctl explain {call_id}")
    text = f"{plan.caller.aor} could not call {plan.to}: {fault.text}"
    return Told(False, "failed", fault.status, text, tuple(hints), call_id)


def _call_id(ladder: Ladder) -> str:
    """The Call-ID of the INVITE, when it came so far."""
    return next((note.message.call_id for note in ladder.notes if note.text == "INVITE"), "")


def _span(seconds: float) -> str:
    return f"{round(seconds * 1000)} ms" if seconds < 10 else f"{seconds:.1f} s"
