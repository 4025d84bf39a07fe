"""A database that lives as long as the process: for trials, tests and virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError
from sipd.rows import (
    AddScriptLog,
    DropScript,
    DropUser,
    EnableScript,
    Expect,
    ExpectUser,
    PutAlias,
    PutDelegate,
    PutDomain,
    PutScript,
    ScriptVersion,
    TrimScriptLog,
)
from sipd.store.base import Conflict, Refused, Removed, Snapshot
from sipd.store.ddl import SCHEMA
from sipd.store.image import Image, missing_user
from sipd.store.some import only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.rows import Change, ScriptKind, User
    from sipd.store.base import Key
    from sipd.store.dense_rows import Known


class MemoryStore:
    """A Store in dictionaries. Its `apply_now` waits for nothing, so the Writer commits inline."""

    immediate: Final = True
    shared: Final = False
    shown: Final = "memory:"

    def __init__(self) -> None:
        self._image = Image()
        self._versions: dict[tuple[str, ScriptKind], list[ScriptVersion]] = {}
        self._logs: dict[str, list[AddScriptLog]] = {}  # of each user
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

    async def load_all(self, begun: Callable[[], None] | None = None, known: Known | None = None) -> Snapshot:
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
            removed=[Removed(*key, version) for key, version in image.removed.items()],
            timezones=list(image.timezones.values()),
            aliases=[PutAlias(alias, user) for alias, users in image.aliases.items() for user in users],
            dialplan=list(image.dialplan.values()),
            versions=list(image.versions.items()),
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
            if isinstance(change, Expect) and self._image.versions.get(change.aor, 0) != change.version:
                return Conflict(f"the bindings of {change.aor} were changed meanwhile")
            if isinstance(change, ExpectUser) and self._image.users.get(change.aor) != change.was:
                return Conflict(f"{change.aor} was changed meanwhile")
        for change in group:
            if isinstance(change, PutScript | DropScript | EnableScript):
                self._change_script(change)
                continue
            self._image.apply(change)
            match change:
                case AddScriptLog():
                    self._logs.setdefault(change.aor, []).append(change)
                case TrimScriptLog():
                    lines = self._logs.get(change.aor, [])
                    del lines[: max(0, len(lines) - change.most)]
                case DropUser():
                    self._logs.pop(change.aor, None)
                    self._versions = {key: rows for key, rows in self._versions.items() if key[0] != change.aor}
                case _:
                    pass
        return None

    def _change_script(self, change: PutScript | DropScript | EnableScript) -> None:
        """Carry it out, and keep what was done when something was."""
        image = self._image
        row = change.script if isinstance(change, PutScript) else change
        key = (row.aor, row.kind)
        before = image.scripts.get(key)
        image.apply(change)
        now = image.scripts.get(key)
        if now is before:
            return
        if isinstance(change, PutScript):
            what = change.what
        else:
            what = "removed" if now is None else "enabled" if now.enabled else "disabled"
        text, media_type = (b"", before.media_type if before else "") if now is None else (now.text, now.media_type)
        version = image.removed[key] if now is None else now.version
        rows = self._versions.setdefault(key, [])
        rows.append(ScriptVersion(*key, version, text, media_type, row.modified, row.modified_by, what))
        earlier = max((settings.script_versions for settings in image.settings.values()), default=0)
        del rows[: max(0, len(rows) - 1 - earlier)]

    async def news(self) -> Sequence[Key] | None:
        """Never any: nobody else sees this memory."""
        await trio.lowlevel.checkpoint()
        return ()

    async def load_some(self, keys: Sequence[Key]) -> Snapshot:
        """The rows of these keys."""
        return only(await self.load_all(), keys)

    async def find_users(self, part: str, after: str, limit: int) -> list[User]:
        """A page of users."""
        await trio.lowlevel.checkpoint()
        users = sorted(user for user in self._image.users.values() if user.aor > after)
        return [user for user in users if part in user.aor.lower() or part in user.full_name.lower()][:limit]

    async def script_log(self, aor: str, limit: int = 100) -> list[AddScriptLog]:
        """The last lines of this user's scripts."""
        await trio.lowlevel.checkpoint()
        return self._logs.get(aor, [])[-limit:] if limit > 0 else []

    async def script_versions(self, aor: str, kind: ScriptKind = "cpl") -> list[ScriptVersion]:
        """What has been done to this user's script, oldest first."""
        await trio.lowlevel.checkpoint()
        return list(self._versions.get((aor, kind), ()))

    async def upgrade(self, *, dry: bool = False) -> tuple[int, int]:
        """It is as this code made it."""
        await trio.lowlevel.checkpoint()
        return SCHEMA, SCHEMA

    async def check(self) -> list[str]:
        """Nothing is ever damaged."""
        await trio.lowlevel.checkpoint()
        return []
