"""The 100 that a slow non-INVITE gets: once its sender would retransmit at T2, and not before (RFC 4320 §4.1)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sipd.message import response_to

if TYPE_CHECKING:
    from sipd.transaction import Handle, ServerTransaction, Transactions
    from sipd.transaction.timers import TimerValues

GRAIN: Final = 0.25
"""Seconds between two looks at those that are due: a 100 may come late, only not early."""


def until_t2(timers: TimerValues) -> float:
    """Seconds from the first request to the moment Timer E is set to T2 (RFC 4320 §4.1): 3.5 with the usual values."""
    interval, passed = timers.t1, 0.0
    while interval < timers.t2:
        passed += interval
        interval *= 2
    return passed


class Trying:
    """Requests under way in the order they came: most are answered long before their turn, and cost nothing more."""

    __slots__ = ("_handle", "_queue", "_transactions", "_wait")

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._wait = until_t2(transactions.timers)
        self._queue: deque[tuple[float, ServerTransaction]] = deque()
        self._handle: Handle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def expect(self, server: ServerTransaction, now: float) -> None:
        """See to it that this request, which came now, has a 100 if it has no answer in time."""
        queue = self._queue
        while queue and queue[0][1].answered:
            queue.popleft()
        queue.append((now + self._wait, server))
        if self._handle is None:
            self._handle = self._transactions.deadlines.call_at(now + self._wait, self._due, now)

    def _due(self) -> None:
        now, queue, transactions = self._transactions.clock(), self._queue, self._transactions
        self._handle = None
        while queue and (queue[0][0] <= now or queue[0][1].answered):
            _, server = queue.popleft()
            if not server.answered:
                transactions.respond(server, 100, bytes(response_to(server.request, 100)))
        if queue:
            self._handle = transactions.deadlines.call_at(max(queue[0][0], now + GRAIN), self._due, now)
