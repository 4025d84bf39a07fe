"""What holds for every test."""

from __future__ import annotations

import os
import time
from math import inf

import pytest
from hypothesis import HealthCheck, settings
from trio.testing import MockClock

from sipd.store.worker import Worker
from tests.mariadb import MariaDb

# In CI the same examples each time: a change is judged by what it changed. At home Hypothesis goes on searching.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("home", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "home")


@pytest.fixture
def autojump_clock(monkeypatch):
    """Time that passes when nobody has anything to do; a thread that works for the database has.

    Else a slow disk would cost the server minutes of the tests' time, and the phones their patience.
    """
    clock = MockClock(autojump_threshold=0)
    run = Worker.run
    busy = 0

    async def counted(worker, function):
        nonlocal busy
        busy += 1
        clock.autojump_threshold = inf
        try:
            return await run(worker, function)
        finally:
            busy -= 1
            if not busy:
                clock.autojump_threshold = 0

    monkeypatch.setattr(Worker, "run", counted)
    return clock


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory):
    """A MariaDB that all tests share: take `mariadb.new_database()`, and leave the server as it is.

    Who stops, freezes or fills one starts his own `MariaDb`.
    """
    made = MariaDb(tmp_path_factory.mktemp("mariadb"))
    made.lasting = True
    made.start()
    yield made
    made.stop()


def pytest_collection_modifyitems(items):
    """No test is named by the moment it was found at: the processes of pytest-xdist must find the same names."""
    minute = time.strftime("%Y-%m-%dT%H:%M:", time.gmtime())
    named = [item.nodeid for item in items if minute in item.nodeid]
    if named:
        raise pytest.UsageError(f"named by the moment: {named}")
