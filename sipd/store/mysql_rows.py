"""Rows as MySQL sends them (text protocol), from a piece of the stream at a time.

One call reads all rows that are whole in the buffer; that is several times as
fast as an object for every packet: 100,000 bindings are 1.6 million columns.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trio_mysql.constants import FIELD_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BINARY: Final = 63
"""The character set of columns that hold bytes."""


class Column(NamedTuple):
    """What the server says of a column of its answer."""

    name: str
    type_code: int
    charset: int


class Ended(NamedTuple):
    """What ended the rows: an EOF packet, or an error packet, without its header."""

    packet: bytes


def converters(columns: list[Column], *, text: bool) -> list[Callable[[bytes], Any]]:
    """How the bytes of each column become a value: int, float, Decimal, str or bytes.

    `text`: columns of bytes hold text of phones, which may be no UTF-8 (see
    sipd.message). (Any: a driver's rows have no types.)
    """
    return [_converter(column, text) for column in columns]


def _converter(column: Column, text: bool) -> Callable[[bytes], Any]:
    if column.type_code in NUMBERS:
        return NUMBERS[column.type_code]
    if column.type_code in STRINGS and column.charset == BINARY:
        return _phone_text if text else bytes
    return bytes.decode


def _phone_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


NUMBERS: Final[Mapping[int, Callable[[bytes], Any]]] = {
    **dict.fromkeys(
        (
            FIELD_TYPE.TINY,
            FIELD_TYPE.SHORT,
            FIELD_TYPE.LONG,
            FIELD_TYPE.LONGLONG,
            FIELD_TYPE.INT24,
            FIELD_TYPE.YEAR,
        ),
        int,
    ),
    FIELD_TYPE.FLOAT: float,
    FIELD_TYPE.DOUBLE: float,
    FIELD_TYPE.DECIMAL: lambda raw: Decimal(raw.decode()),
    FIELD_TYPE.NEWDECIMAL: lambda raw: Decimal(raw.decode()),
}
STRINGS: Final = frozenset(
    {
        FIELD_TYPE.BIT,
        FIELD_TYPE.BLOB,
        FIELD_TYPE.LONG_BLOB,
        FIELD_TYPE.MEDIUM_BLOB,
        FIELD_TYPE.TINY_BLOB,
        FIELD_TYPE.STRING,
        FIELD_TYPE.VAR_STRING,
        FIELD_TYPE.VARCHAR,
        FIELD_TYPE.GEOMETRY,
    }
)

NULL: Final = 0xFB
EOF: Final = 0xFE
ERROR: Final = 0xFF
LONG: Final = 0xFFFFFF
"""A packet of this size goes on in the next one."""


class OutOfStep(Exception):
    """What came is not what the protocol has next: nothing on this connection can be believed any more."""


def take_rows(
    data: bytes, at: int, number: int, how: list[Callable[[bytes], Any]], rows: list[tuple[Any, ...]]
) -> tuple[int, int, Ended | None]:
    """Append the rows that are whole in `data` from `at` on.

    Gives where it stopped, the number of the next packet, and the end once it
    was seen. Raises OutOfStep.
    """
    end = len(data)
    ended = None
    while at + 5 <= end:
        size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        begin, follows = at + 4, at + 4 + size
        if size >= LONG:
            whole = _joined(data, at, number)
            if whole is None:
                break
            packet, follows, count = whole
            if data[at + 3] != number:
                raise OutOfStep(f"packet {data[at + 3]}, not {number}")
            rows.append(_row(packet, 0, len(packet), how))
            at, number = follows, (number + count) & 0xFF
            continue
        if follows > end:
            break
        if data[at + 3] != number:
            raise OutOfStep(f"packet {data[at + 3]}, not {number}")
        number = (number + 1) & 0xFF
        first = data[begin]
        at = follows
        if (first == EOF and size < 9) or first == ERROR:
            ended = Ended(data[begin:follows])
            break
        rows.append(_row(data, begin, follows, how))
    return at, number, ended


def _row(data: bytes, at: int, end: int, how: list[Callable[[bytes], Any]]) -> tuple[Any, ...]:
    row: list[Any] = []
    try:
        for convert in how:
            size = data[at]
            at += 1
            if size >= NULL:
                if size == NULL:
                    row.append(None)
                    continue
                width = WIDTHS[size]
                size = int.from_bytes(data[at : at + width], "little")
                at += width
            follows = at + size
            row.append(convert(data[at:follows]))
            at = follows
    except (LookupError, ValueError, ArithmeticError) as error:
        raise OutOfStep(f"a row can't be read: {type(error).__name__}") from None
    if at != end:
        raise OutOfStep("a row is longer or shorter than its columns")
    return tuple(row)


WIDTHS: Final[Mapping[int, int]] = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""First byte of a length -> bytes of the length that follow."""


def _joined(data: bytes, at: int, number: int) -> tuple[bytes, int, int] | None:
    """A packet in several pieces put together, where it ends, how many they were; None: not all is there."""
    parts: list[bytes] = []
    while at + 4 <= len(data):
        size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        if at + 4 + size > len(data):
            return None
        if data[at + 3] != (number + len(parts)) & 0xFF:
            raise OutOfStep(f"packet {data[at + 3]} in the middle of a long one")
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
        if size < LONG:
            return b"".join(parts), at, len(parts)
    return None
