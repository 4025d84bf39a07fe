"""What is wrong with a script: findings with a place, a stable code, the rule and a hint."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sipd.errors import ScriptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.cpl.document import Element, Text

Severity = Literal["error", "warning"]

LIMIT: Final = "limit of this server"
_RFC: Final = "RFC 3880 §"

CODES: Final[dict[str, str]] = {
    # The document as XML.
    "CPL-XML": f"{_RFC}2.4",  # not well-formed
    "CPL-ENCODING": f"{_RFC}2.4",  # not UTF-8, nor UTF-16 with a byte order mark
    "CPL-SIZE": LIMIT,  # too many bytes
    "CPL-DEPTH": LIMIT,  # nested too deep
    "CPL-NODES": LIMIT,  # too many elements
    "CPL-ATTRIBUTES": LIMIT,  # too many attributes on one tag
    "CPL-LONG": LIMIT,  # too many characters in an attribute
    "CPL-DTD": f"{_RFC}C",  # a DOCTYPE with declarations of its own
    "CPL-ENTITY": f"{_RFC}C",  # a reference to an entity XML does not have
    # Names and structure.
    "CPL-ROOT": f"{_RFC}3",  # the outermost tag is not cpl
    "CPL-NAMESPACE": f"{_RFC}11",  # a tag or attribute of a namespace not known here
    "CPL-TAG": f"{_RFC}3",  # no such tag in CPL
    "CPL-PLACE": f"{_RFC}3",  # a tag of CPL where it can't stand
    "CPL-ORDER": f"{_RFC}3",  # a tag after one that must be behind it
    "CPL-TWICE": f"{_RFC}3",  # something that may be there once only
    "CPL-TEXT": f"{_RFC}2.4",  # words between the tags
    "CPL-ATTRIBUTE": f"{_RFC}3",  # no such attribute at this tag
    "CPL-REQUIRED": f"{_RFC}3",  # a mandatory attribute is missing
    "CPL-CHOICE": f"{_RFC}4",  # not exactly one of several attributes
    "CPL-OPERATOR": f"{_RFC}4.1",  # contains or subdomain-of where only `is` compares
    "CPL-VALUE": f"{_RFC}3",  # an attribute's value can't be read
    "CPL-URI": f"{_RFC}5.1",  # not a URI
    "CPL-SCHEME": f"{_RFC}5.1",  # a URI scheme no call can go to
    "CPL-SOURCE": f"{_RFC}5.2",  # a lookup source that is not offered here
    "CPL-MAIL": f"{_RFC}7.1",  # a mailto URL of which no mail can be made
    "CPL-RULE": f"{_RFC}4.4",  # a by… attribute that does not go with the frequency
    "CPL-OVERLAP": f"{_RFC}4.4",  # periods of one time that overlap
    "CPL-COSTLY": f"{_RFC}4.4.1",  # a recurrence that takes too long to work out
    "CPL-TZID": f"{_RFC}4.4",  # a time zone this server does not know
    "CPL-TZURL": f"{_RFC}4.4",  # a time zone this server has no data of
    "CPL-SUB-UNKNOWN": f"{_RFC}8",  # sub names a subaction that does not exist
    "CPL-SUB-LATER": f"{_RFC}8",  # sub names a subaction defined further down
    "CPL-SUB-ITSELF": f"{_RFC}8",  # sub names the subaction it stands in
    "CPL-KIND": f"{_RFC}13",  # the administrator permits this user no scripts
    "CPL-FORBIDDEN": f"{_RFC}13",  # the administrator forbids this operation
    "CPL-LOCATIONS": LIMIT,  # too many locations on one way through the script
    "CPL-LOGS": LIMIT,  # too many log entries on one way through the script
    "CPL-MAILS": LIMIT,  # too many mails on one way through the script
    # Warnings: legal, and surely not meant.
    "CPL-DOCTYPE": f"{_RFC}C",  # the DOCTYPE of an old draft: ignored
    "CPL-NAMESPACE-UNUSED": f"{_RFC}11",  # a namespace is declared and not used
    "CPL-NO-ACTION": f"{_RFC}3",  # neither incoming nor outgoing
    "CPL-UNREACHABLE": f"{_RFC}4",  # an output no call can take
    "CPL-NEVER": f"{_RFC}4",  # a value no call can have
    "CPL-EMPTY-SET": f"{_RFC}6",  # proxy or redirect with no location before it
    "CPL-NO-EFFECT": f"{_RFC}5",  # a tag that changes nothing
    "CPL-DESTINATION": f"{_RFC}2.3",  # an outgoing call that goes to whom the user called, and elsewhere too
    "CPL-STATUS": f"{_RFC}6.3.1",  # a refusal that asks the caller for what he can't give
    "CPL-NO-MAIL": f"{_RFC}7.1",  # a mail where the server sends none
    "CPL-NO-OUTPUT": f"{_RFC}6.1",  # proxy without noanswer or default
    "CPL-UNUSED-SUBACTION": f"{_RFC}8",  # a subaction nothing refers to
    "CPL-CLAMPED": LIMIT,  # a number cut to the nearest this server allows
    "CPL-REDIRECT-ONLY": f"{_RFC}5.1",  # a location that can't be proxied to
    "CPL-MAIL-FROM": f"{_RFC}7.1.1",  # a From in a mailto URL: the server sets its own
    "CPL-IGNORED": f"{_RFC}4.4",  # part of a recurrence where nothing recurs
    "CPL-GAP": f"{_RFC}4.4",  # a time that clocks leave out when they are put forward
    "CPL-DTSTART": f"{_RFC}4.4",  # dtstart is none of the times of its rule
    "CPL-PASSWORD": f"{_RFC}4.1.1",  # subfield password is not recommended
}
"""Every code with the rule it stands for; docs/reference lists them. A code never changes its meaning."""

MAX_FINDINGS: Final = 100
"""Findings kept for one script: more help nobody."""

MOST_COMPARED: Final = 100
"""Words that a misspelt one is compared with, for the time it takes."""

_UNSHOWABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Finding(NamedTuple):
    """One thing found in a script: where, what, by which rule, how to mend it. Lines and columns count from 1."""

    line: int
    column: int
    path: str  # /cpl/incoming/address-switch[1]/address[2]; empty: the document as a whole
    code: str  # a key of CODES
    text: str
    rule: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"line {self.line}, column {self.column}: {self.text}{hint} [{self.code}, {self.rule}]"


class CplError(ScriptError):
    """A script that can't be accepted, with everything that is wrong with it (RFC 3880 §2.1)."""

    def __init__(self, findings: Iterable[Finding], warnings: Iterable[Finding] = ()) -> None:
        self.findings = tuple(findings)
        """All errors in the order of the script; at least one."""
        self.warnings = tuple(warnings)
        """What was warned about besides."""
        first = self.findings[0]
        status = {"CPL-SIZE": 413, "CPL-KIND": 403}.get(first.code, 400)
        super().__init__(f"CPL script refused at line {first.line} column {first.column}", status=status)

    def report(self) -> str:
        """All findings, one a line: the text/plain body of the refusal."""
        return "".join(f"{finding.severity}: {finding}\n" for finding in (*self.findings, *self.warnings))


def shown(value: str, most: int = 60) -> str:
    """`value` in quotes for a message: at most so long, without characters that would upset a terminal."""
    if len(value) <= most and value.isprintable():
        return f"“{value}”"
    short = value if len(value) <= most else value[: most - 1] + "…"
    return "“" + _UNSHOWABLE.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", short) + "”"


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean “…”?` when one of `known` is near `word`, else nothing."""
    near = nearest(word, known)
    return f"did you mean {shown(near)}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that `word` is most like; empty when none is."""
    from difflib import get_close_matches

    some = list(islice(known, MOST_COMPARED))
    near = get_close_matches(word[:40].lower().replace("_", "-"), some, 1, 0.65)
    return near[0] if near else ""


class Full(Exception):
    """So much is wrong that looking further helps nobody."""


class Report:
    """Collects findings while a script is read; places come from the elements they are about."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._found: list[Finding] = []
        self._count: Counter[Severity] = Counter()

    def error(
        self, code: str, text: str, at: Element, attribute: str = "", *, section: str = "", hint: str = ""
    ) -> None:
        """The script can't be accepted because of this element, or this attribute of it.

        Raises Full when there are MAX_FINDINGS errors.
        """
        self._add("error", code, text, at, attribute, section, hint)

    def warning(
        self, code: str, text: str, at: Element, attribute: str = "", *, section: str = "", hint: str = ""
    ) -> None:
        """The script is legal, and this in it is surely not meant."""
        self._add("warning", code, text, at, attribute, section, hint)

    def at_offset(self, severity: Severity, code: str, text: str, offset: int, path: str = "", hint: str = "") -> None:
        """A finding about a byte of the document, not about an element."""
        line, column = self._text.place(offset)
        self._keep(Finding(line, column, path, code, text, CODES[code], hint, severity))

    def line(self, element: Element) -> int:
        """The line an element begins on."""
        return self._text.place(element.offset)[0]

    def _add(
        self, severity: Severity, code: str, text: str, at: Element, attribute: str, section: str, hint: str
    ) -> None:
        line, column = self._text.place(self._text.attribute_offset(at.offset, attribute) if attribute else at.offset)
        rule = f"{_RFC}{section}" if section else CODES[code]
        self._keep(Finding(line, column, at.path, code, text, rule, hint, severity))

    def _keep(self, finding: Finding) -> None:
        if finding.severity == "warning" and self._count["warning"] >= MAX_FINDINGS:
            return
        self._found.append(finding)
        self._count[finding.severity] += 1
        if self._count["error"] >= MAX_FINDINGS:
            raise Full

    def refused(self) -> CplError | None:
        """The error to raise when anything was refused."""
        errors = self._of("error")
        return CplError(errors, self._of("warning")) if errors else None

    def warnings(self) -> tuple[Finding, ...]:
        """The warnings in the script's order."""
        return tuple(self._of("warning"))

    def _of(self, severity: Severity) -> list[Finding]:
        return sorted((f for f in self._found if f.severity == severity), key=lambda f: (f.line, f.column))
