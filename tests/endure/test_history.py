"""The history check itself: it accepts what one order explains, and nothing else."""

from __future__ import annotations

import random

import pytest

from tests.endure.history import Operation, violation
from tests.endure.model import FETCH, NOTHING, Wish

A, B, A2 = (1, 10), (2, 20), (1, 11)


def op(began, ended, wish, *listed, status=200, phone="p", cseq=None):
    return Operation(
        began, ended, phone, int(began * 100) if cseq is None else cseq, 0, wish, status, frozenset(listed)
    )


PUT_A, PUT_B, PUT_A2, DROP_A, CLEAR = Wish((A,)), Wish((B,)), Wish((A2,)), Wish(gone=(1,)), Wish(clear=True)

GOOD = {
    "one after the other": [op(1, 2, PUT_A, A), op(3, 4, PUT_B, A, B), op(5, 6, CLEAR)],
    "two at once, in either order": [op(1, 4, PUT_A, A, B), op(2, 3, PUT_B, B, phone="q")],
    "what is shown may be a second old": [op(1, 2, PUT_A, A), op(2.5, 2.6, FETCH)],
    "refused, and nothing done": [op(1, 2, PUT_A, status=503), op(3, 4, PUT_B, B)],
    "unanswered, and done": [op(1, 2, PUT_A, status=0), op(3, 4, PUT_B, A, B)],
    "unanswered, and not done": [op(1, 2, PUT_A, status=0), op(3, 4, PUT_B, B)],
    "500, and done later": [op(1, 2, PUT_A, status=500), op(3, 4, PUT_B, B), op(5, 6, FETCH, A, B)],
    "overtaken by its successor, and refused": [
        op(1, 4, PUT_A, status=400, cseq=1), op(2, 3, PUT_A2, A2, cseq=2),
    ],
    "two at once, both in the order of CSeq": [op(1, 4, PUT_A, A, cseq=1), op(2, 5, PUT_A2, A2, cseq=2)],
    "removed twice": [op(1, 2, PUT_A, A), op(3, 4, DROP_A), op(5, 6, DROP_A)],
}  # fmt: skip

BAD = {
    "lost": [op(1, 2, PUT_A, A), op(3, 4, PUT_B, B)],
    "lost between two at once": [op(1, 4, PUT_A, A), op(2, 3, PUT_B, B, phone="q")],
    "resurrected": [op(1, 2, PUT_A, A), op(3, 4, DROP_A), op(5, 6, PUT_B, A, B)],
    "shown long after it was removed": [op(1, 2, PUT_A, A), op(3, 4, DROP_A), op(5.5, 6, FETCH, A)],
    "removed, by a server that did not know it": [
        op(1, 2, PUT_A, A),
        op(2.1, 2.2, DROP_A, phone="q"),
        op(5, 6, FETCH, A),
    ],
    "503, and done": [op(1, 2, PUT_A, status=503), op(3, 4, PUT_B, A, B)],
    "torn": [op(1, 2, Wish((A, B)), status=0), op(3, 4, FETCH, A)],
    "overtaken by its successor, and done": [
        op(1, 4, PUT_A, A, cseq=1),
        op(2, 3, PUT_A2, A2, cseq=2),
        op(6, 7, FETCH, A),
    ],
    "refused without a reason": [op(1, 2, PUT_A, status=400)],
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_one_order_explains_it(history):
    assert violation(history) == ""


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_no_order_explains_it(history):
    assert violation(history)


def test_what_is_stored_at_the_end_belongs_to_it():
    assert violation([op(1, 2, PUT_A, A)], frozenset({A})) == ""
    assert violation([op(1, 2, PUT_A, A)], NOTHING)
    assert violation([op(1, 2, PUT_A, status=0)], NOTHING) == ""
    assert violation([op(1, 2, PUT_A, status=0), op(1, 2, PUT_B, status=0)], frozenset({A, B})) == ""
    assert violation([op(1, 2, PUT_A, status=0)], frozenset({B}))


def test_histories_of_a_sound_server_pass_and_one_swapped_answer_does_not():
    """Random ones, up to three at once: their effects in random order, the intervals around them."""
    chance = random.Random(1990)
    caught = 0
    for _ in range(200):
        state, history = NOTHING, []
        for number in range(20):
            mark = number + 1
            ports = [port for port, _ in state]
            wish = chance.choice([Wish(((mark, mark),)), Wish(gone=tuple(ports[:1])) if ports else CLEAR, CLEAR, FETCH])
            state = wish.applied(state)
            moment = float(number)
            began, ended = moment - chance.uniform(0, 1.2), moment + chance.uniform(0, 1.2)
            history.append(op(began, ended, wish, *state, phone=f"p{number}"))
        assert violation(history, state) == ""
        broken = chance.randrange(20)
        listed = history[broken].listed ^ {(99, 99)}
        history[broken] = op(history[broken].began, history[broken].ended, history[broken].wish, *listed, phone="x")
        caught += violation(history, state) != ""
    assert caught == 200
