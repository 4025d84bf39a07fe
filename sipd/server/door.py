"""The only broad `except` there is: where the outside comes in.

What breaks behind the door is dropped, counted and logged; nobody else's call
hears of it.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sipd.log import EventLog
    from sipd.metrics import Counters


def report(whose: str, fault: BaseException, counters: Counters, log: EventLog) -> None:
    """Count and log one fault, with the place it was raised at."""
    counters.faults += 1
    frames = traceback.extract_tb(fault.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    log.event("fault", whose=whose, kind=type(fault).__name__, where=where, text=fault)


def guarded(whose: str, function: Callable[[], None], counters: Counters, log: EventLog) -> bool:
    """Call it; False when it broke."""
    try:
        function()
    except Exception as fault:  # the door: one broken call may not end the server
        report(whose, fault, counters, log)
        return False
    return True


async def guarded_task(
    whose: str,
    task: Callable[[], Awaitable[None]],
    counters: Counters,
    log: EventLog,
    broken: Callable[[], None] | None = None,
) -> None:
    """Run a task to its end; when it breaks, tell `broken` and end well. Cancellation passes."""
    try:
        await task()
    except trio.Cancelled:
        raise
    except Exception as fault:  # the door, for tasks (ExceptionGroup included)
        report(whose, fault, counters, log)
        if broken is not None:
            guarded(whose, broken, counters, log)
