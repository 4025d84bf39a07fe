"""RFC 5626 in whole servers: the message flows of its section 9, lost flows, restarts; RFC 3327 §5.5, 3608 §6.4."""

from __future__ import annotations

from math import inf

import pytest
import trio

from sipd.hop import Hop, Way
from sipd.message import Request, Response
from sipd.net.memory import MemoryHost
from sipd.rows import Binding, DropBinding, Peer, PutPeer
from sipd.server.pins import GRACE
from sipd.server.startup import furnish, serve
from sipd.store import Cache, Writer
from tests.server.phones import DOMAIN, SERVER, WALL, FixedResolver, Phone, World, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
INSTANCE = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
OUTBOUND = (("Supported", "path, outbound"),)
TCP = SERVER._replace(transport="TCP")
EDGES = [Hop("TCP", f"10.0.0.1{number}", 5060) for number in (1, 2)]


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def outbound_phone(world: World, does: str = "answers") -> Phone:
    """Bob's phone of RFC 5626 §9: it opens TCP connections and takes none."""
    bob = world.phone("bob", does, transport="TCP", claims="192.0.2.2:5060", host="10.0.1.99")
    world.network.unreachable.add(bob.hop)
    return bob


async def register(bob: Phone, reg_id: int, to: Hop = TCP, cseq: int = 1, **more) -> Response:
    """Messages 9 to 16: each flow has its own Call-ID."""
    before = len(bob.statuses("REGISTER"))
    contact = f"<{bob.uri}>;reg-id={reg_id}{INSTANCE}"
    asked = bob.request(
        *("REGISTER", f"sip:{DOMAIN}"),
        to=BOB, cseq=cseq, call_id=f"flow-{reg_id}", contact=contact, headers=OUTBOUND, **more,
    )  # fmt: skip
    bob.send(asked, to)
    await bob.until(lambda: len(bob.statuses("REGISTER")) > before)
    return [seen.message for seen in bob.seen if isinstance(seen.message, Response)][-1]


def flows(world: World) -> list[Binding]:
    return list(world.cache.bindings(f"bob@{DOMAIN}"))


def hang_up(bob: Phone, server: Hop) -> None:
    """Its connection to that server ends."""
    world = bob.world
    world.network.unreachable.discard(bob.hop)
    bob.listener.flow_to(server.host, server.port).close()
    world.network.unreachable.add(bob.hop)


async def answered(alice: Phone, invite: Request) -> Response:
    await alice.until(lambda: any(status >= 200 for status in alice.statuses("INVITE")), 120)
    return next(
        seen.message
        for seen in alice.seen
        if isinstance(seen.message, Response) and seen.message.call_id == invite.call_id and seen.message.status >= 200
    )


# --- the registrar knows the flows itself ------------------------------------------------------


async def test_a_lost_connection_takes_its_binding_along(world, autojump_clock):
    bob = outbound_phone(world)
    answer = await register(bob, 1)
    assert (answer.status, answer.first("Require")) == (200, "outbound")
    assert [binding.reg_id for binding in flows(world)] == [1]
    hang_up(bob, TCP)
    await trio.sleep(1)
    assert flows(world) == []
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: alice.statuses("INVITE") == [480], 5)


@pytest.mark.parametrize("transport", ["TCP", "TLS", "WS", "WSS"])
async def test_whatever_the_connection_is_with_its_end_the_binding_is_gone_durably(nursery, autojump_clock, transport):
    at = SERVER._replace(transport=transport, port=5090)
    made = await open_world(nursery, "alice", "bob", places=(at,))
    bob = made.phone("bob", transport=transport, host="10.0.1.99")
    made.network.unreachable.add(bob.hop)
    assert (await register(bob, 1, at)).status == 200
    assert len((await made.store.load_all()).bindings) == 1
    hang_up(bob, at)
    await trio.sleep(1)
    assert (flows(made), list((await made.store.load_all()).bindings)) == ([], [])
    assert made.house.counters.faults == 0


async def test_a_phone_that_was_told_a_flow_timer_and_is_silent_is_gone(world, autojump_clock, monkeypatch):
    """RFC 5626 §4.4: its connection may idle so long, unless a phone is on it that was told nothing."""
    pinned: list[tuple[str, bool, float]] = []
    monkeypatch.setattr(world.house.network, "pin", lambda hop, on=True, idle=inf: pinned.append((hop.host, on, idle)))
    bob = outbound_phone(world)
    await register(bob, 1)
    assert pinned.pop() == (bob.hop.host, True, inf)
    world.settings(flow_timer=120)
    answer = await register(bob, 1, cseq=2)
    assert answer.first("Flow-Timer") == "120"
    assert pinned.pop() == (bob.hop.host, True, 120 + GRACE)
    world.settings(flow_timer=0)
    old = dict(world.cache.bindings(f"bob@{DOMAIN}")[0]._asdict())
    world.bind_again([Binding(**{**old, "aor": f"alice@{DOMAIN}", "reg_id": 0, "key": ""})])
    assert pinned.pop() == (bob.hop.host, True, inf)
    world.put(DropBinding(f"alice@{DOMAIN}", old["uri"]))
    assert pinned.pop() == (bob.hop.host, True, 120 + GRACE)
    world.put(DropBinding(f"bob@{DOMAIN}", old["uri"], old["key"]))
    assert pinned.pop() == (bob.hop.host, False, inf)


async def test_a_datagram_flow_that_is_refused_takes_its_binding_along(world, autojump_clock):
    """An ICMP error says that nobody is there any more (RFC 5626 §7); a plain phone keeps its binding."""
    bob = world.phone("bob", "answers")
    plain = world.phone("alice", "answers")
    await register(bob, 1, SERVER)
    world.bind(f"alice@{DOMAIN}", plain)
    for phone in (bob, plain):
        world.network.unreachable.add(phone.hop)
    caller = world.phone("carol")
    for uri, status in ((BOB, 480), (ALICE, 500)):
        caller.seen.clear()
        invite = caller.request("INVITE", uri)
        caller.send(invite)
        assert (await answered(caller, invite)).status == status
    await trio.sleep(2)
    assert flows(world) == []
    assert len(world.cache.bindings(f"alice@{DOMAIN}")) == 1


async def test_an_icmp_error_out_of_the_blue_is_no_reason(world, autojump_clock):
    """Anybody can make one up, and need not even forge an address for it."""
    bob = world.phone("bob", "answers")
    await register(bob, 1, SERVER)
    [binding] = flows(world)
    network = world.house.network
    network.on_failed(network.on(Way.from_text(binding.received)))
    await trio.sleep(5)
    assert flows(world) == [binding]


async def test_a_phone_that_comes_back_keeps_its_new_flow(world, autojump_clock):
    """The end of the old connection is heard of after the new one is bound."""
    bob = outbound_phone(world)
    await register(bob, 1)
    [old] = flows(world)
    bob.listener.forget(bob.listener.flow_to(TCP.host, TCP.port))  # it forgets the connection: the next is another
    await register(bob, 1, cseq=2)
    [new] = flows(world)
    assert new.received != old.received
    gone = world.house.network.on(Way.from_text(old.received))
    assert gone is not None
    world.house.network.finish(gone)
    await trio.sleep(1)
    assert flows(world) == [new]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_connection_lost_while_its_binding_is_stored_takes_it_along(world, autojump_clock, monkeypatch, waits):
    """Nobody hears of its end later: neither where the database works on it, nor where it waits for its turn."""
    apply = world.store.apply

    async def slowly(groups):
        await trio.sleep(2)
        return await apply(groups)

    monkeypatch.setattr(world.store, "apply", slowly)
    monkeypatch.setattr(world.store, "immediate", False, raising=False)
    if waits:
        other = world.phone("other")
        other.send(other.request("REGISTER", f"sip:{DOMAIN}", to=BOB, from_uri=BOB))
    bob = outbound_phone(world)
    contact = f"<{bob.uri}>;reg-id=1{INSTANCE}"
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=BOB, contact=contact, headers=OUTBOUND), TCP)
    await trio.sleep(1)
    hang_up(bob, TCP)
    await trio.sleep(20)
    assert [binding.reg_id for binding in flows(world)] == [0] * waits


async def test_a_plain_phone_keeps_its_binding_without_its_connection(world, autojump_clock):
    bob = world.phone("bob", "answers", transport="TCP")
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=BOB), TCP)
    await bob.status(200)
    bob.listener.flow_to(TCP.host, TCP.port).close()
    await trio.sleep(1)
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    assert (await answered(alice, invite)).status == 200, "it listens at its Contact"


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
async def test_one_flow_at_a_time_and_the_next_when_it_has_failed(world, autojump_clock, method):
    bob = outbound_phone(world)
    other = Hop("TCP", SERVER.host, 5070)  # its second connection is to another port of ours
    assert isinstance(world.house.network, MemoryHost)
    world.house.network.listen(other)
    await register(bob, 1)
    await trio.sleep(1)
    await register(bob, 2, other)  # the latest is tried first
    assert [binding.reg_id for binding in flows(world)] == [1, 2]
    alice = world.phone("alice")
    invite = alice.request(method, BOB)
    alice.send(invite)
    await alice.until(lambda: alice.statuses(method)[-1:] == [200])
    assert len(bob.requests(method)) == 1, "never both"
    # What the end of a connection would have removed is put back: a flow that nobody knows to be dead.
    both = flows(world)
    hang_up(bob, other)
    await trio.sleep(1)
    world.bind_again(both)
    alice.seen.clear()
    again = alice.request(method, BOB)
    alice.send(again)
    await alice.until(lambda: alice.statuses(method)[-1:] == [200])
    assert len(bob.requests(method)) == 2
    assert [binding.reg_id for binding in flows(world)] == [1], "the dead one is removed (RFC 5626 §7)"


async def test_a_silent_flow_is_given_up_for_the_next(world, autojump_clock):
    """408 and 430 alone lead to the next flow: another answer is the phone's own (RFC 5626 §7)."""
    one = world.phone("bob", "486", params=";ob")
    deaf = world.phone("bob2", "", params=";ob")
    deaf.claims = one.claims
    for number, phone in ((1, one), (2, deaf)):
        contact = f"<sip:bob@{phone.hop.host}:5060;ob>;reg-id={number}{INSTANCE}"
        phone.send(
            phone.request(
                *("REGISTER", f"sip:{DOMAIN}"),
                to=BOB,
                from_uri=BOB,
                contact=contact,
                headers=OUTBOUND,
                call_id=f"flow-{number}",
            )
        )
        await phone.status(200)
        await trio.sleep(1)
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    assert (await answered(alice, invite)).status == 486
    assert (len(deaf.requests("INVITE")) > 1, len(one.requests("INVITE"))) == (True, 1)
    deaf.does = "600"
    alice.seen.clear()
    again = alice.request("INVITE", BOB)
    alice.send(again)
    assert (await answered(alice, again)).status == 600
    assert len(one.requests("INVITE")) == 1, "its instance has answered"


# --- restarts ----------------------------------------------------------------------------------


async def test_after_a_restart_datagrams_find_their_flow_and_connections_are_gone(world, nursery, autojump_clock):
    nat = world.phone("bob", "answers", claims="192.168.1.2:5060", port=40000)
    nat.send(nat.request("REGISTER", f"sip:{DOMAIN}", to=BOB))
    await nat.status(200)
    tcp = outbound_phone(world)
    await register(tcp, 1)
    browser = Binding(
        *(f"bob@{DOMAIN}", "sip:bob@x.invalid;transport=ws", 1000, WALL + 1e6),
        received="wss:10.0.1.7:50000|10.9.9.9:5061",
    )
    world.bind_again([*flows(world), browser])
    assert isinstance(world.house.network, MemoryHost)
    for listener in list(world.house.network._listeners):
        listener.close()
    cache = Cache(world.store)
    await cache.fill()
    host = world.network.host(SERVER, TCP)
    house = furnish(cache, Writer(world.store, cache), host, wall=lambda: WALL, resolver=FixedResolver())
    await nursery.start(serve, house)
    await trio.sleep(1)
    left = sorted(binding.received.partition(":")[0] for binding in cache.bindings(f"bob@{DOMAIN}"))
    assert left == ["udp", "wss"], "the browser is another server's, this one can't say what became of it"
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    assert (await answered(alice, invite)).status == 200
    assert len(nat.requests("INVITE")) == 1


# --- RFC 5626 §9: two edge proxies, a proxy with the registrar --------------------------------------


async def open_edges(nursery: trio.Nursery, world: World) -> list[World]:
    edges = []
    for number, hop in enumerate(EDGES, 1):
        at = hop._replace(transport="UDP")
        edge = await open_world(nursery, at=at, domain=f"ep{number}.example.net", beside=world)
        edge.put(PutPeer(Peer("phones", "10.0.1.0/24")), PutPeer(Peer("home", SERVER.host)))
        edge.resolver.found[DOMAIN] = SERVER
        edges.append(edge)
    return edges


def route(value: str) -> tuple[tuple[str, str], ...]:
    return (("Route", value),)


async def test_rfc_5626_section_9(world, nursery, autojump_clock):
    edges = await open_edges(nursery, world)
    bob = outbound_phone(world)
    # 9.2: registration over both
    first = await register(bob, 1, EDGES[0])
    assert (first.status, first.first("Require"), first.values("Supported")) == (200, "outbound", ["outbound", "path"])
    [path] = first.values("Path")
    assert path.startswith("<sip:fl.")
    assert ";lr;ob;" in path
    second = await register(bob, 2, EDGES[1])
    assert len(second.values("Contact")) == 2
    assert len(second.values("Path")) == 1, "that of this registration only"
    assert second.values("Path") != [path]
    [one, two] = flows(world)
    assert (one.path, two.path) == ((path,), tuple(second.values("Path")))
    # 9.3: the edge that Bob's proxy tries first has crashed and knows no flow any more
    await trio.sleep(1)
    await register(bob, 1, EDGES[0], cseq=2)  # the latest flow is tried first
    hang_up(bob, EDGES[0])
    await trio.sleep(1)
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await answered(alice, invite)
    assert ok.status == 200
    assert [binding.reg_id for binding in flows(world)] == [2], "the proxy deletes the binding for this path"
    [got] = bob.requests("INVITE")
    assert got.request_uri == bob.uri
    assert "Route" not in got.names
    edge = next(value for value in ok.values("Record-Route") if "fl." in value)
    assert ";ob" not in edge
    alice.ack(invite, ok)
    await bob.until(lambda: bool(bob.requests("ACK")), 5)
    routes = tuple(("Route", value) for value in reversed(ok.values("Record-Route")))
    contact = ok.contacts[0].uri.text
    bye = {"to": BOB, "to_tag": "tag-bob", "cseq": 2, "call_id": invite.call_id}
    alice.send(alice.request("BYE", contact, headers=routes, **bye))
    await alice.until(lambda: alice.statuses("BYE") == [200], 5)
    # 9.4: Bob's phone notices, and registers again with the same reg-id and Call-ID
    again = await register(bob, 1, EDGES[0], cseq=3)
    assert again.status == 200
    assert again.values("Path") != [path]
    assert sorted(binding.reg_id for binding in flows(world)) == [1, 2]
    # 9.5: Bob calls Alice, and she hangs up
    alice.does = "answers"
    world.bind(f"alice@{DOMAIN}", alice)
    bob.params = ";ob"
    call = bob.request("INVITE", ALICE)
    bob.send(call, EDGES[0])
    await bob.until(lambda: 200 in bob.statuses("INVITE"), 5)
    got = alice.requests("INVITE")[0]
    assert any("fl." in value for value in got.values("Record-Route"))
    headers = tuple(("Route", value) for value in got.values("Record-Route"))
    parties = {"to": BOB, "to_tag": "f1", "from_tag": "tag-alice", "call_id": call.call_id}
    alice.seen.clear()
    alice.send(alice.request("BYE", got.contacts[0].uri.text, headers=headers, **parties))
    await alice.until(lambda: alice.statuses("BYE") == [200], 5)
    assert len(bob.requests("BYE")) == 2, "hers of the first call, and hers of this"
    assert all(edge.house.counters.faults == 0 for edge in edges)


async def test_when_all_flows_are_gone_the_caller_hears_480(world, nursery, autojump_clock):
    """430 is between proxies (RFC 5626 §11.5)."""
    await open_edges(nursery, world)
    bob = outbound_phone(world)
    await register(bob, 1, EDGES[0])
    hang_up(bob, EDGES[0])
    await trio.sleep(1)
    alice = world.phone("alice")
    for method, statuses in (("INVITE", [100, 480]), ("MESSAGE", [480])):
        alice.send(alice.request(method, BOB))
        await alice.until(lambda method=method: 480 in alice.statuses(method), 5)
        assert alice.statuses(method) == statuses
    assert flows(world) == []


async def test_nobody_makes_a_path_of_his_own_through_an_edge(world, nursery, autojump_clock):
    """403 for a token that was tampered with; one that nobody gave us is no way in (RFC 5626 §5.3.1)."""
    [edge, _] = await open_edges(nursery, world)
    bob = outbound_phone(world)
    [path] = (await register(bob, 1, EDGES[0])).values("Path")
    stranger = Phone(world, "zoe", "10.0.7.7", "answers")
    token, _, rest = path.partition("@")
    at = EDGES[0]._replace(transport="UDP")
    for forged in (token[:-1] + ("A" if token[-1] != "A" else "B") + "@" + rest, path.replace(";ob", "")):
        stranger.seen.clear()
        stranger.send(stranger.request("INVITE", bob.uri, headers=route(forged)), at)
        await stranger.until(lambda: stranger.statuses("INVITE") == [403], 5)
    stranger.seen.clear()
    stranger.send(stranger.request("INVITE", bob.uri), at)
    await stranger.until(lambda: stranger.statuses("INVITE") == [403], 5)
    assert bob.requests("INVITE") == []
    assert edge.house.counters.faults == 0


@pytest.mark.parametrize(("supported", "paths"), [("path", 1), ("outbound", 1), ("100rel", 0)])
async def test_a_path_is_put_in_for_those_who_know_it(world, nursery, autojump_clock, supported, paths):
    await open_edges(nursery, world)
    bob = world.phone("bob")
    at = EDGES[0]._replace(transport="UDP")
    home = Phone(world, "home", "10.0.0.77")
    bob.send(bob.request("REGISTER", f"sip:home@{home.hop.host}", headers=(("Supported", supported),)), at)
    await home.until(lambda: bool(home.requests("REGISTER")), 5)
    got = home.requests("REGISTER")[0]
    assert len(got.values("Path")) == paths
    assert len(got.values("Via")) == 2
    await bob.status(200)


# --- RFC 3327 §5.5, RFC 3608 §6.4 -----------------------------------------------------------------


async def test_rfc_3327_section_5_5(world, autojump_clock):
    """REGISTER through P1 and P3, both in the Path; the INVITE goes to P3 with both as Route, P3's on top."""
    p3 = Phone(world, "p3", "10.0.3.3", "answers")
    path = f"<sip:{p3.hop.host};lr>,<sip:P1.EXAMPLEVISITED.COM;lr>"
    p3.send(
        p3.request(
            *("REGISTER", f"sip:{DOMAIN}"),
            to=BOB,
            from_uri=BOB,
            contact="<sip:UA1@192.0.2.4>",
            headers=(("Path", path), ("Supported", "path")),
        )
    )
    answer = await p3.status(200)
    assert answer.values("Path") == path.split(",")
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    await alice.status(200)
    [got] = p3.requests("INVITE")
    assert got.request_uri == "sip:UA1@192.0.2.4"
    assert got.values("Route") == path.split(",")
    alice.ack(invite, alice.responses(200)[0])


async def test_rfc_3608_section_6_4(world, autojump_clock):
    """The phone learns the service route, and routes its next call by it: through us, and to whom it calls."""
    world.settings(service_route=f"<sip:{SERVER.host};lr>, <sip:{DOMAIN};lr>")
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=ALICE))
    service = (await alice.status(200)).values("Service-Route")
    assert service == [f"<sip:{SERVER.host};lr>", f"<sip:{DOMAIN};lr>"]
    alice.seen.clear()
    alice.send(alice.request("INVITE", BOB, headers=tuple(("Route", value) for value in service)))
    await alice.status(200)
    [got] = bob.requests("INVITE")
    assert "Route" not in got.names
    assert got.request_uri == bob.uri
