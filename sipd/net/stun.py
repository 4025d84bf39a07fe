"""The STUN server that phones keep their NAT open with: a Binding request in, its answer out (RFC 5626 §8, RFC 5389).

Pure: bytes and an address in, bytes out. It tells a phone under which address
we see it, and nothing else; what is no Binding request gets no answer.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final

HEADER: Final = 20
"""Bytes before the attributes (RFC 5389 §6)."""

BINDING: Final = 0x0001
SUCCESS: Final = 0x0101
ERROR: Final = 0x0111
"""Types of a message: class and method in one (RFC 5389 §6)."""

COOKIE: Final = 0x2112A442
"""What tells STUN from all else on this port."""

XOR_MAPPED_ADDRESS: Final = 0x0020
ERROR_CODE: Final = 0x0009
UNKNOWN_ATTRIBUTES: Final = 0x000A

UNDERSTOOD: Final = frozenset({0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x0014, 0x0015, 0x0020})
"""Attributes of RFC 5389 itself, and so known; a request needs none of them here, and they are passed over (§7.3)."""

OPTIONAL: Final = 0x8000
"""Attributes from here on may be passed over by who does not know them (RFC 5389 §15)."""

MAX_NAMED: Final = 16
"""Unknown attributes that an answer names."""

_HEAD: Final = Struct("!HHI12s")
_ATTRIBUTE: Final = Struct("!HH")
_ADDRESS: Final = Struct("!xBH")
_CODE: Final = Struct("!xxBB")
_FAMILIES: Final = {socket.AF_INET: 0x01, socket.AF_INET6: 0x02}


def answer(data: bytes, host: str, port: int) -> bytes | None:
    """The answer to a datagram that came from this numeric host and port; None when it is no Binding request.

    At most three times as long as the request (P14): 32 or 44 bytes to one of
    20, and 420 with the names of what it asks for and we don't know.
    """
    if len(data) < HEADER or data[0] & 0xC0:
        return None
    kind, length, cookie, transaction = _HEAD.unpack_from(data)
    if kind != BINDING or cookie != COOKIE or length != len(data) - HEADER or length % 4:
        return None
    unknown = _unknown(data)
    if unknown is None:
        return None
    if unknown:
        names = unknown[:MAX_NAMED]
        attributes = _attribute(ERROR_CODE, _CODE.pack(4, 20) + b"Unknown Attribute") + _attribute(
            UNKNOWN_ATTRIBUTES, b"".join(name.to_bytes(2, "big") for name in names)
        )
        return _HEAD.pack(ERROR, len(attributes), COOKIE, transaction) + attributes
    attributes = _attribute(XOR_MAPPED_ADDRESS, _mapped(host, port, transaction))
    return _HEAD.pack(SUCCESS, len(attributes), COOKIE, transaction) + attributes


def _unknown(data: bytes) -> list[int] | None:
    """The attributes that must be understood and are not, each once; None when these are no attributes."""
    found: dict[int, None] = {}
    at = HEADER
    while at < len(data):
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size + (length + 3 & ~3)
        if at > len(data):
            return None
        if kind < OPTIONAL and kind not in UNDERSTOOD:
            found[kind] = None
    return list(found)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _mapped(host: str, port: int, transaction: bytes) -> bytes:
    """The address, disguised from NATs that rewrite every copy of an address they see (RFC 5389 §15.2)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = socket.inet_pton(family, host)
    mask = (COOKIE.to_bytes(4, "big") + transaction)[: len(address)]
    disguised = bytes(byte ^ other for byte, other in zip(address, mask, strict=True))
    return _ADDRESS.pack(_FAMILIES[family], port ^ COOKIE >> 16) + disguised
