"""Making and upgrading a database in MySQL or MariaDB, statement by statement, by one program at a time."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError, StoreAway
from sipd.store.ddl import SCHEMA, creating, steps_to
from sipd.store.migrate import (
    DROP_MARK,
    EMPTY,
    HOLD_ROWS,
    MARK,
    META,
    Moved,
    check_shape,
    check_state,
    judge,
    mark,
    place_of,
    stale_triggers,
)
from sipd.store.mysql_wire import Gone, Trouble
from sipd.store.shape import (
    MYSQL_COLUMNS,
    MYSQL_FOREIGN,
    MYSQL_INDEXES,
    MYSQL_TRIGGERS,
    differences,
    expected,
    mysql_shape,
    unsound,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from sipd.store.migrate import State
    from sipd.store.mysql_link import Driver
    from sipd.store.shape import Shape

    Say = Callable[[str], None]

PATIENCE: Final = 3600.0
"""Seconds that one statement of an upgrade may take: a large table may be written anew."""

WAIT: Final = 600.0
"""Seconds to wait for another program that makes or upgrades the same database."""

LOOK: Final = 0.5
"""Seconds between two looks whether it is done."""

LET_GO: Final = 1.0
"""Seconds for letting go of the lock, whatever else is cancelled; the end of the connection does so, too."""

METADATA_LOCK: Final = 60
"""Seconds that a statement waits for transactions that use its table."""

DONE_ALREADY: Final = frozenset({1050, 1051, 1060, 1061, 1091, 1146, 1359, 1360})
"""What a statement says that was carried out before: the table, column, index or trigger is there, or gone.

1146, no such table: of a RENAME. That nothing else was wrong is seen at the end, where the shape is compared.
"""

UNKNOWN_VARIABLE: Final = 1193

NEW_KEY: Final = "INSERT IGNORE INTO sipd_meta (name, value) VALUES ('secret_key', ?)"

LOCK_NAME: Final = "CONCAT('sipd.', LEFT(SHA2(DATABASE(), 256), 32))"


async def state_of(driver: Driver) -> tuple[State, dict[str, str]]:
    """What kind of database this is, and the rows of its sipd_meta."""
    rows = await driver.fetch("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    tables = {name for (name,) in rows}
    meta = dict(await driver.fetch(META)) if "sipd_meta" in tables else {}
    filled = False
    for table in HOLD_ROWS:
        if "sipd_meta" in tables and table in tables and not filled:
            filled = bool(await driver.fetch(f"SELECT 1 FROM {table} LIMIT 1"))
    return judge(tables, meta, filled), meta


async def shape_of(driver: Driver) -> Shape:
    """Its tables, columns, keys, indexes and triggers."""
    queries = (MYSQL_COLUMNS, MYSQL_INDEXES, MYSQL_FOREIGN, MYSQL_TRIGGERS)
    return mysql_shape(*[[tuple(row) for row in await driver.fetch(query)] for query in queries])


async def make_tables(driver: Driver, shown: str, say: Say) -> None:
    """Make what is missing of the tables and triggers of an empty database; the schema row is not written yet.

    It comes with the first rows, in their transaction: until then the database counts as half made.
    Raises SetupError where there is a database already, or anything else.
    """
    async with _alone(driver, shown, say):
        with _in_words(shown):
            state, meta = await state_of(driver)
            if state in ("foreign", "torn"):
                check_state(state, meta, shown, shown)
            if state not in EMPTY:
                raise SetupError(f"{shown} is there already", "Take another name, or remove its tables")
            while state == "bare" and await _step(driver, shown):  # made by hand, from an older text
                pass
            for step in creating():
                if not step.rows:
                    await _once(driver, step.statement)
            await _make_triggers(driver)
            check_shape(differences(await shape_of(driver)), shown)


def first_rows(secret_key: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """What makes a whole database of one whose tables are made: to be carried out with its first rows.

    The second one to try finds the key there: error 1062.
    """
    return [
        ("REPLACE INTO sipd_meta (name, value) VALUES ('schema', ?)", (str(SCHEMA),)),
        ("INSERT INTO sipd_meta (name, value) VALUES ('secret_key', ?)", (secret_key.hex(),)),
    ]


async def upgrade(driver: Driver, shown: str, say: Say, *, new_key: bytes = b"") -> Moved:
    """Bring a database to the schema of this code, with all its triggers; `say` hears what takes time.

    `new_key`: the secret key of one that was made by hand and has none. Raises SetupError, StoreAway, and Trouble of
    a connection that is gone; it goes on from there the next time.
    """
    with _in_words(shown):
        state, meta = await state_of(driver)
        before = check_state(state, meta, shown, shown).version
        if before == SCHEMA and state == "whole" and not await _lacking(driver):
            check_shape(await _unsound(driver), shown)
            return Moved(before)
    async with _alone(driver, shown, say):
        with _in_words(shown):
            if before < SCHEMA:
                say(f"{shown}: upgrade from schema {before} to {SCHEMA}")
            while await _step(driver, shown):
                pass
            await _make_triggers(driver)
            if new_key:
                await driver.execute(NEW_KEY, (new_key.hex(),))
            check_shape(await _unsound(driver), shown)
            if before < SCHEMA:
                say(f"{shown}: schema {SCHEMA}")
    return Moved(before)


async def _step(driver: Driver, shown: str) -> bool:
    """One statement of the upgrade, and its mark; False: there is none left."""
    meta = dict(await driver.fetch(META))
    place = place_of(meta, shown)
    if place.version == SCHEMA:
        return False
    target = place.version + 1
    steps = steps_to(target)
    step = steps[place.done]
    if place.done == len(steps) - 1:  # sets the version
        if target == SCHEMA:
            check_shape(await _unsound(driver), shown)
        async with driver.tx():
            await driver.execute(step.statement)
            await driver.execute(DROP_MARK)
    elif step.rows:
        async with driver.tx():
            if await _advance(driver, target, place.done, meta):
                await driver.execute(step.statement)
    else:
        await _once(driver, step.statement)
        await _advance(driver, target, place.done, meta)
    return True


async def _advance(driver: Driver, target: int, done: int, meta: Mapping[str, str]) -> bool:
    """Mark one more statement as done; False: somebody else has done so."""
    if done:
        answer = await driver.execute(
            "UPDATE sipd_meta SET value = ? WHERE name = ? AND value = ?",
            (mark(target, done + 1), MARK, mark(target, done)),
        )
        return answer.rowcount == 1
    if MARK in meta:  # of an upgrade that came to its end in another way
        await driver.execute("DELETE FROM sipd_meta WHERE name = ? AND value = ?", (MARK, meta[MARK]))
    answer = await driver.execute("INSERT IGNORE INTO sipd_meta (name, value) VALUES (?, ?)", (MARK, mark(target, 1)))
    return answer.rowcount == 1


async def _once(driver: Driver, statement: str) -> None:
    """Carry out a statement that may have been carried out before."""
    try:
        await driver.execute(statement)
    except Trouble as error:
        if error.code not in DONE_ALREADY:
            raise


async def _lacking(driver: Driver) -> list[str]:
    rows = await driver.fetch(
        "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    )
    return stale_triggers("mysql", dict(rows))


async def _make_triggers(driver: Driver) -> None:
    for statement in await _lacking(driver):
        await _once(driver, statement)


async def _unsound(driver: Driver) -> list[str]:
    columns = [tuple(row) for row in await driver.fetch(MYSQL_COLUMNS)]
    indexes = [tuple(row) for row in await driver.fetch(MYSQL_INDEXES)]
    return unsound(mysql_shape(columns, indexes, (), ()))


SOUND: Final = ("OK", "Table is already up to date")


async def check_tables(driver: Driver) -> list[str]:
    """What the server finds in each table, what is missing, and rows that belong to nobody."""
    shape = await shape_of(driver)
    found = differences(shape)
    there = [table for table in expected().columns if table in shape.columns]
    for table in there:
        for name, _, kind, text in await driver.fetch(f"CHECK TABLE {table}"):
            if kind.lower() in ("error", "warning") or (kind == "status" and text not in SOUND):
                found.append(f"{name}: {text}")
    for key in sorted(expected().foreign):
        if key.table in there and key.parent in there:
            child, parent = key.columns[0], key.parents[0]
            [(count,)] = await driver.fetch(
                f"SELECT COUNT(*) FROM {key.table} c LEFT JOIN {key.parent} p ON p.{parent} = c.{child}"
                f" WHERE p.{parent} IS NULL"
            )
            if count:
                found.append(f"{count} row{'s' * (count > 1)} of {key.table} whose {child} is not in {key.parent}")
    return found


@asynccontextmanager
async def _alone(driver: Driver, shown: str, say: Say) -> AsyncIterator[None]:
    """Hold the named lock of this database: of all programs that make or upgrade it, one does so.

    A server that ends lets go of it. The locks of a Galera node are its own.
    """
    await _long_statements(driver)
    waiting = False
    deadline = trio.current_time() + WAIT
    while (await driver.fetch(f"SELECT GET_LOCK({LOCK_NAME}, 0)"))[0][0] != 1:
        if trio.current_time() >= deadline:
            raise StoreAway(f"{shown} is being upgraded by another sipd for more than {WAIT:g} s")
        if not waiting:
            say(f"{shown}: another sipd upgrades it, waiting")
        waiting = True
        await trio.sleep(LOOK)
    try:
        yield
    finally:
        with trio.move_on_after(LET_GO, shield=True), suppress(Trouble):  # or the connection is gone, the lock with it
            await driver.execute(f"DO RELEASE_LOCK({LOCK_NAME})")


async def _long_statements(driver: Driver) -> None:
    for variable, value in (("max_statement_time", 0), ("lock_wait_timeout", METADATA_LOCK)):
        try:
            await driver.execute(f"SET SESSION {variable} = {value}")
        except Trouble as error:
            if error.code != UNKNOWN_VARIABLE:  # MySQL has no max_statement_time
                raise


@contextmanager
def _in_words(shown: str) -> Iterator[None]:
    """What the server refuses becomes a SetupError that says what to do; a lost connection stays Trouble."""
    try:
        yield
    except Gone:
        raise
    except Trouble as error:
        hint = next((hint for codes, hint in HINTS if error.code in codes), "")
        raise SetupError(f"can't make or upgrade the tables of {shown}: {error}", hint) from None


HINTS: Final = (
    (
        {1044, 1142, 1143, 1227, 1370, 1410, 1419},
        "The user of the database URL needs all rights on this database, TRIGGER among them; a server that keeps a"
        " binary log needs log_bin_trust_function_creators=1 as well",
    ),
    ({1021, 1114}, "Make room on the disk of the database server, and start again: it goes on where it was"),
    ({1290, 1792, 1836}, "Name the server that takes writes"),
)
"""Errors of the server, and what to do about them."""
