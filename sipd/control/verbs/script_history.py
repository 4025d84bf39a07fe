"""What has been done to users' scripts: who changed what, the difference, and the way back."""

from __future__ import annotations

import time
from difflib import unified_diff
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb, When
from sipd.control.verbs.fetched import zones_of
from sipd.control.verbs.names import carry_out
from sipd.control.verbs.script import ADDRESS, MEDIA_TYPE, SERVER, checked, owner_of
from sipd.control.verbs.versions import is_removal, last_text, nothing, of_number
from sipd.cpl.document import source_lines
from sipd.rows import PutScript, Script
from sipd.store import choose

if TYPE_CHECKING:
    from sipd.rows import ScriptVersion
    from sipd.store import Store


async def history(store: Store, arguments: Arguments) -> Plain:
    """What has been done to a user's script, the last first."""
    _, user = await owner_of(store, arguments)
    return [
        {
            "version": version.version,
            "when": When(version.modified),
            "by": version.modified_by,
            "what": version.what,
            "bytes": len(version.text),
        }
        for version in reversed(await store.script_versions(user.aor))
    ]


async def diff(store: Store, arguments: Arguments) -> Plain:
    """What changed from one version to another: to the last one, where it is not said."""
    _, user = await owner_of(store, arguments)
    versions = await store.script_versions(user.aor)
    if not versions:
        raise nothing(user.aor)
    older, newer = arguments.optional("version"), arguments.optional("other")
    new = versions[-1] if newer is None else of_number(versions, newer, user.aor)
    old = last_text(versions, new.text) if older is None else of_number(versions, older, user.aor)
    if old is None:
        raise Refusal(f"no other version of the script of {user.aor} is kept", f"See: sipdctl script get {user.aor}")
    lines = unified_diff(_lines(old), _lines(new), _title(old), _title(new), lineterm="")
    return {"user": user.aor, "from": old.version, "to": new.version, "diff": "\n".join(lines)}


async def rollback(store: Store, arguments: Arguments) -> Plain:
    """Make an earlier version the user's script again, if it is sound by today's rules; that is a new version."""
    snapshot, user = await owner_of(store, arguments)
    versions = await store.script_versions(user.aor)
    if not versions:
        raise nothing(user.aor)
    now = versions[-1]
    asked = arguments.optional("version")
    old = last_text(versions, now.text) if asked is None else of_number(versions, asked, user.aor)
    if old is None:
        raise Refusal(f"no earlier version of the script of {user.aor} is kept")
    if is_removal(old):
        raise Refusal(f"version {old.version} is a removal", f"Remove it with: sipdctl script rm {user.aor}")
    if old.text == now.text and not is_removal(now):
        raise Refusal(f"the script of {user.aor} is as it was in version {old.version}", "Nothing was changed")
    settings = choose(snapshot.settings, arguments.optional("server") or "")
    warnings = checked(old.text, settings, user.gateway_class, zones_of(snapshot))
    script = Script(user.aor, "cpl", old.text, old.media_type or MEDIA_TYPE, time.time(), arguments.by)
    await carry_out(store, [PutScript(script, f"rolled back to {old.version}")])
    [*_, stored] = await store.script_versions(user.aor)
    return {"user": user.aor, "version": stored.version, "as_it_was_in": old.version, "warnings": list(warnings)}


def _lines(version: ScriptVersion) -> list[str]:
    lines = source_lines(version.text)
    return lines if lines[-1] else lines[:-1]


def _title(version: ScriptVersion) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(version.modified))
    return f"version {version.version}, {version.what} {when} by {version.modified_by}"


VERSION: Final = "a version, as `script history` counts them"

VERBS: Final = (
    Verb(
        "script",
        "history",
        "who has changed a user's script, when, and how",
        (ADDRESS,),
        history,
        unmade="he has had no script",
    ),
    Verb(
        "script",
        "diff",
        "what changed between two versions of a user's script",
        (
            ADDRESS,
            Parameter("version", f"{VERSION}; none: the one before the last change", "optional"),
            Parameter("other", "the version to compare with it; none: the last one", "optional"),
        ),
        diff,
        prints="diff",
        unmade="both are the same",
    ),
    Verb(
        "script",
        "rollback",
        "make an earlier version a user's script again",
        (ADDRESS, Parameter("version", f"{VERSION}; none: the one before the last change", "optional"), SERVER),
        rollback,
    ),
)
