"""What is asked of a request before it is sent on, in the RFC's order, and of those we answer (§16.3, §8.2)."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel

from tests.server.phones import DOMAIN, SERVER, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", auth="digest")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


FAULTS = {  # in the order of §16.3: what is wrong -> (what to replace, by what), status
    "syntax": ((b"Call-ID: ", b"Call-ID: a b"), 400),
    "scheme": ((b"INVITE sip:", b"INVITE foo:"), 416),
    "Max-Forwards": ((b"Max-Forwards: 70", b"Max-Forwards: 0"), 483),
    "Proxy-Require": ((b"Content-Length", b"Proxy-Require: nothing\r\nContent-Length"), 420),
    "credentials": ((b"", b""), 407),
}


@pytest.mark.parametrize("first", FAULTS)
async def test_the_first_fault_in_the_order_of_the_rfc_is_the_one_answered(world, autojump_clock, first):
    alice = world.phone("alice")
    data = bytes(alice.request("INVITE", BOB))
    for name in list(FAULTS)[list(FAULTS).index(first) :]:
        data = data.replace(*FAULTS[name][0], 1)
    alice.listener.flow_to(SERVER.host, SERVER.port).send(data)
    await alice.until(lambda: bool(alice.seen))
    assert alice.seen[0].message.status == FAULTS[first][1]


async def test_420_names_what_is_unsupported(world, autojump_clock):
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB, headers=(("Proxy-Require", "foo, bar"),)))
    assert (await alice.status(420)).values("Unsupported") == ["foo", "bar"]


async def test_a_loop_is_seen_before_proxy_require_and_credentials(world, autojump_clock):
    from tests.server.test_breadth import Bouncer

    alice = world.phone("alice")
    there = Bouncer(world, "10.0.9.1")
    world.bind(f"bob@{DOMAIN}", type("Away", (), {"uri": "sip:bob@10.0.9.1:5060"}))
    world.settings(auth="none")
    alice.send(alice.request("INVITE", BOB))
    await there_and(world, alice)
    assert there.forwarded == 1


async def there_and(world, alice):
    """The request is on its way: from now on nobody would pass without credentials."""
    while not any(sent.target.host == "10.0.9.1" for sent in world.network.sent):
        await trio.lowlevel.checkpoint()
    world.settings(auth="digest")
    await alice.status(482)


# --- what we answer ourselves (§8.2) ------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status"),
    [("INVITE", 404), ("BYE", 404), ("MESSAGE", 405), ("SUBSCRIBE", 489), ("PUBLISH", 405), ("FOO", 501)],
)
async def test_methods_the_server_itself_is_not_asked(world, autojump_clock, method, status):
    world.settings(auth="none")
    alice = world.phone("alice")
    alice.send(alice.request(method, f"sip:{DOMAIN}"))
    got = await alice.status(status)
    if status == 405:
        assert "REGISTER" in (got.first("Allow") or "")


async def test_any_method_passes_to_a_user(world, autojump_clock):
    world.settings(auth="none")
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("FOO", BOB))
    await alice.until(lambda: alice.statuses("FOO") == [200])


def by_two_ways(phone, method, uri, **more):
    """The two copies of a request that a fork elsewhere has made."""
    request = bytes(phone.request(method, uri, **more))
    top = f"Via: SIP/2.0/UDP {phone.hop.host}:5060;branch=z9hG4bK".encode()
    first = request.replace(b"Via: ", top + b"one\r\nVia: ", 1)
    return first, first.replace(b"z9hG4bKone", b"z9hG4bKtwo")


@pytest.mark.parametrize(("method", "uri"), [("REGISTER", f"sip:{DOMAIN}"), ("OPTIONS", f"sip:{DOMAIN}")])
async def test_a_merged_request_is_answered_once(world, autojump_clock, method, uri):
    """§8.2.2.2: the second copy by another way is 482."""
    world.settings(auth="none")
    alice = world.phone("alice")
    first, second = by_two_ways(alice, method, uri, to=f"sip:alice@{DOMAIN}")
    way = alice.listener.flow_to(SERVER.host, SERVER.port)
    for data in (first, second, first):
        way.send(data)
    await alice.until(lambda: len(alice.statuses(method)) == 3)
    assert sorted(alice.statuses(method)) == [200, 200, 482], "a repetition of the first is one of the first"


async def test_the_same_by_one_way_or_anew_is_no_merged_request(world, autojump_clock):
    world.settings(auth="none")
    alice = world.phone("alice")
    for cseq in (1, 2):
        first, _ = by_two_ways(alice, "OPTIONS", f"sip:{DOMAIN}", cseq=cseq, call_id="c")
        alice.listener.flow_to(SERVER.host, SERVER.port).send(first.replace(b"z9hG4bKone", b"z9hG4bK%d" % cseq))
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}", cseq=2, call_id="c"))
    await alice.until(lambda: alice.statuses("OPTIONS") == [200] * 3)


@pytest.mark.parametrize(
    ("header", "status", "named"),
    [
        (("Require", "foo"), 420, ("Unsupported", "foo")),
        (("Content-Encoding", "gzip"), 415, ("Accept-Encoding", "identity")),
    ],
)
async def test_a_register_that_asks_for_what_we_have_not(world, autojump_clock, header, status, named):
    world.settings(auth="none")
    alice = world.phone("alice")
    more = () if header[0] == "Require" else (("Content-Type", "application/cpl+xml"),)
    body = b"" if header[0] == "Require" else b"zzz"
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}", headers=(header, *more), body=body))
    got = await alice.status(status)
    assert got.values(named[0]) == [named[1]]
    assert world.cache.bindings(f"alice@{DOMAIN}") == ()
