"""Rules with several conditions each, the first that holds is taken, as switches of RFC 3880.

A switch asks one thing. So the conditions of a rule stand in each other, and
what comes after a rule that does not hold goes on in a subaction, which each
of its switches leads to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.loose import made, nodes_of

if TYPE_CHECKING:
    from sipd.cpl.document import Element
    from sipd.cpl.patterns import Test

_NESTED: Final = 10
"""Levels of tags after which the rest of the rules goes on in a subaction."""


class Clause(NamedTuple):
    """One of these tests must hold for a part of one field."""

    field: str
    tests: tuple[Test, ...]  # all of one subfield

    @property
    def about(self) -> tuple[str, str]:
        """Field and subfield."""
        return self.field, self.tests[0].subfield


class Rule(NamedTuple):
    """Conditions that must all hold, and what then happens."""

    clauses: tuple[Clause, ...]
    body: list[Element]
    source: Element


class RuleWriter:
    """Writes rules; what it makes besides stands in `subactions`, in an order they may stand in."""

    def __init__(self, taken: set[str]) -> None:
        self.subactions: list[Element] = []
        self._taken = taken  # names of subactions

    def subaction(self, what: str, body: list[Element], element: Element) -> str:
        """A new subaction with that in it; its name."""
        count = 1
        while (name := f"{what}-{count}") in self._taken:
            count += 1
        self._taken.add(name)
        self.subactions.append(made("subaction", {"id": name}, body, element.offset))
        return name

    def chain(self, rules: list[Rule]) -> list[Element]:
        """The rules one after another: the first that holds is taken."""
        rest: list[Element] = []
        for group in reversed(_groups(rules)):
            first = group[0]
            if not first.clauses:
                rest = first.body
            elif len(first.clauses) == 1:
                rest = [self._switch(first.clauses[0].about, group, self._short(rest, first.source))]
            else:
                rest = self._nested(first, self._short(rest, first.source, always=True))
        return rest

    def _short(self, rest: list[Element], source: Element, always: bool = False) -> list[Element]:
        """The rest itself, or a subaction that holds it where it is deep, or needed several times."""
        if is_large(rest) and (always or max(map(_depth, rest)) > _NESTED):
            return [sub_to(self.subaction("else", rest, source), source)]
        return rest

    def _switch(self, about: tuple[str, str], group: list[Rule], rest: list[Element]) -> Element:
        outputs = []
        for rule in group:
            tests = rule.clauses[0].tests if rule.clauses else ()
            outputs += [
                made(
                    "address",
                    {test.operator: test.value},
                    rule.body if number == 0 else copied(rule.body),
                    rule.source.offset,
                )
                for number, test in enumerate(tests)
            ]
        if rest:
            outputs.append(made("otherwise", {}, rest, group[0].source.offset))
        field, subfield = about
        return made("address-switch", {"field": field, "subfield": subfield}, outputs, group[0].source.offset)

    def _nested(self, rule: Rule, rest: list[Element]) -> list[Element]:
        inside = rule.body
        for clause in reversed(rule.clauses):
            if len(clause.tests) > 1:
                inside = self._short(inside, rule.source, always=True)
            one = Rule((clause,), inside, rule.source)
            inside = [self._switch(clause.about, [one], rest)]
            rest = copied(rest)
        return inside


def sub_to(name: str, element: Element) -> Element:
    """A reference to a subaction."""
    return made("sub", {"ref": name}, [], element.offset)


def merged(ways: list[tuple[Clause, ...]]) -> list[tuple[Clause, ...]]:
    """Ways that differ in the last test alone become one with several tests."""
    found: list[tuple[Clause, ...]] = []
    for way in ways:
        last = found[-1] if found else ()
        if way and len(last) == len(way) and last[:-1] == way[:-1] and last[-1].about == way[-1].about:
            found[-1] = (*way[:-1], last[-1]._replace(tests=(*last[-1].tests, *way[-1].tests)))
        else:
            found.append(way)
    return found


def _groups(rules: list[Rule]) -> list[list[Rule]]:
    """Rules that can stand in one switch together; nothing behind one that always holds."""
    groups: list[list[Rule]] = []
    for rule in rules:
        last = groups[-1][0].clauses if groups else ()
        alike = len(last) == len(rule.clauses) == 1 and last[0].about == rule.clauses[0].about
        if alike:
            groups[-1].append(rule)
        else:
            groups.append([rule])
        if not rule.clauses:
            break
    return groups


def is_large(body: list[Element]) -> bool:
    """Whether writing it twice is more than a line."""
    nodes = nodes_of(body)
    return len(nodes) > 1 or any(node.children for node in nodes)


def _depth(element: Element) -> int:
    return 1 + max(map(_depth, element.children), default=0)


def copied(body: list[Element]) -> list[Element]:
    """The same again, without its comments."""
    return [made(node.tag, node.attributes, copied(node.children), node.offset) for node in nodes_of(body)]
