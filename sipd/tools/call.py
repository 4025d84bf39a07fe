"""`sipdctl call FROM TO`: a test call between two phones of our own, with its ladder and a verdict."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Final

import trio

from sipd.control.rpc import ask, control_path_of
from sipd.control.verbs import Refusal
from sipd.control.verbs.names import address_of_record, known_user
from sipd.errors import BadSyntax, SetupError
from sipd.hop import DEFAULT_PORTS, Hop
from sipd.message import parse_uri
from sipd.phone import Account
from sipd.tools.frame import DONE, REFUSED, read_password
from sipd.tools.plain import clean
from sipd.tools.testcall import Plan, make_call
from sipd.tools.where import database_of, rows_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from sipd.rows import User
    from sipd.store import DatabaseUrl, Snapshot

LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to call a server that listens on every address."""

SPOKEN: Final = ("UDP", "TCP")
"""Transports of the test phone."""

HELP: Final = "make a test call between two phones of our own, and show its ladder"


def add_arguments(one: argparse.ArgumentParser) -> None:
    """The arguments of `sipdctl call`."""
    one.add_argument("caller", metavar="FROM", help="who calls: user@domain")
    one.add_argument("callee", metavar="TO", help="who is called: user@domain; with --only-call any sip: or tel: URI")
    place = "TRANSPORT:HOST:PORT"
    one.add_argument("--server", metavar=place, help="as udp:127.0.0.1:5060; without it, where the server says it is")
    one.add_argument("--to-server", metavar=place, help="where TO registers, when it is not the same")
    one.add_argument(
        "--password-file", metavar="FILE", help="FROM's password, when there is no database (- is standard input)"
    )
    one.add_argument("--to-password-file", metavar="FILE", help="TO's password, likewise")
    one.add_argument(
        "--ring", metavar="SECONDS", type=_seconds, default=0.5, help="how long TO's phone rings (default 0.5)"
    )
    how = one.add_mutually_exclusive_group()
    how.add_argument("--no-answer", action="store_true", help="TO rings, nobody answers, FROM gives up after --ring")
    how.add_argument("--busy", action="store_true", help="TO refuses with 486")
    one.add_argument(
        "--only-call", action="store_true", help="register nobody: call whatever TO has, a real phone or a script"
    )
    one.add_argument(
        "--patience", metavar="SECONDS", type=_seconds, default=8.0, help="how long an answer may take (default 8)"
    )


def run(options: argparse.Namespace) -> int:
    """Make the call; 0 when it went as expected, 1 when not."""
    try:
        told = trio.run(make_call, plan_of(options))
    except SetupError as fault:
        raise Refusal(fault.text, fault.hint) from fault
    if options.json:
        print(json.dumps(told.plain(), indent=2, ensure_ascii=True))
    else:
        ladder = [*told.ladder, ""] if told.rungs else []
        print("\n".join(clean(line) for line in [*ladder, told.verdict, *(f"    {hint}" for hint in told.hints)]))
    return DONE if told.expected else REFUSED


def plan_of(options: argparse.Namespace) -> Plan:
    """What to do, from the command line and as far as needed the database. Raises Refusal, SetupError."""
    passwords = [read_password(file, ask=False) for file in (options.password_file, options.to_password_file)]
    known: Snapshot | None = None
    url: DatabaseUrl | None = None
    if not options.server or not passwords[0] or not (passwords[1] or options.only_call):
        url = database_of(options)
        known = rows_of(url)
    caller = _account(options.caller, passwords[0], known)
    callee = None if options.only_call else _account(options.callee, passwords[1], known)
    if callee is not None and callee.aor == caller.aor:
        raise Refusal("FROM and TO are the same user", "Let two users call each other")
    server = _hop(options.server) if options.server else _listening(url, known)
    return Plan(
        caller,
        callee,
        callee.uri if callee is not None else _uri(options.callee),
        server,
        _hop(options.to_server) if options.to_server else server,
        ring=options.ring,
        answer="none" if options.no_answer else "busy" if options.busy else "yes",
        patience=options.patience,
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise ValueError("not a number of seconds up to an hour")
    return value


def _account(text: str, password: str | None, known: Snapshot | None) -> Account:
    """Whom `text` means: with the password given, else with the hashes that the database has."""
    if known is None:
        return Account(address_of_record(text), password or "")
    user = known_user(text, known)
    return Account(user.aor, password or "", user.realm, _hashes(user))


def _hashes(user: User) -> Mapping[str, str]:
    found = {"SHA-512-256": user.ha1_sha512_256, "SHA-256": user.ha1_sha256, "MD5": user.ha1_md5}
    return {algorithm: secret for algorithm, secret in found.items() if secret}


def _uri(text: str) -> str:
    """The URI to call. Raises Refusal."""
    uri = text if text.lower().startswith(("sip:", "sips:", "tel:")) else f"sip:{text}"
    try:
        parse_uri(uri)
    except BadSyntax as fault:
        raise Refusal(f"{text!r} can't be called: {fault.text}", "Write user@domain or sip:user@host") from fault
    return uri


def _hop(text: str) -> Hop:
    """`transport:host[:port]`; a name is looked up. Raises Refusal."""
    transport, colon, rest = text.partition(":")
    transport = transport.upper()
    if not colon or transport not in SPOKEN:
        raise Refusal(f"not a server: {text!r}", "Write udp:HOST:PORT or tcp:HOST:PORT")
    bare = rest.startswith("[") and rest.endswith("]")
    host, colon, port = (rest, "", "") if bare else rest.rpartition(":")
    if not colon:
        host, port = rest, str(DEFAULT_PORTS[transport])
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise Refusal(f"not a server: {text!r}", "Write udp:HOST:PORT or tcp:HOST:PORT")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as fault:
        raise Refusal(f"there is no host {host!r}: {fault.strerror}", "Write its address") from fault
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    address = str(found[0][4][0])
    return Hop(transport, LOOPBACK.get(address, address), int(port))


def _listening(url: DatabaseUrl | None, known: Snapshot | None) -> Hop:
    """Where the server is: as it says itself, else as the configuration in the database says."""
    texts: list[str] = []
    path = None if url is None else control_path_of(url)
    if path is not None:
        try:
            said = ask(path, "listening")
            texts = [text for text in said if isinstance(text, str)] if isinstance(said, list) else []
        except SetupError:
            pass  # it may run as another user: the call will show
    if not texts and known is not None and len(known.settings) == 1:
        texts = known.settings[0].listen.split()
    hops = [_hop(text) for text in texts if text.partition(":")[0].upper() in SPOKEN]
    if not hops:
        raise Refusal("it is not known where sipd listens", "Say so: --server udp:HOST:PORT")
    return min(hops, key=lambda hop: SPOKEN.index(hop.transport))
