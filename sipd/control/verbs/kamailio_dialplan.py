"""Rules of Kamailio's dialplan module, as rows of ours: a digit map with groups, and what becomes of the digits.

Ours has the digit maps of H.248 (§C.1 there: `x` any digit, `[2-9]` one of
these, `.` any number of what comes before it), with `{}` round what the
replacement names as `\\1`; the whole is `\\0`. Kamailio has regular
expressions, of which many are digit maps in other words; those that are not
are refused here, and named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_WAYS: Final = 32
"""Digit maps that one expression may come to: `\\d{7,10}` is four."""

LONGEST: Final = 40
"""Digits of a number at most."""

WIDTH: Final = 255
"""Letters of a pattern or a replacement."""

EQUAL, REGEX, WILDCARD = 0, 1, 2
"""match_op."""

DIGITS: Final = "0123456789*#+"
"""What a dialled number may be made of."""


class CanNot(Exception):
    """The rule can't be said as a digit map; the text says why."""


class Piece(NamedTuple):
    """One element of a digit map: what it matches, and whether any number of it (`.`)."""

    text: str  # a digit, `x`, `[2-9]`, `{` or `}`
    many: bool = False

    @property
    def bare(self) -> bool:
        """Whether it is a brace, which matches nothing."""
        return self.text in "{}"


Way = tuple[Piece, ...]


def rows_of(match_op: int, match_exp: str, match_len: int, subst_exp: str, repl_exp: str) -> list[tuple[str, str]]:
    """The rows, pattern and replacement, that say the same, in this order. Raises CanNot."""
    ways = _matched(match_op, match_exp)
    if not subst_exp:
        replacement = _replacement(repl_exp or "\\0", 0)
    else:
        substituted = _regex(subst_exp)
        if [_bare(way) for way in substituted] != [_bare(way) for way in ways]:
            ways = _narrowed(match_exp, ways, substituted)
        else:
            ways = substituted
        if "\\0" in repl_exp and not subst_exp.endswith("$"):
            raise CanNot("\\\\0 in repl_exp is less than the whole number, as subst_exp does not end with $")
        groups = max((sum(piece.text == "{" for piece in way) for way in ways), default=0)
        replacement = _replacement(repl_exp, groups)
    if match_len > 0:
        ways = [way for one in ways for way in _of_length(one, match_len)]
        if not ways:
            raise CanNot(f"no number of {match_len} digits matches {match_exp}")
    rows = [(pattern, replacement) for pattern in dict.fromkeys(map(_written, ways))]
    if any(len(pattern) > WIDTH for pattern, _ in rows):
        raise CanNot("the pattern is too long")
    return rows


def _matched(match_op: int, match_exp: str) -> list[Way]:
    if match_op == EQUAL:
        return [tuple(_literal(sign) for sign in match_exp)]
    if match_op == REGEX:
        return _regex(match_exp)
    if match_op == WILDCARD:
        return [_wildcard(match_exp)]
    raise CanNot(f"match_op {match_op} is none of 0, 1, 2")


def _narrowed(match_exp: str, ways: list[Way], substituted: list[Way]) -> list[Way]:
    """Where match_exp only says how numbers begin: those of the substitution, when they all begin so."""
    head = re.fullmatch(r"\^?([0-9*#]+)(?:\.\*\$?)?", match_exp, re.ASCII)
    if len(ways) == 1 and head is not None:
        begin = head[1]
        if all("".join(piece.text for piece in way if not piece.bare)[: len(begin)] == begin for way in substituted):
            return substituted
    raise CanNot("match_exp and subst_exp are different expressions")


def _bare(way: Way) -> Way:
    return tuple(piece for piece in way if not piece.bare)


def _literal(sign: str) -> Piece:
    if sign not in DIGITS:
        raise CanNot(f"{sign!r} is no digit")
    return Piece(sign)


def _wildcard(text: str) -> Way:
    """An expression of the shell: `?` is one sign, `*` any number of them."""
    pieces: list[Piece] = []
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "[":
            found = re.compile(r"\[([0-9-]+)\]", re.ASCII).match(text, at)
            if found is None:
                raise CanNot("a set of signs that are no digits")
            pieces.append(Piece(f"[{found[1]}]"))
            at = found.end()
            continue
        pieces.append(Piece("x", many=True) if sign == "*" else Piece("x") if sign == "?" else _literal(sign))
        at += 1
    return tuple(pieces)


# regular expressions


def _regex(text: str) -> list[Way]:
    reader = _Reader(text)
    ways = reader.alternatives()
    if reader.at != len(text):
        raise CanNot(f"{text[reader.at]!r} at {reader.at + 1} is out of place")
    return _anchored(text, ways)


def _anchored(text: str, ways: list[Way]) -> list[Way]:
    """An expression without `^` and `$` matches within a number: only at its end can that be said."""
    if not text.startswith("^"):
        raise CanNot("it does not begin with ^: it matches within a number")
    if not text.endswith("$") or text.endswith("\\$"):
        ways = [(*way, Piece("x", many=True)) for way in ways]
    return ways


class _Reader:
    """Reads a regular expression whose language is a few digit maps."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self._depth = 0

    def alternatives(self) -> list[Way]:
        """`a|b`: all of them."""
        found = self._sequence()
        while self._take("|"):
            if self._depth == 0:
                raise CanNot("`|` outside of a group")
            found = [*found, *self._sequence()]
        return found

    def _sequence(self) -> list[Way]:
        ways: list[Way] = [()]
        while self.at < len(self._text) and self._text[self.at] not in "|)":
            item = self._item()
            ways = [(*way, *more) for way in ways for more in item]
            if len(ways) > MOST_WAYS:
                raise CanNot(f"it comes to more than {MOST_WAYS} digit maps")
        return ways

    def _item(self) -> list[Way]:
        begin = self.at
        if self._take("^") and begin == 0:
            return [()]
        if self._take("$") and self.at == len(self._text):
            return [()]
        if self._take("("):
            captures = not self._take("?:")
            self._depth += 1
            if captures and self._depth > 1:
                raise CanNot("a group within a group")
            ways = self.alternatives()
            self._depth -= 1
            if not self._take(")"):
                raise CanNot("a group that is not closed")
            least, most = self._times()
            if captures and (least, most) != (1, 1):
                raise CanNot("a group that is repeated")
            if captures:
                return [(Piece("{"), *way, Piece("}")) for way in ways]
            return list(_repeated(ways, least, most))
        piece = self._piece()
        return list(_repeated([(piece,)], *self._times()))

    def _piece(self) -> Piece:
        rest = self._text[self.at :]
        if rest.startswith(("\\d", ".")):
            self.at += 2 if rest[0] == "\\" else 1
            return Piece("x")
        if rest.startswith("["):
            found = re.match(r"\[([0-9*#+-]+)\]", rest, re.ASCII)
            if found is None:
                raise CanNot(f"the set at {self.at + 1} is of more than digits")
            self.at += found.end()
            return Piece("x" if found[1] == "0-9" else f"[{found[1]}]")
        if rest.startswith("\\") and len(rest) > 1 and rest[1] in "*#+":
            self.at += 2
            return Piece(rest[1])
        if rest[0] in "*+?{}^$\\":
            raise CanNot(f"{rest[:2]!r} at {self.at + 1} can't be said with digits")
        self.at += 1
        return _literal(rest[0])

    def _times(self) -> tuple[int, int | None]:
        """How often: at least, at most (None: any number)."""
        for sign, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return times
        found = re.compile(r"\{([0-9]{1,2})(,)?([0-9]{0,2})\}", re.ASCII).match(self._text, self.at)
        if found is None:
            return (1, 1)
        self.at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if least > LONGEST or (most is not None and not least <= most <= LONGEST):
            raise CanNot(f"{found[0]} is no number of digits")
        return (least, most)

    def _take(self, text: str) -> bool:
        taken = self._text.startswith(text, self.at)
        self.at += len(text) * taken
        return taken


def _repeated(ways: list[Way], least: int, most: int | None) -> Iterator[Way]:
    """Each of them so often, the longest first."""
    if (least, most) == (1, 1):
        yield from ways
        return
    if len(ways) > 1:
        raise CanNot("alternatives that are repeated")
    [way] = ways
    if most is None:
        if len(way) != 1 or way[0].many:
            raise CanNot("more than one digit that is repeated without end")
        yield (*(way * least), way[0]._replace(many=True))
        return
    for times in range(most, least - 1, -1):
        yield way * times


def _of_length(way: Way, length: int) -> Iterator[Way]:
    """The way for numbers of that many digits only; nothing when there are none."""
    fixed = sum(not piece.bare and not piece.many for piece in way)
    open_ended = [place for place, piece in enumerate(way) if piece.many]
    if not open_ended:
        if fixed == length:
            yield way
        return
    if len(open_ended) > 1:
        raise CanNot("match_len with two parts of any length")
    [place] = open_ended
    if fixed <= length:
        yield (*way[:place], *[way[place]._replace(many=False)] * (length - fixed), *way[place + 1 :])


def _written(way: Way) -> str:
    return "".join(piece.text + "." * piece.many for piece in way)


def _replacement(text: str, groups: int) -> str:
    """The number that comes of it. Raises CanNot."""
    for found in re.finditer(r"\\(.?)", text):
        if not found[1].isdigit():
            raise CanNot(f"{found[0]!r} in repl_exp")
        if int(found[1]) > groups:
            raise CanNot(f"repl_exp names a group {found[0]} that is not there")
    bare = re.sub(r"\\[0-9]", "", text, flags=re.ASCII)
    if not text or any(sign not in DIGITS for sign in bare):
        raise CanNot("repl_exp is no number" if text else "repl_exp is empty")
    return text
