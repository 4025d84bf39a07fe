"""The state diagrams of the transactions, from their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from docs.reference.words import table
from sipd.transaction.draw import mermaid
from sipd.transaction.machine import MACHINES

if TYPE_CHECKING:
    from sipd.transaction.machine import Machine

BEGIN: Final = "<!-- machines: made by `python -m docs.reference` from sipd.transaction.machine -->"
END: Final = "<!-- end of machines -->"


def filled(text: str) -> str:
    """The page with all that stands between the two marks made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the marks around the machines are missing")
    blocks = [line for machine in MACHINES for line in _described(machine)]
    return "\n".join([before + BEGIN, "", *blocks, END + after])


def _described(machine: Machine) -> list[str]:
    rows = [(old, given, new, ", ".join(actions)) for (old, given), (new, actions) in machine.rows.items()]
    return [
        f"## {machine.name[0].upper()}{machine.name[1:]} transaction",
        "",
        "```mermaid",
        mermaid(machine).rstrip("\n"),
        "```",
        "",
        *table(("in this state", "when", "then go to", "and"), rows),
    ]
