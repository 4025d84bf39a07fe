"""Compiled CPL scripts: each version of a script is compiled once, when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.errors import ScriptError

if TYPE_CHECKING:
    from sipd.cpl import Program
    from sipd.log import EventLog
    from sipd.rows import Script, Settings


class Programs:
    """Remembers what each script was compiled to; None: it is broken."""

    __slots__ = ("_compiled", "_log")

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._compiled: dict[str, tuple[Script, str, Program | None]] = {}

    def of(self, script: Script, settings: Settings) -> Program | None:
        """The script's Program under these settings; None when it is switched off or broken."""
        if not script.enabled:
            return None
        known = self._compiled.get(script.aor)
        if known is not None and known[0] is script and known[1] == settings.script_operations:
            return known[2]
        if known is not None and known[0] == script and known[1] == settings.script_operations:
            program = known[2]  # loaded again, unchanged
        else:
            program = self._compile(script, settings)
        self._compiled[script.aor] = (script, settings.script_operations, program)
        return program

    def forget(self, aor: str) -> None:
        """The user is gone."""
        self._compiled.pop(aor, None)

    def _compile(self, script: Script, settings: Settings) -> Program | None:
        from sipd.cpl import compile  # here, as it loads lxml: tools that only list rows start without it

        try:
            # Its size was checked when it was stored; a limit lowered since then breaks nobody's calls.
            size = max(settings.max_script, len(script.text))
            return compile(script.text, operations=settings.script_operations, max_bytes=size)
        except (ScriptError, ValueError) as error:  # ValueError: of the setting. Calls go as if he had no script
            self._log.event("script_broken", aor=script.aor, version=script.version, text=error)
            return None
