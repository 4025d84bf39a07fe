"""What idle connections cost: `python -m tests.load [count] [tcp|tls|ws|wss]` prints KiB of each and a call's p99."""

from __future__ import annotations

import ssl
import sys
import tempfile
from pathlib import Path

from tests.e2e.house import DOMAIN, Server
from tests.load.load import Crowd, Pair, memory, request

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


def main(count: int = 10_000, transport: str = "tcp") -> None:
    """Connects so many, and says what it saw."""
    with tempfile.TemporaryDirectory() as directory:
        more = {"max_connections": str(count + 100), "max_connections_per_source": str(count + 100)}
        server = Server(Path(directory), tls=True, auth="none", **more)
        server.prepare()
        server.start()
        try:
            show(server, count, transport)
        finally:
            server.stop()


def show(server: Server, count: int, transport: str) -> None:
    """The figures before and with that many connections of this transport."""
    assert server.child is not None
    ports = {"tcp": server.port, "tls": server.tls_port, "ws": server.ws_port, "wss": server.wss_port}
    context = None
    if transport in ("tls", "wss"):
        context = ssl.create_default_context(cafile=str(server.directory / "sipd.tls.crt"))
    with Pair(server.port) as pair, Crowd() as crowd:
        pair.register()
        pair.calls(100)
        before, at_first = pair.calls(500), memory(server.child.pid)
        first = UPGRADE if transport in ("ws", "wss") else request("OPTIONS", f"sip:{DOMAIN}", 5060, transport="TCP")
        crowd.connect(ports[transport], count, context, first)
        each = (memory(server.child.pid) - at_first) / count
        meanwhile = pair.calls(500)
        print(f"{count} idle connections, {transport}: {each / 1024:.1f} KiB each")
        print(f"p99 of a call over UDP: {before * 1000:.1f} ms before, {meanwhile * 1000:.1f} ms with them")
        print(f"calls that failed: {pair.failed}; connections that the server closed: {crowd.ended()}")


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))  # type: ignore[arg-type]  # as it says
