"""The tutorial holds: its commands are typed in order, against a real sipd, and give what the page shows.

The one thing changed is the port: `export SIP_PORT=5060` sets a free one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.console import Typed, Written, fits, steps
from tests.running import REPOSITORY, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

TUTORIAL = REPOSITORY / "docs" / "tutorial" / "first-scripted-call.md"
PROGRAMS = {
    "sipd": "-m sipd",
    "sipdctl": "-m sipd.tools.sipdctl",
    "cpl-check": "-m sipd.tools.cpl_check",
    "addsipuser": "-m sipd.tools.addsipuser",
    "python": "",
}


class Reader:
    """Somebody who does what the page says, in an empty directory."""

    def __init__(self, directory: Path) -> None:
        self._home = directory / "first"
        self._home.mkdir()
        programs = directory / "bin"
        programs.mkdir()
        for name, words in PROGRAMS.items():
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            script.chmod(0o755)
        self._env = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONIOENCODING": "utf-8",
            "HOME": str(directory),
        }
        self._running: list[Child] = []

    def write(self, file: Written) -> None:
        """Put that into a file."""
        (self._home / file.name).write_text(file.text, "utf-8")

    def type(self, step: Typed) -> None:
        """Type that, and compare. Raises AssertionError where the page shows something else."""
        if step.setting is not None:
            name, value = step.setting
            self._env[name] = str(free_port()) if name == "SIP_PORT" else value
        elif step.stays:
            self._leave_running(step)
        else:
            done = subprocess.run(
                ["sh", "-c", step.command], cwd=self._home, env={**os.environ, **self._env}, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
            )  # fmt: skip
            self._compare(step, done.stdout)

    def _leave_running(self, step: Typed) -> None:
        child = Child(["sh", "-c", f"exec {step.command.removesuffix(' &')}"], cwd=self._home, env=self._env)
        self._running.append(child)
        said = [line for line in step.shown if line.strip() and line != "..."]
        child.wait_for(".*".join(re.escape(part) for part in said[-1].split("...")))
        self._compare(step, "\n".join(child.lines))

    def _compare(self, step: Typed, output: str) -> None:
        shown = "\n".join(step.shown)
        servers = "\n".join(child.output for child in self._running)
        assert fits(step.shown, output), (
            f"{TUTORIAL.name}:{step.line}: $ {step.command}\n--- shown\n{shown}\n--- seen\n{output}\n{servers}"
        )

    def leave(self) -> None:
        """End what still runs; the server must still have been there, and end well."""
        alive = [child.alive for child in self._running]
        codes = [child.stop() for child in reversed(self._running)]
        assert all(alive), "\n".join(child.output for child in self._running)
        assert codes[-1] == 0, self._running[0].output
        assert "Traceback" not in self._running[0].output, self._running[0].output


@pytest.fixture
def reader(tmp_path):
    """A reader, who tidies up at the end."""
    reader = Reader(tmp_path)
    yield reader
    reader.leave()


def test_the_tutorial_does_what_it_says(reader) -> None:
    for step in steps(TUTORIAL):
        if isinstance(step, Written):
            reader.write(step)
        else:
            reader.type(step)


def test_the_tutorial_begins_with_a_server() -> None:
    typed = [step for step in steps(TUTORIAL) if isinstance(step, Typed)]
    assert [step.setting[0] for step in typed if step.setting] == ["SIP_PORT", "SIPD_DATABASE"]
    first = next(step for step in typed if not step.setting)
    assert first.stays
    assert any("listening on" in line for line in first.shown)


@pytest.mark.parametrize(("shown", "output", "right"), [
    (("one",), "one\n", True),
    (("one",), "one  \n\n", True),
    (("one",), "one\ntwo\n", False),
    (("one", "..."), "one\ntwo\nthree\n", True),
    (("...", "two"), "one\ntwo\n", True),
    (("...", "two"), "two\n", True),
    (("a ... c",), "a b c\n", True),
    (("a ... c",), "a b\nc\n", False),
    (("one", "...", "three"), "one\n", False),
    ((), "", True),
    ((), "something\n", False),
])  # fmt: skip
def test_what_fits_what_is_shown(shown, output, right) -> None:
    assert fits(shown, output) is right
