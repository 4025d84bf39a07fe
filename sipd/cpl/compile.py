"""A script's source to a Program, or everything that is wrong with it (RFC 3880, all of it checked at upload)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sipd.cpl.build import Builder
from sipd.cpl.document import BadEncoding, Text, decode
from sipd.cpl.findings import CODES, CplError, Finding, Full, Report
from sipd.cpl.program import Program
from sipd.cpl.reader import Stop, read
from sipd.cpl.terms import MAX_BYTES, NONE_FETCHED, Terms, operations_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def compile(
    source: bytes,
    *,
    operations: str = "all",
    max_bytes: int = MAX_BYTES,
    hosts: Iterable[str] = (),
    phone_users: bool = False,
    zone: str = "",
    timezones: Mapping[str, bytes] = NONE_FETCHED,
) -> Program:
    """The script, ready to run. Raises CplError with everything that is wrong.

    `operations` is what the administrator permits (§13): `all`, or names of
    location, lookup, remove-location, proxy, redirect, reject, mail and log
    (switches and subactions are always permitted). Raises ValueError when it
    names anything else. `hosts` are those that lookups may fetch from (§5.2),
    as `hosts_from_text` makes them; none: source="registration" only.
    `phone_users`: a user part that looks like a telephone number is one, also
    where user=phone is missing (§4.1.1). `zone` is local time where a
    time-switch names no zone, an Olson name; UTC when it is empty or unknown.
    `timezones` is what was fetched from tzurls: the VTIMEZONE of each (§4.4).
    """
    permitted = operations_of(operations)
    terms = Terms(permitted, max_bytes, frozenset(hosts), phone_users, zone=zone, timezones=timezones)
    return compile_on(terms, source)


def compile_on(terms: Terms, source: bytes) -> Program:
    """The script, ready to run on these terms. Raises CplError with everything that is wrong."""
    if terms.operations is None:
        raise _only("CPL-KIND", "the administrator of this server permits you no CPL scripts", "ask him for them")
    if len(source) > terms.max_bytes:
        raise _only("CPL-SIZE", f"the script is larger than {terms.max_bytes} bytes", "subactions say things once")
    try:
        text = decode(source)
    except BadEncoding as error:
        raise _only("CPL-ENCODING", error.text, error.hint, Text(source).place(error.offset)) from None
    report = Report(text)
    builder = Builder(report, terms)
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
        digest=sha256(source).hexdigest(),
    )


def _only(code: str, text: str, hint: str, place: tuple[int, int] = (1, 1)) -> CplError:
    """A refusal before anything was read."""
    return CplError([Finding(*place, "", code, text, CODES[code], hint)])
