"""How each Change is written to SQL, and how rows are read back.

Only whole statements with bound parameters, in the subset that SQLite and
MariaDB share (REPLACE, no ON CONFLICT). A change is one effective statement,
save those in SEVERAL: a group of one other needs no savepoint. REPLACE deletes
before it inserts, which would take a user's bindings along (ON DELETE CASCADE):
what others refer to is updated, and inserted only when there was nothing to
update.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Protocol

from sipd.rows import (
    AddScriptLog,
    Binding,
    Change,
    DropAlias,
    DropBinding,
    DropDelegate,
    DropDial,
    DropDomain,
    DropPeer,
    DropScript,
    DropTimezone,
    DropUser,
    EnableScript,
    Expect,
    ExpectUser,
    Peer,
    PutAlias,
    PutBinding,
    PutDelegate,
    PutDial,
    PutDomain,
    PutLicence,
    PutPeer,
    PutScript,
    PutSettings,
    PutTimezone,
    PutUser,
    Script,
    ScriptVersion,
    Settings,
    Touch,
    TrimScriptLog,
    User,
)
from sipd.store.base import Conflict, Removed

Value = str | bytes | int | float | None


class Ran(Protocol):
    """What a statement came to."""

    @property
    def rowcount(self) -> int:
        """Rows that an UPDATE matched."""


Execute = Callable[[str, Sequence[Value]], Ran]
"""Runs one statement with its parameters."""

Steps = Generator[tuple[str, Sequence[Value]], Ran, None]
"""The statements of a change, one after another; each is sent what it came to. So any driver can run them."""

CHANGE_BINDING: Final = """
    UPDATE contacts SET q = ?, expires_at = ?, call_id = ?, cseq = ?, action = ?, path = ?, received = ?,
        user_agent = ?, instance = ?, reg_id = ?, params = ?, refreshed_at = ?, gruu = ?
    WHERE aor = ? AND uri = ? AND flow_key = ?"""
ADD_BINDING: Final = """
    INSERT INTO contacts (q, expires_at, call_id, cseq, action, path, received, user_agent, instance, reg_id, params,
        refreshed_at, gruu, aor, uri, flow_key)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
DROP_BINDING: Final = "DELETE FROM contacts WHERE aor = ? AND uri = ? AND flow_key = ?"
CHANGE_SCRIPT: Final = """
    UPDATE scripts SET script = ?, media_type = ?, modified = ?, modified_by = ?, version = version + 1
    WHERE aor = ? AND kind = ?"""
ADD_SCRIPT: Final = """
    INSERT INTO scripts (script, media_type, modified, modified_by, aor, kind, enabled, version)
    SELECT ?, ?, ?, ?, ?, ?, ?, COALESCE(MAX(version), 0) + 1 FROM script_versions WHERE aor = ? AND kind = ?"""
DROP_SCRIPT: Final = "DELETE FROM scripts WHERE aor = ? AND kind = ?"
ENABLE_SCRIPT: Final = (
    "UPDATE scripts SET enabled = ?, version = version + 1 WHERE aor = ? AND kind = ? AND enabled <> ?"
)
SCRIPT_WAS_STORED: Final = """
    REPLACE INTO script_versions (aor, kind, version, script, media_type, modified, modified_by, what)
    SELECT aor, kind, version, script, media_type, modified, modified_by, ? FROM scripts WHERE aor = ? AND kind = ?"""
SCRIPT_WAS_SWITCHED: Final = """
    REPLACE INTO script_versions (aor, kind, version, script, media_type, modified, modified_by, what)
    SELECT aor, kind, version, script, media_type, ?, ?, ? FROM scripts WHERE aor = ? AND kind = ?"""
SCRIPT_WAS_REMOVED: Final = """
    REPLACE INTO script_versions (aor, kind, version, script, media_type, modified, modified_by, what)
    SELECT aor, kind, version + 1, ?, media_type, ?, ?, 'removed' FROM scripts WHERE aor = ? AND kind = ?"""
SWEEP_SCRIPT_VERSIONS: Final = """
    DELETE FROM script_versions WHERE aor = ? AND kind = ? AND version < (
        SELECT last FROM (SELECT MAX(version) AS last FROM script_versions WHERE aor = ? AND kind = ?) AS newest
        ) - COALESCE((SELECT MAX(script_versions) FROM server), 0)"""
CHANGE_USER: Final = """
    UPDATE users SET realm = ?, ha1_md5 = ?, ha1_md5_full = ?, ha1_sha256 = ?, ha1_sha256_full = ?, level = ?,
        role = ?, gateway_class = ?, full_name = ?, ha1_sha512_256 = ?, ha1_sha512_256_full = ?
    WHERE aor = ?"""
ADD_USER: Final = """
    INSERT INTO users (realm, ha1_md5, ha1_md5_full, ha1_sha256, ha1_sha256_full, level, role, gateway_class,
        full_name, ha1_sha512_256, ha1_sha512_256_full, aor)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
HAS_USER: Final = "UPDATE users SET level = level WHERE aor = ?"
DROP_USER: Final = "DELETE FROM users WHERE aor = ?"
PUT_DOMAIN: Final = "REPLACE INTO domain (name, canonical) VALUES (?, ?)"
DROP_DOMAIN: Final = "DELETE FROM domain WHERE name = ?"
PUT_DELEGATE: Final = "REPLACE INTO third_parties (aor, delegate) VALUES (?, ?)"
DROP_DELEGATE: Final = "DELETE FROM third_parties WHERE aor = ? AND delegate = ?"
PUT_ALIAS: Final = "REPLACE INTO aliases (alias, primary_user) VALUES (?, ?)"
DROP_ALIAS: Final = "DELETE FROM aliases WHERE alias = ? AND primary_user = ?"
PUT_DIAL: Final = "REPLACE INTO dialplan (position, pattern, replacement) VALUES (?, ?, ?)"
DROP_DIAL: Final = "DELETE FROM dialplan WHERE position = ?"
FIRST_VERSION: Final = "INSERT INTO registrations (aor, version) VALUES (?, 1)"
NEXT_VERSION: Final = "UPDATE registrations SET version = version + 1 WHERE aor = ? AND version = ?"
HAS_VERSION: Final = "UPDATE registrations SET version = version WHERE aor = ?"
PUT_PEER: Final = "REPLACE INTO peers (name, matches, gateway_class) VALUES (?, ?, ?)"
DROP_PEER: Final = "DELETE FROM peers WHERE name = ?"
PUT_SETTINGS: Final = """
    REPLACE INTO server (name, listen, host_name, root, debug, auth, digest_algorithms, digest_uri_check, nonce_life,
        mode, record_route, unknown_callee, default_expires, min_expires, max_expires, max_contacts, max_script,
        stagger, timer_c, max_transactions, traces, script_operations, recurse, max_breadth, honour_maddr,
        service_route, flow_timer, enum, tls_certificate, tls_key, tls_ca, tls_client, websocket_origins,
        max_connections, max_connections_per_source, max_request_rate,
        time_zone, phone_users, script_hosts, script_versions, script_traces,
        script_log_lines, mail_server, mail_from, mail_limit, digest_qop, cache_refresh, max_subscriptions)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
        ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_SCRIPT_LOG: Final = "INSERT INTO script_log (aor, logged_at, name, line) VALUES (?, ?, ?, ?)"
TRIM_SCRIPT_LOG: Final = """
    DELETE FROM script_log WHERE aor = ? AND id <= (
        SELECT id FROM (SELECT id FROM script_log WHERE aor = ? ORDER BY id DESC LIMIT 1 OFFSET ?) AS kept)"""
PUT_TIMEZONE: Final = "REPLACE INTO timezones (url, data, fetched) VALUES (?, ?, ?)"
DROP_TIMEZONE: Final = "DELETE FROM timezones WHERE url = ?"
PUT_LICENCE: Final = "REPLACE INTO licence (digest, licence_text, added) VALUES (?, ?, ?)"
PUT_META: Final = "REPLACE INTO sipd_meta (name, value) VALUES (?, ?)"

GET_META: Final = "SELECT value FROM sipd_meta WHERE name = ?"
ALL_USERS: Final = """
    SELECT aor, realm, ha1_md5, ha1_md5_full, ha1_sha256, ha1_sha256_full, level, role, gateway_class, full_name,
        ha1_sha512_256, ha1_sha512_256_full
    FROM users"""
FIND_USERS: Final = f"""{ALL_USERS}
    WHERE aor > ? AND (LOWER(aor) LIKE ? ESCAPE '!' OR LOWER(full_name) LIKE ? ESCAPE '!') ORDER BY aor LIMIT ?"""
ALL_BINDINGS: Final = """
    SELECT aor, uri, q, expires_at, call_id, cseq, action, path, received, user_agent, instance, reg_id, params,
        flow_key, refreshed_at, gruu
    FROM contacts"""
ALL_SCRIPTS: Final = "SELECT aor, kind, script, media_type, modified, modified_by, version, enabled FROM scripts"
LAST_VERSIONS: Final = "SELECT aor, kind, MAX(version) FROM script_versions GROUP BY aor, kind"
ALL_DOMAINS: Final = "SELECT name, canonical FROM domain"
ALL_DELEGATES: Final = "SELECT aor, delegate FROM third_parties"
ALL_ALIASES: Final = "SELECT alias, primary_user FROM aliases"
ALL_DIALS: Final = "SELECT position, pattern, replacement FROM dialplan"
ALL_VERSIONS: Final = "SELECT aor, version FROM registrations"
ALL_PEERS: Final = "SELECT name, matches, gateway_class FROM peers"
ALL_SETTINGS: Final = """
    SELECT name, listen, host_name, root, debug, auth, digest_algorithms, digest_uri_check, nonce_life, mode,
        record_route, unknown_callee, default_expires, min_expires, max_expires, max_contacts, max_script, stagger,
        timer_c, max_transactions, traces, script_operations, recurse, max_breadth, honour_maddr, service_route,
        flow_timer, enum, tls_certificate, tls_key, tls_ca, tls_client, websocket_origins, max_connections,
        max_connections_per_source, max_request_rate,
        time_zone, phone_users, script_hosts, script_versions, script_traces,
        script_log_lines, mail_server, mail_from, mail_limit, digest_qop, cache_refresh, max_subscriptions
    FROM server ORDER BY name"""
SCRIPT_VERSIONS: Final = """
    SELECT aor, kind, version, script, media_type, modified, modified_by, what FROM script_versions
    WHERE aor = ? AND kind = ? ORDER BY version"""
ALL_TIMEZONES: Final = "SELECT url, data, fetched FROM timezones"
SCRIPT_LOG: Final = "SELECT aor, logged_at, name, line FROM script_log WHERE aor = ? ORDER BY id DESC LIMIT ?"


def binding_row(b: Binding) -> tuple[Value, ...]:
    """The values of CHANGE_BINDING, and of ADD_BINDING."""
    return (
        b.q,
        b.expires_at,
        b.call_id,
        b.cseq,
        b.action,
        "\n".join(b.path),
        b.received,
        b.user_agent,
        b.instance,
        b.reg_id,
        b.params,
        b.refreshed_at,
        b.gruu,
        b.aor,
        b.uri,
        b.key,
    )


def put_binding(change: PutBinding) -> Steps:
    """The way of every REGISTER: most refresh a row that is there, of which an UPDATE writes one page and no index."""
    row = binding_row(change.binding)
    if not (yield CHANGE_BINDING, row).rowcount:
        yield ADD_BINDING, row


def run(execute: Execute, change: Change) -> None:
    """Carry out one change. Raises what `execute` raises, and Conflict."""
    steps = WRITE[type(change)](change)
    step = next(steps, None)
    while step is not None:
        ran = execute(*step)
        try:
            step = steps.send(ran)
        except StopIteration:
            return


def one(statement: str, row: Sequence[Value]) -> Steps:
    """A change that is one statement."""
    yield statement, row


def put_script(change: PutScript) -> Steps:
    """The version counts up from the last there was, whatever the row says."""
    s = change.script
    key = (s.aor, s.kind)
    row = (s.text, s.media_type, s.modified, s.modified_by, *key)
    if not (yield CHANGE_SCRIPT, row).rowcount:
        yield ADD_SCRIPT, (*row, int(s.enabled), *key)
    yield SCRIPT_WAS_STORED, (change.what, *key)
    yield SWEEP_SCRIPT_VERSIONS, key * 2


def drop_script(change: DropScript) -> Steps:
    """The removal is a version too, without a text; that of nothing is none."""
    key = (change.aor, change.kind)
    yield SCRIPT_WAS_REMOVED, (b"", change.modified, change.modified_by, *key)
    yield DROP_SCRIPT, key
    yield SWEEP_SCRIPT_VERSIONS, key * 2


def enable_script(change: EnableScript) -> Steps:
    """The switch is a version too, when it was moved."""
    key, enabled = (change.aor, change.kind), int(change.enabled)
    if (yield ENABLE_SCRIPT, (enabled, *key, enabled)).rowcount:
        what = "enabled" if change.enabled else "disabled"
        yield SCRIPT_WAS_SWITCHED, (change.modified, change.modified_by, what, *key)
        yield SWEEP_SCRIPT_VERSIONS, key * 2


def put_user(change: PutUser) -> Steps:
    """The user's own row only."""
    row = (*change.user[1:], change.user.aor)
    if not (yield CHANGE_USER, row).rowcount:
        yield ADD_USER, row


def expect(change: Expect) -> Steps:
    """Raises Conflict when another one came first."""
    aor, version = change
    if version:
        if (yield NEXT_VERSION, change).rowcount:
            return
    elif not (yield HAS_VERSION, (aor,)).rowcount:
        yield FIRST_VERSION, (aor,)
        return
    raise Conflict(f"the bindings of {aor} were changed meanwhile")


def expect_user(change: ExpectUser) -> Steps:
    """Raises Conflict where he is another one by now. What is no UTF-8 in his row is not looked at."""
    aor, was = change
    if was is None:
        if (yield HAS_USER, (aor,)).rowcount:
            raise Conflict(f"there is a user {aor} already")
        return
    known = {name: text for name, text in was._asdict().items() if _bytes_if_needed(text) is text}
    same = " AND ".join(f"{name} = ?" for name in known if name != "aor")  # columns of ours
    if not (yield f"{HAS_USER} AND {same}", (aor, *(text for name, text in known.items() if name != "aor"))).rowcount:
        raise Conflict(f"{aor} was changed meanwhile")


def put_settings(change: PutSettings) -> Steps:
    """The columns stand in the order of the fields."""
    yield PUT_SETTINGS, change.settings


WRITE: Final[Mapping[type, Callable[[Any], Steps]]] = {
    PutBinding: put_binding,
    DropBinding: lambda change: one(DROP_BINDING, change[:3]),  # why is not kept
    PutScript: put_script,
    DropScript: drop_script,
    EnableScript: enable_script,
    PutUser: put_user,
    DropUser: lambda change: one(DROP_USER, change),
    PutDomain: lambda change: one(PUT_DOMAIN, change),
    DropDomain: lambda change: one(DROP_DOMAIN, change),
    PutDelegate: lambda change: one(PUT_DELEGATE, change),
    DropDelegate: lambda change: one(DROP_DELEGATE, change),
    PutAlias: lambda change: one(PUT_ALIAS, change),
    DropAlias: lambda change: one(DROP_ALIAS, change),
    PutDial: lambda change: one(PUT_DIAL, change),
    DropDial: lambda change: one(DROP_DIAL, change),
    Expect: expect,
    ExpectUser: expect_user,
    PutPeer: lambda change: one(PUT_PEER, change.peer),
    DropPeer: lambda change: one(DROP_PEER, change),
    PutSettings: put_settings,
    AddScriptLog: lambda change: one(ADD_SCRIPT_LOG, change),
    TrimScriptLog: lambda change: one(TRIM_SCRIPT_LOG, (change.aor, change.aor, change.most)),
    PutTimezone: lambda change: one(PUT_TIMEZONE, change),
    DropTimezone: lambda change: one(DROP_TIMEZONE, change),
    PutLicence: lambda change: one(PUT_LICENCE, change),
    Touch: lambda change: one(PUT_META, ("touched", f"{change.at:.0f}")),
}
"""What to run for each kind of change. (Any: each function takes the key's own type.)"""

SEVERAL: Final = frozenset({PutScript, DropScript, EnableScript})
"""Changes that are several statements, which must be carried out all or none."""


# SQLite gives what somebody put there, text as bytes too: it is read as text. (Any: a driver's rows have no types.)


def user_of(row: Sequence[Any]) -> User:
    """A user from a row of ALL_USERS."""
    return User(*as_text(row))


def binding_of(row: Sequence[Any]) -> Binding:
    """A binding from a row of ALL_BINDINGS."""
    aor, uri, q, expires_at, call_id, cseq, action, path, *rest = as_text(row)
    return Binding(aor, uri, q, expires_at, call_id, cseq, action, tuple(path.split("\n")) if path else (), *rest)


def script_of(row: Sequence[Any]) -> Script:
    """A script from a row of ALL_SCRIPTS."""
    script = Script(*as_text(row, 2))
    return script._replace(enabled=bool(script.enabled))


def script_version_of(row: Sequence[Any]) -> ScriptVersion:
    """A version from a row of SCRIPT_VERSIONS."""
    return ScriptVersion(*as_text(row, 3))


def peer_of(row: Sequence[Any]) -> Peer:
    """A peer from a row of ALL_PEERS."""
    return Peer(*as_text(row))


def finding(part: str, after: str, limit: int) -> tuple[str, tuple[Value, ...]]:
    """The statement of `Store.find_users` and its values."""
    escaped = "".join(f"!{sign}" if sign in "!%_" else sign for sign in part)
    return FIND_USERS, (after, f"%{escaped}%", f"%{escaped}%", limit)


def settings_of(row: Sequence[Any]) -> Settings:
    """A settings row from a row of ALL_SETTINGS."""
    settings = Settings(*as_text(row))
    return settings._replace(
        record_route=bool(settings.record_route),
        recurse=bool(settings.recurse),
        honour_maddr=bool(settings.honour_maddr),
        phone_users=bool(settings.phone_users),
    )


def as_stored(row: Sequence[Value]) -> list[Value]:
    """The row with text that is no UTF-8 as bytes: SIP lets phones send such (see sipd.message)."""
    return [_bytes_if_needed(value) for value in row]


def as_text(row: Sequence[Any], but: int | None = None) -> Sequence[Any]:
    """The row with those bytes as text again. `but`: the column that holds bytes by right."""
    if but is None and bytes not in map(type, row):
        return row
    values = [phone_text(value) if type(value) is bytes else value for value in row]
    if but is not None:
        data = row[but]
        values[but] = data if type(data) is bytes else str(data).encode("utf-8", "surrogateescape")
    return tuple(values)


def phone_text(raw: bytes) -> str:
    """Bytes as text, whatever they are (see sipd.message)."""
    return raw.decode("utf-8", "surrogateescape")


def version_of(row: Sequence[Any]) -> tuple[str, int]:
    """An address-of-record and the version of its bindings from a row of ALL_VERSIONS."""
    aor, version = as_text(row)
    return aor, version


def alias_of(row: Sequence[Any]) -> PutAlias:
    """An alias from a row of ALL_ALIASES."""
    return PutAlias(*as_text(row))


def delegate_of(row: Sequence[Any]) -> PutDelegate:
    """A third party from a row of ALL_DELEGATES."""
    return PutDelegate(*as_text(row))


def domain_of(row: Sequence[Any]) -> PutDomain:
    """A domain from a row of ALL_DOMAINS."""
    return PutDomain(*as_text(row))


def timezone_of(row: Sequence[Any]) -> PutTimezone:
    """A time zone from a row of ALL_TIMEZONES."""
    return PutTimezone(*as_text(row, 1))


def dial_of(row: Sequence[Any]) -> PutDial:
    """A row of the dial plan from one of ALL_DIALS."""
    return PutDial(*as_text(row))


def removed_of(row: Sequence[Any]) -> Removed:
    """A script that may be gone from a row of LAST_VERSIONS."""
    return Removed(*as_text(row))


def _bytes_if_needed(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    raw = value.encode("utf-8", "surrogateescape")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
    return value
