"""A compiled script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipd.cpl.findings import Finding
    from sipd.cpl.nodes import Next


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A script ready to run: immutable, free of the XML it came from, shared by all calls of its owner."""

    incoming: Next  # first node of the action; None: it has none
    outgoing: Next
    has_incoming: bool  # the action is there, be it empty
    has_outgoing: bool
    warnings: tuple[Finding, ...]
    timeouts: tuple[float, ...]  # seconds of every proxy and lookup that has a limit, in the script's order
    digest: str  # SHA-256 of the source, hexadecimal
