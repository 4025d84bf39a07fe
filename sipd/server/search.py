"""Finds one URI: asks policy, asks again when a row was missing, carries the answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.decision import Commit, Proxy, Respond, RunScript
from sipd.core.policy import decide
from sipd.core.tables import Missing
from sipd.errors import SipError
from sipd.server.answer import local_response, refusal
from sipd.server.fork import Fork
from sipd.server.runs import Run
from sipd.server.scripting import CplRun

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.message import Response
    from sipd.script import Facts
    from sipd.server.node import CallView, Node, Parent

ROUNDS: Final = 16
"""Missing rows that one search may load; each round learns a key, so more is a fault of ours."""


class Search:
    """One URI being found. Its child is the Fork or the script run that the decision asked for."""

    __slots__ = ("_call", "_cancelled", "_child", "_parent", "_records", "_rounds", "final", "inquiry")

    flow_failed: Final = False  # only a Branch has a flow

    def __init__(self, call: CallView, parent: Parent, inquiry: Inquiry) -> None:
        self._call = call
        self._parent = parent
        self.inquiry = inquiry
        self._child: Node | None = None
        self._records: list[Run] = []  # of the scripts that were asked
        self._rounds = 0
        self._cancelled = False
        self.final: Response | None = None

    def start(self) -> None:
        """Ask policy and carry its decision out."""
        house = self._call.house
        try:
            decision = decide(self.inquiry, house.tables)
            house.admission.apply(decision.marks, house.now(), self.inquiry.source.host)
        except SipError as fault:
            self.end(refusal(self._call.house.seal, self._call.request, fault))
        except Missing as missing:
            house.admission.apply(missing.marks, house.now(), self.inquiry.source.host)
            self.load(missing)
        else:
            self._call.request = self.inquiry.request  # credentials for us are off, which may have had to wait
            self.carry_out(decision)

    def load(self, missing: Missing) -> None:
        """Fetch the row, then ask again (§4 of the architecture: safe, as `decide` is pure)."""
        self._rounds += 1
        if self._rounds > ROUNDS:
            self.end(local_response(self._call.house.seal, self._call.request, 500))
            return
        self._call.load(missing, self.inquiry, self._loaded)

    def _loaded(self) -> None:
        if self.final is None:
            self.start()

    def carry_out(self, decision: Decision) -> None:
        """Do what was decided."""
        match decision:
            case Proxy():
                self.fork(decision)
            case RunScript():
                self._call.house.counters.scripts += 1
                self._child = CplRun(self._call, self, decision)
                self._child.start()
            case Respond():
                self.end(
                    local_response(
                        self._call.house.seal,
                        self._call.request,
                        decision.status,
                        decision.reason,
                        decision.headers,
                        decision.body,
                    )
                )
            case Commit():
                self._call.commit(decision)
            case _:  # a Relay is dispatch's own and never comes from a search inside a call
                self.end(local_response(self._call.house.seal, self._call.request, 500))

    def fork(self, decision: Proxy) -> None:
        """Ring these by q, as with no script or when a script leaves it to us."""
        self._child = Fork.by_q(self._call, self, self.inquiry, decision)
        self._child.start()

    def script_had_its_say(self, owner: str, direction: str) -> None:
        """The script chose nothing: ask again, with it among those consulted (RFC 3880 §10 a)."""
        self.inquiry = self.inquiry.toward(self.inquiry.uri, consulted=(owner, direction))
        self._child = None
        self.start()

    def record(self, facts: Facts) -> Run:
        """What is to be remembered of the script that runs now: its end is this search's."""
        house = self._call.house
        script = house.tables.script(facts.owner, "cpl")
        call_id = self._call.request.first("Call-ID") or ""
        run = Run(facts, 0 if script is None else script.version, call_id, self.inquiry.wall, house.now())
        house.runs.begin(run, house.tables.settings.script_traces)
        self._records.append(run)
        return run

    def cancel(self) -> None:
        """Cancel whatever is under way."""
        self._cancelled = True
        if self._child is not None:
            self._child.cancel()
        elif self.final is None:
            self.end(local_response(self._call.house.seal, self._call.request, 487))

    def release(self) -> None:
        """Let go of the child."""
        self._over(0)
        if self._child is not None:
            self._child.release()
            self._child = None

    def receive(self, child: Node, response: Response) -> None:
        """Whatever the child says goes up; its final is this search's."""
        if response.status >= 200 and self.final is None:
            self.final = response
            self._over(response.status)
        self._parent.receive(self, response)

    def end(self, response: Response) -> None:
        """End with a response of our own."""
        if self.final is None:
            self.final = response
            self._over(response.status)
            self._parent.receive(self, response)

    def _over(self, status: int) -> None:
        """That is what came of the scripts, if it is the first word; 0: nothing did."""
        if self._records:
            house = self._call.house
            for run in self._records:
                house.runs.end(run, status, house.now())
            self._records.clear()
