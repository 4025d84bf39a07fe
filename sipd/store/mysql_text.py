"""Statements as MySQL and MariaDB get them: each `?` becomes the literal of its value.

Only whole statements of ours, whose every outside value is a parameter. A
literal ends where it should whatever the value holds, under any sql_mode
without NO_BACKSLASH_ESCAPES (`mysql_link` makes sure of that): a quote is
doubled, a backslash is doubled. Nothing else ends a string of utf8mb4.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sipd.store.statements import Value


def compose(statement: str, row: Sequence[Value] = ()) -> bytes:
    """The statement with these values in the place of its `?`.

    Raises ValueError when they are not as many, OverflowError for a number
    that SQL has no literal for, UnicodeEncodeError for a text that nobody can
    have sent (a surrogate that stands for no byte).
    """
    pieces = _pieces(statement)
    if len(row) != len(pieces) - 1:
        raise ValueError(f"{len(row)} values for a statement with {len(pieces) - 1}")
    parts = [pieces[0]]
    for value, piece in zip(row, pieces[1:], strict=True):
        parts.append(LITERAL[type(value)](value))
        parts.append(piece)
    return b"".join(parts)


def compose_many(statement: str, rows: Iterable[Sequence[Value]], most: int) -> Iterable[bytes]:
    """An INSERT ... VALUES (?, ...) ... of one row, made for many: statements of at most `most` bytes, where possible.

    The parentheses behind the last VALUES before the first `?` are repeated.
    """
    head, values, tail = _parts(statement)
    room = most - len(head) - len(tail) - 16
    held: list[bytes] = []
    size = 0
    for row in rows:
        one = compose(values, row)
        if held and (size + len(one) + 1 > room or len(held) >= MOST_ROWS):
            yield b"".join((head, b",".join(held), tail))
            held, size = [], 0
        held.append(one)
        size += len(one) + 1
    if held:
        yield b"".join((head, b",".join(held), tail))


MOST_ROWS: Final = 1000
"""Rows of one statement."""


@lru_cache(maxsize=500)
def _pieces(statement: str) -> tuple[bytes, ...]:
    return tuple(piece.encode() for piece in statement.split("?"))


@lru_cache(maxsize=100)
def _parts(statement: str) -> tuple[bytes, str, bytes]:
    begin = statement.index("(", statement.rindex("VALUES", 0, statement.index("?")))
    end = _closing(statement, begin)
    return statement[:begin].encode(), statement[begin : end + 1], statement[end + 1 :].encode()


def _closing(statement: str, begin: int) -> int:
    depth = 0
    for at in range(begin, len(statement)):
        depth += {"(": 1, ")": -1}.get(statement[at], 0)
        if not depth:
            return at
    raise ValueError(f"no ) in {statement!r}")


def _text(value: str) -> bytes:
    try:
        raw = value.encode()
    except UnicodeEncodeError:  # of a phone: SIP lets text carry bytes that are no UTF-8 (see sipd.message)
        return _bytes(value.encode("utf-8", "surrogateescape"))
    return b"'%b'" % raw.replace(b"\\", b"\\\\").replace(b"'", b"''")


def _bytes(value: bytes) -> bytes:
    return b"_binary'%b'" % value.replace(b"\\", b"\\\\").replace(b"'", b"''")


def _float(value: float) -> bytes:
    if not math.isfinite(value):
        raise OverflowError("infinite, or no number")
    shown = repr(value)  # the shortest that reads back as the same
    return (shown if "e" in shown else shown + "e0").encode()


LITERAL: Final[Mapping[type, Callable[[Any], bytes]]] = {
    str: _text,
    bytes: _bytes,
    int: lambda value: b"%d" % value,
    bool: lambda value: b"1" if value else b"0",
    float: _float,
    type(None): lambda _: b"NULL",
}
"""How a value of each type is written. (Any: each function takes the key's own type.)"""
