"""XML to elements that know their place: bounded, without entities, never fetching anything (T41-T45).

The parser is expat: it tells the position of every tag, which error messages
need, and its handlers let a hostile document be refused at the first byte
that breaks a limit.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Iterator

CPL_NAMESPACE: Final = "urn:ietf:params:xml:ns:cpl"
"""The namespace of the base language (RFC 3880 §14.1); no namespace means the same (§11)."""

_NEWLINE: Final = re.compile(rb"\r\n|\r|\n")
_TEXT_NEWLINE: Final = re.compile(r"\r\n|\r|\n")
_TAG: Final = re.compile(rb"<[^\s/>]*+")
_ATTRIBUTE: Final = re.compile(rb"\s*+([^\s=/>]++)\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')")
_DECLARED: Final = re.compile(r"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]*)[\"']")

UTF8_NAMES: Final = frozenset({"utf-8", "utf8"})
UTF16_NAMES: Final = frozenset({"utf-16", "utf16", "utf-16le", "utf-16be"})


class Element:
    """One start tag of the script with what is in it; only tags of CPL become elements."""

    __slots__ = ("attributes", "children", "foreign", "index", "offset", "parent", "tag", "written")

    def __init__(self, tag: str, attributes: dict[str, str], parent: Element | None, index: int, offset: int) -> None:
        self.tag = tag  # as it is understood: one misspelt in an obvious way is put right after reporting it
        self.written = tag
        self.attributes = attributes
        self.parent = parent
        self.index = index  # among the parent's children of the same tag, from 1
        self.offset = offset  # of its `<` in the UTF-8 text
        self.foreign = False  # it has attributes of namespaces not known here
        self.children: list[Element] = []

    @property
    def step(self) -> str:
        """How its parent's path goes on to it: `address[2]`."""
        alone = self.index == 1 and self.written in ("cpl", "incoming", "outgoing", "ancillary")
        return self.written if alone else f"{self.written}[{self.index}]"

    @property
    def path(self) -> str:
        """Where it stands: `/cpl/incoming/address-switch[1]/address[2]`."""
        steps: list[str] = []
        at: Element | None = self
        while at is not None:
            steps.append(at.step)
            at = at.parent
        return "/" + "/".join(reversed(steps))

    def child(self, tag: str) -> Element | None:
        """The first child of that tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in the order of the script."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


class Text:
    """The script in UTF-8, whatever it came in, with line and column of any byte."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._starts: list[int] = []

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, columns counted in characters."""
        if not self._starts:
            self._starts = [0, *(found.end() for found in _NEWLINE.finditer(self.data))]
        line = bisect_right(self._starts, offset)
        start = self._starts[line - 1]
        return line, len(self.data[start:offset].decode("utf-8", "replace")) + 1

    def attribute_offset(self, tag_offset: int, name: str) -> int:
        """Where the attribute of that local name begins in the tag at `tag_offset`; the tag itself when not found."""
        wanted = name.encode()
        tag = _TAG.match(self.data, tag_offset)
        at = tag_offset if tag is None else tag.end()
        while (found := _ATTRIBUTE.match(self.data, at)) is not None:
            if found[1].rpartition(b":")[2] == wanted:
                return found.start(1)
            at = found.end()
        return tag_offset


class BadEncoding(Exception):
    """The bytes are not a text this server reads: offset, what is wrong, and what to do about it."""

    def __init__(self, offset: int, text: str, hint: str = "save the file as UTF-8") -> None:
        super().__init__(text)
        self.offset = offset
        self.text = text
        self.hint = hint


def decode(source: bytes) -> Text:
    """The script as UTF-8. UTF-8 and UTF-16 with a byte order mark are read, nothing else (T45). Raises BadEncoding."""
    if source.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Text(_decode_as(source, "utf-16", UTF16_NAMES).encode())
    plain = source.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in plain[:4]:
        raise BadEncoding(0, "the script is neither UTF-8 nor UTF-16 with a byte order mark")
    _decode_as(plain, "utf-8", UTF8_NAMES)
    return Text(plain)


def _decode_as(source: bytes, encoding: str, names: frozenset[str]) -> str:
    declared = _DECLARED.match(source[:200].decode("ascii", "replace"))
    try:
        text = source.decode(encoding)
    except UnicodeDecodeError as error:
        said = f"; it declares itself {declared[1]}" if declared and declared[1].lower() not in names else ""
        raise BadEncoding(error.start, f"this byte is not {encoding.upper()}{said}") from None
    declared = _DECLARED.match(text[:200])
    if declared is not None and declared[1].lower() not in names:
        raise BadEncoding(
            0,
            f"the script declares the encoding {declared[1][:20]}; UTF-8, or UTF-16 with a byte order mark, is read",
            'save the file as UTF-8 and write encoding="UTF-8"',
        )
    return text


def source_lines(source: bytes) -> list[str]:
    """The lines of a script for showing them; never fails."""
    utf16 = source.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = source.decode("utf-16" if utf16 else "utf-8-sig", "replace")
    return _TEXT_NEWLINE.split(text)


_ERRORS: Final = expat.errors

XML_HINTS: Final = {
    expat.errors.codes[name]: hint
    for name, hint in {
        _ERRORS.XML_ERROR_UNDEFINED_ENTITY: "write the character itself; “&” alone is “&amp;”",
        _ERRORS.XML_ERROR_DUPLICATE_ATTRIBUTE: "an attribute may be given once only",
        _ERRORS.XML_ERROR_JUNK_AFTER_DOC_ELEMENT: "the script ends with </cpl>",
        _ERRORS.XML_ERROR_UNBOUND_PREFIX: f'declare it: xmlns:prefix="{CPL_NAMESPACE}", or leave the prefix out',
        _ERRORS.XML_ERROR_MISPLACED_XML_PI: "nothing, not even a blank, may stand before <?xml",
    }.items()
}
"""What to do about an error of XML itself, by expat's number of it."""
