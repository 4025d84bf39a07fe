"""The four machines as diagrams, from their tables: `python -m sipd.transaction.draw [mermaid | dot]`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sipd.transaction.machine import MACHINES, Machine, State

if TYPE_CHECKING:
    from collections.abc import Iterator


def edges(machine: Machine) -> Iterator[tuple[State, State, list[str]]]:
    """Each pair of states with what leads from the one to the other: `input / action, action` a line."""
    found: dict[tuple[State, State], list[str]] = {}
    for (old, given), (new, actions) in machine.rows.items():
        found.setdefault((old, new), []).append(f"{given} / {', '.join(actions) or '-'}")
    for (old, new), labels in found.items():
        yield old, new, labels


def mermaid(machine: Machine) -> str:
    """The machine as a Mermaid state diagram; the timers of a state are its second line."""
    lines = ["stateDiagram-v2"]
    for state, timers in machine.timers.items():
        lines.append(f'    state "{_stacked([state, *timers])}" as {_id(state)}')
    lines.append(f"    [*] --> {_id(machine.first)}")
    for old, new, labels in edges(machine):
        lines.append(f"    {_id(old)} --> {_id(new)}: {'<br/>'.join(labels)}")
    return "\n".join(lines) + "\n"


def dot(machine: Machine) -> str:
    """The machine as a Graphviz digraph."""
    lines = [f'digraph "{machine.name}" {{', "    node [shape=box, style=rounded];"]
    for state, timers in machine.timers.items():
        lines.append(f'    {_id(state)} [label="{_stacked([state, *timers])}"];')
    lines.append(f"    start [shape=point]; start -> {_id(machine.first)};")
    for old, new, labels in edges(machine):
        lines.append(f'    {_id(old)} -> {_id(new)} [label="{_stacked(labels)}"];')
    return "\n".join([*lines, "}"]) + "\n"


FORMATS = {"mermaid": mermaid, "dot": dot}


def main(arguments: list[str]) -> int:
    """Print the four of them; the exit status."""
    name = arguments[0] if arguments else "mermaid"
    if name not in FORMATS or len(arguments) > 1:
        print(f"usage: python -m sipd.transaction.draw [{' | '.join(FORMATS)}]", file=sys.stderr)
        return 2
    for machine in MACHINES:
        print(f"{'%%' if name == 'mermaid' else '//'} {machine.name}")
        print(FORMATS[name](machine))
    return 0


def _id(state: State) -> str:
    return state.replace(" ", "_")


def _stacked(lines: list[str]) -> str:
    return r"\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
