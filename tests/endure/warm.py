"""Servers that start in a tenth of the time: a process that has read all modules forks each of them.

What runs is `sipd` itself, with its own arguments, in a process of its own
that can be killed; only Python and the modules are loaded already.
`python -m tests.endure.warm` takes a JSON list of arguments a line.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
import time

from tests.running import FAULTS, READY, REPOSITORY, Child

STARTED = r"^started (\d+)$"
GONE = 10.0
"""Seconds in which a process that was killed is gone."""


class Server:
    """One sipd at a time, started as often as wanted."""

    def __init__(self, url: str, listen: str) -> None:
        self._arguments = json.dumps(["-X", "-D", url, "--listen", listen])
        self._warm = Child([sys.executable, "-m", "tests.endure.warm"], name="sipd", cwd=REPOSITORY, stdin=True)
        self._warm.wait_for("warm", seconds=60)
        self.pid = 0
        self._first = 0  # the line of output from which the server of now speaks

    def start(self) -> None:
        """Ready to be spoken to."""
        self._first = len(self._warm.lines)
        self._warm.say(self._arguments)
        self.pid = int(self._warm.wait_for(STARTED, since=self._first)[1])
        try:
            self._warm.wait_for(READY, since=self._first)
        except BaseException:
            self._warm.kill()
            raise

    def kill(self) -> None:
        """End it without a chance to tidy up (SIGKILL)."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait_until_gone()

    def end_well(self) -> None:
        """Ask it to end. Raises AssertionError when it doesn't, or any of the servers here has left an error."""
        os.kill(self.pid, signal.SIGTERM)
        self._wait_until_gone()
        self._warm.stop()
        faults = [line for line in self._warm.errors if FAULTS.search(line) or "event=fault" in line]
        assert not faults, self.output

    @property
    def output(self) -> str:
        """What all of them have said."""
        return self._warm.output

    def _wait_until_gone(self) -> None:
        deadline = time.monotonic() + GONE
        while _is_there(self.pid):
            assert time.monotonic() < deadline, f"process {self.pid} does not end\n{self.output}"
            time.sleep(0.002)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def load_all() -> None:
    """Import what a server may need."""
    for name in ("sipd.cli", "sipd.server.startup", "sipd.control.rpc"):
        importlib.import_module(name)
    store = importlib.import_module("sipd.store")
    for module in pkgutil.iter_modules(store.__path__, "sipd.store."):
        importlib.import_module(module.name)


def main() -> None:
    """Fork a server for each line, until there are no more."""
    load_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    print("warm", flush=True)
    for line in sys.stdin:
        arguments = json.loads(line)
        child = os.fork()
        if child:
            print(f"started {child}", flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        from sipd.cli import main as run

        os._exit(run(arguments))


if __name__ == "__main__":
    main()
