"""A TCP relay before a database, which can be slow, silent or shut: a thread of its own."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time

from tests.running import HERE

CHUNK = 1 << 16

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose close is a reset."""


class Relay:
    """Forwards what comes to its port to another; `delay` seconds later, if one is set.

    `silent`: takes what comes and forwards nothing, as a network does that
    swallows packets. `shut`: refuses new connections, and has reset the old.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._late: list[tuple[float, socket.socket, bytes]] = []
        self._ended = False
        self.delay = 0.0
        self.silent = False
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Take connections, again."""
        with self._lock:
            listener = socket.create_server((HERE, self.port), backlog=64)
            self.port = listener.getsockname()[1]
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)
            self._listener = listener

    def shut(self) -> None:
        """Refuse connections, and reset those there are."""
        with self._lock:
            if self._listener is not None:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None
            for one in list(self._pairs):
                self._drop(one)

    def end(self) -> None:
        """No more of it."""
        self._ended = True
        self._thread.join(5)
        self.shut()
        self._selector.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs) // 2

    def _run(self) -> None:
        while not self._ended:
            events = self._selector.select(0.01)
            with self._lock:
                for key, _ in events:
                    ready = key.fileobj
                    assert isinstance(ready, socket.socket)
                    if ready is self._listener:
                        self._accept()
                    elif ready in self._pairs:
                        self._read(ready)
                self._pass_on(time.monotonic())

    def _accept(self) -> None:
        assert self._listener is not None
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection((HERE, self._to), timeout=2)
        except OSError:  # the database is gone
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _read(self, source: socket.socket) -> None:
        if self.silent:
            time.sleep(0.01)  # what comes stays where it is
            return
        try:
            data = source.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self._drop(source)
            return
        self._late.append((time.monotonic() + self.delay, self._pairs[source], data))

    def _pass_on(self, now: float) -> None:
        if self.silent:
            return
        while self._late and self._late[0][0] <= now:
            _, target, data = self._late.pop(0)
            if target in self._pairs:
                target.settimeout(5)
                try:
                    target.sendall(data)
                except OSError:
                    self._drop(target)

    def _drop(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        for each in (one, other):
            if each is not None:
                self._pairs.pop(each, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(each)
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.close()
