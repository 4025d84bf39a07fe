"""Scripts as they are stored, with the settings, users and phones of that database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from sipd.cpl import CplError, compile_on, terms_of
from sipd.errors import SetupError
from sipd.store import choose
from sipd.tools.checking.checked import Checked, check
from sipd.tools.checking.situation import Rows
from sipd.tools.checking.times import machine_zone
from sipd.tools.plain import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.cpl import Program, Terms
    from sipd.rows import Binding, Script, Settings, User
    from sipd.store import Snapshot


class Stored(NamedTuple):
    """One database, as far as scripts are concerned. No secret is in it."""

    settings: Settings
    scripts: dict[str, Script]
    users: dict[str, User]
    domains: dict[str, str]
    bindings: Sequence[Binding]
    timezones: dict[str, bytes]
    aliases: dict[str, tuple[str, ...]]

    def terms(self, owner: str) -> Terms:
        """On which terms this user's scripts are taken. Raises SetupError."""
        user = self.users.get(owner)
        try:
            return terms_of(self.settings, user.gateway_class if user is not None else "", self.timezones)
        except ValueError as error:
            raise SetupError(f"script_operations of the server can't be read: {error}") from None

    def user(self, name: str) -> str:
        """The address-of-record of a user that is there. Raises SetupError."""
        if name not in self.users:
            raise SetupError(f"there is no user {clean(name)}", "See: sipdctl user list")
        return name

    def check(self, owner: str, terms: Terms) -> Checked:
        """The stored script of this user, on these terms. Raises SetupError where he has none."""
        script = self.scripts.get(owner)
        if script is None:
            raise SetupError(f"{clean(owner)} has no CPL script", "See: sipdctl script list")
        checked = check(clean(owner), script.text, terms)
        remark = f"version {script.version}" + ("" if script.enabled else ", switched off")
        return checked._replace(owner=owner, remark=remark)

    def rows(self) -> Rows:
        """The house that it describes."""
        now = time.time()
        registered: dict[str, list[Binding]] = {aor: [] for aor in self.users}
        for binding in self.bindings:
            if binding.expires_at > now and binding.aor in registered:
                registered[binding.aor].append(binding)
        programs = {aor: program for aor in self.scripts if (program := self._program(aor)) is not None}
        return Rows(self.domains, registered, programs, self.settings, complete=True, aliases=self.aliases)

    def _program(self, owner: str) -> Program | None:
        script = self.scripts[owner]
        if not script.enabled:
            return None
        terms = self.terms(owner)
        try:
            return compile_on(terms._replace(max_bytes=max(terms.max_bytes, len(script.text))), script.text)
        except CplError:
            return None  # such a script is passed over in a call


def stored(snapshot: Snapshot, server: str) -> Stored:
    """What a snapshot of the database says. Raises SetupError."""
    settings = choose(snapshot.settings, server)
    aliases: dict[str, tuple[str, ...]] = {}
    for row in sorted(snapshot.aliases):
        aliases[row.alias] = (*aliases.get(row.alias, ()), row.user)
    return Stored(
        settings._replace(time_zone=settings.time_zone or machine_zone()),
        {script.aor: script for script in snapshot.scripts if script.kind == "cpl"},
        {user.aor: user for user in snapshot.users},
        {row.name.lower().rstrip("."): row.canonical for row in snapshot.domains},
        snapshot.bindings,
        {row.url: row.data for row in snapshot.timezones},
        aliases,
    )
