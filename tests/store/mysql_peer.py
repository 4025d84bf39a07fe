"""A server that speaks the beginning of MySQL's protocol from a script: for what no MariaDB does."""

from __future__ import annotations

import hashlib
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.running import HERE

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

SALT = bytes(range(1, 21))
OK = b"\0\0\0\2\0\0\0"
FAST_OK, FULL = b"\1\3", b"\1\4"
HAS_SSL = 1 << 11
CAPABILITIES = 0x00_3F_F7_FF & ~HAS_SSL


class Peer:
    """One client's connection, seen from the server."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = stream
        self.heard: list[bytes] = []
        self._in = b""
        self._number = 0

    async def say(self, payload: bytes) -> None:
        await self.stream.send_all(len(payload).to_bytes(3, "little") + bytes([self._number]) + payload)
        self._number += 1

    async def hear(self) -> bytes:
        """The next packet; b"" when the client has gone."""
        while len(self._in) < 4 or len(self._in) < 4 + int.from_bytes(self._in[:3], "little"):
            data = bytes(await self.stream.receive_some())
            if not data:
                return b""
            self._in += data
        size = int.from_bytes(self._in[:3], "little")
        self._number = self._in[3] + 1
        payload, self._in = self._in[4 : 4 + size], self._in[4 + size :]
        self.heard.append(payload)
        return payload

    async def greet(self, plugin: str, *, tls: ssl.SSLContext | None = None) -> bytes:
        """Greet, start TLS when there is a context and the client wants it; the client's log-in packet."""
        flags = CAPABILITIES | (HAS_SSL if tls else 0)
        await self.say(
            b"\x0a8.0.36\0"
            + struct.pack("<I", 7)
            + SALT[:8]
            + b"\0"
            + struct.pack("<HBHHB", flags & 0xFFFF, 45, 2, flags >> 16, 21)
            + bytes(10)
            + SALT[8:]
            + b"\0"
            + plugin.encode()
            + b"\0"
        )
        answer = await self.hear()
        if tls is not None and len(answer) == 32:
            assert isinstance(self.stream, trio.SocketStream)
            self.stream = trio.SSLStream(self.stream, tls, server_side=True)
            answer = await self.hear()
        return answer

    async def serve(self) -> None:
        """Say OK to whatever is asked."""
        while await self.hear():
            await self.say(OK)


@asynccontextmanager
async def listening(script: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[tuple[int, list[Peer]]]:
    """The port of a server that runs this script with each client, and the clients so far."""
    peers: list[Peer] = []

    async def talk(stream: trio.SocketStream) -> None:
        peers.append(Peer(stream))
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await script(peers[-1])

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, talk, 0)
        yield listeners[0].socket.getsockname()[1], peers
        nursery.cancel_scope.cancel()


def native_proof(password: str, salt: bytes = SALT) -> bytes:
    """What mysql_native_password proves the password with."""
    once = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def caching_proof(password: str, salt: bytes = SALT) -> bytes:
    """What caching_sha2_password proves the password with."""
    once = hashlib.sha256(password.encode()).digest()
    mask = hashlib.sha256(hashlib.sha256(once).digest() + salt).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


class RsaKey:
    """The key of a MySQL server, by which passwords come to it encrypted."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def password(self, sent: bytes, salt: bytes = SALT) -> str:
        """The password that was sent."""
        oaep = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
        masked = self._key.decrypt(sent, oaep)
        return bytes(byte ^ salt[at % 20] for at, byte in enumerate(masked)).rstrip(b"\0").decode()


__all__ = ["FAST_OK", "FULL", "HERE", "OK", "SALT", "Peer", "RsaKey", "caching_proof", "listening", "native_proof"]
