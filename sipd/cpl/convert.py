"""Scripts of another time or another server, written as scripts of RFC 3880.

Two kinds are known: those of the drafts before the RFC, as Kamailio and
OpenSIPS take them (no namespace, a DOCTYPE, some other names), and those of
Cisco Expressway and VCS (`taa:`). What can't be said in the RFC's language is
named, with its place, and something that is safe stands for it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sipd.cpl.compile import compile
from sipd.cpl.document import BadEncoding, Element, Text, decode
from sipd.cpl.expressway import Expressway, TooLarge
from sipd.cpl.findings import CODES, CplError, Finding, Report, shown
from sipd.cpl.grammar import NODES, OLD_NAMES, TOP
from sipd.cpl.loose import REMARK, WORDS, LooseReader, made, remark, written
from sipd.cpl.picture import ELSEWHERE
from sipd.cpl.reader import Stop, read
from sipd.cpl.terms import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["changed", "check", "lost"]


class Note(NamedTuple):
    """Something about a conversion that the owner should know. Line and column are those of the source, from 1.

    `changed`: it is said in another way and means the same. `check`: it means
    the same where what is said here holds. `lost`: it could not be said.
    """

    line: int
    column: int
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.kind}: {self.text}"


class Converted(NamedTuple):
    """A script of RFC 3880, and what is to be known about how it came to be."""

    text: bytes
    notes: tuple[Note, ...]


LOST_ATTRIBUTES: Final = {
    ("lookup", "use"): "all phones found are taken",
    ("lookup", "ignore"): "all phones found are taken",
    ("remove-location", "param"): "locations are taken out by their URI alone",
    ("remove-location", "value"): "locations are taken out by their URI alone",
}
"""What drafts had and the RFC has not, and what holds now."""


def convert(
    source: bytes,
    *,
    routed: Literal["incoming", "outgoing"] = "incoming",
    proven: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Converted:
    """The script in the form of RFC 3880: indented, its comments kept, always one that compiles.

    A script of the RFC comes back as it is but for its blanks, and so does
    what was converted before. `routed` is the action that an Expressway's
    `taa:routed` becomes. `proven` says that nobody can call here without
    having proven who he is; then an Expressway's `origin` is the caller's
    address (outgoing calls are always proven). Raises CplError for a script
    with errors, as `compile` does, with the places of the source.
    """
    return Conversion(source, routed, proven, max_bytes).converted()


class Conversion:
    """One script being converted."""

    def __init__(self, source: bytes, routed: str, proven: bool, max_bytes: int) -> None:
        self._routed = routed
        self._proven = proven
        self._max_bytes = max_bytes
        self._notes: list[Note] = []
        if len(source) > max_bytes:
            raise CplError([_finding("CPL-SIZE", f"the script is larger than {max_bytes} bytes")])
        try:
            self._text = decode(source)
        except BadEncoding as error:
            place = Text(source).place(error.offset)
            raise CplError([_finding("CPL-ENCODING", error.text, error.hint, place)]) from None
        self._reader, self._root = self._read()

    def _read(self) -> tuple[LooseReader, Element]:
        readers: list[LooseReader] = []

        def reader(text: Text, report: Report) -> LooseReader:
            readers.append(LooseReader(text, report))
            return readers[-1]

        report = Report(self._text)
        root = None
        with suppress(Stop):
            root = read(self._text, report, reader)
        refused = report.refused()
        if refused is not None or root is None:
            raise refused or CplError([_finding("CPL-XML", "the script is empty")])
        self._notes += [
            Note(found.line, found.column, "changed", "the DOCTYPE is left out: the namespace says it all")
            for found in report.warnings()
            if found.code == "CPL-DOCTYPE"
        ]
        return readers[-1], root

    def converted(self) -> Converted:
        """The whole script."""
        root = self._script()
        text = written(root, self._reader.before, self._reader.after)
        self._check(root, text.encode())
        if len(text.encode()) > self._max_bytes:
            self._tell(root, "check", f"it has {len(text.encode())} bytes now: a server may be set to take fewer")
        return Converted(text.encode(), tuple(sorted(dict.fromkeys(self._notes))))

    def _tell(self, at: Element, kind: Kind, text: str) -> None:
        self._notes.append(Note(*self._text.place(at.offset), kind, text))

    def _script(self) -> Element:
        self._check_namespaces()
        names = {part.attributes.get("id", "").strip() for part in self._root.children}
        parts: list[Element] = []
        for part in self._root.children:
            if part.tag in (REMARK, WORDS):
                parts.append(self._words(part))
            elif any(each.tag.startswith("taa:") for each in part.walk()):
                parts += self._expressway(part, names)
            else:
                tag = self._name(part, tuple(TOP), self._root)
                parts.append(made(tag, part.attributes, self._nodes(part), part.offset))
        return made("cpl", self._root.attributes, parts, self._root.offset)

    def _check_namespaces(self) -> None:
        """Raise CplError for tags and attributes of namespaces that are not known at all."""
        findings = []
        for element in self._root.walk():
            strange = [name for name in (element.tag, *element.attributes) if name.startswith("other:")]
            if strange:
                text = f"{shown(strange[0].removeprefix('other:'))} is of a namespace that is not known here"
                findings.append(_finding("CPL-NAMESPACE", text, "", self._text.place(element.offset)))
            for name in [name for name in element.attributes if name.startswith("taa:")]:
                self._tell(element, "lost", f"{name}={shown(element.attributes.pop(name))} is left out")
        if findings:
            raise CplError(findings)

    def _expressway(self, part: Element, names: set[str]) -> list[Element]:
        routed = part.tag == "taa:routed"
        action = self._routed if routed else part.tag
        if routed:
            text = f"taa:routed decides over all calls of a server; this is about {action} calls of one user"
            self._tell(part, "check", text)
        what = Expressway(self._tell, action, self._proven, names)
        try:
            inside = what.routed(part, touched=not routed)
        except TooLarge as found:
            text, place = "this would become more rules than a script may have", self._text.place(found.args[0])
            raise CplError([_finding("CPL-NODES", text, "", place)]) from None
        return [*what.subactions, made(action, {}, [self._words(each) for each in inside], part.offset)]

    def _words(self, part: Element) -> Element:
        if part.tag == WORDS:
            self._tell(part, "changed", f"the words {shown(part.attributes[''], 30)} are a comment now")
            return remark(part.attributes[""], part.offset)
        return part

    def _nodes(self, holder: Element) -> list[Element]:
        """What stands inside a holder of one node."""
        found: list[Element] = []
        for child in holder.children:
            found += [self._words(child)] if child.tag in (REMARK, WORDS) else self._node(child, holder)
        return found

    def _node(self, element: Element, holder: Element) -> list[Element]:
        tag = self._name(element, tuple(NODES), holder)
        lost = [name for name in element.attributes if (tag, name) in LOST_ATTRIBUTES]
        for name in lost:
            value = shown(element.attributes[name])
            self._tell(element, "lost", f"{name}={value} is left out: {LOST_ATTRIBUTES[tag, name]}")
        if tag == "remove-location" and lost:  # without them it would take out others, or all
            what = f"remove-location with {' and '.join(lost)}"
            return [remark(f"not carried over: {what}", element.offset), *self._nodes(element)]
        attributes = {name: value for name, value in element.attributes.items() if name not in lost}
        shape = NODES.get(tag)
        if shape is None or not shape.outputs:
            return [made(tag, attributes, self._nodes(element), element.offset)]
        outputs = [
            self._words(child)
            if child.tag in (REMARK, WORDS)
            else made(self._name(child, shape.outputs, element), child.attributes, self._nodes(child), child.offset)
            for child in element.children
        ]
        return [made(tag, attributes, outputs, element.offset)]

    def _name(self, element: Element, expected: Sequence[str], holder: Element) -> str:
        """A tag as the RFC has it."""
        old = OLD_NAMES.get(element.tag, "")
        if element.tag in expected or old not in expected:
            return element.tag
        self._tell(element, "changed", f"<{element.tag}> in <{holder.tag}> is <{old}>")
        return old

    def _check(self, root: Element, text: bytes) -> None:
        """Raise CplError when what was written does not compile, with the places of the source."""
        try:
            compile(text, max_bytes=max(len(text), self._max_bytes))
        except CplError as error:
            findings = [finding for finding in error.findings if finding.code not in ELSEWHERE]
            if findings:
                offsets = _offsets(root)
                raise CplError([self._at_home(finding, offsets) for finding in findings]) from None

    def _at_home(self, finding: Finding, offsets: dict[str, int]) -> Finding:
        line, column = self._text.place(offsets.get(finding.path, self._root.offset))
        text = f"in the form of the RFC {finding.text}" if finding.code in ("CPL-NODES", "CPL-DEPTH") else finding.text
        return finding._replace(line=line, column=column, text=text)


def _finding(code: str, text: str, hint: str = "", place: tuple[int, int] = (1, 1)) -> Finding:
    return Finding(*place, "", code, text, CODES[code], hint)


def _offsets(root: Element) -> dict[str, int]:
    """Where in the source the tags of a written script come from, by their paths."""
    for element in root.walk():
        counts: Counter[str] = Counter()
        for child in element.children:
            counts[child.tag] += 1
            child.parent, child.index, child.written = element, counts[child.tag], child.tag
    return {element.path: element.offset for element in root.walk()}
