"""Settings written as text: `key=value`, checked against the types of the Settings row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from sipd.errors import BadSyntax, SetupError
from sipd.message import parse_route, split_list
from sipd.rows import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HINTS: Final = get_type_hints(Settings)
WORDS: Final = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
WORDS_OF: Final = {
    "digest_qop": {"auth", "auth-int"},
    "debug": {"all", "sql", "net", "sdp", "misc"},
}
"""Settings that are a list of words, and the words there are."""

LONG: Final = frozenset(
    {"listen", "script_hosts", "script_operations", "service_route", "tls_certificate", "tls_key", "websocket_origins"}
)
"""Settings that may be longer than the others: as their columns are, which SQLite does not mind and MariaDB does."""

ALGORITHM_NAMES: Final = frozenset({"SHA-512-256", "SHA-256", "MD5"})

BOUNDS: Final = {
    "min_expires": (0, 3600),
    "default_expires": (1, 2**31),
    "max_expires": (60, 2**31),
    "max_contacts": (1, 1000),
    "max_script": (1, 1_000_000),
    "stagger": (0.1, 3600),
    "timer_c": (180.001, 86400),
    "nonce_life": (10, 86400),
    "max_transactions": (10, 10_000_000),
    "traces": (0, 1_000_000),
    "max_breadth": (1, 60),
    "flow_timer": (0, 86400),
    "max_connections": (1, 1_000_000),
    "max_connections_per_source": (1, 1_000_000),
    "max_request_rate": (0, 1_000_000),
    "script_versions": (0, 1000),
    "script_traces": (0, 1000),
    "script_log_lines": (0, 100_000),
    "mail_limit": (0, 10_000),
    "cache_refresh": (10, 86400),
    "max_subscriptions": (0, 1_000_000),
}
"""Least and most that a number may be.

RFC 3261: Timer C above three minutes (§16.6), no minimum above an hour (§10.3).
"""


MAIL_SERVER: Final = re.compile(
    r"(?=.{1,200}$)(?:[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
"""`host` or `host:port`; an IPv6 address stands in brackets."""

DOMAIN: Final = re.compile(r"(?=.{1,200}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
"""A domain name that leaves room for the digits of a number in front (RFC 6116 §3.2)."""


def settings_from_texts(texts: Sequence[str]) -> dict[str, object]:
    """The values of `key=value` texts by key, each of the type its setting has.

    Raises SetupError that names the key, what it may be, or the keys there are.
    """
    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in HINTS or key == "name":
            known = ", ".join(name for name in HINTS if name != "name")
            raise SetupError(f"not a setting: {text!r}", f"Write KEY=VALUE with one of: {known}")
        found[key] = _read(key, value)
    return found


def mistyped(settings: Settings) -> dict[str, object]:
    """What stands in the row where a number should: SQLite takes any value in any column."""
    row = settings._asdict()
    kinds: dict[str, tuple[type, ...]] = {
        name: (int, float) if hint is float else (int,) for name, hint in HINTS.items() if hint in (int, float)
    }
    return {name: row[name] for name, types in kinds.items() if not isinstance(row[name], types)}


def _read(key: str, value: str) -> object:
    hint = HINTS[key]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if value not in choices:
            raise SetupError(f"{key} can't be {value!r}", f"It is one of: {', '.join(choices)}")
        return value
    if hint is bool:
        if value.lower() not in WORDS:
            raise SetupError(f"{key} can't be {value!r}", "It is yes or no")
        return WORDS[value.lower()]
    if hint in (int, float):
        return _number(key, value, hint)
    longest = 1000 if key in LONG else 255
    if len(value) > longest:
        raise SetupError(f"{key} can't be that long", f"It may have {longest} characters")
    if any(ord(letter) < 32 for letter in value):
        raise SetupError(f"{key} can't hold control characters")
    if key in ("script_operations", "script_hosts"):
        _check_scripts(key, value)
    if key == "time_zone" and value:
        _check_zone(value)
    if key == "digest_algorithms":
        _check_algorithms(value)
    if key in WORDS_OF:
        known = WORDS_OF[key]
        words = value.split()
        for word in words:
            if word not in known:
                raise SetupError(f"{key} can't hold {word!r}", f"It is words of: {', '.join(sorted(known))}")
        if key == "digest_qop" and (not words or len(set(words)) < len(words)):
            raise SetupError(
                f"{key} can't be {value!r}", f"It is at least one, each once, of: {', '.join(sorted(known))}"
            )
    if key == "service_route" and not all(map(_is_loose_route, split_list(value) if value else ())):
        raise SetupError(f"service_route can't be {value!r}", "It is SIP URIs as in <sip:proxy.example.com;lr>")
    if key == "enum" and value and not DOMAIN.fullmatch(value):
        raise SetupError(f"enum can't be {value!r}", "It is a domain as e164.arpa, or empty")
    if key in FORMS and value and not FORMS[key].is_one(value):
        raise SetupError(f"{key} can't be {value!r}", FORMS[key].hint)
    return value


def _check_algorithms(value: str) -> None:
    from sipd.core.challenge import algorithm_lists, listener_from_text  # here, as the room takes a while to load

    for word in value.split():
        try:
            if ":" in word:
                listener_from_text(word)
        except ValueError:
            raise SetupError(
                f"digest_algorithms can't hold {word!r}",
                "What has a colon is a listener as in the setting listen, with its port: udp:192.0.2.1:5070",
            ) from None
    for near, words in algorithm_lists(value).items():
        if not words or len(set(words)) < len(words) or not ALGORITHM_NAMES.issuperset(words):
            whose = "" if near is None else f" for {near}"
            raise SetupError(
                f"digest_algorithms can't be {value!r}",
                f"It is at least one{whose}, each once, of: {', '.join(sorted(ALGORITHM_NAMES))}",
            )


def _check_scripts(key: str, value: str) -> None:
    from sipd.cpl.sources import hosts_from_text  # here, as the room takes a while to load
    from sipd.cpl.terms import operations_of

    try:
        operations_of(value) if key == "script_operations" else hosts_from_text(value)
    except ValueError as error:
        hint = "It is all, none or operations, and CLASS:operations for users of a class"
        raise SetupError(f"{key} can't be {value!r}: {error}", hint if key == "script_operations" else "") from error


def _check_zone(value: str) -> None:
    from sipd.cpl.zones import zone_hint, zone_of

    if zone_of(value) is None:
        raise SetupError(f"time_zone can't be {value!r}: there is no such zone here", zone_hint(value))


class Form(NamedTuple):
    """What a text setting that is not empty must look like."""

    is_one: Callable[[str], bool]
    hint: str


def _is_mail_server(text: str) -> bool:
    found = MAIL_SERVER.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 25) < 65536


def _is_mail_address(text: str) -> bool:
    """Whether it is an addr-spec in ASCII (RFC 5322 §3.4.1), with nothing around it."""
    from sipd.cpl.mailto import BadMailto, address_of  # here, as the package takes a while to load

    try:
        return address_of(text) == text
    except BadMailto:
        return False


FORMS: Final = {
    "mail_server": Form(_is_mail_server, "It is the host that takes mail, as localhost or mail.example.com:587"),
    "mail_from": Form(_is_mail_address, "It is a mail address as sipd@example.com"),
}


def _is_loose_route(text: str) -> bool:
    """Whether it is a Route value of RFC 3261, as those of Service-Route are (RFC 3608 §5)."""
    try:
        uri = parse_route(text).uri
    except BadSyntax:
        return False
    return uri.is_sip and uri.param("lr") is not None


def _number(key: str, value: str, hint: type) -> int | float:
    least, most = BOUNDS[key]
    if NUMBER.fullmatch(value) and (hint is float or "." not in value):
        number: int | float = float(value) if hint is float else int(value)
        if least <= number <= most:
            return number
    kind = "a number" if hint is float else "a whole number"
    raise SetupError(f"{key} can't be {value!r}", f"It is {kind} from {least:g} to {most:g}")
