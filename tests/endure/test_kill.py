"""kill -9 of whole servers, a few rounds of what `python -m tests.endure kill` does by the thousand (T54 to T56)."""

from __future__ import annotations

import random

import pytest

from tests.endure.databases import Sqlite
from tests.endure.kill import kill
from tests.running import stop_all

ROUNDS = 6


@pytest.fixture
def chance():
    """Other moments each time; the seed is shown when a test fails."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_what_was_answered_outlives_a_kill(tmp_path, chance):
    try:
        tally = kill(Sqlite(tmp_path), ROUNDS, chance)
    finally:
        stop_all()
    assert not tally.faults, tally.faults.words
    assert tally.acknowledged > 10 * ROUNDS
    assert set(tally.answers) == {200}, tally
