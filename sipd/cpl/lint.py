"""Warnings: what is legal and surely not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl.findings import shown

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
