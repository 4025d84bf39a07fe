from __future__ import annotations

import random
from collections import Counter

import dns.rcode
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sipd.hop import Hop
from sipd.message import parse_uri
from sipd.net import resolver as module
from sipd.net.addresses import Unreachable
from sipd.net.resolver import ABSENT_TTL, FAILED_TTL, Resolver, Service, in_order
from tests.net.name_server import NameServer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def server(nursery):
    made = NameServer()
    await nursery.start(made.run)
    return made


@pytest.fixture
async def resolver(server, clock, tmp_path):
    (tmp_path / "hosts").write_text("192.0.2.50 pbx.local\n2001:db8::50 pbx.local\n")
    return Resolver(hosts=tmp_path / "hosts", nameserver=server.address, clock=clock, chance=random.Random(1))


def uri(text: str):
    return parse_uri(text)


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("sip:bob@192.0.2.1", Hop("UDP", "192.0.2.1", 5060)),
        ("sip:bob@192.0.2.1:5070", Hop("UDP", "192.0.2.1", 5070)),
        ("sip:bob@192.0.2.1;transport=tcp", Hop("TCP", "192.0.2.1", 5060)),
        ("sip:bob@192.0.2.1;transport=tls", Hop("TLS", "192.0.2.1", 5061)),
        ("sips:bob@192.0.2.1", Hop("TLS", "192.0.2.1", 5061)),
        ("sips:bob@192.0.2.1;transport=tcp", Hop("TLS", "192.0.2.1", 5061)),
        ("sip:bob@[2001:DB8::1]:5062", Hop("UDP", "2001:db8::1", 5062)),
        ("sip:bob@[::ffff:192.0.2.1]", Hop("UDP", "192.0.2.1", 5060)),
        ("sip:bob@192.0.2.1;maddr=192.0.2.99", Hop("UDP", "192.0.2.1", 5060)),
    ],
)
def test_a_numeric_host_is_known_at_once(text, hop):
    assert Resolver().now(uri(text)) == [hop]


@pytest.mark.parametrize("text", ["tel:+15551234", "mailto:bob@example.com", "sip:bob@0x7f000001"])
async def test_what_is_no_name_is_not_looked_up(resolver, server, text):
    assert resolver.now(uri(text)) is None
    with pytest.raises(Unreachable) as refused:
        await resolver.find(uri(text))
    assert refused.value.status == 503
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "hops", "asked"),
    [
        ("sip:a@host.test:5070", [Hop("UDP", "192.0.2.1", 5070), Hop("UDP", "2001:db8::1", 5070)], 2),
        ("sip:a@host.test:5070;transport=tcp", [Hop("TCP", "192.0.2.1", 5070), Hop("TCP", "2001:db8::1", 5070)], 2),
        ("sip:a@host.test", [Hop("UDP", "192.0.2.1", 5060), Hop("UDP", "2001:db8::1", 5060)], 4),
        ("sips:a@host.test", [Hop("TLS", "192.0.2.1", 5061), Hop("TLS", "2001:db8::1", 5061)], 3),
        ("sip:a@both.test", [Hop("UDP", "192.0.2.2", 5066)], 4),
        ("sip:a@both.test;transport=tcp", [Hop("TCP", "192.0.2.3", 5067)], 3),
        ("sip:a@tcp.test", [Hop("TCP", "192.0.2.3", 5068)], 4),
        ("sip:a@order.test", [Hop("UDP", "192.0.2.3", 1), Hop("UDP", "192.0.2.2", 2)], 6),
        ("sip:a@pbx.local", [Hop("UDP", "192.0.2.50", 5060), Hop("UDP", "2001:db8::50", 5060)], 0),
        ("sip:a@LOCALHOST:5080", [Hop("UDP", "127.0.0.1", 5080), Hop("UDP", "::1", 5080)], 0),
        ("sip:a@local-target.test", [Hop("UDP", "192.0.2.50", 5069), Hop("UDP", "2001:db8::50", 5069)], 2),
    ],
)
async def test_names_are_found_by_srv_then_by_address(resolver, server, text, hops, asked):
    server.records = {
        ("host.test", "A"): ["192.0.2.1"],
        ("host.test", "AAAA"): ["2001:db8::1"],
        ("_sip._udp.both.test", "SRV"): ["0 0 5066 two.test."],
        ("_sip._tcp.both.test", "SRV"): ["0 0 5067 three.test."],
        ("_sip._tcp.tcp.test", "SRV"): ["0 0 5068 three.test."],
        ("_sip._udp.order.test", "SRV"): ["20 0 2 two.test.", "10 0 1 three.test."],
        ("_sip._udp.local-target.test", "SRV"): ["0 0 5069 pbx.local."],
        ("two.test", "A"): ["192.0.2.2"],
        ("three.test", "A"): ["192.0.2.3"],
    }
    assert resolver.now(uri(text)) is None
    assert await resolver.find(uri(text)) == hops
    assert len(server.asked) == asked
    assert resolver.now(uri(text.replace("a@", "b@"))) == hops, "now it is known, for every user"
    assert await resolver.find(uri(text)) == hops
    assert len(server.asked) == asked


async def test_a_service_that_is_decidedly_absent_is_not_looked_for_elsewhere(resolver, server):
    server.records = {("_sip._udp.none.test", "SRV"): ["0 0 0 ."], ("none.test", "A"): ["192.0.2.1"]}
    with pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@none.test;transport=udp"))


async def test_an_answer_is_kept_for_its_ttl(resolver, server, clock):
    server.records, server.ttl = {("host.test", "A"): ["192.0.2.1"]}, 30
    await resolver.find(uri("sip:a@host.test:5060"))
    clock.now += 29
    assert resolver.now(uri("sip:a@host.test:5060"))
    clock.now += 2
    assert resolver.now(uri("sip:a@host.test:5060")) is None
    server.records = {("host.test", "A"): ["192.0.2.9"]}
    assert await resolver.find(uri("sip:a@host.test:5060")) == [Hop("UDP", "192.0.2.9", 5060)]


@pytest.mark.parametrize(("rcode", "seconds"), [(None, ABSENT_TTL), (dns.rcode.SERVFAIL, FAILED_TTL)])
async def test_what_is_not_there_is_not_asked_for_again_for_a_while(resolver, server, clock, rcode, seconds):
    server.rcode = rcode
    for _ in range(3):
        with pytest.raises(Unreachable):
            await resolver.find(uri("sip:a@gone.test:5060"))
    assert resolver.lookups == 1
    clock.now += seconds + 1
    with pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@gone.test:5060"))
    assert resolver.lookups == 2


async def test_a_name_server_that_refuses_srv_does_not_hide_the_addresses(resolver, server):
    server.records = {("host.test", "A"): ["192.0.2.1"]}
    answer = server._answer

    async def choking(data, address):
        server.rcode = dns.rcode.REFUSED if b"_sip" in data else None
        await answer(data, address)

    server._answer = choking
    assert await resolver.find(uri("sip:a@host.test")) == [Hop("UDP", "192.0.2.1", 5060)]


async def test_a_silent_name_server_is_given_up(resolver, server, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    server.is_silent = True
    with trio.fail_after(5), pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@host.test"))
    assert server.asked


async def test_many_who_ask_the_same_cause_one_lookup(resolver, server, nursery):
    server.records, server.gate = {("host.test", "A"): ["192.0.2.1"]}, trio.Event()
    found: list[list[Hop]] = []

    async def ask(name: str) -> None:
        found.append(await resolver.find(uri(f"sip:{name}@host.test:5060")))

    async with trio.open_nursery() as asking:
        for number in range(20):
            asking.start_soon(ask, f"n{number}")
        while not server.asked:
            await trio.lowlevel.checkpoint()
        server.gate.set()
    assert found == [[Hop("UDP", "192.0.2.1", 5060)]] * 20
    assert resolver.lookups == 1


async def test_those_who_wait_are_not_lost_with_the_one_who_asked(resolver, server):
    server.records, server.gate = {("host.test", "A"): ["192.0.2.1"]}, trio.Event()
    first = trio.CancelScope()

    async def ask_and_go() -> None:
        with first:
            await resolver.find(uri("sip:a@host.test:5060"))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask_and_go)
        while not server.asked:
            await trio.lowlevel.checkpoint()
        asking.start_soon(resolver.find, uri("sip:b@host.test:5060"))
        first.cancel()
        server.gate.set()
    assert first.cancelled_caught
    assert resolver.now(uri("sip:a@host.test:5060"))


async def test_without_resolv_conf_the_system_is_asked(tmp_path):
    made = Resolver(resolv_conf=tmp_path / "none", hosts=tmp_path / "none")
    made._hosts.addresses = lambda name: ()  # type: ignore[method-assign]
    hops = await made.find(uri("sip:a@localhost"))
    assert Hop("UDP", "127.0.0.1", 5060) in hops


async def test_resolv_conf_is_read_again_when_it_changes(tmp_path, clock):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.53\n")
    made = Resolver(resolv_conf=conf, hosts=tmp_path / "none", clock=clock)
    made._recheck()
    assert made._dns is not None
    assert made._dns.nameservers == ["192.0.2.53"]
    conf.write_text("nameserver 192.0.2.153\n")
    clock.now += 10
    made._recheck()
    assert made._dns.nameservers == ["192.0.2.153"]


HOP = Hop("UDP", "192.0.2.1", 5060)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535)), max_size=8), st.integers())
def test_services_are_ordered_by_priority_and_none_is_lost(rows, seed):
    services = [Service(priority, weight, (HOP,)) for priority, weight in rows]
    ordered = in_order(services, random.Random(seed))
    assert Counter(ordered) == Counter(services)
    assert [service.priority for service in ordered] == sorted(service.priority for service in services)


def test_weights_are_shares():
    heavy, light = Service(0, 90, (HOP,)), Service(0, 10, (HOP,))
    chance = random.Random(7)
    first = Counter(in_order([light, heavy], chance)[0].weight for _ in range(2000))
    assert 0.85 < first[90] / 2000 < 0.95
