"""Which time zones a script wants fetched, before it is compiled (RFC 3880 §4.4)."""

from __future__ import annotations

from typing import Final

from sipd.cpl.document import BadEncoding, decode
from sipd.cpl.findings import Full, Report
from sipd.cpl.reader import Stop, read
from sipd.cpl.zones import zone_of

MOST: Final = 5
"""Time zones that are fetched for one script."""

_BLANKS: Final = " \t\r\n"


def zone_urls(source: bytes) -> tuple[str, ...]:
    """The tzurls whose data `compile` needs, each once, at most MOST: those beside which no known tzid stands.

    A script that can't be read has none: `compile` tells what is wrong with it.
    """
    try:
        text = decode(source)
        root = read(text, Report(text))
    except (BadEncoding, Stop, Full):
        return ()
    urls: dict[str, None] = {}
    for element in root.walk() if root is not None else ():
        url = element.attributes.get("tzurl", "").strip(_BLANKS)
        tzid = element.attributes.get("tzid", "").strip(_BLANKS)
        if element.tag == "time-switch" and url and not (tzid and zone_of(tzid)):
            urls[url] = None
    return tuple(urls)[:MOST]
