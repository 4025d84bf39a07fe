"""Attribute values of a script: read, checked, complained about (RFC 3880 §5, §6).

Each `read_…` gives back the value, or a harmless one after reporting what is
wrong, so that reading goes on and all errors come out at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from sipd.cpl import slips
from sipd.cpl.findings import meant, shown
from sipd.cpl.grammar import NODES
from sipd.cpl.mailto import BadMailto, read_mailto
from sipd.cpl.nodes import PROXYABLE
from sipd.errors import SipError
from sipd.message import parse_uri

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report
    from sipd.message import Uri
    from sipd.script import Mail

MIN_TIMEOUT: Final = 1
MAX_TIMEOUT: Final = 180
"""Seconds a proxy or lookup may be given (T50); more is cut to that, with a warning."""

REDIRECT_ONLY: Final = frozenset({"http", "https", "mailto"})
"""Schemes a caller can be sent to, but no call proxied to."""

STATUSES: Final = {"busy": 486, "notfound": 404, "reject": 603, "error": 500}
"""Names of statuses in reject (§6.3.1)."""

MAX_REASON: Final = 200

MAX_NUMBER: Final = 100
"""Characters of a number that is no whole one."""

_BLANKS: Final = " \t\r\n"
_SECONDS: Final = re.compile(r"\+?0*([1-9][0-9]*)")
_PRIORITY: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_STATUS: Final = re.compile(r"[0-9]{3}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_FROM: Final = re.compile(r"[?&]from=", re.IGNORECASE)

YES_NO: Final = {"yes": True, "no": False}

Value = TypeVar("Value")


def section(element: Element) -> str:
    """The section of RFC 3880 that a node, or an output's node, is described in."""
    at: Element | None = element
    while at is not None:
        if at.tag in NODES:
            return NODES[at.tag].section
        at = at.parent
    return "3"


def either(words: list[str]) -> str:
    """`a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def read_choice(report: Report, element: Element, name: str, choices: Mapping[str, Value], default: Value) -> Value:
    """The value that the attribute's word stands for; `default` when the attribute is absent."""
    text = element.attributes.get(name)
    if text is None:
        return default
    word = text.strip(_BLANKS)
    if word in choices:
        return choices[word]
    report.error(
        "CPL-VALUE",
        f"{name}={shown(text)}: it is {either(list(choices))}",
        element,
        name,
        section=section(element),
        hint=slip(word, choices),
    )
    return default


def slip(word: str, choices: Collection[str]) -> str:
    """`did you mean “…”?` for a word that is nearly one of these, or that people write for one."""
    usual = slips.VALUES.get(word.lower(), "")
    return f"did you mean {shown(usual)}?" if usual in choices else meant(word, choices)


def read_yes_no(report: Report, element: Element, name: str, default: bool) -> bool:
    """A yes or no."""
    return read_choice(report, element, name, YES_NO, default)


def read_seconds(report: Report, element: Element, name: str) -> float | None:
    """A positive whole number of seconds, cut to what the server allows; None when it is not given."""
    text = element.attributes.get(name)
    if text is None:
        return None
    found = _SECONDS.fullmatch(text.strip(_BLANKS))
    if found is None:
        report.error(
            "CPL-VALUE",
            f"{name}={shown(text)}: it is a whole number of seconds, 1 or more",
            element,
            name,
            section=section(element),
            hint=f'for example {name}="20"',
        )
        return None
    seconds = int(found[1]) if len(found[1]) <= 9 else MAX_TIMEOUT + 1
    if seconds > MAX_TIMEOUT:
        report.warning(
            "CPL-CLAMPED",
            f"{name}={shown(text)} is cut to {MAX_TIMEOUT} seconds",
            element,
            name,
            hint="more is not allowed here",
        )
        return float(MAX_TIMEOUT)
    return float(seconds)


def read_priority(report: Report, element: Element) -> int:
    """A location's priority in thousandths; 1000 when it is not given (§5.1)."""
    text = element.attributes.get("priority")
    if text is None:
        return 1000
    word = text.strip(_BLANKS)
    # As the schema's float it may be written with an exponent; no float is longer than this to any purpose.
    if _PRIORITY.fullmatch(word) and len(word) <= MAX_NUMBER and 0.0 <= float(word) <= 1.0:
        return int(float(word) * 1000 + 1e-9)
    report.error(
        "CPL-VALUE",
        f"priority={shown(text)}: it is a number from 0.0 to 1.0",
        element,
        "priority",
        section="5.1",
        hint='for example priority="0.5"; the highest is tried first',
    )
    return 1000


def read_uri(report: Report, element: Element, name: str, hint: str = "") -> Uri | None:
    """The URI in an attribute; None when it is absent or not one. `hint` is for what is not even like one."""
    text = element.attributes.get(name)
    if text is None:
        return None
    try:
        return parse_uri(text.strip(_BLANKS))
    except SipError as error:
        why = f" ({error.text})" if error.text and error.text != "Bad URI" else ""
    word = text.strip(_BLANKS)
    if re.fullmatch(r"[^\s:@]+@[^\s:@]+", word):
        hint = f"did you mean {shown('sip:' + word)}?"
    elif re.fullmatch(r"\+?[0-9][0-9().-]*", word):
        hint = f"did you mean {shown('tel:' + word)}?"
    else:
        hint = hint or "for example sip:alice@example.com"
    report.error(
        "CPL-URI", f"{name}={shown(text)} is not a URI{why}", element, name, section=section(element), hint=hint
    )
    return None


def read_location(report: Report, element: Element, name: str) -> Uri | None:
    """A URI a call can go to (§5.1)."""
    uri = read_uri(report, element, name)
    if uri is None or uri.scheme in PROXYABLE:
        return uri
    if uri.scheme in REDIRECT_ONLY:
        report.warning(
            "CPL-REDIRECT-ONLY",
            f"a call can be redirected to {uri.scheme}: locations, never proxied",
            element,
            name,
            hint="proxy passes such locations over",
        )
        return uri
    host_port = re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]+", uri.text) is not None
    report.error(
        "CPL-SCHEME",
        f"no call can go to a {shown(uri.scheme, 20)} URI",
        element,
        name,
        hint=f"did you mean {shown('sip:' + uri.text)}?" if host_port else "use sip:, sips: or tel:",
    )
    return None


def read_status(report: Report, element: Element) -> int:
    """What reject answers: 400 to 699 (§6.3.1)."""
    text = element.attributes.get("status")
    if text is None:
        return STATUSES["reject"]  # that it is missing has been reported
    word = text.strip(_BLANKS)
    if word in STATUSES:
        return STATUSES[word]
    if _STATUS.fullmatch(word) and "4" <= word[0] <= "6":
        return int(word)
    report.error(
        "CPL-VALUE",
        f"status={shown(text)}: it is busy, notfound, reject, error, or a number from 400 to 699",
        element,
        "status",
        section="6.3.1",
        hint=slip(word, STATUSES) or "a call is refused with 4xx, 5xx or 6xx only",
    )
    return STATUSES["reject"]


def read_reason(report: Report, element: Element) -> str:
    """The reason phrase of reject: one line (§6.3)."""
    text = element.attributes.get("reason", "")
    if _CONTROL.search(text):
        report.error(
            "CPL-VALUE",
            "reason has a line break or another control character",
            element,
            "reason",
            section="6.3",
            hint="a reason is one line of text",
        )
        return ""
    if len(text) > MAX_REASON:
        report.error(
            "CPL-VALUE",
            f"reason is longer than {MAX_REASON} characters",
            element,
            "reason",
            section="6.3",
            hint="say it shorter",
        )
        return ""
    return text


def read_mail(report: Report, element: Element) -> Mail | None:
    """What the URL of a mail node asks for (§7.1); None when it is absent or of no use."""
    text = element.attributes.get("url")
    if text is None:
        return None
    url = text.strip(_BLANKS)
    try:
        mail = read_mailto(url)
    except BadMailto as error:
        report.error("CPL-MAIL", f"url={shown(text)}: {error.text}", element, "url", hint=error.hint)
        return None
    if _FROM.search(url):
        report.warning(
            "CPL-MAIL-FROM",
            "the From of the mail is left out: mails come from the server's own address",
            element,
            "url",
            hint="reply-to=… says where answers shall go",
        )
    return mail
