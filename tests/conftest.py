"""What holds for every test."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, settings

from tests.mariadb import MariaDb

# In CI the same examples each time: a change is judged by what it changed. At home Hypothesis goes on searching.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("home", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "home")


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
