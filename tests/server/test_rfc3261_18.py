"""RFC 3261 §18 and §18.2.2 through a whole server: which way responses go and come."""

from __future__ import annotations

import pytest
import trio

from sipd.message import parse, response_to
from sipd.rows import Settings
from tests.server.phones import DOMAIN, SERVER, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def pair(world, does="rings answers", *, caller="UDP", callee="UDP"):
    alice, bob = world.phone("alice", transport=caller), world.phone("bob", does, transport=callee)
    world.bind(f"bob@{DOMAIN}", bob)
    return alice, bob


def send(phone, data: bytes) -> None:
    phone.listener.flow_to(SERVER.host, SERVER.port).send(data)


def with_via(phone, request, sent_by: str) -> bytes:
    """The request with another sent-by in its Via, and what may follow it."""
    old = f"{phone.hop.host}:{phone.hop.port};branch={request.branch}"
    assert old in request.lines[request.names.index("Via")]
    return bytes(request).replace(old.encode(), sent_by.replace("BRANCH", f"branch={request.branch}").encode(), 1)


def test_it_listens_on_the_default_ports_of_all_interfaces_by_default():
    assert Settings().listen.split() == ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]


async def test_a_request_of_60000_bytes_passes(world, autojump_clock):
    alice, bob = pair(world)
    body = bytes(range(256)) * 234
    alice.send(alice.request("MESSAGE", BOB, headers=(("Content-Type", "x/y"),), body=body))
    await alice.until(lambda: alice.statuses("MESSAGE") == [200])
    assert bob.requests("MESSAGE")[0].body == body


async def test_a_response_may_come_by_a_new_connection(world, autojump_clock):
    """§18.1.1: to our address, at the port of our sent-by."""
    alice, bob = pair(world, "", callee="TCP")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, _ = bob._invite
    other = world.phone("other", host="10.0.7.7", transport="TCP")
    assert (request.via.host, request.via.port) == (SERVER.host, SERVER.port)
    other.listener.flow_to(request.via.host, request.via.port or 5060).send(
        bytes(response_to(request, 486, to_tag="b"))
    )
    await alice.status(486)


async def test_a_response_may_come_from_anywhere(world, autojump_clock):
    alice, bob = pair(world, "")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    other = world.phone("other", host="10.0.7.7", port=5999)
    send(other, bytes(response_to(bob._invite[0], 486, to_tag="b")))
    await alice.status(486)


# --- §18.2.1, §18.2.2 ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent_by", "received"),
    [
        ("phone.private;BRANCH", True),
        ("192.168.1.1:5060;BRANCH", True),
        ("HOST;BRANCH", False),
        ("HOST:5060;BRANCH;received=10.9.9.9", True),
    ],
)
async def test_received_is_added_to_a_name_and_to_another_address(world, autojump_clock, sent_by, received):
    alice, bob = pair(world)
    send(alice, with_via(alice, alice.request("INVITE", BOB), sent_by.replace("HOST", alice.hop.host)))
    await alice.status(200)
    below = bob.requests("INVITE")[0].values("Via")[1]
    assert (f"received={alice.hop.host}" in below) is received
    assert "10.9.9.9" not in below


@pytest.mark.parametrize("host", ["phone.private", "10.0.7.7", "HOST"])
@pytest.mark.parametrize(("port", "hears"), [("", 5060), (":5999", 5999), (":5999;rport", 5070)])
async def test_an_answer_goes_to_the_source_and_the_port_of_sent_by(world, autojump_clock, host, port, hears):
    alice = world.phone("alice", port=5070)
    phones = {number: world.phone(f"at{number}", host=alice.hop.host, port=number) for number in (5060, 5999)}
    victim = world.phone("victim", host="10.0.7.7", port=hears)
    phones[5070] = alice
    port, _, more = port.partition(";")
    via = f"{host.replace('HOST', alice.hop.host)}{port};BRANCH" + (f";{more}" if more else "")
    send(alice, with_via(alice, alice.request("INVITE", BOB), via))
    await phones[hears].status(480)
    assert [number for number, phone in phones.items() if phone.seen] == [hears]
    assert not victim.seen


async def test_two_connections_of_one_phone_each_have_their_answers(world, autojump_clock):
    """The Via is the same; the connection is not."""
    one = world.phone("one", transport="TCP")
    heard: list[tuple[int, str | None]] = []
    for number in range(2):

        def hear(data: bytes, flow: object, number: int = number) -> None:
            heard.append((number, parse(data).branch))

        listener = world.network.listener("TCP", "10.0.5.5", 6000 + number, hear)
        asked = one.request("MESSAGE", BOB, branch=f"z9hG4bK{number}")
        listener.flow_to(SERVER.host, SERVER.port).send(bytes(asked))
    await trio.sleep(1)
    assert sorted(heard) == [(0, "z9hG4bK0"), (1, "z9hG4bK1")]


# --- §18.3 -------------------------------------------------------------------------------------


async def test_a_response_that_ends_early_is_dropped(world, autojump_clock):
    alice, bob = pair(world, "")
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, flow = bob._invite
    flow.send(bytes(response_to(request, 200, to_tag="b")).replace(b"Content-Length: 0", b"Content-Length: 7"))
    await trio.sleep(0.2)
    assert alice.statuses() == [100]
    bob.reply(request, flow, 486)
    await alice.status(486)
