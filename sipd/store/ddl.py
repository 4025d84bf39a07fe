"""The text that creates the tables, found in the source tree and in an installed package alike."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final

from sipd.errors import SetupError

SCHEMA: Final = 4
"""The schema version that this code reads and writes (row `schema` of sipd_meta)."""

NAME: Final = "createsip.sql"


def createsip() -> str:
    """The text of `sql/createsip.sql`."""
    return _text(NAME)


def upgrade_to(version: int) -> str:
    """The text that leads from the schema before to this one."""
    return _text(f"upgrade-{version}.sql")


def _text(name: str) -> str:
    installed = files("sipd").joinpath("sql", name)
    if installed.is_file():
        return installed.read_text("utf-8")
    beside = Path(__file__).resolve().parents[2] / "sql" / name
    if beside.is_file():
        return beside.read_text("utf-8")
    raise SetupError(f"this installation of sipd lacks sql/{name}", "Install it again")


def statements(text: str) -> list[str]:
    """The SQL statements of a script, one by one, for SQLite."""
    found: list[str] = []
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            found.append(statement.strip())
            statement = ""
    return found
