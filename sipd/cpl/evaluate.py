"""Runs a compiled script: yields effects, is sent their results, gives back how it ends (RFC 3880 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.cpl import words
from sipd.cpl.nodes import Ask, Run, Step
from sipd.script import Default
from sipd.trace import Visit

if TYPE_CHECKING:
    from collections.abc import Generator

    from sipd.cpl.program import Program
    from sipd.script import Effect, Facts, Final, Result
    from sipd.trace import Trace


def evaluate(program: Program, facts: Facts, trace: Trace | None = None) -> Generator[Effect, Result, Final]:
    """One run of the script for one call. Pure; it never raises, and it ends after at most 2000 nodes.

    Lookup is to be answered with LookupResult, ProxyTo with ProxyResult (a
    call that succeeds ends the script: close the generator), Log and Mail with None.
    `trace` gets an entry for every node: where it stands, what it saw, what it chose.
    """
    run = Run(facts, trace)
    node = program.outgoing if facts.direction == "outgoing" else program.incoming
    while node is not None:
        if isinstance(node, Step):
            node = node.step(run)
        elif isinstance(node, Ask):
            effect = node.ask(run)
            node = node.told(run, None if effect is None else (yield effect))
        else:
            return node.end(run)
    return _default(run)


def _default(run: Run) -> Default:
    """The default behaviour (§10): as without a script, to the location set, or the best response so far."""
    if run.proxied:
        final = Default(None, True)
    elif run.modified or run.facts.direction == "outgoing":
        final = Default(run.targets)
    else:
        final = Default(None)
    if run.trace is not None:
        targets = final.targets
        seen = (run.proxied, None if targets is None else targets[: words.MOST_SHOWN], len(targets or ()))
        run.trace.append(Visit("", words.ended, seen))
    return final
