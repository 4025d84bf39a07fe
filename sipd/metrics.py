"""Plain counters of this process, by fixed names, and gauges of its tables."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - mypyc looks it up when the class is made
from typing import Final, NamedTuple


class Gauge(NamedTuple):
    """How many entries a table has now, and the most it may have."""

    size: Callable[[], int]
    most: int


NAMES: Final = (
    "answered",
    "calls",
    "dropped",
    "faults",
    "fetch_failures",
    "fetches",
    "log_lines_lost",
    "mails_lost",
    "mails_sent",
    "received",
    "relayed",
    "retransmitted",
    "scripts",
    "turned_away",
    "unsent",
)
"""The counters there are."""


class Counters:
    """What has happened so far; read by the control socket."""

    __slots__ = NAMES

    def __init__(self) -> None:
        self.received = 0  # messages taken in
        self.dropped = 0  # messages nobody could be told about
        self.answered = 0  # final responses sent
        self.calls = 0  # requests forwarded
        self.relayed = 0  # passed on without a transaction
        self.retransmitted = 0  # requests that a transaction had seen before
        self.scripts = 0  # runs of a user's script
        self.turned_away = 0  # requests of sources that sent too many
        self.unsent = 0  # responses whose way back was gone
        self.fetches = 0  # what scripts had fetched over HTTP
        self.fetch_failures = 0  # of these, what could not be had
        self.log_lines_lost = 0  # lines of scripts that were not kept
        self.mails_sent = 0  # mails of scripts that a mail server has taken
        self.mails_lost = 0  # those that none took
        self.faults = 0  # exceptions stopped at the door

    def as_dict(self) -> dict[str, int]:
        """All counters by name."""
        return {name: getattr(self, name) for name in NAMES}
