"""Runs a CPL generator over forks: its effects are carried out, their results sent back (RFC 3880 §6)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.core.location import looked_up
from sipd.core.response_context import best_of
from sipd.core.scripts import (
    ORDERS,
    by_policy,
    facts_of,
    in_order,
    log_line,
    may_ring,
    result_of,
    seconds_to_ring,
    who_answers_for,
)
from sipd.cpl.evaluate import evaluate
from sipd.cpl.nodes import MAX_LOGS, MAX_MAILS
from sipd.hop import Target
from sipd.message import q_to_text
from sipd.script import (
    Default,
    Log,
    Lookup,
    LookupResult,
    Mail,
    ProxyResult,
    ProxyTo,
    Redirect,
    Reject,
)
from sipd.server.answer import local_response
from sipd.server.fork import Fork
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Generator

    from sipd.core.decision import RunScript
    from sipd.core.inquiry import Inquiry
    from sipd.message import Response
    from sipd.script import Effect, Result
    from sipd.script import Final as End
    from sipd.server.node import Awaited, CallView, Node
    from sipd.server.search import Search

MOST_SAID: Final = 60
"""Characters of a reason phrase that a trace keeps."""


class CplRun:
    """One run of a user's script. Its forks are its children; the Search is its parent."""

    __slots__ = (
        "_answers",
        "_call",
        "_decision",
        "_detached",
        "_fetching",
        "_finals",
        "_fork",
        "_logs",
        "_mails",
        "_over",
        "_rang_at",
        "_record",
        "_recurse",
        "_result",
        "_running",
        "_script",
        "_search",
        "_timer",
        "_told",
        "final",
    )

    flow_failed: Final = False  # only a Branch has a flow

    def __init__(self, call: CallView, search: Search, decision: RunScript) -> None:
        self._call = call
        self._search = search
        self._decision = decision
        facts = facts_of(search.inquiry, decision)
        self._record = search.record(facts)  # what is remembered of it; all of it goes to the call's trace too
        self._told = 0  # how many of its steps are there
        self._script: Generator[Effect, Result, End] = evaluate(decision.program, facts, self._record.steps)
        self._fork: Fork | None = None
        self._detached: list[Fork] = []  # done with; only a late 2xx of theirs still counts
        self._timer: Awaited | None = None
        self._finals: list[Response] = []  # of the proxy operations done
        self._recurse = True
        self._rang_at = 0.0  # when the proxy operation under way began
        self._answers: str | None = None  # who answers for where a redirection of this proxy points
        self._running = False  # a node is being carried out: what it comes to at once is left in `_result`
        self._result: ProxyResult | None = None
        self._logs = self._mails = 0
        self._fetching: Awaited | None = None  # while a URI is asked
        self._over = False
        self.final: Response | None = None

    def start(self) -> None:
        """Run to the first proxy operation or to the end."""
        self._advance(None)

    def cancel(self) -> None:
        """The caller hung up: no output is taken any more."""
        if not self._over:
            self._record.goes_on(self._call.house.now())
            self._record.steps.append(Step("cancel", self._decision.owner, "nobody waits for an answer any more"))
            self._told = len(self._record.steps)  # the call's trace says it by itself
        self._over = True
        self._disarm()
        if self._fork is not None and self._fork.final is None:
            self._fork.cancel()
        elif self.final is None:
            self._up(local_response(self._call.house.seal, self._call.request, 487))

    def release(self) -> None:
        """Let go of the fork, and of those whose time was over."""
        self._over = True
        self._disarm()
        for fork in self._detached:
            fork.release()
        self._detached.clear()
        if self._fork is not None:
            self._fork.release()
            self._fork = None

    def receive(self, child: Node, response: Response) -> None:
        """A response of a fork: 1xx and 2xx go up, another final is an outcome for the script."""
        if child is not self._fork:  # detached, its time was over: only a 2xx still counts
            if 200 <= response.status < 300:
                self._over = True
                self._disarm()
                if self._fork is not None:
                    self._fork.cancel()
                self._up(response)
            elif response.status >= 300 and self._fork is not None:
                self._fork.widen(self._breadth_left())
            return
        if response.status < 200:
            self._search.receive(self, response)
        elif response.status < 300 or self._over:
            self._over = True
            self._disarm()
            self._up(response)
        else:
            self._finals.append(response)
            said = f"{response.status} {response.reason[:MOST_SAID]}"
            self._resume(result_of(response, recurse=self._recurse, owner=self._answers), said)

    # --- the generator -----------------------------------------------------------------------

    def _advance(self, result: Result) -> None:
        self._record.goes_on(self._call.house.now())
        self._running = True
        self._run(result)
        self._running = False

    def _run(self, result: Result) -> None:
        """Go on until something is waited for, or to the end; never in itself, however many end at once."""
        house = self._call.house
        while True:
            try:
                effect = self._script.send(result)
            except StopIteration as end:
                self._tell()
                self._end(end.value)
                return
            except Exception as fault:  # a broken CPL falls back to no script at all
                house.log.event("cpl_broken", owner=self._decision.owner, kind=type(fault).__name__, text=fault)
                self._tell()
                self._end(Default(None))
                return
            self._tell()
            match effect:
                case ProxyTo():
                    self._result = None  # not in `_proxy`: the checker, and so mypyc, would take it for None there
                    result = self._proxy(effect)
                    if result is None:
                        return
                case Lookup(source="registration"):
                    result = self._lookup()
                case Lookup():
                    self._fetching = self._call.find_by_uri(self._decision.owner, effect, self._found)
                    return
                case Log():
                    self._log(effect)
                    result = None
                case Mail():
                    self._mail(effect)
                    result = None

    def _tell(self) -> None:
        """What the script has done goes to the call's trace, before what comes of it."""
        steps = self._record.steps
        self._call.trace += steps[self._told :]
        self._told = len(steps)

    def _resume(self, result: ProxyResult, said: str) -> None:
        if self._fork is not None:
            self._detached.append(self._fork)
            self._fork = None
        self._disarm()
        now = self._call.house.now()
        self._record.goes_on(now)
        self._record.steps.append(Step("script", self._decision.owner, said))
        result = result._replace(took=now - self._rang_at)
        if self._running:
            self._result = result
        else:
            self._advance(result)

    def _found(self, result: LookupResult) -> None:
        """The answer to a lookup by URI is there."""
        self._fetching = None
        if not self._over:
            self._advance(result)

    def _lookup(self) -> LookupResult:
        targets = looked_up(self._search.inquiry, self._call.house.tables, self._decision.owner)
        return LookupResult("success", tuple(targets)) if targets else LookupResult("notfound")

    def _mail(self, effect: Mail) -> None:
        self._mails += 1
        if self._mails > MAX_MAILS:
            return
        decision = self._decision
        said = self._call.house.mailer.post(decision.owner, effect, facts_of(self._search.inquiry, decision))
        self._record.steps.append(Step("mail", decision.owner, said))

    def _log(self, effect: Log) -> None:
        self._logs += 1
        if self._logs > MAX_LOGS:
            return
        line = log_line(self._call.request, self._decision.direction, effect.comment)
        self._call.house.diary.add(self._decision.owner, self._search.inquiry.wall, effect.name, line)

    def _proxy(self, effect: ProxyTo) -> ProxyResult | None:
        """Ring them; what it came to where that is known at once, else None."""
        call, owner = self._call, self._decision.owner
        tables = call.house.tables
        targets = may_ring(self._search.inquiry, tables, effect.targets)
        if not targets:
            return ProxyResult("failure")
        self._fork = fork = self._fork_for(effect, targets)
        self._recurse = effect.recurse
        self._answers = None if effect.recurse else who_answers_for(tables, targets, owner)
        self._rang_at = call.house.now()
        seconds = seconds_to_ring(effect, call.request)
        if seconds is not None:
            when = self._rang_at + seconds
            self._timer = call.house.deadlines.call_at(when, partial(call.guarded, self._time_over))
        fork.start()
        return self._came_to()

    def _came_to(self) -> ProxyResult | None:
        """What was left in `_result`. (Its own method: the compiled form holds a method to what it has assigned.)"""
        result, self._result = self._result, None
        return result

    def _fork_for(self, effect: ProxyTo, targets: tuple[Target, ...]) -> Fork:
        """The fork that rings these.

        Its breadth is, of what is left, half when the script may go on while
        these are still being cancelled.
        """
        inquiry = self._onward()
        left = self._breadth_left()
        inquiry.breadth = left if effect.timeout is None else (left + 1) // 2
        ordered, order = in_order(targets, effect.ordering), ORDERS[effect.ordering]
        return Fork(self._call, self, inquiry, ordered, None, recurse=effect.recurse, order=order)

    def _breadth_left(self) -> int:
        """Breadth that no fork of this script has (RFC 5393 §5.3.3.1)."""
        left = self._search.inquiry.breadth - (0 if self._fork is None else self._fork.breadth)
        for fork in self._detached:
            left -= fork.outgoing
        return left

    def _time_over(self) -> None:
        self._timer = None
        fork, self._fork = self._fork, None
        if fork is None or self._over:
            return
        self._detached.append(fork)
        self._finals.append(local_response(self._call.house.seal, self._call.request, 408))
        fork.cancel()  # detached: the script goes on while its phones are still being cancelled
        if not self._over:
            self._resume(ProxyResult("noanswer"), "no answer in time")

    def _onward(self) -> Inquiry:
        """The question about what this script rings: it has had its say, and its owner was gone through (T50)."""
        owner, direction = self._decision.owner, self._decision.direction
        inquiry = self._search.inquiry
        through = owner if direction == "incoming" else None
        return inquiry.toward(inquiry.uri, consulted=(owner, direction), through=through)

    def _end(self, end: End) -> None:
        self._over = True
        house, request = self._call.house, self._call.request
        match end:
            case Reject():
                self._up(local_response(house.seal, request, end.status, end.reason))
            case Redirect():
                contacts = tuple(("Contact", f"<{t.uri.text}>;q={q_to_text(t.q)}") for t in end.targets)
                self._up(local_response(house.seal, request, 301 if end.permanent else 302, "", contacts))
            case Default(proxied=True):
                self._up(best_of(self._finals) if self._finals else local_response(house.seal, request, 480))
            case Default():
                self._leave_it_to_policy(end.targets)

    def _leave_it_to_policy(self, targets: tuple[Target, ...] | None) -> None:
        """Nothing was signalled: as without a script, or what policy does with the locations (RFC 3880 §10 a to c)."""
        search, (_, owner, direction, _) = self._search, self._decision
        untouched = direction == "outgoing" and targets == (Target(search.inquiry.uri),)
        if targets is None or untouched:
            search.script_had_its_say(owner, direction)
            return
        search.inquiry = self._onward()
        callee = owner if direction == "incoming" else None
        search.carry_out(by_policy(search.inquiry, self._call.house.tables, targets, callee))

    def _up(self, response: Response) -> None:
        if self.final is None:
            self.final = response
        self._search.receive(self, response)

    def _disarm(self) -> None:
        """Nothing is waited for any more."""
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
