"""What kind of database is there, and how it comes to the schema of this code (T57, T125).

An upgrade is the statements of `sql/upgrade-N.sql`, one after another. SQLite
carries them out in one transaction. MySQL commits each one that changes a
table by itself, so the row `upgrade` of sipd_meta says after each how far it
is: `4:3` means that three statements towards schema 4 are done. Killed
anywhere, an upgrade goes on from there; the one statement that may have been
carried out and not written down is known by the error that it gives when it
is carried out again. What changes rows is in one transaction with its mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sipd.errors import SetupError
from sipd.store.ddl import SCHEMA, steps_to
from sipd.store.shape import sqlite_shape, unsound
from sipd.store.triggers import create_triggers, drop_triggers, trigger_names

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

    from sipd.store.triggers import Dialect

State = Literal["none", "foreign", "half", "torn", "bare", "keyless", "whole"]
"""What is there: nothing; another program's tables; ours, half made and empty; ours, without sipd_meta's rows;
ours as `createsip.sql` leaves them; the same with rows; all that a database of sipd has."""

EMPTY: Final = frozenset({"none", "half", "bare"})
"""Nothing is lost where a database is made over these."""

MARK: Final = "upgrade"
"""The row of sipd_meta that says how far an upgrade is."""

META: Final = "SELECT name, value FROM sipd_meta"
DROP_MARK: Final = "DELETE FROM sipd_meta WHERE name = 'upgrade'"

HOLD_ROWS: Final = ("users", "domain", "server", "peers", "licence", "timezones")
"""Tables that a database of sipd has rows in; all others' belong to one of these."""


class Moved(NamedTuple):
    """From which schema version to which a database was brought."""

    before: int
    after: int = SCHEMA


class Place(NamedTuple):
    """How far a database is: its schema version, and how many statements towards the next one are done."""

    version: int
    done: int = 0


def judge(tables: Collection[str], meta: Mapping[str, str], filled: bool) -> State:
    """What kind of database has these tables and these rows of sipd_meta. `filled`: others of ours have rows."""
    if "sipd_meta" not in tables:
        return "foreign" if tables else "none"
    if "schema" not in meta:
        return "torn" if filled or "secret_key" in meta else "half"
    if "secret_key" in meta:
        return "whole"
    return "keyless" if filled else "bare"


def check_state(state: State, meta: Mapping[str, str], shown: str, url: str) -> Place:
    """How far it is. Raises SetupError for what can't be opened, a newer schema among it.

    `shown`: how messages name the database; `url`: how -D does.
    """
    place = place_of(meta, shown) if "schema" in meta else Place(0)
    if state in COMPLAINTS:
        text, hint = COMPLAINTS[state]
        raise SetupError(text.format(shown), hint.format(url))
    return place


INIT: Final = "Make one with: sipdctl -D {} db init"

COMPLAINTS: Final[Mapping[State, tuple[str, str]]] = {
    "none": ("{} is empty", INIT),
    "foreign": ("{} has tables of another program, but none of sipd's", "Name another database; nothing was changed"),
    "half": ("{} is half made, and has no rows", INIT),
    "torn": ("{} is damaged: it does not say which schema it has", "Restore it from a backup"),
    "bare": ("{} has tables and no rows", INIT),
}


def place_of(meta: Mapping[str, str], shown: str) -> Place:
    """How far it is. Raises SetupError for a schema version that is no number, or one that this sipd does not know."""
    text = meta.get("schema", "")
    if not (text.isascii() and text.isdigit()):
        raise SetupError(f"{shown} is damaged: it does not say which schema it has", "Restore it from a backup")
    version = int(text)
    if version > SCHEMA:
        raise SetupError(
            f"{shown} has schema version {version}, this sipd knows version {SCHEMA}",
            "Use the release of sipd that made it, or a later one",
        )
    target, _, done = meta.get(MARK, "").partition(":")
    return Place(version, int(done) if target == str(version + 1) and done.isdigit() else 0)


def mark(version: int, done: int) -> str:
    """The value of the row MARK: so many statements towards that version are done."""
    return f"{version}:{done}"


def check_shape(wrong: list[str], shown: str) -> None:
    """Raise SetupError for a database that lacks what the code needs."""
    if wrong:
        raise SetupError(f"{shown} is damaged: {'; '.join(wrong[:3])}", "Restore it from a backup")


def stale_triggers(dialect: Dialect, there: Mapping[str, str]) -> list[str]:
    """The statements that make the triggers as they must be, from their names and texts as they are now.

    A trigger of ours that has another text is one of another release.
    """
    needed = dict(zip(trigger_names(), create_triggers(dialect), strict=True))
    drops = dict(zip(trigger_names(), drop_triggers(), strict=True))
    found: list[str] = []
    for name, statement in needed.items():
        text = there.get(name)
        if text is None:
            found.append(statement)
        elif not _plain(statement).endswith(_plain(text)):
            found += [drops[name], statement]
    return found


def _plain(text: str) -> str:
    return " ".join(text.split())


# --- SQLite ------------------------------------------------------------------------------------------


def sqlite_state(connection: sqlite3.Connection) -> tuple[State, dict[str, str]]:
    """What kind of database this is, and the rows of its sipd_meta. Raises sqlite3.Error."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    meta = dict(connection.execute(META).fetchall()) if "sipd_meta" in tables else {}
    filled = any(
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall() for table in HOLD_ROWS if table in tables
    )
    texts = {str(name): str(value) for name, value in meta.items()}
    return judge(tables, texts, filled), texts


def upgrade_sqlite(connection: sqlite3.Connection, shown: str) -> Moved:
    """Bring it to the schema of this code, with all triggers, in one transaction.

    Raises SetupError and sqlite3.Error; then all is as it was.
    """
    before = _sqlite_place(connection, shown).version
    if before == SCHEMA and not _lacking(connection):
        return Moved(before)
    connection.execute("BEGIN IMMEDIATE")  # from here on nobody else upgrades it: look again
    try:
        for version in range(_sqlite_place(connection, shown).version + 1, SCHEMA + 1):
            for step in steps_to(version):
                connection.execute(step.statement)
        make_sqlite_triggers(connection)
        check_shape(unsound(sqlite_shape(connection)), shown)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return Moved(before)


def make_sqlite_triggers(connection: sqlite3.Connection) -> None:
    """Make the triggers as they must be; the caller holds the transaction."""
    for statement in _lacking(connection):
        connection.execute(statement)


def _sqlite_place(connection: sqlite3.Connection, shown: str) -> Place:
    return place_of({str(name): str(value) for name, value in connection.execute(META).fetchall()}, shown)


def _lacking(connection: sqlite3.Connection) -> list[str]:
    return stale_triggers(
        "sqlite", dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
    )
