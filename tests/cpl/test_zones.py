"""Zones: what is remembered of a day's offset is what the zone's rules say at each moment of it."""

from __future__ import annotations

import random
import zoneinfo
from datetime import UTC

import pytest

from sipd.cpl.recurrence import DAY
from sipd.cpl.zones import Zone, datetime_of, instant_of
from tests.cpl.oracle import ZONES, transitions

ODD = (*ZONES, "Africa/El_Aaiun", "America/Asuncion", "America/Scoresbysund", "Antarctica/Troll", "Asia/Gaza")


@pytest.mark.parametrize("name", ODD)
def test_local_time_and_back_are_as_the_zone_says_in_whatever_order_they_are_asked(name):
    chance = random.Random(name)
    tz = zoneinfo.ZoneInfo(name)
    zone = Zone(name, tz)
    instants = [chance.randrange(719163 * DAY, 767010 * DAY) for _ in range(300)]
    for _ in range(30):
        change = transitions(chance, name)
        if change is not None:
            at = instant_of(change)
            instants += [at + chance.choice((-1, 0, 1, chance.randint(-90_000, 90_000))) for _ in range(20)]
    for instant in instants:
        moment = datetime_of(instant, UTC).astimezone(tz).replace(tzinfo=None)
        assert datetime_of(zone.local(instant)) == moment
        clock = datetime_of(instant)  # the same seconds, as what clocks show
        assert zone.instant(instant) == instant_of(clock.replace(tzinfo=tz))
