"""What ICMP says of datagrams we sent: Linux' queue of errors, read and judged (§18.4, RFC 1122 §4.1.3.3)."""

from __future__ import annotations

import socket
import sys
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_IS_LINUX: Final = sys.platform == "linux"
_QUEUES: Final = {socket.AF_INET: (0, 11), socket.AF_INET6: (41, 25)}  # (SOL_IP, IP_RECVERR), (SOL_IPV6, IPV6_RECVERR)
_MSG_ERRQUEUE: Final = 0x2000
_EXTENDED_ERROR: Final = Struct("=IBBBBII")  # sock_extended_err: errno, origin, type, code, padding, info, data
_FROM_ICMP, _FROM_ICMP6 = 2, 3
_SPACE: Final = 512
_QUOTED: Final = 16
"""Bytes of our own datagram that are looked at: enough to tell a request from a response."""

UNREACHABLE: Final = 3
PARAMETER_PROBLEM: Final = 12
UNREACHABLE6: Final = 1
PARAMETER_PROBLEM6: Final = 4
_FRAGMENTATION_NEEDED, _SOURCE_ROUTE_FAILED = 4, 5
"""Codes of UNREACHABLE that don't say that nobody is there: the kernel acts on the former by itself."""


class Undelivered(NamedTuple):
    """One datagram that did not arrive."""

    address: tuple[str, int] | tuple[str, int, int, int]  # where it went, as the socket writes it
    quoted: bytes  # how it began, as far as ICMP sent it back
    is_final: bool  # no such port, protocol, host or network; else an error that may pass (§18.4)


def ask_for_errors(ours: socket.socket) -> None:
    """Has ICMP errors queued for this socket, each with the address it speaks of; nothing where there is no queue."""
    if _IS_LINUX:
        ours.setsockopt(*_QUEUES[ours.family], 1)


def errors_of(ours: socket.socket, at_most: int) -> Iterator[Undelivered]:
    """The errors that are queued, oldest first; each is gone from the queue once it is given."""
    if not _IS_LINUX:
        return
    level, kind = _QUEUES[ours.family]
    for _ in range(at_most):
        try:
            data, ancillary, _, address = ours.recvmsg(_QUOTED, _SPACE, _MSG_ERRQUEUE)
        except OSError:  # no more of them
            return
        for found_level, found_kind, value in ancillary:
            if (found_level, found_kind) == (level, kind) and len(value) >= _EXTENDED_ERROR.size and address:
                _, origin, type_, code, *_ = _EXTENDED_ERROR.unpack_from(value)
                yield Undelivered(address, data, _is_final(origin, type_, code))


def _is_final(origin: int, type_: int, code: int) -> bool:
    """Time exceeded, too big and source quench are no failures of sending (§18.4)."""
    if origin == _FROM_ICMP6:
        return type_ in (UNREACHABLE6, PARAMETER_PROBLEM6)
    if origin != _FROM_ICMP:
        return False  # of our own machine: whoever sent has heard of it
    if type_ == UNREACHABLE:
        return code not in (_FRAGMENTATION_NEEDED, _SOURCE_ROUTE_FAILED)
    return type_ == PARAMETER_PROBLEM
