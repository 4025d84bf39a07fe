"""Every row in dictionaries, and what each Change does to them.

The cache and the memory store both stand on this, so a Change means the same
in memory as on disk; `tests/store/` holds them to it.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, get_args

from sipd.errors import BadSyntax
from sipd.hop import Way
from sipd.message import parse_route
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
    ExpectUser,
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
    Touch,
    TrimScriptLog,
)
from sipd.store.dense import Bindings, Users
from sipd.store.dense_rows import BindingRows, Known, UserRows
from sipd.store.kinds import Kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sipd.rows import Binding, Change, Peer, Script, Settings, User
    from sipd.store.base import Snapshot

_GRUU: Final = re.compile(r"(?:[0-9a-f]{12})?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

KINDS: Final = get_args(ScriptKind)


class Image:
    """All rows, keyed as they are asked for; addresses-of-record and domains are canonical."""

    __slots__ = (
        "aliases",
        "bindings",
        "delegates",
        "dialplan",
        "domains",
        "kinds",
        "peers",
        "removed",
        "scripts",
        "settings",
        "timezones",
        "users",
        "versions",
    )

    def __init__(self) -> None:
        self.users = Users()
        self.kinds = Kinds()
        self.bindings = Bindings()
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

    def fill(self, snapshot: Snapshot, old: Image) -> Iterator[None]:
        """Put in what was loaded, a row a step; users and bindings are taken over, the snapshot has none then.

        Of those a row that is equal in `old` is taken from there, which saves memory.
        """
        users, bindings, known = snapshot.users, snapshot.bindings, Known(old.users, old.bindings)
        if not isinstance(users, UserRows):
            users = UserRows(users, known)
        if not isinstance(bindings, BindingRows):
            bindings = BindingRows(bindings, known, users)
        self.users.take(users, self.kinds)
        yield from self.bindings.take(bindings, readable)
        for script in snapshot.scripts:
            self.scripts[script.aor, script.kind] = script
            yield
        for removed in snapshot.removed:
            self.removed[removed.aor, removed.kind] = removed.version
            yield
        for alias in snapshot.aliases:
            self.put_alias(alias)
            yield
        for aor, version in snapshot.versions:
            self.versions[aor] = version
            yield
        self.domains = {domain.name: domain.canonical for domain in snapshot.domains}
        self.delegates = {(row.aor, row.delegate) for row in snapshot.delegates}
        self.peers = {peer.name: peer for peer in snapshot.peers}
        self.settings = {settings.name: settings for settings in snapshot.settings}
        self.timezones = {zone.url: zone for zone in snapshot.timezones}
        self.dialplan = {row.position: row for row in snapshot.dialplan}

    def apply(self, change: Change) -> None:
        """Carry out one change that the database accepted."""
        DO[type(change)](self, change)

    def put_binding(self, change: PutBinding) -> None:
        """Add a binding, or replace the one with the same URI and key in its place."""
        binding = change.binding
        self.bindings.put(binding, self.users.known_as(binding.aor))

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
        user = change.user
        self.kinds.change(self.users.get(user.aor), user)
        self.users[user.aor] = user

    def drop_user(self, change: DropUser) -> None:
        """Remove a user and all he owns, and what others had allowed him."""
        aor = change.aor
        self.kinds.change(self.users.pop(aor, None), None)
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

    def expect_user(self, change: ExpectUser) -> None:
        """Nothing: he was."""

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

    def touch(self, change: Touch) -> None:
        """Nothing: nobody reads it."""


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
    ExpectUser: Image.expect_user,
    PutPeer: Image.put_peer,
    DropPeer: Image.drop_peer,
    PutSettings: Image.put_settings,
    AddScriptLog: Image.add_script_log,
    TrimScriptLog: Image.trim_script_log,
    PutTimezone: Image.put_timezone,
    DropTimezone: Image.drop_timezone,
    PutLicence: Image.put_licence,
    Touch: Image.touch,
}
"""What to do for each kind of change. (Any: each function takes the key's own type.)"""


def readable(binding: Binding) -> Binding:
    """The row without what nobody can read in it: others write to the database too, and one row must not stop us."""
    if binding.received:
        try:
            Way.from_text(binding.received)
        except ValueError:
            binding = binding._replace(received="")
    if not _GRUU.fullmatch(binding.gruu):
        binding = binding._replace(gruu="")
    if type(binding.q) is not int or not 0 <= binding.q <= 1000:
        binding = binding._replace(q=1000)
    if _CONTROL.search(binding.instance + binding.params):  # they are written into answers
        binding = binding._replace(instance=_CONTROL.sub("?", binding.instance), params="")
    if not all(map(_is_route, binding.path)):  # nobody knows the way there
        binding = binding._replace(path=(), expires_at=0.0)
    times = binding.expires_at, binding.refreshed_at
    if not all(isinstance(time, float | int) and isfinite(time) for time in times):  # it has expired
        binding = binding._replace(expires_at=0.0, refreshed_at=0.0)
    return binding


def _is_route(text: str) -> bool:
    try:
        parse_route(text)
    except BadSyntax:
        return False
    return not _CONTROL.search(text)
