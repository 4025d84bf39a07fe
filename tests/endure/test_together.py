"""Two servers on one MariaDB, a few seconds of what `python -m tests.endure nodes` does for minutes (T126)."""

from __future__ import annotations

import random

import pytest

from tests.endure.databases import Maria
from tests.endure.together import together
from tests.running import stop_all

SECONDS = 4.0

SEEN_IN = 30.0
"""Seconds in which changes must be seen, on a machine that may be busy with anything: usually it is a third of one."""


@pytest.fixture
def database(tmp_path):
    """A MariaDB that runs, with an empty database."""
    made = Maria(tmp_path)
    made.start()
    yield made
    stop_all()


def test_two_servers_answer_as_one(database):
    seen = together(database, [database.url] * 2, database.run, SECONDS, random.Random(126), seen_in=SEEN_IN)
    assert not seen.wrong, seen.wrong
    assert seen.nodes.answers[200] > 50
    assert seen.visitor.appeared.seen
    assert seen.visitor.vanished.seen
    assert seen.visitor.by_sql.seen


def test_two_servers_keep_their_order_while_mariadb_is_killed(database):
    chance = random.Random(127)
    seen = together(
        database, [database.url] * 2, database.run, SECONDS, chance, disturbed=database.server, seen_in=SEEN_IN
    )
    assert not seen.wrong, seen.wrong
    assert seen.nodes.answers[200] > 30
    assert seen.nodes.answers[503] + seen.nodes.answers[500] > 5, "it was not disturbed at all"
