"""What scripts have fetched: where somebody is, told by a URI (RFC 3880 §5.2); time zones, at upload (§4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sipd.core.urilist import URI_LIST, locations_from
from sipd.net.fetch import CALENDAR, NoPage, fetch_all
from sipd.script import LookupResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.script import Lookup
    from sipd.server.house import House


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
