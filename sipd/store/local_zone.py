"""The time zone of this machine by its Olson name, for the times of scripts that name none (RFC 3880 §4.4)."""

from __future__ import annotations

import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCALTIME: Final = Path("/etc/localtime")
TIMEZONE: Final = Path("/etc/timezone")
_FILES: Final = "zoneinfo/"
"""The names of zones begin behind this in the paths of their files."""


class LocalZone(NamedTuple):
    """The machine's zone, and what was wrong with finding it."""

    name: str
    complaint: str = ""  # empty: nothing


def use_zone_files(environ: Mapping[str, str]) -> None:
    """Read zones from where TZDIR says, before the usual places."""
    directory = environ.get("TZDIR", "")
    if directory.startswith("/"):
        from sipd.cpl.zones import use_directories  # here, as the room takes a while to load

        use_directories((directory, *(path for path in zoneinfo.TZPATH if path != directory)))


def local_zone(environ: Mapping[str, str], localtime: Path = LOCALTIME, timezone: Path = TIMEZONE) -> LocalZone:
    """What TZ says, else where /etc/localtime leads, else what /etc/timezone says; else UTC, with a complaint."""
    from sipd.cpl.zones import zone_of

    text = environ.get("TZ")
    if text is not None:
        name = _name(text.removeprefix(":")) or "UTC"
        if zone_of(name) is not None:
            return LocalZone(name)
        return LocalZone("UTC", f"TZ={text} is no time zone this machine knows by name: scripts run in UTC")
    for name in (_linked(localtime), _written(timezone)):
        if name and zone_of(name) is not None:
            return LocalZone(name)
    return LocalZone("UTC", f"the time zone of this machine can't be told from {localtime}: scripts run in UTC")


def _name(text: str) -> str:
    path = text.rpartition(_FILES)[2] if text.startswith("/") else text
    for kind in ("posix/", "right/"):
        path = path.removeprefix(kind)
    return path.strip()


def _linked(localtime: Path) -> str:
    try:
        target = str(localtime.readlink())
    except OSError:
        return ""
    return _name(target if target.startswith("/") else "/" + target) if _FILES in target else ""


def _written(timezone: Path) -> str:
    try:
        with timezone.open(encoding="utf-8", errors="replace") as file:
            return file.readline(200).strip()
    except OSError:
        return ""
