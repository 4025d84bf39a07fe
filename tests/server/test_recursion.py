"""A proxy that follows 3xx by itself, where the setting says so (RFC 3261 §16.7 step 4)."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", recurse=True)
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def calls(phone) -> int:
    return len(phone.requests("INVITE"))


async def test_by_default_a_3xx_goes_to_the_caller(world, autojump_clock):
    world.settings(recurse=False)
    alice, other = world.phone("alice"), world.phone("other", "answers")
    world.bind(f"bob@{DOMAIN}", world.phone("bob", f"moved:{other.uri}"))
    alice.send(alice.request("INVITE", BOB))
    moved = await alice.status(302)
    assert moved.contacts[0].uri.text == other.uri
    assert not calls(other)


async def test_with_the_setting_we_go_there(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other", "answers")
    bob = world.phone("bob", f"moved:{other.uri}")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert alice.statuses() == [100, 200]
    assert bob.requests("ACK"), "the 302 is ACKed by us"
    assert other.requests("INVITE")[0].request_uri == other.uri


async def test_a_message_is_followed_too(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other")
    bob = world.phone("bob")
    bob.react = lambda request, flow: bob.reply(request, flow, 301, (("Contact", f"<{other.uri}>"),))
    world.bind(f"bob@{DOMAIN}", bob)
    world.bind(f"bob@{DOMAIN}", world.phone("second", "never"))  # two targets: a fork
    alice.send(alice.request("MESSAGE", BOB))
    await alice.until(lambda: 200 in alice.statuses("MESSAGE"))


async def test_a_message_to_one_phone_is_followed_as_well(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other")
    bob = world.phone("bob")
    bob.react = lambda request, flow: bob.reply(request, flow, 301, (("Contact", f"<{other.uri}>"),))
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("MESSAGE", BOB))
    await alice.until(lambda: 200 in alice.statuses("MESSAGE"))
    assert other.requests("MESSAGE")


async def test_no_recurse_is_honoured(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other", "answers")
    world.bind(f"bob@{DOMAIN}", world.phone("bob", f"moved:{other.uri}"))
    alice.send(alice.request("INVITE", BOB, headers=(("Request-Disposition", "no-recurse"),)))
    await alice.status(302)
    assert not calls(other)


async def test_contacts_are_tried_by_their_q(world, autojump_clock):
    alice = world.phone("alice")
    first, second = world.phone("first", "486"), world.phone("second", "answers")
    bob = world.phone("bob")
    bob.act = lambda word: bob.reply(
        *bob._invite, 302, (("Contact", f"<{second.uri}>;q=0.3, <{first.uri}>;q=0.9, <mailto:bob@x.example>;q=1"),)
    )
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert first.time_of("INVITE") <= second.time_of("INVITE")
    assert first.requests("ACK"), "the second was tried when the first had failed"


async def test_what_only_the_caller_can_try_is_left_to_him(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other", "486")
    bob = world.phone("bob")
    bob.act = lambda word: bob.reply(*bob._invite, 302, (("Contact", f"<{other.uri}>, <mailto:bob@x.example>"),))
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    moved = await alice.status(302)
    assert calls(other) == 1
    assert [contact.uri.text for contact in moved.contacts] == ["mailto:bob@x.example"]


async def test_when_all_followed_fail_their_answer_is_the_callers(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other", "486")
    world.bind(f"bob@{DOMAIN}", world.phone("bob", f"moved:{other.uri}"))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    assert alice.statuses() == [100, 486]


async def test_two_phones_that_point_to_each_other_end(world, autojump_clock):
    alice = world.phone("alice")
    one, two = world.phone("one"), world.phone("two")
    one.does, two.does = f"moved:{two.uri}", f"moved:{one.uri}"
    world.bind(f"bob@{DOMAIN}", one)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(302)
    assert (calls(one), calls(two)) == (1, 1)


async def test_a_place_is_tried_once_across_levels(world, autojump_clock):
    """Bob's phone points to Carol, hers back to where Bob's phone is."""
    alice = world.phone("alice")
    bob, carol = world.phone("bob", f"moved:sip:carol@{DOMAIN}"), world.phone("carol")
    carol.does = f"moved:{bob.uri}"
    world.bind(f"bob@{DOMAIN}", bob)
    world.bind(f"carol@{DOMAIN}", carol)
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.statuses()) == 2)
    assert (calls(bob), calls(carol)) == (1, 1)


async def test_somebody_who_is_redirected_to_himself_is_a_loop(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", f"moved:{BOB}")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.statuses()) == 2)
    assert alice.statuses()[-1] in (302, 482)
    assert calls(bob) == 1


async def test_endless_redirection_to_ever_new_places_ends(world, autojump_clock):
    alice = world.phone("alice")
    count = 0

    def answer(request, flow):
        nonlocal count
        if request.method == "INVITE":
            count += 1
            contacts = ", ".join(f"<sip:x{count}-{at}@10.0.7.1:5060>" for at in range(4))
            away.reply(request, flow, 302, (("Contact", contacts),))

    away = world.phone("away", host="10.0.7.1")
    away.react = answer
    world.bind(f"bob@{DOMAIN}", away)
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(302)
    assert count <= 61
    assert trio.current_time() - start < 30


async def test_a_followed_fork_keeps_within_its_breadth(world, autojump_clock):
    alice = world.phone("alice")
    phones = [world.phone(f"p{at}", "486") for at in range(4)]
    bob = world.phone("bob")
    bob.act = lambda word: bob.reply(*bob._invite, 302, (("Contact", ", ".join(f"<{phone.uri}>" for phone in phones)),))
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB, headers=(("Max-Breadth", "3"),)))
    await alice.status(486)
    assert all(calls(phone) == 1 for phone in phones)
    assert sorted(int(phone.requests("INVITE")[0].first("Max-Breadth")) for phone in phones)[:3] == [1, 1, 1]


async def test_cancel_while_a_followed_phone_rings(world, autojump_clock):
    alice, other = world.phone("alice"), world.phone("other", "rings")
    world.bind(f"bob@{DOMAIN}", world.phone("bob", f"moved:{other.uri}"))
    invite = alice.request("INVITE", BOB, branch="z9hG4bKf")
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKf"))
    await alice.status(487)
    assert other.requests("CANCEL")
    await trio.sleep(70)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)


async def test_a_stranger_may_not_call_out_by_a_strangers_redirection(world, autojump_clock):
    """T63: the far server is nobody's phone; the caller has not proved who he is."""
    world.settings(auth="digest", unknown_callee="404")
    stranger, far = world.phone("stranger"), world.phone("far")
    premium = world.phone("premium", "answers")
    far.does = f"moved:{premium.uri}"
    world.script(
        f"bob@{DOMAIN}",
        f'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><location url="{far.uri}"><proxy recurse="yes"/></location>'
        "</incoming></cpl>",
    )
    stranger.send(stranger.request("INVITE", BOB, from_uri="sip:stranger@elsewhere.example"))
    await stranger.until(lambda: any(status >= 300 for status in stranger.statuses()))
    assert not calls(premium)
