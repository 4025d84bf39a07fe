"""`sipdctl call`, `explain` and `stats` beside a running sipd."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sipd.control.rpc import control_path_of
from sipd.store import parse_url
from sipd.tools.call import _hop
from sipd.tools.explain import Told, in_words
from tests.running import HERE, REPOSITORY, free_port, sipdctl, start_sipd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE, BOB = "alice@localhost", "bob@localhost"

REJECT = """\
<?xml version="1.0" encoding="UTF-8"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <incoming><reject status="reject" reason="not today"/></incoming>
</cpl>
"""


class House:
    """A sipd on a fresh database, and the tool for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"sqlite://{directory}/x.sqlite3"
        self.port = free_port()
        self.start()
        self.passwords = {aor: self.child.wait_for(rf"{aor} +password (?P<word>\S+)")["word"] for aor in (ALICE, BOB)}

    def start(self) -> None:
        self.child = start_sipd(self.url, f"udp:{HERE}:{self.port}", f"tcp:{HERE}:{self.port}")

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return ctl(self.url, *words)

    def secret(self, name: str, password: str) -> str:
        file = self.directory / name
        file.write_text(password + "\n")
        return str(file)


def ctl(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sipd.tools.sipdctl", "-D", url, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("call"))
    yield made
    made.child.end_well()


def said(done: subprocess.CompletedProcess[str], status: int = 0) -> str:
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("transports", ["udp udp", "udp tcp", "tcp udp"])
def test_a_call_without_a_password(house, transports):
    one, other = (f"{name}:{HERE}:{house.port}" for name in transports.split())
    text = said(house.ctl("call", ALICE, BOB, "--ring", "0.05", "--server", one, "--to-server", other))
    assert re.search(rf"^{ALICE} called {BOB}: answered after [0-9]+ ms, hung up by the caller$", text, re.MULTILINE), (
        text
    )
    for rung in (r"\|--- INVITE -+>\| ", r" \|<-- 180 Ringing -+\|", r" \|--- ACK -+>\|$", r" \|<-- 200 OK -+\|$"):
        assert re.search(rung, text, re.MULTILINE), text
    assert max(map(len, text.splitlines())) < 80 + len(ALICE)
    assert sipdctl(house.url, "ul", "show").strip() == "nobody is registered"


def test_where_the_server_is_need_not_be_said(house):
    assert "answered after" in said(house.ctl("call", ALICE, BOB, "--ring", "0"))


def test_busy_is_what_was_asked_for(house):
    assert f"{ALICE} called {BOB}: busy after" in said(house.ctl("call", ALICE, BOB, "--busy"))


def test_nobody_answers_and_the_caller_gives_up(house):
    text = said(house.ctl("call", ALICE, f"sip:{BOB}", "--no-answer", "--ring", "0.1"))
    assert "rang, was not answered, and was given up by the caller" in text
    assert "CANCEL" in text


def call_as_json(house: House):
    return json.loads(said(house.ctl("call", ALICE, BOB, "--ring", "0", "--json")))


def test_json_says_the_same(house):
    told = call_as_json(house)
    assert (told["expected"], told["outcome"], told["status"], told["hints"]) == (True, "answered", 200, [])
    assert re.fullmatch(rf"{ALICE} called {BOB}: answered after {told['answered_after_ms']} ms, .*", told["verdict"])
    rungs = [(rung["from"], rung["to"], rung["message"]) for rung in told["ladder"]]
    assert ("sipd", BOB, "INVITE") in rungs
    assert (ALICE, "sipd", "BYE") in rungs
    assert [rung["ms"] for rung in told["ladder"]] == sorted(rung["ms"] for rung in told["ladder"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([ALICE, "nobody@localhost"], "there is no user nobody@localhost. Add one with: sipdctl user add"),
        ([ALICE, "nobody@localhost", "--only-call"], r"404 Not Found after .*, where 200 was .*\n +There is no"),
        ([ALICE, BOB, "--only-call"], r"480 Temporarily Unavailable .*\n +No phone is regis.*\n +Why: sipdctl"),
        ([ALICE, BOB, "--server", "udp:127.0.0.1:9"], r"nobody listens at udp:127.0.0.1:9: .*\n +Is sipd running\?"),
        ([ALICE, BOB, "--server", "tcp:127.0.0.1:9"], "nobody listens at tcp:127.0.0.1:9: "),
        ([ALICE, BOB, "--server", "smoke:127.0.0.1:9"], "not a server: 'smoke:127.0.0.1:9'"),
        ([ALICE, BOB, "--server", "127.0.0.1:9"], "not a server"),
        ([ALICE, ALICE], "FROM and TO are the same user"),
        ([ALICE, "b b", "--only-call"], "can't be called"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_with_what_to_try(house, words, text):
    assert re.search(text, said(house.ctl("call", *words), 1))


def test_passwords_from_files_need_no_database(house):
    files = [house.secret(aor, password) for aor, password in house.passwords.items()]
    words = ("--server", f"udp:{HERE}:{house.port}", "--password-file", files[0], "--to-password-file")
    assert "answered after" in said(ctl("memory:", "call", ALICE, BOB, "--ring", "0", *words, files[1]))
    wrong = house.secret("wrong", "not his")
    text = said(ctl("memory:", "call", ALICE, BOB, *words, wrong), 1)
    assert f"{BOB}: REGISTER was answered 401 Unauthorized" in text
    assert f"sipdctl user passwd {BOB}" in text
    assert sipdctl(house.url, "ul", "show").strip() == "nobody is registered", "the caller's phone was left behind"


def test_without_a_server(tmp_path):
    url = f"sqlite://{tmp_path}/idle.sqlite3"
    sipdctl(url, "db", "init")
    sipdctl(url, "domain", "add", "localhost")
    sipdctl(url, "user", "add", ALICE)
    sipdctl(url, "user", "add", BOB)
    sipdctl(url, "server", "set", f"listen=udp:0.0.0.0:{(port := free_port())}")
    text = said(ctl(url, "call", ALICE, BOB), 1)
    assert f"nobody listens at udp:127.0.0.1:{port}" in text
    assert "Is sipd running?" in text
    assert "no sipd that we may ask is running" in said(ctl(url, "explain", "last"), 2)


# --- explain -------------------------------------------------------------------------------------


def test_explain_last_tells_the_last_call(house):
    told = call_as_json(house)
    text = said(house.ctl("explain", "last"))
    assert text.startswith(f"Call-ID {told['call_id']}\n")
    blocks = re.findall(r"^[0-9:.]{12}  (\w+) \S+ from udp:127\.0\.0\.1:[0-9]+: (.*)$", text, re.MULTILINE)
    assert blocks == [("INVITE", "407 Proxy Authentication Required"), ("INVITE", "200 OK"), ("BYE", "200 OK")]
    assert f"    identify      the request is from {ALICE}, proven by digest\n" in text
    assert f"    locate        {BOB} has contacts registered: rung there\n" in text
    assert said(house.ctl("explain", told["call_id"])) == text
    plain = json.loads(said(house.ctl("explain", "last", "--json")))
    assert [request["status"] for request in plain] == [407, 200, 200]


def test_explain_has_the_nodes_of_a_script(house):
    script = house.directory / "reject.cpl"
    script.write_text(REJECT)
    sipdctl(house.url, "script", "put", BOB, str(script))
    try:
        for _ in range(20):  # the running server takes the script up within a second: until then the call goes through
            done = house.ctl("call", ALICE, BOB, "--ring", "0")
            if done.returncode:
                break
        text = said(done, 1)
        assert "603 not today" in text
        text = said(house.ctl("explain", "last"))
    finally:
        sipdctl(house.url, "script", "rm", BOB)
    assert f"{BOB} has a script for incoming calls: it is asked" in text
    assert re.search(r"^    cpl line 3 +reject: 603 not today$", text, re.MULTILINE), text


def test_explain_of_an_unknown_call(house):
    assert "does not remember a call with the Call-ID nonsense" in said(house.ctl("explain", "nonsense"), 1)
    assert "can't be asked" in said(ctl("memory:", "explain", "last"), 2)


def test_stats(house):
    house.ctl("call", ALICE, BOB, "--ring", "0")
    assert re.search(r"^received +[1-9][0-9]*$", said(house.ctl("stats")), re.MULTILINE)
    assert json.loads(said(house.ctl("stats", "--json")))["faults"] == 0


def test_a_killed_server_is_no_hindrance_and_others_are_others(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = House(tmp_path / "one"), House(tmp_path / "other")
    try:
        url = parse_url(one.url, base=tmp_path)
        path = control_path_of(url)
        assert path is not None
        assert path == control_path_of(parse_url(f"sqlite://{tmp_path}/other/../one/x.sqlite3", base=tmp_path))
        one.child.kill()
        assert path.is_socket(), "the file of the killed one"
        assert "no sipd that we may ask" in said(one.ctl("stats"), 2)
        one.start()
        assert path.stat().st_mode & 0o077 == 0
        said(one.ctl("call", ALICE, BOB, "--ring", "0"))
        assert "does not remember any call" in said(other.ctl("explain", "last"), 1)
        assert one.child.stop() == 0
        assert not path.exists(), "left behind"
        assert said(other.ctl("stats"))
    finally:
        one.child.stop()
        other.child.stop()


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("udp:127.0.0.1:5090", "udp:127.0.0.1:5090"),
        ("TCP:127.0.0.1", "tcp:127.0.0.1:5060"),
        ("udp:0.0.0.0:5090", "udp:127.0.0.1:5090"),
        ("udp:[::]:5090", "udp:[::1]:5090"),
        ("tcp:[::1]", "tcp:[::1]:5060"),
    ],
)
def test_servers_as_they_are_written(text, hop):
    assert str(_hop(text)) == hop


def test_what_phones_say_does_not_steer_the_terminal():
    step = {"step": "branch", "saw": "sip:b\x1b[2J", "chose": "486"}
    [_, _, block, line] = in_words("c\x07d", [Told(0.0, "INVITE", "sip:b\x1b", "udp:192.0.2.1:5060", 486, (step,))])
    assert "\\x1b" in block
    assert line == "    branch        sip:b\\x1b[2J: 486"


def test_whose_script_goes_on_is_said():
    step = {"step": "script", "saw": BOB, "chose": "486 Busy Here"}
    line = in_words("c", [Told(0.0, "INVITE", "sip:b", "x", 0, (step,))])[-1]
    assert line == f"    script        what the script of {BOB} rang came to: 486 Busy Here"


def test_an_unknown_step_is_told_as_it_is():
    step = {"step": "new", "saw": "{this}", "chose": "that"}
    assert in_words("c", [Told(0.0, "INVITE", "sip:b", "x", 0, (step,))])[-1] == "    new           {this}: that"
