"""A script's source to a Program, or everything that is wrong with it (RFC 3880, all of it checked at upload)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sipd.cpl.build import Builder
from sipd.cpl.document import BadEncoding, Text, decode
from sipd.cpl.findings import CODES, CplError, Finding, Full, Report
from sipd.cpl.grammar import OPERATIONS
from sipd.cpl.program import Program
from sipd.cpl.reader import Stop, read

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES: Final = 65536
"""Largest script taken unless told otherwise (T41)."""


def compile(
    source: bytes, *, operations: str = "all", max_bytes: int = MAX_BYTES, hosts: frozenset[str] = frozenset()
) -> Program:
    """The script, ready to run. Raises CplError with everything that is wrong.

    `operations` is what the administrator permits (§13): `all`, or names of
    location, lookup, remove-location, proxy, redirect, reject, mail and log
    (switches and subactions are always permitted). Raises ValueError when it
    names anything else. `hosts` are those that lookups may fetch from (§5.2),
    as `hosts_from_text` makes them; none: source="registration" only.
    """
    permitted = permitted_operations(operations)
    if len(source) > max_bytes:
        text = f"the script is larger than {max_bytes} bytes"
        raise CplError([Finding(1, 1, "", "CPL-SIZE", text, CODES["CPL-SIZE"])])
    try:
        text_read = decode(source)
    except BadEncoding as error:
        line, column = Text(source).place(error.offset)
        raise CplError(
            [Finding(line, column, "", "CPL-ENCODING", error.text, CODES["CPL-ENCODING"], error.hint)]
        ) from None
    return _compile(text_read, permitted, hosts, sha256(source).hexdigest())


def _compile(text: Text, permitted: frozenset[str], hosts: frozenset[str], digest: str) -> Program:
    report = Report(text)
    builder = Builder(report, permitted, hosts)
    try:
        root = read(text, report)
        if root is not None:
            builder.script(root)
    except (Stop, Full):
        pass
    refused = report.refused()
    if refused is not None:
        raise refused
    return Program(
        incoming=builder.top.get("incoming"),
        outgoing=builder.top.get("outgoing"),
        has_incoming="incoming" in builder.top,
        has_outgoing="outgoing" in builder.top,
        warnings=report.warnings(),
        timeouts=tuple(builder.timeouts),
        digest=digest,
    )


def permitted_operations(names: str) -> frozenset[str]:
    """The operations of `all`, or of names with blanks or commas between. Raises ValueError for an unknown name."""
    words = frozenset(names.replace(",", " ").split())
    if words == {"all"}:
        return OPERATIONS
    _no_strangers(words - OPERATIONS)
    return words


def _no_strangers(words: Iterable[str]) -> None:
    strangers = ", ".join(sorted(words))
    if strangers:
        raise ValueError(f"no CPL operations: {strangers}; there are {', '.join(sorted(OPERATIONS))}")
