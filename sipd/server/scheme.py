"""How users prove who they are, as the settings have it: what can't be is refused, what is unsafe is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.digest import check_algorithms
from sipd.log import LOG, EventLog
from sipd.rows import PutSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.rows import Change
    from sipd.store import Cache

BASIC: Final = (
    "auth=basic: over TLS and on this machine phones may send their passwords as they are;"
    " whoever gets at this machine can read them"
)
"""What the log has at each start, and whenever it is set (T115)."""


def check_scheme(cache: Cache, log: EventLog = LOG) -> None:
    """At a start. Raises SetupError where the algorithms that are set can't be had."""
    check_algorithms([word for word in cache.settings.digest_algorithms.split() if ":" not in word])
    asked = ""

    def warn() -> None:
        nonlocal asked
        if cache.settings.auth == "basic" and asked != "basic":
            log.event("warning", text=BASIC)
        asked = cache.settings.auth

    def heed(changes: Sequence[Change]) -> None:
        if any(type(change) is PutSettings for change in changes):
            warn()

    warn()
    cache.watch(heed)
