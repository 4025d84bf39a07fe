"""What holds for every test."""

from __future__ import annotations

import os

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
