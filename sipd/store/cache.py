"""The tables in memory: what decisions read, always what is committed.

All rows are loaded at start. Our own changes come in by `apply` once they are
committed; those of others are noticed by `watch_outside`: see `Following`.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

import trio

from sipd.core.tables import Missing
from sipd.errors import SetupError, StoreAway
from sipd.log import LOG, EventLog
from sipd.rows import (
    DropBinding,
    DropPeer,
    DropScript,
    DropTimezone,
    DropUser,
    EnableScript,
    Expect,
    PutBinding,
    PutPeer,
    PutScript,
    PutSettings,
    PutTimezone,
    Settings,
)
from sipd.store.expiry import Expiry
from sipd.store.following import POLL, Following
from sipd.store.image import Image
from sipd.store.options import mistyped, settings_from_texts
from sipd.store.peers import Peers
from sipd.store.programs import Programs
from sipd.store.reach import Reach
from sipd.store.turns import QuickLock, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sipd.core.challenge import Kind
    from sipd.cpl import Program
    from sipd.rows import Binding, Change, Peer, Script, ScriptKind, User
    from sipd.store.base import Store

    Watcher = Callable[[Sequence[Change]], None]

LONGEST_NAME: Final = 255
"""Characters of a host name (RFC 1035 §2.3.4): longer text is no domain, and is not kept."""


class Cache:
    """Every row of a Store in memory; implements `sipd.core.tables.Tables`.

    `server` names the settings row (`-S`); it may be empty where there is
    only one. `fill` comes first.
    """

    def __init__(self, store: Store, server: str = "", log: EventLog = LOG) -> None:
        self.store = store
        self.lock = QuickLock()  # held while a commit, and what it means for this memory, is under way
        self.secret_key = b""
        self.image = Image()  # the rows as they are now; for `Following`, which exchanges it
        self.settings = Settings()  # the server's own row
        self.reach = Reach(log)
        self.following = Following(self)
        self._server = server
        self._log = log
        self._overrides: dict[str, object] = {}
        self._zone = ""  # of the machine
        self._programs = Programs(log)
        self._peers = Peers()
        self._zones: dict[str, bytes] = {}
        self.has_peers = False
        self._turns = Turns()
        self._expiry = Expiry()
        self._watchers: list[Watcher] = []

    # Tables

    @property
    def domains(self) -> list[str]:
        """The names of all local domains."""
        return sorted(self.image.domains)

    def domain(self, host: str) -> str | None:
        """The local domain whose users `host` means."""
        domains = self.image.domains
        return domains.get(host) or (domains.get(domain_key(host)) if len(host) <= LONGEST_NAME else None)

    def user(self, aor: str) -> User | None:
        """The user of that address-of-record."""
        return self.image.users.get(aor)

    def kinds(self, domain: str) -> Sequence[tuple[Kind, int]]:
        """What the users of that domain are asked for, and how many have it."""
        return self.image.kinds.of(domain)

    def alias(self, aor: str) -> tuple[str, ...]:
        """The users that calls to this address reach."""
        return self.image.aliases.get(aor, ())

    def bindings(self, aor: str) -> tuple[Binding, ...]:
        """The committed bindings; expired ones stay until the sweep."""
        return self.image.bindings.get(aor, ())

    def with_bindings(self) -> list[str]:
        """The addresses-of-record that have any."""
        return list(self.image.bindings)

    def bindings_with_flow(self) -> Iterator[Binding]:
        """Of all users those that came by a flow to be kept."""
        return self.image.bindings.with_flow()

    @property
    def shared(self) -> bool:
        """Whether other servers write to the same database."""
        return self.store.shared

    def settled_bindings(self, aor: str) -> tuple[Binding, ...]:
        """The same; raises Missing("settled", aor) while a change of theirs is queued, or they are to be loaded."""
        if self._turns.taken(aor) or aor in self.following.unsure:
            raise Missing("settled", aor)
        return self.image.bindings.get(aor, ())

    def script(self, aor: str, kind: ScriptKind) -> Script | None:
        """The stored script."""
        return self.image.scripts.get((aor, kind))

    def program(self, aor: str) -> Program | None:
        """The user's CPL script ready to run; None when he has none that is enabled and sound."""
        script = self.image.scripts.get((aor, "cpl"))
        if script is None:
            return None
        owner = self.image.users.get(aor)
        user_class = owner.gateway_class if owner is not None else ""
        return self._programs.of(script, self.settings, user_class, self._zones)

    def with_script(self) -> list[str]:
        """The addresses-of-record that have a CPL script which is enabled."""
        return [aor for (aor, kind), script in self.image.scripts.items() if kind == "cpl" and script.enabled]

    def with_fetched_zones(self) -> list[str]:
        """Those of them whose script has a time zone fetched."""
        return self._programs.fetching()

    def every_script(self) -> list[Script]:
        """All scripts that are stored, those that are switched off too."""
        return list(self.image.scripts.values())

    @property
    def timezones(self) -> Mapping[str, bytes]:
        """The good data fetched last from each tzurl of a script."""
        return self._zones

    def may_register_for(self, delegate: str, aor: str) -> bool:
        """Whether `aor` named `delegate` as one who may register for him."""
        return (aor, delegate) in self.image.delegates

    def peer(self, host: str, names: Sequence[str] = ()) -> Peer | None:
        """The trusted server at this address, or with a certificate for one of these names."""
        return self._peers.find(host, names)

    async def load(self, kind: str, key: str) -> None:
        """Wait until what `Missing(kind, key)` asked for can be answered. Raises StoreAway."""
        if kind != "settled":  # all rows are in memory
            await trio.lowlevel.checkpoint()
            return
        await self._turns.wait(key)
        while key in self.following.unsure:
            if self.reach.lacks("reading"):  # who looks after that will tell; one who waits is told at once
                raise StoreAway(f"{self.store.shown} can't be read just now")
            await self.following.read()
            await self._turns.wait(key)

    # changes

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over changes that are committed, and tell the watchers."""
        for change in changes:
            self.image.apply(change)
        self.following.committed(changes)
        self.heard(changes)

    def expected(self, aor: str) -> Expect:
        """What a change of these bindings that is decided now, and queued in the same turn, stands on."""
        return Expect(aor, self.image.versions.get(aor, 0) + self._turns.count(aor))

    def queued(self, aor: str) -> None:
        """A change of this address-of-record waits for its commit; empty: of none in particular."""
        self._turns.take(aor)
        self.following.begun(aor)

    def under_way(self, aor: str) -> bool:
        """Whether a change of this address-of-record waits for its commit, or is being committed."""
        return self._turns.taken(aor)

    def settled(self, aor: str) -> None:
        """That change was committed or given up."""
        self._turns.give_back(aor)

    def watch(self, callback: Watcher) -> None:
        """Call this with all changes from now on, ours and others', when `Tables` shows them already."""
        self._watchers.append(callback)

    def expired(self, wall: float, limit: int = 1000) -> list[DropBinding]:
        """Changes that remove bindings whose time is over at `wall`, at most about `limit`.

        Each is handed out once; those with a change queued come later. To be
        submitted in the same turn (`Writer.drop_expired` does).
        """
        changes: list[DropBinding] = []
        for aor in self._expiry.due(wall, limit):
            if self._turns.taken(aor) or aor in self.following.unsure:  # perhaps a refresh, which must not be removed
                self._expiry.add(aor, wall)
                continue
            bindings = self.image.bindings.get(aor, ())
            changes += [
                DropBinding(aor, binding.uri, binding.key) for binding in bindings if binding.expires_at <= wall
            ]
        return changes

    def expire_again(self, aor: str, wall: float) -> None:
        """Look at the bindings of this address-of-record again at that time: they could not be removed."""
        self._expiry.add(aor, wall)

    def override(self, texts: Sequence[str]) -> None:
        """Use these `key=value` settings of the command line for this run, whatever the row says.

        Raises SetupError for a key that is no setting or a value it can't have.
        """
        self._overrides = settings_from_texts(texts)
        self.settings = self._overridden(self.settings)

    def use_zone(self, name: str) -> None:
        """The machine's time zone, for when the setting `time_zone` is empty."""
        self._zone = name
        self.settings = self._overridden(self.settings)

    def _overridden(self, settings: Settings) -> Settings:
        if self._overrides:
            settings = settings._replace(**self._overrides)  # type: ignore[arg-type]  # checked when read
        return settings if settings.time_zone else settings._replace(time_zone=self._zone)

    # the database

    async def fill(self) -> None:
        """Load every row. Raises SetupError when there is no settings row for this server."""
        snapshot = await self.following.fill()
        self.settings = self._overridden(choose(snapshot.settings, self._server))
        self.secret_key = snapshot.secret_key
        self._take_peers()
        self._take_zones()
        for aor, when in self.image.bindings.ends():
            self._expiry.add(aor, when)

    async def reload(self) -> None:
        """Load every row again, and swap them in in one turn."""
        await self.following.reload()

    async def catch_up(self) -> None:
        """Load what somebody else has changed. Raises StoreAway, SetupError."""
        await self.following.catch_up()

    async def watch_outside(
        self, interval: float = POLL, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Notice what others change, for ever."""
        await self.following.run(interval, task_status=task_status)

    def heard(self, changes: Sequence[Change]) -> None:
        """These have come into the image: take note, and tell the watchers."""
        for change in changes:
            match change:
                case PutBinding():
                    self._expiry.add(self.image.users.known_as(change.binding.aor), change.binding.expires_at)
                case PutSettings():
                    self._take_settings(change.settings)
                case PutScript():
                    self._programs.forget(change.script.aor)
                case DropScript() | EnableScript() | DropUser():
                    self._programs.forget(change.aor)
                case _:
                    pass
        kinds = set(map(type, changes))
        if not kinds.isdisjoint(_OF_ZONES):
            self._take_zones()
            self._programs.forget_zones()
        if not kinds.isdisjoint(_OF_PEERS):
            self._take_peers()
        self._tell(changes)

    def _take_settings(self, settings: Settings) -> None:
        if settings.name == self.settings.name:
            try:
                self.settings = self._overridden(choose([settings], settings.name))
            except SetupError as error:  # the server goes on with what it has
                self._log.event("fault", whose="settings", kind="SetupError", text=error.text)

    def _take_zones(self) -> None:
        self._zones = {url: zone.data for url, zone in self.image.timezones.items()}

    def _take_peers(self) -> None:
        self._peers = Peers(self.image.peers.values())
        self.has_peers = bool(self._peers)

    def _tell(self, changes: Sequence[Change]) -> None:
        for watcher in self._watchers:
            try:
                watcher(changes)
            except Exception as fault:  # one who listens badly must not keep others, or the caller, from it
                self._log.event("fault", whose="watcher", kind=type(fault).__name__, text=fault)


_OF_ZONES: Final = frozenset({PutTimezone, DropTimezone})
_OF_PEERS: Final = frozenset({PutPeer, DropPeer})


def choose(rows: Sequence[Settings], server: str, but: Collection[str] = ()) -> Settings:
    """The settings row of that name; the only one when the name is empty.

    Raises SetupError when there is none, or one with something else than a number where one must be; what `but` names
    is not looked at.
    """
    names = ", ".join(row.name for row in rows)
    for row in rows:
        if row.name == server or (not server and len(rows) == 1):
            for name, value in mistyped(row).items():
                if name not in but:
                    raise SetupError(
                        f"{name} in the server configuration {row.name!r} is {value!r}, and no number",
                        f"Set it, for instance: sipdctl server set {name}={Settings._field_defaults[name]}",
                    )
            return row
    if not rows:
        raise SetupError("the database has no server configuration", "Make one with: sipdctl server set mode=proxy")
    if not server:
        raise SetupError(f"the database has several server configurations: {names}", "Choose one with -S NAME")
    raise SetupError(f"the database has no server configuration {server!r}", f"There is: {names}")


@lru_cache(4096)
def domain_key(host: str) -> str:
    """The host as local domains are stored: ASCII lower case, no brackets, no final dot; empty for anything odd."""
    if not host.isascii():  # str.lower() knows letters that DNS does not
        return ""
    host = host.lower().removesuffix(".").strip("[]")
    if ":" in host:  # an IPv6 address has many spellings
        try:
            return IPv6Address(host).compressed
        except ValueError:
            return ""
    return host
