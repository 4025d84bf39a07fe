from __future__ import annotations

import errno
import socket

import pytest

from sipd.errors import SetupError
from sipd.hop import Hop
from sipd.net.addresses import (
    Unreachable,
    _numeric,
    bind_failure,
    family_of,
    far_end,
    host_port,
    local_addresses,
    numeric,
    parse_listen,
    primary_address,
    source_toward,
    unicast,
)


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("udp:127.0.0.1:5060", Hop("UDP", "127.0.0.1", 5060)),
        ("udp:127.0.0.1", Hop("UDP", "127.0.0.1", 5060)),
        ("UDP:0.0.0.0:0", Hop("UDP", "0.0.0.0", 0)),
        ("tcp:192.0.2.1:5080", Hop("TCP", "192.0.2.1", 5080)),
        ("udp:[::1]:5060", Hop("UDP", "::1", 5060)),
        ("tcp:[2001:DB8:0::1]", Hop("TCP", "2001:db8::1", 5060)),
    ],
)
def test_listen_text_names_a_hop(text, hop):
    assert parse_listen(text) == hop


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not transport:address:port"),
        ("127.0.0.1:5060", "not transport:address:port"),
        ("sctp:127.0.0.1", "not transport:address:port"),
        ("udp:127.0.0.1:x", "not transport:address:port"),
        ("udp:127.0.0.1:١", "not transport:address:port"),
        ("udp:::1:5060", "not transport:address:port"),
        ("udp:127.0.0.1:5060\n", "not transport:address:port"),
        ("udp:", "nothing is not a numeric address"),
        ("udp:localhost:5060", "localhost is not a numeric address"),
        ("udp:127.1:5060", "127.1 is not a numeric address"),
        ("udp:[127.0.0.1]:5060", "is not a numeric address"),
        ("udp:127.0.0.1:65536", "there is no port 65536"),
    ],
)
def test_other_listen_text_is_refused_with_a_hint(text, says):
    with pytest.raises(SetupError) as refused:
        parse_listen(text)
    assert says in refused.value.text
    assert refused.value.hint


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("127.1", None),
        ("0x7f000001", None),
        ("2130706433", None),
        ("192.0.2.256", None),
        ("192.0.2.1\0", None),
        ("١.1.1.1", None),
        ("example.com", None),
        ("fe80::1%eth0", None),
        ("", None),
    ],
)
def test_numeric_addresses_have_one_spelling(host, plain):
    assert numeric(host) == plain


@pytest.mark.parametrize("host", ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "example.com"])
def test_only_one_machine_can_be_sent_to(host):
    with pytest.raises(Unreachable):
        unicast(host)


def test_unicast_keeps_the_one_spelling():
    assert unicast("2001:DB8::1") == "2001:db8::1"


@pytest.mark.parametrize(
    ("transport", "host", "name", "known_by"),
    [
        ("TLS", "192.0.2.1", "Example.com.", "example.com"),
        ("TLS", "192.0.2.1", "192.0.2.1", ""),
        ("TLS", "2001:db8::1", "2001:DB8:0::1", ""),
        ("TLS", "192.0.2.1", "192.0.2.2", "192.0.2.2"),
        ("WSS", "192.0.2.1", "example.com", "example.com"),
        ("TCP", "192.0.2.1", "example.com", ""),  # nothing is proved there
        ("UDP", "192.0.2.1", "example.com", ""),
    ],
)
def test_a_connection_is_known_by_the_name_it_must_prove(transport, host, name, known_by):
    assert far_end(Hop(transport, host, 5061, name)) == Hop(transport, host, 5061, known_by)


def test_ipv6_is_bracketed_in_sent_by():
    assert host_port("::1", 5060) == "[::1]:5060"
    assert host_port("192.0.2.1", 5060) == "192.0.2.1:5060"
    assert family_of("::1") == socket.AF_INET6


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EIO])
def test_bind_failure_names_the_address(number):
    assert "udp:127.0.0.1:5060" in bind_failure(Hop("UDP", "127.0.0.1", 5060), OSError(number, "")).text


def test_the_machine_has_its_loopback_and_primary_addresses():
    found = local_addresses()
    assert {"127.0.0.1", "::1"} <= found
    assert primary_address(socket.AF_INET) in found
    assert all(numeric(address) == address for address in found)


def test_the_source_toward_loopback_is_loopback():
    assert source_toward("127.0.0.1") == "127.0.0.1"
    assert source_toward("example.com") is None


def test_without_netlink_the_machine_still_has_addresses(monkeypatch):
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert "127.0.0.1" in local_addresses()


def test_what_is_too_long_for_an_address_is_not_kept():
    assert numeric("0000:0000:0000:0000:0000:ffff:192.168.100.228") == "192.168.100.228"
    kept = _numeric.cache_info().currsize
    assert numeric("1" * 4000) is None
    assert _numeric.cache_info().currsize == kept
