"""Calls to numbers that ENUM knows (RFC 6116), through a whole server on the virtual clock."""

from __future__ import annotations

import pytest
import trio

from tests.core.tables import credentials
from tests.server.phones import DOMAIN, open_world

NUMBER = "+442079460148"
TEL = "tel:+44-20-7946-0148"
OURS = f"sip:{NUMBER}@{DOMAIN};user=phone"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", enum="e164.test")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def listed(world, *uris: str) -> list[tuple[str, str]]:
    """The number is known under these; returns what will have been asked."""
    asked = []

    async def look_up(number: str, domain: str) -> tuple[str, ...]:
        asked.append((number, domain))
        await trio.sleep(0.2)
        return uris

    world.resolver.listed = look_up
    return asked


@pytest.mark.parametrize("uri", [TEL, OURS])
async def test_a_number_of_nobody_here_is_called_where_enum_knows_it(world, autojump_clock, uri):
    alice, far = world.phone("alice"), world.phone("far", "rings answers")
    asked = listed(world, far.uri)
    alice.send(alice.request("INVITE", uri))
    await alice.status(200)
    assert asked == [(NUMBER, "e164.test")]
    assert far.requests("INVITE")[0].request_uri == far.uri


async def test_uris_are_tried_one_after_the_other(world, autojump_clock):
    alice, busy, free = world.phone("alice"), world.phone("busy", "rings"), world.phone("free", "answers")
    listed(world, busy.uri, free.uri)
    alice.send(alice.request("INVITE", TEL))
    await alice.status(180)
    assert not free.seen
    busy.act("480")
    await alice.status(200)


async def test_enum_may_lead_to_a_user_of_ours(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    listed(world, f"sip:bob@{DOMAIN}")
    alice.send(alice.request("INVITE", TEL))
    await alice.status(200)
    assert bob.requests("INVITE")[0].request_uri == bob.uri


@pytest.mark.parametrize("uri", [TEL, OURS])
async def test_a_number_nobody_knows_is_404(world, autojump_clock, uri):
    alice = world.phone("alice")
    listed(world)
    alice.send(alice.request("INVITE", uri))
    await alice.status(404)


async def test_a_number_that_leads_to_itself_is_404_and_asked_for_once(world, autojump_clock):
    alice = world.phone("alice")
    asked = listed(world, OURS)
    alice.send(alice.request("INVITE", TEL))
    await alice.status(404)
    assert len(asked) == 1


async def test_a_slow_source_is_given_up(world, autojump_clock):
    alice = world.phone("alice")

    async def never(number: str, domain: str) -> tuple[str, ...]:
        await trio.sleep_forever()
        raise AssertionError

    world.resolver.listed = never
    start = trio.current_time()
    alice.send(alice.request("INVITE", TEL))
    await alice.status(404)
    assert trio.current_time() - start == pytest.approx(5, abs=0.1)


async def test_a_cancel_while_it_is_looked_up_ends_the_call(world, autojump_clock):
    alice, far = world.phone("alice"), world.phone("far", "answers")
    listed(world, far.uri)
    invite = alice.request("INVITE", TEL, branch="z9hG4bKstop")
    alice.send(invite)
    await alice.status(100)
    alice.send(alice.request("CANCEL", TEL, branch="z9hG4bKstop", call_id=invite.call_id))
    await alice.status(487)
    await trio.sleep(5)
    assert not far.seen


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("tel:2079460148;phone-context=+44", 404),
        (f"sip:{NUMBER}@{DOMAIN}", 404),
        (f"sip:12345@{DOMAIN};user=phone", 404),
    ],
)
async def test_only_full_numbers_are_asked_for(world, autojump_clock, uri, status):
    alice = world.phone("alice")
    asked = listed(world, "sip:x@far.example")
    alice.send(alice.request("INVITE", uri))
    await alice.status(status)
    assert asked == []


async def test_without_the_setting_nobody_is_asked(world, autojump_clock):
    alice = world.phone("alice")
    world.settings(enum="")
    asked = listed(world, "sip:x@far.example")
    alice.send(alice.request("INVITE", TEL))
    await alice.status(404)
    assert asked == []


@pytest.mark.parametrize(
    ("from_uri", "uri", "status"),
    [
        ("sip:x@stranger.example", OURS, 480),
        ("sip:x@stranger.example", TEL, 403),
        (f"sip:alice@{DOMAIN}", OURS, 407),
        (f"sip:alice@{DOMAIN}", TEL, 407),
    ],
)
async def test_who_proved_nothing_is_sent_nowhere(world, autojump_clock, from_uri, uri, status):
    alice, far = world.phone("alice"), world.phone("far", "answers")
    world.settings(auth="digest")
    asked = listed(world, far.uri)
    alice.send(alice.request("INVITE", uri, from_uri=from_uri))
    await alice.status(status)
    assert asked == []
    assert not far.seen


async def test_in_redirect_mode_the_uris_are_contacts(world, autojump_clock):
    alice = world.phone("alice")
    world.settings(mode="redirect")
    listed(world, "sip:one@far.example", "sip:two@far.example")
    alice.send(alice.request("INVITE", TEL))
    moved = await alice.status(302)
    assert [contact.uri.text for contact in moved.contacts] == ["sip:one@far.example", "sip:two@far.example"]


@pytest.mark.parametrize("uri", [OURS, TEL])
async def test_who_proves_to_be_one_of_ours_is_helped_with_one_nonce(world, autojump_clock, uri):
    alice, far = world.phone("alice"), world.phone("far", "answers")
    world.settings(auth="digest")
    listed(world, far.uri)
    alice.send(alice.request("INVITE", uri))
    challenge = (await alice.status(407)).values("Proxy-Authenticate")[0]
    proof = credentials(challenge, "INVITE", uri, username="alice", password="pw-alice")
    alice.send(alice.request("INVITE", uri, cseq=2, headers=(("Proxy-Authorization", proof),)))
    await alice.status(200)
    [got] = far.requests("INVITE")
    assert "Proxy-Authorization" not in got.names


async def test_a_script_may_lead_to_a_number(world, autojump_clock):
    stranger, far = world.phone("stranger"), world.phone("far", "answers")
    listed(world, far.uri)
    location = f'<location url="{TEL}"><proxy/></location>'
    world.script(f"bob@{DOMAIN}", f'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>{location}</incoming></cpl>')
    stranger.send(stranger.request("INVITE", f"sip:bob@{DOMAIN}", from_uri="sip:x@stranger.example"))
    await stranger.status(200)
    assert far.requests("INVITE")
