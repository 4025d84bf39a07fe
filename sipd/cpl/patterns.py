"""Regular expressions for aliases, as far as an address-switch can say the same.

Other servers compare whole aliases, `user@host`, with a regular expression.
Most of those in use say something about the user or the host alone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MOST_ALTERNATIVES: Final = 64
"""Ways a pattern may branch into."""

MOST_CHARACTERS: Final = 1000

ANY: Final = "\0"
DIGITS: Final = "\1"
"""Stand for `.*` and `\\d*` in a pattern that is taken apart; can't be in a script."""


class Test(NamedTuple):
    """One comparison of a part of an alias: `subfield` is user, host or tel."""

    subfield: str
    operator: str
    value: str


class Wanted(NamedTuple):
    """Tests that must all hold; none: every alias does. `remarks` say in what they differ from the pattern."""

    tests: tuple[Test, ...]
    remarks: tuple[str, ...] = ()


PREFIX: Final = "numbers are compared as telephone numbers: with user=phone, or where the server sets phone_users"
DOT: Final = "a dot that stood for any character is taken for a dot"
BELOW: Final = "the domain itself is taken with those below it"

_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_PREFIX: Final = re.compile(rf"(\+?[0-9]+)[{ANY}{DIGITS}]+")


def wanted(pattern: str, subfield: str = "") -> list[Wanted] | None:
    """What a pattern asks of a whole alias (or of its user or host): one of these must hold. None: can't be said."""
    text = pattern.removeprefix("(?i)").removeprefix("^")
    if text.endswith("$") and not text.endswith("\\$"):
        text = text[:-1]
    if len(text) > MOST_CHARACTERS:
        return None
    parser = _Parser(text)
    try:
        ways = parser.alternatives(0)
    except _TooMuch:
        return None
    remarks = (DOT,) if parser.loose_dot else ()
    return _joined(ways, subfield, remarks)


def exactly(value: str) -> list[Wanted] | None:
    """What it means that a whole alias is `value`."""
    return _joined([value], "", ())


def _joined(ways: list[str], subfield: str, remarks: tuple[str, ...]) -> list[Wanted] | None:
    mark = ANY + "." if subfield == "host" else f"@{ANY}."
    without = {way: way.replace(mark, mark.removesuffix(f"{ANY}."), 1) for way in ways if mark in way}
    both = set(without.values()) & set(ways)  # a domain and those below it: subdomain-of says it in one
    found: list[Wanted] = []
    for way in dict.fromkeys(way for way in ways if way not in both):
        one = _part(way, subfield) if subfield else _whole(way)
        if one is None:
            return None
        own = [remark for remark in one.remarks if remark != BELOW or without.get(way) not in both]
        found.append(Wanted(one.tests, (*remarks, *own)))
    return found


def _whole(way: str) -> Wanted | None:
    if not way.strip(ANY):
        return Wanted(()) if way else None
    user, at, host = way.rpartition("@")
    if not at:
        return _part(way, "user")
    first, second = _part(user, "user"), _part(host, "host")
    if first is None or second is None:
        return None
    return Wanted((*second.tests, *first.tests), (*first.remarks, *second.remarks))


def _part(text: str, subfield: str) -> Wanted | None:
    """What is asked of one part of an alias."""
    if not text.strip(ANY):
        return Wanted(()) if text else None
    number = _PREFIX.fullmatch(text)
    if subfield == "user" and number is not None:
        return Wanted((Test("tel", "subdomain-of", number[1]),), (PREFIX,))
    below = text.removeprefix(f"{ANY}.")
    if subfield == "host" and _HOST.fullmatch(below):
        operator = "is" if below == text else "subdomain-of"
        return Wanted((Test("host", operator, below),), () if below == text else (BELOW,))
    if subfield == "user" and not {ANY, DIGITS, "@"} & set(text):
        return Wanted((Test("user", "is", text),))
    return None


class _TooMuch(Exception):
    """More than is understood, or more ways than are followed."""


class _Parser:
    """Takes a pattern apart into the texts it matches, with ANY in them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.loose_dot = False

    def alternatives(self, depth: int) -> list[str]:
        """All ways up to the end of the pattern, or of a group."""
        if depth > 8:
            raise _TooMuch
        found: list[str] = []
        ways = [""]
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == ")" and depth:
                return found + ways
            if char == "|":
                found += ways
                ways = [""]
                continue
            more = self._repeated(self._piece(char, depth))
            if len(ways) * len(more) + len(found) > MOST_ALTERNATIVES:
                raise _TooMuch
            ways = [way + part for way in ways for part in more]
        if depth:
            raise _TooMuch  # a group without its end
        return found + ways

    def _piece(self, char: str, depth: int) -> list[str]:
        rest = self._text[self._at :]
        if char == "(":
            if rest.startswith("?:"):
                self._at += 2
            elif rest.startswith("?"):
                raise _TooMuch
            return self.alternatives(depth + 1)
        if char == "." or (char == "[" and rest.startswith("^@]")):
            if char == "[":
                self._at += 3
            if self._next() in ("*", "+"):
                self._at += 1
                return [ANY]
            self.loose_dot = True
            if char == "." and rest and rest[0] not in "?{":
                return ["."]
            raise _TooMuch
        if char == "\\":
            escaped = rest[:1]
            self._at += 1
            if escaped == "d" and self._next() in ("*", "+"):
                self._at += 1
                return [DIGITS]
            if escaped and not escaped.isalnum():
                return [escaped]
            raise _TooMuch
        if char in "[]{}*+?^$)":
            raise _TooMuch
        return [char]

    def _repeated(self, ways: list[str]) -> list[str]:
        if self._next() == "?":
            self._at += 1
            return ["", *ways]
        if self._next() in ("*", "+", "{"):
            raise _TooMuch
        return ways

    def _next(self) -> str | None:
        return self._text[self._at] if self._at < len(self._text) else None
