"""Elements to linked nodes, checking every rule of RFC 3880 on the way; all errors, then all warnings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sipd.cpl import subfields, switches, timeswitch
from sipd.cpl.built import LIMITED, NOTHING, Built, larger, not_those, way_to
from sipd.cpl.coverage import Taken
from sipd.cpl.findings import meant, shown
from sipd.cpl.grammar import NODES, OPERATIONS, OUTPUT_ATTRIBUTES, OUTPUT_REQUIRES, TOP
from sipd.cpl.lint import Lint
from sipd.cpl.nodes import (
    NO_OUTPUT,
    Location,
    LogNode,
    LookupNode,
    MailNode,
    Output,
    Proxy,
    RedirectNode,
    RejectNode,
    RemoveLocation,
    Switch,
)
from sipd.cpl.places import Places
from sipd.cpl.sources import read_source
from sipd.cpl.timeswitch import TimeSwitches
from sipd.cpl.values import (
    REDIRECT_ONLY,
    read_choice,
    read_location,
    read_mail,
    read_priority,
    read_reason,
    read_seconds,
    read_status,
    read_uri,
    read_yes_no,
)
from sipd.cpl.zones import UTC_ZONE, zone_of
from sipd.script import Log, Lookup, Reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report
    from sipd.cpl.nodes import Next, Way
    from sipd.cpl.terms import Terms
    from sipd.script import Facts, Ordering

Seen = TypeVar("Seen")

LOOKUP_TIMEOUT: Final = 30.0
PROXY_TIMEOUT: Final = 20.0
"""Seconds when the script names none (§5.2, §6.1)."""

ORDERINGS: Final[dict[str, Ordering]] = {
    "parallel": "parallel",
    "sequential": "sequential",
    "first-only": "first-only",
}


class Builder:
    """Builds one script. `filled` says whether the location set may hold anything at that place."""

    def __init__(self, report: Report, terms: Terms) -> None:
        self.top: dict[str, Next] = {}
        self.timeouts: list[float] = []
        self._report = report
        self._terms = terms
        self._times = TimeSwitches(report, zone_of(terms.zone) or UTC_ZONE, terms.timezones)
        self._places = Places(report)
        self._lint = Lint(report)
        self._subactions: dict[str, Built] = {}  # those built so far
        self._all_ids: dict[str, Element] = {}
        self._current = ""  # id of the subaction being built
        self._uses: dict[str, set[str]] = {"": set()}  # who refers to which subactions; "" for top-level actions
        self._said: set[str] = set()
        self._redirect_only = False

    def script(self, root: Element) -> None:
        """Build the whole script (§3)."""
        self._places.check_attributes(root, (), (), "3")
        for element in root.children:
            if element.tag == "subaction":
                self._all_ids.setdefault(element.attributes.get("id", "").strip(), element)
        for element in self._places.in_order(root):
            if element.tag == "ancillary":
                self._places.check_empty(element)
            elif element.tag == "subaction":
                self._subaction(element)
            else:
                self._action(element)
        self._lint.script(root, self._all_ids, self._uses)

    def _action(self, element: Element) -> None:
        self._places.check_attributes(element, (), (), "3")
        self._current = ""
        self.top[element.tag] = self._follow(element, filled=element.tag == "outgoing").node

    def _subaction(self, element: Element) -> None:
        self._places.check_attributes(element, ("id",), ("id",), "8")
        name = element.attributes.get("id", "").strip()
        self._current = name
        self._uses.setdefault(name, set())
        built = self._follow(element, filled=True)
        if name in self._subactions:
            self._report.error(
                "CPL-TWICE",
                f"a second subaction has the id {shown(name)}",
                element,
                "id",
                section="8",
                hint="ids are unique in a script",
            )
        elif name:
            self._subactions[name] = built
        elif "id" in element.attributes:
            self._report.error("CPL-VALUE", "id is empty", element, "id", section="8", hint="give the subaction a name")

    def _follow(self, holder: Element, filled: bool) -> Built:
        """The node inside a holder (an output, an action, a location ...), or nothing."""
        nodes = self._places.nodes_in(holder)
        # A node beside another is reported; it was meant to stand inside that.
        built = [self._node(element, filled or element is not nodes[0]) for element in nodes]
        return built[0] if built else NOTHING

    def _node(self, element: Element, filled: bool) -> Built:
        shape = NODES[element.tag]
        permitted = self._terms.operations or ()
        if element.tag in OPERATIONS and element.tag not in permitted:
            text = f"the administrator of this server does not permit {element.tag}"
            hint = f"permitted are {', '.join(sorted(permitted)) or 'switches and subactions only'}"
            self._report.error("CPL-FORBIDDEN", text, element, hint=hint)
        self._places.check_attributes(element, shape.attributes, shape.required, shape.section)
        return BUILDERS[element.tag](self, element, filled)

    def _counted(self, element: Element, built: Built) -> Built:
        """`built` itself; an error when it is the first to have too many of something."""
        for count, (code, things, most) in zip(built[1:], LIMITED, strict=True):
            if count > most and code not in self._said:
                self._said.add(code)
                self._report.error(code, f"from here on a call can meet more than {most} {things}", element)
        return built

    def _ways(self, element: Element, filled: dict[str, bool]) -> tuple[dict[str, Way], Built]:
        """Outputs of lookup and proxy by their tags, and the most of them all."""
        ways: dict[str, Way] = {}
        most = NOTHING
        for output in self._places.outputs_of(element):
            self._places.check_attributes(output, (), (), NODES[element.tag].section)
            built = self._follow(output, filled[output.tag])
            ways.setdefault(output.tag, way_to(output, built))
            most = larger(most, built)
        return ways, most

    def _switch(
        self,
        element: Element,
        filled: bool,
        variable: str,
        look: Callable[[Facts], Seen | None],
        condition_of: Callable[[Element], switches.Condition[Seen] | None],
        everything: tuple[Seen, ...] = (),
    ) -> Built:
        """Any switch. Whoever matches all of `everything` leaves nothing to otherwise."""
        outputs: list[Output[Seen]] = []
        tried: list[str] = []
        ends: dict[str, Way] = {}
        conditions: list[tuple[Element, switches.Condition[Seen]]] = []
        most = NOTHING
        for output in self._places.outputs_of(element):
            shape = OUTPUT_ATTRIBUTES.get(output.tag, ())
            self._places.check_attributes(
                output, shape, OUTPUT_REQUIRES.get(output.tag, ()), NODES[element.tag].section
            )
            condition = condition_of(output) if shape else None
            built = self._follow(output, filled)
            most = larger(most, built)
            if not shape:
                ends.setdefault(output.tag, way_to(output, built))
            elif condition is not None:
                conditions.append((output, condition))
                label = f"{output.step} {condition.operator} {shown(condition.wanted)}"
                outputs.append(Output(condition.matches, built.node, label + not_those(tried), output.step))
                tried.append(label)
        self._lint.switch(element, look is subfields.absent, switches.left_nothing(conditions))
        self._lint.otherwise(element, switches.take_all(conditions, everything))
        otherwise = ends.get("otherwise", NO_OUTPUT)
        not_present = ends.get("not-present", otherwise)
        otherwise = otherwise._replace(label=otherwise.label + not_those(tried))
        node = Switch(self._places.of(element), variable, look, tuple(outputs), not_present, otherwise)
        return most.at(node)

    def address_switch(self, element: Element, filled: bool) -> Built:
        """§4.1."""
        fields = {name: name for name in subfields.FIELDS}
        parts = {name: name for name in (*subfields.SUBFIELDS, "display")}
        field = read_choice(self._report, element, "field", fields, "origin")
        if "subfield" not in element.attributes:
            whole = partial(switches.uri_condition, self._report)
            return self._switch(element, filled, field, subfields.FIELDS[field], whole)
        part = read_choice(self._report, element, "subfield", parts, "")
        if not part:  # reported: nothing can be said about the outputs' values
            return self._switch(element, filled, field, subfields.subfield_of(field, "user"), lambda output: None)
        self._lint.subfield(element, part)
        look = subfields.subfield_of(field, part, self._terms.phone_users)
        condition_of = partial(switches.address_condition, self._report, subfield=part)
        return self._switch(element, filled, f"{field} {part}", look, condition_of)

    def string_switch(self, element: Element, filled: bool) -> Built:
        """§4.2."""
        field = read_choice(self._report, element, "field", {name: name for name in subfields.STRINGS}, "subject")
        condition_of = partial(switches.string_condition, self._report)
        return self._switch(element, filled, field, subfields.STRINGS[field], condition_of)

    def language_switch(self, element: Element, filled: bool) -> Built:
        """§4.3."""
        condition_of = partial(switches.language_condition, self._report)
        return self._switch(element, filled, "language", subfields.languages, condition_of)

    def time_switch(self, element: Element, filled: bool) -> Built:
        """§4.4."""
        zone = self._times.zone(element) or UTC_ZONE  # reported: outputs are checked all the same
        condition_of = partial(self._times.condition, zone=zone, taken=Taken())
        return self._switch(element, filled, "time", timeswitch.look(zone), condition_of)

    def priority_switch(self, element: Element, filled: bool) -> Built:
        """§4.5."""
        condition_of = partial(switches.priority_condition, self._report)
        return self._switch(element, filled, "priority", subfields.priority, condition_of, switches.ALL_PRIORITIES)

    def location(self, element: Element, filled: bool) -> Built:
        """§5.1."""
        del filled
        self._lint.location(element)
        uri = read_location(self._report, element, "url")
        q = read_priority(self._report, element)
        clear = read_yes_no(self._report, element, "clear", False)
        self._redirect_only |= uri is not None and uri.scheme in REDIRECT_ONLY
        after = self._follow(element, filled=True)
        if uri is None:
            return after
        node = Location(self._places.of(element), uri, q, clear, after.node)
        return self._counted(element, after._replace(node=node, locations=after.locations + 1))

    def lookup(self, element: Element, filled: bool) -> Built:
        """§5.2."""
        source = read_source(self._report, element, self._terms.hosts)
        timeout = read_seconds(self._report, element, "timeout") or LOOKUP_TIMEOUT
        clear = read_yes_no(self._report, element, "clear", False)
        self.timeouts.append(timeout)
        ways, most = self._ways(element, {"success": True, "notfound": filled, "failure": filled})
        node = LookupNode(self._places.of(element), Lookup(source, timeout), clear, ways)
        return most.at(node)

    def remove_location(self, element: Element, filled: bool) -> Built:
        """§5.3."""
        every = "location" not in element.attributes
        self._lint.remove_location(element, filled)
        uri = read_uri(self._report, element, "location")
        after = self._follow(element, filled and not every)
        return after.at(RemoveLocation(self._places.of(element), uri, after.node))

    def proxy(self, element: Element, filled: bool) -> Built:
        """§6.1."""
        asked = read_seconds(self._report, element, "timeout")
        recurse = read_yes_no(self._report, element, "recurse", True)
        ordering = read_choice(self._report, element, "ordering", ORDERINGS, ORDERINGS["parallel"])
        # 20 seconds only where a noanswer or default output is there (§6.1's prose, not the schema).
        timed = element.child("noanswer") is not None or element.child("default") is not None
        timeout = asked if asked is not None else PROXY_TIMEOUT if timed else None
        if timeout is not None:
            self.timeouts.append(timeout)
        left = filled and (ordering == "first-only" or self._redirect_only)
        after = dict.fromkeys(NODES["proxy"].outputs, left)
        ways, most = self._ways(element, {**after, "redirection": True, "default": left or not recurse})
        self._lint.proxy(element, filled, recurse, asked is not None, self._current == "")
        return most.at(Proxy(self._places.of(element), timeout, recurse, ordering, ways))

    def redirect(self, element: Element, filled: bool) -> Built:
        """§6.2."""
        self._places.check_ends(element)
        self._lint.redirect(element, filled)
        return Built(RedirectNode(self._places.of(element), read_yes_no(self._report, element, "permanent", False)))

    def reject(self, element: Element, filled: bool) -> Built:
        """§6.3."""
        del filled
        self._places.check_ends(element)
        final = Reject(read_status(self._report, element), read_reason(self._report, element))
        self._lint.status(element, final.status)
        return Built(RejectNode(self._places.of(element), final))

    def log(self, element: Element, filled: bool) -> Built:
        """§7.2."""
        after = self._follow(element, filled)
        effect = Log(element.attributes.get("name", ""), element.attributes.get("comment", ""))
        node = LogNode(self._places.of(element), effect, after.node)
        return self._counted(element, after._replace(node=node, logs=after.logs + 1))

    def mail(self, element: Element, filled: bool) -> Built:
        """§7.1."""
        after = self._follow(element, filled)
        if not self._terms.mail:
            self._lint.mail(element)
        mail = read_mail(self._report, element)
        if mail is None:
            return after
        node = MailNode(self._places.of(element), mail, after.node)
        return self._counted(element, after._replace(node=node, mails=after.mails + 1))

    def sub(self, element: Element, filled: bool) -> Built:
        """§8: a reference backward only, so every script ends."""
        del filled
        self._places.check_ends(element)
        name = element.attributes.get("ref", "").strip()
        self._uses[self._current].add(name)
        if name in self._subactions:
            return self._subactions[name]
        if "ref" not in element.attributes:
            return NOTHING
        hint = ""
        if name == self._current and name:
            code, text = "CPL-SUB-ITSELF", f"the subaction {shown(name)} refers to itself: it would never end"
        elif name in self._all_ids:
            code, text = "CPL-SUB-LATER", f"the subaction {shown(name)} is defined further down"
            hint = "move its definition up: sub refers only to subactions before the action it stands in"
        elif name in TOP:
            code, text = "CPL-SUB-UNKNOWN", f"{shown(name)} is no subaction: top-level actions can't be referred to"
        else:
            code, text = "CPL-SUB-UNKNOWN", f"there is no subaction {shown(name)}"
            hint = meant(name, self._all_ids) or f'define it: <subaction id="{name[:30]}"> before this action'
        self._report.error(code, text, element, "ref", hint=hint)
        return NOTHING


BUILDERS: Final[dict[str, Callable[[Builder, Element, bool], Built]]] = {
    "address-switch": Builder.address_switch,
    "string-switch": Builder.string_switch,
    "language-switch": Builder.language_switch,
    "time-switch": Builder.time_switch,
    "priority-switch": Builder.priority_switch,
    "location": Builder.location,
    "lookup": Builder.lookup,
    "remove-location": Builder.remove_location,
    "proxy": Builder.proxy,
    "redirect": Builder.redirect,
    "reject": Builder.reject,
    "mail": Builder.mail,
    "log": Builder.log,
    "sub": Builder.sub,
}
"""Who builds the node of which tag."""
