"""A `mailto:` URL to the mail it asks for: decoded, bounded, safe to send (RFC 6068, RFC 3880 §7.1).

Scripts are hostile, and whoever can write header fields of a mail can send it
to anybody in anybody's name. So a value has no control characters, addresses
are plain addr-specs, and only the fields of a short list are taken.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from sipd.cpl.findings import shown
from sipd.script import Mail

MAX_URL: Final = 8000
"""Characters of a mailto URL."""

MAX_RECIPIENTS: Final = 5
"""People one mail goes to (T46)."""

MAX_VALUE: Final = 400
"""Characters of a header field's value."""

MAX_BODY: Final = 4000
"""Characters of a body."""

TAKEN: Final = {
    "keywords": "Keywords",
    "comments": "Comments",
    "in-reply-to": "In-Reply-To",
    "references": "References",
    "importance": "Importance",
    "priority": "Priority",
    "x-priority": "X-Priority",
    "organization": "Organization",
}
"""Header fields a URL may set besides subject, to, cc, reply-to and body; all others are the server's own affair."""

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_BODY_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*|\"[ !#-;=?-\[\]-~]+\"")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[(?:[0-9.]+|IPv6:[0-9A-Fa-f:.]+)\]")
_USUAL: Final = "@?=&,:;/!$'()*+%"
_COMMA: Final = re.compile(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")  # not those inside quotes


class BadMailto(Exception):
    """The URL asks for no mail that can be sent; `hint` says how to mend it."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


def read_mailto(url: str) -> Mail:
    """The mail that a URL asks for. Raises BadMailto.

    A From in it is left out, for the server sets that (§7.1.1).
    """
    if len(url) > MAX_URL:
        raise BadMailto(f"it is longer than {MAX_URL} characters", "say it shorter")
    scheme, colon, rest = url.partition(":")
    if not colon or scheme.lower() != "mailto":
        near = (
            f"mailto:{quote(url, _USUAL)}" if not colon and "@" in url and len(url) < 60 else "mailto:alice@example.com"
        )
        raise BadMailto("it is not a mailto: URL", f"for example {near}")
    if any(c.isspace() for c in rest) or "#" in rest:
        raise BadMailto("a blank or # can't stand in a URL", "a blank is written %20, and # is %23")
    addresses, _, query = rest.partition("?")
    letter = _Letter()
    if addresses:
        letter.to += [address_of(_decoded(each, "an address")) for each in addresses.split(",")]
    for field in query.split("&") if query else ():
        name, equals, value = field.partition("=")
        if not equals:
            raise BadMailto(f"{shown(field, 40)} is no name=value", "fields stand behind ? with &amp; between them")
        letter.take(_decoded(name, "a name").lower(), value)
    return letter.finished()


class _Letter:
    """What was read of a URL so far."""

    def __init__(self) -> None:
        self.to: list[str] = []
        self._cc: list[str] = []
        self._reply_to: list[str] = []
        self._texts: dict[str, str] = {}

    def take(self, name: str, value: str) -> None:
        """One field of the URL."""
        lists = {"to": self.to, "cc": self._cc, "reply-to": self._reply_to}
        if name in lists:
            lists[name] += addresses_of(_decoded(value, name))
        elif name == "from":
            _decoded(value, name)
        elif name in ("subject", "body") or name in TAKEN:
            if name in self._texts:
                raise BadMailto(f"{name} is given twice", "give it once")
            self._texts[name] = _decoded(value, name)
        elif name.startswith("amp;"):
            raise BadMailto(f"the field {shown(name, 40)} can't be set", "“&amp;” was escaped twice: write it once")
        else:
            known = f"subject, body, to, cc, reply-to, {', '.join(TAKEN)}"
            raise BadMailto(f"the field {shown(name, 40)} can't be set", f"there are {known}")

    def finished(self) -> Mail:
        """The mail."""
        receivers = {address.lower() for address in (*self.to, *self._cc)}
        if not receivers:
            raise BadMailto("it names nobody to send to", "for example mailto:alice@example.com")
        if len(receivers) > MAX_RECIPIENTS:
            raise BadMailto(f"it names more than {MAX_RECIPIENTS} people", "write to fewer")
        headers = tuple((TAKEN[name], value) for name, value in self._texts.items() if name in TAKEN)
        subject, body = self._texts.get("subject"), self._texts.get("body")
        return Mail(tuple(self.to), tuple(self._cc), subject, tuple(self._reply_to), body, headers)


def _decoded(text: str, name: str) -> str:
    """A part of the URL without its escapes: printable, and not too long. Raises BadMailto."""
    if _BAD_ESCAPE.search(text):
        raise BadMailto("a % does not begin an escape", "a % itself is written %25")
    try:
        value = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadMailto(f"the escapes in {name} are not UTF-8", "ä is %C3%A4") from None
    body = name == "body"
    if body:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if (_BODY_CONTROL if body else _CONTROL).search(value):
        hint = "lines end in body only, as %0D%0A" if not body else "write text and line ends only"
        raise BadMailto(f"{name} has a line break or another control character", hint)
    most = MAX_BODY if body else MAX_VALUE
    if len(value) > most:
        raise BadMailto(f"{name} is longer than {most} characters", "say it shorter")
    return value


def addresses_of(text: str) -> list[str]:
    """The addresses of a list with commas. Raises BadMailto."""
    return [address_of(each.strip(" ")) for each in _COMMA.split(text)]


def address_of(text: str) -> str:
    """One addr-spec, its domain in ASCII (RFC 5322 §3.4.1). Raises BadMailto for anything else."""
    local, at, domain = text.rpartition("@")
    if at and not domain.isascii() and len(domain) <= 253:
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            domain = ""
    # An encoded word is no part of an address (RFC 2047 §5), and readers decode it all the same.
    good = at and len(local) <= 64 and len(domain) <= 253 and "=?" not in local
    if not good or _LOCAL.fullmatch(local) is None or _DOMAIN.fullmatch(domain) is None:
        hint = "write the address alone: alice@example.com"
        raise BadMailto(f"{shown(text)} is no mail address", hint)
    return f"{local}@{domain}"
