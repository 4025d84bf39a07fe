"""The read-only view that decisions have of what is configured and registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sipd.core.challenge import Kind
    from sipd.core.decision import Mark
    from sipd.cpl import Program
    from sipd.rows import Binding, Peer, Script, ScriptKind, Settings, User


class Missing(Exception):
    """A row that the cache can't answer for yet: load it and ask the same again.

    `marks`: what was found out about the request until here. It counts at once:
    a copy of the request that comes while the row is awaited must find its
    nonce-count used (T11).
    """

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"{kind} {key}")
        self.kind = kind
        self.key = key
        self.marks: tuple[Mark, ...] = ()


class Tables(Protocol):
    """What `decide` may ask. A method raises `Missing` when the answer isn't in memory."""

    @property
    def settings(self) -> Settings:
        """The server's own row."""

    def domain(self, host: str) -> str | None:
        """The local domain whose users `host` means, None when it isn't ours.

        `host` is as a URI has it, in any case; a final dot is ignored.
        """

    def user(self, aor: str) -> User | None:
        """The user of that address-of-record; None when there is none."""

    def kinds(self, domain: str) -> Sequence[tuple[Kind, int]]:
        """What the users of that domain are asked for, and how many have it: the most frequent first, not too many."""

    def alias(self, aor: str) -> Sequence[str]:
        """The users that calls to this address reach, when it is an alias; several: a group."""

    def bindings(self, aor: str) -> Sequence[Binding]:
        """The committed bindings, expired ones possibly among them."""

    @property
    def shared(self) -> bool:
        """Whether other servers write to the same database: what is known of bindings is to be made sure of."""

    def settled_bindings(self, aor: str) -> Sequence[Binding]:
        """The same for the registrar: `Missing("settled", aor)` while a change of them is queued."""

    def script(self, aor: str, kind: ScriptKind) -> Script | None:
        """The stored script."""

    def program(self, aor: str) -> Program | None:
        """The user's enabled CPL script, compiled once; None: he has none that runs."""

    @property
    def timezones(self) -> Mapping[str, bytes]:
        """The good data fetched last from each tzurl of a script."""

    @property
    def has_peers(self) -> bool:
        """Whether any server is trusted at all: else nobody need ask which."""

    def peer(self, host: str, names: Sequence[str] = ()) -> Peer | None:
        """The trusted server of that numeric address, or whose certificate proves one of these names."""

    def may_register_for(self, delegate: str, aor: str) -> bool:
        """Whether `aor` named `delegate` as one who may register for him."""
