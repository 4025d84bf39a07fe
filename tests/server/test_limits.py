"""Sources that send too much, and limits that change while the server runs (T59)."""

from __future__ import annotations

import resource

import trio

from sipd.message import Response, response_to
from sipd.net import Flows
from sipd.net.connections import Room
from sipd.rows import Peer, PutPeer, PutSettings
from sipd.server.limits import allow_files, limit_network
from tests.server.phones import SERVER, open_world

LIMIT = 20


async def flood(world, phone, count: int) -> list[int]:
    """Sends that many OPTIONS in one moment; the statuses that came back."""
    before = len(phone.seen)
    for _ in range(count):
        phone.send(phone.request("OPTIONS", f"sip:{SERVER.host}"))
    await trio.sleep(0.1)
    return [seen.message.status for seen in phone.seen[before:]]


async def over(world, phone) -> None:
    """Has the source reach its limit, from where the second begins."""
    await flood(world, phone, LIMIT)


async def test_too_many_requests_hear_so_and_then_nothing(nursery, autojump_clock):
    world = await open_world(nursery, "alice", max_request_rate=LIMIT)
    stranger, other = world.phone("mallory"), world.phone("alice")
    await over(world, stranger)
    assert await flood(world, stranger, 100) == [*[200] * LIMIT, 503, 503]
    refused = stranger.responses(503)[0]
    assert refused.first("Retry-After") == "5"
    assert world.house.counters.turned_away == 100 - LIMIT
    assert await flood(world, other, LIMIT) == [200] * LIMIT, "nobody else notices"
    await trio.sleep(1)
    assert await flood(world, stranger, LIMIT) == [200] * LIMIT, "the next second is a new one"
    nursery.cancel_scope.cancel()


async def test_a_flood_keeps_no_transaction_and_answers_no_ack(nursery, autojump_clock):
    world = await open_world(nursery, max_request_rate=LIMIT)
    stranger = world.phone("mallory")
    await over(world, stranger)
    await flood(world, stranger, LIMIT)
    servers = world.house.transactions.counts.servers
    for _ in range(100):
        stranger.send(stranger.request("ACK", f"sip:{SERVER.host}"))
    assert await flood(world, stranger, 1) == []
    assert world.house.transactions.counts.servers == servers
    nursery.cancel_scope.cancel()


async def test_responses_do_not_count(nursery, autojump_clock):
    world = await open_world(nursery, max_request_rate=LIMIT)
    phone = world.phone("bob")
    answer = bytes(response_to(phone.request("OPTIONS", "sip:x@y"), 200))
    for _ in range(10 * LIMIT):
        phone.listener.flow_to(SERVER.host, SERVER.port).send(answer)
    assert await flood(world, phone, LIMIT) == [200] * LIMIT
    nursery.cancel_scope.cancel()


async def test_a_peer_and_this_machine_may_send_what_they_like(nursery, autojump_clock):
    world = await open_world(nursery, max_request_rate=LIMIT)
    world.put(PutPeer(Peer("gateway", "10.9.9.0/24")))
    for host in ("10.9.9.9", "127.0.0.1"):
        phone = world.phone("friend", host=host)
        assert await flood(world, phone, 5 * LIMIT) == [200] * 5 * LIMIT
    nursery.cancel_scope.cancel()


async def test_where_somebody_has_proved_himself_any_number_may_come(nursery, autojump_clock):
    world = await open_world(nursery, "alice", max_request_rate=LIMIT)
    phone = world.phone("alice")
    world.house.admission.proven.put(phone.hop.host, True)
    assert await flood(world, phone, 5 * LIMIT) == [200] * 5 * LIMIT
    nursery.cancel_scope.cancel()


async def test_the_limit_changes_while_the_server_runs_and_can_be_off(nursery, autojump_clock):
    world = await open_world(nursery, max_request_rate=LIMIT)
    stranger = world.phone("mallory")
    world.settings(max_request_rate=0)
    assert await flood(world, stranger, 5 * LIMIT) == [200] * 5 * LIMIT
    world.settings(max_request_rate=5)
    await flood(world, stranger, 5)
    assert (await flood(world, stranger, 10))[:6] == [200] * 5 + [503]
    nursery.cancel_scope.cancel()


async def test_a_full_house_says_when_to_come_again(nursery, autojump_clock):
    """Transactions have their limit too, whoever they are of: 503 without state (T59)."""
    world = await open_world(nursery, "bob", max_transactions=3, max_request_rate=0)
    callee, caller = world.phone("bob"), world.phone("mallory")
    world.bind("bob@example.com", callee)
    for _ in range(5):
        caller.send(caller.request("INVITE", "sip:bob@example.com"))
    refused = await caller.status(503)
    assert isinstance(refused, Response)
    assert refused.first("Retry-After") == "5"
    assert len(callee.requests("INVITE")) == 3
    nursery.cancel_scope.cancel()


async def test_connections_and_pages_follow_the_settings(nursery, autojump_clock):
    world = await open_world(nursery, max_connections=50, max_connections_per_source=7)
    network = Flows()
    limit_network(network, world.cache)
    assert network.connections.room == Room(50, 7)
    world.put(PutSettings(world.cache.settings._replace(max_connections=60, websocket_origins="https://A.example")))
    assert network.connections.room == Room(60, 7)
    assert network.connections.origins == {"https://a.example"}
    world.put(PutPeer(Peer("front end", "192.0.2.8")))
    assert (network.connections.is_exempt("192.0.2.8"), network.connections.is_exempt("192.0.2.9")) == (True, False)
    nursery.cancel_scope.cancel()


def test_descriptors_are_asked_for_and_never_given_back():
    before = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 100, hard))
        allow_files(hard - 50)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard - 50, hard)
        allow_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard - 50, hard)
        allow_files(hard + 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard), "all there is"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
