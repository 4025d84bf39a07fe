"""`python -m tests.bench`: sipd against Kamailio, interleaved; figures of what each operation costs."""

from __future__ import annotations

import argparse
import json
import pstats
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests import mariadb
from tests.bench import kamailio, machine, report, sipp
from tests.bench.compare import Round, Sizes, one_round, stamp
from tests.bench.kamailio import Kamailio
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.sipd_target import Sipd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.compare import Target

TARGETS: dict[str, Callable[[Scenario, int, Path], Target]] = {
    "sipd": Sipd,
    "sipd-mariadb": partial(Sipd, mariadb=True),
    "kamailio": Kamailio,
    "kamailio-qm": partial(Kamailio, allocator="qm"),
    "kamailio-8": partial(Kamailio, children=8),
    "kamailio-sqlite": partial(Kamailio, sqlite=True),
}


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"scenarios, comma-separated: {','.join(SCENARIOS)}")
    parser.add_argument("--targets", default="sipd,kamailio", help=f"comma-separated: {','.join(TARGETS)}")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--rate", type=float, default=300.0, help="operations a second of the steady load")
    parser.add_argument("--seconds", type=float, help="of the steady load; default 8, of --many 300")
    parser.add_argument("--share", type=float, help="of each scenario's calls at saturation; default 1")
    parser.add_argument("--quick", action="store_true", help="2 rounds, a fifth of the calls, 3 s steady")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
    parser.add_argument("--profile", action="store_true", help="one round of sipd under cProfile; its top 40")
    parser.add_argument("--micro", action="store_true", help="the parts in process, without sockets")
    parser.add_argument("--calls", action="store_true", help="whole calls in process, with and without a script")
    parser.add_argument("--many", type=int, nargs="?", const=100_000, metavar="PHONES",
                        help="what so many users with a phone each cost; default 100000")  # fmt: skip
    parser.add_argument("--databases", default="sqlite,mariadb", help="for --many; default sqlite,mariadb")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs of the runs")
    parsed = parser.parse_args(words)
    for name, known in (("only", SCENARIOS), ("targets", TARGETS)):
        chosen = [word for word in getattr(parsed, name).split(",") if word] or list(known)
        if unknown := sorted(set(chosen) - set(known)):
            parser.error(f"--{name}: no such thing: {', '.join(unknown)}")
        setattr(parsed, name, chosen)
    usual = (2, 0.2, 3.0) if parsed.quick else (5, 1.0, 8.0)
    if parsed.many:
        usual = (3, 1.0, 300.0)
    for name, value in zip(("rounds", "share", "seconds"), usual, strict=True):
        if getattr(parsed, name) is None:
            setattr(parsed, name, value)
    return parsed


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the command line says. 1 when nothing could be measured."""
    options = arguments(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if options.micro:
        from tests.bench import micro

        print(micro.table())
        return 0
    if options.calls:
        from tests.bench import calls

        print(calls.table())
        return 0
    if sipp.PROGRAM is None:
        print("sipp is not installed (Debian: sip-tester)", file=sys.stderr)
        return 1
    where = Path(tempfile.mkdtemp(prefix="sipd-bench-"))
    try:
        if options.many:
            from tests.bench import many

            for kind in options.databases.split(","):
                many.measure(kind, where / kind, many=options.many, rounds=options.rounds, seconds=options.seconds)
            return 0
        if options.profile:
            return profile(options, where)
        results = measure(options, where)
    finally:
        if options.keep:
            print(f"kept: {where}")
        else:
            shutil.rmtree(where, ignore_errors=True)
    print(report.table(results))
    if options.json:
        rounds = [one.as_json() for by_target in results.values() for many in by_target.values() for one in many]
        document = {"at": stamp(), "rate": options.rate, "cores": len(machine.cores().server | machine.cores().load)}
        options.json.write_text(json.dumps({**document, "rounds": rounds}, indent=1) + "\n")
    return 0 if any(results.values()) else 1


def measure(options: argparse.Namespace, where: Path) -> dict[str, dict[str, list[Round]]]:
    """All rounds, by scenario and target: A B, B A, A B, ..."""
    targets = options.targets
    cores = machine.cores()
    places = f"server on core {min(cores.server)}, load on core {min(cores.load)}"
    print(f"{stamp()}  {', '.join(targets)}; {places if cores.apart else 'ONE CORE for server and load'}", flush=True)
    sizes = Sizes(options.share, options.rate, options.seconds)
    results: dict[str, dict[str, list[Round]]] = {}
    for name in options.only:
        scenario = SCENARIOS[name]
        usable = [target for target in targets if can(target, scenario)]
        results[name] = {target: [] for target in usable}
        for number in range(options.rounds):
            for target in usable if number % 2 == 0 else reversed(usable):
                place = where / f"{name}-{number}-{target}"
                try:
                    done = one_round(scenario, number, partial(TARGETS[target], scenario),
                                     place, sizes)  # fmt: skip
                except (AssertionError, OSError) as error:
                    print(f"{name} {target} round {number}: {error}", file=sys.stderr, flush=True)
                    continue
                results[name][target].append(done)
                print(f"{name:<9} round {number} {target:<12} saturated {done.saturated.total_us:8.1f} us, "
                      f"steady {done.steady.total_us:8.1f} us", flush=True)  # fmt: skip
    return results


def can(target: str, scenario: Scenario) -> bool:
    """Whether the target has here what the scenario asks for; a word about what it lacks."""
    sqlite = "sqlite" in target
    if not scenario.durable and (sqlite or "mariadb" in target):
        return False
    lacking = kamailio.missing(scenario, sqlite=sqlite) if target.startswith("kamailio") else []
    if "mariadb" in target and mariadb.PROGRAM is None:
        lacking = ["mariadb-server"]
    if lacking:
        print(f"{scenario.name}: {target} is not measured: install the Debian packages {' '.join(lacking)}")
    return not lacking


def profile(options: argparse.Namespace, where: Path) -> int:
    """One round of sipd under cProfile for each scenario chosen, and where its time went."""
    for name in options.only:
        scenario, numbers = SCENARIOS[name], where / f"{name}.profile"
        one_round(scenario, 0, partial(Sipd, scenario, profile=numbers),
                  where / name, Sizes(options.share / 4, options.rate, 2.0))  # fmt: skip
        print(f"== {scenario.title}")
        pstats.Stats(str(numbers)).strip_dirs().sort_stats("tottime").print_stats(40)
    return 0


if __name__ == "__main__":
    sys.exit(main())
