"""What `sipdctl script trace` prints: one line for each step, clean, and clear words when there is nothing to print."""

from __future__ import annotations

import json
import re

import pytest
import trio

from sipd.control.rpc import control_service
from sipd.rows import EnableScript, PutScript, PutUser, Script
from sipd.store import SqliteStore, create, parse_url, user_row
from sipd.tools.script_trace import Step, Told, in_words
from tests.server.phones import DOMAIN, WALL, open_world
from tests.store.rows import apply
from tests.tools.test_script_history import Shell

BOB = f"bob@{DOMAIN}"
CPL = """<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <incoming>
    <string-switch field="subject">
      <string is="lunch">
        <reject status="busy" reason="At lunch"/>
      </string>
    </string-switch>
  </incoming>
</cpl>
"""
SHOWN = """\
bob@example.com, incoming, version 1, 2023-11-14 ...
from sip:alice@example.com to sip:bob@example.com, Call-ID call1@10.0.1.1
    0.000     line 3  string-switch  subject is “lunch”: string[1] is “lunch”
    0.000     line 5  reject         reject: 486 At lunch
after ... s: 486 Busy Here
"""


@pytest.fixture(autouse=True)
def own_runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
async def asked(nursery, tmp_path):
    """sipdctl, called with words, where a server runs that has answered one call by bob's script."""
    url = parse_url(f"sqlite://{tmp_path}/sip.sqlite3", base=tmp_path)
    store = SqliteStore(tmp_path / "sip.sqlite3")
    script = PutScript(Script(BOB, "cpl", CPL.encode(), "application/cpl+xml", WALL, BOB))
    users = [PutUser(user_row(f"{name}@{DOMAIN}", DOMAIN, "x")) for name in ("alice", "bob", "carol")]
    await create(store, [DOMAIN], more=[*users, script])
    world = await open_world(nursery, "alice", "bob")
    world.script(BOB, CPL)
    task = control_service(world.house, url)
    assert task is not None
    nursery.start_soon(task)
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", f"sip:{BOB}", headers=(("Subject", "lunch"),)))
    await alice.status(486)
    shell = Shell(tmp_path)

    async def run(*words, status=0):
        return await trio.to_thread.run_sync(lambda: shell("script", "trace", *words, status=status))

    yield run, store
    await store.close()
    nursery.cancel_scope.cancel()


def fits(said, shown):
    return re.fullmatch(re.escape(shown).replace(r"\.\.\.", ".*"), said) is not None


@pytest.mark.parametrize("count", [(), ("last",), ("1",), ("20",)])
async def test_a_run_is_told_line_by_line(asked, count):
    run, _ = asked
    said = await run(f"sip:{BOB}", *count)
    assert fits(said, SHOWN), said


async def test_the_same_as_json(asked):
    run, _ = asked
    [told] = json.loads(await run(BOB, "--json"))
    assert (told["version"], told["status"], told["direction"]) == (1, 486, "incoming")
    assert [step["saw"] for step in told["steps"]] == ["subject is “lunch”", "reject"]
    assert [step["output"] for step in told["steps"]] == ["/cpl/incoming/string-switch[1]/string[1]", ""]


async def test_the_way_is_drawn(asked, tmp_path):
    run, _ = asked
    assert fits(await run(BOB, "--graph", str(tmp_path / "way.svg")), SHOWN)
    picture = (tmp_path / "way.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert "lunch" in picture
    assert "can't write" in await run(BOB, "--graph", str(tmp_path / "no" / "way.svg"), status=2)


async def test_what_is_not_there_is_said(asked):
    run, store = asked
    assert "there is no user dave@example.com" in await run("dave@example.com", status=1)
    assert "no run of the script of carol@example.com. Store one with" in await run("carol@example.com", status=1)
    for count in ("0", "-1", "²", "first", "9999999"):
        said = await run(BOB, "--", count, status=1)
        assert f"not a count of runs: '{count}'" in said
    carol = Script("carol@example.com", "cpl", CPL.encode(), "application/cpl+xml", WALL)
    await apply(store, PutScript(carol))
    assert "since it was started" in await run("carol@example.com", status=1)
    await apply(store, EnableScript("carol@example.com", "cpl", False))
    assert "It is switched off: sipdctl script enable carol@example.com" in await run("carol@example.com", status=1)


def test_where_no_server_runs_that_is_said(tmp_path):
    shell = Shell(tmp_path)
    shell("db", "init", DOMAIN)
    shell("user", "add", BOB)
    assert "no sipd that we may ask is running" in shell("script", "trace", BOB, status=2)


def test_it_is_among_the_verbs_with_one_line(tmp_path):
    said = Shell(tmp_path)("script", "--help")
    assert re.search(r"^    trace +what a user's script did in his last calls$", said, re.MULTILINE)


NODE = "cpl /cpl/incoming/proxy[1] line 7"
RUN = Told(
    WALL, "c\x07d", "incoming", 3, "sip:a\x1b[2J", "sip:b", 0, None,
    (
        Step(0.0, NODE, "/cpl/incoming/proxy[1] line 7", "{sip:x\x1b[2J}", "proxy, parallel", ""),
        Step(12.3456, "script", "", BOB, "486 Busy\x9bHere", ""),
        Step(12.3456, "locate", "", "sip:x", "no binding", ""),
        Step(12.3456, "new", "", "{this}", "that", ""),
        Step(12.3456, "cpl", "", "end of the script", "default behaviour: best response so far", ""),
    ),
)  # fmt: skip


def test_what_calls_say_does_not_steer_the_terminal():
    said = in_words(BOB, RUN)
    assert all(line.isprintable() for line in said)
    assert said[1] == "from sip:a\\x1b[2J to sip:b, Call-ID c\\x07d"
    assert said[2:] == [
        "    0.000     line 7  proxy   {sip:x\\x1b[2J}: proxy, parallel",
        "   12.346             answer  486 Busy\\x9bHere",
        "   12.346             locate  sip:x has no contact registered now",
        "   12.346             new     {this}: that",
        "   12.346             end     default behaviour: best response so far",
        "it is still under way",
    ]


def test_a_run_without_an_answer():
    assert in_words(BOB, RUN._replace(lasted=2.5))[-1] == "after 2.5 s: it ended without an answer"
    assert in_words(BOB, RUN._replace(lasted=0.0, status=299))[-1] == "after 0 s: 299"


@pytest.mark.parametrize(
    "plain", [None, [], {}, {"at": "x"}, {**RUN._asdict(), "steps": [{}]}, {**RUN._asdict(), "steps": 7}]
)
def test_a_server_of_another_version_is_said_to_be_one(plain):
    with pytest.raises(Exception, match="Are both of one version"):
        Told.of(plain)
