"""Users' CPL scripts (RFC 3880)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import carry_out, known_user
from sipd.errors import ScriptError
from sipd.rows import DropScript, PutScript, Script
from sipd.store import choose

if TYPE_CHECKING:
    from sipd.rows import Settings
    from sipd.store import Snapshot, Store

MEDIA_TYPE: Final = "application/cpl+xml"


class Unsound(Refusal):
    """A script that can't be stored; `findings` says all that is wrong with it."""

    def __init__(self, text: str, findings: tuple[str, ...]) -> None:
        super().__init__(text, "Correct it; `cpl-check` checks scripts without storing them")
        self.findings = findings


async def put(store: Store, arguments: Arguments) -> Plain:
    """Check a script and store it in place of the user's other one."""
    snapshot = await store.load_all()
    user = known_user(arguments.word("address"), snapshot)
    text = arguments.content("file")
    settings = choose(snapshot.settings, arguments.optional("server") or "")
    warnings = checked(text, settings, user.gateway_class)
    script = Script(user.aor, "cpl", text, MEDIA_TYPE, time.time(), modified_by="administrator")
    await carry_out(store, [PutScript(script)])
    return {"user": user.aor, "stored": f"{len(text)} bytes", "warnings": list(warnings)}


async def get(store: Store, arguments: Arguments) -> Plain:
    """The script of a user."""
    script = _script(await store.load_all(), arguments)
    return {
        "user": script.aor,
        "version": script.version,
        "modified": script.modified,
        "modified_by": script.modified_by,
        "media_type": script.media_type,
        "enabled": script.enabled,
        "script": script.text.decode("utf-8", "replace"),
    }


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Remove the script of a user: calls go by default."""
    script = _script(await store.load_all(), arguments)
    await carry_out(store, [DropScript(script.aor, "cpl")])
    return {"removed": f"script of {script.aor}"}


async def log(store: Store, arguments: Arguments) -> Plain:
    """What a user's scripts have logged (RFC 3880 §7.2)."""
    user = known_user(arguments.word("address"), await store.load_all())
    return [{"at": line.at, "name": line.name, "comment": line.comment} for line in await store.script_log(user.aor)]


def checked(text: bytes, settings: Settings, user_class: str) -> tuple[str, ...]:
    """The warnings about a script for a user of that class. Raises Unsound with every error."""
    from sipd.cpl import CplError, compile_on, terms_of  # here, as it takes a while to load

    try:
        program = compile_on(terms_of(settings, user_class), text)
    except CplError as error:
        findings = tuple(str(finding) for finding in error.findings)
        raise Unsound(
            f"the script has {len(findings)} errors" if len(findings) > 1 else "the script has an error", findings
        ) from error
    except ScriptError as error:
        raise Unsound("the script can't be accepted", (error.text,)) from error
    except ValueError as error:
        raise Refusal(f"a setting of scripts is wrong: {error}", "Set it with: sipdctl server set") from error
    return tuple(str(finding) for finding in program.warnings)


def _script(snapshot: Snapshot, arguments: Arguments) -> Script:
    user = known_user(arguments.word("address"), snapshot)
    for script in snapshot.scripts:
        if script.aor == user.aor and script.kind == "cpl":
            return script
    raise Refusal(f"{user.aor} has no script", f"Store one with: sipdctl script put {user.aor} FILE")


ADDRESS: Final = Parameter("address", "user@domain")

VERBS: Final = (
    Verb(
        "script",
        "put",
        "check a CPL script and store it",
        (
            ADDRESS,
            Parameter("file", "the script; - reads it from standard input", "file"),
            Parameter("server", "the server whose limits hold, where there are several", "option"),
        ),
        put,
    ),
    Verb("script", "get", "print a user's script", (ADDRESS,), get, prints="script"),
    Verb("script", "rm", "remove a user's script", (ADDRESS,), remove),
    Verb("script", "log", "what a user's scripts have logged", (ADDRESS,), log, unmade="nothing was logged"),
)
