"""Deadlines: nothing early, nothing lost, nothing kept that was cancelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.transaction.timers import LOOKAHEAD, TICKS, TIMERS, Deadlines, TimerValues


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.deadlines = Deadlines(lambda: self.now)
        self.called: list[tuple[str, float]] = []
        self.woken = 0
        self.deadlines.on_earlier = self._wake

    def _wake(self) -> None:
        self.woken += 1

    def at(self, when: float, name: str = "x"):
        return self.deadlines.call_at(when, lambda: self.called.append((name, self.now)))

    def run(self, until: float) -> None:
        while (due := self.deadlines.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.deadlines.expire(self.now)
        self.now = until


@given(st.lists(st.floats(0, 300), max_size=30))
def test_each_call_comes_once_in_its_tick_and_never_early(whens: list[float]) -> None:
    bench = Bench()
    for number, when in enumerate(whens):
        bench.at(when, str(number))
    bench.run(301)
    assert sorted(int(name) for name, _ in bench.called) == list(range(len(whens)))
    for name, at in bench.called:
        assert whens[int(name)] <= at <= whens[int(name)] + 1 / TICKS
    assert [at for _, at in bench.called] == sorted(at for _, at in bench.called)
    assert len(bench.deadlines) == 0


def test_calls_of_one_tick_come_in_the_order_they_were_made() -> None:
    bench = Bench()
    for name in "abc":
        bench.at(1.0, name)
    bench.run(2)
    assert [name for name, _ in bench.called] == ["a", "b", "c"]


def test_a_cancelled_call_does_not_come_and_is_forgotten_soon() -> None:
    bench = Bench()
    handle = bench.at(1000.0)
    assert handle.active
    handle.cancel()
    handle.cancel()
    assert not handle.active
    bench.run(LOOKAHEAD)
    assert len(bench.deadlines) == 0
    bench.run(2000)
    assert bench.called == []


@pytest.mark.parametrize("moves", [(5.0,), (50.0,), (5.0, 50.0), (50.0, 5.0), (0.0,)])
def test_a_moved_call_comes_once_at_its_last_time(moves: tuple[float, ...]) -> None:
    bench = Bench()
    handle = bench.at(20.0)
    for when in moves:
        handle.move(when)
    bench.run(100)
    assert bench.called == [("x", moves[-1])]
    handle.move(200.0)
    bench.run(300)
    assert len(bench.called) == 1


def test_call_later_counts_from_now() -> None:
    bench = Bench()
    bench.now = 3.0
    bench.deadlines.call_later(2.0, lambda: bench.called.append(("later", bench.now)))
    bench.run(10)
    assert bench.called == [("later", 5.0)]


def test_whoever_sleeps_is_woken_only_for_something_earlier() -> None:
    bench = Bench()
    for when, woken in [(10.0, 1), (10.0, 1), (20.0, 1), (5.0, 2), (7.0, 2)]:
        bench.at(when)
        assert bench.woken == woken, when
    assert bench.deadlines.next_due() == 5.0


def test_one_that_raises_does_not_hold_up_the_others() -> None:
    bench = Bench()

    def breaks() -> None:
        raise ArithmeticError

    bench.at(1.0, "before")
    bench.deadlines.call_at(1.0, breaks)
    bench.at(1.0, "after")
    with pytest.raises(ArithmeticError):
        bench.deadlines.expire(1.0)
    assert bench.deadlines.next_due() == 1.0
    bench.deadlines.expire(1.0)
    assert [name for name, _ in bench.called] == ["before", "after"]
    assert bench.deadlines.next_due() is None


def test_a_call_made_for_now_while_running_comes_in_the_same_run() -> None:
    bench = Bench()
    bench.deadlines.call_at(1.0, lambda: bench.at(1.0) and None)
    bench.deadlines.expire(1.0)
    assert len(bench.called) == 1


def test_the_values_are_those_of_table_4() -> None:
    values = TimerValues()
    firsts = {name[-1]: timer.first(values) for name, timer in TIMERS.items() if name.startswith("timer")}
    assert firsts == dict(A=0.5, B=32, D=32, E=0.5, F=32, G=0.5, H=32, I=5, J=32, K=5, L=32, M=32)
    reliable = {name[-1] for name, timer in TIMERS.items() if timer.reliable(values) == 0}
    assert reliable == set("DIJK")
