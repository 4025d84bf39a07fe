"""Scripts are compiled before a call needs them: a call never parses XML."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from sipd.rows import EnableScript, PutTimezone, PutUser
from sipd.server.prepared import Prepared
from sipd.store import programs
from tests.core.test_fetched import URL, ZONE, script
from tests.server.phones import DOMAIN, WALL, open_world

AOR = f"bob@{DOMAIN}"
BUSY = '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>'


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


@pytest.fixture
def compiled(monkeypatch):
    """The users whose scripts were compiled, in order."""
    seen: list[str] = []
    compile_now = programs.Programs._compile

    def noted(self, script, terms):
        seen.append(script.aor)
        return compile_now(self, script, terms)

    monkeypatch.setattr(programs.Programs, "_compile", noted)
    return seen


async def test_a_script_is_compiled_when_it_is_stored_and_a_call_finds_it_ready(world, autojump_clock, compiled):
    alice = world.phone("alice")
    world.script(AOR, BUSY)
    await trio.testing.wait_all_tasks_blocked()
    assert compiled == [AOR]
    alice.send(alice.request("INVITE", f"sip:{AOR}"))
    await alice.status(486)
    assert compiled == [AOR]


async def test_what_was_stored_before_the_start_is_compiled_then(world, autojump_clock, nursery, compiled):
    world.script(AOR, BUSY)
    await trio.testing.wait_all_tasks_blocked()
    await world.cache.fill()  # as a new server does
    world.cache._programs.forget(AOR)
    prepared = Prepared(world.house)
    assert len(prepared) == 1
    nursery.start_soon(prepared.run)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(prepared), compiled) == (0, [AOR, AOR])


async def test_a_setting_that_changes_the_language_has_scripts_compiled_again_and_others_do_not(
    world, autojump_clock, compiled
):
    world.script(AOR, BUSY)
    await trio.testing.wait_all_tasks_blocked()
    world.settings(stagger=5.0)
    world.put(PutUser(world.cache.user(AOR)._replace(full_name="Bob")))
    await world.cache.reload()
    await trio.testing.wait_all_tasks_blocked()
    assert compiled == [AOR]
    world.settings(phone_users=True)
    await trio.testing.wait_all_tasks_blocked()
    assert compiled == [AOR, AOR]


async def test_a_fetched_time_zone_has_only_the_scripts_looked_at_that_fetch_one(
    world, autojump_clock, compiled, monkeypatch
):
    world.script(AOR, BUSY)
    world.settings(script_hosts="zones.example.com")
    world.put(PutTimezone(URL, ZONE, WALL))
    world.script(f"alice@{DOMAIN}", script(URL).decode())
    await trio.testing.wait_all_tasks_blocked()
    assert set(compiled) == {f"alice@{DOMAIN}", AOR}
    compiled.clear()
    asked: list[str] = []
    program = world.cache.program

    def noted(aor):
        asked.append(aor)
        return program(aor)

    monkeypatch.setattr(world.cache, "program", noted)
    world.put(PutTimezone(URL, ZONE + b"\r\n", WALL))
    await trio.testing.wait_all_tasks_blocked()
    assert asked == [f"alice@{DOMAIN}"]
    assert compiled == [f"alice@{DOMAIN}"]


async def test_a_script_that_is_switched_off_waits_until_it_is_on(world, autojump_clock, compiled):
    world.script(AOR, BUSY)
    await trio.testing.wait_all_tasks_blocked()
    world.put(EnableScript(AOR, "cpl", False, WALL, "alice"))
    await trio.testing.wait_all_tasks_blocked()
    assert compiled == [AOR]
    world.put(EnableScript(AOR, "cpl", True, WALL, "alice"))
    await trio.testing.wait_all_tasks_blocked()
    assert compiled == [AOR, AOR]


async def test_a_script_that_breaks_the_compiler_ends_no_server(nursery, autojump_clock, monkeypatch):
    world = await open_world(nursery, "alice", "bob")
    monkeypatch.setattr(programs.Programs, "_compile", lambda *given: 1 / 0)
    world.script(AOR, BUSY)
    await trio.testing.wait_all_tasks_blocked()
    assert world.house.counters.faults == 1
    alice = world.phone("alice")
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    await alice.status(200)
