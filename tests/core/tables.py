"""Tables in a dict, and Inquiries made in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sipd.core.decision import Challenged, Commit, LogInFailed, NonceUsed, Respond
from sipd.core.inquiry import Context, Inquiry
from sipd.core.policy import decide
from sipd.core.tables import Missing
from sipd.digest import Credentials, expected, ha1
from sipd.guard import Guard
from sipd.hop import Hop
from sipd.message import Request, parse, parse_auth, quote, response_to
from sipd.rows import Binding, DropBinding, DropScript, Peer, PutBinding, PutScript, Script, Settings, User
from sipd.seal import Seal
from sipd.store.kinds import Kinds
from sipd.store.peers import Peers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.core.challenge import Kind
    from sipd.core.decision import Decision
    from sipd.cpl import Program
    from sipd.message import Response
    from sipd.rows import Change, ScriptKind

NOW = 1000.0
WALL = 1_800_000_000.0
ALICE, BOB = "alice@example.com", "bob@example.com"
PHONE = Hop("UDP", "192.0.2.10", 5060)
SEAL = Seal(b"a key for the tests of core")
PASSWORD = "secret"
DOMAINS = {"example.com": "example.com", "192.0.2.1": "example.com", "other.example": "other.example"}


def user(aor: str, **changes: object) -> User:
    """A user whose password is PASSWORD and whose realm is his domain."""
    name, _, domain = aor.partition("@")
    made = User(
        aor,
        domain,
        ha1(name, domain, PASSWORD),
        ha1(aor, domain, PASSWORD),
        ha1(name, domain, PASSWORD, "SHA-256"),
        ha1(aor, domain, PASSWORD, "SHA-256"),
        ha1_sha512_256=ha1(name, domain, PASSWORD, "SHA-512-256"),
        ha1_sha512_256_full=ha1(aor, domain, PASSWORD, "SHA-512-256"),
    )
    return made._replace(**changes)  # type: ignore[arg-type]


@dataclass
class DictTables:
    """Everything the protocol asks for; what is named in `unknown` raises Missing."""

    settings: Settings = field(default_factory=lambda: Settings(host_name="sip.example.com"))
    domains: dict[str, str] = field(default_factory=lambda: dict(DOMAINS))
    users: dict[str, User] = field(default_factory=lambda: {aor: user(aor) for aor in (ALICE, BOB)})
    contacts: dict[str, list[Binding]] = field(default_factory=dict)
    scripts: dict[tuple[str, str], Script] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    timezones: dict[str, bytes] = field(default_factory=dict)
    delegates: set[tuple[str, str]] = field(default_factory=set)
    peers: list[Peer] = field(default_factory=list)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    shared: bool = False

    def set(self, **changes: object) -> DictTables:
        """The same with other settings."""
        self.settings = self.settings._replace(**changes)  # type: ignore[arg-type]
        return self

    def _ask(self, kind: str, key: str) -> None:
        if (kind, key) in self.unknown:
            raise Missing(kind, key)

    def domain(self, host: str) -> str | None:
        return self.domains.get(host.lower().rstrip("."))

    def user(self, aor: str) -> User | None:
        self._ask("user", aor)
        return self.users.get(aor)

    def alias(self, aor: str) -> Sequence[str]:
        return self.aliases.get(aor, ())

    def kinds(self, domain: str) -> Sequence[tuple[Kind, int]]:
        kinds = Kinds()
        for one in self.users.values():
            kinds.change(None, one)
        return kinds.of(domain)

    def bindings(self, aor: str) -> Sequence[Binding]:
        self._ask("bindings", aor)
        return self.contacts.get(aor, [])

    def settled_bindings(self, aor: str) -> Sequence[Binding]:
        self._ask("settled", aor)
        return self.contacts.get(aor, [])

    def script(self, aor: str, kind: ScriptKind) -> Script | None:
        return self.scripts.get((aor, kind))

    def program(self, aor: str) -> Program | None:
        self._ask("program", aor)
        return self.programs.get(aor)

    @property
    def has_peers(self) -> bool:
        return bool(self.peers)

    def peer(self, host: str, names: Sequence[str] = ()) -> Peer | None:
        return Peers(self.peers).find(host, names)

    def may_register_for(self, delegate: str, aor: str) -> bool:
        return (delegate, aor) in self.delegates

    def apply(self, changes: Sequence[Change]) -> None:
        """What a store does with the changes of a Commit."""
        for change in changes:
            if isinstance(change, PutBinding):
                binding = change.binding
                key = binding.uri, binding.key
                kept = [old for old in self.contacts.get(binding.aor, []) if (old.uri, old.key) != key]
                self.contacts[binding.aor] = [*kept, binding]
            elif isinstance(change, DropBinding):
                key = change.uri, change.key
                self.contacts[change.aor] = [
                    old for old in self.contacts.get(change.aor, []) if (old.uri, old.key) != key
                ]
            elif isinstance(change, PutScript):
                self.scripts[change.script.aor, change.script.kind] = change.script
            elif isinstance(change, DropScript):
                self.scripts.pop((change.aor, change.kind), None)


class Places:
    """We are 192.0.2.1:5060 and [2001:db8::1]:5060."""

    has_tls = True

    def is_ours(self, host: str, port: int | None) -> bool:
        return host in ("192.0.2.1", "2001:db8::1") and port in (None, 5060)


@dataclass
class House:
    """Tables, a guard, and what is asked of them."""

    tables: DictTables = field(default_factory=DictTables)
    guard: Guard = field(default_factory=Guard)
    wall: float = WALL

    def inquiry(self, request: Request, source: Hop = PHONE) -> Inquiry:
        context = Context(SEAL, self.guard, Places())
        return Inquiry(request, source, context, NOW, self.wall, [], request.uri)

    def decide(self, request: Request, source: Hop = PHONE) -> Decision:
        """One decision, its marks applied and a Commit carried out, as the server does."""
        decision = decide(self.inquiry(request, source), self.tables)
        self.note(decision)
        if isinstance(decision, Commit):
            self.tables.apply(decision.changes)
        return decision

    def note(self, decision: Decision | Missing) -> None:
        """What the server does with the marks of a decision."""
        for mark in decision.marks:
            match mark:
                case NonceUsed():
                    self.guard.nonces.mark(mark.nonce, mark.count, NOW)
                case LogInFailed():
                    self.guard.failures.add(mark.user, mark.source, NOW)
                case Challenged():
                    self.guard.challenged.add(mark.call_id, NOW)

    def answer(self, request: Request, source: Hop = PHONE) -> Response:
        """The answer to a request that is answered on the spot, or after a commit."""
        decision = self.decide(request, source)
        respond = decision.response if isinstance(decision, Commit) else decision
        assert isinstance(respond, Respond)
        return response_to(
            request, respond.status, respond.reason, to_tag="ours", headers=respond.headers, body=respond.body
        )


def request(
    method: str = "INVITE",
    uri: str = f"sip:{BOB}",
    *more: str,
    from_: str = f"<sip:{ALICE}>;tag=a1",
    to: str = "",
    call_id: str = "call-1",
    cseq: int = 1,
    body: bytes = b"",
) -> Request:
    """A request as from the wire; `more` are whole header lines."""
    lines = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKphone1",
        "Max-Forwards: 70",
        f"From: {from_}",
        f"To: {to or '<' + uri + '>'}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *more,
        f"Content-Length: {len(body)}",
    ]
    made = parse("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body)
    assert isinstance(made, Request)
    return made


def register(
    *more: str, aor: str = ALICE, cseq: int = 1, call_id: str = "reg-1", body: bytes = b"", **kwargs: str
) -> Request:
    """A REGISTER of the domain's user."""
    return request(
        "REGISTER",
        kwargs.get("uri", "sip:example.com"),
        *more,
        from_=kwargs.get("from_", f"<sip:{aor}>;tag=r1"),
        to=kwargs.get("to", f"<sip:{aor}>"),
        call_id=call_id,
        cseq=cseq,
        body=body,
    )


def credentials(
    challenge: str,
    method: str,
    uri: str,
    /,
    *,
    username: str = "alice",
    password: str = PASSWORD,
    count: int = 1,
    qop: str = "auth",
    body: bytes = b"",
    **changed: str,
) -> str:
    """What a phone answers to one challenge; `changed` replaces parameters after the response was made."""
    asked = parse_auth(challenge).params
    algorithm = asked.get("algorithm", "MD5")
    secret = ha1(username, asked["realm"], password, algorithm)
    more = (qop.lower(), "0a4f113b", f"{count:08x}") if qop else ("", "", "")
    claim = Credentials(username, asked["realm"], asked["nonce"], uri, "", algorithm, *more)
    params = {
        "username": quote(username),
        "realm": quote(claim.realm),
        "nonce": quote(claim.nonce),
        "uri": quote(uri),
        "response": quote(expected(secret, method, claim, body)),
        "algorithm": algorithm,
    }
    if qop:
        params |= {"qop": qop, "cnonce": '"0a4f113b"', "nc": f"{count:08x}"}
    params |= changed
    return "Digest " + ", ".join(f"{name}={value}" for name, value in params.items())
