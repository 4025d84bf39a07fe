from __future__ import annotations

import random
from pathlib import Path

import dns.rcode
import pytest
import trio

from sipd.net.dns import FAILED_TTL
from sipd.net.enum import Number, domain_name, rewritten, speaks_sip, usable
from sipd.net.resolver import Resolver
from tests.net.name_server import NameServer

NUMBER = "+442079460148"
NAME = "8.4.1.0.6.4.9.7.0.2.4.4.e164.test"


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
def resolver(server, clock):
    return Resolver(hosts=Path("/none"), nameserver=server.address, clock=clock, chance=random.Random(1))


def rule(order: int, preference: int, regexp: str, service: str = "E2U+sip", flags: str = "u", to: str = ".") -> str:
    escaped = regexp.replace("\\", "\\\\")
    return f'{order} {preference} "{flags}" "{service}" "{escaped}" {to}'


def test_a_number_becomes_a_name():
    assert domain_name(Number(NUMBER, "e164.arpa.")) == "8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa"


@pytest.mark.parametrize(
    ("service", "speaks"),
    [
        ("E2U+SIP", True),
        ("E2U+VOICE:TEL+SIP", True),
        ("SIP+E2U", True),
        ("E2U+H323", False),
        ("E2U", False),
        ("E2U+P-SIP", False),
        ("SIP+D2U", False),
        ("", False),
    ],
)
def test_services(service, speaks):
    assert speaks_sip(service) is speaks


@pytest.mark.parametrize(
    ("regexp", "uri"),
    [
        ("!^.*$!sip:info@example.com!", "sip:info@example.com"),
        ("!^\\+44(.*)$!sip:\\1@uk.example.com!", "sip:2079460148@uk.example.com"),
        ("/^\\+(..)(.*)$/sip:\\2\\1@example.com/i", "sip:207946014844@example.com"),
        ("!^.*$!sip:a\\!b@example.com!", "sip:a!b@example.com"),
        ("!44!sip:x@example.com!", "sip:x@example.com"),
        ("!^\\+33.*$!sip:x@example.com!", None),
        ("!^.*$!sip:\\1@example.com!", None),
        ("!^.*$!sip:x@example.com", None),
        ("!^.*$!sip:x@example.com!!", None),
        ("1^.*$1sip:x@example.com1", None),
        ("i^.*$isip:x@example.comi", None),
        ("!^(.*$!sip:x@example.com!", None),
        ("!(.*)!sip:" + "\\1" * 60 + "@example.com!", None),
        ("", None),
        ("!", None),
    ],
)
def test_rules(regexp, uri):
    assert rewritten(regexp, NUMBER) == uri


@pytest.mark.parametrize(
    ("text", "is_usable"),
    [
        ("sip:x@example.com", True),
        ("sips:x@example.com;user=phone", True),
        ("tel:+4420", False),
        ("mailto:x@example.com", False),
        ("sip:x@example.com?Route=%3Csip:evil.test%3E", False),
        ("sip:x@example.com;method=BYE", False),
        ("sip:x@exa mple.com", False),
        ("sip:x@example.com\r\nVia: x", False),
        ("", False),
    ],
)
def test_only_uris_that_a_request_may_have_are_taken(text, is_usable):
    assert usable(text) is is_usable


async def test_rules_are_taken_by_order_and_preference(resolver, server):
    server.records[NAME, "NAPTR"] = [
        rule(200, 1, "!^.*$!sip:fourth@example.com!"),
        rule(100, 20, "!^.*$!sip:second@example.com!"),
        rule(100, 10, "!^\\+(.*)$!sip:\\1@first.example.com!"),
        rule(100, 30, "!^.*$!sips:third@example.com!", "sip+E2U"),
        rule(50, 1, "!^.*$!h323:nobody@example.com!", "E2U+h323"),
        rule(60, 1, "!^.*$!mailto:nobody@example.com!"),
        rule(70, 1, "!^.*$!sip:nobody@example.com!", flags="x"),
        rule(80, 1, "!^(((.*$!sip:nobody@example.com!"),
    ]
    assert await resolver.listed(NUMBER, "e164.test") == (
        "sip:442079460148@first.example.com",
        "sip:second@example.com",
        "sips:third@example.com",
        "sip:fourth@example.com",
    )
    assert server.asked == [(NAME, "NAPTR")]
    await resolver.listed(NUMBER, "e164.test")
    assert len(server.asked) == 1, "remembered"


async def test_a_rule_without_flag_leads_to_another_name_and_loops_end(resolver, server):
    server.records = {
        (NAME, "NAPTR"): [rule(1, 1, "", "", "", "next.test."), rule(2, 1, "!^.*$!sip:own@example.com!")],
        ("next.test", "NAPTR"): [
            rule(9, 9, "!^.*$!sip:next@example.com!"),
            rule(1, 1, "", "", "", f"{NAME}."),
            rule(1, 2, "", "", "", "gone.test."),
        ],
    }
    with trio.fail_after(5):
        found = await resolver.listed(NUMBER, "e164.test")
    assert found == ("sip:next@example.com", "sip:own@example.com")
    assert sorted(server.asked) == [(NAME, "NAPTR"), ("gone.test", "NAPTR"), ("next.test", "NAPTR")]


async def test_a_long_chain_ends(resolver, server):
    server.records = {(f"c{at}.test", "NAPTR"): [rule(1, 1, "", "", "", f"c{at + 1}.test.")] for at in range(30)}
    server.records[NAME, "NAPTR"] = [rule(1, 1, "", "", "", "c0.test."), rule(2, 1, "!^.*$!sip:own@example.com!")]
    assert await resolver.listed(NUMBER, "e164.test") == ("sip:own@example.com",)
    assert len(server.asked) == 6


@pytest.mark.parametrize("rcode", [None, dns.rcode.SERVFAIL])
async def test_a_number_that_is_not_there_is_no_fault(resolver, server, clock, rcode):
    server.rcode = rcode
    assert await resolver.listed(NUMBER, "e164.test") == ()
    asked = len(server.asked)
    assert await resolver.listed(NUMBER, "e164.test") == ()
    assert len(server.asked) == asked
    clock.now += FAILED_TTL + 1
    await resolver.listed(NUMBER, "e164.test")
    assert (len(server.asked) > asked) is (rcode is not None), "a failure is tried again soon"


async def test_a_silent_name_server_is_given_up(resolver, server, monkeypatch):
    monkeypatch.setattr("sipd.net.resolver.TIMEOUT", 0.2)
    server.is_silent = True
    with trio.fail_after(5):
        assert await resolver.listed(NUMBER, "e164.test") == ()
