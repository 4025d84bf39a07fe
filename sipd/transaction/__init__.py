"""Floor 1: transactions (RFC 3261 §17). Four tables, one table of rows, one queue of deadlines."""

from sipd.transaction.kinds import ClientTransaction, ClientUser, ServerTransaction, ServerUser
from sipd.transaction.table import CAPACITY, COOKIE, Counts, Transactions
from sipd.transaction.timers import Deadlines, Handle, TimerValues

__all__ = [
    "CAPACITY",
    "COOKIE",
    "ClientTransaction",
    "ClientUser",
    "Counts",
    "Deadlines",
    "Handle",
    "ServerTransaction",
    "ServerUser",
    "TimerValues",
    "Transactions",
]
