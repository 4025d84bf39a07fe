"""What may be bound, after what was asked for and what was answered; and what is wrong with what was found.

A user's state is which contacts he has, each with a mark that is new with
every REGISTER that puts it: so a refresh that is lost can be seen too. A
contact is its port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

State = frozenset[tuple[int, int]]
"""Pairs of a contact's port and its mark."""

NOTHING: State = frozenset()


class Wish(NamedTuple):
    """What one REGISTER asks for; with nothing in it, it only asks what is bound."""

    put: tuple[tuple[int, int], ...] = ()
    gone: tuple[int, ...] = ()
    clear: bool = False  # `Contact: *`

    @property
    def asks_only(self) -> bool:
        return not (self.put or self.gone or self.clear)

    def applied(self, state: State) -> State:
        """What is bound when this has been carried out (RFC 3261 §10.3 step 7)."""
        if self.clear:
            return NOTHING
        named = {port for port, _ in self.put} | set(self.gone)
        return frozenset(pair for pair in state if pair[0] not in named) | frozenset(self.put)


FETCH = Wish()


@dataclass
class Faults:
    """How many contacts, or REGISTERs, went each of the wrong ways."""

    lost: int = 0  # acknowledged, and not there
    resurrected: int = 0  # removed or never asked for, and there
    torn: int = 0  # a REGISTER carried out in part
    words: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.resurrected or self.torn)

    def add(self, other: Faults, where: str) -> None:
        """Count those too, found there."""
        self.lost += other.lost
        self.resurrected += other.resurrected
        self.torn += other.torn
        self.words += [f"{where}: {word}" for word in other.words]


def compared(may_be: Iterable[State], found: State) -> Faults:
    """What is wrong with `found` where one of these was to be expected; nothing when it is one of them."""
    states = [dict(state) for state in may_be]
    there = dict(found)
    faults = Faults()
    if there in states and len(there) == len(found):
        return faults
    for port in sorted({port for state in [*states, there] for port in state}):
        expected = {state.get(port) for state in states}
        mark = there.get(port)
        if mark in expected:
            continue
        text = f"contact {port} has mark {mark}, expected {sorted(expected, key=str)}"
        if mark is None or any(other is not None and mark < other for other in expected):
            faults.lost += 1
            faults.words.append(f"lost: {text}")
        else:
            faults.resurrected += 1
            faults.words.append(f"resurrected: {text}")
    if not faults:
        faults.torn = 1
        faults.words.append(f"torn: {sorted(found)} is none of {[sorted(state.items()) for state in states]}")
    return faults


class Knowledge:
    """What one user's state may be just now."""

    def __init__(self) -> None:
        self.may_be: set[State] = {NOTHING}

    @property
    def one(self) -> State:
        """A state that may be, the largest: what the next wish is made from."""
        return max(self.may_be, key=lambda state: (len(state), sorted(state)))

    def acknowledged(self, wish: Wish, listed: State) -> Faults:
        """A 200 that lists this came to that wish."""
        after = {wish.applied(state) for state in self.may_be}
        faults = compared(after, listed)
        if not wish.asks_only or faults:  # what only shows the state does not settle which one it is
            self.may_be = {listed}
        return faults

    def uncertain(self, wish: Wish) -> None:
        """That wish was carried out, or not: no answer came, or 500."""
        self.may_be |= {wish.applied(state) for state in self.may_be}

    def found(self, state: State) -> Faults:
        """This is stored, as the database says while nothing is under way."""
        faults = compared(self.may_be, state)
        self.may_be = {state}
        return faults
