"""TLS over one connected socket, as a Trio stream that can also send without waiting (RFC 8446, RFC 5246).

The cryptography is OpenSSL's, between two buffers in memory. What comes out of
it goes to the socket at once, in order; only what the kernel did not take is
waited for. So a message is encrypted and sent in the turn it is given.
"""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import suppress
from typing import Final

import trio

from sipd.net.base import StreamFault
from sipd.net.tls_words import words_of

RAW_SIZE: Final = 16384
"""Bytes taken from the socket at once."""

MOST_UNSENT: Final = 1 << 19
"""Encrypted bytes that may wait: more than any message of ours, so the peer asks for answers and does not read them.

Each request for another key draws an answer (RFC 8446 §4.6.3), and nothing else would end that.
"""


class TlsStream(trio.abc.HalfCloseableStream):
    """One TLS connection. `handshake` comes first, then anything of a Trio stream, and `send_now`.

    One task may receive while another sends. A peer that closes without
    saying so (close_notify) is taken as one that said it: messages carry
    their own length, so nothing can be cut short unseen (§18.3).
    """

    __slots__ = ("_ahead", "_incoming", "_is_closed", "_outgoing", "_raw", "_said_goodbye", "_unsent", "tls")

    def __init__(
        self, raw: socket.socket, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None
    ) -> None:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # messages are whole when they are sent
        self._raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name
        )
        self._unsent = b""  # encrypted, and not taken by the kernel yet
        self._ahead = 0  # bytes that send_now has encrypted and send_all will be given
        self._said_goodbye = False
        self._is_closed = False

    async def handshake(self) -> None:
        """Agrees on keys. Raises ssl.SSLError when that can't be: the peer has been told why; OSError, StreamFault."""
        while not self._agreed():
            await self._flush()
            if not await self._fill():
                raise StreamFault("TLS failed: the peer went away during the handshake")
        await self._flush()
        if sys.platform == "linux":
            # A client that waits for small pieces to be acknowledged (Nagle) need not wait for the first one.
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _agreed(self) -> bool:
        """Whether the handshake is through; goes on with it as far as what has come allows. Raises ssl.SSLError."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            self._push_alert()
            raise
        return True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Decrypted bytes; none once the peer has said its last. After `send_eof` what comes is thrown away."""
        if self._said_goodbye:
            while await self._fill():
                pass
            return b""
        has_waited = False
        while True:
            try:
                data = self.tls.read(max_bytes or RAW_SIZE)
            except ssl.SSLWantReadError:
                self._push_alert()
                if len(self._unsent) > MOST_UNSENT:
                    raise StreamFault("TLS failed: the peer does not read what it asks for") from None
            except ssl.SSLError as error:
                self._push_alert()
                raise StreamFault(f"TLS failed: {words_of(error)}") from error
            else:
                if not has_waited:
                    await trio.lowlevel.checkpoint()
                return data
            has_waited = True
            if not await self._fill():
                return b""  # without asking OpenSSL, which would take it for an attack and send no more

    def send_now(self, data: bytes) -> int:
        """How many of these bytes were sent at once: all, or none. Raises OSError.

        When it says none, the same bytes must be what `send_all` is given
        next: they may be encrypted already, and waiting for the kernel.
        """
        if self._unsent:
            return 0
        if self._encrypt(data):
            return len(data)
        self._ahead = len(data)
        return 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends, waiting while the peer does not read."""
        ahead = min(self._ahead, len(data))
        self._ahead -= ahead
        if self._is_closed:
            raise trio.ClosedResourceError
        try:
            if ahead < len(data):
                await self._flush()
                self._encrypt(memoryview(data)[ahead:])
            await self._flush()
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Waits until there is room."""
        await trio.lowlevel.wait_writable(self._raw)

    async def send_eof(self) -> None:
        """Says that we say no more (close_notify, then the end of the TCP stream)."""
        self._say_goodbye()
        try:
            await self._flush()
            self._raw.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    def close(self) -> None:
        """Says goodbye without waiting, and closes."""
        if not self._is_closed:
            self._is_closed = True
            self._say_goodbye()
            trio.lowlevel.notify_closing(self._raw)
            self._raw.close()

    async def aclose(self) -> None:
        """`close`, in the form that Trio's streams have."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _say_goodbye(self) -> None:
        if not self._said_goodbye:
            self._said_goodbye = True
            with suppress(OSError):  # the alert is made; that the peer's own has not come yet is no matter
                self.tls.unwrap()
            self._push_alert()

    def _encrypt(self, data: bytes | memoryview) -> bool:
        """Encrypts all and sends what goes at once; whether that was all. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.tls.write(rest) :]  # a record at a time
        self._push()
        return not self._unsent

    def _push_alert(self) -> None:
        """Sends what TLS itself has to say, if it can be sent: a connection that broke shows elsewhere."""
        with suppress(OSError):
            self._push()

    def _push(self) -> None:
        """Hands to the kernel what it takes. Raises OSError."""
        wire = self._unsent + self._outgoing.read() if self._outgoing.pending else self._unsent
        if wire:
            with suppress(BlockingIOError):
                wire = wire[self._raw.send(wire) :]
            self._unsent = wire

    async def _flush(self) -> None:
        self._push()
        while self._unsent:
            await trio.lowlevel.wait_writable(self._raw)
            self._push()

    async def _fill(self) -> bool:
        """Waits for bytes from the peer; False: there will be none. Raises BrokenResourceError."""
        while True:
            await trio.lowlevel.wait_readable(self._raw)
            try:
                data = self._raw.recv(RAW_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
            if not self._said_goodbye and data:
                self._incoming.write(data)
            return bool(data)
