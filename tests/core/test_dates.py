"""SIP-date there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.dates import date_value, seconds_of


def test_the_rfcs_own_example():
    assert date_value(1289690940) == "Sat, 13 Nov 2010 23:29:00 GMT"


@given(st.integers(0, 4_000_000_000))
def test_round_trip(seconds):
    assert seconds_of(date_value(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "GMT", "yesterday", "Sat, 99 Nov 2010 23:29:00 GMT", "Sat, 13 Nov 99999999 1:1:1 GMT", "é GMT"]
)
def test_what_is_no_date(text):
    assert seconds_of(text) is None


@given(st.text(max_size=40))
def test_nothing_raises(text):
    seconds_of(text + " GMT")
