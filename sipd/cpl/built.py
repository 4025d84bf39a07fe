"""What the compiler makes of a part of a script: a node, and how much a call can meet from there on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.nodes import MAX_LOCATIONS, MAX_LOGS, MAX_MAILS, Next, Way

if TYPE_CHECKING:
    from sipd.cpl.document import Element


class Built(NamedTuple):
    """A node with all that follows it, and the most of each limited thing on one way from here on."""

    node: Next = None
    locations: int = 0
    logs: int = 0
    mails: int = 0

    def at(self, node: Next) -> Built:
        """The same counts, from this node on."""
        return self._replace(node=node)


NOTHING: Final = Built()

LIMITED: Final = (
    ("CPL-LOCATIONS", "locations", MAX_LOCATIONS),
    ("CPL-LOGS", "log entries", MAX_LOGS),
    ("CPL-MAILS", "mails", MAX_MAILS),
)
"""What is limited on one way through a script, in the order of Built: the code, its name, the most."""


def larger(one: Built, other: Built) -> Built:
    """The most of both."""
    return Built(
        None,
        max(one.locations, other.locations),
        max(one.logs, other.logs),
        max(one.mails, other.mails),
    )


def way_to(output: Element, built: Built) -> Way:
    """An output without condition, with words for the trace."""
    label = output.tag if built.node is not None else f"{output.tag} leads nowhere: default behaviour"
    return Way(built.node, label, output.step)


MOST_TRIED: Final = 5
"""Conditions that did not match which the trace names: the last ones."""


def not_those(tried: list[str]) -> str:
    """What was tried before an output, for the trace: made when the script is compiled, not in a call."""
    if not tried:
        return ""
    more = "…, " if len(tried) > MOST_TRIED else ""
    return f" (not {more}{', not '.join(tried[-MOST_TRIED:])})"
