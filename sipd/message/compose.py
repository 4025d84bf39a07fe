"""Messages of our own and changed copies: response_to (§8.2.6), Draft (§16.6, §16.7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.errors import BadSyntax
from sipd.message.grammar import no_line_break, split_list, unfold
from sipd.message.headers import CANONICAL, LISTS, canonical_name
from sipd.message.message import Message, Request, Response, header_lines, status_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANY_TAG: Final = re.compile(r";[ \t\r\n]*+tag[ \t\r\n]*+=", re.IGNORECASE | re.ASCII)
_ONCE: Final = frozenset({"From", "To", "Call-ID", "CSeq"})
_COPIED: Final = _ONCE | {"Via"}
_COPIED_TO_100: Final = _COPIED | {"Timestamp"}


def response_to(
    request: Request,
    status: int,
    reason: str = "",
    *,
    to_tag: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """The answer to `request`: its Vias, From, To, Call-ID and CSeq as they came, whatever they hold (§8.2.6.2).

    `to_tag` is added to a To that has none, except in a 100; a 100 gets the
    request's Timestamp (§8.2.6.1). Content-Length is made. Raises ValueError
    for CR, LF or NUL in what is given (T32).
    """
    names: list[str] = []
    lines: list[str] = []
    copied = _COPIED if status != 100 else _COPIED_TO_100
    for name, line in zip(request.names, request.lines, strict=True):
        if name in copied and (name not in names or name not in _ONCE):
            if name == "To" and to_tag is not None and status > 100 and not _has_tag(request, line):
                line = line.rstrip(" \t\r\n") + ";tag=" + no_line_break(to_tag)
            names.append(name)
            lines.append(line)
    if headers:
        more = header_lines([*headers, ("Content-Length", "0")], b"")
        names += more[0][:-1]
        lines += more[1][:-1]
    if content_type is not None:
        names.append("Content-Type")
        lines.append(f"Content-Type: {no_line_break(content_type)}")
    names.append("Content-Length")
    lines.append(f"Content-Length: {len(body)}")
    return Response(status_line(status, reason), names, lines, body)


def _has_tag(request: Request, line: str) -> bool:
    try:
        return request.to_tag is not None
    except BadSyntax:
        return _ANY_TAG.search(line) is not None


class Draft:
    """A copy of a message that can be changed before it is sent on.

    What is not edited stays the same bytes. Values written are checked for
    CR, LF and NUL (ValueError, T32); names may be in any spelling.
    """

    __slots__ = ("_body", "lines", "names", "start_line")

    def __init__(self, message: Message) -> None:
        self.start_line = message.start_line
        self.names = message.names.copy()
        self.lines = message.lines.copy()
        self._body = message.body

    def prepend(self, name: str, value: str) -> None:
        """A new line before the first of that name; on top when there is none."""
        name = CANONICAL.get(name) or canonical_name(name)
        at = self.names.index(name) if name in self.names else 0
        self.names.insert(at, name)
        self.lines.insert(at, f"{name}: {no_line_break(value)}")

    def append(self, name: str, value: str) -> None:
        """A new line at the end of the head."""
        name = CANONICAL.get(name) or canonical_name(name)
        self.names.append(name)
        self.lines.append(f"{name}: {no_line_break(value)}")

    def replace(self, name: str, value: str) -> None:
        """The first line of that name anew, the others of it dropped; added at the end when there is none."""
        name = CANONICAL.get(name) or canonical_name(name)
        line = f"{name}: {no_line_break(value)}"
        count = self.names.count(name)
        if not count:
            self.names.append(name)
            self.lines.append(line)
            return
        at = self.names.index(name)
        self.lines[at] = line
        if count > 1:
            self._drop(name, at + 1)

    def remove(self, name: str) -> None:
        """Drop all lines of that name."""
        name = CANONICAL.get(name) or canonical_name(name)
        if name in self.names:
            self._drop(name, 0)

    def first_value(self, name: str) -> str | None:
        """The first value of that name, of a comma list its first element; None when there is none."""
        name = CANONICAL.get(name) or canonical_name(name)
        if name not in self.names:
            return None
        line = self.lines[self.names.index(name)]
        value = unfold(line[line.index(":") + 1 :])
        return next(iter(split_list(value)), value) if name in LISTS else value

    def remove_first_value(self, name: str) -> str | None:
        """Take the first value of that name off, of a comma list its first element; None when there is none."""
        name = CANONICAL.get(name) or canonical_name(name)
        if name not in self.names:
            return None
        at = self.names.index(name)
        line = self.lines[at]
        value = unfold(line[line.index(":") + 1 :])
        if "," in value and name in LISTS:
            first, *rest = split_list(value)
            if rest:
                self.lines[at] = f"{name}: {', '.join(rest)}"
                return first
        del self.names[at], self.lines[at]
        return value

    @property
    def body(self) -> bytes:
        """The body; setting it sets Content-Length too."""
        return self._body

    @body.setter
    def body(self, body: bytes) -> None:
        self._body = body
        self.replace("Content-Length", str(len(body)))

    def __bytes__(self) -> bytes:
        """The message as it is to be sent."""
        head = "\r\n".join([self.start_line, *self.lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + self._body

    def _drop(self, name: str, start: int) -> None:
        kept = [at for at, known in enumerate(self.names) if at < start or known != name]
        self.names = [self.names[at] for at in kept]
        self.lines = [self.lines[at] for at in kept]
