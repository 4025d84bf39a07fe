"""The table that is printed."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tests.bench.compare import compare
from tests.bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.compare import Phase, Round

COLUMNS = "{:<12}{:<18}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}{:>8}{:>9}{:>8}{:>9}"
HEAD = COLUMNS.format(
    "load", "target", "us/op", "+db us", "op/s", "PSS MiB", "p50 ms", "p95", "p99", "failed", "resent", "rounds"
)


def table(results: Mapping[str, Mapping[str, Sequence[Round]]]) -> str:
    """Medians over the rounds that count, and the ratios of pairs; `results` by scenario and target."""
    lines = []
    for name, by_target in results.items():
        scenario = SCENARIOS[name]
        lines += ["", f"{scenario.title}", HEAD]
        for load in ("saturated", "steady"):
            for target, rounds in by_target.items():
                lines.append(_row(load, target, rounds))
        lines += _idle(by_target)
        lines += _ratios(name, by_target)
    return "\n".join(lines)


def _row(load: str, target: str, rounds: Sequence[Round]) -> str:
    phases: list[Phase] = [getattr(one, load) for one in rounds]
    counting = [phase for phase in phases if phase.counts]
    failed = f"{100 * max((phase.failed_share for phase in phases), default=0):.2f}%"
    resent = str(sum(phase.retransmissions for phase in phases))
    rounds_text = f"{len(counting)}/{len(phases)}"
    if not counting:
        return COLUMNS.format(load, target, "-", "-", "-", "-", "-", "-", "-", failed, resent, f"{rounds_text} !")
    middle = statistics.median
    latencies = [
        "-" if counting[0].p50_ms is None else f"{middle(getattr(phase, key) for phase in counting):.2f}"
        for key in ("p50_ms", "p95_ms", "p99_ms")
    ]
    return COLUMNS.format(
        load, target, f"{middle(p.server_us for p in counting):.1f}", f"{middle(p.database_us for p in counting):.1f}",
        f"{middle(p.per_second for p in counting):.0f}", f"{middle(one.resident_mib for one in rounds):.0f}",
        *latencies, failed, resent, rounds_text,
    )  # fmt: skip


def _idle(by_target: Mapping[str, Sequence[Round]]) -> list[str]:
    """What a target burns while nobody calls is part of its steady figure: say how much."""
    return [
        f"  {target} at rest: {statistics.median(one.idle_ms for one in rounds):.0f} ms of CPU a second"
        for target, rounds in by_target.items()
        if rounds
    ]


def _ratios(name: str, by_target: Mapping[str, Sequence[Round]]) -> list[str]:
    """Each sipd beside each Kamailio; the budget is that beside the plain one, with one child and MariaDB."""
    scenario, lines = SCENARIOS[name], []
    ours = [target for target in by_target if target.startswith("sipd")]
    for one in ours:
        for other, rounds in by_target.items():
            if other in ours:
                continue
            for load in ("saturated", "steady"):
                comparison = compare(by_target[one], rounds, load)
                verdict = ""
                if other == "kamailio" and scenario.must is not None and comparison.ratios:
                    met = "aim met" if scenario.aim and comparison.median <= scenario.aim else "must met"
                    verdict = f"  {met if comparison.median <= scenario.must else 'OVER BUDGET'}"
                    verdict += f" (must {scenario.must:g}, aim {scenario.aim:g})"
                lines.append(f"  {one} / {other}, {load}: {comparison}{verdict}")
    return lines
