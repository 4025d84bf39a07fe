"""POSIX extended regular expressions, for the rules of ENUM: in time that grows with text times expression (pure).

The expressions come from strangers through DNS, so Python's own `re` is out:
what backtracks can be made to run for years (T110). All ways through the
expression are followed at once, each place of it at most once per character.
What matches earliest and longest wins; of the ways to match that, the one
that repeats most.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

MAX_PROGRAM: Final = 500
"""Steps of an expression with its counted repetitions written out: some milliseconds for a number."""

MAX_REPEAT: Final = 255
"""The most of a counted repetition (POSIX RE_DUP_MAX)."""

MAX_DEEP: Final = 50

_CLASSES: Final = {
    "digit": "0123456789",
    "alpha": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "alnum": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "xdigit": "0123456789ABCDEFabcdef",
    "punct": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "space": " \t\n\r\f\v",
    "blank": " \t",
}


class BadExpression(ValueError):
    """No ERE, or one that is too large."""


class Step(NamedTuple):
    """One step of a compiled expression. `to` are places in it, the preferred first."""

    does: Literal["take", "split", "save", "begin", "end", "match"]
    to: tuple[int, ...] = ()
    characters: frozenset[str] = frozenset()
    is_negated: bool = False
    slot: int = 0


Node = tuple["Step", ...]
"""A piece of program whose places count from its own begin; whoever embeds it moves them."""


def compile_ere(text: str) -> Node:
    """The program of an expression. Raises BadExpression."""
    reader = _Reader(text)
    body = reader.alternatives(0)
    if reader.at < len(text):
        raise BadExpression("a ) too many")
    return (*_group(body, 0), Step("match"))


def match(program: Node, text: str) -> tuple[str, ...] | None:
    """The first and longest match as its groups, 0 the whole; None when nothing matches."""
    best: tuple[int, ...] | None = None
    ways: dict[int, tuple[int, ...]] = {}  # place -> where the groups begin and end on the best way there
    seen: set[int] = set()  # places entered at this character, those that take none too
    slots = 2 * (1 + max(step.slot for step in program) // 2)
    for at in range(len(text) + 1):
        following: dict[int, tuple[int, ...]] = {}
        seen_next: set[int] = set()
        if best is None:  # what begins earlier is preferred
            _enter(program, ways, seen, 0, (-1,) * slots, at, len(text))
        for place, marks in ways.items():
            step = program[place]
            if step.does == "match":
                if best is None or (-marks[0], marks[1]) > (-best[0], best[1]):
                    best = marks
            elif at < len(text) and (text[at] in step.characters) is not step.is_negated:
                _enter(program, following, seen_next, place + 1, marks, at + 1, len(text))
        ways, seen = following, seen_next
        if best is not None:  # a later beginning can't win any more
            ways = {place: marks for place, marks in ways.items() if marks[0] <= best[0]}
    if best is None:
        return None
    return tuple(text[best[at] : best[at + 1]] if best[at + 1] >= 0 else "" for at in range(0, slots, 2))


def _enter(
    program: Node,
    ways: dict[int, tuple[int, ...]],
    seen: set[int],
    start: int,
    marks: tuple[int, ...],
    at: int,
    end: int,
) -> None:
    """Add a place, and all that can be reached from it without taking a character."""
    waiting = [(start, marks)]
    while waiting:
        place, marks = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        step = program[place]
        if step.does == "split":
            waiting += [(place + to, marks) for to in reversed(step.to)]
        elif step.does == "save":
            waiting.append((place + 1, (*marks[: step.slot], at, *marks[step.slot + 1 :])))
        elif (step.does == "begin" and at == 0) or (step.does == "end" and at == end):
            waiting.append((place + 1, marks))
        elif step.does in ("take", "match"):
            ways[place] = marks


def _group(body: Node, number: int) -> Node:
    return (Step("save", slot=2 * number), *body, Step("save", slot=2 * number + 1))


def _bounded(program: Node) -> Node:
    if len(program) > MAX_PROGRAM:
        raise BadExpression("too large")
    return program


def _either(one: Node, other: Node) -> Node:
    return _bounded((Step("split", (1, len(one) + 2)), *one, Step("split", (len(other) + 1,)), *other))


def _optional(body: Node) -> Node:
    return (Step("split", (1, len(body) + 1)), *body)


def _any_number(body: Node) -> Node:
    return _bounded((Step("split", (1, len(body) + 2)), *body, Step("split", (-len(body) - 1,))))


def _repeated(body: Node, least: int, most: int | None) -> Node:
    if most is not None and most < least:
        raise BadExpression("a repetition from more to less")
    if len(body) * max(least, most or 0) > MAX_PROGRAM:
        raise BadExpression("too large")
    tail: Node = _any_number(body) if most is None else ()
    for _ in range((most or 0) - least if most is not None else 0):
        tail = _bounded(_optional((*body, *tail)))
    return _bounded((*(body * least), *tail))


class _Reader:
    """Reads an expression, one construct a method, into programs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._groups = 0

    def alternatives(self, deep: int) -> Node:
        """Branches between bars; up to a closing parenthesis or the end."""
        if deep > MAX_DEEP:
            raise BadExpression("too deep")
        made = self._branch(deep)
        if self._peek() == "|":
            self.at += 1
            return _either(made, self.alternatives(deep + 1))
        return made

    def _branch(self, deep: int) -> Node:
        made: Node = ()
        while self.at < len(self.text) and self._peek() not in "|)":
            made = _bounded((*made, *self._piece(deep)))
        return made

    def _piece(self, deep: int) -> Node:
        made = self._atom(deep)
        while self._peek() in ("*", "+", "?", "{"):
            sign = self._next()
            if sign == "{":
                made = _repeated(made, *self._counts())
            else:
                made = {"*": _any_number, "+": lambda body: (*body, *_any_number(body)), "?": _optional}[sign](made)
        return _bounded(made)

    def _atom(self, deep: int) -> Node:
        sign = self._next()
        if sign == "(":
            self._groups += 1
            number = self._groups
            body = self.alternatives(deep + 1)
            if self._next() != ")":
                raise BadExpression("a ) is missing")
            return _group(body, number)
        if sign in "*+?{":
            raise BadExpression("nothing to repeat")
        if sign == "\\":
            sign = self._next()
            # `\d` is no ERE, and found in zones all the same.
            return (Step("take", characters=frozenset(_CLASSES["digit"] if sign == "d" else sign)),)
        if sign == "[":
            return (self._bracket(),)
        if sign == ".":
            return (Step("take", is_negated=True),)
        if sign in "^$":
            return (Step("begin" if sign == "^" else "end"),)
        return (Step("take", characters=frozenset(sign)),)

    def _counts(self) -> tuple[int, int | None]:
        """`m}`, `m,}` or `m,n}`."""
        least, comma, most = self._until("}").partition(",")
        for number in (least, most):
            if number and not (number.isascii() and number.isdigit() and int(number[:4]) <= MAX_REPEAT):
                raise BadExpression("a bad repetition")
        if not least:
            raise BadExpression("a bad repetition")
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None

    def _bracket(self) -> Step:
        is_negated = self._peek() == "^"
        self.at += is_negated
        characters: set[str] = set()
        first = True
        while first or self._peek() != "]":
            first = False
            sign = self._next()
            if sign == "[" and self._peek() == ":":
                self.at += 1
                name = self._until(":]")
                if name not in _CLASSES:
                    raise BadExpression("an unknown class")
                characters |= set(_CLASSES[name])
            elif self._peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self._next()
                if ord(last) < ord(sign) or ord(last) > 255:
                    raise BadExpression("a range from more to less")
                characters |= {chr(code) for code in range(ord(sign), ord(last) + 1)}
            else:
                characters.add(sign)
        self.at += 1
        return Step("take", characters=frozenset(characters), is_negated=is_negated)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _next(self) -> str:
        sign = self._peek()
        if not sign:
            raise BadExpression("it ends too early")
        self.at += 1
        return sign

    def _until(self, end: str) -> str:
        found = self.text.find(end, self.at)
        if found < 0:
            raise BadExpression(f"a {end} is missing")
        text = self.text[self.at : found]
        self.at = found + len(end)
        return text
