"""How we log in: the answer to the greeting, and what the server asks after it.

A password never leaves in clear: neither to a server that asks for it without
TLS, nor encrypted with a key that anybody in between could have given us.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import trio
from trio_mysql import _auth, err
from trio_mysql.constants import CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_mysql.protocol import MysqlPacket

    from sipd.store.mysql_wire import Wire

UTF8MB4: Final = 45
"""The character set of the connection: utf8mb4_general_ci, which all servers know."""

MOST_ROUNDS: Final = 8
"""Packets of the server's between our answer and its OK."""

UNKNOWN_PLUGIN: Final = 2059
NEEDS_TLS: Final = 2061
NO_TLS: Final = 2026
"""The client library's own numbers."""

FAST_OK, FULL = 3, 4
"""What caching_sha2_password says of our scramble: it is good; I don't know you yet, send the password."""

FIRST: Final[Mapping[str, Callable[[bytes, bytes], bytes]]] = {
    "mysql_native_password": _auth.scramble_native_password,
    "caching_sha2_password": lambda password, salt: _auth.scramble_caching_sha2(password, salt[:20]),
    "sha256_password": lambda password, _: b"\1" if password else b"\0",  # ask for the key
    "mysql_clear_password": lambda password, _: password + b"\0",
}
"""Plugin -> what it is answered first."""

CLEAR: Final = frozenset({"mysql_clear_password"})


async def log_in(wire: Wire) -> None:
    """After the greeting: TLS, who we are, and that we are. Raises err.OperationalError, what a stream raises."""
    wire.client_flag |= CLIENT.MULTI_RESULTS
    head = struct.pack("<iIB23s", wire.client_flag, 0xFFFFFF, UTF8MB4, b"")
    if wire.ssl and wire.server_capabilities & CLIENT.SSL:
        await wire.write_packet(head)
        assert isinstance(wire._sock, trio.SocketStream)
        wire._sock = trio.SSLStream(wire._sock, wire.ctx, server_hostname=wire.host)
        await wire._sock.do_handshake()
        wire._secure = True
    elif wire.tls_required:
        raise err.OperationalError(NO_TLS, "the server offers no TLS, and the database URL asks for it")
    elif wire.ssl:
        head = struct.pack("<iIB23s", wire.client_flag & ~CLIENT.SSL, 0xFFFFFF, UTF8MB4, b"")
    plugin = wire._auth_plugin_name or "mysql_native_password"
    if plugin not in FIRST:  # it will ask for another
        plugin = "mysql_native_password"
    await wire.write_packet(head + _who(wire, plugin))
    await _prove(wire, plugin)


def _who(wire: Wire, plugin: str) -> bytes:
    """User, the first proof, database, plugin and what the server may show of us."""
    proof = _proof(wire, plugin)
    parts = [_bytes(wire.user), b"\0", bytes([len(proof)]), proof]
    if wire.db and wire.server_capabilities & CLIENT.CONNECT_WITH_DB:
        parts += [_bytes(wire.db), b"\0"]
    parts += [plugin.encode(), b"\0"]
    if wire.server_capabilities & CLIENT.CONNECT_ATTRS:
        attributes = b"".join(
            bytes([len(word)]) + word for pair in wire._connect_attrs.items() for word in map(str.encode, pair)
        )
        parts += [bytes([len(attributes)]), attributes]
    return b"".join(parts)


async def _prove(wire: Wire, plugin: str) -> None:
    for _ in range(MOST_ROUNDS):
        packet = await wire._read_packet()
        if packet.is_ok_packet():
            return
        if packet.is_auth_switch_request():
            plugin = _switched(wire, packet)
            await wire.write_packet(_proof(wire, plugin))
        elif packet.is_extra_auth_data():
            await _more(wire, plugin, packet.get_all_data()[1:])
        else:
            break
    raise err.OperationalError(UNKNOWN_PLUGIN, "the server's log-in makes no sense")


def _switched(wire: Wire, packet: MysqlPacket) -> str:
    packet.read_uint8()
    plugin = (packet.read_string() or b"").decode("ascii", "replace")
    if plugin not in FIRST:
        raise err.OperationalError(
            UNKNOWN_PLUGIN, f"the server wants to log in by {plugin or 'mysql_old_password'}, which sipd can't"
        )
    wire.salt = packet.read_all().removesuffix(b"\0")
    return plugin


def _proof(wire: Wire, plugin: str) -> bytes:
    if plugin in CLEAR and not wire._secure:
        raise _needs_tls(plugin)
    if plugin == "sha256_password" and wire._secure:
        return wire.password + b"\0"
    return FIRST[plugin](wire.password, wire.salt) if wire.password else b""


async def _more(wire: Wire, plugin: str, data: bytes) -> None:
    """Answer what a plugin asks on: those of SHA-256 want the password, over TLS or encrypted for the server's key."""
    if plugin == "caching_sha2_password" and data[:1] == bytes([FAST_OK]):
        return  # OK follows
    if plugin not in ("caching_sha2_password", "sha256_password"):
        raise err.OperationalError(UNKNOWN_PLUGIN, f"{plugin} says more than it should")
    if wire._secure:
        await wire.write_packet(wire.password + b"\0")
        return
    if not _is_loopback(wire):
        raise _needs_tls(plugin)
    if plugin == "caching_sha2_password" and data[:1] == bytes([FULL]):
        await wire.write_packet(b"\2")  # the key, please
        return
    await wire.write_packet(_auth.sha2_rsa_encrypt(wire.password, wire.salt[:20], data))


def _is_loopback(wire: Wire) -> bool:
    peer = wire._raw.getpeername()[0] if wire._raw is not None else ""
    return peer.startswith("127.") or peer == "::1"


def _needs_tls(plugin: str) -> err.OperationalError:
    return err.OperationalError(NEEDS_TLS, f"{plugin} wants the password itself, which only goes over TLS")


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
