"""Bytes of one message -> Request or Response (§7, §16.3 step 1, §18.3).

What is right goes the straight way: one decode, one split, one dict lookup per
header line. Whatever that can't settle (folds, odd spellings, no name at all)
goes through `_named`. Faults are collected, so that the request is read as far
as it can be before the first of them is raised: it is to be answered.
"""

from __future__ import annotations

import re
from typing import Final

from sipd.errors import BadSyntax, MessageTooLarge, UnsupportedVersion
from sipd.message.grammar import MAX_TOKEN, TOKEN, split_list, unfold
from sipd.message.headers import CANONICAL, NO_EXTRAS, SINGLE, USUAL, canonical_name
from sipd.message.message import Request, Response
from sipd.message.readers import SHORT_LINE, read_ahead, read_ahead_request
from sipd.message.status import STATUS
from sipd.message.values import METHODS, number_from_line

MAX_LINE: Final = 8192  # characters of a header field with its folds, and of the start line (T20)
MAX_HEAD: Final = 65536  # bytes up to and with the empty line
MAX_BODY: Final = 131072
MAX_FIELDS: Final = 256  # header lines (T21)
MAX_VIAS: Final = 70
MAX_ROUTES: Final = 64

_FOR_ANSWERS: Final = frozenset({"Via", "From", "To", "Call-ID", "CSeq", "Content-Length"})
_CONTROLS: Final = bytes(set(range(32)) - {9})  # C0 but HTAB; CR and LF are set off against the line ends
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f]")
# A quoted string as far as it is good: it ends at its quote, at a bare control, or with the text.
_QUOTED: Final = re.compile(r'"(?:[^"\\\x00-\x08\x0a-\x1f]|\\[^\r\n])*+"?')
_LINE_END: Final = re.compile(r"\r\n(?![ \t])")
_FOLD: Final = re.compile(r"\r\n[ \t]")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*+")
_NAMES: Final = re.compile(r"\r\n([^:\r\n \t]++):")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_VERSION: Final = re.compile(r"SIP/([0-9]+\.[0-9]+)", re.IGNORECASE | re.ASCII)
_STATUS_LINE: Final = re.compile(r"SIP/2\.0 [1-6][0-9][0-9](?: .*)?", re.IGNORECASE | re.ASCII)
_STATUS_LINES: Final = frozenset(f"SIP/2.0 {status} {reason}" for status, reason in STATUS.items())
"""Status lines as nearly all write them: there is nothing to check."""

Faults = list[BadSyntax]


def parse(data: bytes, *, stream: bool = False) -> Request | Response:
    """The message that `data` is: a datagram, or one item of a Framer (`stream`: Content-Length is a must).

    Leading CRLFs are skipped (§7.5), bytes beyond Content-Length dropped
    (§18.3). Raises BadSyntax, with `.request` when it can be answered: it is
    no ACK, and its top Via can be read as far as the sent-by.
    """
    faults: Faults = []
    if data[:1] == b"\r":
        data = data[_end_of_empty_lines(data) :]
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= MAX_HEAD - 4:
        end = _end_of_bad_head(data, end, faults)
    head = data[:end]
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    start_line = lines.pop(0)
    line_ends = len(lines)
    try:
        names = [CANONICAL[name] for name in _NAMES.findall(text)]
    except KeyError:
        names = []
    if len(names) != line_ends:
        start_line, names, lines = _named(text, faults)
    if end - len(head.translate(None, _CONTROLS)) != 2 * line_ends:
        names, lines = _without_controls(start_line, names, lines, faults)
    if end > MAX_LINE or line_ends + head.count(b",") > MAX_ROUTES:
        names, lines = _within_sizes(start_line, names, lines, faults)
    kinds, vias = set(names), names.count("Via")
    if len(kinds) + vias - 1 != len(names):
        _check_doubles(start_line, names, faults)
    start = end + 4
    line = lines[names.index("Content-Length")] if "Content-Length" in names else ""
    length = number_from_line(line) if 0 < len(line) <= SHORT_LINE else -1
    if 0 <= length <= len(data) - start:
        body = data[start : start + length]
    else:
        body = _body(data, start, names, lines, stream, faults)
    if start_line in _STATUS_LINES:
        message: Request | Response = Response(start_line, names, lines, body)
    else:
        words = start_line.split(" ")
        if len(words) == 3 and words[2] == "SIP/2.0":
            message = Request(start_line, names, lines, body, words)
        else:
            message = _oddly_started(start_line, names, lines, body, faults)
    message.extras = NO_EXTRAS if kinds <= USUAL else kinds - USUAL
    if vias:
        message.via_at = at = names.index("Via")
        if vias > 1 or "," not in lines[at]:
            message.one_via = vias == 1
    try:
        read_ahead(message)
    except BadSyntax as fault:
        faults.append(fault)
    if type(message) is Request:
        if message.method not in METHODS and not _is_method(message.method):
            raise BadSyntax("Bad start line")
        read_ahead_request(message)
    if faults:
        raise _answerable(faults[0], message)
    return message


def _end_of_empty_lines(data: bytes) -> int:
    found = _EMPTY_LINES.match(data)
    return found.end() if found else 0


def _end_of_bad_head(data: bytes, end: int, faults: Faults) -> int:
    """Where to stop reading a head that has no end, or one too far off."""
    if end == 0 or not data:
        raise BadSyntax("Empty message")
    if end > 0 or len(data) >= MAX_HEAD:
        faults.append(MessageTooLarge("Header too large"))
        return MAX_HEAD
    faults.append(BadSyntax("Header without end"))
    return len(data)


def _named(text: str, faults: Faults) -> tuple[str, list[str], list[str]]:
    """Start line, names and lines of a head with folds, odd names, or lines that are no header field (left out)."""
    folded = "\r\n " in text or "\r\n\t" in text
    start_line, *pieces = _LINE_END.split(text) if folded else text.split("\r\n")
    names, lines = [], []
    if len(pieces) > MAX_FIELDS:
        faults.append(BadSyntax("Too many header fields"))
    for line in pieces[:MAX_FIELDS]:
        name, colon, _ = line.partition(":")
        known = CANONICAL.get(name)
        if known is None or not colon:
            try:
                # Before the colon stand SP and HTAB only (HCOLON, §25.1): no fold, nothing unseen (T66).
                known = canonical_name(name.rstrip(" \t") if colon else "")
            except BadSyntax as fault:
                faults.append(fault)
                continue
        names.append(known)
        lines.append(line)
    return start_line, names, lines


def _without_controls(
    start_line: str, names: list[str], lines: list[str], faults: Faults
) -> tuple[list[str], list[str]]:
    """Names and lines of those lines that hold no control character outside quoted-pairs (T09)."""
    clean = [not _has_control(line) for line in lines]
    if not all(clean) or _CONTROL.search(start_line):
        faults.append(BadSyntax("Control character in header"))
    return (
        [name for name, good in zip(names, clean, strict=True) if good],
        [line for line, good in zip(lines, clean, strict=True) if good],
    )


def _has_control(line: str) -> bool:
    text = _FOLD.sub(" ", line)
    if not _CONTROL.search(text):
        return False
    return len(line) > MAX_LINE or _CONTROL.search(_QUOTED.sub("", text)) is not None


def _within_sizes(start_line: str, names: list[str], lines: list[str], faults: Faults) -> tuple[list[str], list[str]]:
    """The limits of lines and of their number (T20, T21): beyond them only what an answer needs is kept."""
    faults_before = len(faults)
    if len(start_line) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
        faults.append(MessageTooLarge("Header line too long"))
    if _count(names, lines, "Via", MAX_VIAS) > MAX_VIAS:
        faults.append(BadSyntax("Too many Vias", status=483))
    if _count(names, lines, "Route", MAX_ROUTES) > MAX_ROUTES:
        faults.append(BadSyntax("Too many Routes"))
    if len(names) > MAX_FIELDS:
        faults.append(BadSyntax("Too many header fields"))
    if len(faults) == faults_before:
        return names, lines
    kept = [pair for pair in zip(names, lines, strict=True) if pair[0] in _FOR_ANSWERS and len(pair[1]) <= MAX_LINE][
        :MAX_FIELDS
    ]
    return [name for name, _ in kept], [line for _, line in kept]


def _count(names: list[str], lines: list[str], name: str, limit: int) -> int:
    """How many values there are of that name; exact only near and above the limit."""
    found = [line for known, line in zip(names, lines, strict=True) if known == name]
    count = len(found) + sum(line.count(",") for line in found)
    if count <= limit:
        return count
    return sum(len(split_list(line[line.index(":") + 1 :])) for line in found)


def _check_doubles(start_line: str, names: list[str], faults: Faults) -> None:
    """Header fields that come once at most (§7.3.1, T02)."""
    for name in SINGLE:
        if names.count(name) > 1:
            faults.append(BadSyntax(f"Duplicate {name}"))
    if names.count("Expires") > 1 and start_line[:9] == "REGISTER ":
        faults.append(BadSyntax("Duplicate Expires"))


def _body(data: bytes, start: int, names: list[str], lines: list[str], stream: bool, faults: Faults) -> bytes:
    """The body by Content-Length; without one, all of a datagram that is left (§18.3, T08)."""
    try:
        line = lines[names.index("Content-Length")]
    except ValueError:
        if stream:
            faults.append(BadSyntax("Missing Content-Length"))
        return data[start:]
    value = unfold(line[line.index(":") + 1 :])
    if not _LENGTH.fullmatch(value):
        faults.append(BadSyntax("Bad Content-Length"))
        return b""
    stop = start + int(value)
    if stop > len(data):
        too_large = stream and stop - start > MAX_BODY
        faults.append(MessageTooLarge("Body too large") if too_large else BadSyntax("Body shorter than Content-Length"))
    return data[start:stop]


def _is_method(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None and len(text) <= MAX_TOKEN


def _oddly_started(
    start_line: str, names: list[str], lines: list[str], body: bytes, faults: Faults
) -> Request | Response:
    """A response, or a request whose start line has something unusual about it."""
    if start_line[:4].upper() == "SIP/":
        if not _STATUS_LINE.fullmatch(start_line):
            raise BadSyntax("Bad status line")
        return Response(start_line, names, lines, body)
    words = [word for word in start_line.replace("\t", " ").split(" ") if word]
    version = _VERSION.fullmatch(words[-1]) if len(words) > 2 else None
    if version is None:
        raise BadSyntax("Bad start line")
    if version.group(1) != "2.0":
        faults.insert(0, UnsupportedVersion())
    elif " ".join(words) != start_line or len(words) != 3:
        faults.insert(0, BadSyntax("Bad start line"))
    return Request(start_line, names, lines, body)


def _answerable(fault: BadSyntax, message: Request | Response) -> BadSyntax:
    """The fault with the request in it, when there is somebody to answer (§16.3 step 1, T01)."""
    if isinstance(message, Request) and message.method != "ACK" and message.reply_via is not None:
        fault.request = message
    return fault
