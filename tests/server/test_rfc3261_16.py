"""RFC 3261 §16, sentence by sentence, through a whole server: what the other tests of calls leave open."""

from __future__ import annotations

import pytest
import trio

from sipd.errors import SetupError
from sipd.message import response_to
from sipd.rows import Settings
from sipd.store.options import settings_from_texts
from tests.server.phones import DOMAIN, SERVER, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def pair(world, does="rings answers", *, caller="UDP", callee="UDP"):
    alice, bob = world.phone("alice", transport=caller), world.phone("bob", does, transport=callee)
    world.bind(f"bob@{DOMAIN}", bob)
    return alice, bob


def without_length(message) -> bytes:
    data = bytes(message).replace(b"Content-Length: 0\r\n", b"")
    assert b"Content-Length" not in data
    return data


# --- §16.6 step 9, §18.3: Content-Length -------------------------------------------------------


@pytest.mark.parametrize("more", [(), (("Route", f"<sip:{SERVER.host};lr>"), ("Record-Route", "<sip:p.example;lr>"))])
async def test_what_came_in_a_datagram_gets_its_length_on_a_stream(world, autojump_clock, more):
    alice, bob = pair(world, callee="TCP")
    invite = alice.request("INVITE", BOB, headers=more)
    alice.listener.flow_to(SERVER.host, SERVER.port).send(without_length(invite))
    await alice.status(200)
    [got] = bob.requests("INVITE")
    assert got.values("Content-Length") == ["0"]


async def test_an_answer_that_came_in_a_datagram_gets_its_length_on_a_stream(world, autojump_clock):
    alice, bob = pair(world, "", caller="TCP")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, flow = bob._invite
    flow.send(without_length(response_to(request, 486, to_tag="b")))
    refused = await alice.status(486)
    assert refused.values("Content-Length") == ["0"]


# --- §16.7 step 3, §18.1.2: responses that are not for us, or for nobody behind us -------------------


async def test_our_sent_by_may_come_back_without_its_default_port(world, autojump_clock):
    alice, bob = pair(world, "")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, flow = bob._invite
    flow.send(bytes(response_to(request, 486, to_tag="b")).replace(b"10.0.0.1:5060", b"10.0.0.1", 1))
    await alice.status(486)


# --- §16.3: the checks, and merged requests -----------------------------------------------------------


async def test_a_merged_request_is_forwarded_like_any_other(world, autojump_clock):
    """Twice the same From tag, Call-ID and CSeq by two ways: no error for a proxy."""
    alice, bob = pair(world, "rings")
    for branch in ("z9hG4bKone", "z9hG4bKother"):
        alice.send(alice.request("INVITE", BOB, call_id="merged", branch=branch))
    await bob.until(lambda: len(bob.requests("INVITE")) == 2)
    await alice.until(lambda: alice.statuses().count(180) == 2)


async def test_a_failed_check_is_answered_as_a_user_agent_would(world, autojump_clock):
    """§8.2.6.2: From, Call-ID, CSeq and all Vias as they came, To with a tag of ours, the same each time."""
    alice = world.phone("alice")
    asked = alice.request("MESSAGE", BOB, headers=(("Proxy-Require", "foo"),), cseq=77)
    for _ in range(2):
        alice.send(asked)
        await trio.sleep(0.1)
    first, second = alice.responses(420)
    assert bytes(first) == bytes(second)
    assert (first.first("From"), first.call_id, first.cseq) == (asked.first("From"), asked.call_id, asked.cseq)
    assert first.to.uri.text == BOB
    assert first.to_tag
    assert first.values("Unsupported") == ["foo"]
    assert first.via.host == alice.hop.host


# --- §16.5: targets ------------------------------------------------------------------------------------


async def test_nobody_of_that_name_is_404_to_who_proved_himself(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", f"sip:nobody@{DOMAIN}"))
    await alice.status(404)


async def test_a_request_for_another_domain_has_that_uri_as_its_only_target(world, autojump_clock):
    alice, far = world.phone("alice"), world.phone("far", "answers")
    alice.send(alice.request("INVITE", far.uri))
    await alice.status(200)
    assert [got.request_uri for got in far.requests("INVITE")] == [far.uri]


@pytest.mark.parametrize("wish", [(), (("Request-Disposition", "recurse"),)])
async def test_no_target_is_added_to_a_request_for_somebody_elses_uri(world, autojump_clock, wish):
    """A 3xx of another domain is the caller's, even where the setting says to follow."""
    world.settings(recurse=True)
    alice, there = world.phone("alice"), world.phone("there", "answers")
    far = world.phone("far", f"moved:{there.uri}")
    alice.send(alice.request("INVITE", far.uri, headers=wish))
    moved = await alice.status(302)
    assert moved.contacts[0].uri.text == there.uri
    assert not there.seen


async def test_one_contact_is_rung_once_even_if_a_script_names_it_twice(world, autojump_clock):
    alice, bob = pair(world)
    place = f'<location url="{bob.uri}" clear="no">'
    twice = f"<incoming>{place}{place}<proxy/></location></location></incoming>"
    world.script(f"bob@{DOMAIN}", f'<cpl xmlns="urn:ietf:params:xml:ns:cpl">{twice}</cpl>')
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert len(bob.requests("INVITE")) == 1


# --- §16.6: the copy -----------------------------------------------------------------------------------


async def test_the_copy_has_every_header_field_and_the_body_in_their_order(world, autojump_clock):
    alice, bob = pair(world)
    more = (
        ("X-Strange", "  a,b ;c"),
        ("Record-Route", "<sip:p2.example;lr>"),
        ("Record-Route", "<sip:p1.example;lr>"),
        ("Accept", "b/c, a/b"),
        ("Accept", "d/e"),
        ("Require", "100rel"),
        ("Content-Type", "text/plain"),
    )
    invite = alice.request("INVITE", BOB, headers=more, body=b"\0\xff body\r\n")
    alice.send(invite)
    await alice.status(200)
    [got] = bob.requests("INVITE")
    ours = ("Via", "Record-Route", "Max-Forwards", "Max-Breadth")

    def others(message):
        return [line for name, line in zip(message.names, message.lines, strict=True) if name not in ours]

    assert others(got) == others(invite)
    assert got.body == invite.body
    assert got.values("Record-Route")[1:] == invite.values("Record-Route")
    assert [value for value in got.values("Via") if alice.hop.host in value] == got.values("Via")[1:]


async def test_what_a_contact_may_say_and_a_request_uri_may_not_is_taken_off(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    contact = type("Contact", (), {"uri": f"{bob.uri};x=y;method=BYE?Route=%3Csip:evil.example%3E&Subject=s"})
    world.bind(f"bob@{DOMAIN}", contact)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    [got] = bob.requests("INVITE")
    assert got.request_uri == f"{bob.uri};x=y"
    assert {"Route", "Subject"}.isdisjoint(got.names)


async def test_each_branch_has_a_branch_parameter_of_its_own_that_begins_with_the_cookie(world, autojump_clock):
    alice = world.phone("alice")
    phones = [world.phone(f"p{number}") for number in range(3)]
    for phone in phones:
        world.bind(f"bob@{DOMAIN}", phone)
    for _ in range(2):
        alice.send(alice.request("INVITE", BOB))
        await trio.sleep(0.1)
    branches = [got.branch for phone in phones for got in phone.requests("INVITE")]
    assert len(set(branches)) == 6
    assert all(branch is not None and branch.startswith("z9hG4bK") for branch in branches)


async def test_cancel_and_ack_of_a_refusal_have_the_branch_uri_and_routes_of_their_invite(world, autojump_clock):
    alice, edge = world.phone("alice"), world.phone("edge")
    world.bind(f"bob@{DOMAIN}", edge, path=(f"<sip:{edge.hop.host};lr>",))
    invite = alice.request("INVITE", BOB, branch="z9hG4bKmine", headers=(("Require", "100rel"),))
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKmine"))
    await edge.until(lambda: bool(edge.requests("ACK")))
    [got], [cancel], [ack] = (edge.requests(method) for method in ("INVITE", "CANCEL", "ACK"))
    for other in (cancel, ack):
        assert (other.branch, other.request_uri, other.call_id) == (got.branch, got.request_uri, got.call_id)
        assert other.values("Route") == got.values("Route") != []
        assert (other.cseq.number, len(other.values("Via"))) == (got.cseq.number, 1)
        assert {"Require", "Proxy-Require"}.isdisjoint(other.names)
        assert other.from_tag == got.from_tag
    assert (cancel.to_tag, ack.to_tag) == (got.to_tag, "tag-edge")


async def test_a_spiral_is_record_routed_each_time_and_reaches_its_end(world, autojump_clock):
    """bob's contact is carol, here too: the request comes through us twice."""
    alice, carol = world.phone("alice"), world.phone("carol", "rings answers")
    world.bind(f"bob@{DOMAIN}", type("Here", (), {"uri": f"sip:carol@{SERVER.host}:{SERVER.port}"}))
    world.bind(f"carol@{DOMAIN}", carol)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await alice.status(200)
    alice.ack(invite, ok)
    await carol.until(lambda: bool(carol.requests("ACK")))


async def test_a_phone_behind_a_path_is_reached_through_it(world, autojump_clock):
    alice, edge = world.phone("alice"), world.phone("edge", "answers")
    world.bind(f"bob@{DOMAIN}", type("Inside", (), {"uri": "sip:bob@192.168.7.7"}), path=(f"<sip:{edge.hop.host};lr>",))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    [got] = edge.requests("INVITE")
    assert (got.request_uri, got.values("Route")) == ("sip:bob@192.168.7.7", [f"<sip:{edge.hop.host};lr>"])


async def test_a_strict_next_hop_is_sent_to_by_the_new_request_uri(world, autojump_clock):
    alice, strict = world.phone("alice"), world.phone("strict", "answers")
    routes = (("Route", f"<sip:{strict.hop.host}>"), ("Route", "<sip:next.example;lr>"))
    alice.send(alice.request("INVITE", "sip:joe@far.example", headers=routes))
    await alice.status(200)
    [got] = strict.requests("INVITE")
    assert got.request_uri == f"sip:{strict.hop.host}"
    assert got.values("Route") == ["<sip:next.example;lr>", "<sip:joe@far.example>"]


def test_timer_c_is_never_three_minutes_or_less():
    assert Settings().timer_c > 180
    with pytest.raises(SetupError):
        settings_from_texts(["timer_c=180"])


# --- §16.7: responses --------------------------------------------------------------------------------------


async def test_the_response_is_passed_on_as_it_came_but_for_our_via(world, autojump_clock):
    alice, bob = pair(world, "")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, flow = bob._invite
    more = (("X-Odd", " a ,b"), ("Server", "one"), ("Server", "two"), ("Contact", f"<{bob.uri}>"))
    sent = response_to(request, 200, "Gladly", to_tag="b", headers=more, body=b"\0\xffbody")
    flow.send(bytes(sent))
    got = await alice.status(200)
    assert got.body == sent.body
    assert got.start_line == sent.start_line
    at = sent.names.index("Via")
    assert got.lines == sent.lines[:at] + sent.lines[at + 1 :]
    assert got.via.param("received") == alice.hop.host or got.via.host == alice.hop.host


async def test_the_answer_has_the_received_that_we_added(world, autojump_clock):
    alice, _ = pair(world)
    odd = bytes(alice.request("INVITE", BOB)).replace(f"UDP {alice.hop.host}:5060".encode(), b"UDP phone.private", 1)
    alice.listener.flow_to(SERVER.host, SERVER.port).send(odd)
    answered = await alice.status(200)
    assert (answered.via.host, answered.via.received) == ("phone.private", alice.hop.host)


async def test_the_to_tag_of_a_request_stays_in_what_we_answer_and_in_what_we_pass_on(world, autojump_clock):
    alice, _ = pair(world)
    alice.send(alice.request("MESSAGE", BOB, to_tag="kept", headers=(("Proxy-Require", "foo"),)))
    assert (await alice.status(420)).to_tag == "kept"


async def test_every_provisional_but_100_is_passed_on_at_once_and_100_is_ours(world, autojump_clock):
    alice, bob = pair(world, "")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    for status in (100, 180, 181, 182, 183, 199):
        bob.reply(*bob._invite, status)
    await trio.sleep(0.1)
    assert alice.statuses() == [100, 180, 181, 182, 183, 199]
    assert alice.responses(100)[0].to_tag is None, "§17.2.1: no tag in a 100"


async def test_a_phone_silent_after_timer_c_and_its_cancel_ends_as_408(world, autojump_clock):
    alice, bob = pair(world, "rings deaf")
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(408)
    assert bob.requests("CANCEL")
    assert trio.current_time() - start == pytest.approx(185 + 32, abs=1)
    await trio.sleep(40)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)


async def test_a_2xx_after_the_refusal_and_its_transaction_reaches_the_caller(world, autojump_clock):
    """§16.7 step 9: a server left as silent picks up, deaf to our CANCEL, when the caller heard 486 long ago."""
    alice, slow = world.phone("alice"), world.phone("slow", "deaf")
    busy = world.phone("busy", "486")
    world.resolver.found["far.example"] = [slow.hop, busy.hop]
    invite = alice.request("INVITE", "sip:x@far.example", branch="z9hG4bKmine")
    alice.send(invite)
    tag = (await alice.status(486)).to_tag or ""
    alice.send(alice.request("ACK", "sip:x@far.example", branch="z9hG4bKmine", call_id=invite.call_id, to_tag=tag))
    await trio.sleep(10)
    assert world.house.transactions.servers == 0
    slow.answer()
    await alice.status(200)


# --- §16.9, §16.10 ---------------------------------------------------------------------------------------------


async def test_a_hop_that_can_not_be_reached_is_as_a_503_of_it(world, autojump_clock):
    alice = world.phone("alice")
    world.bind(f"bob@{DOMAIN}", type("Gone", (), {"uri": "sip:bob@10.9.9.9;transport=tcp"}))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(500)


async def test_a_caller_whose_connection_is_gone_does_not_end_the_branches(world, autojump_clock):
    """§16.9: an error when a response is sent on cancels nothing; RFC 6026 §6: nor does it end the transaction."""
    alice, bob = pair(world, "", caller="TCP")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    alice.listener.close()
    await trio.sleep(0.1)
    bob.reply(*bob._invite, 180)
    await trio.sleep(5)
    assert not bob.requests("CANCEL")
    assert world.house.transactions.servers == 1


async def test_a_cancel_with_require_is_taken_all_the_same(world, autojump_clock):
    """§8.2.2.3: Require and Proxy-Require are ignored there."""
    alice, bob = pair(world, "rings")
    invite = alice.request("INVITE", BOB, branch="z9hG4bKmine")
    alice.send(invite)
    await alice.status(180)
    odd = (("Require", "foo"), ("Proxy-Require", "bar"))
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKmine", headers=odd))
    await alice.status(487)
    assert alice.statuses("CANCEL") == [200]
    assert bob.requests("CANCEL")


async def test_the_to_tag_of_our_answers_to_cancel_and_invite_is_one(world, autojump_clock):
    """§9.2: where the 487 is our own."""
    alice = world.phone("alice")
    invite = alice.request("INVITE", "sip:x@slow.example", branch="z9hG4bKmine")
    alice.send(invite)  # its name is being looked up
    alice.send(alice.request("CANCEL", "sip:x@slow.example", call_id=invite.call_id, branch="z9hG4bKmine"))
    refused = await alice.status(487)
    assert refused.to_tag == alice.responses(200)[0].to_tag
