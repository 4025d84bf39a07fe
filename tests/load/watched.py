"""A sipd that watches its own loop: at its end it prints the worst that one step of a task did to all others (T122).

`cpu` is the processor time of the longest step. `blocked` are the longest
times, in order, of steps in which the thread went to sleep: what a blocking
call does, and, for a moment, a wait for the interpreter's lock. That the
machine gave its processor to somebody else counts as neither.
"""

from __future__ import annotations

import resource
import sys
import time

import trio

from sipd.server.startup import Options, _main

KEPT = 5


class Watch(trio.abc.Instrument):
    """Measures every step of every task."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self.blocked = [0.0] * KEPT
        self.steps = 0
        self.is_ready = False
        self._began = (0.0, 0.0, 0)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = (time.perf_counter(), time.thread_time(), resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        wall, cpu, slept = self._began
        if not self.is_ready:  # a start may take its time
            return
        self.steps += 1
        if self.steps == 1:  # the last step of the start
            return
        self.cpu = max(self.cpu, time.thread_time() - cpu)
        if resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > slept:
            self.blocked = sorted([*self.blocked, time.perf_counter() - wall])[1:]


def main(database: str, *listen: str) -> None:
    """Serve until a signal, and say what was seen."""
    watch = Watch()

    def ready() -> None:
        watch.is_ready = True

    options = Options(database=database, listen=listen)
    trio.run(_main, options, lambda line: print(line, flush=True), ready, (), instruments=[watch])
    print(
        f"steps={watch.steps} cpu={watch.cpu:.4f} blocked={' '.join(f'{one:.4f}' for one in watch.blocked)}", flush=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
