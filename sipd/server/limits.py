"""What the settings limit, put where it counts: connections, request rate, age of nonces, pages, descriptors."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

from sipd.log import LOG
from sipd.net.connections import Room
from sipd.rows import PutSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.guard import NonceWindows, Rate
    from sipd.net import Flows
    from sipd.rows import Change
    from sipd.store import Cache

OTHER_FILES: Final = 256
"""Descriptors for all that is no connection: database, log, listeners, name servers."""


def limit_network(network: Flows, cache: Cache) -> None:
    """Keep the network to what the settings allow, now and whenever they change."""

    def apply() -> None:
        settings = cache.settings
        network.connections.room = Room(settings.max_connections, settings.max_connections_per_source)
        network.connections.origins = frozenset(settings.websocket_origins.lower().split())
        allow_files(settings.max_connections + OTHER_FILES)

    network.connections.is_exempt = lambda host: cache.peer(host) is not None
    apply()
    cache.watch(_when_set(apply))


def limit_rate(rate: Rate, cache: Cache) -> None:
    """Let every source send as many requests as the settings allow, now and whenever they change."""

    def apply() -> None:
        rate.limit = cache.settings.max_request_rate

    apply()
    cache.watch(_when_set(apply))


def limit_nonces(nonces: NonceWindows, cache: Cache, wall: Callable[[], float]) -> None:
    """Remember of every nonce which counts were used for as long as the settings have it good (T11)."""

    def apply() -> None:
        nonces.keep(cache.settings.nonce_life, wall())

    apply()
    cache.watch(_when_set(apply))


def _when_set(apply: Callable[[], None]) -> Callable[[Sequence[Change]], None]:
    def heed(changes: Sequence[Change]) -> None:
        for change in changes:
            if type(change) is PutSettings:
                apply()
                return

    return heed


def allow_files(wanted: int) -> None:
    """Ask the system for that many descriptors; when it gives fewer that is said: connections will wait (T103)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    except (OSError, ValueError):  # a sandbox forbids to ask
        granted = soft
    if granted < wanted:
        LOG.event("few_descriptors", wanted=wanted, granted=granted)
