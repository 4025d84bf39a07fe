"""A Plan: one machine made ready for the hot path, for given timer values and a reliable or unreliable flow.

Everything that a table says in words is looked up once, here: which timers an
input arms, which functions it calls. A state that lasts zero seconds over a
reliable transport (Timers D, I, J, K) is passed through at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, Generic, NamedTuple

from sipd.transaction.kinds import Payload
from sipd.transaction.machine import TERMINATED, Action, Input, Machine, State, step
from sipd.transaction.timers import TIMERS, TimerName, TimerValues

if TYPE_CHECKING:
    from typing import Any

KEEP: Final = -1.0
"""In place of a timer's value: it runs on."""

# Each kind's functions take that kind; a plan only ever meets its own.
Do = Callable[["Any", Payload], None]


class Move(NamedTuple, Generic[Payload]):
    """What one input does in one state."""

    state: State  # the next one
    timers: tuple[float, float] | None  # seconds to the retransmission and to the end; KEEP; inf: none. None: keep both
    actions: tuple[Do[Payload], ...]


@dataclass(frozen=True, slots=True)
class Plan(Generic[Payload]):
    """One machine made ready."""

    machine: Machine
    first: State
    start: tuple[float, float]  # the timers of the first state
    moves: Mapping[State, Mapping[Input, Move[Payload]]]
    resends: Mapping[State, TimerName | None]  # the input when the retransmission timer fires
    ends: Mapping[State, TimerName | None]  # the input when the other one does
    ceiling: float  # the longest retransmission interval
    t2: float
    nothing: Payload  # what a timer brings along


def prepare(
    machine: Machine,
    values: TimerValues,
    *,
    reliable: bool,
    do: Mapping[Action, Do[Payload]],
    forget: Do[Payload],
    release: Do[Payload],
    nothing: Payload,
) -> Plan[Payload]:
    """A Plan in which `forget` runs first and `release` last when a transaction ends."""
    pairs = {state: _pair(machine, state) for state in machine.timers}

    def seconds(name: TimerName | None) -> float:
        if name is None:
            return inf
        return (TIMERS[name].reliable if reliable else TIMERS[name].first)(values)

    def timers(old: State, new: State) -> tuple[float, float] | None:
        resend, end = (
            KEEP if before == after else seconds(after) for before, after in zip(pairs[old], pairs[new], strict=True)
        )
        return None if resend == end == KEEP else (resend, end)

    def move(old: State, given: Input) -> Move[Payload]:
        row = step(machine, old, given)
        assert row is not None
        new, actions = row
        end = pairs[new][1]
        while end is not None and end != pairs[old][1] and seconds(end) == 0:  # passed through
            row = step(machine, new, end)
            assert row is not None
            new, actions = row[0], actions + row[1]
            end = pairs[new][1]
        functions = tuple(do[action] for action in actions)
        if new == TERMINATED != old:
            functions = (forget, *functions, release)
            return Move(new, None, functions)  # forgotten, timers and all
        return Move(new, timers(old, new), functions)

    moves: dict[State, dict[Input, Move[Payload]]] = {state: {} for state in machine.timers}
    for state, given in machine.rows:
        moves[state][given] = move(state, given)
    ceilings = [TIMERS[resend].ceiling for resend, _ in pairs.values() if resend is not None]
    return Plan(
        machine=machine,
        first=machine.first,
        start=(seconds(pairs[machine.first][0]), seconds(pairs[machine.first][1])),
        moves=moves,
        resends={state: resend for state, (resend, _) in pairs.items()},
        ends={state: end for state, (_, end) in pairs.items()},
        ceiling=max((ceiling(values) for ceiling in ceilings if ceiling is not None), default=inf),
        t2=values.t2,
        nothing=nothing,
    )


def _pair(machine: Machine, state: State) -> tuple[TimerName | None, TimerName | None]:
    """The timer that retransmits in this state, and the one that ends it."""
    names = machine.timers[state]
    resends = [name for name in names if TIMERS[name].retransmits]
    ends = [name for name in names if not TIMERS[name].retransmits]
    return (resends[0] if resends else None, ends[0] if ends else None)
