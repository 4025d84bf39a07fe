"""Where rows come from that are no rows of the database: they are kept in the Inquiry, for one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from sipd.core.uploads import TIMEZONES
from sipd.server.fetching import make_room, time_zones

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sipd.core.tables import Missing
    from sipd.server.house import House

Rows = tuple[str, ...]


class Source(NamedTuple):
    """One kind of row: who is asked, and for how long."""

    load: Callable[[House, str], Awaitable[Rows]]
    seconds: float  # it may take; after that, and when it fails, the rows are absent


async def _by_enum(house: House, number: str) -> Rows:
    return await house.resolver.listed(number, house.tables.settings.enum)


async def _by_tzurl(house: House, urls: str) -> Rows:
    rows = await time_zones(house, urls.split(" "))
    await make_room(house, len(rows) // 2)
    return rows


SOURCES: Final[dict[str, Source]] = {"enum": Source(_by_enum, 5.0), TIMEZONES: Source(_by_tzurl, 10.0)}
"""Kind of row, as `Missing` names it -> its source; rows of any other kind come by `Cache.load`."""


async def look_up(house: House, missing: Missing) -> Rows:
    """The rows that a source has for this key; none where it does not say so in time."""
    source = SOURCES[missing.kind]
    rows: Rows = ()
    with trio.move_on_after(source.seconds):  # the life of one question
        rows = await source.load(house, missing.key)
    return rows
