"""The hops of one target in turn: RFC 3263 §4.3, RFC 3261 §16.9 and §18.1.1, T119; on the virtual clock."""

from __future__ import annotations

import pytest
import trio

from sipd.hop import Hop
from sipd.rows import Binding, PutBinding
from tests.server.phones import DOMAIN, SERVER, WALL, open_world

FAR = "sip:x@far.example"
BIG = (("Content-Type", "text/plain"),)
MUCH = b"x" * 1400


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def two_servers(world, first: str, second: str):
    """A place with two servers, in this order."""
    one, two = world.phone("one", first), world.phone("two", second)
    world.resolver.found["far.example"] = [one.hop, two.hop]
    return one, two


async def test_a_silent_server_is_left_for_the_next_in_call_set_up(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "", "rings answers")
    start = trio.current_time()
    invite = alice.request("INVITE", FAR)
    alice.send(invite)
    ok = await alice.status(200)
    assert trio.current_time() - start == pytest.approx(4.1, abs=0.01), "0.1 s of DNS, 4 s of patience"
    assert alice.statuses() == [100, 180, 200]
    [first, *_], [second] = one.requests("INVITE"), two.requests("INVITE")
    assert first.via.branch != second.via.branch, "RFC 3263 §4.3: a new transaction"
    assert first.via._replace(params=()) == second.via._replace(params=())
    assert first.values("Via")[1:] == second.values("Via")[1:]
    alice.ack(invite, ok)
    await two.until(lambda: bool(two.requests("ACK")))
    assert not one.requests("ACK")


async def test_a_silent_server_is_not_asked_first_by_the_next_call(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "", "answers")
    alice.send(alice.request("INVITE", FAR))
    await alice.status(200)
    before = len(one.seen)
    start = trio.current_time()
    alice.send(alice.request("INVITE", FAR))
    await alice.until(lambda: alice.statuses().count(200) == 2)
    assert trio.current_time() - start < 0.2
    assert len(two.requests("INVITE")) == 2
    assert len(one.requests("INVITE")) == before == len(one.seen)


async def test_a_server_that_can_not_be_reached_costs_no_time(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "answers", "answers")
    world.network.unreachable.add(one.hop)
    start = trio.current_time()
    alice.send(alice.request("INVITE", FAR))
    await alice.status(200)
    assert trio.current_time() - start < 0.2
    assert len(two.requests("INVITE")) == 1


async def test_a_ringing_phone_is_not_a_silent_one(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "rings", "answers")
    alice.send(alice.request("INVITE", FAR))
    await alice.status(180)
    await trio.sleep(60)
    assert not two.requests("INVITE")
    one.answer()
    await alice.status(200)


async def test_other_methods_wait_eight_seconds(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "", "")
    one.react = lambda request, flow: None
    start = trio.current_time()
    alice.send(alice.request("MESSAGE", FAR))
    await alice.until(lambda: alice.statuses("MESSAGE") == [100, 200])
    assert trio.current_time() - start == pytest.approx(8.1, abs=0.01)
    assert len(two.requests("MESSAGE")) == 1


@pytest.mark.parametrize(("first", "second", "status"), [("503", "486", 486), ("503", "503", 500), ("486", "200", 486)])
async def test_only_a_503_leads_to_the_next_server(world, autojump_clock, first, second, status):
    alice = world.phone("alice")
    one, two = two_servers(world, first, second)
    alice.send(alice.request("INVITE", FAR))
    await alice.status(status)
    assert len(one.requests("INVITE")) == 1
    assert len(two.requests("INVITE")) == (first == "503")
    assert alice.statuses()[-1] == status


async def test_a_retry_after_stays_here_and_keeps_others_away(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "", "answers")
    one.act = lambda word: None
    one.react = lambda request, flow: (
        one.reply(request, flow, 503, (("Retry-After", "100 (soon)"),)) if request.method == "INVITE" else None
    )
    alice.send(alice.request("INVITE", FAR))
    assert "Retry-After" not in (await alice.status(200)).names
    for wait, asked in ((90, 1), (20, 2)):
        await trio.sleep(wait)
        answered = alice.statuses().count(200)
        alice.send(alice.request("INVITE", FAR))
        await alice.until(lambda answered=answered: alice.statuses().count(200) > answered)
        assert len(one.requests("INVITE")) == asked
    assert len(two.requests("INVITE")) == 3


async def test_cancel_stops_the_series(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "", "answers")
    invite = alice.request("INVITE", FAR, branch="z9hG4bKstop")
    alice.send(invite)
    await one.until(lambda: bool(one.requests("INVITE")))
    alice.send(alice.request("CANCEL", FAR, branch="z9hG4bKstop", call_id=invite.call_id))
    await alice.status(487)
    assert not two.requests("INVITE")


async def test_a_server_that_answers_after_it_was_left_is_heard_and_the_other_cancelled(world, autojump_clock):
    alice = world.phone("alice")
    one, two = two_servers(world, "", "rings")
    alice.send(alice.request("INVITE", FAR))
    await alice.status(180)
    one.answer()
    ok = await alice.status(200)
    assert ok.to_tag == "tag-one"
    await two.until(lambda: bool(two.requests("CANCEL")))
    await trio.sleep(100)
    assert alice.statuses() == [100, 180, 200]


async def test_a_server_that_rings_after_it_was_left_is_cancelled(world, autojump_clock):
    alice = world.phone("alice")
    one, _ = two_servers(world, "", "rings")
    alice.send(alice.request("INVITE", FAR))
    await alice.status(180)
    one.act("rings")
    await one.until(lambda: bool(one.requests("CANCEL")))
    assert alice.statuses() == [100, 180], "one phone rings for the caller"


async def test_both_answer_and_both_answers_reach_the_caller(world, autojump_clock):
    alice = world.phone("alice")
    one, _ = two_servers(world, "", "answers")
    alice.send(alice.request("INVITE", FAR))
    assert (await alice.status(200)).to_tag == "tag-two"
    one.answer()
    await alice.until(lambda: [response.to_tag for response in alice.responses(200)] == ["tag-two", "tag-one"])


async def test_nothing_is_left_of_a_series(world, autojump_clock):
    alice = world.phone("alice")
    two_servers(world, "", "")
    alice.send(alice.request("INVITE", FAR))
    await alice.status(408)
    await trio.sleep(100)
    transactions = world.house.transactions
    assert (transactions.clients, transactions.servers, transactions.deadlines.next_due()) == (0, 0, None)


# --- large requests (§18.1.1) ----------------------------------------------------------------


def large(world, does: str = "rings answers"):
    """A server that is reached by UDP and may be by TCP, under one name."""
    far = world.phone("far", does)
    world.resolver.found["far.example"] = far.hop
    return far


async def test_what_is_large_goes_by_tcp_and_its_via_says_so(world, autojump_clock):
    alice, far = world.phone("alice"), large(world)
    by_tcp = world.phone("tcp", "answers", host=far.hop.host, transport="TCP")
    alice.send(alice.request("INVITE", FAR, headers=BIG, body=MUCH))
    await alice.status(200)
    [got] = by_tcp.requests("INVITE")
    assert got.via.transport == "TCP"
    assert got.body == MUCH
    assert not far.seen


async def test_where_tcp_is_refused_it_goes_by_udp_and_the_next_does_not_ask(world, autojump_clock):
    alice, far = world.phone("alice"), large(world)
    start = trio.current_time()
    alice.send(alice.request("INVITE", FAR, headers=BIG, body=MUCH))
    await alice.status(200)
    assert trio.current_time() - start < 0.3
    [got] = far.requests("INVITE")
    assert got.via.transport == "UDP"
    opened = world.network.next_port()
    alice.send(alice.request("INVITE", FAR, headers=BIG, body=MUCH))
    await alice.until(lambda: alice.statuses().count(200) == 2)
    assert world.network.next_port() == opened + 1, "no connection was tried: it is known to be refused"


async def test_where_nobody_answers_by_tcp_it_goes_by_udp(world, autojump_clock):
    alice, far = world.phone("alice"), large(world)
    deaf = world.phone("deaf", "", host=far.hop.host, transport="TCP")
    alice.send(alice.request("INVITE", FAR, headers=BIG, body=MUCH))
    await alice.status(200)
    assert deaf.requests("INVITE")
    assert len(far.requests("INVITE")) == 1


async def test_what_is_small_stays_on_udp(world, autojump_clock):
    alice, far = world.phone("alice"), large(world)
    by_tcp = world.phone("tcp", "answers", host=far.hop.host, transport="TCP")
    alice.send(alice.request("INVITE", FAR, headers=BIG, body=b"x" * 400))
    await alice.status(200)
    assert not by_tcp.seen
    assert len(far.requests("INVITE")) == 1


@pytest.mark.parametrize("received", ["", "udp:10.0.1.2:5060"])
async def test_a_binding_made_over_udp_stays_on_udp(world, autojump_clock, received):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    by_tcp = world.phone("tcp", "answers", host=bob.hop.host, transport="TCP")
    uri = bob.uri if not received else "sip:bob@192.168.1.2:5060"
    world.put(PutBinding(Binding(f"bob@{DOMAIN}", uri, expires_at=WALL + 1e6, received=received)))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}", headers=BIG, body=MUCH))
    await alice.status(200)
    assert not by_tcp.seen
    assert bob.requests("INVITE")[0].body == MUCH


async def test_a_phone_in_a_dialog_stays_on_udp(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    by_tcp = world.phone("tcp", "answers", host=bob.hop.host, transport="TCP")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", f"sip:bob@{DOMAIN}")
    alice.send(invite)
    ok = await alice.status(200)
    routes = tuple(("Route", value) for value in ok.values("Record-Route"))
    alice.send(
        alice.request(
            "MESSAGE", bob.uri, to_tag="tag-bob", cseq=2, call_id=invite.call_id, headers=(*routes, *BIG), body=MUCH
        )
    )
    await alice.until(lambda: alice.statuses("MESSAGE") == [200])
    assert not by_tcp.seen


async def test_a_numeric_server_outside_is_asked_by_tcp_too(world, autojump_clock):
    alice = world.phone("alice")
    by_tcp = world.phone("tcp", "answers", host="10.0.9.9", transport="TCP")
    alice.send(alice.request("INVITE", "sip:x@10.0.9.9", headers=BIG, body=MUCH))
    await alice.status(200)
    assert by_tcp.requests("INVITE")


# --- sips (RFC 5630 §5.3, T95) ------------------------------------------------------

TLS = Hop("TLS", SERVER.host, 5061)


@pytest.fixture
async def secure(nursery):
    made = await open_world(nursery, "alice", "bob", places=(TLS,))
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def sips_phone(world, name: str, **more):
    phone = world.phone(name, "answers", transport="TLS", port=5061, **more)
    return phone, f"sips:{name}@{phone.hop.host}:5061"


async def test_sips_goes_over_tls_and_no_other_way(secure, autojump_clock):
    alice, _ = sips_phone(secure, "alice")
    bob, bob_uri = sips_phone(secure, "bob")
    secure.put(PutBinding(Binding(f"bob@{DOMAIN}", bob_uri, expires_at=WALL + 1e6)))
    alice.send(alice.request("INVITE", f"sips:bob@{DOMAIN}"), TLS)
    await alice.status(200)
    [got] = bob.requests("INVITE")
    assert got.request_uri == bob_uri
    assert got.via.transport == "TLS"


async def test_where_tls_fails_nothing_goes_in_the_clear(secure, autojump_clock):
    """T94: no other transport stands in for TLS."""
    others = [
        secure.phone(f"{transport}{port}", "answers", host="10.0.9.9", transport=transport, port=port)
        for transport in ("UDP", "TCP")
        for port in (5060, 5061)
    ]
    alice = secure.phone("alice")
    secure.network.unreachable.add(Hop("TLS", "10.0.9.9", 5061))
    alice.send(alice.request("INVITE", "sip:x@10.0.9.9;transport=tls"))
    await alice.status(500)
    assert not any(phone.seen for phone in others)


async def test_a_sips_request_does_not_reach_a_sip_contact(secure, autojump_clock):
    alice, _ = sips_phone(secure, "alice")
    bob = secure.phone("bob", "answers")
    secure.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", f"sips:bob@{DOMAIN}"), TLS)
    refused = await alice.status(480)
    assert refused.first("Warning") == '380 sipd "SIPS Not Allowed"'
    assert not bob.seen


async def test_of_several_contacts_a_sips_request_reaches_those_that_are_sips(secure, autojump_clock):
    alice, _ = sips_phone(secure, "alice")
    desk, desk_uri = sips_phone(secure, "desk")
    mobile = secure.phone("mobile", "answers")
    secure.bind(f"bob@{DOMAIN}", mobile)
    secure.put(PutBinding(Binding(f"bob@{DOMAIN}", desk_uri, expires_at=WALL + 1e6)))
    alice.send(alice.request("INVITE", f"sips:bob@{DOMAIN}"), TLS)
    await alice.status(200)
    assert desk.requests("INVITE")
    assert not mobile.seen


async def test_a_sip_request_reaches_a_sips_contact_by_its_sip_name_over_tls(secure, autojump_clock):
    alice = secure.phone("alice")
    bob, bob_uri = sips_phone(secure, "bob")
    secure.put(PutBinding(Binding(f"bob@{DOMAIN}", bob_uri, expires_at=WALL + 1e6)))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
    await alice.status(200)
    [got] = bob.requests("INVITE")
    assert got.request_uri == bob_uri.replace("sips:", "sip:")
    assert got.via.transport == "TLS"


async def test_without_tls_a_sip_request_can_not_reach_a_sips_contact(world, autojump_clock):
    alice = world.phone("alice")
    world.put(PutBinding(Binding(f"bob@{DOMAIN}", "sips:bob@10.0.1.9", expires_at=WALL + 1e6)))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
    refused = await alice.status(480)
    assert refused.first("Warning") == '381 sipd "SIPS Required"'


async def test_a_flow_that_is_not_secure_is_no_way_to_a_sips_contact(secure, autojump_clock):
    alice = secure.phone("alice")
    bob, bob_uri = sips_phone(secure, "bob")
    old = secure.phone("old", "answers", host=bob.hop.host)
    secure.put(PutBinding(Binding(f"bob@{DOMAIN}", bob_uri, expires_at=WALL + 1e6, received=str(old.hop))))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
    await alice.status(200)
    assert not old.seen
    assert bob.requests("INVITE")


async def test_a_dialog_by_sips_stays_on_tls(secure, autojump_clock):
    alice, _ = sips_phone(secure, "alice")
    bob, bob_uri = sips_phone(secure, "bob")
    secure.put(PutBinding(Binding(f"bob@{DOMAIN}", bob_uri, expires_at=WALL + 1e6)))
    invite = alice.request("INVITE", f"sips:bob@{DOMAIN}")
    alice.send(invite, TLS)
    ok = await alice.status(200)
    routes = tuple(("Route", value) for value in reversed(ok.values("Record-Route")))
    assert routes
    assert all(value.startswith("<sips:") and "10.0.0.1:5061;lr" in value for _, value in routes)
    bye = alice.request("BYE", bob_uri, to_tag="tag-bob", cseq=2, call_id=invite.call_id, headers=routes)
    alice.send(bye, TLS)
    await alice.until(lambda: alice.statuses("BYE") == [200])
    [got] = bob.requests("BYE")
    assert got.request_uri == bob_uri
    assert got.via.transport == "TLS"


async def test_a_server_without_tls_knows_no_sips(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", f"sips:bob@{DOMAIN}"))
    await alice.status(416)
