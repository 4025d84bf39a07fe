"""The tutorial holds: its commands are typed in order, against a real sipd, and give what the page shows.

The one thing changed is the port: `export SIP_PORT=5060` sets a free one.
"""

from __future__ import annotations

import pytest

from tests.docs.console import Typed, fits, steps
from tests.docs.reader import Reader
from tests.running import REPOSITORY

TUTORIAL = REPOSITORY / "docs" / "tutorial" / "first-scripted-call.md"


@pytest.fixture
def reader(tmp_path):
    """A reader, who tidies up at the end."""
    reader = Reader(TUTORIAL, tmp_path)
    yield reader
    reader.leave()


def test_the_tutorial_does_what_it_says(reader) -> None:
    reader.read()


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
