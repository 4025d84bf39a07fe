"""A CPL script as a picture: what is asked, what is done, and where each answer leads.

The picture is an SVG of its own: no fonts, links or programs, its own
background, and words for who can't see it. A simulated or a recorded call can
be lit in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.compile import compile
from sipd.cpl.document import decode
from sipd.cpl.findings import CplError, Report
from sipd.cpl.grammar import NODES
from sipd.cpl.layout import (
    LINE,
    PAD,
    SIZE,
    SMALL,
    SMALL_LINE,
    Box,
    Edge,
    label_frame,
    parting,
    place,
    width_of,
    wrapped,
)
from sipd.cpl.picture_words import OUTCOMES, Words, node_words, output_words
from sipd.cpl.reader import read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.cpl.document import Element, Text
    from sipd.trace import Entry

ELSEWHERE: Final = frozenset({"CPL-SOURCE", "CPL-FORBIDDEN", "CPL-TZID", "CPL-TZURL"})
"""What some servers refuse and others take: no reason not to draw a script."""

BOX_TEXT: Final = 190.0
EDGE_TEXT: Final = 150.0
MARGIN: Final = 16.0
BETWEEN: Final = 26.0
"""Pixels: the longest lines, around the picture, between two trees."""

LEGEND_WIDTH: Final = 640.0
MOST_MORE: Final = 5
MOST_TITLE: Final = 300
MOST_STEPS: Final = 100
"""Lines of a box, characters of what is said when a pointer rests on it, steps that the description names."""

FONTS: Final = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

FRAMES: Final = {
    "root": ("#343b46", "#343b46", 14, False),
    "switch": ("#e6f0fc", "#2f6fbf", 12, False),
    "modifier": ("#e8f6e8", "#37803b", 2, False),
    "signalling": ("#fff0dc", "#b4650f", 2, False),
    "other": ("#f1f1f1", "#6b6b6b", 2, False),
    "sub": ("#f2e8fb", "#7448b0", 14, False),
    "default": ("#ffffff", "#5b6470", 14, True),
}
"""Filling, line, roundness and dashes of each kind of box."""

_PLACE: Final = re.compile(r"(?:cpl )?(/\S+)(?: line \d+)?")
_UNSHOWABLE: Final = re.compile(r"[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]")


def draw(source: bytes, lit: Iterable[str] = ()) -> str:
    """The picture of a script as SVG text. Raises CplError as `compile` does.

    `lit` is the way of a call, as `way_of` has it from a trace: places in their
    order, such as `/cpl/incoming/proxy[1] line 7`, each followed by the output
    it took, such as `/cpl/incoming/proxy[1]/busy[1]`. Where an output is not
    named it is found from the node that comes next. What is lit is drawn thick
    and numbered, all else pale. Places that are not in the script are passed over.
    """
    return Picture(*_read(source), lit).svg()


def way_of(trace: Iterable[Entry]) -> list[str]:
    """The places and outputs of a trace, for `draw`."""
    return [place for entry in trace for place in (entry.place, entry.output) if place]


def _read(source: bytes) -> tuple[Element, Text]:
    try:
        compile(source)
    except CplError as error:
        if any(finding.code not in ELSEWHERE for finding in error.findings):
            raise
    text = decode(source)
    root = read(text, Report(text))
    if root is None:
        raise AssertionError("a script that compiles has a root")
    return root, text


class _State(NamedTuple):
    """What was done on the way to a place, for the words of the default behaviour (§10)."""

    action: str  # incoming, outgoing or subaction
    proxied: bool = False
    modified: bool = False

    def ends(self) -> str:
        """What the default behaviour is here."""
        if self.proxied:
            return "ends with the best answer"
        if self.action == "subaction":
            return "default behaviour"
        if self.modified:
            return "on to the locations"
        return "as without a script" if self.action == "incoming" else "on to the callee"


_ROOTS: Final = {"incoming": "incoming calls", "outgoing": "outgoing calls", "ancillary": "ancillary"}
LEGEND: Final = (
    ("switch", "asks about the call"),
    ("modifier", "changes where it shall go"),
    ("signalling", "rings, redirects, refuses"),
    ("other", "mail and log"),
    ("sub", "goes on in a subaction"),
    ("default", "default behaviour"),
)


class Picture:
    """One script, drawn: its trees with every box in its place."""

    def __init__(self, root: Element, text: Text, lit: Iterable[str] = ()) -> None:
        self._text = text
        tags = ("outgoing", "incoming", "subaction", "ancillary")
        parts = [part for tag in tags for part in root.children if part.tag == tag]
        self.trees = [self._tree(part) for part in parts]
        """The first box of each action and subaction."""
        self.lit = Way(self.trees, lit).light()
        self._right, self._bottom = 0.0, MARGIN
        for tree in self.trees:
            right, bottom = place(tree, MARGIN, self._bottom)
            self._right, self._bottom = max(self._right, right), bottom + BETWEEN

    def _tree(self, part: Element) -> Box:
        name = part.attributes.get("id", "").strip()
        box = self._box(part, "root", Words(f"subaction “{name}”" if part.tag == "subaction" else _ROOTS[part.tag]))
        if part.tag != "ancillary":
            box.edges.append(self._edge(part, [], _State(part.tag)))
        return box

    def _box(self, element: Element, kind: str, words: Words) -> Box:
        line = self._text.place(element.offset)[0]
        more = [line for text in words.more for line in wrapped(_plain(text), BOX_TEXT)]
        head = wrapped(_plain(words.head), BOX_TEXT, bold=True)
        box = Box(kind, f"{element.tag}, line {line}", head, more[:MOST_MORE], _written(element), element.path)
        box.goal = element.attributes.get("ref" if kind == "sub" else "id", "").strip()
        return box

    def _node(self, element: Element, state: _State) -> Box:
        shape = NODES[element.tag]
        box = self._box(element, shape.kind, node_words(element))
        if element.tag in ("location", "remove-location"):
            state = state._replace(modified=True)
        elif element.tag == "proxy":
            state = state._replace(proxied=True)
        if shape.followed:
            box.edges.append(self._edge(element, [], state))
        outputs = [child for child in element.children if child.tag in shape.outputs]
        for output in outputs:
            after = state._replace(modified=True) if output.tag == "success" else state
            box.edges.append(self._edge(output, wrapped(_plain(output_words(output)), EDGE_TEXT, SMALL), after))
        missing = _missing(element, {output.tag for output in outputs})
        if missing:
            words = wrapped(missing, EDGE_TEXT, SMALL)
            found = any(output.tag == "success" for output in outputs)
            after = state if found or element.tag != "lookup" else _State("subaction")  # what then holds depends
            box.edges.append(Edge(words, f"no output for: {missing}", f"{box.key}/-", _default(after), True))
        return box

    def _edge(self, holder: Element, words: list[str], state: _State) -> Edge:
        """From a holder of one node to that node, or to the default behaviour."""
        node = next((child for child in holder.children if child.tag in NODES), None)
        after = _default(state) if node is None else self._node(node, state)
        return Edge(words, _written(holder) if words else "", holder.path, after, node is None)

    def svg(self) -> str:
        """The whole picture."""
        legend, right, bottom = self._legend()
        width, height = round(max(self._right, right) + MARGIN), round(bottom + MARGIN)
        names = ", ".join(" ".join(tree.head) for tree in self.trees) or "nothing"
        boxes = [(tree, box) for tree in self.trees for box in tree.walk()]
        edges = [(box, edge) for _, box in boxes for edge in box.edges]
        edges.sort(key=lambda pair: (pair[1].lit, not pair[1].dashed))  # what is drawn later lies above
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" font-family="{FONTS}" font-size="{SIZE:g}" fill="#1c1f24">',
                f"<title>CPL script: {_escaped(names)}</title>",
                f"<desc>{_escaped(self._description(len(boxes)))}</desc>",
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
                *(self._line(box, edge) for box, edge in edges),
                *(self._label(box, edge) for box, edge in edges if edge.lines),
                *(self._drawn(box) for _, box in boxes),
                *legend,
                "</svg>\n",
            ]
        )

    def _description(self, count: int) -> str:
        steps = sorted((box for tree in self.trees for box in tree.walk() if box.order), key=lambda box: box.order)
        way = "; ".join(f"{box.order}. {' '.join([*box.head, *box.lines])}" for box in steps[:MOST_STEPS])
        return f"{count} boxes, read from left to right. " + (f"The way of one call: {way}." if way else "")

    def _pale(self, lit: bool) -> str:
        return ' opacity=".45"' if self.lit and not lit else ""

    def _line(self, box: Box, edge: Edge) -> str:
        after = edge.box
        dashes = ' stroke-dasharray="5 4"' if edge.dashed else ""
        turn = "" if after.y == box.y else f"H{parting(box):.1f}V{after.y:.1f}"
        if edge.lines:
            x, _, width, _ = label_frame(box, edge)
            turn += f"H{x:.1f}M{x + width:.1f} {after.y:.1f}"
        stroke = 'stroke="#111111" stroke-width="3.5"' if edge.lit else 'stroke="#5b6470" stroke-width="1.3"'
        return (
            f'<path d="M{box.right:.1f} {box.y:.1f}{turn}H{after.x - 1:.1f}" fill="none" {stroke}{dashes}'
            f'{self._pale(edge.lit)}/><path d="M{after.x - 8:.1f} {after.y - 4.5:.1f}l8 4.5l-8 4.5z"'
            f"{self._pale(edge.lit)}/>"
        )

    def _label(self, box: Box, edge: Edge) -> str:
        x, y, width, height = label_frame(box, edge)
        frame = 'stroke="#111111" stroke-width="2.5"' if edge.lit else 'stroke="#aab2bd"'
        return (
            f"<g{self._pale(edge.lit)}><title>{_escaped(edge.title)}</title>"
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" fill="#ffffff" {frame}/>'
            + _lines(edge.lines, x + width / 2, y + 2, SMALL, SMALL_LINE, ' text-anchor="middle"')
            + "</g>"
        )

    def _drawn(self, box: Box) -> str:
        x, y = box.x, box.y - box.height / 2
        text = y + PAD - 3
        parts = []
        ink = ' fill="#ffffff"' if box.kind == "root" else ""
        if box.shown_caption:
            parts.append(_lines([box.shown_caption], x + PAD, text, SMALL, SMALL_LINE, ink or ' fill="#4a525c"'))
            text += SMALL_LINE
        if box.head:
            parts.append(_lines(box.head, x + PAD, text, SIZE, LINE, f' font-weight="bold"{ink}'))
        parts.append(_lines(box.lines, x + PAD, text + LINE * len(box.head), SIZE, LINE, ink) if box.lines else "")
        return (
            f"<g{self._pale(box.lit)}><title>{_escaped(box.title)}</title>"
            + _frame(box.kind, x, y, box.width, box.height, box.lit)
            + "".join(parts)
            + "</g>"
        )

    def _legend(self) -> tuple[list[str], float, float]:
        """What the frames mean; the right and lower end of it."""
        used = {box.kind for tree in self.trees for box in tree.walk()}
        kinds = [(kind, text) for kind, text in LEGEND if kind in used]
        most = max(self._right, LEGEND_WIDTH)
        x, y, right, found = MARGIN, self._bottom, 0.0, []
        for kind, text in [*kinds, *([("way", "the way of one call, numbered")] if self.lit else [])]:
            width = width_of(text, SMALL) + 34
            if x > MARGIN and x + width > most:
                x, y = MARGIN, y + SMALL_LINE + 8
            swatch = f'<path d="M{x:.1f} {y + 7:.1f}h24" stroke="#111111" stroke-width="3.5"/>'
            found.append(swatch if kind == "way" else _frame(kind, x, y, 24, 14, False))
            found.append(_lines([text], x + 30, y, SMALL, SMALL_LINE))
            right = max(right, x + width)
            x += width + 14
        return found, right, y + SMALL_LINE


class Way:
    """The way of one call through the boxes of a script."""

    def __init__(self, trees: list[Box], lit: Iterable[str]) -> None:
        self._trees = trees
        self._path = [found[1] for found in map(_PLACE.fullmatch, lit) if found]
        self._boxes = {box.key: box for tree in trees for box in tree.walk() if box.key} if self._path else {}
        self._edges = {edge.key: edge for box in self._boxes.values() for edge in box.edges}
        self._roots = {tree.key: tree for tree in trees}

    def light(self) -> bool:
        """Light what the call met; whether there is anything."""
        last: Box | None = None
        decided = False
        count = 0
        for path in self._path:
            box = self._boxes.get(path)
            if box is None:
                self._take(self._edges.get(path) or self._edges.get(f"{path.rpartition('/')[0]}/-"))
            elif not box.lit and box.key not in self._roots:
                self._enter(last, box)
                count += 1
                box.order = count
                last, decided = box, not box.caption.startswith("proxy,")
            elif box is last:
                decided = True  # a proxy that comes again says what came of it
        if last is not None and decided and not any(edge.lit for edge in last.edges):
            self._take(next((edge for edge in last.edges if edge.key in (last.key, f"{last.key}/-")), None))
        return count > 0 or any(edge.lit for edge in self._edges.values())

    def _take(self, edge: Edge | None) -> None:
        """An output was taken: where it leads nowhere, or into a subaction, no node of its own will say so."""
        if edge is None:
            return
        edge.lit = True
        if edge.box.kind in ("default", "sub"):
            edge.box.lit = True

    def _enter(self, last: Box | None, box: Box) -> None:
        box.lit = True
        holder = box.key.rpartition("/")[0]
        edge = self._edges.get(holder)
        if edge is not None:
            edge.lit = True
        root = self._roots.get("/".join(box.key.split("/")[:3]))
        if root is not None and not root.lit:
            root.lit = True
            if holder == root.key and box.key.startswith("/cpl/subaction"):
                self._came_by(last, root)

    def _came_by(self, last: Box | None, root: Box) -> None:
        """Find the `sub` that led to a subaction, when there is only one it can be."""
        before = [last] if last else [tree for tree in self._trees if not tree.key.startswith("/cpl/subaction")]
        ways = [
            (box, edge) for box in before for edge in box.edges if edge.box.kind == "sub" and edge.box.goal == root.goal
        ]
        if len(ways) == 1 and not any(edge.lit for edge in ways[0][0].edges):
            ways[0][0].lit = True
            self._take(ways[0][1])


def _default(state: _State) -> Box:
    return Box("default", "", [], wrapped(state.ends(), BOX_TEXT), "the default behaviour of RFC 3880 §10", "")


def _missing(element: Element, given: set[str]) -> str:
    """The outcomes a node has no output for, in words; nothing where there are none, or nothing is to be said."""
    outputs = NODES[element.tag].outputs
    if NODES[element.tag].kind == "switch":
        return "" if "otherwise" in given else "otherwise"
    if not outputs or "default" in given or (element.tag == "proxy" and not given):
        return ""
    unheard = {"default", "redirection"} if element.attributes.get("recurse", "yes").strip() != "no" else {"default"}
    return ", ".join(OUTCOMES[tag] for tag in outputs if tag not in given | unheard)


def _plain(text: str) -> str:
    """On one line, without characters that can't be seen or would turn the others round."""
    return _UNSHOWABLE.sub("\ufffd", " ".join(text.split()))


def _escaped(text: str) -> str:
    return _plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # never in an attribute


def _written(element: Element) -> str:
    said = "".join(f' {name}="{value}"' for name, value in element.attributes.items())
    return f"<{element.tag}{said if len(said) <= MOST_TITLE else said[: MOST_TITLE - 1] + '…'}>"


def _lines(lines: list[str], x: float, y: float, size: float, step: float, more: str = "") -> str:
    """Lines of text below each other, the first one's top at `y`."""
    at = f' font-size="{size:g}"' if size != SIZE else ""
    return "".join(
        f'<text x="{x:.1f}" y="{y + step * (number + 1) - 4:.1f}"{at}{more}>{_escaped(line)}</text>'
        for number, line in enumerate(lines)
    )


def _frame(kind: str, x: float, y: float, width: float, height: float, lit: bool) -> str:
    fill, stroke, round_, dashes = FRAMES[kind]
    line = 'stroke="#111111" stroke-width="3"' if lit else f'stroke="{stroke}" stroke-width="1.4"'
    dashed = ' stroke-dasharray="5 4"' if dashes else ""
    where = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {where} rx="{min(round_, height / 2):g}" fill="{fill}" {line}{dashed}/>'
