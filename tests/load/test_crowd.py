"""Many peers, slow peers, greedy peers, on real sockets: nobody else notices (T27, T58, T59, T99, T103).

The numbers are those that a shared machine can do in seconds;
`SIPD_CROWD=10000 pytest tests/load` is the whole of T58.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from contextlib import suppress

from sipd.net.stream import PATIENCE as SERVERS_PATIENCE
from tests.e2e.house import DOMAIN
from tests.load.load import PATIENCE, Crowd, Pair, connections_of, cpu_seconds, memory, request
from tests.running import HERE

CROWD = int(os.environ.get("SIPD_CROWD", "2000"))
KIB, MIB = 1024, 1 << 20


def unchanged(before: float, meanwhile: float) -> bool:
    """Whether a latency is what it was, give or take what a machine shared with others adds by itself."""
    return meanwhile < 3 * before + 0.03


def until(condition, seconds: float, pair: Pair, what: str) -> None:
    """Calls go on until that holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        pair.call()


def test_idle_connections_cost_little_and_calls_go_on(server, honest):
    """T58: under 20 KiB each, and p99 of a call over UDP is what it was."""
    before = honest.calls(200)
    at_first = memory(server.child.pid)
    with Crowd() as crowd:
        crowd.connect(server.port, CROWD)
        crowd.say(request("OPTIONS", f"sip:{DOMAIN}", 5060, transport="TCP"))
        assert crowd.hear(b"SIP/2.0 200") == CROWD
        each = (memory(server.child.pid) - at_first) / CROWD
        meanwhile = honest.calls(200)
        assert each < 20 * KIB, f"{each / KIB:.1f} KiB"
        assert unchanged(before, meanwhile), (before, meanwhile)
        assert honest.failed == 0
        assert crowd.ended() == 0
    until(lambda: connections_of(server.child.pid) < 100, PATIENCE, honest, "connections stay after their ends")


def test_a_thousand_peers_of_one_byte_a_second_are_closed_in_time(server, honest):
    """T27: the head of a message has ten seconds, however it drips."""
    before, count = honest.calls(100), 1000
    head = request("OPTIONS", f"sip:{DOMAIN}", 5060, transport="TCP")
    with Crowd() as crowd:
        crowd.connect(server.port, count)
        begin, said = time.monotonic(), 0
        while (ended := crowd.ended()) < count:
            took = time.monotonic() - begin
            assert took < SERVERS_PATIENCE.head + 15, f"{count - ended} are still there"
            if took > said:  # a second is over
                crowd.say(head[said : said + 1])
                said += 1
            honest.calls(20)
        assert time.monotonic() - begin > SERVERS_PATIENCE.head, "whoever is slow has his time all the same"
    server.child.wait_for(r"event=connection_closed .*slow_client")
    assert honest.failed == 0
    latencies = sorted(honest.latencies[120:])
    assert unchanged(before, latencies[len(latencies) * 99 // 100]), (before, latencies[-5:])


def test_one_who_never_reads_is_closed_and_costs_no_memory(server, honest):
    """What waits to be sent on one connection has its limit."""
    at_first = memory(server.child.pid)
    message = request("OPTIONS", f"sip:{DOMAIN}", 5060, transport="TCP")
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.settimeout(0.5)
        greedy.connect((HERE, server.port))
        closed, deadline = False, time.monotonic() + PATIENCE
        while not closed and time.monotonic() < deadline:
            try:
                greedy.sendall(message * 50)
            except TimeoutError:  # the server reads no more for now
                honest.call()
            except OSError:
                closed = True
    assert closed, "the server keeps on sending to one who does not read"
    assert memory(server.child.pid) - at_first < 20 * MIB
    assert honest.failed == 0


def test_a_hundred_megabytes_of_garbage(server, honest):
    """Over TCP it is closed at once, over UDP it is dropped; memory stays, and calls go on."""
    at_first = memory(server.child.pid)
    garbage = os.urandom(1 << 20)
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        while sent < 50 * MIB:
            for at in range(0, len(garbage) - 1400, 1400):
                udp.sendto(garbage[at : at + 1400], (HERE, server.port))
            sent += len(garbage)
            honest.call(seconds=PATIENCE)
    refused = 0
    for _ in range(50):
        with socket.create_connection((HERE, server.port), timeout=PATIENCE) as tcp:
            with suppress(OSError):
                tcp.sendall(garbage)
                while tcp.recv(65536):
                    pass
            refused += 1
        honest.call(seconds=PATIENCE)
    assert refused == 50
    assert honest.failed == 0
    assert memory(server.child.pid) - at_first < 50 * MIB


def test_without_descriptors_udp_goes_on_and_nothing_spins(server, honest):
    """T103."""
    pid = server.child.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 50, limits[1]))
    ping = b"\r\n\r\n"
    try:
        with Crowd() as crowd:
            crowd.connect(server.port, 200)  # the kernel takes them in; the server can't
            crowd.say(ping)
            server.child.wait_for(r"event=descriptors_used_up .*EMFILE")
            begin, used_before = time.monotonic(), cpu_seconds(pid)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waiting:
                waiting.settimeout(1.0)
                with suppress(TimeoutError):
                    waiting.recv(1)  # nothing will come: a second in which the server has nothing to do
            share = (cpu_seconds(pid) - used_before) / (time.monotonic() - begin)
            assert share < 0.3, f"{share:.0%} of a processor for nothing"
            honest.calls(100)
            assert honest.failed == 0
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            assert crowd.hear(b"\r\n") == 200, "all come in once there is room"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_a_server_frozen_for_three_seconds_comes_back(server, honest):
    """T99: what the kernel could not keep is lost, counted and said; calls go through at once."""
    os.kill(server.child.pid, signal.SIGSTOP)
    try:
        begin, flood = time.monotonic(), request("OPTIONS", f"sip:{DOMAIN}", 5060) + bytes(4000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            while time.monotonic() - begin < 3:
                udp.sendto(flood, (HERE, server.port))
    finally:
        os.kill(server.child.pid, signal.SIGCONT)
    begin = time.monotonic()
    honest.call(seconds=PATIENCE)
    assert honest.failed == 0
    assert time.monotonic() - begin < 5  # one second where the machine is ours alone
    assert unchanged(0.01, honest.calls(50))
    server.child.wait_for(r"event=datagrams_lost ")


def test_a_flood_of_requests_leaves_memory_where_it_was(server, honest):
    """T59, T60: every request makes a transaction; above their number there is 503, and afterwards all is well."""
    pid, invites = server.child.pid, 0
    with Pair(server.port) as flood:
        flood.phone.setblocking(False)
        for _ in range(5):
            for _ in range(2000):
                port = flood.caller.getsockname()[1]
                flood.caller.sendto(request("INVITE", f"sip:nobody{invites}@{DOMAIN}", port), (HERE, server.port))
                invites += 1
            honest.call(seconds=PATIENCE)
        first = memory(pid)
        for _ in range(5):
            for _ in range(4000):
                flood.caller.sendto(request("REGISTER", f"sip:{DOMAIN}", port), (HERE, server.port))
            honest.call(seconds=PATIENCE)
    begin = time.monotonic()
    honest.register()
    assert time.monotonic() - begin < 3
    assert memory(pid) - first < 60 * MIB
