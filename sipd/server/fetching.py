"""What scripts have fetched: where somebody is, told by a URI (RFC 3880 §5.2); time zones, at upload (§4.4)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from sipd.core.fetched import MOST_KEPT, zones_asked_for
from sipd.core.urilist import URI_LIST, locations_from
from sipd.cpl import Terms
from sipd.errors import ServiceUnavailable
from sipd.net.fetch import CALENDAR, NoPage, fetch_all
from sipd.rows import DropTimezone
from sipd.script import LookupResult
from sipd.store.programs import TZURL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.script import Lookup
    from sipd.server.house import House

SLICE: Final = 100
"""Scripts looked through in one turn of the loop."""


async def find_by_uri(house: House, owner: str, effect: Lookup) -> LookupResult:
    """What the lookup of a script of `owner` came to, at the latest when its time is over; raises nothing."""
    house.counters.fetches += 1
    why = f"no answer in {effect.timeout:g} s"
    with trio.move_on_after(effect.timeout):  # the script's patience, waiting for its turn included
        try:
            page = await house.web.get(owner, effect.source, URI_LIST)
        except NoPage as fault:
            why = fault.text
        else:
            result = locations_from(page.status, page.content_type, page.body, owner)
            if result.outcome != "failure":
                return result
            why = f"status {page.status}, {page.content_type or 'no type'}, {len(page.body)} bytes: no locations"
    house.counters.fetch_failures += 1
    house.log.event("script_lookup_failed", owner=owner, url=effect.source, text=why)
    return LookupResult("failure")


async def time_zones(house: House, urls: Iterable[str]) -> tuple[str, ...]:
    """Each of these URLs that gives a page, and after it the page, byte by character; raises nothing."""

    def failed(url: str, why: str) -> None:
        house.counters.fetch_failures += 1
        house.log.event("tzurl_failed", url=url, text=why)

    wanted = tuple(urls)
    house.counters.fetches += len(wanted)
    found = await fetch_all(house.web, wanted, CALENDAR, failed)
    return tuple(text for url, data in found.items() for text in (url, data.decode("latin-1")))


async def make_room(house: House, more: int) -> None:
    """Where `more` time zones would be too many, no longer keep those that no stored script asks for (T120)."""
    tables = house.tables
    if len(tables.timezones) + more <= MOST_KEPT:
        return
    used: set[str] = set()
    for number, script in enumerate(tables.every_script()):
        if any(word in script.text for word in TZURL):
            used.update(zones_asked_for(script.text, Terms(max_bytes=len(script.text))))
        if number % SLICE == 0:
            await trio.lowlevel.checkpoint()
    unused = [DropTimezone(url) for url in tables.timezones if url not in used]
    settled = trio.Event()
    with suppress(ServiceUnavailable):  # then the upload is told that there is no room
        house.writer.submit(unused, "", lambda _: settled.set())
        await settled.wait()
