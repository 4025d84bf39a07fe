"""CPL, the Call Processing Language (RFC 3880): scripts users write for their own calls.

`compile` turns a script into a Program, or tells all that is wrong with it;
`evaluate` runs a Program for one call. Both are pure: no clock, no network,
no server. `call` and `place` make calls and phones from texts; what a script
asks for (Lookup, ProxyTo, …) and how it may end (Reject, Redirect, Default)
is here too. See docs/how-to/library.md.
"""

from sipd.cpl.calls import call, place
from sipd.cpl.compile import compile, compile_on
from sipd.cpl.evaluate import evaluate
from sipd.cpl.findings import CODES, CplError, Finding
from sipd.cpl.program import Program
from sipd.cpl.terms import Terms, terms_of
from sipd.hop import Target
from sipd.script import (
    Default,
    Effect,
    Facts,
    Log,
    Lookup,
    LookupResult,
    Mail,
    ProxyResult,
    ProxyTo,
    Redirect,
    Reject,
    Result,
)
from sipd.trace import Trace

__all__ = [
    "CODES",
    "CplError",
    "Default",
    "Effect",
    "Facts",
    "Finding",
    "Log",
    "Lookup",
    "LookupResult",
    "Mail",
    "Program",
    "ProxyResult",
    "ProxyTo",
    "Redirect",
    "Reject",
    "Result",
    "Target",
    "Terms",
    "Trace",
    "call",
    "compile",
    "compile_on",
    "evaluate",
    "place",
    "terms_of",
]
