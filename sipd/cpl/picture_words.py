"""What the parts of a script do, in plain words for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.spoken_time import when
from sipd.cpl.values import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.cpl.document import Element


class Words(NamedTuple):
    """What a box says: one line in bold, and more about it."""

    head: str
    more: tuple[str, ...] = ()


_WHO: Final = {
    "origin": "caller",
    "destination": "callee",
    "original-destination": "first callee",
}
_PARTS: Final = {
    "user": "user name",
    "host": "host",
    "port": "port",
    "tel": "number",
    "display": "display name",
    "password": "password",
    "address-type": "kind of address",
    "alias-type": "kind of alias",
}
_STRINGS: Final = {
    "subject": "subject",
    "organization": "organization",
    "user-agent": "program of the phone",
    "display": "text for the display",
}


def _address_switch(element: Element) -> Words:
    who = _WHO.get(_value(element, "field"), _value(element, "field"))
    part = _value(element, "subfield")
    if not part:
        return Words(f"{who}?")
    said = _PARTS.get(part, part)
    return Words(f"{who}’s {said}?")


def _string_switch(element: Element) -> Words:
    field = _value(element, "field")
    return Words(f"{_STRINGS.get(field, field)}?")


def _time_switch(element: Element) -> Words:
    zone = _value(element, "tzid") or _value(element, "tzurl")
    return Words("time?", (f"in {zone}",) if zone else ())


def _location(element: Element) -> Words:
    priority = _value(element, "priority")
    at = (f"priority {priority}",) if priority else ()
    return Words("only" if _value(element, "clear") == "yes" else "add", (_value(element, "url"), *at))


def _lookup(element: Element) -> Words:
    source, timeout = _value(element, "source"), _value(element, "timeout")
    more = (f"at most {timeout} s",) if timeout else ()
    if _value(element, "clear") == "yes":
        more = ("in place of the others", *more)
    return Words("look up phones", more) if source == "registration" else Words("look up", (source, *more))


def _remove(element: Element) -> Words:
    uri = _value(element, "location")
    return Words("take out", (uri,)) if uri else Words("take out all")


_ORDERINGS: Final = {
    "parallel": "all at once",
    "sequential": "one after another",
    "first-only": "the first only",
}


def _proxy(element: Element) -> Words:
    more = []
    ordering, timeout = _value(element, "ordering"), _value(element, "timeout")
    if ordering:
        more.append(_ORDERINGS.get(ordering, ordering))
    if timeout:
        more.append(f"for {timeout} s")
    if _value(element, "recurse") == "no":
        more.append("follow no redirection")
    return Words("ring", tuple(more))


def _redirect(element: Element) -> Words:
    return Words("redirect", ("for good (301)",) if _value(element, "permanent") == "yes" else ("for now (302)",))


def _reject(element: Element) -> Words:
    status, reason = _value(element, "status"), _value(element, "reason")
    number = STATUSES.get(status)
    said = f"{status} ({number})" if number else status
    return Words(f"refuse: {said}", (f"“{reason}”",) if reason else ())


def _mail(element: Element) -> Words:
    address, _, fields = _value(element, "url").removeprefix("mailto:").partition("?")
    return Words("send mail", (f"to {address}", *((fields,) if fields else ())))


def _log(element: Element) -> Words:
    name, comment = _value(element, "name"), _value(element, "comment")
    return Words("write to the log" + (f" {name}" if name else ""), (f"“{comment}”",) if comment else ())


NODE_WORDS: Final[dict[str, Callable[[Element], Words]]] = {
    "address-switch": _address_switch,
    "string-switch": _string_switch,
    "language-switch": lambda element: Words("caller’s language?"),
    "time-switch": _time_switch,
    "priority-switch": lambda element: Words("how urgent?"),
    "location": _location,
    "lookup": _lookup,
    "remove-location": _remove,
    "proxy": _proxy,
    "redirect": _redirect,
    "reject": _reject,
    "mail": _mail,
    "log": _log,
    "sub": lambda element: Words("go on at", (f"“{_value(element, 'ref')}”",)),
}
"""What each node says in a picture."""


def node_words(element: Element) -> Words:
    """What a node does."""
    words = NODE_WORDS.get(element.tag)
    return words(element) if words else Words(element.tag)


_OPERATORS: Final = {
    "is": "is {}",
    "contains": "contains “{}”",
    "subdomain-of": "in {}",  # the domain itself is in it
    "matches": "{}",
    "less": "less than {}",
    "greater": "more than {}",
    "equal": "{}",
}
OUTCOMES: Final = {
    "not-present": "is missing",
    "success": "found",
    "notfound": "none found",
    "failure": "fails",
    "busy": "busy",
    "noanswer": "no answer",
    "redirection": "redirected",
    "default": "anything else",
}
"""What the outputs without attributes stand for."""


def output_words(element: Element) -> str:
    """What must hold for an output to be taken."""
    if element.tag == "time":
        return when(element.attributes)
    for operator, text in _OPERATORS.items():
        value = element.attributes.get(operator)
        if value is not None:
            text = "begins with {}" if operator == "subdomain-of" and _is_number(element) else text
            return text.format(value)
    return OUTCOMES.get(element.tag, element.tag)


def _is_number(element: Element) -> bool:
    return element.parent is not None and _value(element.parent, "subfield") == "tel"


def _value(element: Element, name: str) -> str:
    return element.attributes.get(name, "").strip()
