"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# In CI the same examples each time: a change is judged by what it changed. At home Hypothesis goes on searching.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("home", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "home")
