"""Rows of the configuration database as the server sees them, and changes of them.

All are immutable. Times are wall-clock seconds since 1970 (float), q values
thousandths (0..1000), an address-of-record is `user@domain` in its canonical
form: user part unescaped once, domain in lower case and without a final dot.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["never", "requested", "required"]
Action = Literal["proxy", "redirect"]
ScriptKind = Literal["cpl", "cgi"]
Role = Literal["regular", "administrator"]
Cause = Literal["unregistered", "deactivated"]
"""Why a binding is dropped (RFC 3680 §4.7.1), which is kept nowhere: its phone wants it, or somebody else."""


class User(NamedTuple):
    """Who may register and call here. Secrets are HA1 hashes, never the password (RFC 7616 §3.4.2)."""

    aor: str
    realm: str
    ha1_md5: str = ""  # H(user:realm:password), lower-case hex
    ha1_md5_full: str = ""  # H(user@domain:realm:password): some phones send this name
    ha1_sha256: str = ""
    ha1_sha256_full: str = ""
    level: Level = "required"
    role: Role = "regular"
    gateway_class: str = ""
    full_name: str = ""
    ha1_sha512_256: str = ""
    ha1_sha512_256_full: str = ""


class Binding(NamedTuple):
    """One contact of an address-of-record (RFC 3261 §10.3)."""

    aor: str
    uri: str  # as the phone wrote it
    q: int = 1000
    expires_at: float = 0.0
    call_id: str = ""
    cseq: int = 0
    action: Action = "proxy"
    path: tuple[str, ...] = ()
    received: str = ""  # str(Way) of the flow the REGISTER came over; empty: route by the URI
    user_agent: str = ""
    instance: str = ""  # +sip.instance (RFC 5626), without quotes
    reg_id: int = 0  # 0: none
    params: str = ""  # further Contact parameters, given back in the 200 (`;methods="…"`)
    key: str = ""  # keeps bindings with the same URI apart, such as two flows of one phone; at most 16 ASCII characters
    refreshed_at: float = 0.0  # when the last REGISTER put it
    gruu: str = ""  # which temporary GRUUs of this instance are good: those made with this (RFC 5627 §5.1)


class Script(NamedTuple):
    """A user's stored script: at most one of a kind (draft-lennox-sip-reg-payload-01)."""

    aor: str
    kind: ScriptKind
    text: bytes
    media_type: str
    modified: float
    modified_by: str = ""
    version: int = 1
    enabled: bool = True


class ScriptVersion(NamedTuple):
    """What was done to a user's script at one time. Its number never comes again, also after a removal."""

    aor: str
    kind: ScriptKind
    version: int
    text: bytes  # as it was from then on; empty where it was removed
    media_type: str
    modified: float  # when it was done
    modified_by: str  # an address-of-record, or who called sipdctl
    what: str  # `stored`, `removed`, `enabled`, `disabled`, `rolled back to 3`


class Settings(NamedTuple):
    """One row of the server configuration; the row is chosen by `-S`."""

    name: str = "default"
    listen: str = "udp:0.0.0.0:5060 tcp:0.0.0.0:5060"  # space-separated transport:address:port
    host_name: str = ""  # what we call ourselves where a socket has no address; empty: detected
    root: str = ""  # directory the server changes to; empty: stays
    debug: str = ""  # categories as of -d, space-separated
    auth: Literal["digest", "basic", "none"] = "digest"  # basic: over TLS and loopback only, digest elsewhere
    digest_algorithms: str = "SHA-256 MD5"  # most preferred first (RFC 8760)
    digest_uri_check: Literal["host", "strict", "off"] = "host"
    nonce_life: int = 300  # seconds
    mode: Literal["proxy", "redirect", "stateless"] = "proxy"
    record_route: bool = True
    unknown_callee: Literal["hide", "404"] = "404"
    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 7200
    max_contacts: int = 20
    max_script: int = 65536  # bytes
    stagger: float = 30.0  # seconds before the next q group joins
    timer_c: float = 185.0  # seconds an INVITE branch may ring (§16.6 step 11: over 3 minutes)
    max_transactions: int = 20000
    traces: int = 1000  # calls kept for explain
    script_operations: str = "all"  # CPL operations allowed: all, none or names; CLASS:names for a class (RFC 3880 §13)
    recurse: bool = False  # follow the contacts of a 3xx instead of passing it on (§16.7 step 4)
    max_breadth: int = 60  # branches of a request at once (RFC 5393 §5.3.3)
    honour_maddr: bool = False  # send responses to the maddr of a Via (§18.2.2)
    service_route: str = ""  # URIs a registered phone shall route its requests by (RFC 3608); empty: none
    flow_timer: int = 0  # seconds within which outbound phones shall show signs of life (RFC 5626 §4.4); 0: unsaid
    enum: str = ""  # domain in which numbers are looked up (RFC 6116); empty: they are not
    tls_certificate: str = ""  # PEM files, space-separated; empty: a certificate made by ourselves
    tls_key: str = ""  # PEM files of their keys, in the same order; empty: the keys are in those files
    tls_ca: str = ""  # PEM file of the authorities we trust; empty: the system's
    tls_client: Literal["never", "requested", "required"] = "never"  # whether clients show certificates
    websocket_origins: str = ""  # web pages that may open a WebSocket, as `https://host`, space-separated; empty: any
    max_connections: int = 10000  # connections open at once, in all
    max_connections_per_source: int = 100  # connections from one address, without registered phones and peers
    max_request_rate: int = 2000  # requests a second from one address that proved nothing; 0: any number
    time_zone: str = ""  # zone of a script's times that name none, as Europe/Paris; empty: the machine's
    phone_users: bool = False  # scripts take a user part that looks like a number for one, without user=phone too
    script_hosts: str = ""  # hosts that a script's `lookup` and `tzurl` may fetch from, space-separated; empty: none
    script_versions: int = 20  # earlier versions kept of one user's script
    script_traces: int = 20  # runs of one user's script that are remembered
    script_log_lines: int = 1000  # lines kept of what one user's scripts have logged
    mail_server: str = ""  # host or host:port that takes the mails of scripts; empty: they send none
    mail_from: str = ""  # whose address these mails bear; empty: the user's own
    mail_limit: int = 20  # mails that one user's scripts may send an hour
    digest_qop: str = "auth"  # what a digest may protect: auth, or auth auth-int (RFC 7616 §3.3)
    cache_refresh: int = 600  # seconds between two looks at all rows, besides what the change log tells
    max_subscriptions: int = 10000  # subscriptions to registrations at once (RFC 3680)


class Peer(NamedTuple):
    """A server that is trusted: a gateway, a PBX, another proxy (RFC 3324 §2.3)."""

    name: str  # for people
    match: str  # an address, a network as `192.0.2.0/24`, or `cert:` and a name its certificate proves
    gateway_class: str = ""


class PutBinding(NamedTuple):
    """Store this binding; one with the same address-of-record, URI and key is replaced."""

    binding: Binding


class DropBinding(NamedTuple):
    """Remove one binding; nothing happens when there is none."""

    aor: str
    uri: str
    key: str = ""
    cause: Cause = "deactivated"


class PutScript(NamedTuple):
    """Store this script in place of the user's other one of its kind; the store counts the version.

    One that was switched off stays so, whatever `script` says: EnableScript switches it on.
    """

    script: Script
    what: str = "stored"  # as ScriptVersion says it


class DropScript(NamedTuple):
    """Remove a script; a no-op when there is none. Its earlier versions stay."""

    aor: str
    kind: ScriptKind
    modified: float = 0.0
    modified_by: str = ""


class EnableScript(NamedTuple):
    """Switch a script on or off, and leave it as it is else; a no-op when it is so already, or not there."""

    aor: str
    kind: ScriptKind
    enabled: bool
    modified: float = 0.0
    modified_by: str = ""


class PutUser(NamedTuple):
    """Add this user, or replace the one of that address-of-record."""

    user: User


class DropUser(NamedTuple):
    """Remove a user with his bindings, scripts and delegates."""

    aor: str


class PutDomain(NamedTuple):
    """Make `name` a local domain; `canonical` is the domain its users are stored under (itself mostly)."""

    name: str
    canonical: str


class DropDomain(NamedTuple):
    """No longer a local domain."""

    name: str


class PutDelegate(NamedTuple):
    """Let `delegate` register for `aor` (third-party registration, §10.2)."""

    aor: str
    delegate: str


class DropDelegate(NamedTuple):
    """Take that permission back."""

    aor: str
    delegate: str


class PutAlias(NamedTuple):
    """Let calls to `alias` (user@domain) reach this user; several users of one alias are a group."""

    alias: str
    user: str


class DropAlias(NamedTuple):
    """No longer let them reach him."""

    alias: str
    user: str


class PutDial(NamedTuple):
    """Store this row of the dial plan, by its position: a pattern of digits and what becomes of them."""

    position: int
    pattern: str
    replacement: str


class DropDial(NamedTuple):
    """Remove the row at that position."""

    position: int


class Expect(NamedTuple):
    """Carry the group out only where nobody changed the bindings of `aor` since this version; it counts up.

    Comes first in its group. 0: none has been counted yet.
    """

    aor: str
    version: int


class ExpectUser(NamedTuple):
    """Carry the group out only where the user is still as he was when it was decided on; None: where there is none."""

    aor: str
    was: User | None


class PutPeer(NamedTuple):
    """Trust this server, or change what is kept of the one of that name."""

    peer: Peer


class DropPeer(NamedTuple):
    """No longer trust the server of that name."""

    name: str


class PutSettings(NamedTuple):
    """Store a server's settings row, by its name."""

    settings: Settings


class AddScriptLog(NamedTuple):
    """One line a script wrote to its owner's log (RFC 3880 §7.2)."""

    aor: str
    at: float
    name: str
    comment: str


class TrimScriptLog(NamedTuple):
    """Keep only the last lines of a user's log."""

    aor: str
    most: int


class PutTimezone(NamedTuple):
    """Keep what was fetched from the tzurl of a script; data fetched before is replaced (RFC 3880 §4.4)."""

    url: str
    data: bytes
    fetched: float


class DropTimezone(NamedTuple):
    """No longer keep it."""

    url: str


class PutLicence(NamedTuple):
    """Keep this licence text; one with the same digest is there already and stays one."""

    digest: str  # SHA-256 of the text, hex
    text: str
    added: float


class Touch(NamedTuple):
    """Write down that a server was here: to see whether the database takes changes."""

    at: float


Change = (
    PutBinding
    | DropBinding
    | PutScript
    | DropScript
    | EnableScript
    | PutUser
    | DropUser
    | PutDomain
    | DropDomain
    | PutDelegate
    | DropDelegate
    | PutAlias
    | DropAlias
    | PutDial
    | DropDial
    | Expect
    | ExpectUser
    | PutPeer
    | DropPeer
    | PutSettings
    | AddScriptLog
    | TrimScriptLog
    | PutTimezone
    | DropTimezone
    | PutLicence
    | Touch
)
"""What a Store can be asked to do; a sequence of them is carried out whole or not at all."""
