"""Time zones that a script's tzurl leads to, for a script that an administrator stores (RFC 3880 §4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.rows import Settings
    from sipd.store import Snapshot


def zones_of(snapshot: Snapshot) -> dict[str, bytes]:
    """What was fetched for earlier scripts, by URL."""
    return {zone.url: zone.data for zone in snapshot.timezones}


async def fetched_zones(
    text: bytes, settings: Settings, user_class: str, stored: Mapping[str, bytes]
) -> dict[str, bytes]:
    """What the tzurls of this script give now, as far as it is good; nothing for a script that is not sound."""
    from sipd.core.fetched import Unfetched, compiled_with_zones  # here, as they take a while to load
    from sipd.cpl import terms_of
    from sipd.errors import ScriptError
    from sipd.net.fetch import CALENDAR, Web, fetch_all
    from sipd.net.resolver import Resolver

    found: dict[str, bytes | None] = {}
    try:
        terms = terms_of(settings, user_class)
        for _ in range(2):
            try:
                return compiled_with_zones(text, terms, stored, found).fetched
            except Unfetched as unfetched:
                web = Web(Resolver().dns, lambda: terms.hosts, lambda: settings.tls_ca)
                found = {**dict.fromkeys(unfetched.urls), **await fetch_all(web, unfetched.urls, CALENDAR, _pass_over)}
    except (ScriptError, ValueError):  # whoever checks the script says what is wrong
        pass
    return {}


def _pass_over(url: str, why: str) -> None:
    """A page that could not be had: the script is refused by its URL, or has the last good one."""
