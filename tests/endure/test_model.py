"""The measure of the programs here: it sees what is lost, resurrected or torn, and nothing else."""

from __future__ import annotations

import pytest

from tests.endure.model import FETCH, NOTHING, Knowledge, Wish, compared

A, B, OLD, NEW = (1, 10), (2, 20), (3, 30), (3, 31)


@pytest.mark.parametrize(
    ("may_be", "found", "lost", "resurrected", "torn"),
    [
        ([{A}], {A}, 0, 0, 0),
        ([{A}, {A, B}], {A, B}, 0, 0, 0),
        ([{A, B}], {A}, 1, 0, 0),
        ([{NEW}], {OLD}, 1, 0, 0),  # a refresh that is lost
        ([set()], {A}, 0, 1, 0),
        ([{OLD}], {NEW}, 0, 1, 0),  # never asked for
        ([set(), {A, B}], {A}, 0, 0, 1),  # one of two contacts of one REGISTER
        ([{A}, {B}], {A, B}, 0, 0, 1),  # replaced, and still there
        ([{A, B}], set(), 2, 0, 0),
        ([{A}], {B}, 1, 1, 0),
        ([{NEW}], {OLD, NEW}, 0, 0, 1),  # bound twice
    ],
)
def test_each_fault_by_its_name(may_be, found, lost, resurrected, torn):
    faults = compared([frozenset(one) for one in may_be], frozenset(found))
    assert (faults.lost, faults.resurrected, faults.torn) == (lost, resurrected, torn), faults.words


@pytest.mark.parametrize(
    ("wish", "after"),
    [
        (Wish(put=(B,)), {A, OLD, B}),
        (Wish(put=(NEW,)), {A, NEW}),
        (Wish(gone=(1,)), {OLD}),
        (Wish(put=(B,), gone=(1, 3)), {B}),
        (Wish(gone=(9,)), {A, OLD}),
        (Wish(clear=True), set()),
        (FETCH, {A, OLD}),
    ],
)
def test_what_a_register_does(wish, after):
    assert wish.applied(frozenset({A, OLD})) == after


def test_what_was_not_answered_may_be_or_not_until_it_is_known():
    user = Knowledge()
    user.uncertain(Wish(put=(A,)))
    assert user.may_be == {NOTHING, frozenset({A})}
    assert not user.acknowledged(FETCH, NOTHING)
    assert len(user.may_be) == 2, "a look at what is bound says nothing of a commit that may be still to come"
    assert not user.acknowledged(Wish(put=(B,)), frozenset({A, B}))
    assert user.may_be == {frozenset({A, B})}
    assert user.found(frozenset({B})).lost == 1
    assert user.acknowledged(Wish(put=(A,)), frozenset({A})).lost == 1
