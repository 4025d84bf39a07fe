"""Scripts read and compiled: what came of each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from sipd.cpl import CplError, compile_on
from sipd.tools.plain import clean

if TYPE_CHECKING:
    from sipd.cpl import Finding, Program, Terms


class Checked(NamedTuple):
    """One script after its check."""

    name: str  # of the file, safe to print
    source: bytes
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    trouble: str = ""  # why it could not be checked at all
    program: Program | None = None
    owner: str = ""  # address-of-record whose it is; empty: not known
    remark: str = ""  # what is to be known beside it

    @property
    def verdict(self) -> str:
        """One word for it."""
        return "unreadable" if self.trouble else "refused" if self.errors else "sound"


def check_file(name: str, terms: Terms) -> Checked:
    """Read and compile one script; `-` is standard input."""
    try:
        source = _read(name, terms.max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        return Checked(clean(name), b"", (), (), getattr(error, "strerror", None) or str(error))
    return check("<stdin>" if name == "-" else clean(name), source, terms)


def check(name: str, source: bytes, terms: Terms) -> Checked:
    """Compile one script on these terms."""
    try:
        program = compile_on(terms, source)
    except CplError as error:
        return Checked(name, source, error.findings, error.warnings)
    return Checked(name, source, (), program.warnings, program=program)


def _read(name: str, max_bytes: int) -> bytes:
    # One byte more than allowed is enough to see that it is too much.
    if name == "-":
        return sys.stdin.buffer.read(max_bytes + 1)
    with open(name, "rb") as file:
        return file.read(max_bytes + 1)
