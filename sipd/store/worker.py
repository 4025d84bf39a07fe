"""One thread that does one thing after another for the loop: cheaper than a pool, and always the same thread."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import outcome
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], None] | None

R = TypeVar("R")


class Worker:
    """A thread that is started by its first job and ended by `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], R]) -> R:
        """What `function` returns or raises, in the thread. Begun, it is waited for: it can't be cancelled."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()

        def job() -> None:
            result = outcome.capture(function)
            with suppress(trio.RunFinishedError):  # nobody is left to hear of it
                token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        self._jobs.put(job)
        result: R = await trio.lowlevel.wait_task_rescheduled(_not_now)
        return result

    def stop(self) -> None:
        """End the thread when its jobs are done; another job starts another one."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None
            self._jobs = SimpleQueue()


def _work(jobs: SimpleQueue[Job]) -> None:
    while (job := jobs.get()) is not None:
        job()


def _not_now(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
