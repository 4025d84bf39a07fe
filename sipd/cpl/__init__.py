"""CPL, the Call Processing Language (RFC 3880): scripts users write for their own calls.

`compile` turns a script into a Program, or tells all that is wrong with it;
`evaluate` runs a Program for one call. Both are pure: no clock, no network.
"""

from sipd.cpl.compile import compile, compile_on
from sipd.cpl.evaluate import evaluate
from sipd.cpl.findings import CODES, CplError, Finding
from sipd.cpl.program import Program
from sipd.cpl.terms import Terms, terms_of

__all__ = ["CODES", "CplError", "Finding", "Program", "Terms", "compile", "compile_on", "evaluate", "terms_of"]
