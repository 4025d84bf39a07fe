"""The one timer task: runs what is due."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

from sipd.server.door import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.log import EventLog
    from sipd.metrics import Counters
    from sipd.transaction import Transactions

GRAIN: Final = 0.01
"""Seconds between two looks at the least: under load one look serves many timers."""


class Clock:
    """Sleeps until the earliest deadline of the house and carries out what is due then."""

    def __init__(self, transactions: Transactions, now: Callable[[], float], counters: Counters, log: EventLog) -> None:
        self._transactions = transactions
        self._now = now
        self._counters = counters
        self._log = log
        self._scope: trio.CancelScope | None = None
        self._rested = 0.0
        transactions.deadlines.on_earlier = self._wake_earlier

    def _wake_earlier(self) -> None:
        due = self._transactions.deadlines.next_due()
        if self._scope is not None and due is not None:
            self._scope.deadline = max(due, self._rested)

    async def run(self) -> None:
        """Serve timers until cancelled."""
        deadlines = self._transactions.deadlines
        while True:
            due = deadlines.next_due()
            # bounds one sleep; a new earlier timer moves the deadline forward in place
            with trio.CancelScope(deadline=math.inf if due is None else max(due, self._rested)) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            self._rested = self._now() + GRAIN
            # what broke was one timer's callback: the others due are still to be run
            while not guarded("timer", self._run_due, self._counters, self._log):
                pass

    def _run_due(self) -> None:
        self._transactions.expire(self._now())
