"""A Plan says the same as the tables, with times in place of letters."""

from math import inf
from typing import Any

import pytest

from sipd.transaction.machine import MACHINES, Input, Machine, State
from sipd.transaction.plan import KEEP, Plan, prepare
from sipd.transaction.timers import TimerValues

INVITE_CLIENT, CLIENT, INVITE_SERVER, SERVER = MACHINES


class EachAction(dict[Any, Any]):
    def __missing__(self, action: str):
        function = self[action] = lambda transaction, payload: None
        function.__name__ = action
        return function


def plan(machine: Machine, *, reliable: bool) -> Plan[None]:
    do = EachAction()
    return prepare(
        machine,
        TimerValues(),
        reliable=reliable,
        do=do,
        forget=do["forget"],
        release=do["release"],
        nothing=None,
    )


def names(move) -> list[str]:
    return [action.__name__ for action in move.actions]


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_row_has_its_move(machine: Machine, reliable: bool) -> None:
    made = plan(machine, reliable=reliable)
    assert {(state, given) for state, moves in made.moves.items() for given in moves} == set(machine.rows)


@pytest.mark.parametrize(
    ("machine", "state", "given", "reliable", "new", "timers"),
    [
        (INVITE_CLIENT, "calling", "1xx", False, "proceeding", (inf, inf)),
        (INVITE_CLIENT, "calling", "1xx", True, "proceeding", (inf, inf)),
        (INVITE_CLIENT, "calling", "2xx", False, "accepted", (inf, 32)),
        (INVITE_CLIENT, "calling", "CANCEL", False, "called off", None),  # A and B run on
        (INVITE_CLIENT, "called off", "1xx", False, "cancelling", (inf, 32)),
        (INVITE_CLIENT, "proceeding", "CANCEL", False, "cancelling", (KEEP, 32)),
        (INVITE_CLIENT, "proceeding", "300-699", True, "terminated", None),  # D is zero
        (INVITE_CLIENT, "calling", "300-699", False, "completed", (inf, 32)),
        (CLIENT, "trying", "1xx", False, "proceeding", None),  # E and F run on (§17.1.2.2)
        (CLIENT, "proceeding", "2xx", False, "completed", (inf, 5)),
        (CLIENT, "trying", "2xx", True, "terminated", None),
        (INVITE_SERVER, "proceeding", "300-699", False, "completed", (0.5, 32)),
        (INVITE_SERVER, "proceeding", "300-699", True, "completed", (inf, 32)),
        (INVITE_SERVER, "completed", "ACK", False, "confirmed", (inf, 5)),
        (INVITE_SERVER, "completed", "ACK", True, "terminated", None),
        (INVITE_SERVER, "proceeding", "2xx", True, "accepted", (KEEP, 32)),
        (SERVER, "trying", "2xx", False, "completed", (KEEP, 32)),
        (SERVER, "proceeding", "give up", True, "terminated", None),
    ],
)
def test_timers_of_a_move(
    machine: Machine, state: State, given: Input, reliable: bool, new: State, timers: tuple[float, float] | None
) -> None:
    move = plan(machine, reliable=reliable).moves[state][given]
    assert (move.state, move.timers) == (new, timers)


def test_a_state_of_zero_seconds_is_passed_through_with_all_its_actions() -> None:
    move = plan(SERVER, reliable=True).moves["trying"]["2xx"]
    assert names(move) == ["forget", "answered", "send response", "end to user", "release"]
    move = plan(INVITE_CLIENT, reliable=True).moves["calling"]["300-699"]
    assert names(move) == ["forget", "send ACK", "last response to user", "release"]


@pytest.mark.parametrize(("machine", "ceiling"), [(INVITE_CLIENT, inf), (CLIENT, 4), (INVITE_SERVER, 4), (SERVER, inf)])
def test_the_longest_interval(machine: Machine, ceiling: float) -> None:
    assert plan(machine, reliable=False).ceiling == ceiling
