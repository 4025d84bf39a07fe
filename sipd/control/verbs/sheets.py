"""Users as lines of a CSV file (RFC 4180): what `user import` reads and `user export` writes.

The first line names the columns, in any order and any case; only `address`
must be there. An empty cell says nothing: a new user gets the default, one
who is there keeps what he has. Files of spreadsheets are taken as they are:
with a byte order mark, with CRLF, with semicolons or tabs.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from typing import TYPE_CHECKING, Final, NamedTuple, get_args, get_type_hints

from sipd.control.verbs.base import Faults, Refusal
from sipd.rows import User

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SHOWN: Final = 20
"""Bad lines that are named; of others only how many there are."""

HASHES: Final = {
    "ha1_md5": 32,
    "ha1_md5_full": 32,
    "ha1_sha256": 64,
    "ha1_sha256_full": 64,
    "ha1_sha512_256": 64,
    "ha1_sha512_256_full": 64,
}
"""Columns of hashes, and how many hexadecimal digits each has."""

FIELDS: Final = {"level": "level", "role": "role", "class": "gateway_class", "name": "full_name"}
"""Column -> the field of User that it fills."""

COLUMNS: Final = ("address", "password", "realm", *FIELDS, "aliases", *HASHES)
SYNONYMS: Final = {field: column for column, field in FIELDS.items()} | {"alias": "aliases", "user": "address"}
WIDTHS: Final = {"gateway_class": 64, "full_name": 255}
"""Letters that the fields of free text may have."""

_HINTS: Final = get_type_hints(User)
CHOICES: Final = {name: get_args(_HINTS[name]) for name in FIELDS.values() if get_args(_HINTS[name])}
"""Fields that are one of some words."""

HEX: Final = re.compile(r"[0-9A-Fa-f]*", re.ASCII)
DELIMITERS: Final = ",;\t"
ESCAPED: Final = re.compile(r"%(?=[0-9A-Fa-f]{2})|[\s,;]")
"""In an address: what stands between two of them, or for another letter, when it is read."""


class Line(NamedTuple):
    """One user of the file: where he stands, and the cells that are not empty, by column."""

    number: int  # of the file's line, from 1
    cells: Mapping[str, str]


class Complaints:
    """What is wrong with the lines of a file; the first SHOWN are kept."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.count = 0

    def add(self, line: int, column: str, text: str) -> None:
        """Complain of one cell (no column: of the whole line)."""
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"line {line}, column {column}: {text}" if column else f"line {line}: {text}")

    def raise_if_any(self, what: str = "users") -> None:
        """Raises Faults, with what was kept, when there is anything."""
        if not self.count:
            return
        more = [f"... and {self.count - SHOWN} more"] if self.count > SHOWN else []
        lines = "1 line can't be taken" if self.count == 1 else f"{self.count} lines can't be taken"
        raise Faults(f"{lines}, and so no {what} were stored", [*self.shown, *more], "Mend the file and try again")


def lines_of(content: bytes, complaints: Complaints) -> Iterator[Line]:
    """The users of a file. Raises Refusal for a file that can't be read at all; complains of lines that can't."""
    text = _text(content)
    columns: list[str] | None = None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    begin = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            complaints.add(begin, "", f"can't be read: {_in_words(error)}")
            return
        if cells is None:
            break
        if any(cell.strip() for cell in cells):
            if columns is None:
                columns = _columns(cells)
            elif any(cells[len(columns) :]):
                complaints.add(begin, "", f"has {len(cells)} cells for {len(columns)} columns; quote what has a comma")
            else:
                named = zip(columns, cells, strict=False)  # a line may end early
                yield Line(begin, {name: text for name, cell in named if (text := cell.strip())})
        begin = reader.line_num + 1
    if columns is None:
        raise Refusal("the file is empty", f"Its first line names the columns: {', '.join(COLUMNS[:4])}, ...")


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refusal("the file is UTF-16", "Save it as UTF-8: in a spreadsheet the format is called `CSV UTF-8`")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refusal(
            f"line {line} is not UTF-8: byte 0x{content[error.start]:02x}", "Save the file as UTF-8, and try again"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Refusal(f"line {line} holds a NUL character", "Is it a CSV file, and no spreadsheet as such?")
    return text


def _delimiter(text: str) -> str:
    head = text.lstrip("\r\n").partition("\n")[0]
    return max(DELIMITERS, key=head.count)


def _columns(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower().replace(" ", "_").replace("-", "_") for cell in cells]
    names = [SYNONYMS.get(name, name) for name in names]
    while names and not names[-1]:
        names.pop()
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The columns are: {', '.join(COLUMNS)}"
            if "@" in name:
                hint = f"The first line names the columns: {', '.join(COLUMNS[:4])}, ..."
            raise Refusal(f"there is no column {name!r}", hint)
        if names.count(name) > 1:
            raise Refusal(f"there are two columns {name}", "Remove one of them")
    if "address" not in names:
        raise Refusal("there is no column address", "It holds user@domain; the first line names the columns")
    return names


def _in_words(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return 'a quote (") is opened here and never closed'
    if "expected after" in text:
        return 'after a closing quote (") comes more text; a quote within quotes is written twice ("")'
    return text


def hash_text(column: str, text: str) -> str:
    """The hash in its stored form. Raises Refusal."""
    if not HEX.fullmatch(text) or len(text) != HASHES[column]:
        raise Refusal(f"is no hash: {HASHES[column]} hexadecimal digits are one")
    return text.lower()


def field_text(field: str, text: str) -> str:
    """A value of one of the fields of FIELDS. Raises Refusal."""
    choices = CHOICES.get(field)
    if choices is not None and text not in choices:
        raise Refusal(f"can't be {text!r}", f"It is one of: {', '.join(choices)}")
    width = WIDTHS.get(field, 255)
    if len(text) > width or not (text.isprintable() or text == ""):
        raise Refusal(f"can't be {text[:40]!r}", f"It is one line of at most {width} letters")
    return text


def written(users: Iterable[User], aliases: Mapping[str, Sequence[str]], *, secrets: bool) -> str:
    """The file of these users; `aliases` are those of each address-of-record. Raises Refusal for what is no text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    hashes = tuple(HASHES) if secrets else ()
    writer.writerow(("address", "realm", *FIELDS, "aliases", *hashes))
    for user in users:
        row = user._asdict()
        fields = (row[name] for name in FIELDS.values())
        also = " ".join(map(_escaped, aliases.get(user.aor, ())))
        writer.writerow((_escaped(user.aor), user.realm, *fields, also, *(row[name] for name in hashes)))
    text = out.getvalue()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise Refusal(
            f"line {line} of the file would not be UTF-8, as something in the database is not",
            "See which rows: sipdctl db check",
        ) from None
    return text


def _escaped(aor: str) -> str:
    """As `address_of_record` reads it, alone or among others."""
    return ESCAPED.sub(lambda found: "".join(f"%{octet:02X}" for octet in found[0].encode()), aor)
