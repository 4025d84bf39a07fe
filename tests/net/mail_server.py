"""A mail server for tests: aiosmtpd on a loopback port, in a thread of its own, that does as it is told."""

from __future__ import annotations

import asyncio
import threading
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, NamedTuple

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session


class Got(NamedTuple):
    """One mail that came."""

    sender: str
    recipients: list[str]
    data: bytes
    encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=default)


class Talk(SMTP):
    """SMTP on a connection that is remembered."""

    transports: list[asyncio.Transport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transports.append(transport)
        super().connection_made(transport)


class Silence(asyncio.Protocol):
    """Nothing on a connection that is remembered."""

    def __init__(self, transports: list[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transports.append(transport)


class MailServer:
    """`says[command, argument]`, or `says[command]`, is what is answered in place of 250; None: nothing, for ever."""

    def __init__(self, context: ssl.SSLContext | None = None, *, tls_from_the_start: bool = False) -> None:
        self.got: list[Got] = []
        self.connections = 0
        self.says: dict[object, str | None] = {}
        self.silent = False  # accepts connections and says nothing
        self.port = 0
        self._context = context
        self._implicit = tls_from_the_start
        self._transports: list[asyncio.Transport] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop = asyncio.new_event_loop()

    async def _say(self, *keys: object) -> str:
        for key in keys:
            if key in self.says:
                said = self.says[key]
                if said is None:
                    await asyncio.sleep(3600)
                return said or ""
        return "250 OK"

    async def handle_MAIL(self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        said = await self._say(("MAIL", address), "MAIL")
        if said.startswith("2"):
            envelope.mail_from = address
        return said

    async def handle_RCPT(self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        said = await self._say(("RCPT", address), "RCPT")
        if said.startswith("2"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        said = await self._say("DATA")
        if said.startswith("2"):
            self.got.append(
                Got(
                    (envelope.mail_from or "").strip("<>"),
                    [str(address) for address in envelope.rcpt_tos],
                    envelope.content if isinstance(envelope.content, bytes) else b"",
                    session.ssl is not None or self._implicit,
                )
            )
        return said

    def _made(self) -> asyncio.Protocol:
        self.connections += 1
        if self.silent:
            return Silence(self._transports)
        context = None if self._implicit else self._context
        made = Talk(self, hostname="mail.example.test", tls_context=context, loop=self._loop)
        made.transports = self._transports
        return made

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        context = self._context if self._implicit else None
        server = self._loop.run_until_complete(self._loop.create_server(self._made, "127.0.0.1", 0, ssl=context))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for listening in server.sockets:  # nobody is accepted any more
            self._loop.remove_reader(listening.fileno())
        self._loop.run_until_complete(
            _turns()
        )  # who has just been becomes a transport: a closed server drops his socket
        server.close()
        # those that asyncio knows as well: one that no protocol has heard of yet would be collected in a later test
        for transport in [*self._transports, *self._loop._transports.values()]:  # type: ignore[attr-defined]  # its own
            transport.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(_turns())
        self._loop.close()

    def __enter__(self) -> MailServer:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


async def _turns() -> None:
    """Some turns of the loop, however long they take: what asyncio has begun with a connection, it ends in a few."""
    for _ in range(20):
        await asyncio.sleep(0)
