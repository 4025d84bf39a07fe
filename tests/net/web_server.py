"""A web server for tests: real sockets, a thread, and pages that behave as they are told."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Answer = tuple[int, dict[str, str], bytes]

URI_LIST = {"Content-Type": "text/uri-list"}


class WebServer:
    """`pages[path]` is an answer, or a function that gives one; a path without any is 404."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Answer | Callable[[BaseHTTPRequestHandler], Answer | None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.at_once = self.most_at_once = 0
        self.gate = threading.Event()  # pages that wait, wait for it
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, dict(self.headers.items())))
                page = server.pages.get(self.path, (404, {}, b""))
                with server.counted(), suppress(OSError):
                    answer = page(self) if callable(page) else page
                    if answer is not None:
                        self.answer(*answer)

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def counted(self):
        return _Counted(self, self._lock)

    def page(self, path: str, *lines: str, **headers: str) -> None:
        """A uri-list of these lines."""
        self.pages[path] = (200, {**URI_LIST, **headers}, "\r\n".join(lines).encode())

    def waits(self, path: str) -> None:
        """A page that does not come before the gate is open."""

        def wait(handler: BaseHTTPRequestHandler) -> Answer:
            self.gate.wait(10)
            return 200, URI_LIST, b"sip:late@example.net"

        self.pages[path] = wait

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Counted:
    """How many pages are under way."""

    def __init__(self, server: WebServer, lock: threading.Lock) -> None:
        self._server, self._lock = server, lock

    def __enter__(self) -> None:
        with self._lock:
            self._server.at_once += 1
            self._server.most_at_once = max(self._server.most_at_once, self._server.at_once)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._server.at_once -= 1
