"""CANCEL at every moment of a call, and whose it may be (RFC 3261 §9, §16.10, T113)."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"
BRANCH = "z9hG4bKcancelled"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"
    await trio.sleep(80)
    assert (made.house.transactions.servers, made.house.transactions.clients) == (0, 0), "state is left"


def call(alice, uri=BOB, **more):
    invite = alice.request("INVITE", uri, branch=BRANCH, **more)
    alice.send(invite)
    return invite


def cancel(alice, invite, **more):
    alice.send(alice.request("CANCEL", invite.request_uri, call_id=invite.call_id, branch=more.pop("branch", BRANCH)))


async def test_while_it_rings(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    cancel(alice, invite)
    await alice.status(487)
    assert alice.statuses("CANCEL") == [200]
    [got], [rung] = bob.requests("CANCEL"), bob.requests("INVITE")
    assert got.values("Via") == rung.values("Via")[:1], "hop by hop: one Via, that of the INVITE (§9.1)"
    assert (got.request_uri, got.call_id, got.cseq.number) == (rung.request_uri, rung.call_id, rung.cseq.number)
    assert bob.requests("ACK"), "the 487 is ACKed by us"


async def test_its_routes_are_those_of_the_invite_we_sent(world, autojump_clock):
    alice, far = world.phone("alice"), world.phone("far")
    invite = call(alice, "sip:x@elsewhere.example", headers=(("Route", f"<sip:{far.hop.host}:5060;lr;x=1>"),))
    await alice.status(180)
    cancel(alice, invite)
    await alice.status(487)
    assert far.requests("CANCEL")[0].values("Route") == far.requests("INVITE")[0].values("Route")


async def test_before_any_provisional_it_waits_for_one(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await bob.until(lambda: bool(bob.requests("INVITE")))
    cancel(alice, invite)
    await alice.until(lambda: alice.statuses("CANCEL") == [200])
    await trio.sleep(3)
    assert not bob.requests("CANCEL"), "§9.1"
    bob.act("rings")
    await alice.status(487)
    assert len(bob.requests("CANCEL")) == 1


async def test_before_any_provisional_that_never_comes(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await bob.until(lambda: bool(bob.requests("INVITE")))
    cancel(alice, invite)
    await alice.status(487)
    assert not bob.requests("CANCEL")


async def test_when_the_phone_has_picked_up_at_that_moment(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings deaf")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    cancel(alice, invite)
    await bob.until(lambda: bool(bob.requests("CANCEL")))
    bob.answer()
    await alice.until(lambda: 200 in alice.statuses())
    assert alice.statuses() == [100, 180, 200], "the 2xx wins, the caller will hang up"


async def test_a_deaf_phone_is_given_up_after_32_seconds(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings deaf")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    start = trio.current_time()
    cancel(alice, invite)
    await alice.status(487)
    assert trio.current_time() - start == pytest.approx(32, abs=0.1)


@pytest.mark.parametrize("does", ["answers", "486"])
async def test_after_the_final_response_it_is_200_and_nothing(world, autojump_clock, does):
    alice, bob = world.phone("alice"), world.phone("bob", does)
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.until(lambda: len(alice.statuses()) == 2)
    cancel(alice, invite)
    await alice.until(lambda: alice.statuses("CANCEL") == [200])
    await trio.sleep(1)
    assert not bob.requests("CANCEL")


async def test_a_repeated_cancel_is_answered_again_and_sent_once(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings deaf")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    request = alice.request("CANCEL", BOB, call_id=invite.call_id, branch=BRANCH)
    for _ in range(3):
        alice.send(request)
    await alice.until(lambda: alice.statuses("CANCEL") == [200] * 3)
    bob.reply(*bob._invite, 487)
    await alice.status(487)
    assert len(bob.requests("CANCEL")) == 1


async def test_while_dns_is_asked(world, autojump_clock):
    alice, far = world.phone("alice"), world.phone("far")
    world.resolver.found["far.example"] = far.hop
    invite = call(alice, "sip:x@far.example")
    await alice.status(100)
    cancel(alice, invite)
    await alice.status(487)
    await trio.sleep(5)
    assert not far.requests("INVITE"), "the way was found too late"


async def test_while_a_row_is_loaded(world, autojump_clock, monkeypatch):
    from sipd.core.tables import Missing

    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    bindings = world.cache.bindings
    loaded: list[str] = []

    def missing(aor):
        if not loaded:
            raise Missing("bindings", aor)
        return bindings(aor)

    async def load(kind, key):
        await trio.sleep(2)
        loaded.append(key)

    monkeypatch.setattr(type(world.cache), "bindings", lambda self, aor: missing(aor))
    monkeypatch.setattr(type(world.cache), "load", lambda self, kind, key: load(kind, key))
    invite = call(alice)
    await alice.status(100)
    cancel(alice, invite)
    await alice.status(487)
    await trio.sleep(5)
    assert loaded, "the row came"
    assert not bob.requests("INVITE")


async def test_while_a_script_rings(world, autojump_clock):
    alice, desk, mobile = world.phone("alice"), world.phone("desk"), world.phone("mobile")
    world.script(
        f"bob@{DOMAIN}",
        '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>'
        f'<location url="{desk.uri}"><proxy timeout="20"><default><location url="{mobile.uri}" clear="yes"><proxy/>'
        "</location></default></proxy></location></incoming></cpl>",
    )
    invite = call(alice)
    await alice.status(180)
    cancel(alice, invite)
    await alice.status(487)
    await trio.sleep(30)
    assert not mobile.requests("INVITE"), "no output is taken any more"


async def test_between_the_groups_of_a_fork(world, autojump_clock):
    alice, desk, voicemail = world.phone("alice"), world.phone("desk", "rings"), world.phone("vm")
    world.bind(f"bob@{DOMAIN}", desk, 1000)
    world.bind(f"bob@{DOMAIN}", voicemail, 500)
    invite = call(alice)
    await alice.status(180)
    cancel(alice, invite)
    await alice.status(487)
    await trio.sleep(40)
    assert not voicemail.requests("INVITE")


async def test_by_another_connection(world, autojump_clock):
    """Branch and sent-by say whose it is; by which connection it comes says nothing (§9.2)."""
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    request = alice.request("CANCEL", BOB, call_id=invite.call_id, branch=BRANCH)
    other = world.network.listener("TCP", alice.hop.host, 5999, alice.receive)
    other.flow_to("10.0.0.1", 5060).send(bytes(request))
    await alice.status(487)
    assert alice.statuses("CANCEL") == [200]


@pytest.mark.parametrize("change", ["branch", "host", "port"])
async def test_that_of_a_stranger_is_481(world, autojump_clock, change):
    """T113: who does not know branch and sent-by can cancel nothing."""
    alice, bob, eve = world.phone("alice"), world.phone("bob"), world.phone("eve")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    request = bytes(alice.request("CANCEL", BOB, call_id=invite.call_id, branch=BRANCH))
    request = {
        "branch": request.replace(BRANCH.encode(), b"z9hG4bKguessed"),
        "host": request.replace(f"UDP {alice.hop.host}:".encode(), f"UDP {eve.hop.host}:".encode()),
        "port": request.replace(f"{alice.hop.host}:5060;".encode(), f"{alice.hop.host}:5061;rport;".encode()),
    }[change]
    eve.listener.flow_to("10.0.0.1", 5060).send(request)
    await trio.sleep(1)
    assert not bob.requests("CANCEL")
    assert 200 not in alice.statuses("CANCEL") + eve.statuses("CANCEL")
    bob.answer()
    await alice.status(200)


async def test_without_credentials(world, autojump_clock):
    """§22.1: a CANCEL is never challenged."""
    from tests.server.test_stateless import proven

    world.settings(auth="digest")
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = await proven(world, alice, BOB, branch=BRANCH)
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, cseq=2, call_id=invite.call_id, branch=BRANCH))
    await alice.status(487)
    assert alice.statuses("CANCEL") == [200]


@pytest.mark.parametrize("tag", [";tag=f1", ""])
async def test_a_client_of_rfc_2543_without_cookie_and_tags(world, autojump_clock, tag):
    """§17.2.3, §9.2: no branch to go by, so the request itself tells what belongs to what."""
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)

    def old(method, number=1, to=""):
        return "\r\n".join(
            [
                f"{method} {BOB} SIP/2.0",
                f"Via: SIP/2.0/UDP {alice.hop.host}:5060",
                f"From: sip:alice@{DOMAIN}{tag}",
                f"To: {BOB}{to}",
                "Call-ID: old@phone",
                f"CSeq: {number} {method}",
                "",
                "",
            ]
        ).encode()

    way = alice.listener.flow_to("10.0.0.1", 5060)
    for _ in range(2):
        way.send(old("INVITE"))
    await alice.status(180)
    assert len(bob.requests("INVITE")) == 1, "a retransmission is known"
    way.send(old("CANCEL"))
    refusal = await alice.status(487)
    assert alice.statuses("CANCEL") == [200]
    way.send(old("ACK", to=f";tag={refusal.to_tag}"))
    await trio.sleep(1)
    assert world.network.sent[-1].data.startswith(b"ACK"), "the last that was sent: the 487 is not repeated"
    for method in ("OPTIONS", "MESSAGE", "BYE"):
        for _ in range(2):
            way.send(old(method, 2))
        await alice.until(lambda method=method: 200 in alice.statuses(method))
        assert len(bob.requests(method)) == 1


async def test_what_breaks_in_cancelling_breaks_that_call_alone(world, autojump_clock, monkeypatch):
    from sipd.server.branch import Branch

    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = call(alice)
    await alice.status(180)
    with monkeypatch.context() as patch:
        patch.setattr(Branch, "cancel", lambda self: 1 / 0)
        cancel(alice, invite)
        await alice.status(500)
    assert alice.statuses("CANCEL") == [200]
    assert world.house.counters.faults >= 1
    world.house.counters.faults = 0
    bob.reply(*bob._invite, 486)


@pytest.mark.parametrize("branch", ["", ";branch=z9hG4bKtheSame"])
async def test_an_ack_of_a_2xx_on_the_branch_of_its_invite_reaches_the_phone(world, autojump_clock, branch):
    """So a client of RFC 2543 sends it, which has no branches, and many a later one (RFC 6026 §7.1)."""
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)

    def old(method, to=""):
        return "\r\n".join(
            [
                f"{method} {BOB} SIP/2.0",
                f"Via: SIP/2.0/UDP {alice.hop.host}:5060{branch}",
                f"From: <sip:alice@{DOMAIN}>;tag=1",
                f"To: <{BOB}>{to}",
                "Call-ID: old@phone",
                f"CSeq: 1 {method}",
                "",
                "",
            ]
        ).encode()

    way = alice.listener.flow_to("10.0.0.1", 5060)
    way.send(old("INVITE"))
    ok = await alice.status(200)
    for _ in range(2):
        way.send(old("ACK", f";tag={ok.to_tag}"))
    await bob.until(lambda: len(bob.requests("ACK")) == 2)
