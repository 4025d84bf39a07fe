"""RFC 3261 §8.2, §9.2, §10.3 and §22.1 through a whole server: where we answer ourselves."""

from __future__ import annotations

import pytest
import trio

from sipd.errors import StoreAway
from tests.server.phones import DOMAIN, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
SERVER = f"sip:{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


# --- §8.2 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["tel:+15551234", "sip:nobody@nowhere.example", "urn:service:sos"])
async def test_a_to_that_names_nobody_here_is_no_matter(world, autojump_clock, to):
    """The Request-URI says who is meant (§8.2.2.1)."""
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB, to=to))
    await alice.status(200)
    assert bob.requests("INVITE")[0].first("To") == f"<{to}>"


async def test_a_binding_with_unknown_header_fields_is_stored(world, autojump_clock):
    alice = world.phone("alice")
    odd = (("X-Unknown", ';;"'), ("Date", "not a date"), ("Timestamp", "x"), ("In-Reply-To", "@@"), ("Priority", ",,"))
    alice.send(alice.request("REGISTER", SERVER, to=ALICE, headers=odd))
    await alice.status(200)
    assert len(world.cache.bindings(f"alice@{DOMAIN}")) == 1


async def test_a_challenge_keeps_nothing_and_is_the_same_each_time(world, autojump_clock):
    """§8.2.7: no provisional, no retransmission, no state; the same tag; its ACK goes nowhere."""
    world.settings(auth="digest")
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB)
    for _ in range(2):
        alice.send(invite)
        await trio.sleep(40)
    assert alice.statuses() == [407, 407]
    first, second = alice.responses(407)
    assert first.to_tag == second.to_tag
    transactions = world.house.transactions
    assert (transactions.servers, transactions.unanswered, transactions.deadlines.next_due()) == (0, 0, None)
    before = len(world.network.sent)
    branch, tag = invite.branch or "", first.to_tag or ""
    alice.send(alice.request("ACK", BOB, branch=branch, call_id=invite.call_id, to_tag=tag))
    await trio.sleep(1)
    assert len(world.network.sent) == before + 1, "the ACK, and nothing after it"


# --- §9.2, T113 ---------------------------------------------------------------------------------


# --- §10.3 ---------------------------------------------------------------------------------------------------


async def test_a_record_route_in_a_register_is_nothing_to_us(world, autojump_clock):
    alice = world.phone("alice")
    routes = (("Record-Route", "<sip:odd.example;lr>"), ("Record-Route", "<sip:odder.example>"))
    alice.send(alice.request("REGISTER", SERVER, to=ALICE, headers=routes))
    answer = await alice.status(200)
    assert "Record-Route" not in answer.names
    [binding] = world.cache.bindings(f"alice@{DOMAIN}")
    assert binding.path == ()


@pytest.mark.parametrize(
    ("fault", "status"), [(RuntimeError("the disk is odd"), 500), (StoreAway("the disk is full"), 503)]
)
async def test_a_commit_that_fails_is_500_and_changes_nothing(world, autojump_clock, monkeypatch, fault, status):
    alice = world.phone("alice")
    monkeypatch.setattr(world.house.writer, "submit", lambda changes, aor, done: done(fault))
    alice.send(alice.request("REGISTER", SERVER, to=ALICE))
    refused = await alice.status(status)
    assert refused.first("Retry-After") == "10"
    assert world.cache.bindings(f"alice@{DOMAIN}") == ()


# --- §11 ---------------------------------------------------------------------------------------------------------


async def test_options_to_the_server_say_encodings_and_languages(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("OPTIONS", SERVER))
    answer = await alice.status(200)
    for name in ("Allow", "Accept", "Accept-Encoding", "Accept-Language", "Supported"):
        assert answer.first(name), name
    assert answer.body == b""
    assert "Contact" not in answer.names


# --- §19.1.5 -----------------------------------------------------------------------------------------------------


async def test_the_request_uri_keeps_all_other_parameters(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    uri = f"{bob.uri};transport=udp;user=phone;ttl=3;maddr={bob.hop.host};unknown=%41;lr2"
    world.bind(f"bob@{DOMAIN}", type("Contact", (), {"uri": uri}))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert bob.requests("INVITE")[0].request_uri == uri
