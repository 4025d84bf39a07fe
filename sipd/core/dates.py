"""SIP-date: wall-clock seconds as text and back (RFC 3261 §20.17)."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=16)
def date_value(wall: int) -> str:
    """These seconds since 1970 as a SIP-date: `Sat, 13 Nov 2010 23:29:00 GMT`."""
    return formatdate(wall, usegmt=True)


def seconds_of(text: str) -> float | None:
    """The seconds since 1970 of a SIP-date; None for what is none."""
    if not text.isascii() or not text.endswith("GMT"):
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
