"""What time it is for bindings and nonces: that of the machine's clock, without the jumps it makes (T109).

A clock that is set an hour or a day on would end every registration at once;
one that is set back would keep the dead for a day. Who sets it means the
machine's time, and not the phones' patience. So the wall clock is compared
with the monotonic one whenever it is read: where it jumps, our reckoning goes
on from what it was. Small corrections are followed.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from sipd.core.tables import Missing
from sipd.errors import ServiceUnavailable
from sipd.rows import PutBinding

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.server.house import House

BACK: Final = 60.0
"""Seconds that the clock may be set back, and we follow."""

ON: Final = 3600.0
"""Seconds that it may be set on, and we follow."""


SLEWED: Final = 1.0
"""Seconds: a step of less is none, but a clock that goes a little faster or slower for a while."""

SLICE: Final = 200
"""Users looked at in one turn of the loop, after a start."""


BOOT_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

awake_or_asleep: Final = partial(time.clock_gettime, BOOT_CLOCK)
"""Monotonic seconds that go on while the machine sleeps, where the system has such a clock."""


class WallClock:
    """Called, it gives seconds since 1970, which go on as real time does."""

    __slots__ = ("_apart", "_elapsed", "_on_jump", "_real", "ahead")

    def __init__(
        self, real: Callable[[], float], elapsed: Callable[[], float], on_jump: Callable[[float], None]
    ) -> None:
        """`real` is the machine's clock, `elapsed` any monotonic one. `on_jump` hears how far the first has jumped."""
        self._real = real
        self._elapsed = elapsed
        self._on_jump = on_jump
        self._apart = real() - elapsed()  # as it was when last looked at
        self.ahead = 0.0  # seconds that the machine's clock is ahead of our reckoning

    def __call__(self) -> float:
        """Seconds since 1970 by our reckoning."""
        real = self._real()
        apart = real - self._elapsed()
        if not -SLEWED <= apart - self._apart <= SLEWED:
            return self._after_step(real, apart)
        self._apart = apart
        return real - self.ahead

    def _after_step(self, real: float, apart: float) -> float:
        step = apart - self._apart
        if not -BACK <= step <= ON:
            # or the process was stopped between the two looks: then a second one sees no jump
            real = self._real()
            apart = real - self._elapsed()
            step = apart - self._apart
            if not -BACK <= step <= ON:
                self.ahead += step
                self._on_jump(step)
        elif self.ahead and abs(self.ahead + step) < abs(self.ahead):
            self.ahead += step  # it is being set right again
        self._apart = apart
        return real - self.ahead

    def how_far_ahead(self) -> float:
        """Seconds that the machine's clock is ahead of our reckoning."""
        return self.ahead


async def bring_back(house: House) -> None:
    """After a start: no binding lives longer than it was granted, though the clock was set back meanwhile.

    What was refreshed in the future counts as refreshed now. Where servers
    share a database, the clock that was set may be ours, and the row right.
    """
    if house.tables.shared:
        return
    for number, aor in enumerate(house.tables.with_bindings()):
        if number % SLICE == 0:
            await trio.lowlevel.checkpoint()
        wall = house.wall()
        changes = [
            PutBinding(binding._replace(refreshed_at=wall, expires_at=wall + binding.expires_at - binding.refreshed_at))
            for binding in house.tables.bindings(aor)
            if binding.refreshed_at > wall + BACK
        ]
        if changes:
            with suppress(Missing, ServiceUnavailable):  # a REGISTER of his is being stored, or the database is away
                house.tables.settled_bindings(aor)
                house.writer.submit(changes, aor, _whatever)


def _whatever(fault: Exception | None) -> None:
    """It is looked at again at the next start."""
