"""Every row in dictionaries, and what each Change does to them.

The cache and the memory store both stand on this, so a Change means the same
in memory as on disk; `tests/store/` holds them to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from sipd.hop import Way
from sipd.rows import (
    AddScriptLog,
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
    ScriptKind,
    TrimScriptLog,
)
from sipd.store.base import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sipd.rows import Binding, Change, Peer, Script, Settings, User
    from sipd.store.base import Key

_GRUU: Final = re.compile(r"(?:[0-9a-f]{12})?", re.ASCII)

KINDS: Final = get_args(ScriptKind)

K = TypeVar("K")
V = TypeVar("V")


class Image:
    """All rows, keyed as they are asked for; addresses-of-record and domains are canonical."""

    __slots__ = (
        "aliases",
        "bindings",
        "delegates",
        "dialplan",
        "domains",
        "peers",
        "removed",
        "scripts",
        "settings",
        "timezones",
        "users",
        "versions",
    )

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.bindings: dict[str, tuple[Binding, ...]] = {}
        self.scripts: dict[tuple[str, ScriptKind], Script] = {}
        self.removed: dict[tuple[str, ScriptKind], int] = {}  # the last version of a script that is gone
        self.domains: dict[str, str] = {}
        self.delegates: set[tuple[str, str]] = set()  # (aor, who may register for it)
        self.peers: dict[str, Peer] = {}
        self.settings: dict[str, Settings] = {}
        self.timezones: dict[str, PutTimezone] = {}
        self.aliases: dict[str, tuple[str, ...]] = {}  # the users that an alias leads to
        self.dialplan: dict[int, PutDial] = {}
        self.versions: dict[str, int] = {}  # of the bindings of an address-of-record, see `Expect`

    @classmethod
    def of(cls, snapshot: Snapshot) -> Image:
        """The image of what was loaded, still without users and bindings: `fill` puts them in."""
        image = cls()
        image.scripts = {(script.aor, script.kind): script for script in snapshot.scripts}
        image.removed = {(row.aor, row.kind): row.version for row in snapshot.removed}
        image.domains = {domain.name: domain.canonical for domain in snapshot.domains}
        image.delegates = {(row.aor, row.delegate) for row in snapshot.delegates}
        image.peers = {peer.name: peer for peer in snapshot.peers}
        image.settings = {settings.name: settings for settings in snapshot.settings}
        image.timezones = {zone.url: zone for zone in snapshot.timezones}
        for row in snapshot.aliases:
            image.put_alias(row)
        image.dialplan = {row.position: row for row in snapshot.dialplan}
        image.versions = dict(snapshot.versions)
        return image

    def fill(self, users: list[User], bindings: list[Binding], old: Image) -> Iterator[None]:
        """Put in users and bindings, one a step, taken off the two lists.

        A row that is equal in `old` is taken from there: that saves memory,
        and `differences` need only see which rows are not the same object.
        """
        while users:
            user = users.pop()
            known = old.users.get(user.aor)
            self.users[user.aor] = known if known == user and known is not None else user
            yield
        while bindings:
            self.put_binding(PutBinding(readable(bindings.pop())))
            yield
        for aor, rows in self.bindings.items():
            before = old.bindings.get(aor)
            if before is not None and len(before) == len(rows) and all(row in before for row in rows):
                self.bindings[aor] = before
            yield

    def apply(self, change: Change) -> None:
        """Carry out one change that the database accepted."""
        DO[type(change)](self, change)

    def put_binding(self, change: PutBinding) -> None:
        """Add a binding, or replace the one with the same URI and key in its place."""
        binding = change.binding
        old = self.bindings.get(binding.aor)
        if old is None or (len(old) == 1 and old[0].uri == binding.uri and old[0].key == binding.key):
            self.bindings[binding.aor] = (binding,)
        elif any(one.uri == binding.uri and one.key == binding.key for one in old):
            self.bindings[binding.aor] = tuple(
                binding if one.uri == binding.uri and one.key == binding.key else one for one in old
            )
        else:
            self.bindings[binding.aor] = (*old, binding)

    def drop_binding(self, change: DropBinding) -> None:
        """Remove one binding."""
        left = tuple(one for one in self.bindings.get(change.aor, ()) if one.uri != change.uri or one.key != change.key)
        if left:
            self.bindings[change.aor] = left
        else:
            self.bindings.pop(change.aor, None)

    def put_script(self, change: PutScript) -> None:
        """Store a script; its version is one more than the last there was."""
        script = change.script
        key = (script.aor, script.kind)
        old = self.scripts.get(key)
        if old is None:
            script = script._replace(version=self.removed.pop(key, 0) + 1)
        else:
            script = script._replace(version=old.version + 1, enabled=old.enabled)
        self.scripts[key] = script

    def drop_script(self, change: DropScript) -> None:
        """Remove a script."""
        key = (change.aor, change.kind)
        old = self.scripts.pop(key, None)
        if old is not None:
            self.removed[key] = old.version + 1

    def enable_script(self, change: EnableScript) -> None:
        """Switch a script on or off."""
        key = (change.aor, change.kind)
        old = self.scripts.get(key)
        if old is not None and old.enabled != change.enabled:
            self.scripts[key] = old._replace(version=old.version + 1, enabled=change.enabled)

    def put_user(self, change: PutUser) -> None:
        """Add or replace a user; what he owns stays."""
        self.users[change.user.aor] = change.user

    def drop_user(self, change: DropUser) -> None:
        """Remove a user and all he owns, and what others had allowed him."""
        aor = change.aor
        self.users.pop(aor, None)
        self.bindings.pop(aor, None)
        for kind in KINDS:
            self.scripts.pop((aor, kind), None)
            self.removed.pop((aor, kind), None)
        self.delegates = {row for row in self.delegates if aor not in row}
        self.versions.pop(aor, None)
        for alias in [alias for alias, users in self.aliases.items() if aor in users]:
            self.drop_alias(DropAlias(alias, aor))

    def put_domain(self, change: PutDomain) -> None:
        """Make a domain local."""
        self.domains[change.name] = change.canonical

    def drop_domain(self, change: DropDomain) -> None:
        """Make a domain foreign."""
        self.domains.pop(change.name, None)

    def put_delegate(self, change: PutDelegate) -> None:
        """Allow a third party."""
        self.delegates.add((change.aor, change.delegate))

    def drop_delegate(self, change: DropDelegate) -> None:
        """No longer allow him."""
        self.delegates.discard((change.aor, change.delegate))

    def put_alias(self, change: PutAlias) -> None:
        """Let an alias lead to one user more."""
        users = self.aliases.get(change.alias, ())
        if change.user not in users:
            self.aliases[change.alias] = tuple(sorted((*users, change.user)))

    def drop_alias(self, change: DropAlias) -> None:
        """No longer let it lead to him."""
        left = tuple(user for user in self.aliases.get(change.alias, ()) if user != change.user)
        if left:
            self.aliases[change.alias] = left
        else:
            self.aliases.pop(change.alias, None)

    def put_dial(self, change: PutDial) -> None:
        """Store a row of the dial plan."""
        self.dialplan[change.position] = change

    def drop_dial(self, change: DropDial) -> None:
        """Remove it."""
        self.dialplan.pop(change.position, None)

    def expect(self, change: Expect) -> None:
        """Count the change of the bindings that follows."""
        self.versions[change.aor] = change.version + 1

    def put_peer(self, change: PutPeer) -> None:
        """Trust a server."""
        self.peers[change.peer.name] = change.peer

    def drop_peer(self, change: DropPeer) -> None:
        """No longer trust it."""
        self.peers.pop(change.name, None)

    def put_settings(self, change: PutSettings) -> None:
        """Store a settings row."""
        self.settings[change.settings.name] = change.settings

    def add_script_log(self, change: AddScriptLog) -> None:
        """Nothing: log lines are read from the database."""

    def trim_script_log(self, change: TrimScriptLog) -> None:
        """Nothing, for the same reason."""

    def put_timezone(self, change: PutTimezone) -> None:
        """Keep what was fetched."""
        self.timezones[change.url] = change

    def drop_timezone(self, change: DropTimezone) -> None:
        """No longer keep it."""
        self.timezones.pop(change.url, None)

    def put_licence(self, change: PutLicence) -> None:
        """Nothing: licences are read from the database when a server starts."""

    def differences(self, new: Image) -> list[Change]:
        """The changes that lead from this image to `new` (script versions as they are in `new`).

        Users and bindings that are equal but not the same object count as different: see `fill`.
        """
        changes: list[Change] = [DropUser(aor) for aor in self.users if aor not in new.users]
        changes += [PutUser(user) for user in _other(self.users, new.users)]
        for aor in self.bindings.keys() | new.bindings.keys():
            before, after = self.bindings.get(aor, ()), new.bindings.get(aor, ())
            if before is not after:
                changes += [PutBinding(binding) for binding in after if binding not in before]
                left = {(binding.uri, binding.key) for binding in after}
                changes += [DropBinding(aor, one.uri, one.key) for one in before if (one.uri, one.key) not in left]
        changes += [
            PutScript(script)
            for script in new.scripts.values()
            if self.scripts.get((script.aor, script.kind)) != script
        ]
        changes += [DropScript(*key) for key in self.scripts if key not in new.scripts]
        changes += [PutDomain(*row) for row in new.domains.items() - self.domains.items()]
        changes += [DropDomain(name) for name in self.domains if name not in new.domains]
        changes += [PutDelegate(*row) for row in new.delegates - self.delegates]
        changes += [DropDelegate(*row) for row in self.delegates - new.delegates]
        now, then = _pairs(new.aliases), _pairs(self.aliases)
        changes += [PutAlias(*row) for row in now - then]
        changes += [DropAlias(*row) for row in then - now]
        changes += [row for position, row in new.dialplan.items() if self.dialplan.get(position) != row]
        changes += [DropDial(position) for position in self.dialplan if position not in new.dialplan]
        changes += [PutPeer(peer) for name, peer in new.peers.items() if self.peers.get(name) != peer]
        changes += [DropPeer(name) for name in self.peers if name not in new.peers]
        changes += [
            PutSettings(settings) for name, settings in new.settings.items() if self.settings.get(name) != settings
        ]
        changes += [zone for url, zone in new.timezones.items() if self.timezones.get(url) != zone]
        changes += [DropTimezone(url) for url in self.timezones if url not in new.timezones]
        return changes


def missing_user(users: Mapping[str, User], group: Sequence[Change]) -> str | None:
    """The address-of-record that a change of `group` needs and that no user has; None: all are there."""
    there: dict[str, bool] = {}  # what the group itself has done so far
    for change in group:
        match change:
            case PutUser():
                there[change.user.aor] = True
            case DropUser():
                there[change.aor] = False
            case _:
                for aor in _needed(change):
                    if not there.get(aor, aor in users):
                        return aor
    return None


def _needed(change: Change) -> tuple[str, ...]:
    match change:
        case PutBinding():
            return (change.binding.aor,)
        case PutScript():
            return (change.script.aor,)
        case PutDelegate():
            return (change.aor, change.delegate)
        case PutAlias():
            return (change.user,)
        case AddScriptLog() | Expect():
            return (change.aor,)
        case _:
            return ()


def _other(old: Mapping[K, V], new: Mapping[K, V]) -> Iterator[V]:
    return (row for key, row in new.items() if old.get(key) is not row)


def _pairs(aliases: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    return {(alias, user) for alias, users in aliases.items() for user in users}


def only(snapshot: Snapshot, keys: Sequence[Key]) -> Snapshot:
    """Of these rows those that the keys name."""
    names: dict[str, set[str]] = {}
    for what, name in keys:
        names.setdefault("users" if what in OWNED else what, set()).add(name)
    aors, empty = names.get("users", set()), set[str]()
    domains, peers, servers, zones, aliases, dials = (
        names.get(table, empty) for table in ("domain", "peers", "server", "timezones", "aliases", "dialplan")
    )
    return Snapshot(
        users=[row for row in snapshot.users if row.aor in aors],
        bindings=[row for row in snapshot.bindings if row.aor in aors],
        scripts=[row for row in snapshot.scripts if row.aor in aors],
        domains=[row for row in snapshot.domains if row.name in domains],
        delegates=[row for row in snapshot.delegates if row.aor in aors],
        peers=[row for row in snapshot.peers if row.name in peers],
        settings=[row for row in snapshot.settings if row.name in servers],
        secret_key=snapshot.secret_key,
        removed=[row for row in snapshot.removed if row.aor in aors],
        timezones=[row for row in snapshot.timezones if row.url in zones],
        aliases=[row for row in snapshot.aliases if row.alias in aliases or row.user in aors],
        dialplan=[row for row in snapshot.dialplan if str(row.position) in dials],
        versions=[row for row in snapshot.versions if row[0] in aors],
    )


OWNED: Final = frozenset({"users", "contacts", "scripts", "third_parties", "registrations"})
"""Tables whose rows are named by the address-of-record that they belong to."""

DO: Final[Mapping[type, Callable[[Image, Any], None]]] = {
    PutBinding: Image.put_binding,
    DropBinding: Image.drop_binding,
    PutScript: Image.put_script,
    DropScript: Image.drop_script,
    EnableScript: Image.enable_script,
    PutUser: Image.put_user,
    DropUser: Image.drop_user,
    PutDomain: Image.put_domain,
    DropDomain: Image.drop_domain,
    PutDelegate: Image.put_delegate,
    DropDelegate: Image.drop_delegate,
    PutAlias: Image.put_alias,
    DropAlias: Image.drop_alias,
    PutDial: Image.put_dial,
    DropDial: Image.drop_dial,
    Expect: Image.expect,
    PutPeer: Image.put_peer,
    DropPeer: Image.drop_peer,
    PutSettings: Image.put_settings,
    AddScriptLog: Image.add_script_log,
    TrimScriptLog: Image.trim_script_log,
    PutTimezone: Image.put_timezone,
    DropTimezone: Image.drop_timezone,
    PutLicence: Image.put_licence,
}
"""What to do for each kind of change. (Any: each function takes the key's own type.)"""


def readable(binding: Binding) -> Binding:
    """The row without what nobody can read in it: others write to the database too, and one row must not stop us."""
    if binding.received:
        try:
            Way.from_text(binding.received)
        except ValueError:
            binding = binding._replace(received="")
    return binding if _GRUU.fullmatch(binding.gruu) else binding._replace(gruu="")
