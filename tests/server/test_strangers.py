"""A stranger may call a user of ours; what he learns of that call leads him nowhere else (T63, T65, P6).

The Record-Route of his dialog names the two ends it has: whatever he writes
into Request-URI, tags and Route, a request of that dialog goes to one of them.
"""

from __future__ import annotations

from itertools import permutations

import pytest
import trio

from sipd.rows import PutUser
from sipd.store import user_row
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"
ZOE = "sip:zoe@far.example"


@pytest.fixture(params=["proxy", "stateless"])
async def world(request, nursery):
    made = await open_world(nursery, "bob", auth="digest", mode=request.param)
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def called(world, transport="UDP"):
    """Zoe has called bob, who answered: she, bob, somebody else's gateway, her INVITE and the 200."""
    zoe = world.phone("zoe", transport=transport)
    bob = world.phone("bob", "answers", transport=transport)
    gateway = world.phone("gateway")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = zoe.request("INVITE", BOB, from_uri=ZOE)
    zoe.send(invite)
    return zoe, bob, gateway, invite, await zoe.status(200)


def of_dialog(phone, method, uri, invite, ok, routes, *, swapped=False, to_tag=None):
    tags = (invite.from_tag, ok.to_tag if to_tag is None else to_tag)
    from_tag, to_tag = tags[::-1] if swapped else tags
    return phone.request(
        method,
        uri,
        to=ZOE if swapped else BOB,
        from_uri=BOB if swapped else ZOE,
        from_tag=from_tag,
        to_tag=to_tag,
        cseq=2,
        call_id=invite.call_id,
        headers=tuple(("Route", value) for value in routes),
    )


def several(routes, elsewhere):
    """What somebody who knows these Routes may try."""
    plain, forged = "<sip:10.0.0.1:5060;lr>", f"<sip:10.0.0.1:5060;lr;sd={'0' * 24}>"
    known = [*permutations(routes), *([route] for route in routes)]
    for chosen in known:
        yield chosen
        yield [*chosen, f"<{elsewhere};lr>"]
        for ours in (plain, forged):
            yield [*chosen, ours]
            yield [ours, *chosen]
            yield [chosen[0], ours, *chosen[1:], f"<{elsewhere};lr>"]


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_both_can_hang_up(world, autojump_clock, transport):
    zoe, bob, _, invite, ok = await called(world, transport)
    zoe.ack(invite, ok)
    await bob.until(lambda: bool(bob.requests("ACK")))
    routes = [route.strip() for value in ok.values("Record-Route") for route in value.split(",")]
    zoe.send(of_dialog(zoe, "BYE", bob.uri, invite, ok, routes[::-1]))
    await zoe.until(lambda: zoe.statuses("BYE") == [200])
    bob.send(of_dialog(bob, "INFO", zoe.uri, invite, ok, routes, swapped=True))
    await bob.until(lambda: bob.statuses("INFO") == [200])
    assert zoe.requests("INFO")[0].request_uri == zoe.uri


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "ACK", "FOO"])
async def test_whatever_he_writes_goes_to_one_of_the_two(world, autojump_clock, method):
    zoe, bob, gateway, invite, ok = await called(world)
    routes = [route.strip() for value in ok.values("Record-Route") for route in value.split(",")]
    assert len(routes) == 2
    elsewhere = f"sip:+1900555@{gateway.hop.host}:{gateway.hop.port}"
    for swapped in (False, True):
        for chosen in several(routes, elsewhere):
            zoe.send(of_dialog(zoe, method, elsewhere, invite, ok, chosen, swapped=swapped, to_tag="made-up"))
            zoe.send(of_dialog(zoe, method, elsewhere, invite, ok, chosen, swapped=swapped))
    strict = of_dialog(zoe, method, routes[0].strip("<>"), invite, ok, [f"<{elsewhere}>"])
    zoe.send(strict)
    await trio.sleep(40)
    assert gateway.seen == []
    assert bob.requests(method), "it went where the dialog goes"


async def test_a_connection_that_is_gone_leaves_its_address_and_no_other(world, autojump_clock):
    zoe, _, gateway, invite, ok = await called(world, "TCP")
    routes = [route.strip() for value in ok.values("Record-Route") for route in value.split(",")]
    for flow in list(zoe.listener._flows.values()):
        flow.close()
    await trio.sleep(1)
    again = world.phone("again")
    elsewhere = f"sip:x@{gateway.hop.host}:{gateway.hop.port}"
    for chosen in permutations(routes):
        again.send(of_dialog(again, "MESSAGE", elsewhere, invite, ok, chosen, swapped=True))
    await trio.sleep(40)
    assert gateway.seen == []
    again.send(of_dialog(again, "INFO", zoe.uri, invite, ok, routes, swapped=True))
    await again.until(lambda: again.statuses("INFO") == [200])
    assert zoe.requests("INFO"), "at her address she is still reached"


async def test_his_dialog_leads_to_no_other_user(world, autojump_clock):
    """No script of hers would be asked within a dialog."""
    zoe, bob, _, invite, ok = await called(world)
    carol = world.phone("carol")
    world.put(PutUser(user_row(f"carol@{DOMAIN}", DOMAIN, "pw-carol")))
    world.bind(f"carol@{DOMAIN}", carol)
    routes = [route.strip() for value in ok.values("Record-Route") for route in value.split(",")]
    zoe.send(of_dialog(zoe, "INVITE", f"sip:carol@{DOMAIN}", invite, ok, routes[::-1], to_tag="made-up"))
    await bob.until(lambda: len(bob.requests("INVITE")) == 2)
    assert carol.seen == []


async def test_whom_a_user_of_ours_calls_is_led_back_to_him_only(nursery, autojump_clock):
    """The one who was called knows the dialog as well; the caller's own requests go where his phone says."""
    world = await open_world(nursery, "alice", auth="none")
    alice, gateway, elsewhere = world.phone("alice"), world.phone("gateway"), world.phone("elsewhere")
    far = world.phone("far", "")
    invite = alice.request("INVITE", far.uri)
    alice.send(invite)
    await far.until(lambda: bool(far.requests("INVITE")))
    assert far._invite is not None
    request, flow = far._invite
    far.reply(request, flow, 200, (("Contact", f"<{elsewhere.uri}>"),))
    ok = await alice.status(200)
    routes = [route.strip() for value in ok.values("Record-Route") for route in value.split(",")]
    alice.ack(invite, ok)
    await elsewhere.until(lambda: bool(elsewhere.requests("ACK")), 5)
    target = f"sip:+1900555@{gateway.hop.host}:{gateway.hop.port}"

    def said(method, uri, chosen, swapped):
        tags = ("f1", "tag-far") if swapped else ("tag-far", "f1")
        users = (f"sip:alice@{DOMAIN}", "sip:far@far.example")
        from_uri, to = users if swapped else users[::-1]
        return far.request(
            method, uri, to=to, from_uri=from_uri, from_tag=tags[0], to_tag=tags[1], cseq=7, call_id=invite.call_id,
            headers=tuple(("Route", value) for value in chosen),
        )  # fmt: skip

    far.send(said("BYE", alice.uri, routes, False))
    await far.until(lambda: far.statuses("BYE") == [200])
    world.settings(auth="digest")
    for swapped in (False, True):
        for chosen in several(routes, target):
            for method in ("INVITE", "MESSAGE", "ACK"):
                far.send(said(method, target, chosen, swapped))
    await trio.sleep(40)
    assert gateway.seen == []


async def test_a_user_of_ours_is_not_confined(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", auth="none")
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    ok = await alice.status(200)
    [route] = ok.values("Record-Route")
    assert "fl." not in route
