"""The pages as a whole: scripts shown in them are sound, and they build without a warning."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sipd.cpl import CplError, compile
from tests.docs.console import Written, steps
from tests.running import REPOSITORY

DOCS = REPOSITORY / "docs"
TUTORIAL = DOCS / "tutorial" / "first-scripted-call.md"


def test_the_script_of_the_readme_is_sound() -> None:
    [script] = re.findall(
        r"^```xml\n(.*?)^```$", (REPOSITORY / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert compile(script.encode()).warnings == ()


def test_of_the_tutorials_scripts_only_the_broken_one_is_broken() -> None:
    scripts = {step.name: step.text for step in steps(TUTORIAL) if isinstance(step, Written) and "<cpl" in step.text}
    assert set(scripts) == {"bob.cpl", "broken.cpl"}
    compile(scripts["bob.cpl"].encode())
    with pytest.raises(CplError):
        compile(scripts["broken.cpl"].encode())


def test_times_that_are_shown_are_sound() -> None:
    page = (DOCS / "how-to" / "times.md").read_text("utf-8")
    [switch] = re.findall(r"^```xml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    rules = re.findall(r"^\| .* \| `(dtstart=.*)` \|$", page, re.MULTILINE)
    assert len(rules) == 9
    for each in (switch, *(f"<time-switch tzid='Europe/Paris'><time {rule}/></time-switch>" for rule in rules)):
        assert compile(f"<cpl><incoming>{each}</incoming></cpl>".encode()).warnings == (), each


@pytest.mark.parametrize("name", ["office.cpl", "policy.cpl"])
def test_scripts_that_are_drawn_are_sound(name) -> None:
    assert compile((DOCS / "how-to" / "pictures" / name).read_bytes()).warnings == ()


def test_the_documentation_builds_without_a_warning(tmp_path) -> None:
    words = ["-m", "sphinx", "-W", "-q", "-E", "-d", tmp_path / "doctrees", "-b", "html", DOCS, tmp_path / "html"]
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "html" / "index.html").is_file()
