"""How values of a call are compared with values of a script (RFC 3880 §4): each `is_…` gives back a test.

The value a test is given has been made comparable when it was looked at
(`subfields.py`): strings folded, hosts in lower case, numbers without
separators.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from operator import contains, eq
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

IpAddress = IPv4Address | IPv6Address

_MAYBE_ADDRESS: Final = re.compile(r"[0-9.]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")
_SEPARATORS: Final = re.compile(r"[\s().\-/]+")
_RANGE: Final = re.compile(r"[ \t]*([A-Za-z0-9-]+|\*)[ \t]*(?:;[ \t]*q[ \t]*=[ \t]*([01](?:\.[0-9]*)?)[ \t]*)?", re.I)
_ZERO: Final = re.compile(r"0(\.0*)?")

PRIORITIES: Final = {"non-urgent": 0, "normal": 1, "urgent": 2, "emergency": 3}
"""Priorities in their order (§4.5); one that is not here counts as normal but for `equal`."""


MAX_FOLDED: Final = 1000
"""Characters of a string that are compared: the time that marks above letters take grows with the square."""


def fold(text: str) -> str:
    """`text` for comparing strings: Unicode form KC, then caseless (§4.2); KC once more makes the result stable.

    What is longer than MAX_FOLDED is cut, and equal to nothing.
    """
    return text.lower() if text.isascii() else _folded(text)


@lru_cache(maxsize=256)
def _folded(text: str) -> str:
    whole = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[:MAX_FOLDED]).casefold())
    return whole if len(text) <= MAX_FOLDED else whole + "\ufffe"


@lru_cache(maxsize=1024)
def ip_of(host: str) -> IpAddress | None:
    """The IP address that `host` is written as, None for a name (§4.1: a name never equals an address)."""
    if _MAYBE_ADDRESS.fullmatch(host) is None:
        return None
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def host_name(text: str) -> str:
    """A host for comparing as a string: lower case, without the root's dot."""
    return text.lower().removesuffix(".")


@lru_cache(maxsize=1024)
def digits_of(number: str) -> str:
    """A telephone number without its separators and in lower case; a leading + stays (§4.1, RFC 3966 §5.1.1)."""
    return _SEPARATORS.sub("", unquote(number)).lower()


def plain_user(user: str) -> str:
    """A user part or password with its escapes undone; bytes that are no UTF-8 survive."""
    return unquote(user, errors="surrogateescape") if "%" in user else user


def is_word(wanted: str) -> Callable[[str], bool]:
    """Equal by every letter: subfields user and password. The script may write it escaped or plain."""
    undone = plain_user(wanted)
    if undone == wanted:
        return partial(eq, wanted)
    return partial(contains, frozenset({wanted, undone}))


def is_caseless(wanted: str) -> Callable[[str], bool]:
    """Equal but for case: address-type."""
    return partial(eq, wanted.lower())


def is_host(wanted: str) -> Callable[[str], bool]:
    """Subfield host, `is`: names as strings without case, addresses by their number."""
    address = ip_of(wanted)
    if address is not None:
        return lambda seen: ip_of(seen) == address
    return partial(eq, host_name(wanted))


def is_host_below(wanted: str) -> Callable[[str], bool]:
    """Subfield host, `subdomain-of`: the domain and all below it; leading dots say nothing; an address only itself."""
    if ip_of(wanted) is not None:
        return is_host(wanted)
    name = host_name(wanted).lstrip(".")
    suffix = "." + name

    return lambda seen: (seen == name or seen.endswith(suffix)) and ip_of(seen) is None


def is_number(wanted: str) -> Callable[[str], bool]:
    """Subfield tel, `is`. A script's number without + matches with and without; one with + only with."""
    number = digits_of(wanted)
    if number.startswith("+"):
        return partial(eq, number)
    return lambda seen: seen.removeprefix("+") == number


def is_number_below(wanted: str) -> Callable[[str], bool]:
    """Subfield tel, `subdomain-of`: numbers that begin so; + as in `is_number`."""
    number = digits_of(wanted)
    if number.startswith("+"):
        return lambda seen: seen.startswith(number)
    return lambda seen: seen.removeprefix("+").startswith(number)


def is_text(wanted: str) -> Callable[[str], bool]:
    """Strings and display names, `is`: the value seen is folded already."""
    return partial(eq, fold(wanted))


def is_text_part(wanted: str) -> Callable[[str], bool]:
    """Strings and display names, `contains`: the value seen is folded already."""
    part = fold(wanted)
    return lambda seen: part in seen


@lru_cache(maxsize=256)
def language_ranges(accept_language: str) -> frozenset[str]:
    """The ranges of an Accept-Language value that count (§4.3): not `*`, not those with q=0; lower case."""
    found = (_RANGE.fullmatch(part) for part in accept_language[:4096].split(","))
    return frozenset(
        match[1].lower()
        for match in found
        if match is not None and match[1] != "*" and (match[2] is None or _ZERO.fullmatch(match[2]) is None)
    )


def is_language(wanted: str) -> Callable[[frozenset[str]], bool]:
    """`matches`: a range is the tag, or a beginning of it that ends before a hyphen (RFC 3066 §2.5)."""
    parts = wanted.lower().split("-")
    good = frozenset("-".join(parts[: count + 1]) for count in range(len(parts)))
    return lambda ranges: not good.isdisjoint(ranges)


def rank(priority: str) -> int:
    """Where a priority stands for `less` and `greater`; an unknown one stands as normal (§4.5)."""
    return PRIORITIES.get(priority, 1)


def is_less(wanted: str) -> Callable[[str], bool]:
    """`less`: of a lower priority than that."""
    limit = rank(wanted.lower())
    return lambda seen: rank(seen) < limit


def is_greater(wanted: str) -> Callable[[str], bool]:
    """`greater`: of a higher priority than that."""
    limit = rank(wanted.lower())
    return lambda seen: rank(seen) > limit
