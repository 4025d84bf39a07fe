"""Peers through a whole server: trust, asserted identity both ways, privacy (RFC 3323, 3325; T63, T66, T87, T118)."""

from __future__ import annotations

import pytest
import trio

from sipd.message import parse_auth
from sipd.phone.account import Account, proof
from sipd.rows import DropPeer, Peer, PutPeer, PutUser
from sipd.store import user_row
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, SERVER, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
GATEWAY = "10.9.0.1"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", auth="digest")
    made.put(PutUser(user_row(f"+15551234@{DOMAIN}", DOMAIN, "pw-number")._replace(full_name="Al Ice")))
    made.put(PutPeer(Peer("gateway", GATEWAY, "pstn")))
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def phone_at(world, name, does="rings answers", **more):
    phone = world.phone(name, does, **more)
    world.bind(f"{name}@{DOMAIN}", phone)
    return phone


def gateway(world, does="answers", host=GATEWAY, **more):
    return world.phone("gw", does, host=host, **more)


def lines(*texts):
    return tuple(tuple(text.split(": ", 1)) for text in texts)


async def call(phone, uri, *headers, name="alice", password="pw-alice", from_uri=""):
    """An INVITE of a user who answers the challenge."""
    more = {
        "headers": lines(*headers),
        "call_id": f"{len(phone.seen)}@{phone.hop.host}",
        "from_uri": from_uri or f"sip:{name}@{DOMAIN}",
    }
    phone.send(phone.request("INVITE", uri, **more))
    challenge = await phone.status(407)
    again = phone.request("INVITE", uri, cseq=2, **more)
    proven = proof(Account(f"{name}@{DOMAIN}", password), again, challenge)
    phone.send(phone.request("INVITE", uri, cseq=2, **{**more, "headers": (*more["headers"], proven)}))


async def reached(phone):
    await phone.until(lambda: bool(phone.requests("INVITE")))
    return phone.requests("INVITE")[0]


OUT = f"sip:+1999@{GATEWAY}"


# --- requests of a peer -----------------------------------------------------------------------


async def test_a_call_from_a_peer_rings_without_a_challenge_and_keeps_who_calls(world, autojump_clock):
    bob, gw = phone_at(world, "bob"), gateway(world)
    gw.send(
        gw.request("INVITE", BOB, headers=lines("P-Asserted-Identity: <tel:+1999>"), from_uri=f"sip:+1999@{GATEWAY}")
    )
    await gw.status(200)
    assert (await reached(bob)).values("P-Asserted-Identity") == ["<tel:+1999>"]


async def test_a_peer_may_relay_and_a_peer_no_more_may_not(world, autojump_clock):
    gw, far = gateway(world), world.phone("far", "answers")
    gw.send(gw.request("INVITE", far.uri, from_uri=f"sip:+1999@{GATEWAY}"))
    await gw.status(200)
    world.put(DropPeer("gateway"))
    gw.send(gw.request("INVITE", far.uri, from_uri=f"sip:+1999@{GATEWAY}"))
    await gw.status(403)
    assert len(far.requests("INVITE")) == 1


async def test_the_script_of_the_user_whom_a_peer_names_has_its_say(world, autojump_clock):
    """He is as good as authenticated (RFC 3325 §5): the call is his, and so is what he said about his calls."""
    rejects = '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><outgoing><reject status="busy"/></outgoing></cpl>'
    world.script(f"alice@{DOMAIN}", rejects)
    bob, gw = phone_at(world, "bob"), gateway(world)
    gw.send(gw.request("INVITE", BOB, headers=lines(f"P-Asserted-Identity: <{ALICE}>"), from_uri="sip:1@10.9.0.1"))
    await gw.status(486)
    gw.send(gw.request("INVITE", BOB, from_uri=ALICE))  # From alone says nothing
    await gw.status(200)
    assert len(bob.requests("INVITE")) == 1


async def test_a_peer_by_network_and_by_certificate(world, autojump_clock):
    world.put(PutPeer(Peer("office", "10.8.0.0/16")), PutPeer(Peer("carrier", "cert:sip.carrier.example")))
    far = world.phone("far", "answers")
    office = gateway(world, host="10.8.3.7")
    office.send(office.request("INVITE", far.uri, from_uri="sip:1@10.8.3.7"))
    await office.status(200)
    carrier = gateway(world, host="10.7.0.1", transport="TCP")
    carrier.send(carrier.request("INVITE", f"{far.uri};x=1", from_uri="sip:1@10.7.0.1"))
    await carrier.status(403)
    way = carrier.listener.flow_to(SERVER.host, SERVER.port)
    way.far.names = ("sip.carrier.example",)  # as if it had shown a certificate on that connection
    carrier.send(carrier.request("INVITE", f"{far.uri};x=2", from_uri="sip:1@10.7.0.1"))
    await carrier.status(200)


async def test_a_peer_is_told_over_a_connection_that_must_prove_its_name_first(world, autojump_clock):
    world.put(PutPeer(Peer("carrier", "cert:sip.carrier.example")))
    listener = world.network.listener("TLS", "10.0.0.77", 5061)
    world.network.listener("TLS", "10.7.0.1", 5061)
    flow = listener.flow_to("10.7.0.1", 5061, "sip.carrier.example")
    assert world.house.is_peer(flow)
    flow.names = ()  # being opened: it will be that one, or nobody
    assert world.house.is_peer(flow)
    flow.remote = flow.remote._replace(transport="TCP")  # where nothing is proved a name says nothing
    assert not world.house.is_peer(flow)


async def test_a_callers_own_claims_reach_nobody(world, autojump_clock):
    bob, stranger = phone_at(world, "bob"), world.phone("mallory", host="10.6.0.1")
    claims = lines(
        f"P-Asserted-Identity: <{ALICE}>",
        f"Remote-Party-ID: <{ALICE}>;party=calling",
        f"P-Preferred-Identity: <{ALICE}>",
        "X-sipd-class: gold",
    )
    stranger.send(stranger.request("INVITE", BOB, headers=claims, from_uri="sip:mallory@else.example"))
    names = set((await reached(bob)).names)
    assert not names & {"P-Asserted-Identity", "Remote-Party-ID", "P-Preferred-Identity", "X-Sipd-Class"}


async def test_a_registered_pbx_that_is_no_peer_asserts_nothing(world, autojump_clock):
    """Credentials prove one user, and a peer is told that one (T87)."""
    alice, gw = world.phone("alice"), gateway(world)
    await call(alice, OUT, f"P-Asserted-Identity: <{BOB}>")
    assert (await reached(gw)).values("P-Asserted-Identity") == [f"<{ALICE}>"]


# --- what a peer is told -------------------------------------------------------------------------


async def test_a_peer_is_told_address_and_number_of_the_authenticated_caller(world, autojump_clock):
    number, gw = world.phone("+15551234"), gateway(world)
    await call(number, OUT, name="+15551234", password="pw-number")
    got = await reached(gw)
    assert got.values("P-Asserted-Identity") == ['"Al Ice" <sip:+15551234@example.com>', "<tel:+15551234>"]
    assert "Proxy-Authorization" not in got.names


async def test_an_anonymous_caller_who_proved_himself_passes_and_only_the_peer_learns_who_he_is(world, autojump_clock):
    alice, bob, gw = world.phone("alice"), phone_at(world, "bob"), gateway(world)
    hidden = "sip:anonymous@anonymous.invalid"
    await call(alice, OUT, "Privacy: id", from_uri=hidden)
    got = await reached(gw)
    assert (got.values("P-Asserted-Identity"), got.first("Privacy")) == ([f"<{ALICE}>"], "id")
    alice.send(alice.request("INVITE", BOB, headers=lines(f"P-Preferred-Identity: <{ALICE}>"), from_uri=hidden))
    got = await reached(bob)
    assert "alice@" not in bytes(got).decode().replace(alice.uri, ""), "but in Contact, which is the phone's own"


async def test_phones_and_strangers_are_not_told_anything_of_ours(world, autojump_clock):
    alice, bob, far = world.phone("alice"), phone_at(world, "bob"), world.phone("far", "answers")
    await call(alice, BOB)
    assert "P-Asserted-Identity" not in (await reached(bob)).names
    second = world.phone("alice2")
    await call(second, far.uri)
    assert "P-Asserted-Identity" not in (await reached(far)).names


@pytest.mark.parametrize(("privacy", "told"), [("none", True), ("id", False), ("user;id", False)])
async def test_what_a_peer_asserts_goes_to_others_only_where_it_is_not_private(world, autojump_clock, privacy, told):
    bob, gw = phone_at(world, "bob"), gateway(world)
    headers = lines("P-Asserted-Identity: <tel:+1999>", f"Privacy: {privacy}")
    gw.send(gw.request("INVITE", BOB, headers=headers, from_uri="sip:anonymous@anonymous.invalid"))
    await gw.status(200)
    got = await reached(bob)
    assert ("P-Asserted-Identity" in got.names) is told
    assert got.first("Privacy") == privacy


async def test_between_two_peers_everything_stays(world, autojump_clock):
    world.put(PutPeer(Peer("other", "10.5.0.1")))
    gw, other = gateway(world), world.phone("other", "answers", host="10.5.0.1")
    headers = lines("P-Asserted-Identity: <tel:+1999>", "Privacy: id;critical", "Proxy-Require: privacy")
    gw.send(gw.request("INVITE", other.uri, headers=headers, from_uri="sip:anonymous@anonymous.invalid"))
    got = await reached(other)
    assert got.values("P-Asserted-Identity") == ["<tel:+1999>"]
    assert got.first("Proxy-Require") == "privacy"


# --- responses -------------------------------------------------------------------------------------


async def connected(world, callee, caller, *headers):
    """The 200 of a callee who says these, as the caller gets it."""
    request, flow = callee._invite
    callee.reply(request, flow, 200, (("Contact", f"<{callee.uri}>"), *lines(*headers)))
    return await caller.status(200)


async def test_whom_a_peer_reached_is_shown_unless_it_is_private(world, autojump_clock):
    alice, gw = world.phone("alice"), gateway(world, "rings")
    await call(alice, OUT)
    await reached(gw)
    ok = await connected(world, gw, alice, "P-Asserted-Identity: <tel:+1999>", "P-Preferred-Identity: <tel:+1>")
    assert ok.values("P-Asserted-Identity") == ["<tel:+1999>"]
    assert "P-Preferred-Identity" not in ok.names


async def test_whom_a_peer_reached_in_private_is_not_shown(world, autojump_clock):
    alice, gw = world.phone("alice"), gateway(world, "rings")
    await call(alice, OUT)
    await reached(gw)
    ok = await connected(world, gw, alice, "P-Asserted-Identity: <tel:+1999>", "Privacy: id")
    assert "P-Asserted-Identity" not in ok.names
    assert len(ok.values("Via")) == 1


async def test_a_phone_that_answers_asserts_nothing(world, autojump_clock):
    bob, gw = phone_at(world, "bob", "rings"), gateway(world)
    gw.send(gw.request("INVITE", BOB, from_uri=f"sip:+1999@{GATEWAY}"))
    await reached(bob)
    ok = await connected(world, bob, gw, f"P-Asserted-Identity: <{ALICE}>", "Remote-Party-ID: <sip:a@b.c>")
    assert not {"P-Asserted-Identity", "Remote-Party-ID"} & set(ok.names)


# --- privacy that a proxy can't give -----------------------------------------------------------------


async def test_critical_privacy_is_refused_towards_a_phone_and_left_to_a_peer(world, autojump_clock):
    alice, bob, gw = world.phone("alice"), phone_at(world, "bob"), gateway(world)
    await call(alice, BOB, "Privacy: header;session;critical")
    refusal = await alice.status(500)
    assert refusal.reason == "Privacy Not Available: header, session"
    assert not bob.requests("INVITE")
    second = world.phone("alice2")
    await call(second, OUT, "Privacy: header;session;critical")
    assert (await reached(gw)).first("Privacy") == "header;session;critical"


async def test_privacy_that_is_not_critical_is_passed_on_as_it_is(world, autojump_clock):
    alice, bob = world.phone("alice"), phone_at(world, "bob")
    await call(alice, BOB, "Privacy: header;session")
    assert (await reached(bob)).first("Privacy") == "header;session"


async def test_proxy_require_privacy_is_420_where_it_takes_a_b2bua(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB, headers=lines("Privacy: header", "Proxy-Require: privacy")))
    assert (await alice.status(420)).values("Unsupported") == ["privacy"]


# --- challenges of others (T118) -----------------------------------------------------------------------


@pytest.mark.parametrize(("status", "asks"), [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")])
async def test_a_challenge_goes_to_the_caller_and_is_never_answered_here(world, autojump_clock, status, asks):
    """Even one that names our own realm: whoever wants a digest of ours gets none."""
    alice, bob = world.phone("alice"), phone_at(world, "bob", "rings")
    await call(alice, BOB)
    request, flow = bob._invite if await reached(bob) else (None, None)
    challenge = f'Digest realm="{DOMAIN}", nonce="n", algorithm=MD5, qop="auth"'
    bob.reply(request, flow, status, ((asks, challenge),))
    await alice.until(lambda: len(alice.responses(status)) == (2 if status == 407 else 1))
    await trio.sleep(40)
    assert parse_auth(alice.responses(status)[-1].values(asks)[0]).params["nonce"] == "n"
    assert len(bob.requests("INVITE")) == 1
    for message in bob.seen:
        assert not {"Authorization", "Proxy-Authorization"} & set(message.message.names)


# --- session timers (RFC 4028 §8): a proxy that asks for none -------------------------------------------


async def test_session_timers_pass_untouched_and_no_call_is_ended_by_us(world, autojump_clock):
    alice, bob = world.phone("alice"), phone_at(world, "bob", "rings")
    said = ("Session-Expires: 4000;refresher=uac", "Min-SE: 120", "Supported: timer", "x: 4000")
    await call(alice, BOB, *said[:3])
    got = await reached(bob)
    for line in said[:3]:
        name, value = line.split(": ")
        assert got.values(name) == [value]
    ok = await connected(world, bob, alice, "Session-Expires: 1800;refresher=uas", "Require: timer")
    assert (ok.values("Session-Expires"), ok.values("Require")) == (["1800;refresher=uas"], ["timer"])
    await trio.sleep(10_000)  # nobody refreshes, and that is no business of a proxy
    assert not bob.requests("BYE")
    assert not alice.requests("BYE")


async def test_an_interval_too_small_is_between_the_phones(world, autojump_clock):
    alice, bob = world.phone("alice"), phone_at(world, "bob", "rings")
    await call(alice, BOB, "Session-Expires: 90", "Supported: timer")
    assert (await reached(bob)).values("Session-Expires") == ["90"]
    bob.reply(*bob._invite, 422, (("Min-SE", "1800"),))
    refusal = await alice.status(422)
    assert refusal.values("Min-SE") == ["1800"]


# --- the same without transactions (§16.11) -------------------------------------------------------------


async def test_a_stateless_proxy_tells_a_peer_and_hides_from_others_just_so(world, autojump_clock):
    world.settings(mode="stateless")
    alice, bob, gw = world.phone("alice"), phone_at(world, "bob"), gateway(world, "rings")
    await call(alice, OUT)
    assert (await reached(gw)).values("P-Asserted-Identity") == [f"<{ALICE}>"]
    ok = await connected(world, gw, alice, "P-Asserted-Identity: <tel:+1999>", "Privacy: id")
    assert "P-Asserted-Identity" not in ok.names
    headers = lines("P-Asserted-Identity: <tel:+1999>", "Privacy: id")
    gw.send(gw.request("INVITE", BOB, headers=headers, from_uri=f"sip:+1999@{GATEWAY}"))
    assert "P-Asserted-Identity" not in (await reached(bob)).names


async def test_a_stateless_proxy_refuses_critical_privacy_too(world, autojump_clock):
    world.settings(mode="stateless")
    alice, bob = world.phone("alice"), phone_at(world, "bob")
    await call(alice, BOB, "Privacy: user;critical")
    assert (await alice.status(500)).reason == "Privacy Not Available: user"
    assert not bob.requests("INVITE")


async def test_what_one_request_proved_its_connection_does_not(world, autojump_clock):
    """RFC 5922 §8.1: the digest of one message says nothing of others by the same connection."""
    alice, far = world.phone("alice", transport="TCP"), world.phone("far", "answers")
    alice.send(alice.request("INVITE", far.uri))
    challenge = (await alice.status(407)).values("Proxy-Authenticate")[0]
    proof = credentials(challenge, "INVITE", far.uri, username="alice", password="pw-alice")
    alice.send(alice.request("INVITE", far.uri, cseq=2, headers=(("Proxy-Authorization", proof),)))
    await alice.status(200)
    alice.send(alice.request("INVITE", far.uri))
    await alice.until(lambda: alice.statuses().count(407) == 2)
    assert len(far.requests("INVITE")) == 1
