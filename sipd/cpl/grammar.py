"""The tags of CPL: what each may hold (RFC 3880 §3 to §9). One row a tag; the compiler, pictures and docs read it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["switch", "modifier", "signalling", "other", "sub"]


class NodeShape(NamedTuple):
    """What a node looks like in XML."""

    section: str  # of RFC 3880
    kind: Kind
    attributes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()  # tags inside it; a switch's may come several times
    followed: bool = False  # the next node stands directly inside


_SWITCH_ENDS: Final = ("not-present", "otherwise")
_TIME: Final = (
    "dtstart", "dtend", "duration", "freq", "interval", "until", "count", "bysecond", "byminute", "byhour",
    "byday", "bymonthday", "byyearday", "byweekno", "bymonth", "wkst", "bysetpos",
)  # fmt: skip

NODES: Final[dict[str, NodeShape]] = {
    "address-switch": NodeShape("4.1", "switch", ("field", "subfield"), ("field",), ("address", *_SWITCH_ENDS)),
    "string-switch": NodeShape("4.2", "switch", ("field",), ("field",), ("string", *_SWITCH_ENDS)),
    "language-switch": NodeShape("4.3", "switch", outputs=("language", *_SWITCH_ENDS)),
    "time-switch": NodeShape("4.4", "switch", ("tzid", "tzurl"), (), ("time", *_SWITCH_ENDS)),
    "priority-switch": NodeShape("4.5", "switch", outputs=("priority", *_SWITCH_ENDS)),
    "location": NodeShape("5.1", "modifier", ("url", "priority", "clear"), ("url",), followed=True),
    "lookup": NodeShape(
        "5.2", "modifier", ("source", "timeout", "clear"), ("source",), ("success", "notfound", "failure")
    ),
    "remove-location": NodeShape("5.3", "modifier", ("location",), followed=True),
    "proxy": NodeShape(
        "6.1",
        "signalling",
        ("timeout", "recurse", "ordering"),
        outputs=("busy", "noanswer", "redirection", "failure", "default"),
    ),
    "redirect": NodeShape("6.2", "signalling", ("permanent",)),
    "reject": NodeShape("6.3", "signalling", ("status", "reason"), ("status",)),
    "mail": NodeShape("7.1", "other", ("url",), ("url",), followed=True),
    "log": NodeShape("7.2", "other", ("name", "comment"), followed=True),
    "sub": NodeShape("8", "sub", ("ref",), ("ref",)),
}
"""Every node of the base language by its tag."""

OUTPUT_ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "address": ("is", "contains", "subdomain-of"),
    "string": ("is", "contains"),
    "language": ("matches",),
    "time": _TIME,
    "priority": ("less", "greater", "equal"),
}
"""Attributes of the outputs that have any."""

OUTPUT_REQUIRES: Final[dict[str, tuple[str, ...]]] = {"language": ("matches",), "time": ("dtstart",)}
"""Those of them that must be there."""

OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    output: tuple(tag for tag, shape in NODES.items() if output in shape.outputs)
    for shape in NODES.values()
    for output in shape.outputs
}
"""Every output tag with the nodes it belongs to."""

TOP: Final = {"ancillary": "9", "subaction": "8", "outgoing": "3", "incoming": "3"}
"""The tags directly inside cpl, with their sections."""

ALL_TAGS: Final = frozenset({"cpl", *TOP, *NODES, *OUTPUTS})

OPERATIONS: Final = frozenset(tag for tag, shape in NODES.items() if shape.kind in ("modifier", "signalling", "other"))
"""What an administrator can permit or forbid (§13); switches and subactions are always allowed."""

OLD_NAMES: Final = {
    "no-answer": "noanswer",
    "not-found": "notfound",
    "redirect": "redirection",
    "error": "failure",
    "else": "otherwise",
    "default": "otherwise",
    "otherwise": "default",
    "notpresent": "not-present",
    "time-range": "time",
    "forward": "proxy",
    "user-switch": "address-switch",
    "sub-action": "subaction",
}
"""Names people write for others."""
