"""Guard: bounded in size and age, and forgetting to the safe side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.guard import (
    HOLD,
    HOLD_IN_ALL,
    WINDOW,
    Ageing,
    ChallengedCalls,
    Failures,
    Guard,
    NonceWindows,
    Rate,
    Uploads,
    network_of,
)

NONCE = "6b49d200" + "0" * 32


@given(st.lists(st.integers(1, 200), max_size=60))
def test_each_count_once_and_none_far_below_the_highest(counts):
    windows = NonceWindows()
    used: set[int] = set()
    for count in counts:
        fresh = count not in used and (not used or count >= max(used) - WINDOW)
        assert windows.count_is_fresh(NONCE, count) == fresh
        if fresh:
            windows.mark(NONCE, count, 0.0)
            used.add(count)


@pytest.mark.parametrize(
    ("highest", "count", "fresh"), [(100, 36, True), (100, 35, False), (100, 101, True), (2**32 - 1, 1, False)]
)
def test_edge_of_the_window(highest, count, fresh):
    windows = NonceWindows()
    windows.mark(NONCE, highest, 0.0)
    assert windows.count_is_fresh(NONCE, count) is fresh


def test_count_below_the_window_marked_anyway_changes_nothing():
    windows = NonceWindows()
    windows.mark(NONCE, 500, 0.0)
    windows.mark(NONCE, 1, 0.0)
    assert windows.count_is_fresh(NONCE, 499)
    assert not windows.count_is_fresh(NONCE, 500)


def test_without_qop_a_nonce_counts_once():
    windows = NonceWindows()
    assert windows.count_is_fresh(NONCE, 0)
    windows.mark(NONCE, 0, 0.0)
    assert not windows.count_is_fresh(NONCE, 0)
    assert not windows.count_is_fresh(NONCE, 7)
    assert not windows.count_is_fresh(NONCE, 2**32 - 1)


def test_a_nonce_used_with_counts_is_not_good_without():
    windows = NonceWindows()
    windows.mark(NONCE, 1, 0.0)
    assert not windows.count_is_fresh(NONCE, 0)


def test_what_is_pushed_out_is_not_fresh_again():
    windows = NonceWindows(capacity=2)
    nonces = [f"6b49d20{second}" + "f" * 32 for second in range(4)]
    for nonce in nonces:
        windows.mark(nonce, 1, 0.0)
    assert len(windows) == 2
    assert [windows.count_is_fresh(nonce, 2) for nonce in nonces] == [False, False, True, True]
    assert not windows.count_is_fresh("6b49d201" + "0" * 32, 1)  # unknown, and as old as one that had to go
    assert windows.count_is_fresh("6b49d202" + "0" * 32, 1)


def test_nonces_of_before_a_restart_are_not_fresh():
    windows = NonceWindows(not_before="6b49d201")
    assert not windows.count_is_fresh("6b49d200" + "f" * 32, 1)
    assert windows.count_is_fresh("6b49d201" + "0" * 32, 1)


def test_entries_are_forgotten_by_age():
    kept: Ageing[int, str] = Ageing(10.0, 100)
    for key in range(5):
        kept.put(key, "x", float(key))
    kept.put(99, "x", 12.5)
    assert [key in kept for key in (0, 1, 2, 3, 4, 99)] == [False, False, False, True, True, True]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 3)), max_size=100), st.integers(1, 10))
def test_never_more_than_capacity_and_the_last_put_is_there(puts, capacity):
    kept: Ageing[int, int] = Ageing(5.0, capacity)
    now = 0.0
    for key, pause in puts:
        now += pause
        kept.put(key, key, now)
        assert len(kept) <= capacity
        assert kept.get(key) == key


def test_a_call_is_challenged_once():
    calls = ChallengedCalls(capacity=2)
    assert "a" not in calls
    for call_id in ("a", "b", "c"):
        calls.add(call_id, 0.0)
    assert ["a" in calls, "b" in calls, "c" in calls, len(calls)] == [False, True, True, 2]


def test_failures_count_per_user_and_source():
    failures = Failures(allowed=2)
    assert [failures.add("alice", "192.0.2.9", 0.0) for _ in range(2)] == [1, 2]
    assert failures.too_many("alice", "192.0.2.9")
    assert not failures.too_many("alice", "192.0.2.8")
    assert not failures.too_many("bob", "192.0.2.9")
    assert len(failures) == 2  # the pair, and the source
    failures.add("bob", "192.0.2.9", 301.0)
    assert not failures.too_many("alice", "192.0.2.9")


def test_after_five_minutes_without_a_failure_all_is_forgotten():
    """Of the source as well, and however many others there are to be forgotten."""
    failures = Failures()
    for number in range(49):
        failures.add(f"u{number}", "192.0.2.7", 0.0)
    assert failures.add("u48", "192.0.2.7", 299.0) == 2
    assert failures.too_many("u48", "192.0.2.7")
    assert failures.add("u48", "192.0.2.7", 600.0) == 1
    assert failures.in_all("192.0.2.7") == 1
    assert not failures.too_many("u48", "192.0.2.7")


def test_who_tries_many_names_is_noticed_too():
    failures = Failures(allowed_in_all=3)
    for name in ("alice", "bob", "carol"):
        assert not failures.too_many(name, "192.0.2.9")
        assert failures.add(name, "192.0.2.9", 0.0) == 1
    assert failures.too_many("dave", "192.0.2.9")
    assert not failures.too_many("dave", "192.0.2.8")
    assert failures.is_held("dave", "192.0.2.9", 0.0)
    assert not failures.is_held("dave", "192.0.2.9", HOLD_IN_ALL)


def test_who_failed_too_often_is_not_looked_at_for_a_while():
    failures = Failures(allowed=2)
    assert not failures.is_held("alice", "192.0.2.9", 0.0)
    failures.add("alice", "192.0.2.9", 0.0)
    assert not failures.is_held("alice", "192.0.2.9", 0.0)
    failures.add("alice", "192.0.2.9", 10.0)
    assert failures.is_held("alice", "192.0.2.9", 10.0 + HOLD - 0.01)
    assert not failures.is_held("alice", "192.0.2.9", 10.0 + HOLD)
    assert not failures.is_held("alice", "192.0.2.8", 10.0), "another source is not his"
    assert not failures.is_held("bob", "192.0.2.9", 10.0), "nor is another user"


def test_a_user_who_proved_himself_there_before_is_looked_at():
    failures = Failures(allowed=1)
    failures.proved("alice", "192.0.2.9")
    for name in ("alice", "bob"):
        failures.add(name, "192.0.2.9", 0.0)
    assert not failures.is_held("alice", "192.0.2.9", 0.0)
    assert failures.is_held("bob", "192.0.2.9", 0.0)
    assert failures.too_many("alice", "192.0.2.9"), "his own failures are slow all the same"


def test_an_ipv6_network_of_64_bits_is_one_source():
    failures = Failures(allowed=2)
    for host in ("2001:db8::1", "2001:db8::ffff"):
        failures.add("alice", host, 0.0)
    assert failures.too_many("alice", "2001:db8:0:0:1:2:3:4")
    assert failures.is_held("alice", "2001:db8::7", 0.0)
    assert not failures.too_many("alice", "2001:db8:0:1::1")
    failures.proved("bob", "2001:db8::1")
    failures.add("bob", "2001:db8::2", 0.0)
    failures.add("bob", "2001:db8::3", 0.0)
    assert not failures.is_held("bob", "2001:db8::4", 0.0)


def test_made_up_names_do_not_have_a_guesser_forgotten():
    """[T117] Bounded, and what one source makes up pushes out no count of the source itself."""
    failures = Failures(capacity=100)
    for n in range(1000):
        failures.add(f"nobody{n}", "192.0.2.9", n / 1000)
        failures.proved(f"nobody{n}", "192.0.2.9")
    assert len(failures) == 100
    assert failures.too_many("alice", "192.0.2.9")


def test_guard_is_the_view_decisions_have():
    guard = Guard()
    guard.nonces.mark(NONCE, 1, 0.0)
    guard.challenged.add("call-1", 0.0)
    assert not guard.count_is_fresh(NONCE, 1)
    assert guard.was_challenged("call-1")
    assert not guard.was_challenged("call-2")


# --- how many a source sends (T59) --------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_source_has_its_number_of_requests_in_every_second():
    clock, rate = Clock(), Rate(3)
    assert [rate.excess("192.0.2.7", clock) for _ in range(3)] == [0, 0, 0]
    assert rate.excess("192.0.2.7", clock) == 0, "here the second begins"
    assert [rate.excess("192.0.2.7", clock) for _ in range(4)] == [0, 0, 1, 2]
    assert rate.excess("192.0.2.8", clock) == 0, "another's are his own"
    clock.now += 0.99
    assert rate.excess("192.0.2.7", clock) == 3
    clock.now += 0.01
    assert [rate.excess("192.0.2.7", clock) for _ in range(4)] == [0, 0, 0, 1]


def test_slow_sources_never_reach_the_limit_however_long_they_send():
    clock, rate = Clock(), Rate(3)
    for _ in range(1000):
        clock.now += 0.5
        assert rate.excess("192.0.2.7", clock) == 0


def test_all_addresses_of_one_ipv6_network_are_one_source():
    clock, rate = Clock(), Rate(1)
    found = [rate.excess(f"2001:db8:0:1::{n:x}", clock) for n in range(1, 5)]
    assert found == [0, 0, 1, 2]
    assert rate.excess("2001:db8:0:2::1", clock) == 0
    assert (network_of("2001:db8:0:1::9"), network_of("192.0.2.7")) == ("2001:db8:0:1::", "192.0.2.7")


def test_made_up_sources_take_no_more_room_than_there_is():
    clock, rate = Clock(), Rate(3, capacity=100)
    for number in range(10_000):
        rate.excess(f"10.0.{number >> 8}.{number & 255}", clock)
    assert len(rate) <= 100


def test_uploads_of_a_user_in_a_minute():
    uploads = Uploads(most=20, period=60.0, capacity=3, least=4)
    for at, size in ((0.0, 15), (59.0, 1), (59.1, 9)):
        assert uploads.allowed("alice", at)
        uploads.add("alice", size, at)
    assert not uploads.allowed("alice", 59.5)
    assert uploads.allowed("bob", 59.5)
    assert uploads.allowed("alice", 60.0)
    assert uploads.allowed("alice", -60.0)  # the clock was put back
    uploads.add("alice", 1, 60.0)
    assert uploads.allowed("alice", 61.0)
    for user in "bcde":
        uploads.add(user, 1, 61.0)
        assert len(uploads) <= 3
