"""The rows of some keys: what a line of the change log stands for, how it is read, and how it gets into memory.

One table says it all: BELONGING. Whoever adds a table that is kept in memory
adds its lines here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sipd.rows import (
    DropAlias,
    DropBinding,
    DropDelegate,
    DropDial,
    DropDomain,
    DropPeer,
    DropScript,
    DropTimezone,
    DropUser,
    EnableScript,
    Expect,
    PutAlias,
    PutBinding,
    PutDelegate,
    PutDial,
    PutDomain,
    PutPeer,
    PutScript,
    PutSettings,
    PutTimezone,
    PutUser,
)
from sipd.store import statements as sql
from sipd.store.base import WHOLE, Key, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sipd.rows import Change

AT_ONCE: Final = 100
"""Keys of one statement. It always names as many, the last one repeated: so that the database knows its text."""


SMALL: Final = frozenset({"settings", "domains", "peers", "timezones"})
"""Fields of tables that stay small, all rows of which may be asked for by the name WHOLE."""


class Part(NamedTuple):
    """Rows of a kind that a key names: a field of Snapshot, and the column that has the key."""

    field: str
    column: str


_BINDINGS: Final = (Part("bindings", "aor"), Part("versions", "aor"))
_SCRIPTS: Final = (Part("scripts", "aor"), Part("removed", "aor"))

BELONGING: Final[Mapping[str, tuple[Part, ...]]] = {
    "users": (  # MySQL logs nothing else where a user is removed, and all that he had with him
        Part("users", "aor"),
        *_BINDINGS,
        *_SCRIPTS,
        Part("delegates", "aor"),
        Part("delegates", "delegate"),
        Part("aliases", "primary_user"),
    ),
    "contacts": _BINDINGS,
    "registrations": _BINDINGS,
    "scripts": _SCRIPTS,
    "third_parties": (Part("delegates", "aor"),),
    "aliases": (Part("aliases", "alias"),),
    "domain": (Part("domains", "name"),),
    "peers": (Part("peers", "name"),),
    "server": (Part("settings", "name"),),
    "timezones": (Part("timezones", "url"),),
    "dialplan": (Part("dialplan", "position"),),
}
"""What has to be looked at for a key of each table of the change log; a table that is not here is nobody's concern."""


class Query(NamedTuple):
    """One statement to run: which part its rows are, and the keys it asks for."""

    part: Part
    statement: str
    names: tuple[str, ...]


def names_of(keys: Iterable[Key]) -> dict[Part, list[str]]:
    """The keys by what they stand for, each once."""
    found: dict[Part, dict[str, None]] = {}
    for what, name in keys:
        for part in BELONGING.get(what, ()):
            found.setdefault(part, {})[name] = None
    return {part: list(names) for part, names in found.items()}


def keys_of(changes: Iterable[Change]) -> list[Key]:
    """What these changes concern, as the change log would name it."""
    found: list[Key] = []
    for change in changes:
        if type(change) in _CHANGED:
            table, name = _CHANGED[type(change)]
            found.append(Key(table, str(name(change))))
    return found


def queries(keys: Iterable[Key]) -> list[Query]:
    """What to run, in one transaction, for the rows of these keys."""
    found: list[Query] = []
    for part, names in names_of(keys).items():
        if _is_whole(part, names):
            found.append(Query(part, _READ[part.field].statement, ()))
            continue
        for at in range(0, len(names), AT_ONCE):
            found.append(Query(part, _statement(part), _filled(names[at : at + AT_ONCE])))
    return found


def _is_whole(part: Part, names: Sequence[str]) -> bool:
    return part.field in SMALL and WHOLE in names


def snapshot_of(found: Iterable[tuple[Part, Sequence[Any]]], secret_key: bytes = b"") -> Snapshot:
    """The rows that came of those queries; one that came by two of them is there once.

    (Any: a driver's rows have no types.)
    """
    fields: dict[str, list[Any]] = {name: [] for name in _READ}
    for part, rows in found:
        fields[part.field] += [_READ[part.field].row(row) for row in rows]
    there = {(script.aor, script.kind) for script in fields["scripts"]}
    fields["removed"] = [row for row in fields["removed"] if row[:2] not in there]
    for twice in ("delegates", "aliases"):
        fields[twice] = list(dict.fromkeys(fields[twice]))
    return Snapshot(**fields, secret_key=secret_key)


def only(snapshot: Snapshot, keys: Iterable[Key]) -> Snapshot:
    """Of these rows those that the keys stand for."""
    fields: dict[str, list[Any]] = {name: [] for name in _READ}
    for part, names in names_of(keys).items():
        wanted, place = set(names), int(part.column in ("delegate", "primary_user"))  # else the key comes first
        every = _is_whole(part, names)
        fields[part.field] += [row for row in getattr(snapshot, part.field) if every or str(row[place]) in wanted]
    return Snapshot(**{name: list(dict.fromkeys(rows)) for name, rows in fields.items()}, secret_key=b"")


class _Read(NamedTuple):
    """How rows of a field are read: all of them, without their order; what follows the condition; the row's type."""

    statement: str
    row: Callable[[Sequence[Any]], Any]
    tail: str = ""


_LAST_VERSIONS, _, _GROUPS = sql.LAST_VERSIONS.partition(" GROUP BY")
_ALL_SETTINGS, _, _ORDER = sql.ALL_SETTINGS.partition(" ORDER BY")

_READ: Final[Mapping[str, _Read]] = {
    "users": _Read(sql.ALL_USERS, sql.user_of),
    "bindings": _Read(sql.ALL_BINDINGS, sql.binding_of),
    "versions": _Read(sql.ALL_VERSIONS, sql.version_of),
    "scripts": _Read(sql.ALL_SCRIPTS, sql.script_of),
    "removed": _Read(_LAST_VERSIONS, sql.removed_of, f" GROUP BY{_GROUPS}"),
    "delegates": _Read(sql.ALL_DELEGATES, sql.delegate_of),
    "aliases": _Read(sql.ALL_ALIASES, sql.alias_of),
    "domains": _Read(sql.ALL_DOMAINS, sql.domain_of),
    "peers": _Read(sql.ALL_PEERS, sql.peer_of),
    "settings": _Read(_ALL_SETTINGS, sql.settings_of),
    "timezones": _Read(sql.ALL_TIMEZONES, sql.timezone_of),
    "dialplan": _Read(sql.ALL_DIALS, sql.dial_of),
}

_CHANGED: Final[Mapping[type, tuple[str, Callable[[Any], object]]]] = {
    PutUser: ("users", lambda change: change.user.aor),
    DropUser: ("users", lambda change: change.aor),
    PutBinding: ("contacts", lambda change: change.binding.aor),
    DropBinding: ("contacts", lambda change: change.aor),
    Expect: ("registrations", lambda change: change.aor),
    PutScript: ("scripts", lambda change: change.script.aor),
    DropScript: ("scripts", lambda change: change.aor),
    EnableScript: ("scripts", lambda change: change.aor),
    PutDelegate: ("third_parties", lambda change: change.aor),
    DropDelegate: ("third_parties", lambda change: change.aor),
    PutAlias: ("aliases", lambda change: change.alias),
    DropAlias: ("aliases", lambda change: change.alias),
    PutDomain: ("domain", lambda change: change.name),
    DropDomain: ("domain", lambda change: change.name),
    PutPeer: ("peers", lambda change: change.peer.name),
    DropPeer: ("peers", lambda change: change.name),
    PutSettings: ("server", lambda change: change.settings.name),
    PutTimezone: ("timezones", lambda change: change.url),
    DropTimezone: ("timezones", lambda change: change.url),
    PutDial: ("dialplan", lambda change: change.position),
    DropDial: ("dialplan", lambda change: change.position),
}
"""The table that a change is of and the key it has there; what is not here is not kept in memory.

(Any: each function takes the key's own type.)
"""

_PLACES: Final = ", ".join("?" * AT_ONCE)


def _statement(part: Part) -> str:
    read = _READ[part.field]
    return f"{read.statement} WHERE {part.column} IN ({_PLACES}){read.tail}"  # both of ours, nothing from outside


def _filled(names: Sequence[str]) -> tuple[str, ...]:
    return (*names, *[names[-1]] * (AT_ONCE - len(names)))
