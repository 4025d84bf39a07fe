"""What is easily got wrong about scripts in a running server (RFC 3880 §6, §10)."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, open_world
from tests.server.scripted import ALICE, CAROL, LOOKUP, call, contacts, cpl, rung, to


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", "dave")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def test_the_time_of_one_proxy_is_not_that_of_the_next(world, autojump_clock):
    busy, next_one = world.phone("busy", "486"), world.phone("next", "rings")
    then = f'<proxy timeout="10"><busy>{to(next_one, then="<proxy/>")}</busy></proxy>'
    call(world, to(busy, then=then))
    await trio.sleep(60)
    assert rung(next_one) == ["next"]
    assert not next_one.requests("CANCEL")


@pytest.mark.parametrize("said", ["0", "soon", "9" * 5000, "²"])
async def test_an_expires_that_says_nothing_is_no_limit(world, autojump_clock, said):
    bob = world.phone("bob", "rings")
    call(world, to(bob, then="<proxy/>"), headers=(("Expires", said),))
    await trio.sleep(60)
    assert rung(bob) == ["bob"]
    assert not bob.requests("CANCEL")


async def test_who_is_forwarded_to_himself_by_another_is_rung(world, autojump_clock):
    """alice's outgoing script rings bob, whose script sends the call to alice: she was not called before."""
    home = world.phone("home", "answers")
    world.bind(f"alice@{DOMAIN}", home)
    world.script(f"alice@{DOMAIN}", cpl("<proxy/>", "outgoing"))
    alice = call(world, f'<location url="{ALICE}"><proxy/></location>')
    await alice.status(200)
    assert rung(home) == ["home"]


async def test_nothing_done_by_an_outgoing_script_is_no_redirection_to_the_destination(world, autojump_clock):
    far = world.phone("far", "answers")
    alice = world.phone("alice")
    world.settings(mode="redirect")
    world.script(f"alice@{DOMAIN}", cpl('<log comment="out"/>', "outgoing"))
    alice.send(alice.request("INVITE", far.uri))
    await alice.status(200)


async def test_where_an_outgoing_script_leads_is_not_followed_further(world, autojump_clock):
    """The Request-URI means no user of ours: other targets are not ours to choose (RFC 3261 §16.5)."""
    moved = world.phone("moved", "moved:sip:new@there")
    alice = world.phone("alice")
    world.settings(recurse=True)
    world.script(f"alice@{DOMAIN}", cpl(to(moved, then="").replace(">", ' clear="yes">', 1), "outgoing"))
    alice.send(alice.request("INVITE", "sip:somebody@10.0.9.9"))
    await alice.status(302)


async def test_a_stranger_s_phone_may_point_to_a_user_of_ours(world, autojump_clock):
    carol, moved = world.phone("carol", "answers"), world.phone("moved", f"moved:{CAROL}")
    world.bind(f"carol@{DOMAIN}", carol)
    then = '<proxy recurse="no"><redirection><proxy/></redirection></proxy>'
    mallory = call(world, to(moved, then=then), caller="mallory", from_uri="sip:mallory@elsewhere.example")
    await mallory.status(200)


async def test_phones_that_want_a_redirection_get_one_where_a_script_leaves_it_to_policy(world, autojump_clock):
    desk, away = world.phone("desk", "486"), world.phone("away", "answers")
    world.bind(f"bob@{DOMAIN}", away, action="redirect")
    alice = call(world, LOOKUP.format(""))
    assert contacts(await alice.status(302)) == [(away.uri, 1)]
    world.bind(f"bob@{DOMAIN}", desk)
    carol = call(world, LOOKUP.format(""), caller="carol")
    await carol.status(486)
    assert rung(desk, away) == ["desk"]


@pytest.mark.parametrize(
    ("asked", "reached"), [("no-fork", ["high"]), ("sequential", ["high"]), ("parallel", ["high", "low"])]
)
async def test_the_caller_s_wishes_count_where_a_script_leaves_it_to_policy(world, autojump_clock, asked, reached):
    high, low = world.phone("high", "rings"), world.phone("low", "rings")
    alice = call(world, to(high, low, then="", high=0.9, low=0.2), headers=(("Request-Disposition", asked),))
    await trio.sleep(1)
    assert rung(high, low) == reached
    high.act("486")
    await trio.sleep(1)
    assert rung(high, low) == (["high"] if asked == "no-fork" else ["high", "low"])
    assert (486 in alice.statuses()) is (asked == "no-fork")
