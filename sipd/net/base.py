"""What the server knows of a network: the Network protocol and the few types around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Literal, Protocol

import trio

from sipd.hop import Flow, Hop, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

Receiver = Callable[[bytes, Flow], None]
"""Takes one message and the flow it came by; plain, quick, and never raises (`dispatch.receive`)."""

FlowFailed = Callable[[Flow], None]
"""Told of a flow over which something could not be sent, or that has ended; never raises."""

Tap = Callable[[Literal["in", "out"], Flow, bytes], None]
"""Shown every message that comes in or goes out, while it is set (`-d net`)."""

Event = Callable[[str, Hop, str], None]
"""Told of what an administrator may want to read: the event's name, the far end, details."""


class StreamFault(trio.BrokenResourceError):
    """A connection is over for a reason that an administrator wants to read: it says that, in plain words."""


class Network(Protocol):
    """The ways out of, and the doors into, one server: `Flows`, or a `MemoryHost` in tests.

    `receive` and `on_failed` are set before `run`. `on_failed` is called in a
    turn of its own, never from within `send` or `to`.
    """

    receive: Receiver
    on_failed: FlowFailed

    @property
    def listening(self) -> Sequence[Hop]:
        """Where we listen, with the real ports, in the order the listeners were added."""

    def to(self, hop: Hop, near: Flow | None = None) -> Flow:
        """The flow to `hop`, at once: an open one, or one that is being opened.

        `near` is preferred: the flow itself when its far end is that hop, else
        the same socket of ours. Raises Unreachable when no listener fits.
        """

    def known(self, hop: Hop) -> Flow | None:
        """The open flow to `hop`, when there is a connection; None: `to` would have to open one."""

    def on(self, way: Way) -> Flow | None:
        """The flow that `way` means; None when it is gone, or that socket of ours is."""

    def finish(self, flow: Flow) -> None:
        """Take no further message from this connection, and end it once all is sent; nothing for datagrams."""

    def pin(self, hop: Hop, pinned: bool = True, idle: float = inf) -> None:
        """A live binding came over the connection to `hop`: it may idle for as long as that lives (T27).

        `idle`: for so many seconds only, then it counts as gone (RFC 5626 §4.4).
        """

    @property
    def has_tls(self) -> bool:
        """Whether one of our listeners takes TLS."""

    def gauges(self) -> dict[str, int]:
        """Counts for the metrics, by name."""

    def is_ours(self, host: str, port: int | None) -> bool:
        """Whether this host and port name one of our listeners."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listens until cancelled; started when the first message may come."""


def unheard(data: bytes, flow: Flow) -> None:
    """The receiver before the server has set its own: what comes is dropped."""


def untold(flow: Flow) -> None:
    """The `on_failed` before the server has set its own."""


def unsaid(event: str, remote: Hop, detail: str) -> None:
    """The `on_event` before somebody wants to know."""


class Later:
    """Calls things in a later turn, in order: what `send` must not do itself."""

    __slots__ = ("_due", "_lot")

    def __init__(self) -> None:
        self._due: deque[Callable[[], None]] = deque()
        self._lot = trio.lowlevel.ParkingLot()

    def call(self, function: Callable[[], None]) -> None:
        """Has `function` called in a later turn of `run`."""
        self._due.append(function)
        self._lot.unpark()

    async def run(self) -> None:
        """Calls what is due, one turn's worth at a time, until cancelled."""
        while True:
            await trio.lowlevel.checkpoint()
            if not self._due:
                await self._lot.park()
            for _ in range(len(self._due)):
                self._due.popleft()()
