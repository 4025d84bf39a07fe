"""Hostile scripts in a REGISTER: refused with their line, quickly, nothing fetched, contacts untouched (T41 to T50)."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sipd.core.decision import Respond
from sipd.cpl.zones import zone_names
from tests.core.tables import ALICE
from tests.core.test_uploads import CONTACT, STORE, STORED, TCP, TYPE, header, house, upload
from tests.cpl.test_hostile import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTSIDE = ("open", "os.", "socket.", "subprocess.", "urllib.", "http.", "shutil.", "ftplib.")
"""Audit events of whatever leaves the process."""

_watched: list[str] | None = None


def _hear(event: str, _arguments: tuple[object, ...]) -> None:
    if _watched is not None and event.startswith(OUTSIDE):
        _watched.append(event)


sys.addaudithook(_hear)


@contextmanager
def watching() -> Iterator[list[str]]:
    """What leaves the process meanwhile."""
    global _watched
    _watched = []
    try:
        yield _watched
    finally:
        _watched = None


def test_the_watch_sees_a_file_being_opened():
    with watching() as left, open("/dev/null", "rb"):
        pass
    assert left == ["open"]


def test_there_are_more_than_enough_of_them():
    assert len(HOSTILE) >= 90


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_refused_whole(name):
    source, options, code, line = HOSTILE[name]
    made = house(STORED)
    zone_names()  # the list of time zones is read once in a process, whoever asks
    begun = time.process_time()
    with watching() as left:
        decision = upload(made, TYPE, STORE, CONTACT, "Accept: text/plain", body=source, source=TCP)
    assert time.process_time() - begun < 0.5
    assert left == []
    assert isinstance(decision, Respond)
    too_long = len(source) > made.tables.settings.max_script
    assert too_long == (code == "CPL-SIZE" or "max_bytes" in options)
    if too_long:
        assert decision.status == 413
    else:
        assert decision.status == 400
        [warning] = header(decision, "Warning")
        assert warning.startswith(f'399 sipd "line {line}, column ')
        assert f"[{code}, ".encode() in decision.body
        assert len(decision.body) < 40_000
    assert made.tables.contacts == {}
    assert made.tables.script(ALICE, "cpl") is STORED
