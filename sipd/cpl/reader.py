"""Reads a script's XML into elements, with its limits and namespaces (RFC 3880 §2.4, §11, appendix C)."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, Never
from xml.parsers import expat

from sipd.cpl.document import CPL_NAMESPACE, XML_HINTS, Element, Text
from sipd.cpl.findings import nearest, shown
from sipd.cpl.grammar import ALL_TAGS
from sipd.cpl.mailto import MAX_URL
from sipd.cpl.slips import unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.cpl.findings import Report

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 2000
MAX_ATTRIBUTES: Final = 32
"""Limits of a script (T42): nesting, elements, attributes of one tag, and namespaces it declares."""

MAX_VALUE: Final = 1000
"""Characters of an attribute's value, but for the URL of a mail, which has a body."""

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_XSI_NAMES: Final = frozenset({"schemaLocation", "noNamespaceSchemaLocation"})
_SEPARATOR: Final = "\x01"  # can't be in an XML document, so neither in a namespace name
_BLANKS: Final = " \t\r\n"
_NAME_END: Final = re.compile(rb"[\s/>]")
_NO_ELEMENTS: Final = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
_UNREADABLE: Final = frozenset(
    expat.errors.codes[name] for name in (expat.errors.XML_ERROR_INVALID_TOKEN, expat.errors.XML_ERROR_SYNTAX)
)
_MISMATCH: Final = expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]


class Stop(Exception):
    """Reading ends here: the document is refused, and why is in the report."""


class _Doctype(Exception):
    """A bare DOCTYPE was met at these bytes; the document is read again without it."""


class Reader:
    """One pass of expat over a script."""

    def __init__(self, text: Text, report: Report) -> None:
        self.root: Element | None = None
        self._text = text
        self._report = report
        self._open: list[Element | None] = []  # None: inside something refused
        self._tags: list[tuple[str, int]] = []  # names and offsets of the open tags as XML has them
        self._counts: list[Counter[str]] = [Counter()]
        self._elements = 0
        self._said_text: set[int] = set()
        self._declared: list[tuple[str, str, int]] = []
        self._used = {CPL_NAMESPACE, _XSI, ""}
        parser = expat.ParserCreate("utf-8", _SEPARATOR)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._declaration
        parser.NotationDeclHandler = self._declaration
        parser.SkippedEntityHandler = self._skipped
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._parser = parser

    def read(self) -> Element | None:
        """The root, when it is one of CPL. Raises Stop after reporting when the document ends early."""
        try:
            self._parser.Parse(self._text.data, True)
        except expat.ExpatError as error:
            self._not_well_formed(error)
        for prefix, uri, offset in self._declared:
            if uri not in self._used:
                self._report.at_offset(
                    "warning",
                    "CPL-NAMESPACE-UNUSED",
                    f"the namespace {shown(uri)} is declared ({shown(prefix)}) and not used",
                    offset,
                    hint="leave the declaration out",
                )
        return self.root

    def _stop(self, code: str, text: str, offset: int, hint: str = "") -> Never:
        path = next((element.path for element in reversed(self._open) if element is not None), "")
        self._report.at_offset("error", code, text, offset, path, hint)
        raise Stop

    def _not_well_formed(self, error: expat.ExpatError) -> Never:
        offset = max(self._parser.ErrorByteIndex, 0)
        text, hint = expat.ErrorString(error.code), XML_HINTS.get(error.code, "")
        if error.code in _UNREADABLE:
            text, hint = unreadable(self._text.data, offset)
        elif error.code == _NO_ELEMENTS and not self._tags:
            text, hint = "the script is empty", "a script begins with <cpl>"
        elif error.code in (_NO_ELEMENTS, _MISMATCH):
            name, opened = self._tags[-1]
            line = self._text.place(opened)[0]
            if error.code == _MISMATCH:
                # expat points at the name, or at the `</` before it.
                offset = max(self._text.data.rfind(b"</", 0, offset + 2), 0)
                closing = self._written(offset + 1)
                text = f"</{closing}> does not close <{name}> of line {line}"
                hint = f"write </{name}> before it, or <{name} …/> where nothing is inside"
                hint = f"did you mean </{name}>?" if closing not in ALL_TAGS and nearest(closing, [name]) else hint
            else:
                text, hint = f"the script ends and <{name}> of line {line} is not closed", f"add </{name}>"
        self._stop("CPL-XML", f"not well-formed XML: {text}", offset, hint)

    def _doctype(self, name: str, system: str | None, public: str | None, has_subset: int) -> None:
        del name, system, public
        at = self._parser.CurrentByteIndex
        begin = max(self._text.data.rfind(b"<!DOCTYPE", 0, at + 1), 0)
        if has_subset:
            self._stop(
                "CPL-DTD",
                "a DOCTYPE with declarations of its own is refused",
                begin,
                "delete the DOCTYPE: CPL needs none",
            )
        raise _Doctype(begin, self._text.data.find(b">", at) + 1)

    def _declaration(self, *_ignored: object) -> None:
        self._stop("CPL-DTD", "declarations of entities and notations are refused", self._parser.CurrentByteIndex)

    def _skipped(self, name: str, _is_parameter: bool) -> None:
        self._stop("CPL-ENTITY", f"there is no entity {shown(name)}", self._parser.CurrentByteIndex)

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        if uri and uri not in self._used:
            offset = self._parser.CurrentByteIndex
            self._declared.append((f"xmlns:{prefix}" if prefix else "xmlns", uri, offset))
            if len(self._declared) > MAX_ATTRIBUTES:
                text = f"the script declares more than {MAX_ATTRIBUTES} namespaces"
                self._stop("CPL-ATTRIBUTES", text, offset, "leave out those that are not used")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        offset = self._parser.CurrentByteIndex
        self._elements += 1
        if len(self._open) >= MAX_DEPTH:
            self._stop(
                "CPL-DEPTH", f"tags are nested deeper than {MAX_DEPTH}", offset, "put inner parts into subactions"
            )
        if self._elements > MAX_ELEMENTS:
            self._stop("CPL-NODES", f"the script has more than {MAX_ELEMENTS} tags", offset)
        if len(attributes) > MAX_ATTRIBUTES:
            self._stop("CPL-ATTRIBUTES", f"this tag has more than {MAX_ATTRIBUTES} attributes", offset)
        namespace, _, tag = name.rpartition(_SEPARATOR)
        self._tags.append((self._written(offset), offset))
        parent = self._open[-1] if self._open else None
        if parent is None and self._open:
            self._open.append(None)  # inside something refused: nobody wants more findings about it
        else:
            self._counts[-1][tag] += 1
            element = Element(tag, {}, parent, self._counts[-1][tag], offset)
            self._open.append(self._accept(element, namespace, attributes))
        self._counts.append(Counter())

    def _written(self, offset: int) -> str:
        """The name of the tag at `offset` as the script has it."""
        return _NAME_END.split(self._text.data[offset + 1 : offset + 64], maxsplit=1)[0].decode("utf-8", "replace")

    def _accept(self, element: Element, namespace: str, attributes: dict[str, str]) -> Element | None:
        if namespace not in ("", CPL_NAMESPACE):
            self._used.add(namespace)
            self._report.error(
                "CPL-NAMESPACE",
                f"the tag {shown(element.tag)} is of the namespace {shown(namespace)}, which this server does not know",
                element,
                hint=f"tags of CPL have the namespace {CPL_NAMESPACE}, or none",
            )
            return None
        if element.parent is None and element.tag != "cpl":
            self._report.error(
                "CPL-ROOT", f"the outermost tag is {shown(element.tag)}", element, hint="a script begins with <cpl>"
            )
            return None
        for name, value in attributes.items():
            self._attribute(element, name, value)
        if element.parent is None:
            self.root = element
        else:
            element.parent.children.append(element)
        return element

    def _attribute(self, element: Element, name: str, value: str) -> None:
        namespace, _, local = name.rpartition(_SEPARATOR)
        self._used.add(namespace)
        if namespace == _XSI and local in _XSI_NAMES:
            return
        if namespace not in ("", CPL_NAMESPACE):
            element.foreign = True
            self._report.error(
                "CPL-NAMESPACE",
                f"the attribute {shown(local)} is of the namespace {shown(namespace)}, which this server does not know",
                element,
                local,
            )
        elif local in element.attributes:
            self._report.error("CPL-TWICE", f"the attribute {shown(local)} is given twice", element, local)
        else:
            most = MAX_URL if (element.tag, local) == ("mail", "url") else MAX_VALUE
            if len(value) > most:
                text = f"{shown(local)} is longer than {most} characters"
                self._report.error("CPL-LONG", text, element, local, hint="say it shorter")
            element.attributes[local] = value[:most]  # so that whoever looks further is not kept long

    def _end(self, name: str) -> None:
        del name
        self._open.pop()
        self._tags.pop()
        self._counts.pop()

    def _characters(self, data: str) -> None:
        words = data.strip(_BLANKS)
        at = self._open[-1] if self._open else None
        if words and at is not None and at.offset not in self._said_text:
            self._said_text.add(at.offset)
            # expat gathers text, so its position is not that of the words; references in them hide them too.
            found = self._text.data.find(words.split("\n", 1)[0][:20].encode(), at.offset)
            self._report.at_offset(
                "error",
                "CPL-TEXT",
                f"the words {shown(words, 30)} stand inside {shown(at.tag, 30)}: CPL has tags only",
                at.offset if found < 0 else found,
                at.path,
                "a remark is written <!-- so -->",
            )


def read(text: Text, report: Report, reader: Callable[[Text, Report], Reader] = Reader) -> Element | None:
    """The script's root element, or None when it is not one of CPL; what is wrong is in the report.

    Raises Stop when the document can't be read to its end. A bare DOCTYPE of
    an old draft is taken out (never fetched) and warned about; so a reference
    to an entity it might have declared is an error like any other.
    """
    try:
        return reader(text, report).read()
    except _Doctype as found:
        begin, end = found.args
    report.at_offset(
        "warning", "CPL-DOCTYPE", "the DOCTYPE of an old draft is ignored", begin, hint="delete it: CPL needs none"
    )
    blanks = "".join("\n" if c == "\n" else "\r" if c == "\r" else " " for c in text.data[begin:end].decode())
    # Same length, same lines: every position found afterwards still holds.
    filler = blanks.encode() + b" " * (end - begin - len(blanks))
    bare = Text(text.data[:begin] + filler + text.data[end:])
    try:
        return reader(bare, report).read()
    except _Doctype as found:
        report.at_offset("error", "CPL-DTD", "a second DOCTYPE", found.args[0])
        raise Stop from None
