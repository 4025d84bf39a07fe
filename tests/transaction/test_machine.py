"""The tables are complete, and say of timers what they must."""

from itertools import product

import pytest

from sipd.transaction.machine import ACCEPTED, INVITE_SERVER, MACHINES, TERMINATED, Machine, step
from sipd.transaction.timers import TIMERS

each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


@each_machine
def test_every_input_in_every_state_has_a_row_or_is_ignored(machine: Machine) -> None:
    for state, given in product(machine.timers, machine.inputs):
        has_row = (state, given) in machine.rows
        assert has_row != (given in machine.ignored.get(state, ())), (state, given)


@each_machine
def test_a_timer_has_a_row_where_it_runs_and_nowhere_else(machine: Machine) -> None:
    for state, timer in product(machine.timers, TIMERS):
        assert (timer in machine.timers[state]) == ((state, timer) in machine.rows), (state, timer)


@each_machine
def test_a_state_has_at_most_one_timer_of_each_sort_and_a_retransmitting_one_never_alone(machine: Machine) -> None:
    for state, names in machine.timers.items():
        sorts = [TIMERS[name].retransmits for name in names]
        assert sorts in ([], [False], [True, False]), state


@each_machine
def test_every_state_can_be_reached_and_can_end(machine: Machine) -> None:
    reached = {machine.first}
    for _ in machine.timers:
        reached |= {new for (old, _), (new, _) in machine.rows.items() if old in reached}
    assert reached == set(machine.timers)
    ending = {TERMINATED}
    for _ in machine.timers:
        ending |= {old for (old, _), (new, _) in machine.rows.items() if new in ending}
    assert ending == set(machine.timers)


@each_machine
def test_a_timer_that_ends_a_state_leaves_it(machine: Machine) -> None:
    for (state, given), (new, _) in machine.rows.items():
        if given in TIMERS:
            assert (new == state) == TIMERS[given].retransmits


def test_step_reads_the_table() -> None:
    machine = MACHINES[2]
    assert step(machine, ACCEPTED, "2xx") == INVITE_SERVER[ACCEPTED, "2xx"]
    assert step(machine, ACCEPTED, "300-699") is None
