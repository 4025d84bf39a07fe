"""Warnings: what is legal and surely not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl.findings import shown
from sipd.cpl.grammar import NODES, TOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report

RING_ME: Final = '<lookup source="registration"> <success> <proxy/> </success> </lookup> rings your own phones'

ALWAYS_THERE: Final = frozenset({"", "address-type"})
"""Subfields every address has; "" is the whole address."""


class Lint:
    """The warnings of one script."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def script(self, root: Element, ids: Mapping[str, Element], uses: Mapping[str, Iterable[str]]) -> None:
        """Warn of a script without actions, and of subactions nothing leads to."""
        if root.child("incoming") is None and root.child("outgoing") is None:
            self._report.warning(
                "CPL-NO-ACTION",
                "the script has neither incoming nor outgoing: it does nothing",
                root,
                hint="put what shall happen to calls for you into <incoming>",
            )
        used: set[str] = set()
        waiting = [""]
        while waiting:
            new = set(uses.get(waiting.pop(), ())) - used
            used |= new
            waiting.extend(new)
        for name, element in ids.items():
            if name and name not in used:
                self._report.warning(
                    "CPL-UNUSED-SUBACTION",
                    f"nothing leads to the subaction {shown(name)}",
                    element,
                    "id",
                    hint=f'use it with <sub ref="{name[:30]}"/>, or delete it',
                )

    def subfield(self, element: Element, part: str) -> None:
        """Warn of a subfield that should not be used."""
        if part == "password":
            self._report.warning(
                "CPL-PASSWORD",
                "comparing passwords in addresses is not recommended",
                element,
                "subfield",
                hint="anybody can write any From address",
            )

    def switch(self, element: Element, never: bool, without_calls: Iterable[Element]) -> None:
        """Warn of outputs no call can take."""
        if never or element.attributes.get("subfield") == "alias-type":
            self._report.warning(
                "CPL-NEVER", "in SIP this is never present: only not-present or otherwise is taken", element
            )
        for output in without_calls:
            self._report.warning(
                "CPL-UNREACHABLE",
                f"<{output.tag}> is never taken: outputs before it take all that it matches",
                output,
                hint="put the narrower condition first, or delete it",
            )
        if element.tag == "address-switch" and element.attributes.get("subfield", "") in ALWAYS_THERE:
            absent = element.child("not-present")
            if absent is not None:
                self._report.warning("CPL-UNREACHABLE", "<not-present> is never taken: every address has this", absent)

    def otherwise(self, element: Element, all_taken: bool) -> None:
        """Warn of an otherwise that is left nothing, and of a switch that does not choose."""
        rest = element.child("otherwise")
        if all_taken and rest is not None:
            self._report.warning(
                "CPL-UNREACHABLE",
                "<otherwise> is never taken: the outputs before it take all there is",
                rest,
                section="4",
                hint="delete it",
            )
        if all(output.tag == "otherwise" for output in element.children):
            self._report.warning(
                "CPL-NO-EFFECT",
                f"<{element.tag}> has nothing to choose from: all calls go one way",
                element,
                section="4",
                hint="give it conditions, or leave it out",
            )

    def location(self, element: Element) -> None:
        """Warn of a location that the next node makes useless, and of one beside an outgoing call's own destination."""
        after = element.children[0] if element.children else None
        while after is not None and after.tag in ("log", "mail"):
            after = after.children[0] if after.children else None
        if after is not None and (after.tag == "reject" or clears(after)):
            why = (
                "a call that is rejected goes nowhere"
                if after.tag == "reject"
                else f"the next <{after.tag}> takes it out"
            )
            self._report.warning(
                "CPL-NO-EFFECT", f"this location is never used: {why}", element, section="5.1", hint="delete it"
            )
        elif not clears(element) and (holder := outermost(element)) is not None and holder.tag == "outgoing":
            self._report.warning(
                "CPL-DESTINATION",
                "an outgoing call goes to this location and to whom the user called, too",
                element,
                hint='write clear="yes" to send it to this location only',
            )

    def remove_location(self, element: Element, filled: bool) -> None:
        """Warn of taking out what is not there."""
        if not filled:
            self._report.warning(
                "CPL-NO-EFFECT",
                "no location is set where this remove-location stands: there is nothing to take out",
                element,
                section="5.3",
                hint="delete it",
            )

    def mail(self, element: Element) -> None:
        """Warn of a mail that is not sent."""
        self._report.warning(
            "CPL-NO-MAIL",
            "this server sends no mail: the script goes on as if it had been sent",
            element,
            hint="its administrator can change that: sipdctl server set mail_server=…",
        )

    def status(self, element: Element, status: int) -> None:
        """Warn of a refusal that is a challenge."""
        if status in (401, 407):
            self._report.warning(
                "CPL-STATUS",
                f"{status} asks the caller for a password, and nothing here would take it",
                element,
                "status",
                hint="to refuse a call for good write 403 or reject",
            )

    def proxy(self, element: Element, filled: bool, recurse: bool, timed: bool, top: bool) -> None:
        """Warn of a proxy to nowhere, of outputs never taken, and of none for no answer."""
        if not filled:
            self._report.warning(
                "CPL-EMPTY-SET",
                "no location is set where this proxy stands: it always fails",
                element,
                hint=RING_ME if top else "set a location before it",
            )
        redirection, default = element.child("redirection"), element.child("default")
        if redirection is not None and recurse:
            self._report.warning(
                "CPL-UNREACHABLE",
                "<redirection> is never taken while recurse is yes",
                redirection,
                section="6.1",
                hint='write <proxy recurse="no">, or delete the output',
            )
        needed = ("busy", "noanswer", "failure") if recurse else ("busy", "noanswer", "failure", "redirection")
        if default is not None and all(element.child(tag) is not None for tag in needed):
            self._report.warning(
                "CPL-UNREACHABLE", "<default> is never taken: every outcome has its own output", default, section="6.1"
            )
        if (timed or element.children) and element.child("noanswer") is None and default is None:
            self._report.warning(
                "CPL-NO-OUTPUT",
                "nothing is said for a call that is not answered: it ends with the caller hearing why",
                element,
                hint="add <noanswer> or <default>",
            )

    def redirect(self, element: Element, filled: bool) -> None:
        """Warn of a redirection to nowhere."""
        if not filled:
            self._report.warning(
                "CPL-EMPTY-SET",
                "no location is set where this redirect stands: the caller hears 404",
                element,
                section="6.2",
                hint='put it inside <location url="…">',
            )


def clears(element: Element) -> bool:
    """Whether a node takes all locations out that were set before it."""
    if element.tag == "remove-location":
        return "location" not in element.attributes
    return element.attributes.get("clear", "").strip() == "yes" and element.tag == "location"


def outermost(element: Element) -> Element | None:
    """The action or subaction a location stands in; None where another modifier or a proxy is on the way."""
    at = element.parent
    while at is not None and at.tag not in TOP:
        shape = NODES.get(at.tag)  # None: an output
        if shape is not None and shape.kind in ("modifier", "signalling"):
            return None
        at = at.parent
    return at
