"""Whether answers from several servers can be explained by one order of what was asked: linearizability.

Each 200 to a REGISTER lists what is bound after it, so that every change is
also a reading. An operation takes effect at one moment between its request
and its answer; the orders that are possible are followed through the history
(just-in-time linearization), and when none is left the answer that ruled out
the last is the violation.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from tests.endure.model import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.endure.model import State, Wish

OLD = 1.0
"""Seconds by which what a server only shows may be behind what another has stored, usually."""

OUT_OF_ORDER = frozenset({400, 500})
"""How a CSeq is refused that is not higher than that of the binding with the same Call-ID (RFC 3261 §10.3 step 7)."""

NO_EFFECT = frozenset({401, 403, 404, 408, 423, 503})
"""Answers to what was surely not carried out."""


@dataclass(frozen=True)
class Operation:
    """One REGISTER and its answer; status 0: it never came."""

    began: float
    ended: float
    phone: str  # its Call-ID
    cseq: int
    server: int
    wish: Wish
    status: int
    listed: State = NOTHING

    def __str__(self) -> str:
        return (
            f"{self.began:.3f}-{self.ended:.3f} {self.phone} CSeq {self.cseq} at {self.server}: {self.wish} -> "
            f"{self.status} {sorted(self.listed)}"
        )


Owners = dict[int, tuple[str, int]]
"""Which phone's REGISTER, by its CSeq, put each mark."""


def out_of_order(operation: Operation, state: State, owners: Owners) -> bool:
    """Whether it names a binding that the same Call-ID has changed with this CSeq or a higher one."""
    wish = operation.wish
    named = {port for port, _ in wish.put} | set(wish.gone)
    for port, mark in state:
        if wish.clear or port in named:
            phone, cseq = owners.get(mark, ("", 0))
            if phone == operation.phone and cseq >= operation.cseq:
                return True
    return False


def after(operation: Operation, state: State, owners: Owners) -> State | None:
    """The state when it has taken effect in this one; None: it can't have, with the answer that came."""
    wish, status = operation.wish, operation.status
    if wish.asks_only:
        return state if operation.listed == state else None
    late = out_of_order(operation, state, owners)
    if status == 200:
        new = wish.applied(state)
        return new if not late and operation.listed == new else None
    if late:
        return state if status in OUT_OF_ORDER else None
    return None if status == 400 else wish.applied(state)  # no answer, or 500: it may have been carried out


def violation(history: Iterable[Operation], found: State | None = None, *, old: float = OLD) -> str:
    """What no order explains, in words; empty: all is well.

    `found` is what was stored when all had ended. `old`: seconds by which
    what a server only shows may be behind.
    """
    operations = [one for one in history if one.status not in NO_EFFECT and (one.status or not one.wish.asks_only)]
    owners: Owners = {mark: (one.phone, one.cseq) for one in operations for _, mark in one.wish.put}
    events = []
    for number, one in enumerate(operations):
        events.append((one.began - old if one.wish.asks_only else one.began, 0, number))
        if one.status not in (0, 500):  # those may come later, or never
            events.append((one.ended, 1, number))
    ways: set[tuple[State, frozenset[int]]] = {(NOTHING, frozenset())}
    under_way: set[int] = set()
    for _, is_end, number in sorted(events):
        if not is_end:
            under_way.add(number)
            continue
        new = _with(number, ways, {other: operations[other] for other in under_way}, owners)
        if not new:
            return _words(operations, number, ways)
        under_way.discard(number)
        ways = new
    if found is None:
        return ""
    for _ in under_way:  # what was not answered, in any order
        ways |= _one_more(ways, {other: operations[other] for other in under_way}, owners)
    states = {state for state, _ in ways}
    return "" if found in states else f"stored is {sorted(found)}, expected one of {[sorted(one) for one in states]}"


def _with(
    number: int, ways: set[tuple[State, frozenset[int]]], under_way: Mapping[int, Operation], owners: Owners
) -> set[tuple[State, frozenset[int]]]:
    """All ways in which that operation has taken effect, after any of the others under way; it is then forgotten."""
    new: set[tuple[State, frozenset[int]]] = set()
    seen, left = set(ways), list(ways)
    while left:
        state, done = left.pop()
        if number in done:
            new.add((state, done - {number}))
            continue
        for way in _one_more({(state, done)}, under_way, owners):
            if way not in seen:
                seen.add(way)
                left.append(way)
    return new


def _one_more(
    ways: set[tuple[State, frozenset[int]]], under_way: Mapping[int, Operation], owners: Owners
) -> set[tuple[State, frozenset[int]]]:
    new = set()
    for state, done in ways:
        for number, one in under_way.items():
            if number not in done:
                then = after(one, state, owners)
                if then is not None:
                    new.add((then, done | {number}))
    return new


def _words(operations: list[Operation], number: int, ways: set[tuple[State, frozenset[int]]]) -> str:
    one = operations[number]
    near = [other for other in operations if other.began <= one.ended and other.ended >= one.began - OLD]
    states = {tuple(sorted(state)) for state, _ in ways}
    lines = [f"no order explains {one}", f"  the state before is one of {sorted(states)}"]
    return "\n".join([*lines, *(f"  near: {other}" for other in sorted(near, key=lambda other: other.began))])


def by_user(operations: Iterable[tuple[str, Operation]]) -> dict[str, list[Operation]]:
    """Each user's operations, in the order of their requests."""
    found: dict[str, list[Operation]] = {}
    for user, operation in sorted(operations, key=itemgetter(0)):
        found.setdefault(user, []).append(operation)
    return {user: sorted(history, key=lambda one: one.began) for user, history in found.items()}
