"""The text that creates the tables and leads from schema to schema, in a source tree and in an installed package."""

from __future__ import annotations

import re
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from sipd.errors import SetupError

SCHEMA: Final = 4
"""The schema version that this code reads and writes (row `schema` of sipd_meta)."""

NAME: Final = "createsip.sql"

COMMENT: Final = re.compile(r"--[^\n]*")


class Step(NamedTuple):
    """One statement of an upgrade."""

    statement: str
    rows: bool  # it changes rows, and not tables: MySQL can carry it out within a transaction


def createsip() -> str:
    """The text of `sql/createsip.sql`."""
    return _text(NAME)


def upgrade_to(version: int) -> str:
    """The text that leads from the schema before to this one; its last statement sets the version."""
    return _text(f"upgrade-{version}.sql")


def steps_to(version: int) -> list[Step]:
    """The same, statement by statement."""
    return [_step(statement) for statement in statements(upgrade_to(version))]


def creating() -> list[Step]:
    """What makes the tables; the last one sets the version."""
    return [_step(statement) for statement in statements(createsip())]


def _step(statement: str) -> Step:
    plain = COMMENT.sub("", statement).strip()
    return Step(plain, plain.partition(" ")[0].upper() in ("INSERT", "UPDATE", "DELETE", "REPLACE"))


def _text(name: str) -> str:
    installed = files("sipd").joinpath("sql", name)
    if installed.is_file():
        return installed.read_text("utf-8")
    beside = Path(__file__).resolve().parents[2] / "sql" / name
    if beside.is_file():
        return beside.read_text("utf-8")
    raise SetupError(f"this installation of sipd lacks sql/{name}", "Install it again")


def statements(text: str) -> list[str]:
    """The SQL statements of a script, one by one."""
    found: list[str] = []
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            found.append(statement.strip())
            statement = ""
    return found
