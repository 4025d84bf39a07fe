"""Caller preferences through a whole server: which phones ring, and when (RFC 3841 §7.2, §9.1)."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"
AOR = f"bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def asks(*values):
    return tuple(value.split(": ", 1) for value in values)


async def test_a_phone_without_the_wanted_feature_does_not_ring(world, autojump_clock):
    alice, desk, fax = world.phone("alice"), world.phone("desk", "answers"), world.phone("fax", "answers")
    world.bind(AOR, desk, params=";audio;video")
    world.bind(AOR, fax, params=';audio="FALSE"')
    alice.send(alice.request("INVITE", BOB, headers=asks("Accept-Contact: *;audio;require")))
    await alice.status(200)
    [got] = desk.requests("INVITE")
    assert got.first("Accept-Contact") == "*;audio;require", "what the caller asked goes on untouched"
    assert not fax.requests("INVITE")


async def test_480_where_nobody_is_as_wanted(world, autojump_clock):
    alice, fax = world.phone("alice"), world.phone("fax", "answers")
    world.bind(AOR, fax, params=';audio="FALSE"')
    alice.send(alice.request("INVITE", BOB, headers=asks("Accept-Contact: *;audio;require")))
    await alice.status(480)
    assert not fax.requests("INVITE")


async def test_of_equal_q_the_preferred_rings_first(world, autojump_clock):
    alice, plain, seen = world.phone("alice"), world.phone("plain"), world.phone("seen")
    world.bind(AOR, plain, params=";audio")
    world.bind(AOR, seen, params=";audio;video")
    alice.send(alice.request("INVITE", BOB, headers=asks("Accept-Contact: *;video")))
    await plain.until(lambda: bool(plain.requests("INVITE")))
    assert plain.time_of("INVITE") - seen.time_of("INVITE") == pytest.approx(30, abs=0.05)


async def test_parallel_rings_all_at_once(world, autojump_clock):
    alice, desk, voicemail = world.phone("alice"), world.phone("desk"), world.phone("vm")
    world.bind(AOR, desk, 1000)
    world.bind(AOR, voicemail, 100)
    alice.send(alice.request("INVITE", BOB, headers=asks("Request-Disposition: parallel")))
    await voicemail.until(lambda: bool(voicemail.requests("INVITE")))
    assert voicemail.time_of("INVITE") == desk.time_of("INVITE")


async def test_sequential_waits_for_the_one_before(world, autojump_clock):
    alice, desk, mobile = world.phone("alice"), world.phone("desk"), world.phone("mobile", "answers")
    world.bind(AOR, desk)
    world.bind(AOR, mobile)
    alice.send(alice.request("INVITE", BOB, headers=asks("Request-Disposition: sequential")))
    await alice.status(180)
    await trio.sleep(60)
    assert not mobile.requests("INVITE"), "the desk still rings"
    desk.act("486")
    await alice.status(200)


async def test_no_fork_tries_one_phone_and_no_other(world, autojump_clock):
    alice, desk, mobile = world.phone("alice"), world.phone("desk", "486"), world.phone("mobile", "answers")
    world.bind(AOR, desk)
    world.bind(AOR, mobile, 900)
    alice.send(alice.request("INVITE", BOB, headers=asks("Request-Disposition: no-fork")))
    await alice.status(486)
    assert not mobile.requests("INVITE")


async def test_no_cancel_leaves_the_others_to_the_caller(world, autojump_clock):
    alice, desk, mobile = world.phone("alice"), world.phone("desk"), world.phone("mobile")
    world.bind(AOR, desk)
    world.bind(AOR, mobile)
    alice.send(alice.request("INVITE", BOB, headers=asks("Request-Disposition: no-cancel")))
    await mobile.until(lambda: bool(mobile.requests("INVITE")))
    desk.answer()
    await alice.status(200)
    await trio.sleep(20)
    assert not mobile.requests("CANCEL")
    mobile.answer()
    await alice.until(lambda: len(alice.responses(200)) == 2)


async def test_no_cancel_is_no_matter_when_one_refuses_for_all(world, autojump_clock):
    alice, desk, mobile = world.phone("alice"), world.phone("desk"), world.phone("mobile")
    world.bind(AOR, desk)
    world.bind(AOR, mobile)
    alice.send(alice.request("INVITE", BOB, headers=asks("Request-Disposition: no-cancel")))
    await mobile.until(lambda: bool(mobile.requests("INVITE")))
    desk.act("603")
    await alice.status(603)
    assert mobile.requests("CANCEL")


@pytest.mark.parametrize(("directive", "rings"), [("recurse", True), ("no-recurse", False)])
async def test_recurse_follows_a_redirect_and_no_recurse_passes_it_on(world, autojump_clock, directive, rings):
    world.settings(recurse=not rings)
    alice, elsewhere = world.phone("alice"), world.phone("elsewhere", "answers")
    desk = world.phone("desk", f"moved:{elsewhere.uri}")
    world.bind(AOR, desk)
    alice.send(alice.request("INVITE", BOB, headers=asks(f"Request-Disposition: {directive}")))
    await alice.status(200 if rings else 302)
    assert bool(elsewhere.requests("INVITE")) is rings


async def test_where_a_3xx_points_is_judged_by_the_same_wishes(world, autojump_clock):
    """RFC 3841 §7.2.4: who recurses applies the preferences to the contacts of the redirection again."""
    world.settings(recurse=True)
    alice, desk = world.phone("alice"), world.phone("desk", "")
    fax, plain, seen = world.phone("fax", "answers"), world.phone("plain"), world.phone("seen")
    world.bind(AOR, desk)
    wish = asks("Accept-Contact: *;audio;require, *;video", "Request-Disposition: sequential")
    alice.send(alice.request("INVITE", BOB, headers=wish))
    await desk.until(lambda: bool(desk.requests("INVITE")))
    contacts = (f'<{fax.uri}>;audio="FALSE"', f"<{plain.uri}>;audio", f"<{seen.uri}>;audio;video")
    desk.reply(*desk._invite, 302, tuple(("Contact", contact) for contact in contacts))
    await seen.until(lambda: bool(seen.requests("INVITE")))
    assert not plain.requests("INVITE"), "one after the other, the preferred first"
    seen.act("486")
    await plain.until(lambda: bool(plain.requests("INVITE")))
    plain.act("486")
    await alice.status(486)
    assert not fax.requests("INVITE")
