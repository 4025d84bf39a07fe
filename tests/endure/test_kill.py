"""kill -9 of whole servers, a few rounds of what `python -m tests.endure kill` does by the thousand (T54 to T56)."""

from __future__ import annotations

import random

import pytest

from tests.endure.databases import Maria, Sqlite
from tests.endure.kill import kill
from tests.running import stop_all

ROUNDS = 4


@pytest.fixture
def chance():
    """Other moments each time; the seed is shown when a test fails."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(params=[Sqlite, Maria])
def database(request, tmp_path):
    """One that runs and is empty."""
    made = request.param(tmp_path)
    made.start()
    yield made
    stop_all()


def test_what_was_answered_outlives_a_kill_of_the_server(database, chance):
    tally = kill(database, ["sipd"] * ROUNDS, chance)
    assert not tally.faults, tally.faults.words
    assert tally.acknowledged > 10 * ROUNDS
    assert set(tally.answers) == {200}, tally


def test_what_was_answered_outlives_a_kill_of_the_database(tmp_path, chance):
    database = Maria(tmp_path)
    database.start()
    try:
        tally = kill(database, ["database", "both", "database"], chance)
    finally:
        stop_all()
    assert not tally.faults, tally.faults.words
    assert tally.acknowledged > 10
    assert {200} < set(tally.answers) <= {200, 500, 503}, tally
