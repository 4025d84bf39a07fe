"""What a decision leaves behind, so that a call can be explained later.

Leaving a line costs an append; words are made when somebody asks
(`server/explain.py`).
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One thing that was decided: which step, what it saw, what it chose. Small values only."""

    step: str  # "identify", "locate", "cpl", "branch", ...
    saw: str
    chose: str


Trace = list[Step]
"""The steps of one request in the order they were taken; appended to by whoever decides."""
