"""Reads a script of another time or another server, comments and all; and writes one of RFC 3880.

The limits are those of `reader`: what it refuses for its size, its depth or
its declarations is refused here too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.cpl.document import CPL_NAMESPACE, Element
from sipd.cpl.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sipd.cpl.document import Text
    from sipd.cpl.findings import Report

TAA_NAMESPACE: Final = "http://www.tandberg.net/cpl-extensions"
"""Of the extensions of Cisco Expressway and VCS."""

REMARK: Final = "#remark"
WORDS: Final = "#words"
"""Tags of what is no tag: a comment, and words that should be one. Their text is the attribute ""."""

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_BLANKS: Final = " \t\r\n"


class LooseReader(Reader):
    """A reader that keeps comments, and tags it does not know."""

    def __init__(self, text: Text, report: Report) -> None:
        super().__init__(text, report)
        self.before: list[Element] = []
        self.after: list[Element] = []
        """Comments outside the root."""
        self._parser.CommentHandler = self._comment

    def _accept(self, element: Element, namespace: str, attributes: dict[str, str]) -> Element | None:
        if element.parent is None and (namespace not in ("", CPL_NAMESPACE) or element.tag != "cpl"):
            return super()._accept(element, namespace, {})
        if namespace == TAA_NAMESPACE:
            element.tag = f"taa:{element.tag}"
        elif namespace not in ("", CPL_NAMESPACE):
            element.tag = f"other:{element.tag}"
        self._used.add(namespace)
        for name, value in attributes.items():
            of, _, local = name.rpartition("\x01")
            self._used.add(of)
            if of != _XSI:
                key = (
                    local if of in ("", CPL_NAMESPACE) else f"taa:{local}" if of == TAA_NAMESPACE else f"other:{local}"
                )
                element.attributes.setdefault(key, value)
        if element.parent is None:
            self.root = element
        else:
            element.parent.children.append(element)
        return element

    def _comment(self, text: str) -> None:
        self._keep(REMARK, text)

    def _characters(self, data: str) -> None:
        if data.strip(_BLANKS):
            self._keep(WORDS, data.strip(_BLANKS))

    def _keep(self, tag: str, text: str) -> None:
        at = self._open[-1] if self._open else None
        remark = Element(tag, {"": text}, at, 1, self._parser.CurrentByteIndex)
        if at is not None:
            at.children.append(remark)
        elif not self._open:
            (self.before if self.root is None else self.after).append(remark)


def made(tag: str, attributes: dict[str, str], children: Sequence[Element] = (), offset: int = 0) -> Element:
    """A tag of the script that is written; `offset` is that of what it was made from."""
    element = Element(tag, attributes, None, 1, offset)
    element.children = list(children)
    return element


def remark(text: str, offset: int = 0) -> Element:
    """A comment of the script that is written."""
    return Element(REMARK, {"": f" {text} "}, None, 1, offset)


def nodes_of(children: Sequence[Element]) -> list[Element]:
    """What is left without the comments."""
    return [child for child in children if child.tag not in (REMARK, WORDS)]


def written(root: Element, before: Sequence[Element] = (), after: Sequence[Element] = ()) -> str:
    """The script as text: two blanks a level, one tag a line, everything that XML wants escaped."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines += [_comment(each) for each in before]
    lines += _lines(root, 0)
    lines += [_comment(each) for each in after]
    return "\n".join(lines) + "\n"


def _lines(element: Element, depth: int) -> Iterator[str]:
    blanks = "  " * depth
    if element.tag in (REMARK, WORDS):
        yield blanks + _comment(element)
        return
    attributes = {"xmlns": CPL_NAMESPACE, **element.attributes} if depth == 0 else element.attributes
    head = f"{blanks}<{element.tag}" + "".join(f' {name}="{_value(text)}"' for name, text in attributes.items())
    if not element.children:
        yield f"{head}/>"
        return
    yield f"{head}>"
    for child in element.children:
        yield from _lines(child, depth + 1)
    yield f"{blanks}</{element.tag}>"


_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_ESCAPED: Final = re.compile(r'[&<>"\t\n\r]')


def _value(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)


def _comment(element: Element) -> str:
    text = element.attributes[""]
    if element.tag == WORDS:
        text = f" {text} "
    while "--" in text:
        text = text.replace("--", "- -")
    return f"<!--{text}{' ' if text.endswith('-') else ''}-->"
