"""Policies of Cisco Expressway and VCS to scripts of RFC 3880.

Their `taa:routed` decides over all calls of a server, compares whole aliases
with regular expressions, begins with the destination in the location set, and
tries rules of which each has several conditions. A script of ours is about
the calls of one user, compares parts of an address, and has one condition a
switch. So rules become switches in each other, and what comes next if one does
not hold becomes a subaction.

What can't be said is left out so that no call gets through that was refused:
a rule that only lets calls through is left out whole; of one that only
refuses, the condition is left out, so that it refuses more; one that does
both refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl.findings import shown
from sipd.cpl.loose import REMARK, WORDS, made, nodes_of, remark
from sipd.cpl.patterns import ANY, Wanted, exactly, wanted
from sipd.cpl.patterns import Test as One
from sipd.cpl.rule_chain import Clause, Rule, RuleWriter, copied, is_large, merged, sub_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.cpl.convert import Kind
    from sipd.cpl.document import Element

PROVEN: Final = frozenset({"origin", "authenticated-origin"})
"""Fields that are there only where the caller has proven who he is."""

UNKNOWN_HERE: Final = {
    "originating-zone": "there are no zones here",
    "originating-user": "who has authenticated can't be asked here",
    "registered-origin": "whether the caller is registered can't be asked here",
    "message-regex": "the message as a whole can't be searched here",
}
_FIELDS: Final = {
    "unauthenticated-origin": "origin",
    "authenticated-origin": "origin",
    "origin": "origin",
    "destination": "destination",
    "original-destination": "original-destination",
}
MOST_RULES: Final = 1000
"""Rules of ours that a script may become, each way of a pattern counted."""


class TooLarge(Exception):
    """So many rules as no script may have; the offset of the one that is too much."""


class Expressway:
    """Converts one `taa:routed`; what it makes besides stands in `subactions`, in an order they may stand in."""

    def __init__(self, tell: Callable[[Element, Kind, str], None], action: str, proven: bool, taken: set[str]) -> None:
        self._writer = RuleWriter(taken)
        self.subactions = self._writer.subactions
        self._tell = tell
        self._outgoing = action == "outgoing"
        self._proven = proven or self._outgoing
        self._left = MOST_RULES

    def routed(self, element: Element, touched: bool = False) -> list[Element]:
        """What stands in the action. `touched`: the location set begins as the RFC says, not as Expressway does."""
        return self._nodes(element, touched)

    def _nodes(self, holder: Element, touched: bool) -> list[Element]:
        """The children of a holder of one node. `touched`: the location set is no more what it was at first."""
        found = []
        for child in holder.children:
            if child.tag in (REMARK, WORDS):
                found.append(child)
            else:
                found += self._node(child, touched)
        return found

    def _node(self, element: Element, touched: bool) -> list[Element]:
        tag = element.tag.removeprefix("taa:")
        if element.tag == "taa:rule-switch":
            return self._rule_switch(element, touched)
        if tag == "address-switch":
            return self._address_switch(element, touched)
        if tag == "location":
            return self._location(element, touched)
        if tag == "proxy":
            return self._proxy(element, touched)
        if tag == "reject":
            return [made("reject", element.attributes, [], element.offset)]
        if element.tag.startswith(("taa:", "other:")):
            return self._refusal(element, "there is no such node here")
        outputs = [
            made(child.tag, child.attributes, self._nodes(child, True), child.offset)
            if child.tag not in (REMARK, WORDS)
            else child
            for child in element.children
        ]
        return [made(tag, element.attributes, outputs, element.offset)]

    def _refusal(self, element: Element, why: str) -> list[Element]:
        """In place of what can't be said: refuse the call, and say why."""
        self._tell(element, "lost", f"{_source(element)}: {why}; the call is refused in its place")
        reject = made("reject", {"status": "error", "reason": "Not carried over"}, [], element.offset)
        return [remark(f"not carried over: {_source(element)}: {why}", element.offset), reject]

    # Locations and proxy.

    def _location(self, element: Element, touched: bool) -> list[Element]:
        given = element.attributes
        url, clear = given.get("url"), given.get("clear", "no")
        if "regex" in given:
            if wanted(given["regex"]) == [Wanted(())] and "\\" not in given.get("replace", "\\"):
                url, clear = given["replace"], "yes"
                self._tell(element, "changed", "every location is replaced: so it is cleared and set")
            else:
                return self._refusal(element, "locations can't be rewritten by a pattern")
        for name in given:
            if name.startswith("source-url"):
                self._tell(element, "lost", f"{name} is left out: who calls is not rewritten here")
        inside = self._nodes(element, touched or url is not None)
        if url is None:
            return [remark(f"not carried over: {_source(element)}", element.offset), *inside]
        uri = _uri(url)
        if uri is None:
            return self._refusal(element, f"{shown(url)} names no host, and is no number")
        attributes = {"url": uri}
        if given.get("priority") == "random":
            self._tell(element, "lost", "priority random is left out: the location has the highest")
        elif "priority" in given:
            attributes["priority"] = given["priority"]
        if clear == "yes":
            attributes["clear"] = "yes"
        location = made("location", attributes, inside, element.offset)
        if touched or self._outgoing or clear == "yes":
            return [location]
        self._tell(element, "changed", "the location set began with the destination: so its phones are looked up first")
        name = self._writer.subaction("location", [location], element)
        return [self._lookup(element, [sub_to(name, element)], [sub_to(name, element)])]

    def _proxy(self, element: Element, touched: bool) -> list[Element]:
        if "stop-on-busy" in element.attributes:
            self._tell(element, "lost", "stop-on-busy is left out: a busy phone ends nothing for the others")
        attributes = {name: value for name, value in element.attributes.items() if name != "stop-on-busy"}
        outputs = [
            child if child.tag in (REMARK, WORDS) else made(child.tag, {}, self._nodes(child, True), child.offset)
            for child in element.children
        ]
        proxy = made("proxy", attributes, outputs, element.offset)
        if touched or self._outgoing:
            return [proxy]
        if not attributes and not nodes_of(outputs):
            return [*outputs, remark("on as without a script", element.offset)]
        self._tell(element, "changed", "the location set began with the destination: so its phones are looked up first")
        failed = next((o for tag in ("failure", "default") for o in nodes_of(outputs) if o.tag == tag), None)
        if failed is None or not nodes_of(failed.children):
            return [self._lookup(element, [proxy], [])]
        name = self._writer.subaction("failed", failed.children, element)
        failed.children = [sub_to(name, element)]
        return [self._lookup(element, [proxy], [sub_to(name, element)])]

    def _lookup(self, element: Element, found: list[Element], not_found: list[Element]) -> Element:
        outputs = [made("success", {}, found, element.offset)]
        if not_found:
            copies = [made(node.tag, node.attributes, [], node.offset) for node in not_found]
            outputs += [made("notfound", {}, not_found, element.offset), made("failure", {}, copies, element.offset)]
        return made("lookup", {"source": "registration"}, outputs, element.offset)

    # Rules.

    def _rule_switch(self, element: Element, touched: bool) -> list[Element]:
        rules: list[Rule] = []
        remarks: list[Element] = []
        for child in element.children:
            if child.tag in (REMARK, WORDS):
                remarks.append(child)
            elif not self._is_reached(child, rules):
                continue
            elif child.tag != "taa:rule":
                rules.append(Rule((), self._refusal(child, "only rules stand in a taa:rule-switch"), child))
            else:
                asked = [self._pattern(child, name, value) for name, value in child.attributes.items()]
                rules += self._rules(child, asked, touched, remarks)
        if remarks:
            rules.append(Rule((), remarks, element))
        return self._writer.chain(rules)

    def _is_reached(self, child: Element, rules: list[Rule]) -> bool:
        reached = not rules or bool(rules[-1].clauses)
        if not reached:
            self._tell(child, "changed", f"{_source(child)} is left out: what stands before it takes every call")
        return reached

    def _pattern(self, rule: Element, name: str, value: str) -> list[tuple[str, Wanted]] | str:
        """What an attribute of a rule asks: one of these for a field; a text: why it can't be said."""
        if name in UNKNOWN_HERE:
            return UNKNOWN_HERE[name]
        if name not in _FIELDS:
            return "there is no such condition here"
        if name in PROVEN and not self._proven:
            return "whether a caller has proven who he is can't be asked here"
        if value == "" and name in PROVEN:
            return []  # of callers who have not proven who they are; here all have
        found = wanted(value)
        if found is None:
            return f"{shown(value)} asks for more than parts of an address"
        self._remarks(rule, found)
        return [(_FIELDS[name], each) for each in found]

    def _remarks(self, element: Element, found: Sequence[Wanted]) -> None:
        said = {text for each in found for text in each.remarks}
        if any(test.subfield == "user" for each in found for test in each.tests):
            said.add("user names are compared letter by letter, large and small ones too")
        for text in sorted(said):
            self._tell(element, "check", text)

    def _rules(
        self, source: Element, asked: Sequence[list[tuple[str, Wanted]] | str], touched: bool, remarks: list[Element]
    ) -> list[Rule]:
        """A rule as one or several of ours; none when it can never hold, or is left out."""
        why = "; ".join(dict.fromkeys(each for each in asked if isinstance(each, str)))
        known = [each for each in asked if not isinstance(each, str)]
        refuses, permits = _does(source)
        if why and not refuses:
            self._tell(source, "lost", f"{_source(source)} is left out: {why}")
            remarks.append(remark(f"not carried over: {_source(source)}: {why}", source.offset))
            return []
        if why:
            if not permits:
                self._tell(source, "lost", f"{_source(source)}: {why}; without that condition it refuses more calls")
            remarks.append(remark(f"not carried over in whole: {_source(source)}: {why}", source.offset))
        ways: list[tuple[Clause, ...]] = [()]
        for alternatives in known:
            some = merged([tuple(Clause(field, (test,)) for test in each.tests) for field, each in alternatives])
            ways = [(*way, *clauses) for way in ways for clauses in some]
            if self._left < len(ways):
                raise TooLarge(source.offset)
        self._left -= len(ways)
        if not ways:
            return []
        body = self._refusal(source, why)[1:] if why and permits else self._nodes(source, touched)
        body = [*remarks, *body]  # they stood before the rule
        remarks.clear()
        if (len(ways) > 1 or any(len(clause.tests) > 1 for way in ways for clause in way)) and is_large(body):
            body = [sub_to(self._writer.subaction("rule", body, source), source)]
        return [Rule(way, copied(body) if number else body, source) for number, way in enumerate(ways)]

    # address-switch with the conditions of Expressway.

    def _address_switch(self, element: Element, touched: bool) -> list[Element]:
        field, subfield = element.attributes.get("field", ""), element.attributes.get("subfield", "")
        rules: list[Rule] = []
        remarks: list[Element] = []
        absent: list[Element] | None = None
        for child in element.children:
            if child.tag in (REMARK, WORDS):
                remarks.append(child)
            elif not self._is_reached(child, rules):
                continue
            elif child.tag == "otherwise":
                rules += self._rules(child, [], touched, remarks)
            elif child.tag == "not-present":
                if field in PROVEN and self._proven:
                    remarks.append(remark("<not-present> is left out: here every caller has proven who he is"))
                    self._tell(child, "changed", "not-present is left out: here every caller has proven who he is")
                elif subfield in ("user", "host", "tel") and field in _FIELDS and field not in PROVEN:
                    absent = self._nodes(child, touched)
                else:
                    rules += self._rules(child, [self._unknown(field)], touched, remarks)
            else:
                rules += self._rules(child, [self._address(child, field, subfield)], touched, remarks)
        if remarks:
            rules.append(Rule((), remarks, element))
        chain = self._writer.chain(rules)
        return chain if absent is None else self._with_absent(element, chain, absent)

    def _with_absent(self, element: Element, rest: list[Element], absent: list[Element]) -> list[Element]:
        field, subfield = _FIELDS[element.attributes["field"]], element.attributes["subfield"]
        outputs = [made("not-present", {}, absent, element.offset), made("otherwise", {}, rest, element.offset)]
        same = [
            node for node in rest if node.tag == "address-switch"
            and node.attributes == {"field": field, "subfield": subfield}
        ]  # fmt: skip
        if same and len(nodes_of(rest)) == 1:
            at = next((n for n, child in enumerate(same[0].children) if child.tag == "otherwise"), None)
            place = len(same[0].children) if at is None else at
            same[0].children.insert(place, outputs[0])
            return rest
        return [made("address-switch", {"field": field, "subfield": subfield}, outputs, element.offset)]

    def _unknown(self, field: str) -> str:
        if field in PROVEN:
            return "whether a caller has proven who he is can't be asked here"
        return UNKNOWN_HERE.get(field, "whether it is there can't be asked here")

    def _address(self, output: Element, field: str, subfield: str) -> list[tuple[str, Wanted]] | str:
        if field not in _FIELDS or (field in PROVEN and not self._proven):
            return self._unknown(field)
        operator = next((name for name in ("is", "contains", "subdomain-of", "regex") if name in output.attributes), "")
        value = output.attributes.get(operator, "")
        found: list[Wanted] | None = None
        if operator == "regex" and subfield in ("", "user", "host"):
            found = wanted(value, subfield)
        elif operator == "is" and subfield == "":
            found = exactly(value) if ANY not in value else None
        elif operator == "is" and subfield in ("user", "host", "tel"):
            found = [Wanted((One(subfield, "is", value),))]
        elif operator == "subdomain-of" and subfield in ("host", "tel"):
            found = [Wanted((One(subfield, "subdomain-of", value),))]
        elif operator == "contains" and subfield == "display" and field != "destination":
            found = [Wanted((One(subfield, "contains", value),))]
        if found is None:
            return f"{operator} {shown(value)} asks for more than parts of an address"
        self._remarks(output, found)
        return [(_FIELDS[field], each) for each in found]


def _uri(text: str) -> str | None:
    """A location as a URI; None when it is neither one nor `user@host` nor a number."""
    url = text.strip()
    scheme, colon, _ = url.partition(":")
    if colon and scheme.lower() in ("sip", "sips", "tel", "mailto", "http", "https"):
        return url
    if "@" in url and not colon:
        return f"sip:{url}"
    return f"tel:{url}" if url.removeprefix("+").isdecimal() and url.isascii() else None


def _source(element: Element) -> str:
    said = "".join(f' {name}="{value}"' for name, value in element.attributes.items())
    return f"<{element.tag}{said if len(said) <= 200 else said[:199] + '…'}>"


def _does(rule: Element) -> tuple[bool, bool]:
    """Whether something in it refuses calls, and whether something lets them go on."""
    tags = [each.tag.removeprefix("taa:") for each in rule.walk() if each is not rule]
    refuses = any(tag == "reject" or tag.startswith("other:") for tag in tags)
    goes_on = any(tag in ("proxy", "location", "rule-switch", "address-switch", "redirect") for tag in tags)
    return refuses, goes_on or not refuses
