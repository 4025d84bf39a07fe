"""On which terms a server takes scripts: what an administrator permits, and to whom (RFC 3880 §13)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.grammar import OPERATIONS
from sipd.cpl.sources import hosts_from_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sipd.rows import Settings

MAX_BYTES: Final = 65536
"""Largest script taken unless told otherwise (T41)."""

NONE_FETCHED: Final[Mapping[str, bytes]] = MappingProxyType({})
"""No time zone was fetched."""


class Terms(NamedTuple):
    """The terms for one user's scripts. A script compiled on equal terms is the same Program."""

    operations: frozenset[str] | None = OPERATIONS  # None: no script at all
    max_bytes: int = MAX_BYTES
    hosts: frozenset[str] = frozenset()  # that lookups may fetch from
    phone_users: bool = False  # a user part that looks like a number is one, without user=phone too
    mail: bool = True  # the server sends mail
    zone: str = ""  # local time of time-switches that name none, an Olson name; UTC when empty or unknown
    timezones: Mapping[str, bytes] = NONE_FETCHED  # what was fetched from tzurls: the VTIMEZONE data of each


def terms_of(settings: Settings, user_class: str = "", timezones: Mapping[str, bytes] = NONE_FETCHED) -> Terms:
    """The terms for a user of that class (his `gateway_class`). Raises ValueError when a setting can't be read."""
    return Terms(
        operations_of(settings.script_operations, user_class),
        settings.max_script,
        hosts_from_text(settings.script_hosts),
        settings.phone_users,
        bool(settings.mail_server),
        settings.time_zone,
        timezones,
    )


def operations_of(text: str, user_class: str = "") -> frozenset[str] | None:
    """The operations that a user of that class may use; None: he may have no CPL script at all.

    `text` is words with blanks between. `all`, `none` and names of
    operations (switches and subactions need no permission) are for
    everybody; `class:` before them, with commas between, makes them those of
    one class of users. A class that is not named has what everybody has, and
    everybody has all where no word is for everybody. Raises ValueError.
    """
    everybody: set[str] = set()
    classes: dict[str, set[str]] = {}
    for word in text.split():
        name, colon, names = word.rpartition(":")
        if colon and not name:
            raise ValueError(f"a class without a name: {word[:80]!r}")
        into = classes.setdefault(name, set()) if colon else everybody
        into.update(each for each in names.split(",") if each)
    meanings = {name: _meaning(words) for name, words in classes.items()}  # all of them: a mistake in any is told
    usual = _meaning(everybody) if everybody or not classes else OPERATIONS
    return meanings.get(user_class, usual)


def _meaning(words: set[str]) -> frozenset[str] | None:
    _no_strangers(words - OPERATIONS - {"all", "none"})
    if len(words) > 1 and words & {"all", "none"}:
        raise ValueError("all and none stand alone, without names of operations")
    if words == {"none"}:
        return None
    return OPERATIONS if words == {"all"} else frozenset(words)


def _no_strangers(words: Iterable[str]) -> None:
    strangers = ", ".join(sorted(word[:40] for word in words))
    if strangers:
        raise ValueError(f"no CPL operations: {strangers}; there are {', '.join(sorted(OPERATIONS))}, all and none")
