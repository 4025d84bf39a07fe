"""The library page holds: its programs are written and run in order, its types are right; no server is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sipd.cpl import call, place
from tests.docs.console import Written, steps
from tests.docs.reader import Reader
from tests.running import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "library.md"
NOT_NEEDED = ("trio", "lxml", "cryptography", "dns", "wsproto", "sqlite3", "socket", "subprocess", "asyncio", "random")
ROOMS_NOT_NEEDED = ("server", "net", "store", "core", "transaction", "phone", "tools", "control", "cli")


def test_the_page_shows_what_its_programs_do(tmp_path) -> None:
    reader = Reader(PAGE, tmp_path)
    for step in steps(PAGE):
        if isinstance(step, Written):
            reader.write(step)
        else:
            reader.type(step)


@pytest.mark.parametrize("name", ["pictures", "convert"])
def test_the_pages_on_tools_show_what_they_do(name, tmp_path) -> None:
    reader = Reader(REPOSITORY / "docs" / "how-to" / f"{name}.md", tmp_path)
    pictures = REPOSITORY / "docs" / "how-to" / "pictures"
    for file in pictures.glob("*.cpl"):
        reader.write(Written(file.name, file.read_text("utf-8")))
    for step in steps(REPOSITORY / "docs" / "how-to" / f"{name}.md"):
        assert not isinstance(step, Written)
        reader.type(step)
    same = {"pictures": ("call.svg", "office-call.svg"), "convert": ("policy.cpl", "policy.cpl")}[name]
    assert (tmp_path / "first" / same[0]).read_bytes() == (pictures / same[1]).read_bytes()


def test_its_program_is_typed(tmp_path) -> None:
    [program] = [step.text for step in steps(PAGE) if isinstance(step, Written) and step.name.endswith(".py")]
    file = tmp_path / "try_bob.py"
    file.write_text(program, "utf-8")
    words = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_loads_no_server() -> None:
    program = "import sys, sipd.cpl, sipd.cpl.picture, sipd.cpl.convert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "sipd.cpl.evaluate" in loaded
    assert [name for name in loaded if name.split(".")[0] in NOT_NEEDED] == []
    assert [name for name in loaded if name.split(".")[:2] in [["sipd", room] for room in ROOMS_NOT_NEEDED]] == []


def test_a_call_in_words() -> None:
    facts = call('"Alice" <sip:alice@example.com>', "sip:bob@example.com;user=phone", at="2026-12-24T18:00+01:00")
    assert (facts.owner, facts.direction, facts.subject) == ("bob@example.com", "incoming", None)
    assert (facts.origin.display, facts.origin.uri.user) == ("Alice", "alice")
    assert facts.destination.text == facts.original_destination.uri.text == "sip:bob@example.com;user=phone"
    assert facts.now.isoformat() == "2026-12-24T18:00:00+01:00"
    outgoing = call(
        "sip:alice@example.com", "tel:+123", at=facts.now, direction="outgoing", original_destination="sip:x@y"
    )
    assert (outgoing.owner, outgoing.original_destination.uri.host) == ("alice@example.com", "y")
    assert place("sip:a@b", 0.5).q == 500


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: call("alice", "sip:b@c", at="2026-12-24T18:00Z"), "'alice' is no address, for example"),
        (lambda: call("sip:a@b", "bob@c", at="2026-12-24T18:00Z"), "'bob@c' is no URI, for example"),
        (lambda: call("sip:a@b", "sip:b@c", at="2026-12-24T18:00"), "does not say its offset from UTC"),
        (lambda: call("sip:a@b", "sip:b@c", at="noon"), "noon"),
        (lambda: place("b@c"), "is no URI"),
        (lambda: place("sip:b@c", 2), "from 0 to 1"),
    ],
)
def test_wrong_words_are_named(wrong, words) -> None:
    with pytest.raises(ValueError, match=words):
        wrong()
