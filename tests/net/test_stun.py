"""STUN as RFC 5626 §8 asks for it: Binding requests and nothing else, pure."""

from __future__ import annotations

import socket
from struct import pack, unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.net.stun import COOKIE, MAX_NAMED, answer

ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")  # of RFC 5769 §2


def request(attributes: bytes = b"", kind: int = 1, cookie: int = COOKIE, length: int | None = None) -> bytes:
    return pack("!HHI12s", kind, len(attributes) if length is None else length, cookie, ID) + attributes


def attribute(kind: int, value: bytes = b"") -> bytes:
    return pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


@pytest.mark.parametrize(
    ("host", "port", "mapped"),
    [  # the addresses and their disguise are those of RFC 5769 §2.2 and §2.3
        ("192.0.2.1", 32853, "0001a147e112a643"),
        ("2001:db8:1234:5678:11:2233:4455:6677", 32853, "0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"),
    ],
)
def test_a_binding_request_hears_under_which_address_it_came(host, port, mapped):
    said = answer(request(), host, port)
    assert said is not None
    value = bytes.fromhex(mapped)
    assert said == pack("!HHI12s", 0x0101, 4 + len(value), COOKIE, ID) + pack("!HH", 0x0020, len(value)) + value


@pytest.mark.parametrize(
    "attributes",
    [
        attribute(0x8022, b"a client"),  # SOFTWARE
        attribute(0x8028, b"1234"),  # FINGERPRINT
        attribute(0x0006, b"user") + attribute(0x0008, bytes(20)),  # expected by nobody, but known
        attribute(0xFFFF, b"odd"),
    ],
)
def test_attributes_that_may_be_passed_over_are(attributes):
    assert answer(request(attributes), "192.0.2.1", 5060) == answer(request(), "192.0.2.1", 5060)


def test_attributes_that_must_be_understood_and_are_not_are_named_in_a_420():
    """RFC 5389 §7.3.1, §15.6, §15.9."""
    said = answer(request(attribute(0x0003, b"\0\0\0\6") + attribute(0x0019) + attribute(0x0003)), "192.0.2.1", 5060)
    assert said is not None
    kind, length, cookie, transaction = unpack_from("!HHI12s", said)
    assert (kind, length, cookie, transaction) == (0x0111, len(said) - 20, COOKIE, ID)
    assert said[20:] == attribute(0x0009, b"\0\0\4\x14Unknown Attribute") + attribute(0x000A, b"\0\3\0\x19")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request()[:19],
        request(kind=0x0011),  # an indication
        request(kind=0x0101),  # an answer
        request(kind=0x0111),
        request(kind=0x0003),  # Allocate: we relay nothing
        request(kind=0x4001),  # not STUN by its first two bits
        request(cookie=0x2112A443),  # the STUN of RFC 3489
        request(length=4),
        request(b"\0\1\0", length=3),
        request(attribute(0x8022, b"x"), length=0),
        request(pack("!HH", 0x8022, 400) + b"abcd"),  # an attribute longer than the message
        b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
    ],
)
def test_all_else_gets_no_answer(data):
    assert answer(data, "192.0.2.1", 5060) is None


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_it_and_no_answer_is_three_times_as_long(attributes, is_ipv6):
    data = request(attributes + bytes(-len(attributes) % 4))
    said = answer(data, "2001:db8::1" if is_ipv6 else "192.0.2.1", 5060)
    assert said is None or len(said) <= 3 * len(data)


def test_many_unknown_attributes_are_named_up_to_a_number():
    said = answer(request(b"".join(attribute(0x4000 + n) for n in range(300))), "192.0.2.1", 5060)
    assert said is not None
    assert len(said) == 20 + 28 + 4 + 2 * MAX_NAMED


def test_the_address_that_is_disguised_comes_back():
    said = answer(request(), "203.0.113.9", 1024)
    assert said is not None
    family, port, address = unpack_from("!xBHI", said, 24)
    assert (family, port ^ 0x2112, socket.inet_ntoa((address ^ COOKIE).to_bytes(4, "big"))) == (1, 1024, "203.0.113.9")
