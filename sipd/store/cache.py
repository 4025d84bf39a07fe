"""The tables in memory: what decisions read, always what is committed.

All rows are loaded at start. Our own changes come in by `apply` once they are
committed; those of other processes are noticed by `watch_outside`, which
loads all rows aside and swaps them in one turn.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address
from itertools import chain, islice
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
    PutBinding,
    PutPeer,
    PutScript,
    PutSettings,
    PutTimezone,
    Settings,
)
from sipd.store.expiry import Expiry
from sipd.store.image import Image
from sipd.store.options import settings_from_texts
from sipd.store.peers import Peers
from sipd.store.programs import Programs
from sipd.store.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sipd.cpl import Program
    from sipd.rows import Binding, Change, Peer, Script, ScriptKind, User
    from sipd.store.base import Snapshot, Store

    Watcher = Callable[[Sequence[Change]], None]

SLICE: Final = 500
"""Rows handled in one turn of the loop while all are loaded."""

POLL: Final = 0.25
"""Seconds between two looks at whether another process changed the database."""


LONGEST_NAME: Final = 255
"""Characters of a host name (RFC 1035 §2.3.4): longer text is no domain, and is not kept."""


class Cache:
    """Every row of a Store in memory; implements `sipd.core.tables.Tables`.

    `server` names the settings row (`-S`); it may be empty where there is
    only one. `fill` comes first.
    """

    def __init__(self, store: Store, server: str = "", log: EventLog = LOG) -> None:
        self.store = store
        self.lock = trio.Lock()  # held while a commit, and what it means for this memory, is under way
        self.secret_key = b""
        self.stale = False  # this memory may lack something: load again
        self._server = server
        self._log = log
        self._image = Image()
        self.settings = Settings()  # the server's own row
        self._overrides: dict[str, object] = {}
        self._zone = ""  # of the machine
        self._programs = Programs(log)
        self._peers = Peers()
        self._zones: dict[str, bytes] = {}
        self.has_peers = False
        self._turns = Turns()
        self._loading = trio.Lock()  # one load at a time
        self._meanwhile: list[Change] | None = None  # what we committed since the snapshot that is being loaded
        self._expiry = Expiry()
        self._watchers: list[Watcher] = []

    # Tables

    @property
    def domains(self) -> list[str]:
        """The names of all local domains."""
        return sorted(self._image.domains)

    def domain(self, host: str) -> str | None:
        """The local domain whose users `host` means."""
        domains = self._image.domains
        return domains.get(host) or (domains.get(domain_key(host)) if len(host) <= LONGEST_NAME else None)

    def user(self, aor: str) -> User | None:
        """The user of that address-of-record."""
        return self._image.users.get(aor)

    def alias(self, aor: str) -> tuple[str, ...]:
        """The users that calls to this address reach."""
        return self._image.aliases.get(aor, ())

    def bindings(self, aor: str) -> tuple[Binding, ...]:
        """The committed bindings; expired ones stay until the sweep."""
        return self._image.bindings.get(aor, ())

    def every_binding(self) -> Iterator[Binding]:
        """All committed bindings, of all users."""
        return chain.from_iterable(self._image.bindings.values())

    def settled_bindings(self, aor: str) -> tuple[Binding, ...]:
        """The same; raises Missing("settled", aor) while a change of theirs is queued."""
        if self._turns.taken(aor):
            raise Missing("settled", aor)
        return self._image.bindings.get(aor, ())

    def script(self, aor: str, kind: ScriptKind) -> Script | None:
        """The stored script."""
        return self._image.scripts.get((aor, kind))

    def program(self, aor: str) -> Program | None:
        """The user's CPL script ready to run; None when he has none that is enabled and sound."""
        script = self._image.scripts.get((aor, "cpl"))
        if script is None:
            return None
        owner = self._image.users.get(aor)
        user_class = owner.gateway_class if owner is not None else ""
        return self._programs.of(script, self.settings, user_class, self._zones)

    def with_script(self) -> list[str]:
        """The addresses-of-record that have a CPL script which is enabled."""
        return [aor for (aor, kind), script in self._image.scripts.items() if kind == "cpl" and script.enabled]

    def every_script(self) -> list[Script]:
        """All scripts that are stored, those that are switched off too."""
        return list(self._image.scripts.values())

    @property
    def timezones(self) -> Mapping[str, bytes]:
        """The good data fetched last from each tzurl of a script."""
        return self._zones

    def may_register_for(self, delegate: str, aor: str) -> bool:
        """Whether `aor` named `delegate` as one who may register for him."""
        return (aor, delegate) in self._image.delegates

    def peer(self, host: str, names: Sequence[str] = ()) -> Peer | None:
        """The trusted server at this address, or with a certificate for one of these names."""
        return self._peers.find(host, names)

    async def load(self, kind: str, key: str) -> None:
        """Wait until what `Missing(kind, key)` asked for can be answered."""
        if kind == "settled":
            await self._turns.wait(key)
        else:  # all rows are in memory
            await trio.lowlevel.checkpoint()

    # changes

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over changes that are committed, and tell the watchers."""
        for change in changes:
            self._image.apply(change)
            self._heed(change)
        if self._meanwhile is not None:
            self._meanwhile += changes
        self._tell(changes)

    def queued(self, aor: str) -> None:
        """A change of this address-of-record waits for its commit; empty: of none in particular."""
        self._turns.take(aor)

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
            if self._turns.taken(aor):  # perhaps a refresh, which must not be removed
                self._expiry.add(aor, wall)
                continue
            bindings = self._image.bindings.get(aor, ())
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
        snapshot = await self.store.load_all()
        settings = choose(snapshot.settings, self._server)
        self._image = await _built(snapshot, self._image)
        self.secret_key = snapshot.secret_key
        self.settings = self._overridden(settings)
        self._take_peers()
        self._take_zones()
        for aor, bindings in self._image.bindings.items():
            for binding in bindings:
                self._expiry.add(aor, binding.expires_at)

    async def reload(self) -> None:
        """Load every row again, aside, and swap them in in one turn; watchers hear what is different.

        Commits of ours go on meanwhile and are put on top of what was loaded.
        """
        async with self._loading:
            self.stale = False
            try:
                image = await _built(await self._snapshot(), self._image)
            except BaseException:
                self.stale = True
                raise
            finally:
                meanwhile, self._meanwhile = self._meanwhile, None
            for change in meanwhile or ():
                image.apply(change)
            changes = self._image.differences(image)
            self._image = image
            for change in changes:
                self._heed(change)
            self._tell(changes)

    async def _snapshot(self) -> Snapshot:
        """Every row, with all our commits until its moment; those after it are collected in `_meanwhile`."""
        await self.lock.acquire()  # no commit of ours is under way when the moment is fixed

        def begun() -> None:
            self._meanwhile = []
            self.lock.release()

        try:
            return await self.store.load_all(begun)
        finally:
            if self._meanwhile is None:  # it failed before that moment
                self.lock.release()

    async def catch_up(self) -> None:
        """Load again if somebody else has changed the database. Raises StoreAway, SetupError."""
        if self.stale or await self.store.news() is None:
            await self.reload()

    async def watch_outside(
        self, interval: float = POLL, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Notice what other processes change, for ever."""
        task_status.started()
        if self.store.immediate:  # nobody else can reach it
            await trio.sleep_forever()
        away = False
        while True:
            await trio.sleep(interval)
            try:
                await self.catch_up()
            except (StoreAway, SetupError) as error:
                if not away:
                    self._log.event("db_reload_failed", text=error)
                away = self.stale = True
            else:
                away = False

    def _heed(self, change: Change) -> None:
        match change:
            case PutBinding():
                self._expiry.add(change.binding.aor, change.binding.expires_at)
            case PutSettings():
                if change.settings.name == self.settings.name:
                    self.settings = self._overridden(change.settings)
            case PutScript():
                self._programs.forget(change.script.aor)
            case DropScript() | EnableScript() | DropUser():
                self._programs.forget(change.aor)
            case PutTimezone() | DropTimezone():
                self._take_zones()
                self._programs.forget_zones()
            case PutPeer() | DropPeer():
                self._take_peers()
            case _:
                pass

    def _take_zones(self) -> None:
        self._zones = {url: zone.data for url, zone in self._image.timezones.items()}

    def _take_peers(self) -> None:
        self._peers = Peers(self._image.peers.values())
        self.has_peers = bool(self._peers)

    def _tell(self, changes: Sequence[Change]) -> None:
        for watcher in self._watchers:
            try:
                watcher(changes)
            except Exception as fault:  # one who listens badly must not keep others, or the caller, from it
                self._log.event("fault", whose="watcher", kind=type(fault).__name__, text=fault)


def choose(rows: Sequence[Settings], server: str) -> Settings:
    """The settings row of that name; the only one when the name is empty."""
    names = ", ".join(row.name for row in rows)
    for row in rows:
        if row.name == server or (not server and len(rows) == 1):
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


async def _built(snapshot: Snapshot, old: Image) -> Image:
    """The image of a snapshot, made in slices; uses up the snapshot's users and bindings."""
    image = Image.of(snapshot)
    steps = image.fill(snapshot.users, snapshot.bindings, old)
    while sum(1 for _ in islice(steps, SLICE)):
        await trio.lowlevel.checkpoint()
    return image
