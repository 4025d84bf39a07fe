"""What the rows of a Kamailio come to here: changes, and why some come to nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.control.verbs.base import Refusal
from sipd.control.verbs.kamailio_dialplan import CanNot, rows_of
from sipd.control.verbs.kamailio_source import seconds_of
from sipd.control.verbs.names import address_of_record, domain_name
from sipd.control.verbs.sheets import HEX
from sipd.control.verbs.ul import FOREVER, LONGEST_URI
from sipd.control.verbs.user import SHORTEST, password_text
from sipd.core.outbound import flow_key, short_key
from sipd.errors import BadSyntax
from sipd.hop import DEFAULT_PORTS, Hop, Way
from sipd.message import is_address, parse_uri, split_list
from sipd.rows import (
    Binding,
    EnableScript,
    PutAlias,
    PutBinding,
    PutDial,
    PutDomain,
    PutScript,
    PutUser,
    Script,
    User,
)
from sipd.store import choose, with_password

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.control.verbs.base import Plain
    from sipd.control.verbs.kamailio_source import Row, Tables
    from sipd.rows import Change, Settings
    from sipd.store import Snapshot

MEDIA_TYPE: Final = "application/cpl+xml"

HASH_FIELDS: Final = {32: ("ha1_md5", "ha1_md5_full"), 64: ("ha1_sha256", "ha1_sha256_full")}
"""Hexadecimal digits of ha1 and ha1b -> the fields they fill: MD5, or SHA-256 where its `auth` module is set so."""

STEP: Final = 10
"""Between the positions of two rows of the dial plan: some may come between."""


class Wishes(NamedTuple):
    """How to take what is found."""

    update: bool = False  # users and scripts that are there are changed
    skip: bool = False  # or left alone
    convert: bool = False  # scripts of the drafts are written anew
    realm: str = ""  # that all hashes are for; empty: each user's domain
    domain: str = ""  # of rows that name none; empty: the only one there is
    dpid: int | None = None  # which dial plan, where there are several
    by: str = ""


class Skip(Exception):
    """This row comes to nothing; the text says why."""


class House:
    """The changes that rows come to, table by table, and what is to be told of them."""

    def __init__(self, snapshot: Snapshot, tables: Tables, wishes: Wishes, now: float) -> None:
        self.changes: list[Change] = []
        self.read = {name: len(rows) for name, rows in tables.items()}
        self.taken: Counter[str] = Counter()
        self.notes: list[str] = []
        self._skipped: dict[tuple[str, str], list[str]] = {}
        self._tables = tables
        self._wishes = wishes
        self._now = now
        self._snapshot = snapshot
        self._domains = {row.name: row.canonical for row in snapshot.domains}
        self._old = {user.aor: user for user in snapshot.users}
        self._users: dict[str, User] = dict(self._old)  # as they will be
        self._mains = set[str]()  # domains that another name of theirs has made
        self._left = set[str]()  # users who are there, and shall be left alone
        self._default = wishes.domain
        self.there: list[str] = []  # users who are there, where nobody said what to do with them

    def take(self, told: Callable[[str, int, int], None]) -> None:
        """Take all tables, each after those it needs."""
        for name, take in TAKE.items():
            rows = self._tables.get(name, [])
            self._begin(name)
            for count, row in enumerate(rows):
                if count % 200 == 0:
                    told(name, count, len(rows))
                try:
                    self.taken[name] += take(self, row)
                except (Skip, Refusal) as reason:
                    self.skip(name, _named(name, row), str(reason))

    def skip(self, table: str, row: str, why: str) -> None:
        """Note that a row comes to nothing."""
        self._skipped.setdefault((table, why), []).append(row)

    def report(self) -> dict[str, Plain]:
        """What is to be told: of each table, and of all that was not taken, alike reasons together."""
        lost = Counter[str]()
        for (table, _), names in self._skipped.items():
            lost[table] += len(names)
        return {
            "tables": [
                {"table": name, "read": self.read[name], "taken": self.taken[name], "skipped": lost[name]}
                for name in TAKE
                if name in self.read
            ],
            "skipped": [
                {"table": table, "rows": len(names), "such as": names[0], "why": why}
                for (table, why), names in self._skipped.items()
            ],
            "notes": list(self.notes),
        }

    # each table

    def _begin(self, table: str) -> None:
        """What a table needs before its first row."""
        if table == "subscriber":
            self._homes()
        elif table == "location":
            self._live = {(row.aor, row.uri, row.key) for row in self._snapshot.bindings if row.expires_at > self._now}
            self._put: dict[tuple[str, str, str], Binding] = {}
        elif table == "cpl":
            self._scripts = {row.aor: row for row in self._snapshot.scripts if row.kind == "cpl"}
        elif table == "dialplan":
            plan = self._snapshot.dialplan
            self._dials = {(row.pattern, row.replacement) for row in plan}
            self._position = max((row.position for row in plan), default=0) // STEP * STEP
            self._plans = {int(row.number("dpid", 0)) for row in self._tables.get("dialplan", [])}

    def _homes(self) -> None:
        """Make the domains of subscribers local, and find the one of rows that name none: the only one there is."""
        if self._default:
            self._make_local(domain_name(self._default), "--domain says so")
        homes = set[str]()
        for row in (*self._tables.get("domain", []), *self._tables.get("subscriber", [])):
            text = row.text("domain")
            if text:
                try:
                    name = domain_name(text)
                except Refusal:
                    continue  # said of the row itself
                self._make_local(name, "a subscriber is there")
                homes.add(self._domains[name])
        homes = homes or set(self._domains.values())
        if len(homes) == 1 and not self._default:
            [self._default] = homes

    def _make_local(self, name: str, why: str) -> None:
        if name not in self._domains:
            self._domains[name] = name
            self.changes.append(PutDomain(name, name))
            self.notes.append(f"{name} is made a local domain, as {why}")

    def _domain(self, row: Row) -> int:
        name = domain_name(row.text("domain"))
        group = row.text("did") or name
        canonical = name
        if group.lower() != name:
            canonical = self._groups().get(group, name)
        if name in self._mains:  # another name of it came first
            return 1
        if name in self._domains:
            raise Skip("is a local domain already")
        self._domains[name] = canonical
        if canonical not in self._domains:
            self._domains[canonical] = canonical
            self._mains.add(canonical)
            self.changes.append(PutDomain(canonical, canonical))
        self.changes.append(PutDomain(name, canonical))
        return 1

    def _groups(self) -> Mapping[str, str]:
        """The first domain of each did, or that which is called so."""
        found: dict[str, str] = {}
        for row in self._tables.get("domain", []):
            name, group = row.text("domain").lower(), row.text("did")
            if group and (group not in found or group.lower() == name):
                found[group] = name
        return found

    def _aor(self, row: Row, user: str = "username", domain: str = "domain") -> str:
        """The address-of-record that two columns make, in its canonical form here. Raises Refusal, Skip."""
        host = row.text(domain) or self._default
        if not host:
            raise Skip("names no domain: say which with --domain")
        # what is stored is unescaped: a % is one
        return address_of_record(f"{row.text(user).replace('%', '%25')}@{host}", self._domains)

    def _subscriber(self, row: Row) -> int:
        aor = self._aor(row)
        old = self._old.get(aor)
        if self._users.get(aor) is not old:
            raise Skip("is there twice, in domains that are the same here")
        if old is not None and not self._wishes.update:
            self._left.add(aor)
            if not self._wishes.skip:
                self.there.append(aor)
            raise Skip("is a user here already")
        realm = self._wishes.realm or row.text("domain") or self._default
        user = self._secrets(row, (old or User(aor, realm))._replace(realm=realm))
        self._users[aor] = user
        self.changes.append(PutUser(user))
        return 1

    def _secrets(self, row: Row, user: User) -> User:
        password = row.text("password")
        if password:
            if len(password) < SHORTEST:
                self._note_once(f"some passwords have fewer than {SHORTEST} letters, such as that of {user.aor}")
            return with_password(user, password_text(password, 1))
        ha1, ha1b = row.text("ha1").lower(), row.text("ha1b").lower()
        fields = HASH_FIELDS.get(len(ha1))
        if not ha1:
            raise Skip("has neither a password nor a hash")
        if fields is None or not HEX.fullmatch(ha1) or (ha1b and (len(ha1b) != len(ha1) or not HEX.fullmatch(ha1b))):
            raise Skip("has a hash that is neither MD5 nor SHA-256")
        empty = {name: "" for name in User._fields if name.startswith("ha1_")}
        return User(**user._asdict() | empty | dict(zip(fields, (ha1, ha1b), strict=True)))

    def _note_once(self, text: str) -> None:
        head = text.partition(",")[0]
        if not any(note.startswith(head) for note in self.notes):
            self.notes.append(text)

    def _user(self, row: Row) -> User:
        """The user a row belongs to. Raises Skip where there is none, or he shall be left alone."""
        user = self._users.get(self._aor(row))
        if user is None:
            raise Skip("belongs to nobody here")
        if user.aor in self._left:
            raise Skip("belongs to a user who was there already")
        return user

    def _alias(self, row: Row) -> int:
        alias = self._aor(row, "alias_username", "alias_domain")
        if alias in self._users:
            raise Skip("is a user himself")
        change = PutAlias(alias, self._user(row).aor)
        if change in self._snapshot.aliases:
            raise Skip("is an alias here already")
        self.changes.append(change)
        return 1

    def _location(self, row: Row) -> int:
        user = self._user(row)
        until = seconds_of(row.cells.get("expires"))
        if until is None:
            raise Skip("has no time it expires at")
        if until == 0:
            until = self._now + FOREVER
        if until <= self._now:
            raise Skip("has expired")
        binding = self._binding(row, user.aor, until)
        name = (binding.aor, binding.uri, binding.key)
        if name in self._live:
            raise Skip("is registered here already")
        before = self._put.get(name)
        if before is not None and before.expires_at >= until:
            raise Skip("is there twice")
        self._put[name] = binding
        self.changes.append(PutBinding(binding))
        return 1 if before is None else 0

    def _binding(self, row: Row, aor: str, until: float) -> Binding:
        contact = row.text("contact")
        try:
            uri = parse_uri(contact)
        except BadSyntax as error:
            raise Skip(f"has a contact that is no URI: {error.text}") from None
        if uri.scheme not in ("sip", "sips", "tel"):
            raise Skip("has a contact of a scheme that is not stored")
        instance, reg_id = row.text("instance").strip('"'), int(row.number("reg_id", 0))
        call_id, path = row.text("callid"), row.text("path")
        received = _way(row.text("received"), row.text("socket"))
        flow = bool(reg_id > 0 and instance)
        key = flow_key(instance, reg_id) if flow else ""
        if not key and received and (aor, uri.text, "") in self._put:
            key = short_key(call_id)  # another phone behind another NAT calls itself the same
        q = row.number("q", -1)
        texts = (contact, call_id, path, row.text("user_agent"))
        if not all(_is_text(text) for text in texts) or len(contact.encode()) > LONGEST_URI:
            raise Skip("holds what is no UTF-8")
        return Binding(
            aor,
            contact,
            round(q * 1000) if 0 <= q <= 1 else 1000,
            until,
            call_id,
            int(row.number("cseq", 0)),
            path=tuple(split_list(path)) if path else (),
            received=received,
            user_agent=row.text("user_agent"),
            instance=instance,
            reg_id=reg_id if flow else 0,
            key=key,
            refreshed_at=self._now,
        )

    def _script(self, row: Row) -> int:
        from sipd.control.verbs.script import Unsound, checked  # here, as the compiler takes a while to load
        from sipd.cpl import CplError
        from sipd.cpl.convert import convert

        user, text = self._user(row), row.raw("cpl_xml")
        if not text.strip():
            raise Skip("is empty")
        old = self._scripts.get(user.aor)
        if old is not None and not self._wishes.update:
            raise Skip("belongs to a user who has a script already")
        lost: list[str] = []
        if self._wishes.convert:
            try:
                made = convert(text, max_bytes=self._settings().max_script)
            except CplError as error:
                raise Skip(f"can't be converted: {error.findings[0]}") from None
            text = made.text
            lost = [str(note) for note in made.notes if note.kind == "lost"]
        if old is not None and old.text == text:
            raise Skip("is as it is here already")
        try:
            checked(text, self._settings(), user.gateway_class, {})
        except Unsound as unsound:
            hint = "" if self._wishes.convert else " (try --convert)"
            raise Skip(f"is unsound: {unsound.findings[0]}{hint}") from None
        self.changes.append(
            PutScript(Script(user.aor, "cpl", text, MEDIA_TYPE, self._now, self._wishes.by), "imported")
        )
        if lost:
            self.changes.append(EnableScript(user.aor, "cpl", False, self._now, self._wishes.by))
            self.notes.append(
                f"the script of {user.aor} is switched off, as not all of it could be said: {lost[0]}. "
                f"Look at it, and: sipdctl script enable {user.aor}"
            )
        return 1

    def _settings(self) -> Settings:
        return choose(self._snapshot.settings, "") if len(self._snapshot.settings) == 1 else self._snapshot.settings[0]

    def _dial(self, row: Row) -> int:
        dpid = int(row.number("dpid", 0))
        if self._wishes.dpid is None and len(self._plans) > 1:
            plans = ", ".join(map(str, sorted(self._plans)))
            raise Skip(f"is of one of several dial plans ({plans}): say which with --dpid")
        if self._wishes.dpid not in (None, dpid):
            raise Skip("is of another dial plan")
        host = self._default
        if not host:
            raise Skip("needs a domain for the number it comes to: say which with --domain")
        try:
            rows = rows_of(
                int(row.number("match_op", -1)),
                row.text("match_exp"),
                int(row.number("match_len", 0)),
                row.text("subst_exp"),
                row.text("repl_exp"),
            )
        except CanNot as reason:
            raise Skip(f"can't be said as a digit map: {reason}") from None
        new = [(pattern, f"sip:{number}@{host}") for pattern, number in rows]
        new = [pair for pair in new if pair not in self._dials]
        if not new:
            raise Skip("is in the dial plan here already")
        for pattern, replacement in new:
            self._position += STEP
            self._dials.add((pattern, replacement))
            self.changes.append(PutDial(self._position, pattern, replacement))
        if row.text("attrs"):
            self._note_once("attributes of dial plan rules are left out, such as " + row.text("attrs"))
        return 1


TAKE: Final[Mapping[str, Callable[[House, Row], int]]] = {
    "domain": House._domain,
    "subscriber": House._subscriber,
    "dbaliases": House._alias,
    "location": House._location,
    "cpl": House._script,
    "dialplan": House._dial,
}
"""Table -> how to take a row of it, in this order; the number says how many rows more were taken."""


def _named(table: str, row: Row) -> str:
    """How a report names a row."""
    match table:
        case "domain":
            return row.text("domain")
        case "dialplan":
            return f"{row.text('match_exp')} (id {row.text('id')})"
        case "dbaliases":
            return f"{row.text('alias_username')}@{row.text('alias_domain')}"
        case _:
            who = f"{row.text('username')}@{row.text('domain')}".removesuffix("@")
            return f"{who} {row.text('contact')}" if table == "location" else who


def _way(received: str, socket: str) -> str:
    """The flow that a phone behind NAT registered over, as a binding keeps it; "" where it is reached by its contact.

    Raises Skip for a connection: it ends with the Kamailio.
    """
    if not received:
        return ""
    try:
        uri = parse_uri(received)
    except BadSyntax:
        raise Skip("came from a place that can't be read") from None
    if not uri.is_sip or not is_address(uri.host):
        raise Skip("came from a place that can't be read")
    if uri.transport != "UDP":
        raise Skip("is reached by a connection only, which ends with Kamailio: the phone registers again")
    remote = Hop("UDP", uri.host, uri.port or DEFAULT_PORTS["UDP"])
    try:
        near = Hop.from_text(socket) if socket else None
    except ValueError:
        near = None
    return str(Way(remote, near))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\n" not in text and "\0" not in text
