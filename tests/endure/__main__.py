"""`python -m tests.endure kill`: what lasts through kill -9, a database that is away, and several nodes.

Each program prints what it counted and ends with 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.endure.databases import Maria, Sqlite
from tests.endure.kill import kill
from tests.running import stop_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.endure.databases import Database

STORES: dict[str, Callable[[Path], Database]] = {"sqlite": Sqlite, "mariadb": Maria}


def parser() -> argparse.ArgumentParser:
    """The programs and their flags."""
    made = argparse.ArgumentParser(prog="python -m tests.endure", description=__doc__)
    programs = made.add_subparsers(required=True)
    killing = programs.add_parser("kill", help="kill -9 of sipd, and of the database, under concurrent REGISTERs")
    killing.add_argument("--store", choices=sorted(STORES), default="sqlite")
    killing.add_argument("--rounds", type=int, default=1000)
    killing.add_argument("--kill-database", action="store_true", help="kill the database too, alone or with sipd")
    killing.add_argument("--seed", type=int, help="of a run that is to be repeated")
    killing.set_defaults(run=run_kill)
    return made


def run_kill(arguments: argparse.Namespace, directory: Path, chance: random.Random) -> bool:
    """Whether nothing was lost, resurrected or torn."""
    database = STORES[arguments.store](directory)
    database.start()
    try:
        victims = ("sipd", "database", "both") if arguments.kill_database else ("sipd",)
        return not kill(database, arguments.rounds, chance, victims, say).faults
    finally:
        stop_all()
        database.stop()


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Run what was asked for."""
    arguments = parser().parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="endure-") as directory:
        good = arguments.run(arguments, Path(directory), random.Random(seed))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
