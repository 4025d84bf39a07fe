"""Compiled CPL scripts: each version of a script is compiled once, when it is first needed."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.errors import ScriptError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.cpl import Program, Terms
    from sipd.log import EventLog
    from sipd.rows import Script, Settings


NO_ZONES: Final[Mapping[str, bytes]] = MappingProxyType({})

TZURL: Final = (b"tzurl", b"t\0z\0u\0r\0l")
"""What stands in scripts that have a time zone fetched: in UTF-8, and in UTF-16 of either kind."""


class _Compiled(NamedTuple):
    """What a script was compiled to, and of what."""

    script: Script
    settings: Settings
    user_class: str
    terms: Terms | None  # None: the settings can't be read
    program: Program | None  # None: it is broken


class Programs:
    """Remembers what each script was compiled to."""

    __slots__ = ("_compiled", "_fetching", "_log")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._compiled: dict[str, _Compiled] = {}
        self._fetching: dict[str, None] = {}  # addresses-of-record whose scripts have time zones fetched

    def of(
        self, script: Script, settings: Settings, user_class: str = "", zones: Mapping[str, bytes] = NO_ZONES
    ) -> Program | None:
        """The Program of a user of that class under these settings; None when it is switched off or broken.

        `zones` is what was fetched from tzurls; when that changes, tell `forget_zones`.
        """
        if not script.enabled:
            return None
        known = self._compiled.get(script.aor)
        if (
            known is not None
            and known.script is script
            and known.settings is settings
            and known.user_class == user_class
        ):
            return known.program
        terms = self._terms(script, settings, user_class, zones)
        if known is not None and known.script == script and known.terms == terms:
            program = known.program  # loaded again, unchanged
        else:
            program = None if terms is None else self._compile(script, terms)
        if any(word in script.text for word in TZURL):
            self._fetching[script.aor] = None
        self._compiled[script.aor] = _Compiled(script, settings, user_class, terms, program)
        return program

    def forget(self, aor: str) -> None:
        """The user is gone."""
        self._compiled.pop(aor, None)
        self._fetching.pop(aor, None)

    def forget_zones(self) -> None:
        """A time zone that scripts fetch is another one now."""
        for aor in self._fetching:
            self._compiled.pop(aor, None)

    def fetching(self) -> list[str]:
        """The addresses-of-record whose scripts have time zones fetched, of those that were compiled."""
        return list(self._fetching)

    def _terms(self, script: Script, settings: Settings, user_class: str, zones: Mapping[str, bytes]) -> Terms | None:
        from sipd.cpl import terms_of  # here, as the room takes a while to load

        try:
            return terms_of(settings, user_class, zones)
        except ValueError as error:  # a setting written past the tools: calls go as if he had no script
            self._log.event("script_broken", aor=script.aor, version=script.version, text=error)
            return None

    def _compile(self, script: Script, terms: Terms) -> Program | None:
        from sipd.cpl import compile_on

        try:
            # Its size was checked when it was stored; a limit lowered since then breaks nobody's calls.
            return compile_on(terms._replace(max_bytes=max(terms.max_bytes, len(script.text))), script.text)
        except ScriptError as error:
            self._log.event("script_broken", aor=script.aor, version=script.version, text=error)
            return None
