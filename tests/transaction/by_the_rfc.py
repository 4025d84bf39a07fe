"""The four transactions as RFC 3261 §17 tells them in words, RFC 6026 §7 and §8 included: the oracle of test_oracle.py.

Written from the text alone; nothing of `sipd.transaction` is used here. A
transaction keeps a list of alarms (when, what to do); `until` lets time pass.
What it would send and tell is noted in `sent` and `told`, with the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Sent = list[tuple[float, str]]


@dataclass
class Times:
    """Table 4."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0


@dataclass
class Transaction:
    """An alarm clock, a diary, and a state."""

    now: float
    times: Times
    reliable: bool
    sent: Sent  # (time, what): shared by all that use one wire
    told: list[object]
    state: str = ""
    alarms: dict[str, tuple[float, Callable[[], None]]] = field(default_factory=dict)

    def set(self, timer: str, seconds: float, do: Callable[[], None]) -> None:
        self.alarms[timer] = (self.now + seconds, do)

    def stop(self, *timers: str) -> None:
        for timer in timers:
            self.alarms.pop(timer, None)

    def next(self) -> float:
        return min((when for when, _ in self.alarms.values()), default=inf)

    def ring(self) -> None:
        """The alarm that is due first; of two at one moment the one that ends a state."""
        name = min(self.alarms, key=lambda name: (self.alarms[name][0], name in "AEG"))
        self.now, do = self.alarms.pop(name)
        do()

    def send(self, what: str) -> None:
        self.sent.append((self.now, what))

    def end(self) -> None:
        """Destroyed the instant it enters this state (§17.1.1.2, §17.2.1, §17.2.2)."""
        self.state = "Terminated"
        self.alarms.clear()

    def end_after(self, timer: str, seconds: float) -> None:
        """In the state just entered for so long; for no time at all where that is zero."""
        if seconds:
            self.set(timer, seconds, self.end)
        else:
            self.end()


class InviteClient(Transaction):
    """§17.1.1.2; RFC 6026 §8.4 (Accepted, Timer M); §9.1 for its CANCEL."""

    cancel_wanted = False
    cancelled: NonInviteClient | None = None

    def begin(self) -> None:
        self.state = "Calling"
        self.send("INVITE")
        if not self.reliable:
            self.set("A", self.times.t1, lambda: self.timer_a(self.times.t1))
        self.set("B", 64 * self.times.t1, self.timed_out)

    def timer_a(self, interval: float) -> None:
        self.send("INVITE")
        self.set("A", 2 * interval, lambda: self.timer_a(2 * interval))

    def timed_out(self) -> None:
        self.told.append("timed out")
        self.end()

    def hear(self, status: int) -> None:
        if self.state in ("Calling", "Proceeding") and status < 200:
            first, self.state = self.state == "Calling", "Proceeding"
            self.stop("A", "B")
            if first and self.cancel_wanted:  # it MUST wait for this
                self.send_cancel()
            self.told.append(status)
        elif self.state in ("Calling", "Proceeding") and status < 300:
            self.state = "Accepted"
            self.stop("A", "B", "CANCEL")
            self.told.append(status)
            self.end_after("M", 64 * self.times.t1)
        elif self.state in ("Calling", "Proceeding"):
            self.state = "Completed"
            self.stop("A", "B", "CANCEL")
            self.send("ACK")  # even if the transport is reliable
            self.told.append(status)
            self.end_after("D", 0 if self.reliable else 32)
        elif self.state == "Accepted" and 200 <= status < 300:
            self.told.append(status)
        elif self.state == "Completed" and status >= 300:
            self.send("ACK")  # and not told again

    def cancel(self) -> None:
        if self.state == "Proceeding" and not self.cancel_wanted:
            self.send_cancel()
        self.cancel_wanted = self.cancel_wanted or self.state == "Calling"

    def send_cancel(self) -> None:
        self.cancel_wanted = True
        self.cancelled = NonInviteClient(self.now, self.times, self.reliable, self.sent, [])
        self.cancelled.begin("CANCEL")
        self.set("CANCEL", 64 * self.times.t1, self.timed_out)

    def transport_error(self) -> None:
        if self.state in ("Calling", "Proceeding"):
            self.told.append("failed")
        if self.state != "Accepted":  # RFC 6026 figure 5 has no such arrow there
            self.end()


class NonInviteClient(Transaction):
    """§17.1.2.2."""

    def begin(self, method: str) -> None:
        self.method = method
        self.state = "Trying"
        self.send(method)
        self.set("F", 64 * self.times.t1, self.timed_out)
        if not self.reliable:
            self.set("E", self.times.t1, lambda: self.timer_e(self.times.t1))

    def timer_e(self, interval: float) -> None:
        self.send(self.method)
        longer = min(2 * interval, self.times.t2) if self.state == "Trying" else self.times.t2
        self.set("E", longer, lambda: self.timer_e(longer))

    def timed_out(self) -> None:
        self.told.append("timed out")
        self.end()

    def hear(self, status: int) -> None:
        if self.state not in ("Trying", "Proceeding"):
            return
        self.told.append(status)
        if status < 200:
            self.state = "Proceeding"
            return
        self.state = "Completed"
        self.stop("E", "F")
        self.end_after("K", 0 if self.reliable else self.times.t4)

    def transport_error(self) -> None:
        if self.state in ("Trying", "Proceeding"):
            self.told.append("failed")
            self.end()


class InviteServer(Transaction):
    """§17.2.1; RFC 6026 §8.5 (Accepted, Timer L) and §8.8 (transport errors change nothing)."""

    last = 0

    def begin(self) -> None:
        self.state = "Proceeding"

    def answer(self, status: int) -> None:
        if self.state == "Proceeding" and status < 200:
            self.last = status
            self.send(str(status))
        elif self.state == "Proceeding" and status >= 300:
            self.state, self.last = "Completed", status
            self.send(str(status))
            if not self.reliable:
                self.set("G", self.times.t1, lambda: self.timer_g(self.times.t1))
            self.set("H", 64 * self.times.t1, self.over)
        elif 200 <= status < 300:
            if self.state == "Proceeding":
                self.state = "Accepted"
                self.set("L", 64 * self.times.t1, self.over)
            # Whoever made it repeats it; after a refusal it still goes up (§16.7 step 5), and after the end (step 9).
            self.send(str(status))

    def timer_g(self, interval: float) -> None:
        self.send(str(self.last))
        longer = min(2 * interval, self.times.t2)
        self.set("G", longer, lambda: self.timer_g(longer))

    def again(self) -> None:
        if self.last and self.state in ("Proceeding", "Completed"):
            self.send(str(self.last))

    def ack(self) -> None:
        if self.state == "Completed":
            self.state = "Confirmed"
            self.stop("G", "H")
            if self.reliable:
                self.over()
            else:
                self.set("I", self.times.t4, self.over)
        elif self.state == "Accepted":
            self.told.append("acked")

    def over(self) -> None:
        self.told.append("ended")
        self.end()


class NonInviteServer(Transaction):
    """§17.2.2; RFC 4320 §4.2 for a request that gets no answer."""

    last = 0

    def begin(self) -> None:
        self.state = "Trying"

    def answer(self, status: int) -> None:
        if self.state not in ("Trying", "Proceeding"):
            return  # any other final response is discarded
        self.last = status
        self.send(str(status))
        if status < 200:
            self.state = "Proceeding"
        else:
            self.complete()

    def give_up(self) -> None:
        if self.state in ("Trying", "Proceeding"):
            self.last = 0
            self.complete()

    def complete(self) -> None:
        self.state = "Completed"
        if self.reliable:
            self.over()
        else:
            self.set("J", 64 * self.times.t1, self.over)

    def again(self) -> None:
        if self.last and self.state in ("Proceeding", "Completed"):
            self.send(str(self.last))

    def over(self) -> None:
        self.told.append("ended")
        self.end()
