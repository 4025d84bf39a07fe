"""Phones rung in a made-up call: the time, one target, and a target set under one response context (§16.6, §16.7).

The same rules as `server/branch.py` and `server/fork.py`, without a network:
tests/server/test_simulation.py holds the two together.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Protocol

from sipd.core.behaviour import RINGS
from sipd.core.location import groups
from sipd.core.recursion import FOLLOWED, MOST_FOLLOWED, to_follow, uri_key
from sipd.core.response_context import CancelOthers, Forward, ResponseContext
from sipd.core.routes import address_of_record, local_domain
from sipd.core.simulated import Rung
from sipd.core.sips import as_asked
from sipd.errors import SipError
from sipd.message import response_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.core.behaviour import Behaviour, Behaviours
    from sipd.core.inquiry import Inquiry
    from sipd.core.preferences import Order
    from sipd.core.recursion import Key
    from sipd.core.response_context import Action
    from sipd.core.simulated import SimulatedHouse
    from sipd.hop import Target
    from sipd.message import Request, Response, Uri

SILENCE: Final = 32.0
"""Seconds after which a target of which nothing was heard has failed with 408 (Timer B, §17.1.1.2)."""


class Alarm:
    """Something that is to happen."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """It shall not."""
        self.act = None


class Timeline:
    """What happens when. What is due at one time happens in the order in which it was put there."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0

    def after(self, seconds: float, act: Callable[[], None]) -> Alarm:
        """Do this then."""
        alarm = Alarm(act)
        self._count += 1
        heappush(self._heap, (self.now + seconds, self._count, alarm))
        return alarm

    def run(self) -> None:
        """Let all of it happen."""
        while self._heap:
            self.now, _, alarm = heappop(self._heap)
            act, alarm.act = alarm.act, None
            if act is not None:
                act()


class Part(Protocol):
    """A part of the call that ends with one final response."""

    def __hash__(self) -> int:
        """Each is itself and no other."""

    @property
    def final(self) -> Response | None:
        """The final response, once it has ended."""

    def start(self) -> None:
        """Begin; may end before it returns."""

    def cancel(self) -> None:
        """End soon."""


class Listener(Protocol):
    """Who hears of a part's responses."""

    def receive(self, part: Part, response: Response) -> None:
        """Each 2xx; one final otherwise."""


class Ringing:
    """What the parts of one simulated call share."""

    def __init__(
        self,
        house: SimulatedHouse,
        behaviours: Behaviours,
        request: Request,
        search: Callable[[Listener, Inquiry, int], Part],
    ) -> None:
        self.house = house
        self.request = request
        self.time = Timeline()
        self.followed = 0
        self.rung: list[tuple[int, Branch]] = []
        self._behaviours = behaviours
        self._times: dict[str, int] = {}  # how often each target was called
        self._search = search
        self._targets: list[Uri] = []
        self._tried: dict[Key, int] = {}

    def response(self, status: int, reason: str = "", contacts: Sequence[str] = ()) -> Response:
        """A response to the call's INVITE."""
        headers = tuple(("Contact", contact) for contact in contacts)
        return response_to(self.request, status, reason, to_tag="simulated", headers=headers)

    def refusal(self, fault: SipError) -> Response:
        """The answer that a fault asks for."""
        return self.response(fault.status, fault.text)

    def child(self, parent: Listener, target: Target, inquiry: Inquiry, breadth: int, number: int) -> Part:
        """A search for a user of whom something is known; a branch for any other target."""
        uri, house = target.uri, self.house
        self._targets.append(uri)
        if local_domain(uri, house, inquiry.context.places) is not None:
            is_sought = house.complete or house.knows(address_of_record(uri, house))
        else:
            is_sought = uri.scheme == "tel" and not house.numbers
        if is_sought and self._behaviours.of(uri) is None:
            return self._search(parent, inquiry.toward(uri, through=target.owner, breadth=breadth), number)
        return Branch(self, parent, target, number)

    def behaviour(self, uri: Uri, number: int) -> Behaviour:
        """What it does this time, in the round of that number."""
        row = self._behaviours.of(uri)
        if row is None:
            row, times = self._behaviours.others, number
        else:
            times = self._times[uri.text] = self._times.get(uri.text, 0) + 1
        return row[min(times, len(row)) - 1]

    def tried(self, ahead: Sequence[Target]) -> dict[Key, int]:
        """Where the call has been, or is about to be, sent, with how many 3xx led there."""
        for uri in (self.request.uri, *self._targets, *(target.uri for target in ahead)):
            self._tried.setdefault(uri_key(uri), 0)
        return self._tried


class Branch:
    """One target that is called, and does what is said of it."""

    __slots__ = (
        "_alarm",
        "_behaviour",
        "_call",
        "_parent",
        "_rang_at",
        "cancelled_at",
        "final",
        "number",
        "target",
        "until",
    )

    def __init__(self, call: Ringing, parent: Listener, target: Target, number: int) -> None:
        self._call = call
        self._parent = parent
        self.target = target
        self.number = number
        self.final: Response | None = None
        self.cancelled_at: float | None = None
        self.until = 0.0
        self._rang_at = 0.0
        self._behaviour = RINGS
        self._alarm: Alarm | None = None

    def as_rung(self, order: int) -> Rung:
        """What became of it, which was called as the how-manieth."""
        status = 0 if self.final is None else self.final.status
        heard = not self._behaviour.silent
        uri, q = self.target.uri.text, self.target.q
        return Rung(order, uri, q, self._rang_at, self.until, status, self.cancelled_at, heard)

    def start(self) -> None:
        """Call it."""
        call = self._call
        self._rang_at = call.time.now
        try:
            as_asked(call.request.uri, self.target)
        except SipError as fault:
            self._finish(call.refusal(fault))
            return
        behaviour = call.behaviour(self.target.uri, self.number)
        call.rung.append((self.number, self))
        self._behaviour = behaviour
        if behaviour.silent:
            self._alarm = call.time.after(SILENCE, partial(self._finish, call.response(408)))
            return
        timer_c = call.house.settings.timer_c
        if behaviour.status and behaviour.after <= timer_c:
            final = call.response(behaviour.status, contacts=behaviour.contacts)
            self._alarm = call.time.after(behaviour.after, partial(self._finish, final))
        else:
            self._alarm = call.time.after(timer_c, self.cancel)  # it rang too long (§16.8)

    def cancel(self) -> None:
        """It stops ringing, and says 487; one that is silent is waited for."""
        if self.final is not None or self.cancelled_at is not None:
            return
        call, alarm = self._call, self._alarm
        self.cancelled_at = call.time.now
        behaviour = self._behaviour
        if alarm is None:  # not called yet
            self._finish(call.response(487))
            return
        if behaviour.silent:
            left = self._rang_at + SILENCE - call.time.now
            alarm.cancel()
            self._alarm = call.time.after(left, partial(self._finish, call.response(487)))
        elif not behaviour.status or self._rang_at + behaviour.after > call.time.now:
            alarm.cancel()
            self._alarm = call.time.after(0.0, partial(self._finish, call.response(487)))

    def _finish(self, final: Response) -> None:
        self.final = final
        self.until = self._call.time.now
        self._parent.receive(self, final)


class Fork:
    """A target set being tried: see `server/fork.py`. `number` is of its round of ringing."""

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
        "number",
    )

    def __init__(
        self,
        call: Ringing,
        parent: Listener,
        inquiry: Inquiry,
        target_groups: Sequence[Sequence[Target]],
        stagger: float | None,
        number: int,
        *,
        recurse: bool = False,
        order: Order = "",
        cancels: bool = True,
    ) -> None:
        self._call = call
        self._parent = parent
        self._inquiry = inquiry
        self._groups = [tuple(group) for group in target_groups]
        self._stagger = stagger
        self._recurse = recurse
        self._order = order
        self._cancels = cancels
        self._context: ResponseContext[Part] = ResponseContext()
        self._children: list[Part] = []
        self._live: dict[Part, tuple[int, Target]] = {}
        self._waiting: tuple[Target, ...] = ()
        self._filling = False
        self._cancelled = False
        self._timer: Alarm | None = None
        self.breadth = self._free = inquiry.breadth
        self.number = number
        self.final: Response | None = None

    @property
    def outgoing(self) -> int:
        """The breadth that children without a final response have."""
        return self.breadth - self._free

    def start(self) -> None:
        """Ring the first group; 480 where there is none."""
        if self._groups:
            self._next_group()
        else:
            self._settle(self._call.response(480))

    def widen(self, breadth: int) -> None:
        """More breadth has come free elsewhere."""
        self.breadth += breadth
        self._free += breadth
        self._fill()

    def cancel(self) -> None:
        """No further group, and what rings is cancelled."""
        self._cancelled = True
        self._stop()
        for child in tuple(self._children):
            child.cancel()
        self._act(self._context.no_more())
        if self.final is None and not self._context.pending:
            self._settle(self._call.response(487))

    def receive(self, part: Part, response: Response) -> None:
        """A final response of one child."""
        ended = self._live.pop(part, None)
        if ended is not None:
            share, target = ended
            self._free += share
            if self._recurse and response.status in FOLLOWED:
                left = self._follow(part, target, response)
                if left is None:
                    return
                response = left
        self._act(self._context.receive(part, response))
        if response.status >= 300:
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._fill()
        elif self._groups and not self._context.pending and self._context.may_add:
            self._next_group()

    def _act(self, actions: tuple[Action[Part], ...]) -> None:
        for action in actions:
            if isinstance(action, Forward):
                self.final = self.final or action.response
                self._stop()
                self._parent.receive(self, action.response)
            elif isinstance(action, CancelOthers):
                self._stop()
                if self._cancels or not self._context.answered:
                    for other in action.branches:
                        other.cancel()
            else:
                self._settle(action.response)

    def _follow(self, part: Part, target: Target, response: Response) -> Response | None:
        """Ring where a 3xx points instead; what is left of the response."""
        context, call = self._context, self._call
        if self._cancelled or not context.may_add:
            return response
        ahead = [*self._waiting, *(waiting for group in self._groups[::-1] for waiting in group)]
        tried = call.tried(ahead)
        found = to_follow(self._inquiry, call.house, target, response, tried, MOST_FOLLOWED - call.followed)
        if found.targets:
            call.followed += len(found.targets)
            first, *others = groups(found.targets, order=self._order)
            self._groups = [*map(tuple, others), *self._groups]
            self._waiting = (*self._waiting, *first)
            context.expect_more = True
        if found.rest is not None:
            return found.rest
        if not (found.targets or len(context.pending) > 1 or context.best or ahead):
            return response
        context.forget(part)
        self._act(() if self._waiting or self._groups else context.no_more())
        self._go_on()
        return None

    def _next_group(self) -> None:
        group = self._groups.pop(0)
        self._disarm()
        if self._groups and self._stagger is not None:
            self._timer = self._call.time.after(self._stagger, self._stagger_over)
        self._waiting = (*self._waiting, *group)
        self._fill()

    def _stagger_over(self) -> None:
        self._timer = None
        if self._groups and self._context.may_add:
            self._next_group()

    def _fill(self) -> None:
        """Ring those who wait, as many as there is breadth for."""
        if self._filling:
            return
        self._filling = True
        while self._waiting and self._free and not self._cancelled and self._context.may_add:
            for child in self._take():
                if child.final is None and not self._cancelled:
                    child.start()
        self._filling = False

    def _take(self) -> list[Part]:
        """The next children, with the free breadth dealt out evenly."""
        waiting, context = self._waiting, self._context
        shares = len(waiting)
        if self._groups and self._stagger is not None:
            shares += sum(map(len, self._groups))
        count = min(len(waiting), self._free)
        self._waiting = waiting[count:]
        context.expect_more = bool(self._waiting or self._groups)
        started = []
        for target in waiting[:count]:
            share = max(1, self._free // shares)
            shares -= 1
            self._free -= share
            child = self._call.child(self, target, self._inquiry, share, self.number)
            self._live[child] = (share, target)
            self._children.append(child)
            context.add(child)
            started.append(child)
        return started

    def _stop(self) -> None:
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
