"""Which tag may stand where, with which attributes: complaints a newcomer can act on (RFC 3880 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl import slips
from sipd.cpl.findings import meant, nearest, shown
from sipd.cpl.grammar import ALL_TAGS, NODES, OLD_NAMES, OUTPUTS, TOP
from sipd.cpl.values import either, section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report

_TOP_ORDER: Final = {"ancillary": 0, "subaction": 1, "outgoing": 2, "incoming": 2}
_EXAMPLES: Final = {
    "url": "sip:alice@example.com",
    "mail url": "mailto:alice@example.com",
    "source": "registration",
    "status": "busy",
    "field": "origin",
    "string-switch field": "subject",
    "matches": "en",
    "dtstart": "20260101T080000",
    "id": "voicemail",
    "ref": "voicemail",
}
"""Values that a mandatory attribute may have, for a hint: by its name, or its tag and name."""


class Places:
    """Checks of structure for one script."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def of(self, element: Element) -> str:
        """Path and line of an element, for the trace."""
        return f"{element.path} line {self._report.line(element)}"

    def check_attributes(self, element: Element, known: tuple[str, ...], required: tuple[str, ...], sec: str) -> None:
        """Report attributes the tag does not have and mandatory ones it lacks."""
        for name in element.attributes:
            if name not in known:
                has = f"<{element.tag}> has {either(list(known))}" if known else f"<{element.tag}> has no attributes"
                mended = slips.ATTRIBUTES.get((element.tag, name.lower()), "")
                if mended in known:
                    has = f"did you mean {shown(mended)}?"
                has = slips.ELSEWHERE.get((element.tag, name.lower()), has)
                self._report.error(
                    "CPL-ATTRIBUTE",
                    f"<{element.tag}> has no attribute {shown(name)}",
                    element,
                    name,
                    section=sec,
                    hint=meant(name, known) or has,
                )
        for name in required:
            if name not in element.attributes:
                strangers = (given for given in element.attributes if given not in known)
                if not any(
                    meant(given, (name,)) or slips.ATTRIBUTES.get((element.tag, given.lower())) == name
                    for given in strangers
                ):
                    example = f'add {name}="{_EXAMPLES.get(f"{element.tag} {name}") or _EXAMPLES.get(name, "…")}"'
                    self._report.error(
                        "CPL-REQUIRED",
                        f"<{element.tag}> needs the attribute {name}",
                        element,
                        section=sec,
                        hint=example,
                    )

    def in_order(self, root: Element) -> Iterable[Element]:
        """The parts of a script that can be built, after reporting what is not one or not in its place (§3)."""
        last = 0
        seen: set[str] = set()
        parts = []
        for element in root.children:
            if element.tag not in TOP and not self._put_right(element, root, tuple(TOP)):
                continue
            order = _TOP_ORDER[element.tag]
            if order < last:
                before = "subactions and actions" if element.tag == "ancillary" else "incoming and outgoing"
                self._report.error(
                    "CPL-ORDER",
                    f"<{element.tag}> must stand before {before}",
                    element,
                    section=TOP[element.tag],
                    hint="move it up",
                )
            if element.tag != "subaction" and element.tag in seen:
                self._report.error(
                    "CPL-TWICE",
                    f"a script has one <{element.tag}>",
                    element,
                    section=TOP[element.tag],
                    hint="put both into one, with a switch before them",
                )
            last = max(last, order)
            seen.add(element.tag)
            parts.append(element)
        return parts

    def check_empty(self, element: Element) -> None:
        """Nothing may be in ancillary (§9)."""
        self.check_attributes(element, (), (), "9")
        for child in element.children:
            self._report.error(
                "CPL-PLACE", f"<ancillary> is empty in CPL: <{child.tag}> can't stand in it", child, section="9"
            )

    def check_ends(self, element: Element) -> None:
        """Nothing may follow redirect, reject and sub."""
        for child in element.children[:1]:
            why = "control passes to the subaction" if element.tag == "sub" else "it ends the script"
            self._report.error(
                "CPL-PLACE", f"nothing can stand inside <{element.tag}>: {why}", child, section=section(element)
            )

    def nodes_in(self, holder: Element) -> list[Element]:
        """The nodes directly inside a holder of one node; reports all else."""
        nodes = []
        for child in holder.children:
            if child.tag in NODES or self._put_right(child, holder, tuple(NODES)):
                nodes.append(child)
        for extra in nodes[1:2]:
            first = nodes[0]
            shape = NODES[first.tag]
            if shape.followed:
                hint = f"put <{extra.tag}> inside: <{first.tag} …> <{extra.tag} …/> </{first.tag}>"
            elif shape.outputs:
                hint = f"put <{extra.tag}> into an output of <{first.tag}>: {either(list(shape.outputs))}"
            else:
                hint = f"<{first.tag}> ends this way through the script: <{extra.tag}> would never run"
            self._report.error(
                "CPL-TWICE",
                f"<{holder.tag}> holds one node: <{extra.tag}> can't stand beside <{first.tag}>",
                extra,
                section=section(extra),
                hint=hint,
            )
        return nodes

    def outputs_of(self, element: Element) -> list[Element]:
        """The outputs of a node; reports all else inside it, doubles, and what stands behind otherwise."""
        known = NODES[element.tag].outputs
        is_switch = NODES[element.tag].kind == "switch"
        outputs: list[Element] = []
        counted: set[str] = set()
        for child in element.children:
            if child.tag not in known and not self._put_right(child, element, known):
                continue
            single = not is_switch or child.tag in ("not-present", "otherwise")
            if single and child.tag in counted:
                self._report.error(
                    "CPL-TWICE",
                    f"<{element.tag}> has one <{child.tag}>",
                    child,
                    section=section(element),
                    hint=f"put what shall happen into the first <{child.tag}>",
                )
            elif "otherwise" in counted:
                self._report.error(
                    "CPL-ORDER",
                    f"<{child.tag}> stands behind <otherwise>: it would never be tried",
                    child,
                    section="4",
                    hint="otherwise is the last output of a switch",
                )
            counted.add(child.tag)
            outputs.append(child)
        return outputs

    def _put_right(self, child: Element, holder: Element, expected: tuple[str, ...]) -> bool:
        """Report a tag that can't stand here; whether it is plain what was meant, so that checking can go on inside."""
        usual = OLD_NAMES.get(child.tag, "")
        near = usual if usual in expected else nearest(child.tag, expected)
        if child.tag in ALL_TAGS:
            self._misplaced(child, holder, expected, usual)
            return False
        # A slip of meaning is hinted at only: what stands inside was not written for the tag that is meant.
        said = near or slips.TAGS.get(child.tag.lower(), "")
        hint = f"did you mean {shown(said)}?" if said in expected else ""
        hint = hint or meant(child.tag, ALL_TAGS) or self._expected(holder, expected)
        text = f"there is no tag {shown(child.tag)} in CPL"
        self._report.error("CPL-TAG", text, child, section=section(holder), hint=hint)
        child.tag = near or child.tag
        return bool(near)

    def _misplaced(self, child: Element, holder: Element, expected: tuple[str, ...], usual: str) -> None:
        text = f"<{child.tag}> can't stand inside <{holder.tag}>"
        if child.tag in NODES and holder.tag in NODES:
            hint = f"put it into an output of <{holder.tag}>: {either(list(expected))}"
        elif child.tag in OUTPUTS:
            hint = f"it is an output of {either(list(OUTPUTS[child.tag]))}" + (
                f"; did you mean {shown(usual)}?" if usual in expected else ""
            )
            if (child.tag, holder.tag) == ("success", "proxy"):
                hint = "a call that is answered ends the script: leave it out"
        elif holder.tag == "cpl":
            hint = "put it into <incoming> or <outgoing>"
        else:
            hint = self._expected(holder, expected)
        self._report.error("CPL-PLACE", text, child, section=section(child), hint=hint)

    def _expected(self, holder: Element, expected: tuple[str, ...]) -> str:
        return f"inside <{holder.tag}> stands {either(list(expected))}"
