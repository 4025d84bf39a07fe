"""Addresses as text: `--listen` values, numeric hosts, and which addresses this machine has."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from sipd.errors import ServiceUnavailable, SetupError
from sipd.hop import DEFAULT_PORTS, SECURE, Hop

WILDCARDS: Final = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}
"""The hosts that stand for every address of the machine."""

EXAMPLE: Final = "Write it like udp:192.0.2.1:5060, tcp:0.0.0.0:5060 or udp:[2001:db8::1]:5060"

_LISTEN = re.compile(r"([A-Za-z]+):(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", re.ASCII)
_MAPPED = "::ffff:"
_LONGEST: Final = 45  # characters of an IPv6 address with an IPv4 address at its end

ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?", re.ASCII | re.DOTALL)
"""A host that ends in a number and is no address is no name either: nobody is asked for it (T07)."""


class Unreachable(ServiceUnavailable):
    """No way leads there: no such name, or no listener of that transport and family (RFC 3263 §4.3)."""


def parse_listen(text: str) -> Hop:
    """The Hop that a `--listen` value names: transport:address[:port], IPv6 in brackets.

    The port is the transport's default when absent; 0 lets the system choose.
    Raises SetupError with what is wrong and how to write it.
    """
    found = _LISTEN.fullmatch(text)
    if found is None or found[1].upper() not in DEFAULT_PORTS:
        raise SetupError(f"--listen {text}: this is not transport:address:port", EXAMPLE)
    transport = found[1].upper()
    host = numeric(found[2].strip("[]"))
    if host is None or (":" in host) != found[2].startswith("["):
        raise SetupError(f"--listen {text}: {found[2] or 'nothing'} is not a numeric address", EXAMPLE)
    port = DEFAULT_PORTS[transport] if found[3] is None else int(found[3])
    if port > 65535:
        raise SetupError(f"--listen {text}: there is no port {port}", "Ports go from 1 to 65535")
    return Hop(transport, host, port)


def numeric(host: str) -> str | None:
    """The one spelling of a numeric address (RFC 5952), or None when it is a name.

    An IPv4 address mapped into IPv6 comes out as IPv4. Short forms such as
    127.1 are no addresses in SIP (§25.1).
    """
    return _numeric(host) if len(host) <= _LONGEST else None  # longer text is not to be kept


@lru_cache(4096)
def _numeric(host: str) -> str | None:
    try:
        if ":" not in host:
            socket.inet_pton(socket.AF_INET, host)
            return host
        text = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))
    except (OSError, ValueError, UnicodeError):
        return None
    return text[len(_MAPPED) :] if text.startswith(_MAPPED) and "." in text else text


def unicast(host: str) -> str:
    """The one spelling of a numeric address that one machine can have. Raises Unreachable for any other text.

    What is sent to a multicast or unspecified address would reach many, or ourselves.
    """
    plain = numeric(host)
    if plain is None or (address := ip_address(plain)).is_multicast or address.is_unspecified:
        raise Unreachable("Not a Unicast Address")
    return plain


def family_of(host: str) -> socket.AddressFamily:
    """The address family of a numeric host."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def far_end(hop: Hop) -> Hop:
    """The Hop by which a connection is known: with the name its certificate must prove, where it must prove one (T94).

    An address needs no name: whoever is connected from there is there.
    """
    if not hop.name:
        return hop
    needs_proof = hop.transport in SECURE and numeric(hop.name) != hop.host
    return hop._replace(name=hop.name.lower().rstrip(".") if needs_proof else "")


def host_port(host: str, port: int) -> str:
    """`host:port` as Via writes it, IPv6 in brackets (§20.42)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind_failure(hop: Hop, error: OSError) -> SetupError:
    """Why a listener can't be had at `hop`, in words for whoever starts the server (T102)."""
    texts = {
        errno.EADDRINUSE: ("is in use by another program", "Stop that program, or choose another port with --listen"),
        errno.EACCES: ("is not permitted", "Ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"),
        errno.EPERM: ("is not permitted", "A firewall or sandbox of this machine forbids it"),
        errno.EADDRNOTAVAIL: ("is not an address of this machine", "Use one that `ip address` shows, or 0.0.0.0"),
        errno.EAFNOSUPPORT: ("needs IPv6, which this machine does not have", "Use an IPv4 address"),
    }
    text, hint = texts.get(error.errno or 0, (f"can't be used: {os.strerror(error.errno or 0)}", ""))
    return SetupError(f"{hop} {text}", hint)


def source_toward(host: str) -> str | None:
    """The address of ours from which the system would send to this numeric host; None: no route.

    Connecting a UDP socket asks the routing table and sends nothing.
    """
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


def primary_address(family: socket.AddressFamily) -> str:
    """The address of ours used toward the Internet; the loopback when there is no way there."""
    far, loopback = ("2001:db8::1", "::1") if family == socket.AF_INET6 else ("198.51.100.1", "127.0.0.1")
    return source_toward(far) or loopback


def local_addresses() -> frozenset[str]:
    """Every numeric address that this machine has now, in the spelling of `numeric`."""
    found = {"127.0.0.1", "::1", primary_address(socket.AF_INET), primary_address(socket.AF_INET6)}
    try:
        found |= _kernel_addresses()
    except (OSError, AttributeError):  # not a Linux: what its own name resolves to
        found |= _addresses_of_our_name()
    return frozenset(found)


def _addresses_of_our_name() -> set[str]:
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return set()
    return {str(info[4][0]).partition("%")[0] for info in infos}


# rtnetlink(7): a dump of RTM_GETADDR answers with RTM_NEWADDR messages and ends with NLMSG_DONE.
_NLMSG_ERROR, _NLMSG_DONE, _RTM_NEWADDR, _RTM_GETADDR, _DUMP = 2, 3, 20, 22, 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_MESSAGE = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_INTERFACE = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type


def _kernel_addresses() -> set[str]:
    """What the kernel lists for its interfaces; without the route table, which may be huge."""
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(1)
        asked = _INTERFACE.pack(0, 0, 0, 0, 0)
        netlink.send(_MESSAGE.pack(_MESSAGE.size + len(asked), _RTM_GETADDR, _DUMP, 1, 0) + asked)
        while True:
            answer, offset = netlink.recv(1 << 16), 0
            while offset < len(answer):
                length, kind, *_ = _MESSAGE.unpack_from(answer, offset)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < _MESSAGE.size:
                    return found
                if kind == _RTM_NEWADDR:
                    found |= _address_in(answer[offset + _MESSAGE.size : offset + length])
                offset += (length + 3) & ~3


def _address_in(message: bytes) -> set[str]:
    """The local address of one RTM_NEWADDR: IFA_LOCAL, or IFA_ADDRESS where there is no peer."""
    family = _INTERFACE.unpack_from(message)[0]
    found: dict[int, str] = {}
    offset = _INTERFACE.size
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < _ATTRIBUTE.size:
            break
        value = message[offset + _ATTRIBUTE.size : offset + length]
        if kind in (_IFA_ADDRESS, _IFA_LOCAL) and len(value) in (4, 16):
            found[kind] = socket.inet_ntop(family, value)
        offset += (length + 3) & ~3
    local = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))
    return set() if local is None else {local}
