from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sipd.recent import Recent


@given(st.lists(st.integers(0, 20)), st.integers(1, 6))
def test_recent_knows_at_least_the_last_used_and_is_bounded(keys, size):
    recent: Recent[int, str] = Recent(size)
    for position, key in enumerate(keys):
        if recent.get(key) is None:
            recent.put(key, str(key))
        assert len(recent) <= 2 * size
        last = list(dict.fromkeys(reversed(keys[: position + 1])))[:size]
        assert all(key in recent._young or key in recent._old for key in last)


def test_recent_forgets_what_is_dropped():
    recent: Recent[int, str] = Recent(2)
    for key in range(3):
        recent.put(key, "x")
    recent.drop(0)
    recent.drop(2)
    assert (recent.get(0), recent.get(1), recent.get(2)) == (None, "x", None)
    assert 1 in recent
    assert 0 not in recent
