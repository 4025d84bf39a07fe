"""A server whose mode is stateless: what has one way is passed on and forgotten (RFC 3261 §16.11, §8.2.7)."""

from __future__ import annotations

import pytest
import trio

from sipd.core.stateless import Back, sealed_branch, unique_part, way_back
from sipd.message import Request, Response, parse, response_to
from sipd.seal import Seal
from tests.server.phones import DOMAIN, SERVER, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", mode="stateless")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def nothing_kept(world) -> bool:
    return (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)


def credentials(phone, challenge, method, uri):
    from tests.core.tables import credentials as made

    value = challenge.values("Proxy-Authenticate")[0]
    return (("Proxy-Authorization", made(value, method, uri, username=phone.name, password=f"pw-{phone.name}")),)


async def proven(world, phone, uri, **more):
    """An INVITE with credentials; the challenge has been asked for."""
    first = phone.request("INVITE", uri)
    phone.send(first)
    challenge = await phone.status(407)
    return phone.request("INVITE", uri, cseq=2, headers=credentials(phone, challenge, "INVITE", uri), **more)


async def test_a_whole_call_passes_and_nothing_is_kept(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings answers")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await alice.status(200)
    assert nothing_kept(world)
    assert alice.statuses() == [180, 200], "no 100 of our own"
    [got] = bob.requests("INVITE")
    assert got.first("Max-Forwards") == "69"
    assert "lr" in got.first("Record-Route")
    assert len(ok.values("Via")) == 1
    alice.ack(invite, ok)
    await bob.until(lambda: bool(bob.requests("ACK")))
    routes = tuple(("Route", value) for value in ok.values("Record-Route"))
    alice.send(alice.request("BYE", bob.uri, to=BOB, to_tag="tag-bob", cseq=2, call_id=invite.call_id, headers=routes))
    await alice.until(lambda: alice.statuses("BYE") == [200])
    assert nothing_kept(world)


async def test_a_retransmission_passes_through_with_the_same_branch(world, autojump_clock):
    """What a stateful proxy absorbs."""
    alice, bob = world.phone("alice"), world.phone("bob", "")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    for _ in range(3):
        alice.send(invite)
    await bob.until(lambda: len(bob.requests("INVITE")) == 3)
    assert len({bytes(request) for request in bob.requests("INVITE")}) == 1, "each copy is the same"
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: len(bob.requests("INVITE")) == 4)
    assert len({request.branch for request in bob.requests("INVITE")}) == 2


async def test_nothing_is_retransmitted_by_us(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    alice.send(alice.request("MESSAGE", BOB))
    await trio.sleep(40)
    assert len(bob.requests("INVITE")) == len(bob.requests("MESSAGE")) == 1
    assert alice.statuses() == [], "nor is a timeout ours to tell"


async def test_every_copy_of_a_response_passes(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    for _ in range(3):
        bob.reply(*bob._invite, 486)
    await alice.until(lambda: alice.statuses() == [486, 486, 486])


async def test_ack_of_a_refusal_and_cancel_go_the_way_of_the_invite(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB, branch="z9hG4bKone")
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKone"))
    refusal = await alice.status(487)
    assert alice.statuses("CANCEL") == [200], "the phone's, passed back"
    alice.send(alice.request("ACK", BOB, call_id=invite.call_id, branch="z9hG4bKone", to_tag=refusal.to_tag or ""))
    await bob.until(lambda: bool(bob.requests("ACK")))
    branches = {bob.requests(method)[0].branch for method in ("INVITE", "CANCEL", "ACK")}
    assert len(branches) == 1, "so the phone knows them as one transaction's (§16.11)"
    assert nothing_kept(world)


async def test_a_client_without_cookie_is_served_too(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "486")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB, branch="old")
    for _ in range(2):
        alice.send(invite)
    await alice.until(lambda: alice.statuses() == [486, 486])
    alice.send(alice.request("ACK", BOB, call_id=invite.call_id, branch="old", to_tag="tag-bob"))
    await bob.until(lambda: bool(bob.requests("ACK")))
    assert len({request.branch for request in (*bob.requests("INVITE"), *bob.requests("ACK"))}) == 1


async def test_our_own_answers_are_the_same_each_time(world, autojump_clock):
    """§8.2.7: nothing is kept, not even of a refusal, and its ACK is known by our tag."""
    alice = world.phone("alice")
    invite = alice.request("INVITE", f"sip:nobody@{DOMAIN}")
    for _ in range(2):
        alice.send(invite)
    await alice.until(lambda: alice.statuses() == [404, 404])
    assert len({response.to_tag for response in alice.responses(404)}) == 1
    assert nothing_kept(world)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(480)
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    await alice.until(lambda: alice.statuses("OPTIONS") == [200])
    await trio.sleep(40)
    assert alice.statuses() == [404, 404, 480], "no retransmission either"
    assert nothing_kept(world)


async def test_a_fork_and_a_script_are_stateful(world, autojump_clock):
    alice = world.phone("alice")
    for at in range(2):
        world.bind(f"bob@{DOMAIN}", world.phone(f"p{at}", "486"))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    assert alice.statuses() == [100, 486]
    desk = world.phone("desk", "answers")
    world.bind(f"carol@{DOMAIN}", desk)
    world.script(
        f"carol@{DOMAIN}",
        '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><lookup source="registration"><success><proxy/></success>'
        "</lookup></incoming></cpl>",
    )
    alice.send(alice.request("INVITE", f"sip:carol@{DOMAIN}"))
    await alice.status(200)
    assert world.house.counters.scripts == 1


async def test_cancel_of_a_stateful_call_is_ours(world, autojump_clock):
    alice = world.phone("alice")
    for at in range(2):
        world.bind(f"bob@{DOMAIN}", world.phone(f"p{at}"))
    invite = alice.request("INVITE", BOB, branch="z9hG4bKfork")
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKfork"))
    await alice.status(487)
    assert alice.statuses("CANCEL") == [200]


async def test_register_is_kept(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
    await alice.until(lambda: alice.statuses("REGISTER") == [200])
    assert len(world.cache.bindings(f"alice@{DOMAIN}")) == 1


async def test_a_call_over_tcp_comes_back_on_its_connection(world, autojump_clock):
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert nothing_kept(world)


async def test_when_that_connection_is_gone_another_is_opened(world, autojump_clock):
    """§18.2.2: to the received address and the port of sent-by."""
    alice, bob = world.phone("alice", transport="TCP"), world.phone("bob", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    alice.listener.flow_to(SERVER.host, SERVER.port).close()
    await trio.sleep(1)
    bob.answer()
    await alice.status(200)


@pytest.mark.parametrize("way", ["rport", "port", "received"])
async def test_the_answer_goes_where_the_via_says(world, autojump_clock, way):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    old = f"Via: SIP/2.0/UDP {alice.hop.host}:5060;branch={invite.branch}"
    new = {
        "rport": f"Via: SIP/2.0/UDP 192.168.1.1:5999;branch={invite.branch};rport",
        "port": f"Via: SIP/2.0/UDP {alice.hop.host};branch={invite.branch}",
        "received": f"Via: SIP/2.0/UDP phone.private:5060;branch={invite.branch}",
    }[way]
    data = bytes(invite).replace(old.encode(), new.encode())
    alice.listener.flow_to(SERVER.host, SERVER.port).send(data)
    await alice.status(200)


async def test_a_way_by_name_is_looked_up(world, autojump_clock):
    alice, far = world.phone("alice"), world.phone("far", "answers")
    world.resolver.found["far.example"] = far.hop
    alice.send(alice.request("INVITE", "sip:x@far.example"))
    await alice.status(200)
    alice.send(alice.request("INVITE", "sip:x@nowhere.example"))
    await alice.status(500)
    assert nothing_kept(world)


async def test_all_of_a_transaction_chooses_among_servers_alike(world, autojump_clock, monkeypatch):
    """RFC 3263 §4.4: by one word for the copies, CANCEL and ACK, by another for another request."""
    alice, far = world.phone("alice"), world.phone("far", "486")
    words = []

    def now(uri, steady=""):
        words.append(steady)
        return [far.hop]

    monkeypatch.setattr(world.resolver, "now", now)
    invite = alice.request("INVITE", "sip:x@far.example", branch="z9hG4bKone")
    for _ in range(2):
        alice.send(invite)
    refused = await alice.status(486)
    for method in ("CANCEL", "ACK"):
        request = alice.request(method, "sip:x@far.example", call_id=invite.call_id, branch="z9hG4bKone",
                                to_tag=refused.to_tag or "" if method == "ACK" else "")  # fmt: skip
        alice.send(request)
    await far.until(lambda: len(far.requests("ACK")) == 1)
    assert len(far.requests("INVITE")) == 2
    assert len(words) == 4
    assert len(set(words)) == 1
    alice.send(alice.request("INVITE", "sip:x@far.example"))
    await far.until(lambda: len(far.requests("INVITE")) == 3)
    assert len(set(words)) == 2


async def test_a_spiral_is_legal_and_a_loop_is_482(world, autojump_clock):
    from tests.server.test_breadth import Bouncer

    alice, phone = world.phone("alice"), world.phone("phone", "answers")
    there = Bouncer(world, "10.0.9.1")
    world.bind(f"bob@{DOMAIN}", type("Away", (), {"uri": "sip:carol@10.0.9.1:5060"}))
    world.bind(f"carol@{DOMAIN}", phone)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    world.bind(f"alice@{DOMAIN}", type("Away", (), {"uri": "sip:alice@10.0.9.1:5060"}))
    before = there.forwarded
    alice.send(alice.request("INVITE", f"sip:alice@{DOMAIN}"))
    await alice.status(482)
    assert there.forwarded - before == 1


# --- who may (T63, T113) ---------------------------------------------------------------------


async def test_a_proven_caller_may_repeat_and_cancel_and_acknowledge(world, autojump_clock):
    world.settings(auth="digest")
    alice, far = world.phone("alice"), world.phone("far", "rings")
    invite = await proven(world, alice, far.uri, branch="z9hG4bKfar")
    for _ in range(2):  # the second copy has credentials that are used up
        alice.send(invite)
    await alice.until(lambda: alice.statuses() == [407, 180, 180])
    alice.send(alice.request("CANCEL", far.uri, cseq=2, call_id=invite.call_id, branch="z9hG4bKfar"))
    await alice.status(487)
    alice.send(alice.request("ACK", far.uri, cseq=2, call_id=invite.call_id, branch="z9hG4bKfar", to_tag="tag-far"))
    await far.until(lambda: bool(far.requests("ACK")))


async def test_used_up_credentials_are_good_for_no_other_request(world, autojump_clock):
    world.settings(auth="digest")
    alice, far, other = world.phone("alice"), world.phone("far", "rings"), world.phone("other", "rings")
    invite = await proven(world, alice, far.uri, branch="z9hG4bKfar")
    alice.send(invite)
    await alice.status(180)
    forged = bytes(invite).replace(b"INVITE " + far.uri.encode(), b"INVITE " + other.uri.encode(), 1)
    alice.listener.flow_to(SERVER.host, SERVER.port).send(forged)
    await alice.until(lambda: len(alice.statuses()) == 3)
    assert alice.statuses()[-1] >= 400
    assert not other.requests("INVITE")


async def test_cancel_and_ack_of_nothing_lead_nowhere_outside(world, autojump_clock):
    world.settings(auth="digest")
    stranger, far = world.phone("stranger"), world.phone("far")
    stranger.send(stranger.request("CANCEL", far.uri))
    stranger.send(stranger.request("ACK", far.uri, to_tag="x"))
    await stranger.until(lambda: stranger.statuses("CANCEL") == [481])
    await trio.sleep(1)
    assert not far.seen


@pytest.mark.parametrize("change", ["branch", "below", "call_id", "no second Via", "none"])
async def test_a_response_that_is_not_ours_is_dropped(world, autojump_clock, change):
    """T112, T114: only what our seal says we passed on has a way back, and that is the one it came by."""
    alice, bob, victim = world.phone("alice"), world.phone("bob", ""), world.phone("victim")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, flow = bob._invite
    data = bytes(response_to(request, 200, to_tag="b"))
    vias = [line for line in data.split(b"\r\n") if line.startswith(b"Via")]
    at = data.index(b";branch=") + 20
    changed = {
        "branch": data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :],
        "below": data.replace(vias[1], vias[1].replace(alice.hop.host.encode(), victim.hop.host.encode())),
        "call_id": data.replace(b"Call-ID: ", b"Call-ID: x"),
        "no second Via": data.replace(vias[1] + b"\r\n", b""),
        "none": data,
    }[change]
    before = world.house.counters.dropped
    flow.send(changed)
    await trio.sleep(1)
    assert not victim.seen
    assert (alice.statuses() == [200]) is (change == "none")
    assert world.house.counters.dropped - before == (change != "none")


async def test_in_the_usual_mode_no_response_passes_without_state(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    world.settings(mode="proxy")
    bob.reply(*bob._invite, 200)
    await trio.sleep(1)
    assert alice.statuses() == []


# --- the branch itself ------------------------------------------------------------------------

SEAL = Seal(b"a key for the tests of stateless")


def asked(*changes: tuple[str, str]) -> Request:
    text = (
        "INVITE sip:bob@example.com SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport=7;received=192.0.2.9\r\n"
        "From: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    made = parse(text.encode())
    assert isinstance(made, Request)
    return made


@pytest.mark.parametrize("branch", ["z9hG4bKa", "old", "z9hG4bK"])
def test_what_belongs_together_has_one_unique_part(branch):
    change = ("branch=z9hG4bKa", f"branch={branch}")
    invite = asked(change)
    for method in ("ACK", "CANCEL"):
        same = asked(
            change,
            ("1 INVITE", f"1 {method}"),
            ("INVITE sip", f"{method} sip"),
            ("example.com>\r\nC", "example.com>;tag=t\r\nC"),
        )
        assert unique_part(same, SEAL) == unique_part(invite, SEAL)
    others = (
        [("Call-ID: c", "Call-ID: d"), ("1 INVITE", "2 INVITE"), ("tag=1", "tag=2")] if "9hG4bKa" not in branch else []
    )
    for other in [*others, (f"branch={branch};", "branch=z9hG4bKother;")]:
        assert unique_part(asked(change, other), SEAL) != unique_part(invite, SEAL)


def test_the_way_back_is_read_from_a_response():
    request = asked()
    branch = sealed_branch(request, unique_part(request, SEAL), Back(2, 40000), "0" * 24, SEAL)
    answer = response_to(request, 200)
    lines = answer.lines.copy()
    lines.insert(answer.names.index("Via"), f"Via: SIP/2.0/UDP 10.0.0.1;branch={branch}")
    names = answer.names.copy()
    names.insert(answer.names.index("Via"), "Via")
    response = parse(bytes(Response(answer.start_line, names, lines, b"")))
    assert isinstance(response, Response)
    found = way_back(response, SEAL)
    assert found is not None
    assert (found[0].received, found[1]) == ("192.0.2.9", Back(2, 40000))
    assert way_back(response, Seal(b"another key, of another server")) is None
