"""What a phone can do, as feature parameters say it, and whether that meets a wish (RFC 3840, RFC 3841 §7.2.3-8).

A Predicate has a Term for each feature tag; a Term is the set of the values
that are right for it. Two predicates match when they leave some value to every
tag that both speak of (RFC 2533 §5 as far as such predicates need it,
RFC 3840 appendix A). No tag's meaning is known here, and none need be.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.errors import BadSyntax
from sipd.message import Params, parse_params, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE_TAGS: Final = frozenset(
    """
audio automata class duplex data control mobility description events priority methods schemes application video
language type isfocus actor text extensions
""".split()  # noqa: SIM905 - to be read
)
"""Feature tags written without a plus (RFC 3840 §9)."""

MOST_RANGES: Final = 16
"""Numbers that one feature parameter may list: they are compared each with each."""

_LONGEST_KEPT: Final = 1024  # as a binding has; what a 3xx says may be longer, and is not to fill the cache

_NOT_IN_SIP_TREE: Final = frozenset({"language", "type"})
_NUMBER: Final = r"([+-]?[0-9]+(?:\.[0-9]*)?)"
_NUMERIC: Final = re.compile(rf"(>=|<=|=){_NUMBER}|{_NUMBER}:{_NUMBER}", re.ASCII)

Range = tuple[float, float]


class Term(NamedTuple):
    """The values right for one feature tag: any of these, or anything but one of those.

    Tokens are in lower case; a string, whose case counts, keeps its angle brackets.
    """

    values: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()  # each by itself: "!a,!b" is everything
    ranges: tuple[Range, ...] = ()
    outside: tuple[Range, ...] = ()


Predicate = dict[str, Term]


def predicate(params: Iterable[tuple[str, str | None]]) -> Predicate:
    """The feature parameters among these, by decoded tag (RFC 3841 §7.2.3, §8). Raises BadSyntax."""
    made: Predicate = {}
    plus: Predicate = {}
    for name, value in params:
        if name in BASE_TAGS:
            made.setdefault(name if name in _NOT_IN_SIP_TREE else f"sip.{name}", _term(value))
        elif name[:1] == "+":
            plus.setdefault(name[1:].replace("!", ":").replace("'", "/"), _term(value))
    return {**plus, **made}  # the plus form of a base tag is not to be (§7.2.3 step 3)


def features_of(params: str, instance: str = "") -> Mapping[str, Term]:
    """The predicate of a binding: of its further Contact parameters and its instance; empty: it says nothing.

    A parameter that can't be read says nothing either: the phone that wrote it isn't there to be told.
    """
    return _remembered(params, instance) if len(params) <= _LONGEST_KEPT else _features(params, instance)


def _features(params: str, instance: str) -> Mapping[str, Term]:
    made: Predicate = {}
    try:
        said: Params = parse_params(params) if params else ()
    except BadSyntax:
        said = ()
    for pair in said:
        try:
            one = predicate((pair,))
        except BadSyntax:
            continue
        for tag, term in one.items():
            made.setdefault(tag, term)
    if instance:
        made.setdefault("sip.instance", Term(frozenset({instance})))
    return made


_remembered: Final = lru_cache(4096)(_features)


def match(one: Mapping[str, Term], other: Mapping[str, Term]) -> bool:
    """Whether some phone could be both: a tag that only one speaks of is no obstacle (RFC 3841 §7.2.4)."""
    return all(overlap(term, other[tag]) for tag, term in one.items() if tag in other)


def overlap(one: Term, other: Term) -> bool:
    """Whether some value is right for both. A number, a token and a string are never the same value."""
    if not one.values.isdisjoint(other.values):
        return True
    if (one.excluded or one.outside) and (other.excluded or other.outside):
        return not _numbers_only(one, other) or _outsides_overlap(one.outside, other.outside)
    return (
        _fits(one, other)
        or _fits(other, one)
        or any(low <= end and begin <= high for low, high in one.ranges for begin, end in other.ranges)
    )


def _fits(one: Term, other: Term) -> bool:
    """Whether something that `one` names is not what `other` excludes."""
    if other.excluded and (one.ranges or (one.values and (len(other.excluded) > 1 or one.values != other.excluded))):
        return True
    if not other.outside:
        return False
    return bool(one.values) or any(
        low < begin or high > end for low, high in one.ranges for begin, end in other.outside
    )


def _numbers_only(one: Term, other: Term) -> bool:
    return not (one.excluded or other.excluded)


def _outsides_overlap(one: tuple[Range, ...], other: tuple[Range, ...]) -> bool:
    """Whether a number lies outside of a range of either list: always, save when two together are all numbers."""
    return not all(
        min(low, begin) == -inf and max(high, end) == inf and max(low, begin) <= min(high, end)
        for low, high in one
        for begin, end in other
    )


def _term(value: str | None) -> Term:
    """The set that a parameter's value writes; none is TRUE (RFC 3841 §8). Raises BadSyntax."""
    if value is None:
        return _TRUE
    text = unquote(value).strip(" \t")
    if text[:1] == "<":
        if text[-1:] != ">" or len(text) < 2:
            raise BadSyntax("Bad feature parameter")
        return Term(frozenset({text}))
    values: set[str] = set()
    excluded: set[str] = set()
    ranges: list[Range] = []
    outside: list[Range] = []
    for item in text.split(","):
        item = item.strip(" \t")
        negated = item[:1] == "!"
        if negated:
            item = item[1:]
        if item[:1] == "#":
            (outside if negated else ranges).append(_range(item[1:]))
        elif item:
            (excluded if negated else values).add(item.lower())
        else:
            raise BadSyntax("Bad feature parameter")
    if len(ranges) + len(outside) > MOST_RANGES:
        raise BadSyntax("Too many numbers in a feature parameter")
    return Term(frozenset(values), frozenset(excluded), tuple(ranges), tuple(outside))


_TRUE: Final = Term(frozenset({"true"}))


def _range(text: str) -> Range:
    """The numbers that `>=5`, `<=5`, `=5` or `-4:+5.125` means (RFC 3840 §9). Raises BadSyntax."""
    found = _NUMERIC.fullmatch(text)
    if found is None:
        raise BadSyntax("Bad number in a feature parameter")
    relation, number, low, high = found.groups()
    if relation is None:
        return float(low), float(high)
    value = float(number)
    return (-inf if relation == "<=" else value), (inf if relation == ">=" else value)
