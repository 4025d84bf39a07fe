"""Runs a compiled script: yields effects, is sent their results, gives back how it ends (RFC 3880 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.cpl.nodes import Ask, Run, Step, set_text
from sipd.script import Default
from sipd.trace import Step as TraceStep

if TYPE_CHECKING:
    from collections.abc import Generator

    from sipd.cpl.program import Program
    from sipd.script import Effect, Facts, Final, Result
    from sipd.trace import Trace


def evaluate(program: Program, facts: Facts, trace: Trace | None = None) -> Generator[Effect, Result, Final]:
    """One run of the script for one call. Pure; it never raises, and it ends after at most 2000 nodes.

    Lookup is to be answered with LookupResult, ProxyTo with ProxyResult (a
    call that succeeds ends the script: close the generator), Log with None.
    `trace` gets a line for every node: where it stands, what it saw, what it chose.
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
        what = "best response so far" if run.proxied else "as without a script"
        text = what if final.targets is None else f"to {set_text(final.targets)}"
        run.trace.append(TraceStep("cpl", "end of the script", f"default behaviour: {text}"))
    return final
