"""Timers A to M as a table (RFC 3261 §17, table 4; RFC 6026 §8.11), and Deadlines, the one queue of all that is due.

A deadline is a promise, not an entry: an owner is queued once, for the
earliest moment it may have something to do, and looks then what that is.
So a timer that is replaced by a later one costs nothing, and a timer that
is dropped leaves at most a stale entry, which is skipped.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil, inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class TimerValues(NamedTuple):
    """The times all timers are made of, in seconds (RFC 3261 table 4)."""

    t1: float = 0.5  # round-trip time
    t2: float = 4.0  # longest interval between retransmissions
    t4: float = 5.0  # how long the network keeps a message
    d: float = 32.0  # how long a refusing server may repeat itself (§17.1.1.2)


DEFAULTS: Final = TimerValues()
"""The values of the RFC."""

TimerName = Literal[
    "timer A",
    "timer B",
    "timer D",
    "timer E",
    "timer F",
    "timer G",
    "timer H",
    "timer I",
    "timer J",
    "timer K",
    "timer L",
    "timer M",
    "CANCEL timeout",
]
TIMER_A: Final = "timer A"
TIMER_B: Final = "timer B"
TIMER_D: Final = "timer D"
TIMER_E: Final = "timer E"
TIMER_F: Final = "timer F"
TIMER_G: Final = "timer G"
TIMER_H: Final = "timer H"
TIMER_I: Final = "timer I"
TIMER_J: Final = "timer J"
TIMER_K: Final = "timer K"
TIMER_L: Final = "timer L"
TIMER_M: Final = "timer M"
CANCEL_TIMEOUT: Final = "CANCEL timeout"  # §9.1 gives it no letter


def _t1(values: TimerValues) -> float:
    return values.t1


def _t2(values: TimerValues) -> float:
    return values.t2


def _t4(values: TimerValues) -> float:
    return values.t4


def _64_t1(values: TimerValues) -> float:
    return 64 * values.t1


def _d(values: TimerValues) -> float:
    return values.d


def _zero(_: TimerValues) -> float:
    return 0.0


def _never(_: TimerValues) -> float:
    return inf


class Timer(NamedTuple):
    """One row of table 4: first value, value over a reliable transport, and whether and how far it grows."""

    first: Callable[[TimerValues], float]
    reliable: Callable[[TimerValues], float]
    ceiling: Callable[[TimerValues], float] | None = None  # set: it retransmits, doubling up to this

    @property
    def retransmits(self) -> bool:
        """Whether it runs again and again, where the others end a state."""
        return self.ceiling is not None


TIMERS: Final[dict[TimerName, Timer]] = {
    TIMER_A: Timer(_t1, _never, _never),
    TIMER_B: Timer(_64_t1, _64_t1),
    TIMER_D: Timer(_d, _zero),
    TIMER_E: Timer(_t1, _never, _t2),
    TIMER_F: Timer(_64_t1, _64_t1),
    TIMER_G: Timer(_t1, _never, _t2),
    TIMER_H: Timer(_64_t1, _64_t1),
    TIMER_I: Timer(_t4, _zero),
    TIMER_J: Timer(_64_t1, _zero),
    TIMER_K: Timer(_t4, _zero),
    TIMER_L: Timer(_64_t1, _64_t1),
    TIMER_M: Timer(_64_t1, _64_t1),
    CANCEL_TIMEOUT: Timer(_64_t1, _64_t1),
}

TICKS: Final = 64.0
"""Ticks in a second: what is due within one tick is run together, up to 16 ms late and never early."""

LOOKAHEAD: Final = 32.0
"""The longest that a cancelled call stays in the queue, in seconds: further ones are queued step by step."""


class Owner(Protocol):
    """What can be queued."""

    def due(self, when: float, now: float) -> None:
        """The entry queued for `when` has come up."""


class Deadlines:
    """What is due when: a heap of ticks, a list of owners in each.

    `on_earlier` is called when something was queued that comes before
    everything else: whoever sleeps until `next_due()` must look again.
    """

    __slots__ = ("_buckets", "_clock", "_running", "_tick", "_ticks", "on_earlier")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ticks: list[float] = []  # a heap of the keys of _buckets
        self._buckets: dict[float, list[Owner]] = {}
        self._tick = 0.0  # the tick being run,
        self._running: list[Owner] = []  # and its owners, last one first
        self.on_earlier: Callable[[], None] | None = None

    def arm(self, when: float, owner: Owner) -> float:
        """Queue `owner` for the tick at or after `when`; `owner.due` is called with that tick, which is returned."""
        tick = ceil(when * TICKS) / TICKS
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.append(owner)
            return tick
        self._buckets[tick] = [owner]
        heappush(self._ticks, tick)
        if self._ticks[0] == tick and self.on_earlier is not None:
            self.on_earlier()
        return tick

    def call_at(self, when: float, function: Callable[[], None], now: float | None = None) -> Handle:
        """Call `function` at `when` (Timer C, the stagger, a script's timeout): a number, not infinity.

        Who has just looked at the clock may say what it showed.
        """
        handle = Handle(self, when, function)
        handle.queue(self._clock() if now is None else now)
        return handle

    def call_later(self, seconds: float, function: Callable[[], None]) -> Handle:
        """Call `function` in so many seconds from now."""
        now = self._clock()
        return self.call_at(now + seconds, function, now)

    def next_due(self) -> float | None:
        """When to call `expire` next; None: nothing is queued. What comes up then may turn out stale."""
        if self._running:
            return self._tick
        return self._ticks[0] if self._ticks else None

    def expire(self, now: float) -> None:
        """Run what is due. When an owner raises, the others stay due: call it again."""
        running = self._running
        while True:
            while running:
                running.pop().due(self._tick, now)
            if not self._ticks or self._ticks[0] > now:
                return
            self._tick = heappop(self._ticks)
            running.extend(reversed(self._buckets.pop(self._tick)))

    def __len__(self) -> int:
        """How many entries are queued, stale ones included."""
        return sum(map(len, self._buckets.values())) + len(self._running)


class Handle:
    """A call that is to happen once; made by `Deadlines.call_at`."""

    __slots__ = ("_deadlines", "_function", "_tick", "_when")

    def __init__(self, deadlines: Deadlines, when: float, function: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._when = when
        self._function: Callable[[], None] | None = function
        self._tick = inf  # where it is queued

    @property
    def active(self) -> bool:
        """Whether the call is still to happen."""
        return self._function is not None

    def cancel(self) -> None:
        """Don't call; nothing happens when it was called already."""
        self._function = None

    def move(self, when: float) -> None:
        """Call at `when` instead (Timer C at each provisional, §16.7 step 2); nothing when it is over."""
        self._when = when
        if self._function is not None and when < self._tick:
            self._tick = self._deadlines.arm(when, self)

    def queue(self, now: float) -> None:
        """Take a place in the queue: at most LOOKAHEAD ahead, so that a cancelled call is soon forgotten."""
        self._tick = self._deadlines.arm(min(self._when, now + LOOKAHEAD), self)

    def due(self, when: float, now: float) -> None:
        """The entry has come up: call, or wait on."""
        function = self._function
        if function is None or when != self._tick:
            return
        if self._when > now:
            self.queue(now)
            return
        self._function = None
        function()
