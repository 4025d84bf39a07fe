"""Settings, CPL and limits, from the values that the code uses and the comments beside them."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Final, Literal, get_args, get_origin, get_type_hints

from docs.reference.checklist import rows
from docs.reference.words import code, page, table
from sipd import guard, log
from sipd.control import rpc
from sipd.core import calls, contacts, features, fetched, preferences, recursion, subscribing, subscriptions, uploads
from sipd.cpl import (
    build,
    counting,
    findings,
    mailto,
    matching,
    nodes,
    occurs,
    reader,
    sources,
    values,
    vtimezone,
)
from sipd.cpl.grammar import NODES, OUTPUT_ATTRIBUTES
from sipd.message.parse import MAX_BODY, MAX_FIELDS, MAX_HEAD, MAX_LINE, MAX_ROUTES, MAX_VIAS
from sipd.net import dead, enum, fetch, listener, locating, pace, resolver, smtp, stream, udp, websocket
from sipd.rows import Settings
from sipd.server import (
    diary,
    dispatch,
    explain,
    hops,
    mailing,
    node,
    notifier,
    pins,
    registration,
    runs,
    search,
    stateless,
)
from sipd.store import following, options, writer
from sipd.transaction import kinds
from sipd.transaction import table as transactions
from sipd.transaction.timers import TimerValues

if TYPE_CHECKING:
    from collections.abc import Iterator

MEANINGS: Final = {
    "auth": "how users prove who they are; `basic`: besides, over TLS and from this machine, by the password itself;"
    " `none`: nobody has to (for trying things out)",
    "digest_uri_check": "how far the `uri` of the credentials must agree with the Request-URI",
    "mode": "`proxy`: send requests on; `redirect`: tell the caller where to go; `stateless`: send on what has one"
    " way without keeping anything of it (§16.11)",
    "record_route": "stay in the dialog of the calls that are sent on",
    "unknown_callee": "what a proven caller hears of a user that does not exist; `hide`: 480, as for one who is out",
    "default_expires": "seconds a binding holds when the phone asks for none",
    "min_expires": "seconds; a shorter binding is refused with 423",
    "max_expires": "seconds; a longer binding is cut to this",
    "max_contacts": "bindings of one user",
    "nonce_life": "seconds that a nonce may be used",
    "digest_qop": "what a digest protects, as the phone chooses: `auth`: method and URI; `auth-int`: the body too"
    " (RFC 7616 §3.3)",
    "max_script": "bytes of a script",
    "max_transactions": "requests waiting for their answer; more are refused with 503",
    "digest_algorithms": "algorithms offered, the most preferred first (RFC 8760): SHA-512-256, SHA-256, MD5;"
    " after the name of a listener, as in `SHA-256 MD5 udp:192.0.2.1:5070 MD5`, those for who comes by it",
}
"""Meanings of settings whose comment in sipd/rows.py says less, or that have none there."""

AT_START: Final = frozenset({"listen", "host_name", "root", "debug", "max_transactions", "traces"})
"""Settings that are read once; a change of all others is noticed while the server runs."""

ON_RELOAD: Final = frozenset({"tls_certificate", "tls_key", "tls_ca", "tls_client"})
"""Those that hold from the next SIGHUP, with the files as they are then."""

_FIELD: Final = re.compile(r"    (\w+): [^#]*?(?:#\s*(.*))?")
_CODE: Final = re.compile(r'    "(CPL-[A-Z-]+)": .*?(?:#\s*(.*))?')

LIMITS: Final = (
    ("Messages", "characters of one header field, or of the start line", MAX_LINE),
    ("Messages", "bytes of all header fields", MAX_HEAD),
    ("Messages", "bytes of a body", MAX_BODY),
    ("Messages", "header lines", MAX_FIELDS),
    ("Messages", "Via values (more: 483)", MAX_VIAS),
    ("Messages", "Route values", MAX_ROUTES),
    ("Calls", "branches and users searched for of one request, in all (at once: max_breadth)", node.MOST_BRANCHES),
    ("Calls", "requests whose repetition, ACK and CANCEL are known in stateless mode", stateless.REMEMBERED),
    ("Calls", "users that one search may lead through, one after another (more: 483)", calls.MOST_DEEP),
    ("Calls", "contacts of 3xx responses tried for one request", recursion.MOST_FOLLOWED),
    ("Calls", "3xx responses that lead from one to the next", recursion.MOST_DEEP),
    ("Calls", "values of Accept-Contact and Reject-Contact of one request", preferences.MOST_RULES),
    ("Calls", "parameters of these together", preferences.MOST_FEATURES),
    ("Calls", "numbers in one feature parameter", features.MOST_RANGES),
    ("Calls", "rows that one search may have to load", search.ROUNDS),
    (
        "Calls",
        "requests waiting for their answer, when the setting max_transactions says nothing",
        transactions.CAPACITY,
    ),
    ("Calls", "steps of one request that `sipdctl explain` knows, the first and the last", explain.MOST_STEPS),
    ("Calls", "bytes kept of requests and responses under way", kinds.MOST_KEPT),
    ("Scripts", "bytes of uploads of one user that are checked in a minute (more: 503)", guard.Uploads().most),
    ("Scripts", "bytes that a small one counts for", guard.Uploads().least),
    ("Scripts", "tags inside each other", reader.MAX_DEPTH),
    ("Scripts", "tags in all", reader.MAX_ELEMENTS),
    ("Scripts", "attributes of one tag, and namespaces of a script", reader.MAX_ATTRIBUTES),
    ("Scripts", "characters of an attribute", reader.MAX_VALUE),
    ("Scripts", "characters of a text that is compared, where it is not ASCII", matching.MAX_FOLDED),
    ("Scripts", "locations on one way through a script", nodes.MAX_LOCATIONS),
    ("Scripts", "log entries on one way through a script", nodes.MAX_LOGS),
    ("Scripts", "mails on one way through a script", nodes.MAX_MAILS),
    ("Scripts", "people that a mail goes to", mailto.MAX_RECIPIENTS),
    ("Scripts", "characters of a `mailto:` URL", mailto.MAX_URL),
    ("Scripts", "characters of a header field of a mail", mailto.MAX_VALUE),
    ("Scripts", "characters of the body of a mail", mailto.MAX_BODY),
    ("Scripts", "characters of a URL that is fetched", sources.MAX_URL),
    ("Scripts", "lines of scripts that wait to be kept, of all users", diary.WAITING),
    ("Scripts", "bytes of such a line", diary.LONGEST_LINE),
    ("Scripts", "mails that wait, of all users", mailing.QUEUED),
    ("Scripts", "tries to send one mail", len(mailing.AGAIN) + 1),
    ("Scripts", "seconds from the first of them to the last", sum(mailing.AGAIN)),
    ("Scripts", "seconds for all of one connection to the mail server", smtp.SESSION),
    ("Scripts", "time zones fetched for one script", fetched.MOST),
    ("Scripts", "seconds that one of them may take", fetch.PATIENCE),
    ("Scripts", "time zones kept, of all scripts", fetched.MOST_KEPT),
    ("Scripts", "bytes of a page that a lookup or a tzurl leads to", fetch.MOST),
    ("Scripts", "pages being fetched at once", fetch.AT_ONCE),
    ("Scripts", "of these, for one user", fetch.AT_ONCE_OF_ONE),
    ("Scripts", "places one page may be moved to, one after another", fetch.REDIRECTIONS),
    ("Scripts", "bytes, about, of the remembered runs of all users' scripts", runs.MOST_KEPT),
    ("Scripts", "seconds of `proxy` when a noanswer or default output exists and no timeout", build.PROXY_TIMEOUT),
    ("Scripts", "seconds of `proxy timeout`, at least", values.MIN_TIMEOUT),
    ("Scripts", "seconds of `proxy timeout`, at most", values.MAX_TIMEOUT),
    ("Scripts", "days of a period of a `time` that recurs", occurs.MAX_LENGTH // 86400),
    (
        "Scripts",
        "steps of freq and interval that such a period lasts, where they don't fit into a day",
        occurs.MAX_STEPS,
    ),
    ("Scripts", "the same, with bysetpos and days or more", occurs.MAX_SETS),
    ("Scripts", "year at whose end a `count` that is not used up becomes no limit", counting.HORIZON),
    ("Scripts", "bytes of the data of a tzurl", vtimezone.MAX_DATA),
    ("Scripts", "characters of the reason of `reject`", values.MAX_REASON),
    ("Scripts", "bytes of a response over UDP that still carries a script, or its errors", uploads.LARGEST_OVER_UDP),
    ("Registrations", "bytes of a contact's URI (more: 400)", contacts.LONGEST_URI),
    ("Registrations", "bytes of a Call-ID (more: 400)", contacts.LONGEST_CALL_ID),
    ("Registrations", "characters kept of a contact's further parameters (more: none are)", contacts.LONGEST_PARAMS),
    ("Registrations", "seconds that a sign of life may be later than `flow_timer` says", pins.GRACE),
    ("Registrations", "subscriptions of one user who is no administrator (more: 403)", notifier.MOST_OF_ONE),
    ("Registrations", "seconds that a subscription holds when it does not say", subscribing.DEFAULT_EXPIRES),
    ("Registrations", "seconds between two NOTIFYs to one subscriber", subscriptions.PAUSE),
    ("Database", "groups of changes that may wait for their commit (more: 503)", writer.CAPACITY),
    ("Database", "groups committed together", writer.BATCH),
    ("Database", "seconds that a group waits for its turn (more: 503)", writer.PATIENCE),
    (
        "Database",
        "times that a REGISTER is decided anew as another server was first (more: 503)",
        registration.MOST_CONFLICTS,
    ),
    ("Database", "changes of others that are loaded one by one (more: all rows are loaded)", following.MOST_KEYS),
    ("Database", "seconds between two looks for changes of other programs", following.POLL),
    ("Network", "datagrams taken in one turn", udp.MAX_TURN),
    ("Network", "connections accepted at a time in one turn", listener.MAX_ACCEPTED),
    ("Network", "bytes that may wait to be sent on one connection", stream.MAX_WAITING),
    ("Network", "seconds that opening a connection may take, a TLS handshake included", stream.PATIENCE.connect),
    ("Network", "TLS handshakes of one address at once, without waiting", pace.BURST),
    ("Network", "and after these, a second", pace.HANDSHAKES),
    ("Network", "seconds from the first byte of a message to the end of its head", stream.PATIENCE.head),
    ("Network", "seconds from the first byte of a message to its last", stream.PATIENCE.message),
    ("Network", "seconds that a connection without a live binding may be silent", stream.PATIENCE.idle),
    ("Network", "bytes of one WebSocket message (more: it is closed with 1009)", websocket.MAX_MESSAGE),
    ("Network", "places told as dead by ICMP in one second; further ones are left to the timers", udp.MAX_REFUSALS),
    ("Network", "failed log-ins of one address as one user until each further answer waits", guard.Failures().allowed),
    ("Network", "the same as whatever user", guard.Failures().allowed_in_all),
    ("Network", "seconds between two looks at further ones as that user", guard.HOLD),
    ("Network", "the same as another user", guard.HOLD_IN_ALL),
    ("Network", "challenges that wait at once (more: they are not sent)", dispatch.MOST_DELAYED),
    ("Network", "requests over `max_request_rate` that hear 503 in one second, as one in so many of it", dispatch.TOLD),
    ("Network", "names looked up at a time", resolver.MAX_LOOKUPS),
    ("Network", "seconds that one look-up of a name may take", resolver.TIMEOUT),
    ("Network", "places that one request is tried at", locating.MAX_HOPS),
    ("Network", "seconds without an answer to an INVITE after which the next place is tried", hops.PATIENCE["INVITE"]),
    ("Network", "the same for any other request", hops.OTHER_PATIENCE),
    ("Network", "bytes of a request that still goes by UDP where TCP may be possible", hops.LARGEST_DATAGRAM),
    ("Network", "URIs that ENUM may give for one number", enum.MAX_URIS),
    ("Network", "rules of ENUM that are looked at for one name", enum.MAX_RULES),
    ("Network", "seconds for which a place that failed comes after the others", dead.DEAD_FOR),
    ("Other", "nonce counts below the highest seen that are still good", guard.WINDOW),
    ("Other", "characters of one value in the log", log.MOST),
    ("Other", "log lines of one kind in one period; the others are counted", log.BURST),
    ("Other", "seconds of that period", log.PERIOD),
    ("Other", "seconds that an answer through the control socket may take", rpc.PATIENCE),
)
"""Group, what is limited, and the value that the code has."""


def comments(source: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """What the pattern finds on each line: a name, and the comment beside it."""
    for line in source.splitlines():
        found = pattern.fullmatch(line)
        if found is not None:
            yield found[1], found[2] or ""


def meanings() -> dict[str, str]:
    """What each setting means."""
    said = dict(comments(inspect.getsource(Settings), _FIELD))
    return {name: MEANINGS.get(name) or said.get(name, "") for name in Settings._fields}


def settings_page() -> str:
    """The table of the settings."""
    hints, says = get_type_hints(Settings), meanings()
    rows = []
    for name, default in Settings._field_defaults.items():
        if name == "name":
            continue
        rows.append(
            (
                code(name),
                _type(hints[name]),
                code(_shown(default)) or "empty",
                _bounds(name),
                "next start" if name in AT_START else "SIGHUP" if name in ON_RELOAD else "at once",
                says[name],
            )
        )
    intro = [
        "One row of settings belongs to a server; `sipd -S NAME` chooses it where there are several.",
        "`sipdctl server show` prints them, `sipdctl server set KEY=VALUE ...` changes them, and",
        "`sipd --set KEY=VALUE` overrides one for one run.",
        "",
        "A change is noticed by the running server within a second, unless the table says *next start*, or *SIGHUP*:",
        "then when that signal comes, as by `systemctl reload sipd`.",
        "",
    ]
    heads = ("setting", "type", "default", "bounds", "holds from", "meaning")
    return page("Settings", intro, table(heads, rows))


def _type(hint: object) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(code(choice) for choice in get_args(hint))
    return {int: "whole number", float: "number", bool: "yes or no"}.get(hint, "text")  # type: ignore[call-overload, no-any-return]


def _bounds(name: str) -> str:
    if name not in options.BOUNDS:
        return ""
    least, most = options.BOUNDS[name]
    return f"{least:g} to {most:.10g}"


def _shown(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def cpl_page() -> str:
    """The tags of CPL, and the codes of what is found in a script."""
    tags = [
        (
            code(tag),
            f"§{shape.section}",
            ", ".join(code(name) + ("" if name not in shape.required else " (required)") for name in shape.attributes),
            ", ".join(map(code, shape.outputs)) or ("the next node" if shape.followed else ""),
        )
        for tag, shape in NODES.items()
    ]
    outputs = [(code(tag), ", ".join(map(code, names))) for tag, names in OUTPUT_ATTRIBUTES.items()]
    source = inspect.getsource(findings)
    source = source[source.index("CODES: Final") : source.index('"""Every code')]
    errors, _, warnings = source.partition("# Warnings")
    return page(
        "CPL",
        ["The sections are those of RFC 3880.", "", "## Nodes", ""],
        table(("tag", "section", "attributes", "inside it"), tags),
        ["Outputs with attributes:", ""],
        table(("output", "attributes"), outputs),
        ["## Errors", "", "A script with one of these is refused. A code never changes its meaning.", ""],
        table(("code", "meaning", "rule"), _codes(errors)),
        ["## Warnings", "", "A script with one of these is stored; it is legal, and surely not meant.", ""],
        table(("code", "meaning", "rule"), _codes(warnings)),
        ["## What is asked of CPL, and the tests that show it", ""],
        table(("", "asked", "shown by"), rows("2")),
        ["## The same of uploads in REGISTER", "", "The sections are those of draft-lennox-sip-reg-payload-01.", ""],
        table(("", "asked", "shown by"), rows("4")),
    )


def _codes(source: str) -> list[tuple[str, str, str]]:
    return [(code(name), text, findings.CODES[name]) for name, text in comments(source, _CODE)]


def _counted(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}".replace(",", " ")


def limits_page() -> str:
    """The limits that are no settings, and the timers."""
    lines: list[str] = []
    for group in dict.fromkeys(group for group, _, _ in LIMITS):
        rows = [(text, _counted(value)) for name, text, value in LIMITS if name == group]
        lines += [f"## {group}", "", *table(("limit", "value"), rows)]
    said = dict(comments(inspect.getsource(TimerValues), _FIELD))
    timers = [(name.upper(), f"{value:g} s", said[name]) for name, value in TimerValues()._asdict().items()]
    return page(
        "Limits",
        ["These are fixed. What can be changed is under [settings](settings.md).", ""],
        lines,
        ["## Timers", "", "The times that all transaction timers are made of (RFC 3261 table 4).", ""],
        table(("time", "value", "meaning"), timers),
    )
