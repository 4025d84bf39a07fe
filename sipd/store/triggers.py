"""The triggers that write down in `change_log` which rows change, whoever changes them: sipd, its tools, plain SQL.

A line of the log names a table and a key of it, and not what became of the
row: who reads it loads the rows of that key as they are by then. The lines of
a transaction are committed with it, or not at all.

MySQL carries out `ON DELETE CASCADE` without triggers: there the line of a
users row stands for all that belongs to that address-of-record. SQLite does
fire them, but none for the row that a REPLACE takes the place of; the line of
the new one has the same key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Dialect = Literal["sqlite", "mysql"]

LOGGED: Final[Mapping[str, str]] = {
    "server": "name",
    "domain": "name",
    "users": "aor",
    "contacts": "aor",
    "third_parties": "aor",
    "aliases": "alias",
    "peers": "name",
    "scripts": "aor",
    "timezones": "url",
    "dialplan": "position",
}
"""The tables that are logged, and the column of each that names what has changed.

What only grows (script_log, script_versions, licence) is not kept in memory,
and needs no line.
"""

ORIGIN: Final = "@sipd_origin"
"""The session variable of MySQL by which a server knows its own lines; others leave it unset."""

_ORIGIN: Final[Mapping[Dialect, str]] = {"sqlite": "''", "mysql": f"COALESCE({ORIGIN}, '')"}
_NOW: Final[Mapping[Dialect, str]] = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER)",
    "mysql": "UNIX_TIMESTAMP()",
}
_BODY: Final[Mapping[Dialect, str]] = {"sqlite": "BEGIN {}; END", "mysql": "{}"}

_EVENTS: Final = ("INSERT", "DELETE", "UPDATE")
"""What happens to a row. An update may change its key: then the old one and the new one are logged."""


def create_triggers(dialect: Dialect) -> list[str]:
    """The statements that make all triggers; the tables must be there, none of the triggers may."""
    return [_create(dialect, table, event) for table in LOGGED for event in _EVENTS]


def drop_triggers() -> list[str]:
    """The statements that take away those that are there: before they are made anew, in either database."""
    return [f"DROP TRIGGER IF EXISTS {name}" for name in trigger_names()]


def trigger_names() -> list[str]:
    """What all of them are called."""
    return [_name(table, event) for table in LOGGED for event in _EVENTS]


def _create(dialect: Dialect, table: str, event: str) -> str:
    key = LOGGED[table]
    new, old = (f"{_ORIGIN[dialect]}, '{table}', {state}.{key}, {_NOW[dialect]}" for state in ("NEW", "OLD"))
    insert = "INSERT INTO change_log (origin, what, name, changed_at)"
    if event != "UPDATE":
        body = _BODY[dialect].format(f"{insert} VALUES ({new if event == 'INSERT' else old})")
    elif dialect == "sqlite":
        body = f"BEGIN {insert} SELECT {new} UNION ALL SELECT {old} WHERE OLD.{key} <> NEW.{key}; END"
    else:  # whose UNION makes a table for each row, which takes it a millisecond
        body = f"BEGIN {insert} VALUES ({new}); IF OLD.{key} <> NEW.{key} THEN {insert} VALUES ({old}); END IF; END"
    return f"CREATE TRIGGER {_name(table, event)} AFTER {event} ON {table} FOR EACH ROW {body}"


def _name(table: str, event: str) -> str:
    return f"{table}_{event.lower()}_logged"
