"""A phone whose program has ended: its machine says so by ICMP, and nobody waits for Timer B (RFC 3261 §18.4)."""

from __future__ import annotations

import time

from tests.e2e.house import DOMAIN
from tests.load.load import Pair, request


def test_a_call_to_a_phone_that_is_gone_ends_at_once_and_not_after_32_seconds(start_server):
    server = start_server(auth="none")
    with Pair(server.port) as pair:
        pair.register()
        pair.phone.close()
        port = pair.caller.getsockname()[1]
        begin = time.monotonic()
        pair.caller.sendto(
            request("INVITE", f"sip:bob@{DOMAIN}", port, f"Contact: <sip:alice@127.0.0.1:{port}>"), pair.server
        )
        pair.caller.settimeout(20)
        statuses: list[int] = []
        while not statuses or statuses[-1] < 200:
            statuses.append(int(pair.caller.recv(65535)[8:11]))
        assert time.monotonic() - begin < 16, "Timer B is at 32 s"
    assert statuses == [100, 500]
    assert "branch" in server.ctl("explain", "last")
