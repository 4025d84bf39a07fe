from __future__ import annotations

import random
from pathlib import Path

import dns.rcode
import pytest
import trio

from sipd.hop import Hop
from sipd.message import parse_uri
from sipd.net import resolver as module
from sipd.net.addresses import Unreachable
from sipd.net.dns import ABSENT_TTL, FAILED_TTL, LONGEST_ABSENT
from sipd.net.resolver import Resolver
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
        ("sip:bob@192.0.2.1;transport=tls", Hop("TLS", "192.0.2.1", 5061, "192.0.2.1")),
        ("sips:bob@192.0.2.1", Hop("TLS", "192.0.2.1", 5061, "192.0.2.1")),
        ("sips:bob@192.0.2.1;transport=tcp", Hop("TLS", "192.0.2.1", 5061, "192.0.2.1")),
        ("sip:bob@[2001:DB8::1]:5062", Hop("UDP", "2001:db8::1", 5062)),
        ("sip:bob@[::ffff:192.0.2.1]", Hop("UDP", "192.0.2.1", 5060)),
        ("sip:bob@192.0.2.1;maddr=192.0.2.99", Hop("UDP", "192.0.2.99", 5060)),
        ("sip:bob@host.test:5070;maddr=[2001:db8::9]", Hop("UDP", "2001:db8::9", 5070)),
        ("sips:bob@Host.Test.;maddr=192.0.2.99", Hop("TLS", "192.0.2.99", 5061, "host.test")),
        ("sips:bob@a.invalid;transport=ws;maddr=192.0.2.99", Hop("WSS", "192.0.2.99", 443, "a.invalid")),
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
        ("sip:a@host.test", [Hop("UDP", "192.0.2.1", 5060), Hop("UDP", "2001:db8::1", 5060)], 5),
        (
            "sips:a@host.test;transport=tcp",
            [Hop("TLS", "192.0.2.1", 5061, "host.test"), Hop("TLS", "2001:db8::1", 5061, "host.test")],
            3,
        ),
        ("sip:a@other.test:5070;maddr=host.test", [Hop("UDP", "192.0.2.1", 5070), Hop("UDP", "2001:db8::1", 5070)], 2),
        ("sip:a@both.test", [Hop("UDP", "192.0.2.2", 5066)], 5),
        ("sip:a@both.test;transport=tcp", [Hop("TCP", "192.0.2.3", 5067)], 3),
        ("sip:a@tcp.test", [Hop("TCP", "192.0.2.3", 5068)], 5),
        ("sip:a@order.test", [Hop("UDP", "192.0.2.3", 1), Hop("UDP", "192.0.2.2", 2)], 7),
        ("sip:a@pbx.local", [Hop("UDP", "192.0.2.50", 5060), Hop("UDP", "2001:db8::50", 5060)], 0),
        ("sip:a@LOCALHOST:5080", [Hop("UDP", "127.0.0.1", 5080), Hop("UDP", "::1", 5080)], 0),
        ("sip:a@local-target.test", [Hop("UDP", "192.0.2.50", 5069), Hop("UDP", "2001:db8::50", 5069)], 3),
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
    made.dns._hosts.addresses = lambda name: ()  # type: ignore[method-assign]
    hops = await made.find(uri("sip:a@localhost"))
    assert Hop("UDP", "127.0.0.1", 5060) in hops


async def test_resolv_conf_is_read_again_when_it_changes(tmp_path, clock):
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.53\n")
    made = Resolver(resolv_conf=conf, hosts=tmp_path / "none", clock=clock)
    made.dns.recheck()
    assert made.dns.nameservers == ["192.0.2.53"]
    conf.write_text("nameserver 192.0.2.153\n")
    clock.now += 10
    made.dns.recheck()
    assert made.dns.nameservers == ["192.0.2.153"]


# --- NAPTR (RFC 3263 §4.1) -------------------------------------------------------------------

OFFERS = [
    '50 50 "s" "SIPS+D2T" "" _sips._tcp.offer.test.',
    '90 50 "s" "SIP+D2T" "" _sip._tcp.offer.test.',
    '100 50 "s" "SIP+D2U" "" _sip._udp.elsewhere.test.',
]
UDP4, TCP4, TLS4 = (Hop(transport, "0.0.0.0", 5060) for transport in ("UDP", "TCP", "TLS"))


@pytest.mark.parametrize(
    ("ours", "text", "hops"),
    [
        ([UDP4, TCP4, TLS4], "sip:a@offer.test", [Hop("TLS", "192.0.2.1", 5071, "offer.test")]),
        ([UDP4, TCP4], "sip:a@offer.test", [Hop("TCP", "192.0.2.2", 5072)]),
        ([UDP4], "sip:a@offer.test", [Hop("UDP", "192.0.2.3", 5073)]),
        ([UDP4, TCP4, TLS4], "sips:a@offer.test", [Hop("TLS", "192.0.2.1", 5071, "offer.test")]),
        ([UDP4, TCP4, TLS4], "sip:a@offer.test;transport=udp", [Hop("UDP", "192.0.2.9", 5060)]),
        ([UDP4, TCP4, TLS4], "sip:a@offer.test:5060", [Hop("UDP", "192.0.2.9", 5060)]),
        ([UDP4], "sips:a@offer.test", None),
        ([UDP4, TCP4], "sip:a@sctp.test", [Hop("TCP", "192.0.2.2", 5072)]),
        ([UDP4, TCP4], "sip:a@bare.test", [Hop("TCP", "192.0.2.8", 5060)]),
        ([UDP4, TCP4], "sip:a@closed.test", None),
        ([UDP4, TCP4, TLS4], "sip:a@alias.test", [Hop("TLS", "192.0.2.1", 5071, "alias.test")]),
    ],
    ids=[
        "TLS is most wanted and we have it",
        "TCP comes next",
        "UDP, in another domain",
        "sips takes SIPS services only",
        "a transport in the URI needs no NAPTR",
        "a port in the URI needs no NAPTR",
        "sips without TLS of ours leads nowhere",
        "an unknown service, so SRV decides",
        "a service without SRV records: the addresses, by that transport",
        "services that are decidedly absent",
        "through a CNAME; the certificate proves the URI's own domain",
    ],
)
async def test_naptr_chooses_the_transport(server, clock, ours, text, hops):
    server.records = {
        ("offer.test", "NAPTR"): OFFERS,
        ("offer.test", "A"): ["192.0.2.9"],
        ("_sips._tcp.offer.test", "SRV"): ["0 0 5071 one.test."],
        ("_sip._tcp.offer.test", "SRV"): ["0 0 5072 two.test."],
        ("_sip._udp.elsewhere.test", "SRV"): ["0 0 5073 three.test."],
        ("one.test", "A"): ["192.0.2.1"],
        ("two.test", "A"): ["192.0.2.2"],
        ("three.test", "A"): ["192.0.2.3"],
        ("sctp.test", "NAPTR"): ['10 10 "s" "SIP+D2S" "" _sip._sctp.sctp.test.'],
        ("_sip._tcp.sctp.test", "SRV"): ["0 0 5072 two.test."],
        ("bare.test", "NAPTR"): ['10 10 "s" "SIP+D2T" "" _sip._tcp.bare.test.'],
        ("bare.test", "A"): ["192.0.2.8"],
        ("closed.test", "NAPTR"): ['10 10 "s" "SIP+D2U" "" _sip._udp.closed.test.'],
        ("_sip._udp.closed.test", "SRV"): ["0 0 0 ."],
        ("closed.test", "A"): ["192.0.2.9"],
        ("alias.test", "CNAME"): ["offer.test."],
    }
    made = Resolver(listening=lambda: ours, nameserver=server.address, clock=clock, hosts=Path("/none"))
    if hops is None:
        with pytest.raises(Unreachable):
            await made.find(uri(text))
    else:
        assert await made.find(uri(text)) == hops


async def test_only_families_that_we_listen_on_are_tried(server, clock):
    server.records = {("host.test", "A"): ["192.0.2.1"], ("host.test", "AAAA"): ["2001:db8::1"]}
    ours = [UDP4, Hop("TCP", "::", 5060)]
    made = Resolver(listening=lambda: ours, nameserver=server.address, clock=clock, hosts=Path("/none"))
    assert await made.find(uri("sip:a@host.test:5060")) == [Hop("UDP", "192.0.2.1", 5060)]
    assert await made.find(uri("sip:a@host.test;transport=tcp")) == [Hop("TCP", "2001:db8::1", 5060)]


# --- name servers as they are ----------------------------------------------------------------


async def test_a_truncated_answer_is_asked_for_over_tcp(resolver, server):
    server.records = {("big.test", "A"): [f"192.0.2.{last}" for last in range(1, 6)]}
    server.is_truncating = True
    assert len(await resolver.find(uri("sip:a@big.test:5060"))) == 5
    assert server.asked_over_tcp == 2


async def test_a_loop_of_aliases_ends(resolver, server):
    server.records = {("one.test", "CNAME"): ["two.test."], ("two.test", "CNAME"): ["one.test."]}
    with trio.fail_after(5), pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@one.test:5060"))


@pytest.mark.parametrize(("minimum", "seconds"), [(20, 20), (86400, LONGEST_ABSENT)])
async def test_the_zone_says_how_long_a_name_is_absent(resolver, server, clock, minimum, seconds):
    server.soa_minimum = minimum
    with pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@gone.test:5060"))
    clock.now += seconds - 1
    with pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@gone.test:5060"))
    assert resolver.lookups == 1
    clock.now += 2
    with pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@gone.test:5060"))
    assert resolver.lookups == 2


@pytest.mark.parametrize("kind", ["NAPTR", "SRV"])
async def test_silence_about_one_type_costs_a_second_and_hides_nothing(resolver, server, monkeypatch, clock, kind):
    monkeypatch.setattr("sipd.net.locator.PATIENCE", 0.1)
    server.silent_about = {kind}
    server.records = {("host.test", "A"): ["192.0.2.1"]}
    assert await resolver.find(uri("sip:a@host.test")) == [Hop("UDP", "192.0.2.1", 5060)]
    clock.now += FAILED_TTL + 1
    assert resolver.now(uri("sip:a@host.test")) is None, "it might have said something else: ask again soon"


async def test_an_old_answer_is_better_than_none_while_nobody_answers(resolver, server, clock):
    server.records = {("host.test", "A"): ["192.0.2.1"]}
    found = await resolver.find(uri("sip:a@host.test:5060"))
    clock.now += 7200
    server.rcode = dns.rcode.SERVFAIL
    assert await resolver.find(uri("sip:a@host.test:5060")) == found
    clock.now += FAILED_TTL + 1
    server.rcode, server.records = None, {}
    with pytest.raises(Unreachable):
        await resolver.find(uri("sip:a@host.test:5060"))


async def test_at_most_64_are_asked_for_at_a_time(resolver, server, monkeypatch):
    server.gate = trio.Event()
    server.records = {(f"h{number}.test", "A"): ["192.0.2.1"] for number in range(300)}
    found = []

    async def ask(number: int) -> None:
        found.append(await resolver.find(uri(f"sip:a@h{number}.test:5060")))

    async with trio.open_nursery() as asking:
        for number in range(300):
            asking.start_soon(ask, number)
        await server.until_asked(128)  # A and AAAA of 64 names
        server.gate.set()
    assert found == [[Hop("UDP", "192.0.2.1", 5060)]] * 300
    assert server.most_at_once == 128


async def test_a_dead_name_server_costs_numeric_targets_no_task_switch(resolver, server):
    server.gate = trio.Event()
    async with trio.open_nursery() as asking:
        for number in range(100):
            asking.start_soon(_ask_in_vain, resolver, number)
        await server.until_asked(64)
        assert resolver.now(uri("sip:bob@192.0.2.1")) == [Hop("UDP", "192.0.2.1", 5060)]
        asking.cancel_scope.cancel()


async def _ask_in_vain(resolver: Resolver, number: int) -> None:
    with pytest.raises(Unreachable):
        await resolver.find(uri(f"sip:a@h{number}.test"))


async def test_hops_that_failed_come_last_for_a_while(resolver, server, clock):
    server.records = {("host.test", "A"): ["192.0.2.1", "192.0.2.2"]}
    one, two = await resolver.find(uri("sip:a@host.test:5060"))
    resolver.dead.failed(one)
    assert resolver.now(uri("sip:a@host.test:5060")) == [two, one]
    resolver.dead.failed(two)
    assert resolver.now(uri("sip:a@host.test:5060")) == [one, two], "nobody is given up"
    clock.now += 31
    resolver.dead.failed(two)
    assert resolver.now(uri("sip:a@host.test:5060")) == [one, two]


async def test_a_steady_order_is_one_for_one_word_and_shares_the_load_over_all(resolver, server):
    """RFC 3263 §4.4, for a stateless proxy: weights count over its transactions, not within one."""
    server.records = {("_sip._udp.many.test", "SRV"): [f"0 10 5060 h{at}.test." for at in range(4)]}
    server.records |= {(f"h{at}.test", "A"): [f"192.0.2.{at}"] for at in range(4)}
    many = uri("sip:a@many.test")
    orders = {word: await resolver.find(many, word) for word in map(str, range(40))}
    for word, hops in orders.items():
        assert resolver.now(many, word) == hops
    assert {hops[0] for hops in orders.values()} == {Hop("UDP", f"192.0.2.{at}", 5060) for at in range(4)}
