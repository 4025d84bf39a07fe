"""Which version of a user's script an administrator means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.rows import ScriptVersion

NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


def of_number(versions: Sequence[ScriptVersion], text: str, aor: str) -> ScriptVersion:
    """The version of that number. Raises Refusal when it is no number, or none that is kept."""
    if not NUMBER.fullmatch(text):
        raise Refusal(f"not a version: {text!r}", f"It is a number of: sipdctl script history {aor}")
    for version in versions:
        if version.version == int(text):
            return version
    if not versions:
        raise nothing(aor)
    kept = f"{versions[0].version} to {versions[-1].version}" if versions[1:] else f"{versions[0].version} only"
    raise Refusal(f"version {int(text)} of the script of {aor} is not kept", f"Kept: {kept}")


def last_text(versions: Sequence[ScriptVersion], other_than: bytes) -> ScriptVersion | None:
    """The newest version with a text that is not this one."""
    for version in reversed(versions):
        if not is_removal(version) and version.text != other_than:
            return version
    return None


def is_removal(version: ScriptVersion) -> bool:
    """Whether there was no script from then on."""
    return version.what == "removed"


def nothing(aor: str) -> Refusal:
    """Says that he has no script, and had none."""
    return Refusal(f"{aor} has no script", f"Store one with: sipdctl script put {aor} FILE")
