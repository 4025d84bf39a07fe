"""Request and Response: the lines as they came, typed values on demand (§7).

The head is text: UTF-8 with other bytes kept as surrogates, so that each byte
survives. A typed value is made when it is first read, and then is a plain
slot. Messages are not changed once made; `Draft` makes a changed copy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from sipd.errors import BadSyntax
from sipd.message.grammar import no_line_break, split_list, unfold
from sipd.message.headers import CANONICAL, LISTS, canonical_name, extras_of
from sipd.message.status import STATUS
from sipd.message.values import (
    Address,
    CSeq,
    Via,
    parse_method,
    parse_sent_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from sipd.message.uri import Uri


class Message:
    """What a Request and a Response have in common.

    Lazy attributes raise BadSyntax when read, if what they stand for is
    malformed or, where the type has no None, missing. `via` and its branch
    have been looked at by `parse`.
    """

    __slots__ = (
        "body",
        "branch",
        "call_id",
        "contacts",
        "content_type",
        "cseq",
        "expires",
        "extras",
        "from_",
        "from_tag",
        "lines",
        "max_forwards",
        "names",
        "one_via",
        "record_routes",
        "routes",
        "star_contact",
        "start_line",
        "to",
        "to_tag",
        "via",
        "via_at",
    )

    names: list[str]  # canonical name of each header line
    lines: list[str]  # the header lines as they came, without the final CRLF; folds are within
    body: bytes
    start_line: str

    extras: Set[str]  # the names that are not USUAL
    one_via: bool  # there is one Via value: a request comes from the one who made it
    via_at: int  # the place of the topmost Via line

    via: Via  # the topmost (§20.42)
    branch: str | None  # of that Via (§8.1.1.7)
    call_id: str  # §20.8
    cseq: CSeq  # §20.16
    from_: Address  # §20.20
    to: Address  # §20.39
    from_tag: str | None  # §19.3
    to_tag: str | None
    contacts: list[Address]  # all; empty for "*" (§20.10)
    star_contact: bool  # Contact is "*" alone (§10.2.2)
    max_forwards: int | None  # 0..255 (§20.22)
    expires: int | None  # None: no such line; a malformed one counts as 3600 (§20.19, T70)
    content_type: str | None  # lower case, without parameters (§20.15)
    routes: list[Address]  # §20.34
    record_routes: list[Address]  # §20.30

    def __init__(self, start_line: str, names: list[str], lines: list[str], body: bytes) -> None:
        """Made of lines already known to be right; `parse` and `build` are the ways in."""
        self.start_line = start_line
        self.names = names
        self.lines = lines
        self.body = body

    if not TYPE_CHECKING:  # so that the checker knows the attributes declared above, and no others

        def __getattr__(self, name: str) -> object:
            # Comes here only while the slot is empty: read the value, fill the slot.
            reader = self._readers.get(name)
            if reader is None:
                raise AttributeError(name)
            value = reader(self)
            setattr(self, name, value)
            return value

    _readers: ClassVar[dict[str, Callable[..., object]]] = {}

    def first(self, name: str) -> str | None:
        """The value of the first line of that name, unfolded and trimmed; None without one."""
        try:
            line = self.lines[self.names.index(name)]
        except ValueError:
            canonical = canonical_name(name)
            return None if canonical == name else self.first(canonical)
        line = line[line.index(":") + 1 :]
        return unfold(line) if "\r" in line else line.strip(" \t")

    def values(self, name: str) -> list[str]:
        """All values of that name in order, comma lists taken apart where §7.3.1 has them."""
        name = canonical_name(name)
        found = []
        is_list = name in LISTS
        for known, line in zip(self.names, self.lines, strict=True):
            if known == name:
                value = unfold(line[line.index(":") + 1 :])
                if is_list:
                    found += split_list(value)
                else:
                    found.append(value)
        return found

    @property
    def reply_via(self) -> Via | None:
        """The top Via as far as an answer needs it: without parameters when these are malformed (T01)."""
        try:
            return self.via
        except BadSyntax:
            pass
        try:
            return parse_sent_by(split_list(self.first("Via") or "")[0])
        except (BadSyntax, IndexError):
            return None

    def __bytes__(self) -> bytes:
        """The message as it came, byte for byte (the framed part of it)."""
        head = "\r\n".join([self.start_line, *self.lines, "", ""])
        return head.encode("utf-8", "surrogateescape") + self.body

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.start_line!r}>"


class Request(Message):
    """A request (§7.1)."""

    __slots__ = ("method", "request_uri", "uri")

    method: str
    request_uri: str  # as written
    uri: Uri  # lazy

    def __init__(
        self, start_line: str, names: list[str], lines: list[str], body: bytes, words: Sequence[str] = ()
    ) -> None:
        """`words` begins with method and Request-URI, when the start line has been taken apart already."""
        self.start_line = start_line
        self.names = names
        self.lines = lines
        self.body = body
        if words:
            self.method, self.request_uri = words[0], words[1]
            return
        # Lenient, so that what is refused can be answered: `parse` has looked at it, or is about to.
        self.method, _, rest = start_line.partition(" ")
        self.request_uri = rest.rpartition(" ")[0]

    def with_lines(self, names: list[str], lines: list[str], start_line: str = "") -> Request:
        """The same request with these header lines, in which other Routes or credentials are at most what is new.

        Raises BadSyntax where Via, CSeq, Call-ID or Max-Forwards are bad.
        """
        if start_line:
            made = Request(start_line, names, lines, self.body)
        else:
            made = Request(self.start_line, names, lines, self.body, (self.method, self.request_uri))
            made.uri = self.uri
        # What has been read once need not be read again.
        made.via, made.branch, made.cseq, made.call_id = self.via, self.branch, self.cseq, self.call_id
        made.max_forwards, made.one_via = self.max_forwards, self.one_via
        made.extras, made.via_at = extras_of(names), names.index("Via")
        return made

    @classmethod
    def build(cls, method: str, uri: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Request:
        """A request of our own; Content-Length is made unless given.

        Raises ValueError for CR, LF or NUL in a value and for a blank in the URI (T32).
        """
        if not uri or " " in uri or "\t" in uri:
            raise ValueError("a Request-URI has no blanks")
        start_line = f"{parse_method(method)} {no_line_break(uri)} SIP/2.0"
        return cls(start_line, *header_lines(headers, body), body)


class Response(Message):
    """A response (§7.2)."""

    __slots__ = ("reason", "status")

    status: int
    reason: str

    def __init__(self, start_line: str, names: list[str], lines: list[str], body: bytes) -> None:
        self.start_line = start_line
        self.names = names
        self.lines = lines
        self.body = body
        self.status = int(start_line[8:11])
        self.reason = start_line[12:]

    @classmethod
    def build(cls, status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Response:
        """A response of our own; an empty reason becomes the status's own, Content-Length is made unless given.

        Raises ValueError for CR, LF or NUL in a value (T32).
        """
        return cls(status_line(status, reason), *header_lines(headers, body), body)


@lru_cache(256)
def status_line(status: int, reason: str = "") -> str:
    """The Status-Line (§7.2). Raises ValueError for a status that is none."""
    if not 100 <= status <= 699:
        raise ValueError(f"no status: {status}")
    return f"SIP/2.0 {status} {no_line_break(reason) or STATUS.get(status, '')}"


def header_lines(headers: Sequence[tuple[str, str]], body: bytes) -> tuple[list[str], list[str]]:
    """Names and lines of these header fields, with a Content-Length for `body` when they have none."""
    names, lines = [], []
    for name, value in headers:
        canonical = CANONICAL.get(name) or canonical_name(name)
        names.append(canonical)
        lines.append(f"{canonical}: {value}")
    no_line_break("".join(lines))
    if "Content-Length" not in names:
        names.append("Content-Length")
        lines.append(f"Content-Length: {len(body)}")
    return names, lines
