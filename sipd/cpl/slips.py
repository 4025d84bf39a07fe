"""What people write who do not know CPL yet, and what they mean: for the hints of error messages."""

from __future__ import annotations

import re
from typing import Final

from sipd.cpl.findings import shown

TAGS: Final = {
    "if": "address-switch",
    "dial": "proxy",
    "ring": "proxy",
    "call": "proxy",
    "deny": "reject",
    "block": "reject",
    "email": "mail",
    "goto": "sub",
    "timeout": "noanswer",
    "unanswered": "noanswer",
    "unavailable": "failure",
    "found": "success",
}
"""Tags there are not."""

ATTRIBUTES: Final = {
    ("location", "to"): "url",
    ("location", "address"): "url",
    ("location", "q"): "priority",
    ("mail", "to"): "url",
    ("mail", "address"): "url",
    ("remove-location", "url"): "location",
    ("lookup", "url"): "source",
    ("reject", "code"): "status",
    ("log", "text"): "comment",
    ("log", "message"): "comment",
    ("subaction", "name"): "id",
    ("sub", "id"): "ref",
    ("sub", "name"): "ref",
    ("language", "is"): "matches",
    ("priority", "is"): "equal",
    ("priority", "equals"): "equal",
    ("address", "equals"): "is",
    ("address", "equal"): "is",
    ("address", "matches"): "is",
    ("address", "prefix"): "subdomain-of",
    ("address", "starts-with"): "subdomain-of",
    ("string", "equals"): "is",
    ("string", "equal"): "is",
    ("string", "matches"): "contains",
    ("time", "start"): "dtstart",
    ("time", "end"): "dtend",
    ("time-switch", "timezone"): "tzid",
    ("time-switch", "zone"): "tzid",
}
"""Attributes a tag has not, with the one that is meant."""

ELSEWHERE: Final = {
    ("redirect", "url"): 'a redirect sends the caller to the locations set before it: <location url="…"> around it',
    ("proxy", "url"): 'a proxy rings the locations set before it: <location url="…"> around it',
}
"""Attributes whose value goes to another tag."""

VALUES: Final = {
    "true": "yes",
    "false": "no",
    "1": "yes",
    "0": "no",
    "on": "yes",
    "off": "no",
    "from": "origin",
    "caller": "origin",
    "to": "original-destination",
    "callee": "destination",
    "request-uri": "destination",
    "name": "display",
    "display-name": "display",
    "number": "tel",
    "phone": "tel",
    "domain": "host",
    "username": "user",
    "scheme": "address-type",
    "serial": "sequential",
    "one-by-one": "sequential",
    "all": "parallel",
    "first": "first-only",
    "decline": "reject",
    "not-found": "notfound",
    "404": "notfound",
}
"""Words in attributes that are one of a few."""

LANGUAGES: Final = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
    "dutch": "nl", "polish": "pl", "russian": "ru", "chinese": "zh", "japanese": "ja", "arabic": "ar",
    "deutsch": "de", "francais": "fr", "espanol": "es", "italiano": "it",
}  # fmt: skip
"""Names of languages with the tags of RFC 3066."""


def unreadable(data: bytes, offset: int) -> tuple[str, str]:
    """What XML can't read at that byte of a script, and what to do about it."""
    before, at = data[:offset], data[offset : offset + 1]
    if not before.strip():
        return "this is no XML", "a script is text that begins with <cpl>"
    amp = before.rfind(b"&", max(0, offset - 40)) if at != b"&" else offset
    if amp >= 0 and re.fullmatch(rb"&[^;<>\"']*", data[amp:offset] or b"&"):
        return "a lone & begins an escape", "write &amp; for the character &"
    if at == b"<":
        return "here is a < inside a value or a tag", "write &lt; for the character <, and end the tag before with >"
    if (at and at < b" ") or at == b"\x7f":
        return f"the control character U+{at[0]:04X} can't stand here", "delete it"
    tag = before[before.rfind(b"<") :]
    if tag.rstrip().endswith(b"=") and (found := re.match(rb"[^\s<>\"'/]*", data[offset : offset + 40])) is not None:
        name = (re.findall(rb"[^\s=<>]+(?=\s*=\s*$)", tag) or [b"status"])[-1]
        example = f'{name.decode("utf-8", "replace")}="{found[0].decode("utf-8", "replace")}"'
        return "a value stands in quotes", f"write {example}"
    return (
        f"{shown(data[offset : offset + 10].decode('utf-8', 'replace'))} can't stand here",
        "is a > or a quote missing?",
    )
