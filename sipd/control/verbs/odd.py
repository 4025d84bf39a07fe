"""Rows that a database takes and sipd can make nothing of, as plain SQL or another program may have put them there."""

from __future__ import annotations

import re
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Final, get_args, get_type_hints

from sipd.errors import SetupError, SipError
from sipd.message import parse_uri
from sipd.rows import Action, Level, Role
from sipd.store.options import settings_from_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sipd.rows import Binding, Settings, User
    from sipd.store import Snapshot

SURROGATE: Final = re.compile("[\ud800-\udfff]")
HASHES: Final = {"ha1_md5": 32, "ha1_sha256": 64, "ha1_sha512_256": 64}
"""Columns of hashes, and how many hexadecimal digits one has; `..._full` are as long."""


def odd_rows(snapshot: Snapshot) -> list[str]:
    """What is wrong with them, a sentence each."""
    domains = {row.name for row in snapshot.domains}
    canonical = {row.canonical for row in snapshot.domains}
    rows = (
        snapshot.users, snapshot.bindings, snapshot.scripts, snapshot.domains, snapshot.aliases, snapshot.peers,
        snapshot.settings,
    )  # fmt: skip
    found = [sentence for each in rows for row in each for sentence in _mistyped(row)]
    rows_of_ours = (row for each in rows if each is not snapshot.bindings for row in each)
    found += [sentence for row in rows_of_ours for sentence in _unreadable(row)]  # phones may send what they like
    if found:  # of such rows nothing more can be said
        return found
    found += [sentence for user in snapshot.users for sentence in _user(user, canonical)]
    found += [sentence for binding in snapshot.bindings for sentence in _binding(binding)]
    found += [
        f"domain {row.name}: its users are under {row.canonical}, which is no domain of ours"
        for row in snapshot.domains
        if row.canonical not in domains
    ]
    found += [sentence for settings in snapshot.settings for sentence in _settings(settings)]
    if not snapshot.settings:
        found.append("no row in the table server: sipdctl server set mode=proxy makes one")
    return found


def _mistyped(row: tuple[object, ...]) -> Iterator[str]:
    """SQLite takes any value in any column."""
    for (name, kinds), value in zip(_kinds(type(row)), row, strict=True):
        if not isinstance(value, kinds):
            yield f"{type(row).__name__} {row[0]!r}: {name} is no {kinds[0].__name__}"


def _unreadable(row: tuple[object, ...]) -> Iterator[str]:
    """SQLite takes text in any encoding."""
    for (name, _), value in zip(_kinds(type(row)), row, strict=True):
        if isinstance(value, str) and not value.isascii() and SURROGATE.search(value):
            yield f"{type(row).__name__} {row[0]!r}: {name} is no UTF-8"


@cache
def _kinds(row: type) -> list[tuple[str, tuple[type, ...]]]:
    """Field and the types that its value may have, of a row type."""
    hints = get_type_hints(row)
    return [(name, KINDS.get(hints[name], (str,))) for name in hints]


KINDS: Final[Mapping[object, tuple[type, ...]]] = {
    int: (int,),
    float: (float, int),
    bool: (int,),
    bytes: (bytes,),
    tuple[str, ...]: (tuple,),
}
"""Those that are no text."""


def _user(user: User, domains: Collection[str]) -> Iterator[str]:
    name, at, domain = user.aor.rpartition("@")
    if not name or not at:
        yield f"user {user.aor!r}: an address is name@domain"
    elif domain not in domains:
        yield f"user {user.aor}: {domain} is no domain of ours that users are under"
    for what, value, known in (("level", user.level, get_args(Level)), ("role", user.role, get_args(Role))):
        if value not in known:
            yield f"user {user.aor}: the {what} {value!r} is none of {', '.join(known)}"
    for column, length in HASHES.items():
        for name in (column, f"{column}_full"):
            value = getattr(user, name)
            if value and (len(value) != length or set(value) - set("0123456789abcdef")):
                yield f"user {user.aor}: {name} is no hash of {length} hexadecimal digits in small letters"


def _binding(binding: Binding) -> Iterator[str]:
    try:
        parse_uri(binding.uri)
    except SipError as error:
        yield f"contact {binding.uri!r} of {binding.aor}: no URI: {error.text}"
    if not 0 <= binding.q <= 1000:
        yield f"contact {binding.uri} of {binding.aor}: q is {binding.q}, and not 0 to 1000"
    if not isfinite(binding.expires_at):
        yield f"contact {binding.uri} of {binding.aor}: expires_at is no time"
    if binding.action not in get_args(Action):
        yield f"contact {binding.uri} of {binding.aor}: the action {binding.action!r} is none"


def _settings(settings: Settings) -> Iterator[str]:
    for key, value in settings._asdict().items():
        if key == "name":
            continue
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        try:
            settings_from_texts([f"{key}={text}"])
        except SetupError as error:
            yield f"server {settings.name}: {error.text}"
