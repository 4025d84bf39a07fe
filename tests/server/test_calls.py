"""Calls through a whole server on the virtual clock: RFC 3261 §16, the issue's fork of three."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def test_invite_ringing_answer_ack_bye_all_pass_through_the_proxy(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings answers")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await alice.status(200)
    assert alice.statuses() == [100, 180, 200]
    assert len(ok.values("Via")) == 1, "our Via is off again"
    [got] = bob.requests("INVITE")
    assert got.request_uri == bob.uri
    assert got.first("Max-Forwards") == "69"
    assert got.via.host == "10.0.0.1"
    assert "lr" in got.first("Record-Route")
    alice.ack(invite, ok)
    await bob.until(lambda: bool(bob.requests("ACK")))
    assert len(bob.requests("ACK")[0].values("Via")) == 2
    routes = tuple(("Route", value) for value in ok.values("Record-Route"))
    alice.send(alice.request("BYE", bob.uri, to=BOB, to_tag="tag-bob", cseq=2, call_id=invite.call_id, headers=routes))
    await alice.until(lambda: alice.statuses("BYE") == [200])
    assert bob.requests("BYE")[0].request_uri == bob.uri
    assert "Route" not in bob.requests("BYE")[0].names


async def test_callee_may_hang_up_too(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.settings(auth="digest")
    world.put(*[])
    world.bind(f"bob@{DOMAIN}", bob)
    world.settings(auth="none")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    await alice.status(200)
    got = bob.requests("INVITE")[0]
    world.settings(auth="digest")  # in the dialog our sealed Route is enough
    routes = tuple(("Route", value) for value in got.values("Record-Route"))
    bob.send(
        bob.request(
            "BYE",
            alice.uri,
            to=ALICE,
            from_tag="tag-bob",
            to_tag="f1",
            call_id=invite.call_id,
            headers=routes,
            from_uri=BOB,
        )
    )
    await bob.until(lambda: bob.statuses("BYE") == [200])
    assert alice.requests("BYE")[0].request_uri == alice.uri


async def test_fork_rings_near_equal_q_at_once_and_the_next_group_after_30_s(world, autojump_clock):
    alice = world.phone("alice")
    desk, mobile, voicemail = world.phone("desk"), world.phone("mobile"), world.phone("vm", "")
    for phone, q in ((desk, 1000), (mobile, 960), (voicemail, 500)):
        world.bind(f"bob@{DOMAIN}", phone, q)
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await voicemail.until(lambda: bool(voicemail.requests("INVITE")))
    assert desk.time_of("INVITE") == mobile.time_of("INVITE") == start, "near-equal q at once"
    assert voicemail.time_of("INVITE") - start == pytest.approx(30, abs=0.05)
    assert not desk.requests("CANCEL"), "the first two still ring"
    assert not mobile.requests("CANCEL"), "the first two still ring"
    voicemail.answer()
    await alice.status(200)
    await desk.until(lambda: bool(desk.requests("CANCEL")))
    await mobile.until(lambda: bool(mobile.requests("CANCEL")))
    assert not voicemail.requests("CANCEL")


async def test_next_group_starts_when_the_first_has_failed(world, autojump_clock):
    alice = world.phone("alice")
    desk, voicemail = world.phone("desk", "486"), world.phone("vm", "answers")
    world.bind(f"bob@{DOMAIN}", desk, 1000)
    world.bind(f"bob@{DOMAIN}", voicemail, 500)
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert trio.current_time() - start < 1
    assert len(desk.requests("ACK")) == 1, "the refusal is ACKed by us"


async def test_late_second_2xx_reaches_the_caller(world, autojump_clock):
    alice = world.phone("alice")
    desk, deaf = world.phone("desk"), world.phone("deafphone", "rings deaf")
    world.bind(f"bob@{DOMAIN}", desk)
    world.bind(f"bob@{DOMAIN}", deaf)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    desk.answer()
    await deaf.until(lambda: bool(deaf.requests("CANCEL")))
    deaf.answer()  # it had picked up when the CANCEL came
    await alice.until(lambda: len(alice.responses(200)) == 2)
    assert {response.to_tag for response in alice.responses(200)} == {"tag-desk", "tag-deafphone"}


async def test_cancel_reaches_every_branch_and_487_the_caller(world, autojump_clock):
    alice = world.phone("alice")
    desk, mobile = world.phone("desk"), world.phone("mobile")
    world.bind(f"bob@{DOMAIN}", desk)
    world.bind(f"bob@{DOMAIN}", mobile)
    invite = alice.request("INVITE", BOB, branch="z9hG4bKsame")
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKsame"))
    await alice.status(487)
    assert alice.statuses("CANCEL") == [200]
    assert desk.requests("CANCEL")
    assert mobile.requests("CANCEL")


async def test_cancel_of_nothing_is_481(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("CANCEL", BOB))
    await alice.until(lambda: alice.statuses("CANCEL") == [481])


async def test_unregistered_is_480(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(480)


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "OPTIONS", "FOO"])
async def test_any_method_reaches_the_contact(world, autojump_clock, method):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request(method, BOB, headers=(("X-Kept", "as it was"),), body=b"body"))
    await alice.until(lambda: alice.statuses(method) == [200])
    [got] = bob.requests(method)
    assert (got.first("X-Kept"), got.body) == ("as it was", b"body")


async def test_retransmitted_invite_is_absorbed(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    for _ in range(3):
        alice.send(invite)
    await alice.status(180)
    assert len(bob.requests("INVITE")) == 1


async def test_best_response_of_a_fork(world, autojump_clock):
    alice = world.phone("alice")
    for at, status in enumerate(("486", "404", "480")):
        world.bind(f"bob@{DOMAIN}", world.phone(f"p{at}", status))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    assert alice.statuses() == [100, 486]


async def test_6xx_ends_the_fork(world, autojump_clock):
    alice = world.phone("alice")
    ringing = world.phone("ringing")
    world.bind(f"bob@{DOMAIN}", ringing)
    world.bind(f"bob@{DOMAIN}", world.phone("decliner", "603"))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(603)
    assert ringing.requests("CANCEL")


async def test_phone_that_never_answers_is_408_after_timer_b(world, autojump_clock):
    alice = world.phone("alice")
    world.bind(f"bob@{DOMAIN}", world.phone("dead", ""))
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(408)
    assert trio.current_time() - start == pytest.approx(32, abs=0.1)


async def test_ringing_for_ever_is_cancelled_by_timer_c(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: 487 in alice.statuses() or 408 in alice.statuses())
    assert trio.current_time() - start == pytest.approx(185, abs=0.5)
    assert bob.requests("CANCEL")


async def test_non_invite_without_answer_gets_no_408(world, autojump_clock):
    alice = world.phone("alice")
    silent = world.phone("silent")
    silent.react = lambda request, flow: None
    world.bind(f"bob@{DOMAIN}", silent)
    alice.send(alice.request("MESSAGE", BOB))
    await trio.sleep(70)
    assert alice.statuses("MESSAGE") in ([], [100]), "RFC 4320 §4.2"
    assert world.house.transactions.servers == 0


async def test_all_state_is_gone_after_the_call(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    await trio.sleep(70)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)


async def test_redirect_by_contact_and_by_server(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob, action="redirect")
    alice.send(alice.request("INVITE", BOB))
    moved = await alice.status(302)
    assert moved.contacts[0].uri.text == bob.uri
    world.bind(f"carol@{DOMAIN}", bob)
    world.settings(mode="redirect")
    alice.send(alice.request("INVITE", f"sip:carol@{DOMAIN}"))
    await alice.until(lambda: len(alice.responses(302)) == 2)
    assert not bob.requests("INVITE")


async def test_a_call_from_tcp_to_udp_keeps_both_ends_in_the_route(world, autojump_clock):
    alice = world.phone("alice", transport="TCP")
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await alice.status(200)
    routes = ok.values("Record-Route")
    assert len(routes) == 2
    alice.ack(invite, ok)
    await bob.until(lambda: bool(bob.requests("ACK")))
    bob.send(
        bob.request(
            "BYE",
            alice.uri,
            to=ALICE,
            from_tag="tag-bob",
            to_tag="f1",
            call_id=invite.call_id,
            headers=tuple(("Route", value) for value in routes),
            from_uri=BOB,
        )
    )
    await bob.until(lambda: bob.statuses("BYE") == [200])


async def test_loop_of_two_users_ends_with_482(world, autojump_clock):
    alice = world.phone("alice")
    there = type("Elsewhere", (), {"uri": f"sip:carol@{DOMAIN}"})
    back = type("Elsewhere", (), {"uri": BOB})
    world.bind(f"bob@{DOMAIN}", there)
    world.bind(f"carol@{DOMAIN}", back)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(482)
    assert len(world.network.sent) < 30


async def test_an_exception_in_one_call_ends_that_call_alone(world, autojump_clock, monkeypatch):
    from sipd.server.fork import Fork

    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    with monkeypatch.context() as patch:
        patch.setattr(Fork, "start", lambda self: 1 / 0)
        alice.send(alice.request("INVITE", BOB))
        await alice.status(500)
    assert world.house.counters.faults == 1
    world.house.counters.faults = 0
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)


async def test_a_retransmission_without_a_branch_cookie_is_known_again(world, autojump_clock):
    """RFC 3261 §17.2.3: an old client's Via has no magic cookie; the whole of it is compared, as we stamped it."""
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB, branch="old;rport")
    for _ in range(3):
        alice.send(invite)
    await alice.status(180)
    await trio.sleep(0.2)
    assert len(bob.requests("INVITE")) == 1


async def test_what_breaks_on_a_response_ends_that_call_with_500_and_leaves_nothing(world, autojump_clock, monkeypatch):
    from sipd.core.response_context import ResponseContext

    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    with monkeypatch.context() as patch:
        patch.setattr(ResponseContext, "receive", lambda *given: 1 / 0)
        alice.send(alice.request("INVITE", BOB))
        await alice.status(500)
    assert world.house.counters.faults == 1
    world.house.counters.faults = 0
    await bob.until(lambda: bool(bob.requests("CANCEL")))
    await trio.sleep(70)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)


async def test_what_breaks_on_a_timer_ends_that_call_with_500(world, autojump_clock, monkeypatch):
    from sipd.server.fork import Fork

    alice = world.phone("alice")
    world.bind(f"bob@{DOMAIN}", world.phone("desk"), 1000)
    world.bind(f"bob@{DOMAIN}", world.phone("mobile"), 500)
    with monkeypatch.context() as patch:
        patch.setattr(Fork, "_stagger_over", lambda self: 1 / 0)
        alice.send(alice.request("INVITE", BOB))
        await alice.status(500)
    assert world.house.counters.faults == 1
    world.house.counters.faults = 0


async def test_the_ack_of_a_2xx_finds_its_way_by_name_too(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    world.resolver.found["desk.bob.example"] = bob.hop
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    await alice.status(180)
    bob.reply(*bob._invite, 200, (("Contact", "<sip:bob@desk.bob.example>"),))
    alice.ack(invite, await alice.status(200))
    await bob.until(lambda: bool(bob.requests("ACK")), 5)


async def test_a_call_by_name_waits_for_dns_in_its_own_task(world, autojump_clock):
    alice, far = world.phone("alice"), world.phone("far", "answers")
    world.resolver.found["far.example"] = far.hop
    alice.send(alice.request("INVITE", "sip:x@far.example"))
    await alice.status(200)
    alice.send(alice.request("INVITE", "sip:x@nowhere.example"))
    await alice.status(500)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "BYE"])
async def test_every_request_is_remembered_whatever_it_came_over(world, autojump_clock, transport, method):
    """Over a connection the server transaction of a MESSAGE ends with its answer, before the call does."""
    alice, bob = world.phone("alice", transport=transport), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    request = alice.request(method, BOB)
    alice.send(request)
    await alice.until(lambda: 200 in alice.statuses(method))
    await trio.sleep(1)
    assert [(one["method"], one["status"]) for one in world.house.explain.find(request.call_id)] == [(method, 200)]


async def test_a_2xx_passes_though_the_server_transaction_is_gone(world, autojump_clock):
    """RFC 6026 §8.3: a phone that picked up as the CANCEL came, and whose 200 nobody acknowledges, says it again."""
    alice = world.phone("alice")
    desk, deaf = world.phone("desk"), world.phone("deafphone", "rings deaf")
    world.bind(f"bob@{DOMAIN}", desk)
    world.bind(f"bob@{DOMAIN}", deaf)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    desk.answer()
    await deaf.until(lambda: bool(deaf.requests("CANCEL")))
    await trio.sleep(20)
    deaf.answer()
    await alice.until(lambda: len(alice.responses(200)) == 2)
    await trio.sleep(20)
    assert world.house.transactions.servers == 0
    deaf.answer()
    await alice.until(lambda: len(alice.responses(200)) == 3, 1)
