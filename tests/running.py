"""Programs that tests and benchmarks start: children whose output can be waited for, free ports, sipd itself."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parent.parent

PORTS = (20000, 32000)
"""Where free ports are looked for: below those that the kernel gives to connections."""

KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)

_handed_out: set[int] = set()
_started: list[Child] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has open now, nor the three above it, on UDP or TCP; each is given once.

    Phones open the next ones too, for TLS and for media.
    """
    while True:
        port = random.randrange(*PORTS, 4)
        if port not in _handed_out and all(_can_bind(kind, port + more) for kind in KINDS for more in range(4)):
            _handed_out.add(port)
            return port


def _can_bind(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as tried:
        try:
            tried.bind((HERE, port))
        except OSError:
            return False
    return True


class Child:
    """A running program whose output lines are kept and can be waited for."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        name: str = "",
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdin: bool = False,
    ) -> None:
        self.name = name or Path(arguments[0]).name
        self.lasting = False  # others use it too: `stop_all` leaves it alone
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news = threading.Condition()
        self._open = 2
        self.process = subprocess.Popen(
            [str(word) for word in arguments],
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()
        _started.append(self)

    def _read(self, stream, kept: list[str]) -> None:
        for line in stream:
            with self._news:
                kept.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        """All it has said so far, for the message of a failure."""
        return "\n".join([f"--- {self.name} stdout", *self.lines, f"--- {self.name} stderr", *self.errors])

    def wait_for(self, pattern: str, *, seconds: float = 15.0, since: int = 0) -> re.Match[str]:
        """The first match in a line of either stream, `since` that many lines of stdout, once it is there.

        Raises AssertionError with the whole output when it ends, or `seconds` pass, without one.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in (*self.lines[since:], *self.errors):
                    if found := wanted.search(line):
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or not self._open:
                    raise AssertionError(f"{self.name} never said {pattern!r}\n{self.output}")
                self._news.wait(left)

    def pause(self, seconds: float = 0.05) -> None:
        """Wait for it to say something, or at most that long: for what can only be looked at again and again."""
        with self._news:
            self._news.wait(seconds)

    def end_well(self) -> None:
        """Ask it to end. Raises AssertionError when it was gone already, ended badly, or left an error behind."""
        alive = self.alive
        code = self.stop()
        assert alive, f"{self.name} ended by itself, with {code}\n{self.output}"
        assert not FAULTS.search("\n".join(self.errors)), self.output
        assert code == 0, f"{self.name} ended with {code} when asked to\n{self.output}"

    def wait_for_port(self, port: int, *, seconds: float = 10.0) -> None:
        """Return once somebody has that UDP or TCP port open on this machine."""
        deadline = time.monotonic() + seconds
        while not _is_open(port):
            if time.monotonic() > deadline or not self.alive:
                raise AssertionError(f"{self.name} doesn't open port {port}\n{self.output}")
            self.pause()

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, *, seconds: float = 60.0) -> int:
        """Its exit code, once it has ended by itself and all of its output is here."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} still runs after {seconds} s\n{self.output}") from None
        self._close()
        return code

    def stop(self, *, seconds: float = 10.0) -> int:
        """Ask it to end (SIGTERM), insist after `seconds` (SIGKILL); its exit code."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close()
        return self.process.returncode

    def kill(self) -> None:
        """End it, and what it started, without a chance to tidy up (SIGKILL)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def stop_all() -> None:
    """End what a failure may have left behind; what has ended already is only forgotten."""
    lasting = [child for child in _started if child.lasting]
    while _started:
        child = _started.pop()
        if not child.lasting:
            child.stop(seconds=2)
    _started.extend(lasting)


def _is_open(port: int) -> bool:
    for table, state in (("udp", "07"), ("tcp", "0A")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False


@contextlib.contextmanager
def running(*arguments: str | Path, **options) -> Iterator[Child]:
    """A Child that is stopped at the end of the block."""
    child = Child(arguments, **options)
    try:
        yield child
    finally:
        child.stop()


FAULTS = re.compile(r"^Traceback|Exception in|\bERROR\b", re.MULTILINE)
"""What a server never says: something of ours broke."""

READY = r"listening on (?P<where>.+)"
"""What sipd says when it can be spoken to."""


def start_sipd(database: str, *listen: str, more: Sequence[str] = (), cwd: Path | None = None) -> Child:
    """A sipd on that database that listens where told, ready."""
    arguments = [sys.executable, "-m", "sipd", "-X", "-D", database, *more]
    for where in listen:
        arguments += ["--listen", where]
    child = Child(arguments, name="sipd", cwd=cwd or REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)})
    try:
        child.wait_for(READY)
    except BaseException:
        child.kill()
        raise
    return child


def sipdctl(database: str, *words: str, stdin: str | None = None, check: bool = True) -> str:
    """What `sipdctl -D database words...` prints. Raises AssertionError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "sipd.tools.sipdctl", "-D", database, *words],
        input=stdin,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if check and done.returncode:
        raise AssertionError(f"sipdctl {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
