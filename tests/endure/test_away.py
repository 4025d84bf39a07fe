"""Calls go on while the database is away, and no REGISTER is told what is not true (T97, T98, T107).

A few seconds of what `python -m tests.endure away` does in minutes.
"""

from __future__ import annotations

import contextlib
import random
import socket

import pytest

from tests.endure.away import away
from tests.endure.relay import Relay
from tests.endure.scenes import on_mariadb, on_sqlite

SHORT = {"locked": 1.0, "file moved away": 0.5, "another file in its place": 0.5, "file size limited": 0.5}


def test_calls_and_truth_while_a_file_is_away(tmp_path):
    with on_sqlite(tmp_path, tmp_path, random.Random(97)) as scene:
        scene.faults = [fault._replace(seconds=SHORT[fault.name]) for fault in scene.faults if fault.name in SHORT]
        outcome = away(scene, warm_up=1.0)
    assert not outcome.wrong, outcome.wrong
    assert [seen.name for seen in outcome.seen] == list(SHORT)
    for seen in outcome.seen[1:]:
        assert seen.answers[503] > 5, f"it was not away at all: {seen}"
    assert outcome.calls.done > 100


SHORT_OF_MARIADB = {"frozen": 1.5, "killed": 0.5, "read-only": 0.5}


def test_calls_and_truth_while_mariadb_is_away(tmp_path):
    with on_mariadb(tmp_path, tmp_path, random.Random(98)) as scene:
        faults = {fault.name: fault for fault in scene.faults}
        scene.faults = [faults[name]._replace(seconds=seconds) for name, seconds in SHORT_OF_MARIADB.items()]
        outcome = away(scene, warm_up=1.0)
    assert not outcome.wrong, outcome.wrong
    for seen in outcome.seen[1:]:
        assert seen.answers[503] > 5, f"it was not away at all: {seen}"
    assert outcome.calls.done > 100


@pytest.fixture
def echo():
    """A relay before a server that says what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = Relay(server.getsockname()[1])
        yield relay, server
        relay.end()


def connected(relay, server):
    near = socket.create_connection(("127.0.0.1", relay.port), timeout=5)
    far, _ = server.accept()
    far.settimeout(5)
    return near, far


def test_a_relay_is_slow_silent_or_shut_at_will(echo):
    relay, server = echo
    near, far = connected(relay, server)
    with near, far:
        near.sendall(b"one")
        assert far.recv(9) == b"one"
        relay.silent = True
        near.sendall(b"two")
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            far.recv(9)
        far.settimeout(5)
        relay.silent = False
        assert far.recv(9) == b"two"
        relay.shut()
        with contextlib.suppress(ConnectionResetError):
            assert near.recv(9) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", relay.port), timeout=5)
    relay.open()
    near, far = connected(relay, server)
    with near, far:
        far.sendall(b"three")
        assert near.recv(9) == b"three"
