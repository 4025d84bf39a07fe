"""What a database is made of: tables, columns, keys, indexes, triggers; what it lacks of what the code needs.

The code needs what `createsip.sql` makes, so that is asked of SQLite, in
memory. Types and defaults are not compared: databases have their own words
for them.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.store.ddl import creating
from sipd.store.triggers import trigger_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Foreign(NamedTuple):
    """A foreign key: rows of `table` belong to one of `parent`."""

    table: str
    columns: tuple[str, ...]
    parent: str
    parents: tuple[str, ...]  # the columns there


class Shape(NamedTuple):
    """What is there, whatever is in it."""

    columns: Mapping[str, tuple[str, ...]]  # of each table, in their order: rows are written by it
    keys: Mapping[str, tuple[str, ...]]  # primary keys
    indexes: frozenset[tuple[str, tuple[str, ...]]]  # table, columns
    foreign: frozenset[Foreign]
    triggers: frozenset[str]


@cache
def expected() -> Shape:
    """What this version of sipd needs."""
    connection = sqlite3.connect(":memory:")
    try:
        for step in creating():
            connection.execute(step.statement)
        return sqlite_shape(connection)._replace(triggers=frozenset(trigger_names()))
    finally:
        connection.close()


def differences(found: Shape) -> list[str]:
    """What is wrong with a database, as sentences; empty: it is as it must be, whatever it has besides."""
    needed = expected()
    wrong: list[str] = []
    for table, columns in needed.columns.items():
        there = found.columns.get(table)
        if there is None:
            wrong.append(f"the table {table} is missing")
            continue
        lacking = [f"{table}.{column}" for column in columns if column not in there]
        more = [f"{table}.{column}" for column in there if column not in columns]
        if lacking:
            wrong.append(f"missing columns: {', '.join(lacking)}")
        if more:
            wrong.append(f"columns that sipd does not know: {', '.join(more)}")
        if there != columns and not lacking and not more:
            wrong.append(f"the columns of {table} stand in another order")
        if found.keys.get(table) != needed.keys[table]:
            wrong.append(f"the primary key of {table} is not ({', '.join(needed.keys[table])})")
    missing = {table for table in needed.columns if table not in found.columns}
    for table, columns in sorted(needed.indexes - found.indexes):
        if table not in missing:
            wrong.append(f"no index on {table} ({', '.join(columns)})")
    for key in sorted(needed.foreign - found.foreign):
        if key.table not in missing:
            wrong.append(f"no foreign key from {key.table} ({', '.join(key.columns)}) to {key.parent}")
    wrong += [f"the trigger {name} is missing" for name in sorted(needed.triggers - found.triggers)]
    return wrong


def unsound(found: Shape) -> list[str]:
    """The same of what the code can't work without: tables and their columns."""
    return differences(
        found._replace(indexes=expected().indexes, foreign=expected().foreign, triggers=expected().triggers)
    )


# --- SQLite ------------------------------------------------------------------------------------------


def sqlite_shape(connection: sqlite3.Connection) -> Shape:
    """The shape of an SQLite database. Raises sqlite3.Error."""
    rows = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    tables = [name for kind, name in rows if kind == "table"]
    columns: dict[str, tuple[str, ...]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    indexes: set[tuple[str, tuple[str, ...]]] = set()
    foreign: set[Foreign] = set()
    for table in tables:
        found = connection.execute("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", (table,)).fetchall()
        columns[table] = tuple(name for name, _ in found)
        keys[table] = tuple(name for _, name in sorted((place, name) for name, place in found if place))
        for name, origin in connection.execute("SELECT name, origin FROM pragma_index_list(?)", (table,)).fetchall():
            if origin == "c":  # made by CREATE INDEX
                parts = connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (name,))
                indexes.add((table, tuple(part for (part,) in parts)))
        foreign |= _foreign(
            (table, str(number), column, parent, other)
            for number, column, parent, other in connection.execute(
                'SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (table,)
            )
        )
    triggers = frozenset(name for kind, name in rows if kind == "trigger")
    return Shape(columns, keys, frozenset(indexes), frozenset(foreign), triggers)


def _foreign(rows: Iterable[tuple[str, str, str, str, str]]) -> set[Foreign]:
    """From rows of (table, constraint, column, parent, its column), those of one constraint in their order."""
    pairs: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for table, constraint, column, parent, other in rows:
        pairs[table, constraint, parent].append((column, other))
    return {
        Foreign(table, tuple(column for column, _ in found), parent, tuple(other for _, other in found))
        for (table, _, parent), found in pairs.items()
    }


# --- MySQL and MariaDB -------------------------------------------------------------------------------

MYSQL_COLUMNS: Final = """
    SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION"""
MYSQL_INDEXES: Final = """
    SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""
MYSQL_FOREIGN: Final = """
    SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
    FROM information_schema.KEY_COLUMN_USAGE
    WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL
    ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"""
MYSQL_TRIGGERS: Final = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"


def mysql_shape(
    columns: Sequence[tuple[str, str]],
    indexes: Sequence[tuple[str, str, str]],
    foreign: Sequence[tuple[str, str, str, str, str]],
    triggers: Sequence[tuple[str]],
) -> Shape:
    """The shape from the rows of the four queries above."""
    by_table: dict[str, list[str]] = defaultdict(list)
    for table, column in columns:
        by_table[table].append(column)
    by_index: dict[tuple[str, str], list[str]] = defaultdict(list)
    for table, name, column in indexes:
        by_index[table, name].append(column)
    return Shape(
        {table: tuple(names) for table, names in by_table.items()},
        {table: tuple(names) for (table, name), names in by_index.items() if name == "PRIMARY"},
        frozenset((table, tuple(names)) for (table, name), names in by_index.items() if name != "PRIMARY"),
        frozenset(_foreign(foreign)),
        frozenset(name for (name,) in triggers),
    )
