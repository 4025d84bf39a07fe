"""The rules of RFC 5922 §7.1 and §7.2, one case each."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509

from sipd.net.names import names_in, plain_name, proven_names
from tests.net.certificates import with_names

DNS, URI = x509.DNSName, x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("names", "common_name", "proven"),
    [
        ([URI("sip:example.com")], "", ("example.com",)),
        ([URI("SIP:Example.COM.")], "", ("example.com",)),
        ([URI("sip:example.com:5061;transport=tls")], "", ("example.com",)),
        ([URI("sip:alice@example.com")], "", ()),  # a user, not a domain
        ([URI("sips:example.com"), URI("https://example.com")], "", ()),  # MUST NOT
        ([URI("sip:not a uri")], "", ()),
        ([DNS("Proxy.Example.com"), DNS("example.org")], "", ("proxy.example.com", "example.org")),
        ([URI("sip:example.com"), DNS("proxy.example.com")], "", ("example.com",)),  # host names only without a URI
        ([URI("sip:alice@example.com"), DNS("example.org")], "", ("example.org",)),
        ([DNS("xn--BCHER-kva.example")], "", ("xn--bcher-kva.example",)),  # as URIs have it, too: RFC 3261 §25.1
        ([DNS("*.example.com")], "", ("*.example.com",)),  # stays a name that no host has
        ([DNS("a.example")], "b.example", ("a.example",)),  # no common name beside alternative ones
        ([URI("https://example.com")], "b.example", ()),
        ([], "B.example", ("b.example",)),
        ([], "Some Company", ()),
        ([], "ban\u212a.example", ()),  # a Kelvin sign is no k
        ([], "", ()),
        ([x509.IPAddress(ip_address("192.0.2.1")), x509.IPAddress(ip_address("2001:DB8:0::1"))], "",
         ("192.0.2.1", "2001:db8::1")),
    ],
)  # fmt: skip
def test_what_a_certificate_proves(names, common_name, proven):
    assert proven_names(with_names(*names, common_name=common_name)) == proven


def test_what_can_not_be_read_proves_nothing():
    assert names_in(b"no certificate") == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [("Example.COM", "example.com."), ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
def test_names_are_compared_without_case_and_final_dot(one, other):
    assert plain_name(one) == plain_name(other)
