"""Which ICMP messages mean that nothing can be sent there (RFC 3261 §18.4; what the socket tells: test_udp.py)."""

from __future__ import annotations

import pytest

from sipd.net.icmp import _is_final

ICMP, ICMP6, LOCAL = 2, 3, 1  # origins, as Linux numbers them


@pytest.mark.parametrize(
    ("origin", "type_", "code", "final"),
    [
        (ICMP, 3, 0, True),  # network,
        (ICMP, 3, 1, True),  # host,
        (ICMP, 3, 2, True),  # protocol,
        (ICMP, 3, 3, True),  # port unreachable
        (ICMP, 3, 4, False),  # too big for the way
        (ICMP, 12, 0, True),  # parameter problem
        (ICMP, 4, 0, False),  # source quench
        (ICMP, 11, 0, False),  # TTL exceeded
        (ICMP6, 1, 4, True),  # port unreachable
        (ICMP6, 4, 0, True),  # parameter problem
        (ICMP6, 2, 0, False),  # too big for the way
        (ICMP6, 3, 0, False),  # hop limit exceeded
        (LOCAL, 0, 0, False),
    ],
)
def test_source_quench_and_ttl_exceeded_are_ignored(origin: int, type_: int, code: int, final: bool) -> None:
    assert _is_final(origin, type_, code) is final
