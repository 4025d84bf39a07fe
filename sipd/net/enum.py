"""ENUM (RFC 6116): a telephone number -> the sip and sips URIs that DNS has for it, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from sipd.errors import BadSyntax
from sipd.message import parse_uri
from sipd.net.dns import FAILED_TTL, LIFETIME, NoAnswer
from sipd.net.ere import BadExpression, compile_ere, match

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.net.dns import Dns, Naptr

MAX_RULES: Final = 20
"""Rules of one name that are looked at."""

MAX_DOMAINS: Final = 5
"""Further names that rules may lead to (§5.2.1): more are a loop."""

MAX_URIS: Final = 10
MAX_URI: Final = 255
"""Bytes of a URI made by a rule; a rule itself has no more in DNS."""


class Number(NamedTuple):
    """What is looked up: `+` and digits, and the domain under which numbers are."""

    number: str
    domain: str


class Listed(NamedTuple):
    """What a number is known under; nothing: it is in no zone."""

    uris: tuple[str, ...]
    expires: float


def domain_name(number: Number) -> str:
    """The digits from the last to the first, each a label, under the domain (§3.2)."""
    return ".".join(reversed(number.number[1:])) + "." + number.domain.strip(".").lower()


def speaks_sip(service: str) -> bool:
    """Whether the service of a rule, in upper case, is E2U with `sip` among its Enumservices, or the old `sip+E2U`."""
    first, *others = service.split("+")
    if first == "E2U":
        return any(one.split(":")[0] == "SIP" for one in others)
    return first == "SIP" and others == ["E2U"]  # RFC 2916, as §5.2 wants it


def rewritten(regexp: str, number: str) -> str | None:
    """The URI that a rule makes of a number; None when it does not match, or is none (RFC 3402 §3.2).

    The replacement is the whole result: a rule that matches a part of the
    number only is not meant to keep the rest.
    """
    fields = _fields(regexp)
    if fields is None:
        return None
    expression, replacement, _ = fields
    try:
        groups = match(compile_ere(expression), number)
    except BadExpression:
        return None
    return None if groups is None else _filled(replacement, groups)


def _fields(regexp: str) -> tuple[str, str, str] | None:
    """Expression, replacement and flags of a rule; None where there are not just three delimiters."""
    delimiter = regexp[:1]
    if not delimiter or delimiter in "0123456789i\\":
        return None
    fields = [""]
    at = 1
    while at < len(regexp):
        sign = regexp[at]
        if sign == "\\" and at + 1 < len(regexp):
            escaped = regexp[at + 1]
            fields[-1] += escaped if escaped == delimiter else sign + escaped
            at += 1
        elif sign == delimiter:
            fields.append("")
        else:
            fields[-1] += sign
        at += 1
    return (fields[0], fields[1], fields[2]) if len(fields) == 3 else None


def _filled(replacement: str, groups: tuple[str, ...]) -> str | None:
    """The replacement with `\\1` to `\\9` filled in; None for a group that there is not, or a result too long."""
    made = ""
    at = 0
    while at < len(replacement):
        sign = replacement[at]
        if sign == "\\":
            at += 1
            sign = replacement[at : at + 1]
            if sign.isascii() and sign.isdigit():
                if sign == "0" or int(sign) >= len(groups):
                    return None
                sign = groups[int(sign)]
        made += sign
        at += 1
        if len(made) > MAX_URI:
            return None
    return made


def usable(text: str | None) -> bool:
    """Whether a rule's result is a URI that a request may go to."""
    try:
        uri = parse_uri(text or "")
    except BadSyntax:
        return False
    return uri.is_sip and not uri.headers and uri.param("method") is None


class Query:
    """One number being looked up: the rules of its name, and of those that these lead to."""

    def __init__(self, dns: Dns, number: Number, clock: Callable[[], float]) -> None:
        self._dns = dns
        self._number = number
        self._clock = clock
        self._ttl = float("inf")
        self._seen: set[str] = set()
        self._uris: dict[str, None] = {}

    async def run(self) -> Listed:
        """Everything found until now when somebody has no more patience: the rest is absent."""
        await self._follow(domain_name(self._number))
        return self.found()

    def found(self) -> Listed:
        """What is known so far."""
        ttl = FAILED_TTL if self._ttl == float("inf") else self._ttl
        return Listed(tuple(self._uris)[:MAX_URIS], self._clock() + ttl)

    async def _follow(self, name: str) -> None:
        """Go through the rules of a name, by order and preference (§5.2); a rule without flag leads to another name."""
        self._seen.add(name)
        try:
            answer = await self._dns.naptr(name, LIFETIME)
        except NoAnswer:
            self._ttl = min(self._ttl, FAILED_TTL)
            return
        self._ttl = min(self._ttl, answer.ttl)
        for rule in sorted(answer.records, key=lambda rule: rule[:2])[:MAX_RULES]:
            await trio.lowlevel.checkpoint()  # an expression made to be slow costs others no more than itself
            if rule.flags == "u":
                self._apply(rule)
            elif not rule.flags and rule.replacement and self._is_new(rule.replacement):
                await self._follow(rule.replacement)

    def _is_new(self, name: str) -> bool:
        return name not in self._seen and len(self._seen) <= MAX_DOMAINS

    def _apply(self, rule: Naptr) -> None:
        if not speaks_sip(rule.service) or rule.replacement:
            return
        text = rewritten(rule.regexp, self._number.number)
        if text is not None and usable(text):
            self._uris.setdefault(text)
