"""What a trace says of a node's visit: made of the values that the visit left, when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.cpl.findings import shown
from sipd.message import Uri
from sipd.trace import NOT_SHOWN

if TYPE_CHECKING:
    from sipd.hop import Target
    from sipd.script import Log, Mail, Reject

MOST_SHOWN: Final = 5
"""Locations the trace names of a set, each by so much of its URI that a trace stays small whatever the script is."""

MOST_KEPT: Final = 100
"""Characters of a value of the call that a trace keeps: more than are ever shown."""

MOST_NAMED: Final = 20
"""Languages of a call that a trace keeps."""


def set_text(some: tuple[Target, ...], count: int) -> str:
    """A location set, of which `some` are the first: `{sip:a@b q=0.5, sip:c@d}`."""
    each = [short(t.uri) if t.q == 1000 else f"{short(t.uri)} q={t.q / 1000:g}" for t in some]
    if count > len(some):
        each.append(f"{count - len(some)} more")
    return "{" + ", ".join(each) + "}"


def short(uri: Uri) -> str:
    """A URI in at most 80 characters, without a password."""
    text = uri.text if uri.password is None else uri.text.replace(f":{uri.password}@", f":{NOT_SHOWN}@", 1)
    return text if len(text) <= 80 else text[:79] + "…"


def switched(seen: tuple[str, object, str]) -> tuple[str, str]:
    """Of a switch (§4): its variable, the value, the label of the output."""
    variable, value, label = seen
    if value is None:
        return f"{variable} is absent", label
    if isinstance(value, frozenset):
        value = ", ".join(sorted(value))
    return f"{variable} is {shown(short(value) if isinstance(value, Uri) else str(value))}", label


def added(seen: tuple[Uri, tuple[Target, ...], int]) -> tuple[str, str]:
    """Of a location (§5.1): the URI, and the set with it."""
    return f"location {short(seen[0])}", set_text(seen[1], seen[2])


def removed(seen: tuple[Uri | None, tuple[Target, ...], int]) -> tuple[str, str]:
    """Of a remove-location (§5.3): the URI or None for all, and the set without."""
    return f"remove {'all' if seen[0] is None else short(seen[0])}", set_text(seen[1], seen[2])


def looked_up(seen: tuple[str, str, str, tuple[Target, ...], int]) -> tuple[str, str]:
    """Of a lookup (§5.2): the source, the outcome, the label of the output, and the set."""
    source, outcome, label, some, count = seen
    return f"lookup {source}: {outcome}", f"{label}; {set_text(some, count)}"


def rang(seen: tuple[str, tuple[Target, ...], int]) -> tuple[str, str]:
    """Of a proxy that begins (§6.1): the ordering, and the set."""
    return set_text(seen[1], seen[2]), f"proxy, {seen[0]}"


def rung(seen: tuple[str, str, tuple[Target, ...], int]) -> tuple[str, str]:
    """Of a proxy's outcome (§6.1): the outcome, the label of the output, and the set."""
    outcome, label, some, count = seen
    return f"outcome {outcome}", f"{label}; {set_text(some, count)}"


def logged(effect: Log) -> tuple[str, str]:
    """Of a log (§7.2)."""
    return f"log {shown(effect.name)}", shown(effect.comment)


def mailed(effect: Mail) -> tuple[str, str]:
    """Of a mail (§7.1): its people and its subject."""
    people = ", ".join((*effect.to, *effect.cc))
    return f"mail to {people}", "its default subject" if effect.subject is None else shown(effect.subject)


def redirected(seen: tuple[bool, tuple[Target, ...], int]) -> tuple[str, str]:
    """Of a redirect (§6.2): whether it is permanent, and the set."""
    permanent, some, count = seen
    return set_text(some, count), f"redirect {'404' if not count else '301' if permanent else '302'}"


def rejected(final: Reject) -> tuple[str, str]:
    """Of a reject (§6.3)."""
    return "reject", f"{final.status} {final.reason}".rstrip()


def ended(seen: tuple[bool, tuple[Target, ...] | None, int]) -> tuple[str, str]:
    """Of an end by default (§10): whether it has proxied, and the set when the script changed it."""
    proxied, some, count = seen
    if some is not None:
        return "end of the script", f"default behaviour: to {set_text(some, count)}"
    return "end of the script", f"default behaviour: {'best response so far' if proxied else 'as without a script'}"
