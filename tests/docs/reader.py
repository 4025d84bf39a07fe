"""Somebody who does what a page says, in an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.docs.console import Typed, Written, fits, steps
from tests.running import REPOSITORY, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = {
    "sipd": "-m sipd",
    "sipdctl": "-m sipd.tools.sipdctl",
    "cpl-check": "-m sipd.tools.cpl_check",
    "addsipuser": "-m sipd.tools.addsipuser",
    "sippasswd": "-m sipd.tools.sippasswd",
    "python": "",
}


class Reader:
    """Somebody who does what the page says, in an empty directory."""

    def __init__(self, page: Path, directory: Path) -> None:
        self._page = page
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

    def read(self) -> None:
        """Do all that the page says, in order."""
        for step in steps(self._page):
            if isinstance(step, Written):
                self.write(step)
            else:
                self.type(step)

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
            f"{self._page.name}:{step.line}: $ {step.command}\n--- shown\n{shown}\n--- seen\n{output}\n{servers}"
        )

    def leave(self) -> None:
        """End what still runs; the server must still have been there, and end well."""
        if not self._running:
            return
        alive = [child.alive for child in self._running]
        codes = [child.stop() for child in reversed(self._running)]
        assert all(alive), "\n".join(child.output for child in self._running)
        assert codes[-1] == 0, self._running[0].output
        assert "Traceback" not in self._running[0].output, self._running[0].output
