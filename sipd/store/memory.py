"""A database that lives as long as the process: for trials, tests and virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError
from sipd.rows import AddScriptLog, DropUser, PutDelegate, PutDomain
from sipd.store.base import Refused, Snapshot
from sipd.store.image import Image, missing_user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.rows import Change

LOG_LINES: Final = 10_000
"""Script log lines kept, of all users."""


class MemoryStore:
    """A Store in dictionaries. Its `apply_now` waits for nothing, so the Writer commits inline."""

    immediate: Final = True
    shown: Final = "memory:"

    def __init__(self) -> None:
        self._image = Image()
        self._log: list[AddScriptLog] = []
        self._secret_key = b""

    async def exists(self) -> bool:
        """Whether `create` was called."""
        await trio.lowlevel.checkpoint()
        return bool(self._secret_key)

    async def create(self, secret_key: bytes, changes: Sequence[Change]) -> None:
        """Begin with these rows."""
        await trio.lowlevel.checkpoint()
        if self._secret_key:
            raise SetupError("the database in memory was created before")
        for error in self.apply_now([changes]):
            if error is not None:
                raise error
        self._secret_key = secret_key

    async def open(self) -> None:
        """Nothing to connect to; raises SetupError before `create`."""
        await trio.lowlevel.checkpoint()
        if not self._secret_key:
            raise SetupError("there is no database in memory yet")

    async def close(self) -> None:
        """Keep the rows: the same object may be opened again."""
        await trio.lowlevel.checkpoint()

    async def load_all(self, begun: Callable[[], None] | None = None) -> Snapshot:
        """Every row."""
        await trio.lowlevel.checkpoint()
        if begun is not None:
            begun()
        image = self._image
        return Snapshot(
            users=list(image.users.values()),
            bindings=[binding for bindings in image.bindings.values() for binding in bindings],
            scripts=list(image.scripts.values()),
            domains=[PutDomain(*row) for row in image.domains.items()],
            delegates=[PutDelegate(*row) for row in image.delegates],
            peers=list(image.peers.values()),
            settings=list(image.settings.values()),
            secret_key=self._secret_key,
        )

    async def apply(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Carry out all groups."""
        await trio.lowlevel.checkpoint()
        return self.apply_now(groups)

    def apply_now(self, groups: Sequence[Sequence[Change]]) -> list[Exception | None]:
        """Carry out all groups, at once."""
        return [self._carry_out(group) for group in groups]

    def _carry_out(self, group: Sequence[Change]) -> Exception | None:
        missing = missing_user(self._image.users, group)
        if missing is not None:
            return Refused(f"no such user: {missing}")
        for change in group:
            self._image.apply(change)
            if isinstance(change, AddScriptLog):
                self._log = [*self._log[-LOG_LINES:], change]
            elif isinstance(change, DropUser):
                self._log = [line for line in self._log if line.aor != change.aor]
        return None

    async def changed_outside(self) -> bool:
        """Never: nobody else sees this memory."""
        await trio.lowlevel.checkpoint()
        return False

    async def script_log(self, aor: str, limit: int = 100) -> list[AddScriptLog]:
        """The last lines of this user's scripts."""
        await trio.lowlevel.checkpoint()
        return [line for line in self._log if line.aor == aor][-limit:]

    async def check(self) -> list[str]:
        """Nothing is ever damaged."""
        await trio.lowlevel.checkpoint()
        return []
