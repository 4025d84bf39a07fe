"""Users' CPL scripts (RFC 3880)."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb, When
from sipd.control.verbs.fetched import fetched_zones, zones_of
from sipd.control.verbs.names import about, carry_out, known_user
from sipd.control.verbs.versions import is_removal, nothing, of_number
from sipd.errors import ScriptError
from sipd.rows import DropScript, EnableScript, PutScript, PutTimezone, Script
from sipd.store import WHOLE, Key, choose
from sipd.store.local_zone import local_zone, use_zone_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.rows import ScriptVersion, Settings, User
    from sipd.store import Snapshot, Store

MEDIA_TYPE: Final = "application/cpl+xml"

LINES: Final = 100
"""Lines of a log that are shown unless told otherwise."""

MOST_LINES: Final = 100_000
"""The most that can be kept of one user's log (setting `script_log_lines`)."""

SMALL: Final = (Key("server", WHOLE), Key("timezones", WHOLE))
"""What scripts are checked by."""

LIMIT: Final = re.compile(r"[1-9][0-9]{0,4}|100000", re.ASCII)


class Unsound(Refusal):
    """A script that can't be stored; `findings` says all that is wrong with it."""

    def __init__(self, text: str, findings: tuple[str, ...]) -> None:
        super().__init__(text, "Correct it; `cpl-check` checks scripts without storing them")
        self.findings = findings


async def put(store: Store, arguments: Arguments) -> Plain:
    """Check a script and store it in place of the user's other one."""
    snapshot, user = await owner_of(store, arguments)
    text, settings, kept = arguments.content("file"), _settings(snapshot, arguments), zones_of(snapshot)
    fetched = await fetched_zones(text, settings, user.gateway_class, kept)
    warnings = checked(text, settings, user.gateway_class, {**kept, **fetched})
    script = Script(user.aor, "cpl", text, MEDIA_TYPE, time.time(), arguments.by)
    zones = [PutTimezone(url, data, script.modified) for url, data in fetched.items()]
    await carry_out(store, [*zones, PutScript(script)])
    stored: dict[str, Plain] = {"user": user.aor, "version": await _last(store, user.aor), "stored": _size(text)}
    if any(old.aor == user.aor and not old.enabled for old in snapshot.scripts):
        stored["enabled"] = f"no, as it was: sipdctl script enable {user.aor}"
    return {**stored, "warnings": list(warnings)}


async def get(store: Store, arguments: Arguments) -> Plain:
    """The script of a user, or an earlier version of it."""
    snapshot, user = await owner_of(store, arguments)
    asked = arguments.optional("version")
    if asked is None:
        script = await _there(store, snapshot, user.aor)
    else:
        version = of_number(await store.script_versions(user.aor), asked, user.aor)
        if is_removal(version):
            raise Refusal(f"in version {version.version} there was no script: {version.modified_by} had removed it")
        script = _as_script(version)
    return {
        "user": script.aor,
        "version": script.version,
        "modified": When(script.modified),
        "modified_by": script.modified_by,
        "media_type": script.media_type,
        "enabled": script.enabled,
        "script": script.text.decode("utf-8", "replace"),
    }


async def show(store: Store, arguments: Arguments) -> Plain:
    """All about the script of a user but its text."""
    snapshot, user = await owner_of(store, arguments)
    versions = await store.script_versions(user.aor)
    asked = arguments.optional("version")
    if asked is None:
        script = await _there(store, snapshot, user.aor)
        state: dict[str, Plain] = {"enabled": script.enabled}
    else:
        version = of_number(versions, asked, user.aor)
        script = _as_script(version)
        state = {"what": version.what}
    settings = _settings(snapshot, arguments)
    errors, warnings = _judged(script.text, settings, user.gateway_class, zones_of(snapshot))
    return {
        "user": user.aor,
        "version": script.version,
        "modified": When(script.modified),
        "modified_by": script.modified_by,
        **state,
        "bytes": len(script.text),
        "sound": not errors,
        "errors": list(errors),
        "warnings": list(warnings),
        "versions_kept": len(versions),
    }


async def listing(store: Store, arguments: Arguments) -> Plain:
    """Everybody who has a script; whether it is sound by the rules of today."""
    snapshot = await store.load_all()
    settings, zones = _settings(snapshot, arguments), zones_of(snapshot)
    classes = {user.aor: user.gateway_class for user in snapshot.users}
    sound: dict[tuple[bytes, str], bool] = {}  # many have the same one
    rows: list[Plain] = []
    for script in sorted(snapshot.scripts):
        key = (script.text, classes.get(script.aor, ""))
        if key not in sound:
            sound[key] = not _judged(script.text, settings, key[1], zones)[0]
        rows.append(
            {
                "user": script.aor,
                "version": script.version,
                "modified": When(script.modified),
                "by": script.modified_by,
                "enabled": script.enabled,
                "sound": sound[key],
                "bytes": len(script.text),
            }
        )
    return rows


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Remove the script of a user: calls go by default. `rollback` brings it back."""
    snapshot, user = await owner_of(store, arguments)
    script = await _there(store, snapshot, user.aor)
    await carry_out(store, [DropScript(script.aor, "cpl", time.time(), arguments.by)])
    return {"removed": f"script of {script.aor}"}


async def enable(store: Store, arguments: Arguments) -> Plain:
    """Have a user's script asked again. Refused when it is not sound by the rules of today."""
    snapshot, user = await owner_of(store, arguments)
    script = await _there(store, snapshot, user.aor)
    checked(script.text, _settings(snapshot, arguments), user.gateway_class, zones_of(snapshot))
    return await _switch(store, arguments, user.aor, on=True)


async def disable(store: Store, arguments: Arguments) -> Plain:
    """Keep a user's script, and let his calls go as if he had none."""
    snapshot, user = await owner_of(store, arguments)
    await _there(store, snapshot, user.aor)
    return await _switch(store, arguments, user.aor, on=False)


async def _switch(store: Store, arguments: Arguments, aor: str, *, on: bool) -> Plain:
    await carry_out(store, [EnableScript(aor, "cpl", on, time.time(), arguments.by)])
    return {"user": aor, "version": await _last(store, aor), "enabled": on}


async def log(store: Store, arguments: Arguments) -> Plain:
    """The last lines that a user's scripts have logged, perhaps of one log only (RFC 3880 §7.2)."""
    _, user = await owner_of(store, arguments)
    limit, name = _limit(arguments.optional("limit")), arguments.optional("name")
    lines = await store.script_log(user.aor, limit if name is None else MOST_LINES)
    if name is not None:
        lines = [line for line in lines if line.name == name][-limit:]
    return [{"at": When(line.at), "name": line.name, "comment": line.comment} for line in lines]


def _limit(text: str | None) -> int:
    if text is None:
        return LINES
    if LIMIT.fullmatch(text) is None:
        raise Refusal(f"--limit can't be {text!r}", f"It is a whole number from 1 to {MOST_LINES}")
    return int(text)


def checked(text: bytes, settings: Settings, user_class: str, zones: Mapping[str, bytes]) -> tuple[str, ...]:
    """The warnings about a script for a user of that class. Raises Unsound with every error."""
    from sipd.cpl import CplError, compile_on, terms_of  # here, as it takes a while to load

    use_zone_files(os.environ)
    here = settings._replace(time_zone=settings.time_zone or local_zone(os.environ).name)
    try:
        program = compile_on(terms_of(here, user_class, zones), text)
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


def _judged(
    text: bytes, settings: Settings, user_class: str, zones: Mapping[str, bytes]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The errors of a script, and its warnings."""
    try:
        return (), checked(text, settings, user_class, zones)
    except Unsound as unsound:
        return unsound.findings, ()


async def owner_of(store: Store, arguments: Arguments) -> tuple[Snapshot, User]:
    """The user whose script it is about, with his rows, the settings and the time zones."""
    address = arguments.word("address")
    snapshot = await about(store, address, more=SMALL)
    return snapshot, known_user(address, snapshot)


async def _last(store: Store, aor: str) -> int:
    """The number of the last version."""
    versions = await store.script_versions(aor)
    return versions[-1].version if versions else 0


def _size(text: bytes) -> str:
    return "1 byte" if len(text) == 1 else f"{len(text)} bytes"


def _settings(snapshot: Snapshot, arguments: Arguments) -> Settings:
    return choose(snapshot.settings, arguments.optional("server") or "")


def _as_script(version: ScriptVersion) -> Script:
    aor, kind, number, text, media_type, modified, modified_by, _ = version
    return Script(aor, kind, text, media_type, modified, modified_by, number)


async def _there(store: Store, snapshot: Snapshot, aor: str) -> Script:
    """The script that is stored. Raises Refusal, with the way back where there was one."""
    for script in snapshot.scripts:
        if script.aor == aor and script.kind == "cpl":
            return script
    versions = await store.script_versions(aor)
    if not versions:
        raise nothing(aor)
    raise Refusal(
        f"{aor} has no script: {versions[-1].modified_by} removed it",
        f"Get it back with: sipdctl script rollback {aor}",
    )


ADDRESS: Final = Parameter("address", "user@domain")

SERVER: Final = Parameter("server", "the server whose limits hold, where there are several", "option")
VERSION: Final = Parameter("version", "of that version, as `script history` counts them; none: of the last", "option")

VERBS: Final = (
    Verb(
        "script",
        "put",
        "check a CPL script and store it",
        (ADDRESS, Parameter("file", "the script; - reads it from standard input", "file"), SERVER),
        put,
    ),
    Verb("script", "get", "print a user's script", (ADDRESS, VERSION), get, prints="script"),
    Verb("script", "show", "all about a user's script but its text", (ADDRESS, VERSION, SERVER), show),
    Verb("script", "list", "who has a script, and whether it is sound", (SERVER,), listing, unmade="no scripts"),
    Verb("script", "rm", "remove a user's script", (ADDRESS,), remove),
    Verb("script", "enable", "have a user's script asked again", (ADDRESS, SERVER), enable),
    Verb("script", "disable", "keep a user's script, and do not ask it", (ADDRESS,), disable),
    Verb(
        "script",
        "log",
        "what a user's scripts have logged",
        (
            ADDRESS,
            Parameter("limit", f"so many of the last lines; none: {LINES}", "option"),
            Parameter("name", "of the log of that name only", "option"),
        ),
        log,
        unmade="nothing was logged",
    ),
)
