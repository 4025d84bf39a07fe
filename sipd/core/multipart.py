"""The parts of a multipart body (RFC 2046 §5.1), one level deep: nobody sends scripts deeper."""

from __future__ import annotations

from typing import Final, NamedTuple

from sipd.errors import BadSyntax

MAX_PARTS: Final = 16


class Part(NamedTuple):
    """One part: its header fields by lower-case name, the last of a name, and its bytes."""

    headers: dict[str, str]
    body: bytes


def split_multipart(body: bytes, boundary: str) -> list[Part]:
    """The parts between the boundary lines; what is before the first and after the last is left out.

    Raises BadSyntax without a closing boundary, for a bad part header or more
    than MAX_PARTS parts.
    """
    mark = b"--" + boundary.encode("utf-8", "surrogateescape")
    if not boundary or len(boundary) > 70:
        raise BadSyntax("Bad multipart boundary")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark, MAX_PARTS + 2)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise BadSyntax("Bad multipart body")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    line_end = piece.find(b"\r\n")  # after the boundary only blanks may stand on its line
    if line_end < 0 or piece[:line_end].strip(b" \t"):
        raise BadSyntax("Bad multipart body")
    head, empty_line, content = piece[line_end:].partition(b"\r\n\r\n")
    if not empty_line:
        raise BadSyntax("Bad multipart body")
    headers = {}
    text = head.decode("utf-8", "surrogateescape").replace("\r\n ", " ").replace("\r\n\t", " ")
    for line in text.split("\r\n"):
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise BadSyntax("Bad multipart header")
        headers[name.strip(" \t").lower()] = value.strip(" \t")
    return Part(headers, content)
