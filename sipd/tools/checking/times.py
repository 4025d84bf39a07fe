"""Moments and zones as they are written on a command line."""

from __future__ import annotations

import os
import re
import warnings
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sipd.cpl.zones import zone_hint, zone_of
from sipd.errors import SetupError

_LONGEST: Final = 80
_TODAY: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def zone_named(name: str) -> ZoneInfo:
    """The zone of that name. Raises SetupError, with what may have been meant."""
    if zone_of(name) is None:
        raise SetupError(f"there is no time zone {name[:80]!r}", zone_hint(name) or "Write it as Europe/Paris")
    return ZoneInfo(name)


def machine_zone() -> str:
    """The name of the machine's zone; UTC where it has none that can be found."""
    from sipd.store.local_zone import local_zone  # here, as the room takes a while to load

    name = local_zone(os.environ).name
    return "UTC" if name == "Etc/UTC" else name


def moment(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The moment that was meant, in that zone. Raises SetupError for what is none, or does not exist there."""
    today = _TODAY.fullmatch(text)
    if today is not None:
        made = now.astimezone(zone).replace(hour=int(today[1]), minute=int(today[2]), second=0, microsecond=0)
    else:
        try:
            made = datetime.fromisoformat(text)
        except ValueError:
            made = _in_words(text, now.astimezone(zone))
        if not datetime.min.year < made.year < datetime.max.year:
            raise SetupError(f"--at {text[:80]!r} is too far away", "Write it as 2026-12-24T18:00, or 18:00")
        if made.tzinfo is not None:
            return made.astimezone(zone)
        made = made.replace(tzinfo=zone)
    if made.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != made.replace(tzinfo=None):
        raise SetupError(f"--at {text[:80]}: clocks are put forward then, in {zone.key} there is no such time")
    return made


def _in_words(text: str, now: datetime) -> datetime:
    """A moment as people write it: `24 Dec 2026 18:00`, `Fri 6pm`. What is not said is as today, at midnight.

    Without a word in it, it might be read in two ways (01/02/2026), so it is refused: raises SetupError.
    """
    from dateutil import parser  # here, as most calls of the tool do without

    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    try:
        if len(text) > _LONGEST or not re.search("[A-Za-z]{3}|[ap]m", text, re.IGNORECASE):
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("error", parser.UnknownTimezoneWarning)
            return parser.parse(text, default=midnight)
    except (ValueError, OverflowError, parser.UnknownTimezoneWarning):
        raise SetupError(f"--at {text[:80]!r} is no time", "Write it as 2026-12-24T18:00, or 18:00") from None


def shown(when: datetime) -> str:
    """`Thu 24 Dec 2026 18:00 Europe/Paris`."""
    return f"{when:%a %d %b %Y} {when:%H:%M:%S}".removesuffix(":00") + f" {zone_name(when)}"


def zone_name(when: datetime) -> str:
    """The zone of a moment: `Europe/Paris`."""
    return getattr(when.tzinfo, "key", "") or f"{when:%Z}"
