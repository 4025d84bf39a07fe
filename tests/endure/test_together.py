"""Two servers on one MariaDB, a few seconds of what `python -m tests.endure nodes` does for minutes (T126)."""

from __future__ import annotations

import random

from tests.endure.databases import Maria
from tests.endure.together import together
from tests.running import stop_all

SECONDS = 4.0


def test_two_servers_answer_as_one(tmp_path):
    database = Maria(tmp_path)
    database.start()
    try:
        seen = together(database, [database.url] * 2, database.run, SECONDS, random.Random(126))
    finally:
        stop_all()
    assert not seen.wrong, seen.wrong
    assert seen.nodes.answers[200] > 100
    assert len(seen.visitor.appeared.seen) > 3
    assert len(seen.visitor.by_sql.seen) > 3
