"""The made-up call, of the options: the house, who calls whom and when, what the phones do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.behaviour import behaviours
from sipd.core.simulated import FOR_EVER, SimulatedCall, SimulatedHouse
from sipd.errors import SetupError, SipError
from sipd.hop import Target
from sipd.message import parse_address, parse_uri, q_from_text
from sipd.rows import Binding, Settings
from sipd.script import LookupResult
from sipd.tools.checking.times import machine_zone, moment, zone_named

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from sipd.core.behaviour import Behaviours
    from sipd.cpl import Program
    from sipd.message import Uri

OWNER: Final = "bob@example.com"
CALLER: Final = "sip:alice@example.net"
MADE_UP: Final = "192.0.2.10"
"""Who has the script, who calls, and where the phone is, when nothing is said."""

_NAME: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_OURS: Final = frozenset({"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "content-length", "l", "route"})
_AOR: Final = re.compile(r"[^\s@<>;?:]+@[^\s@<>;?:]+")


class Rows(NamedTuple):
    """What is known of the house beside the script that is checked."""

    domains: Mapping[str, str] = {}
    registered: Mapping[str, Sequence[Binding]] = {}
    programs: Mapping[str, Program] = {}
    settings: Settings = Settings()
    complete: bool = False  # these are all users; else it is made up
    aliases: Mapping[str, Sequence[str]] = {}


NOTHING: Final = Rows()


class Situation(NamedTuple):
    """A call to be simulated, whatever the script."""

    owner: str
    call: SimulatedCall
    behaviours: Behaviours
    registered: tuple[Binding, ...]  # of the owner
    lookups: Mapping[str, LookupResult]
    rows: Rows
    made_up: bool  # nobody said what is registered

    def house(self, program: Program | None) -> SimulatedHouse:
        """The house in which the owner has this script."""
        rows, domain = self.rows, self.owner.rpartition("@")[2]
        programs = dict(rows.programs)
        programs.pop(self.owner, None)
        if program is not None:
            programs[self.owner] = program
        return SimulatedHouse(
            {**rows.domains, domain: domain},
            {**rows.registered, self.owner: self.registered},
            programs,
            rows.settings._replace(enum=""),
            complete=rows.complete,
            lookups=self.lookups,
            numbers=bool(rows.settings.enum),
            aliases=rows.aliases,
        )


def zone_asked(options: argparse.Namespace) -> str:
    """The zone of --tz, else the machine's. Raises SetupError."""
    return zone_named(options.tz).key if options.tz else machine_zone()


def owner_asked(options: argparse.Namespace) -> str:
    """Whose script it is: --user, else who the call is to, or from. Raises SetupError."""
    text = options.user or (options.caller if options.outgoing else options.to)
    if not text:
        return OWNER
    aor = _bare(text)
    if _AOR.fullmatch(aor) is None:
        raise SetupError(f"{text[:80]!r} names no user", "Write --user alice@example.com")
    user, _, domain = aor.rpartition("@")
    return f"{user}@{domain.lower()}"


def _bare(text: str) -> str:
    """`user@domain` of an address with or without a scheme, name and parameters."""
    try:
        uri = parse_address(_with_scheme(text)).uri
    except SipError:
        return text
    return f"{uri.user_unescaped}@{uri.host}" if uri.is_sip else text


def situation(options: argparse.Namespace, owner: str, now: datetime, rows: Rows = NOTHING) -> Situation:
    """The call that the options make up, to or from this owner. Raises SetupError."""
    zone: ZoneInfo = zone_named(zone_asked(options))
    when = now.astimezone(zone).replace(microsecond=0) if options.at is None else moment(options.at, zone, now)
    ours = f"sip:{owner}"
    if options.outgoing:
        caller, to = options.caller or ours, options.to or CALLER
    else:
        caller, to = options.caller or CALLER, options.to or ours
    caller, to = _address(caller, "--from"), _uri(to, "--to").text
    headers = tuple(map(_header, options.header or ()))
    proven = _proven(caller, owner, rows)
    call = SimulatedCall(caller, to, to, when, headers, proven)
    try:
        call.request()
    except (SipError, ValueError) as error:
        raise SetupError(f"no request can say this call: {error}") from None
    try:
        told = behaviours(options.outcome or ())
    except ValueError as error:
        raise SetupError(f"--outcome: {error}") from None
    made_up = options.registered is None and not rows.complete
    if options.registered is not None:
        registered = _registered(options.registered, owner)
    elif rows.complete:
        registered = tuple(rows.registered.get(owner, ()))
    else:
        registered = (Binding(owner, f"sip:{owner.partition('@')[0]}@{MADE_UP}", expires_at=FOR_EVER),)
    lookups = dict(_lookup(text, owner) for text in options.lookup or ())
    return Situation(owner, call, told, registered, lookups, rows, made_up)


def _proven(caller: str, owner: str, rows: Rows) -> str:
    """The caller, when he is a user of the house: such a one proves himself."""
    uri = parse_address(caller).uri
    own = owner.rpartition("@")[2]
    if not uri.is_sip or not uri.user:
        return ""
    domain = {**rows.domains, own: own}.get(uri.host.lower().rstrip("."))
    aor = f"{uri.user_unescaped}@{domain}"
    return aor if domain is not None and (not rows.complete or aor in rows.registered) else ""


def _with_scheme(text: str) -> str:
    return f"sip:{text}" if _AOR.fullmatch(text) else text


def _address(text: str, option: str) -> str:
    try:
        text = _with_scheme(text)
        parse_address(text if "<" in text else f"<{text}>")
    except SipError:
        raise SetupError(f"{option} {text[:80]!r} is no address", "Write it as sip:alice@example.net") from None
    return text


def _uri(text: str, option: str) -> Uri:
    try:
        return parse_uri(_with_scheme(text))
    except SipError:
        raise SetupError(f"{option} {text[:80]!r} is no URI", "Write it as sip:bob@example.com") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or _NAME.fullmatch(name) is None or not value.isprintable():
        raise SetupError(f"--header {text[:80]!r} is no header field", "Write it as 'Subject: x'")
    if name.lower() in _OURS:
        raise SetupError(f"--header: {name} is made of the other options", "See --from, --to")
    return name, value


def _registered(texts: Sequence[str], owner: str) -> tuple[Binding, ...]:
    if list(texts) == ["none"]:
        return ()
    return tuple(_binding(text, owner) for text in texts)


def _binding(text: str, owner: str) -> Binding:
    """A contact: a URI with ;q= at its end, or as in a Contact."""
    uri, mark, q = text.rpartition(";q=")
    if not mark:
        uri, q = text, "1"
    try:
        contact = parse_address(_with_scheme(uri) if "<" in uri else f"<{_with_scheme(uri)}>").uri
        return Binding(owner, contact.text, q=q_from_text(q), expires_at=FOR_EVER)
    except SipError:
        raise SetupError(f"--registered {text[:80]!r} is no contact", "Write it as 'sip:bob@192.0.2.1;q=0.5'") from None


def _lookup(text: str, owner: str) -> tuple[str, LookupResult]:
    url, mark, word = text.rpartition("=")
    if mark and word in ("notfound", "failure"):
        return url, LookupResult("notfound" if word == "notfound" else "failure")
    for at, letter in enumerate(text):
        if letter == "=" and text[at + 1 :].startswith(("sip:", "sips:", "tel:")):
            return text[:at], LookupResult("success", (Target(_uri(text[at + 1 :], "--lookup"), owner=owner),))
    raise SetupError(f"--lookup {text[:80]!r} says nothing", "Write URL=notfound, URL=failure or URL=sip:a@example.net")


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)
