from __future__ import annotations

import pytest

from sipd.net.pace import Pace


def delays(pace: Pace, source: str, count: int, now: float) -> list[float]:
    return [round(pace.delay(source, now), 6) for _ in range(count)]


def test_a_burst_is_free_and_then_one_comes_after_another():
    pace = Pace(rate=10, burst=3)
    assert delays(pace, "192.0.2.1", 5, 100.0) == [0, 0, 0, 0.1, 0.2]


def test_who_waits_gets_it_all_again():
    pace = Pace(rate=10, burst=3)
    delays(pace, "192.0.2.1", 4, 100.0)
    assert delays(pace, "192.0.2.1", 2, 100.2) == [0, 0.1]
    assert delays(pace, "192.0.2.1", 4, 200.0) == [0, 0, 0, 0.1]


def test_each_source_has_its_own():
    pace = Pace(rate=10, burst=1)
    delays(pace, "192.0.2.1", 100, 100.0)
    assert delays(pace, "192.0.2.2", 1, 100.0) == [0]
    delays(pace, "2001:db8::1", 100, 100.0)
    assert delays(pace, "2001:db8::2", 1, 100.0) > [1], "a network of IPv6 is one source"
    assert delays(pace, "2001:db8:1::2", 1, 100.0) == [0]


@pytest.mark.parametrize("source", ["127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine_never_waits(source):
    assert delays(Pace(rate=1, burst=1), source, 10, 100.0) == [0] * 10


def test_many_sources_take_no_more_than_their_room():
    pace = Pace(rate=10, burst=3, sources=8)
    for number in range(1000):
        pace.delay(f"2001:db8:{number:x}::1", 100.0)
    assert len(pace._empty_at) <= 16
