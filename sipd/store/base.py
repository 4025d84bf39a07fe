"""What a database of sipd can do: the Store protocol and what it speaks of.

A Store keeps rows (`sipd.rows`) and carries out Changes of them. It knows
nothing of SIP and decides nothing; who may change what is the core's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.rows import (
        AddScriptLog,
        Binding,
        Change,
        Peer,
        PutAlias,
        PutDelegate,
        PutDial,
        PutDomain,
        PutTimezone,
        Script,
        ScriptKind,
        ScriptVersion,
        Settings,
        User,
    )
    from sipd.store.dense_rows import Known


class Refused(Exception):
    """A group of changes that can't be carried out as things are, such as a binding of a user who is gone."""


class Conflict(Refused):
    """Another server was first: the rows that this group was decided on are not what is stored (`Expect`)."""


class Key(NamedTuple):
    """What a row of the change log names: a table, and the key of a row or its address-of-record."""

    what: str
    name: str


WHOLE: Final = "*"
"""The name of a key that stands for every row of `server`, `domain`, `peers` or `timezones`: tables that stay small."""


class Removed(NamedTuple):
    """A script that is gone; the next one of its user counts on from its last version."""

    aor: str
    kind: ScriptKind
    version: int


class Snapshot(NamedTuple):
    """Every row of the database at one moment. What is no row of its own comes as the change that made it."""

    users: Sequence[User]
    bindings: Sequence[Binding]
    scripts: Sequence[Script]
    domains: Sequence[PutDomain]
    delegates: Sequence[PutDelegate]
    peers: Sequence[Peer]
    settings: Sequence[Settings]
    secret_key: bytes
    removed: Sequence[Removed] = ()
    timezones: Sequence[PutTimezone] = ()
    aliases: Sequence[PutAlias] = ()
    dialplan: Sequence[PutDial] = ()
    versions: Sequence[tuple[str, int]] = ()  # of each address-of-record: how often its bindings were changed


class Store(Protocol):
    """One database. Every method raises StoreAway when it can't be reached just now.

    Calls may come from several tasks; the store carries them out one after another.
    """

    @property
    def immediate(self) -> bool:
        """Whether `apply_now` returns without waiting for anything, so that it may be called on the event loop."""

    @property
    def shared(self) -> bool:
        """Whether several servers may write to it: changes of bindings then say what they `Expect`."""

    @property
    def shown(self) -> str:
        """How messages name this database; holds no password."""

    async def create(self, secret_key: bytes, changes: Sequence[Change]) -> None:
        """Make the tables with these first rows in one transaction, and open.

        Raises SetupError when there is a database already, or none can be made.
        """

    async def exists(self) -> bool:
        """Whether something is there to be opened; False: `create` may be called."""

    async def open(self) -> None:
        """Connect. Raises SetupError when there is no database of ours, or one that we can't use."""

    async def upgrade(self, *, dry: bool = False) -> tuple[int, int]:
        """Open a database, whatever older schema it has; from which version it was brought to which.

        `open` does the same without telling. `dry`: only look, open nothing and
        change nothing. Raises SetupError as `open` does.
        """

    async def close(self) -> None:
        """Disconnect; closing twice does no harm."""

    async def load_all(self, begun: Callable[[], None] | None = None, known: Known | None = None) -> Snapshot:
        """Every row, all of one moment; `begun` is called as soon as that moment is fixed.

        Changes may be applied while it reads on. Who gives `begun` follows the
        database from that moment on: `news` tells what came later. A load
        without it leaves the news alone. `known`: what there is already, so that it
        is not held twice. Raises SetupError when the database is damaged.
        """

    async def apply(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Carry out all groups in one transaction, durable on return; one result per group.

        None: done. Refused: this group left nothing behind, the others stand.
        Conflict, a Refused: what it expects is not so any more. Raises StoreAway
        when nothing was committed, CommitUnknown when that can't be told.
        """

    def apply_now(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """The same as a plain call, which waits for the disk unless `immediate`."""

    async def news(self) -> Sequence[Key] | None:
        """What others have changed since the last call, or the last `load_all` with `begun`; None: load all.

        A key may come more than once, and for a change that was seen before.
        What a call that raised StoreAway would have told comes with the next.
        Where nothing has changed this is one cheap look: it is asked four times a second.
        """

    async def load_some(self, keys: Sequence[Key]) -> Snapshot:
        """The rows that these keys stand for (`BELONGING` of some.py) and that are there, all of one moment.

        No call of `news` before was after that moment. Of a key `users` that is
        all that belongs to the address-of-record, of `contacts` its bindings
        and their version. The secret key is left out.
        """

    async def find_users(self, part: str, after: str, limit: int) -> list[User]:
        """The first users, by address-of-record, that come after that one and have `part` in it or in their full name.

        `part` is in lower case, and so are they looked at.
        """

    async def script_log(self, aor: str, limit: int = 100) -> list[AddScriptLog]:
        """The last lines that this user's scripts logged, oldest first (RFC 3880 §7.2)."""

    async def script_versions(self, aor: str, kind: ScriptKind = "cpl") -> list[ScriptVersion]:
        """What has been done to this user's script, oldest first: the last one, and those before that are kept."""

    async def check(self) -> list[str]:
        """What is damaged or missing, a sentence each; empty: nothing was found."""
