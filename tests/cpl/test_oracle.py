"""The engine of time-switches against the definition, candidate by candidate, in random cases (RFC 3880 appendix A).

100,000 of them: `python -m tests.cpl.oracle 100000`.
"""

from __future__ import annotations

from tests.cpl.oracle import FREQUENCIES, check


def test_the_engine_agrees_with_the_definition():
    seen = check(5_000, seed=3880)
    assert seen["inside"] > 700, "calls inside and outside of the times"
    for what in (*FREQUENCIES, "once", "count", "byweekno", "byyearday", "bysetpos"):
        assert seen[what] > 40, what
