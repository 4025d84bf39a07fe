"""A short run of the fuzzer; the long one is `python -m tests.fuzz_message --count 1000000`."""

from __future__ import annotations

from tests.fuzz_message import run


def test_nothing_but_sip_errors_comes_out_of_mutated_messages() -> None:
    outcome = run(20_000, seed=3261)
    assert not outcome.violation, f"{outcome.violation}: {outcome.violation_data!r}"
    assert outcome.accepted > 2000, "too few get through to be a test"
