"""A running sipd for each test that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.house import Server
from tests.running import stop_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server with these settings, with TLS if wanted.

    All are stopped, and looked at, at the end, and phones left running too.
    """
    servers: list[Server] = []

    def start(*, tls: bool = False, **settings: str) -> Server:
        directory = tmp_path / f"server{len(servers)}"
        directory.mkdir()
        server = Server(directory, tls=tls, **settings)
        servers.append(server)
        server.prepare()
        server.start()
        return server

    yield start
    try:
        for server in servers:
            server.stop()
    finally:
        stop_all()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    """A server as it comes: SHA-256 offered first, then MD5."""
    return start_server()


@pytest.fixture
def md5_server(start_server: Callable[..., Server]) -> Server:
    """A server for SIPp, which gives up at a challenge whose first algorithm isn't MD5."""
    return start_server(digest_algorithms="MD5")
