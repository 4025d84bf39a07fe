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

from tests.endure.away import away
from tests.endure.databases import Maria, Sqlite
from tests.endure.failover import failover
from tests.endure.faults import own_disk
from tests.endure.galera import Cluster
from tests.endure.kill import kill
from tests.endure.scenes import on_mariadb, on_sqlite
from tests.endure.synced import traced
from tests.endure.together import SEEN_IN, together
from tests.running import stop_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.endure.databases import Database

DISK = {"sqlite": "16m", "mariadb": "400m"}
"""How large the disk is that is to be full."""

WARM_UP = 40.0
"""Seconds until the memory of a server has what 100 calls a second need: transactions live for 32."""

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
    going = programs.add_parser("away", help="calls and REGISTERs while the database is away in all ways there are")
    going.add_argument("--store", choices=sorted(STORES), default="mariadb")
    going.add_argument("--tls", action="store_true", help="TLS between sipd and MariaDB")
    going.add_argument("--rounds", type=int, default=1, help="how often all faults come")
    going.add_argument("--only", default="", help="faults whose name holds this word")
    going.add_argument("--warm-up", type=float, default=WARM_UP, metavar="SECONDS", help="calls before the first fault")
    going.add_argument("--seed", type=int)
    going.set_defaults(run=run_away)
    two = programs.add_parser("nodes", help="two servers on one MariaDB, with a history check")
    two.add_argument("--seconds", type=float, default=600)
    two.add_argument("--disturb", action="store_true", help="kill and freeze MariaDB all the while")
    two.add_argument("--seed", type=int)
    two.set_defaults(run=run_nodes)
    three = programs.add_parser("galera", help="three Galera nodes that are killed, and two servers on two of them")
    three.add_argument("--kills", type=int, default=4)
    three.add_argument("--seconds", type=float, default=60, help="of two servers on two nodes")
    three.add_argument("--seed", type=int)
    three.set_defaults(run=run_galera)
    synced = programs.add_parser("synced", help="by strace: whether each 200 leaves after the disk has the change")
    synced.add_argument("--seconds", type=float, default=10)
    synced.add_argument("--seed", type=int)
    synced.set_defaults(run=run_synced)
    return made


def run_kill(arguments: argparse.Namespace, directory: Path, chance: random.Random) -> bool:
    """Whether nothing was lost, resurrected or torn."""
    database = STORES[arguments.store](directory)
    database.start()
    try:
        victims = ("sipd", "database", "both") if arguments.kill_database else ("sipd",)
        return not kill(database, chance.choices(victims, k=arguments.rounds), chance, say).faults
    finally:
        stop_all()
        database.stop()


def run_away(arguments: argparse.Namespace, directory: Path, chance: random.Random) -> bool:
    """Whether no call failed and no REGISTER was told what is not true, and all was as before at the end."""
    with own_disk(directory / "disk", DISK[arguments.store]) as mounted:
        if not mounted:
            say("a full disk is left out: only root may mount one to fill")
        if arguments.store == "sqlite":
            scenery = on_sqlite(directory / "disk", directory, chance)
        else:
            scenery = on_mariadb(directory / "disk", directory, chance, tls=arguments.tls)
        with scenery as scene:
            scene.faults = [fault for fault in scene.faults if arguments.only in fault.name] * arguments.rounds
            return bool(away(scene, warm_up=arguments.warm_up, say=say))


def run_nodes(arguments: argparse.Namespace, directory: Path, chance: random.Random) -> bool:
    """Whether one order explains all answers, and each server saw the other's changes in time."""
    database = Maria(directory)
    database.start()
    try:
        urls, disturbed = [database.url] * 2, database.server if arguments.disturb else None
        limit = SEEN_IN if disturbed is None else arguments.seconds  # what one shows may be as old as MariaDB is away
        seen = together(
            database, urls, database.run, arguments.seconds, chance, say, disturbed=disturbed, seen_in=limit
        )
        return not seen.wrong
    finally:
        stop_all()


def run_galera(arguments: argparse.Namespace, directory: Path, chance: random.Random) -> bool:
    """Whether nothing acknowledged was lost when nodes were killed, and two nodes answered as one."""
    directory.chmod(0o711)  # the nodes are another user's
    cluster = Cluster(directory)
    try:
        cluster.start()
        good = failover(cluster, chance, arguments.kills, say)
        cluster.renew()
        urls = [cluster.url(0), cluster.url(1)]
        return not together(cluster, urls, cluster.run, arguments.seconds, chance, say).wrong and good
    finally:
        stop_all()


def run_synced(arguments: argparse.Namespace, directory: Path, chance: random.Random) -> bool:
    """Whether no 200 left too early."""
    order, tally = traced(directory, arguments.seconds, chance)
    say(f"200 after the sync: {order.after}, before: {order.before}; {order.syncs} syncs; {tally}")
    return order.after > 0 and not order.before


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
