"""Where things go in a picture of a script: a tidy tree from left to right, and text that fits its box.

Nothing here knows CPL or SVG. A box has edges to further boxes; the first
edge goes straight on, the others below it, each as high up as there is room.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIZE: Final = 13.0
SMALL: Final = 11.0
"""Heights of the two kinds of text, in pixels."""

LINE: Final = 16.0
SMALL_LINE: Final = 14.0
PAD: Final = 9.0
"""Between text and the edge of its box."""

GAP: Final = 14.0
"""Between boxes above each other, and from a box to where its edges part."""

MIN_WIDTH: Final = 96.0
MOST_LINES: Final = 3

# Widths in hundredths of the text's height, at least those of the usual sans-serif fonts, wide ones among them.
_ASCII: Final = {
    char: width / 100
    for width, chars in {
        30: "'Iijl", 35: " ,./:;\\|", 40: "()-[]ft", 45: "!r", 50: '"*J`', 55: "csz", 60: "?L_kvxy",
        65: "$0123456789FTabdeghnopqu{}", 70: "ABEKPSVXYZ", 75: "CNRU", 80: "&DGHOQ", 85: "#+<=>^w~", 90: "M",
        100: "%Wm", 105: "@",
    }.items()
    for char in chars
} | {"“": 0.55, "”": 0.55, "–": 0.6, "…": 1.0, "·": 0.4}  # fmt: skip
_WIDE: Final = 1.1
_WIDEST: Final = 1.75
_BOLD: Final = 1.27


def width_of(text: str, size: float = SIZE, bold: bool = False) -> float:
    """Pixels that a line takes at most, whichever sans-serif font shows it."""
    return sum(map(_char_width, text)) * size * (_BOLD if bold else 1.0)


def _char_width(char: str) -> float:
    known = _ASCII.get(char)
    if known is not None:
        return known
    kind = unicodedata.category(char)
    if kind in ("Mn", "Me"):
        return 0.0
    if kind[0] in "SZC" and unicodedata.east_asian_width(char) not in "WF":
        return _WIDEST
    if kind[0] == "L":
        return _ASCII.get(unicodedata.normalize("NFD", char)[0], _WIDE)  # an accent takes no room
    return _WIDEST if kind == "So" else _WIDE


_BREAKS: Final = (" @", "/:;,.-_=?&")
"""A line may end behind one of these, best behind one of the first."""


def wrapped(text: str, most: float, size: float = SIZE, bold: bool = False, lines: int = MOST_LINES) -> list[str]:
    """The text in lines of at most `most` pixels; what is too long ends with `…`. At least one line."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        end = _fits(rest, most, size, bold)
        if end == len(rest):
            found.append(rest)
            break
        if len(found) + 1 == lines:
            found.append(rest[: max(_fits(rest, most - width_of("…", size, bold), size, bold), 1)].rstrip() + "…")
            break
        cut = end if rest[end] == " " else _cut(rest, end)
        found.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return found or [""]


def _cut(text: str, end: int) -> int:
    """Where to end a line of at most `end` characters."""
    for breaks in _BREAKS:
        for at in range(end, end // 3, -1):
            if text[at - 1] in breaks:
                return at
    return end


def _fits(text: str, most: float, size: float, bold: bool) -> int:
    """How many characters of the text fit, at least one."""
    used = 0.0
    for at, char in enumerate(text):
        used += width_of(char, size, bold)
        if used > most:
            return max(at, 1)
    return len(text)


@dataclass(slots=True, eq=False)
class Edge:
    """A way from one box to the next, with words on it when it has any."""

    lines: list[str]
    title: str
    key: str  # path of what it comes out of
    box: Box
    dashed: bool = False
    lit: bool = False

    @property
    def label_width(self) -> float:
        """Of the frame around the words; 0 without words."""
        return max(width_of(line, SMALL) for line in self.lines) + 12 if self.lines else 0.0

    @property
    def label_height(self) -> float:
        """Of the frame around the words; 0 without words."""
        return len(self.lines) * SMALL_LINE + 4 if self.lines else 0.0


@dataclass(slots=True, eq=False)
class Box:
    """A node: a small caption, bold lines, plain lines, and where it stands once it is placed."""

    kind: str
    caption: str
    head: list[str]
    lines: list[str]
    title: str
    key: str  # path of the node; empty: it is none
    edges: list[Edge] = field(default_factory=list)
    goal: str = ""  # name of the subaction it leads to, or is
    lit: bool = False
    order: int = 0  # the how manieth it is on the lit way; 0: it has no number
    x: float = 0.0
    y: float = 0.0  # of its middle
    width: float = 0.0
    height: float = 0.0

    def measure(self) -> None:
        """Make it as large as its words need."""
        widths = [width_of(self.shown_caption, SMALL), *(width_of(line, bold=True) for line in self.head)]
        self.width = max(MIN_WIDTH, 2 * PAD + max([*widths, *map(width_of, self.lines)]))
        caption = SMALL_LINE if self.shown_caption else 0.0
        self.height = caption + (len(self.head) + len(self.lines)) * LINE + 2 * PAD - 4

    @property
    def shown_caption(self) -> str:
        """The caption, with its number on the lit way."""
        return f"{self.order}. {self.caption}" if self.order and self.caption else self.caption

    @property
    def right(self) -> float:
        """Its right side."""
        return self.x + self.width

    def walk(self) -> Iterator[Box]:
        """This box and all that follow it, from the top down."""
        waiting = [self]
        while waiting:
            box = waiting.pop()
            yield box
            waiting.extend(edge.box for edge in reversed(box.edges))


_GRAIN: Final = 8


class Skyline:
    """How far down each strip of the picture is taken."""

    def __init__(self, top: float) -> None:
        self._top = top
        self._taken: list[float] = []

    def lowest(self, left: float, right: float) -> float:
        """The first free line between two sides."""
        return max(self._taken[int(left) // _GRAIN : int(right) // _GRAIN + 1], default=self._top)

    def take(self, left: float, right: float, until: float) -> None:
        """All above `until` between the sides is taken now."""
        begin, end = int(left) // _GRAIN, int(right) // _GRAIN + 1
        if len(self._taken) < end:
            self._taken += [self._top] * (end - len(self._taken))
        self._taken[begin:end] = [max(taken, until) for taken in self._taken[begin:end]]

    @property
    def bottom(self) -> float:
        """The first line below everything."""
        return max(self._taken, default=self._top)


def parting(box: Box) -> float:
    """Where the edges of a box part, or turn down."""
    return box.right + GAP


def label_frame(parent: Box, edge: Edge) -> tuple[float, float, float, float]:
    """Left side, top, width and height of the words on an edge."""
    return parting(parent) + GAP / 2, edge.box.y - edge.label_height / 2, edge.label_width, edge.label_height


def place(root: Box, left: float, top: float) -> tuple[float, float]:
    """Give every box of a tree its place; the right and lower end of what it takes."""
    root.x = left
    for box in root.walk():
        box.measure()
        words = max((edge.label_width for edge in box.edges), default=0.0)
        at = parting(box) + (words + 2 * GAP if words else GAP)
        for edge in box.edges:
            edge.box.x = at
    skyline = Skyline(top - GAP)
    waiting: list[tuple[Box | None, Edge]] = [(None, Edge([], "", "", root))]
    while waiting:
        parent, first = waiting.pop()
        row = list(_row(parent, first))
        middle = max(skyline.lowest(_left(above, edge), edge.box.right) + GAP + _half(edge) for above, edge in row)
        for above, edge in row:
            edge.box.y = middle
            skyline.take(_left(above, edge), edge.box.right, middle + _half(edge))
        waiting.extend((edge.box, other) for _, edge in row for other in reversed(edge.box.edges[1:]))
    return max(box.right for box in root.walk()), skyline.bottom


def _row(parent: Box | None, edge: Edge) -> Iterable[tuple[Box | None, Edge]]:
    """An edge, then the first edge of its box, and so on: all that stands in one line."""
    while True:
        yield parent, edge
        if not edge.box.edges:
            return
        parent, edge = edge.box, edge.box.edges[0]


def _left(parent: Box | None, edge: Edge) -> float:
    """Where the part of the picture begins that an edge and its box take: before the edges of the parent part."""
    return edge.box.x if parent is None else parting(parent) - 4


def _half(edge: Edge) -> float:
    return max(edge.box.height, edge.label_height) / 2
