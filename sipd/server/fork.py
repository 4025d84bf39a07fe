"""Rings a target set, group by group, under one response context (RFC 3261 §16.6, §16.7). No await in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sipd.core.location import contacts_of, groups
from sipd.core.response_context import CancelOthers, Forward, ResponseContext
from sipd.server.answer import local_response
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.core.decision import Proxy
    from sipd.core.inquiry import Inquiry
    from sipd.core.response_context import Action
    from sipd.hop import Target
    from sipd.message import Response
    from sipd.server.node import CallView, Node, Parent
    from sipd.transaction import Handle


class Fork:
    """A target set being tried.

    The first group rings at once; each next one joins when all before have
    failed, or after `stagger` seconds (None: only then). Branches of earlier
    groups are left ringing.
    """

    __slots__ = (
        "_call",
        "_cancelled",
        "_cancels",
        "_children",
        "_context",
        "_groups",
        "_inquiry",
        "_parent",
        "_recurse",
        "_stagger",
        "_timer",
        "_tried",
        "final",
    )

    def __init__(
        self,
        call: CallView,
        parent: Parent,
        inquiry: Inquiry,
        target_groups: Sequence[Sequence[Target]],
        stagger: float | None,
        *,
        recurse: bool = False,
    ) -> None:
        self._call = call
        self._parent = parent
        self._inquiry = inquiry
        self._groups = list(target_groups)[::-1]  # the next one is the last
        self._stagger = stagger
        self._recurse = recurse  # follow the contacts of a 3xx (§16.7 step 4)
        self._context: ResponseContext[Node] = ResponseContext(is_invite=call.request.method == "INVITE")
        self._children: list[Node] = []
        self._tried: set[str] = set()
        self._timer: Handle | None = None
        self._cancelled = False
        self._cancels = True  # False: the others ring on when one has answered (RFC 3841 §9.1)
        self.final: Response | None = None

    @classmethod
    def by_q(cls, call: CallView, parent: Parent, inquiry: Inquiry, decision: Proxy) -> Fork:
        """The fork that rings these as with no script: by q, the next group after the stagger (§16.6).

        Or as the caller asked: all at once, or each when the one before has failed (RFC 3841 §9.1).
        """
        settings, asked = call.house.tables.settings, decision.disposition
        stagger = None if asked.order == "sequential" else settings.stagger
        recurse = settings.recurse if asked.recurse is None else asked.recurse
        made = cls(call, parent, inquiry, groups(decision.targets, order=asked.order), stagger, recurse=recurse)
        made._cancels = asked.cancel
        return made

    def start(self) -> None:
        """Ring the first group."""
        if self._groups:
            self._next_group()
        else:
            self._settle(local_response(self._call.house.seal, self._call.request, 480))

    def cancel(self) -> None:
        """Stop everything: no further group, CANCEL to what rings."""
        self._cancelled = True
        self._stop_groups()
        for child in tuple(self._children):
            child.cancel()
        self._act(None, self._context.no_more())

    def release(self) -> None:
        """Let go of the children."""
        for child in self._children:
            child.release()
        self._children.clear()

    def receive(self, child: Node, response: Response) -> None:
        """A response of one child; decides what goes up."""
        if self._recurse and 300 <= response.status < 400 and self._follow(child, response):
            return
        self._act(child, self._context.receive(child, response))
        if self._groups and not self._context.pending and self._context.may_add:
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

    def _follow(self, child: Node, response: Response) -> bool:
        """Ring where a 3xx points instead; False when it names nothing new (§16.7 step 4)."""
        if self._cancelled or not self._context.may_add:
            return False
        new = [target for target in contacts_of(response) if target.uri.text not in self._tried]
        if not new:
            return False
        self._call.trace.append(Step("fork", f"{response.status}", "follows its contacts"))
        self._ring(new, instead_of=child)
        return True

    def _next_group(self) -> None:
        call = self._call
        group = self._groups.pop()
        self._context.expect_more = bool(self._groups)
        self._disarm()
        if self._groups and self._stagger is not None:
            when = call.house.now() + self._stagger
            self._timer = call.house.transactions.deadlines.call_at(when, partial(call.guarded, self._stagger_over))
        self._ring(group)

    def _ring(self, targets: Sequence[Target], instead_of: Node | None = None) -> None:
        started = []
        for target in targets:  # all are known to the context before the first can end
            self._tried.add(target.uri.text)
            child = self._call.child(self, target, self._inquiry)
            started.append(child)
            self._children.append(child)
            self._context.add(child)
        if instead_of is not None:
            self._context.forget(instead_of)
        for child in started:
            if not self._cancelled and self.final is None:
                child.start()

    def _stagger_over(self) -> None:
        self._timer = None
        if self._groups and self._context.may_add:
            self._call.trace.append(Step("fork", f"no answer in {self._stagger:g} s", "the next group joins"))
            self._next_group()

    def _stop_groups(self) -> None:
        self._groups.clear()
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
