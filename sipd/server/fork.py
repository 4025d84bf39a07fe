"""Rings a target set, group by group, under one response context (RFC 3261 §16.6, §16.7). No await in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.core.location import groups
from sipd.core.recursion import FOLLOWED, MOST_FOLLOWED, to_follow
from sipd.core.response_context import CancelOthers, Forward, ResponseContext
from sipd.server.answer import local_response
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.core.decision import Proxy
    from sipd.core.inquiry import Inquiry
    from sipd.core.preferences import Order
    from sipd.core.response_context import Action
    from sipd.hop import Target
    from sipd.message import Response
    from sipd.server.node import Awaited, CallView, HouseView, Node, Parent


def follows_3xx(house: HouseView, decision: Proxy) -> bool:
    """Whether the contacts of a 3xx are tried: as the caller asked, else as the setting says (RFC 3841 §9.1).

    Never where the Request-URI means no user of ours: then it is not for us to choose other targets (§16.5).
    """
    if decision.owner is None:
        return False
    asked = decision.disposition.recurse
    return house.tables.settings.recurse if asked is None else asked


class Fork:
    """A target set being tried.

    The first group rings at once; each next one joins when all before have
    failed, or after `stagger` seconds (None: only then). Branches of earlier
    groups are left ringing.

    No more ring at a time than the inquiry's breadth allows: each child has a
    share of it, at least 1; those for whom none is left wait until a child
    has ended and its share is free again (RFC 5393 §5.3.3).
    """

    __slots__ = (
        "_call",
        "_cancelled",
        "_cancels",
        "_children",
        "_context",
        "_filling",
        "_free",
        "_groups",
        "_inquiry",
        "_live",
        "_order",
        "_parent",
        "_recurse",
        "_stagger",
        "_timer",
        "_waiting",
        "breadth",
        "final",
    )

    flow_failed: Final = False  # only a Branch has a flow

    def __init__(
        self,
        call: CallView,
        parent: Parent,
        inquiry: Inquiry,
        target_groups: Sequence[Sequence[Target]],
        stagger: float | None,
        *,
        recurse: bool = False,
        order: Order = "",
    ) -> None:
        self._call = call
        self._parent = parent
        self._inquiry = inquiry
        self._groups = list(target_groups)[::-1]  # the next one is the last
        self._stagger = stagger
        self._recurse = recurse  # follow the contacts of a 3xx (§16.7 step 4)
        self._context: ResponseContext[Node] = ResponseContext(is_invite=call.request.method == "INVITE")
        self._children: list[Node] = []
        self._live: dict[Node, tuple[int, Target]] = {}  # share and target of those without a final response
        self._waiting: Sequence[Target] = ()  # to be rung as soon as there is breadth for them
        self.breadth = self._free = inquiry.breadth
        self._filling = False
        self._timer: Awaited | None = None
        self._cancelled = False
        self._order: Order = order  # how the caller, or a script, wants them tried
        self._cancels = True  # False: the others ring on when one has answered (RFC 3841 §9.1)
        self.final: Response | None = None

    @classmethod
    def by_q(cls, call: CallView, parent: Parent, inquiry: Inquiry, decision: Proxy) -> Fork:
        """The fork that rings these as with no script: by q, the next group after the stagger (§16.6).

        Or as the caller asked: all at once, or each when the one before has failed (RFC 3841 §9.1).
        """
        settings, asked = call.house.tables.settings, decision.disposition
        stagger = None if asked.order == "sequential" else settings.stagger
        recurse = follows_3xx(call.house, decision)
        made = cls(call, parent, inquiry, groups(decision.targets, order=asked.order), stagger, recurse=recurse)
        made._order, made._cancels = asked.order, asked.cancel
        return made

    @property
    def outgoing(self) -> int:
        """The breadth that children without a final response have (Outgoing Max-Breadth, RFC 5393 §5.3.2)."""
        return self.breadth - self._free

    def start(self) -> None:
        """Ring the first group."""
        if self._groups:
            self._next_group()
        else:
            self._settle(local_response(self._call.house.seal, self._call.request, 480))

    def widen(self, breadth: int) -> None:
        """More breadth has come free elsewhere: ring those that waited for it."""
        self.breadth += breadth
        self._free += breadth
        self._fill()

    def cancel(self) -> None:
        """Stop everything: no further group, CANCEL to what rings."""
        self._cancelled = True
        self._stop_groups()
        for child in tuple(self._children):
            child.cancel()
        self._act(None, self._context.no_more())
        if self.final is None and not self._context.pending:  # nothing had been rung yet
            self._settle(local_response(self._call.house.seal, self._call.request, 487))

    def release(self) -> None:
        """Let go of the children."""
        for child in self._children:
            child.release()
        self._children.clear()

    def receive(self, child: Node, response: Response) -> None:
        """A response of one child; decides what goes up."""
        status = response.status
        if status < 200:
            self._act(child, self._context.receive(child, response))
            return
        ended = self._live.pop(child, None)  # not again with a second 2xx (RFC 5393 §5.4.2)
        if ended is not None:
            share, target = ended
            self._free += share
            if target.others and child.flow_failed and self._other_flow(target, child):
                return
            if self._recurse and status in FOLLOWED:
                left = self._follow(child, target, response)
                if left is None:
                    return
                response = left
        self._act(child, self._context.receive(child, response))
        if status >= 300:
            self._go_on()

    def _go_on(self) -> None:
        """One has ended: its breadth goes to those who wait; when all have, the next group's turn has come."""
        if self._waiting:
            self._fill()
        elif self._groups and not self._context.pending and self._context.may_add:
            self._next_group()

    def _act(self, child: Node | None, actions: tuple[Action[Node], ...]) -> None:
        for action in actions:
            if type(action) is Forward:
                if action.response.status >= 200:
                    self.final = self.final or action.response
                    self._stop_groups()
                self._parent.receive(self, action.response)
            elif isinstance(action, CancelOthers):
                self._stop_groups()
                if self._cancels or not self._context.answered:
                    for other in action.branches:
                        other.cancel()
            else:
                self._settle(action.response)

    def _other_flow(self, target: Target, child: Node) -> bool:
        """Try the phone's next flow in the place of one that has failed (RFC 5626 §7)."""
        if self._cancelled or not self._context.may_add:
            return False
        first, *rest = target.others
        self._call.trace.append(Step("fork", target.uri.text, "flow failed: the phone's next"))
        self._context.forget(child)
        self._waiting = (first._replace(others=tuple(rest)), *self._waiting)
        self._context.expect_more = True
        self._fill()
        return True

    def _follow(self, child: Node, target: Target, response: Response) -> Response | None:
        """Ring where a 3xx points instead (§16.7 step 4).

        Gives what is left of the response to be judged with the others; None when nothing is.
        """
        context, call = self._context, self._call
        if self._cancelled or not context.may_add:
            return response
        ahead = [*self._waiting, *(waiting for group in self._groups for waiting in group)]
        tried, room = call.tried(ahead), MOST_FOLLOWED - call.followed
        found = to_follow(self._inquiry, call.house.tables, target, response, tried, room)
        if found.targets:
            call.trace.append(Step("fork", f"{response.status}", "follows its contacts"))
            call.followed += len(found.targets)
            first, *others = groups(found.targets, order=self._order)
            self._groups.extend(others[::-1])
            self._waiting = (*self._waiting, *first)
            context.expect_more = True
        if found.rest is not None:
            return found.rest
        if not (found.targets or len(context.pending) > 1 or context.best or ahead):
            return response  # all it says was tried already, and nobody else has said or will say anything
        context.forget(child)
        self._act(None, context.no_more() if not (self._waiting or self._groups) else ())
        self._go_on()
        return None

    def _next_group(self) -> None:
        call = self._call
        group = self._groups.pop()
        self._disarm()
        if self._groups and self._stagger is not None:
            when = call.house.now() + self._stagger
            self._timer = call.house.deadlines.call_at(when, partial(call.guarded, self._stagger_over))
        self._waiting = (*self._waiting, *group) if self._waiting else group
        self._fill()

    def _fill(self) -> None:
        """Ring those who wait, as many as there is breadth for."""
        if self._filling:  # a child ended as it was started: the loop below goes on with what that left
            return
        self._filling = True
        while self._waiting and self._free and not self._cancelled and self._context.may_add:
            started = self._take()
            if not started:
                self._give_up()
                break
            for child in started:
                if child.final is None and not self._cancelled:
                    child.start()
        self._filling = False

    def _give_up(self) -> None:
        """No room for a further branch, in this request or in the server: what has been said so far must do."""
        self._call.trace.append(Step("fork", "too many branches", "no further one"))
        self._stop_groups()
        self._act(None, self._context.no_more())
        if self.final is None and not self._context.pending:
            status = 503 if self._call.overloaded else 440
            self._settle(local_response(self._call.house.seal, self._call.request, status))

    def _take(self) -> list[Node]:
        """The next children, with the free breadth dealt out evenly; later groups keep theirs, as they may join.

        None where the call has no room for one more.
        """
        waiting, context, call = self._waiting, self._context, self._call
        shares = len(waiting)
        if self._groups and self._stagger is not None:
            shares += sum(map(len, self._groups))
        count = min(len(waiting), self._free, call.room)
        self._waiting = waiting[count:]
        context.expect_more = bool(self._waiting or self._groups)
        started = []
        for target in waiting[:count]:  # all are known to the context before the first can end
            share = max(1, self._free // shares)
            child = call.child(self, target, self._inquiry, share)
            shares -= 1
            self._free -= share
            self._live[child] = (share, target)
            self._children.append(child)
            context.add(child)
            started.append(child)
        return started

    def _stagger_over(self) -> None:
        self._timer = None
        if self._groups and self._context.may_add:
            self._call.trace.append(Step("fork", f"no answer in {self._stagger:g} s", "the next group joins"))
            self._next_group()

    def _stop_groups(self) -> None:
        self._groups.clear()
        self._waiting = ()
        self._context.expect_more = False
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self, best: Response) -> None:
        if self.final is None:
            self.final = best
            self._disarm()
            self._parent.receive(self, best)
