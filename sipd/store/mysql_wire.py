"""One connection to MySQL or MariaDB: trio-mysql 1.0.3 for the protocol's start, with its faults cured.

Of trio-mysql we take the greeting, packets and the scrambling of passwords.
Ours are: a connect whose time is bounded from the first byte; log-in with
MySQL 8's passwords; a close that closes; rows, read many at a time; and that
a connection which was cut, in whatever it did, is closed and says so.
"""

from __future__ import annotations

import os
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio
from trio_mysql import err
from trio_mysql.connections import Connection
from trio_mysql.constants import CLIENT

from sipd.store.mysql_login import log_in
from sipd.store.mysql_rows import Column, Ended, OutOfStep, converters, take_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_mysql.protocol import MysqlPacket

    Rows = list[Any]  # a driver's rows have no types
    Take = Callable[[Rows], None]

LOST: Final = 2013
"""The client library's own number for a connection that broke."""

OK, EOF, ERROR, LOCAL_INFILE = 0x00, 0xFE, 0xFF, 0xFB

AUTOCOMMIT: Final = 2
MORE_RESULTS: Final = 8
NO_BACKSLASH_ESCAPES: Final = 512
"""Bits of the server's status."""

CHUNK: Final = 65536
"""Bytes asked of the socket at once; the rows in them are one turn of the loop, some milliseconds."""

QUERY, PING, QUIT = 0x03, 0x0E, 0x01
"""Commands."""

SYNTAX: Final = 1064


class Trouble(Exception):
    """What the server refused, with its number; the connection is good, unless this is Gone."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        # the text of a syntax error quotes our statement, which may hold a secret
        self.text = text.partition(" near ")[0] if code == SYNTAX else text

    def __str__(self) -> str:
        return f"{self.text} ({self.code})" if self.code else self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code}, {self.text!r})"


class Gone(Trouble):
    """The connection is lost or was closed; what it was asked last may have been done or not."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and how. Neither str() nor repr() shows the password."""

    user: str
    password: str = field(repr=False)
    database: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    tls_required: bool = False  # else: where the server offers it


class Answer(NamedTuple):
    """What came of a statement that gives no rows."""

    rowcount: int
    lastrowid: int


class Wire(Connection):
    """A connection; `dial` makes one. Used by one task at a time."""

    def __init__(self, host: str, port: int, login: Login) -> None:
        super().__init__(
            host=host,
            port=port,
            user=login.user,
            password=login.password.encode(),  # theirs would be Latin-1
            database=login.database or None,
            charset="utf8mb4",
            use_unicode=True,
            binary_prefix=True,
            autocommit=None,
            ssl=login.tls,
            client_flag=CLIENT.FOUND_ROWS,  # an UPDATE counts the rows that it matched, as in SQLite
            program_name="sipd",
        )
        self.tls_required = login.tls_required
        self._raw: trio.socket.SocketType | None = None
        self._in = b""  # received; read up to _at
        self._at = 0

    async def dial(self, seconds: float) -> None:
        """Connect, greet, log in, all within that time. Raises Trouble; nothing is left open then."""
        try:
            with trio.fail_after(seconds):
                stream = await trio.open_tcp_stream(self.host, self.port)
                self._raw = stream.socket
                await self.connect(stream)
        except Exception as error:
            self._force_close()
            if trouble := trouble_of(error, f"no answer within {seconds:g} s"):
                raise trouble from None
            raise
        except BaseException:
            self._force_close()
            raise

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._sock is None

    def _force_close(self) -> None:
        """Close at once, without a word: theirs calls a method that streams don't have, and swallows the error."""
        raw, self._raw = self._raw, None
        self._sock = None
        self._closed = True
        if raw is not None:
            raw.close()

    def __del__(self) -> None:
        """Nothing: the socket says by itself when it was left open."""

    async def quit(self) -> None:
        """Say goodbye, which lets the server know that nothing broke, and close; waits for no answer."""
        with trio.move_on_after(0.1, shield=True):
            if self._sock is not None:
                with suppress(Trouble, trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._write_bytes(b"\x01\x00\x00\x00" + bytes([QUIT]))
        self._force_close()

    async def _request_authentication(self) -> None:
        """Log in. Theirs goes on in clear where TLS was asked for, and forgets two awaits for MySQL 8."""
        await log_in(self)

    # commands

    async def query(self, statement: bytes, *, text: bool = False, take: Take | None = None) -> Answer | Rows:
        """Run it: an Answer, or the rows that it gives.

        `take` is given the rows in slices as they come, and the list is empty
        then. `text`: see `converters`. Raises Trouble.
        """
        return (await self.ask([statement], text=text, take=take))[-1]

    async def ask(
        self, statements: Sequence[bytes], *, text: bool = False, take: Take | None = None
    ) -> list[Answer | Rows]:
        """Run these one after the other, sent together: what each gave. `text` and `take` are for the last.

        Raises the Trouble of the first that the server refused; it has gone on with the others all the same.
        """
        try:
            behind = await self._send(QUERY, *statements)
            results: list[Answer | Rows] = []
            refused: Trouble | None = None
            for number, self._next_seq_id in enumerate(behind, start=1):
                last = number == len(behind)
                try:
                    results.append(await self._take(text and last, take if last else None))
                    while self._more:  # of CALL: only the first counts, but all must be read
                        await self._take(text, None)
                except err.MySQLError as error:
                    trouble = trouble_of(error)
                    if trouble is None or isinstance(trouble, Gone):
                        raise
                    refused = refused or trouble
            if refused is not None:
                raise refused
            return results
        except Exception as error:
            trouble = trouble_of(error)
            if trouble is None or isinstance(trouble, Gone):
                self._force_close()
            if trouble is not None:
                raise trouble from None
            raise
        except BaseException:
            self._force_close()  # cut in the middle: what comes next is the rest of this
            raise

    async def check_alive(self) -> None:
        """Have the server say something (COM_PING). Raises Trouble."""
        try:
            await self._send(PING, b"")
            self._ok(await self._read_packet())
        except Exception as error:
            self._force_close()
            if trouble := trouble_of(error):
                raise trouble from None
            raise
        except BaseException:
            self._force_close()
            raise

    async def _send(self, command: int, *payloads: bytes) -> list[int]:
        """Send the command with each of these at once; the numbers that the packets of the answers begin with."""
        if self._sock is None:
            raise Gone(LOST, "this connection is closed")
        if self._at != len(self._in):
            raise OutOfStep("there is something left of the last answer")
        self._more = False
        pieces, behind = [], []
        for payload in payloads:
            body = bytes([command]) + payload
            number = 0
            for at in range(0, len(body) + 1, LONG):  # one more, empty, behind a full last one
                piece = body[at : at + LONG]
                pieces += [len(piece).to_bytes(3, "little"), bytes([number & 0xFF]), piece]
                number += 1
            behind.append(number & 0xFF)
        self._next_seq_id = behind[0]
        await self._write_bytes(b"".join(pieces))
        return behind

    async def _take(self, text: bool, take: Take | None) -> Answer | Rows:
        self._more = False
        packet = await self._read_packet()
        data = packet.get_all_data()
        if data[0] == OK:
            return self._ok(packet)
        if data[0] == LOCAL_INFILE:
            raise OutOfStep("the server asks for a file of ours")
        count = packet.read_length_encoded_integer() or 0
        columns = [_column(await self._read_packet()) for _ in range(count)]
        self._status((await self._read_packet()).get_all_data()[3:5])
        how = converters(columns, text=text)
        rows: Rows = []
        ended: Ended | None = None
        while ended is None:
            before = self._at
            self._at, self._next_seq_id, ended = take_rows(self._in, self._at, self._next_seq_id, how, rows)
            if take is not None and rows:
                take(rows)
                rows = []
            if ended is None:
                await self._receive(len(self._in) - self._at + 1)
            elif before == self._at:
                raise OutOfStep("an end of nothing")
        if ended.packet[0] == ERROR:
            err_packet(ended.packet)
        self._status(ended.packet[3:5])
        return rows

    def _ok(self, packet: MysqlPacket) -> Answer:
        if not packet.is_ok_packet():
            raise OutOfStep("no OK")
        packet.read_uint8()
        answer = Answer(packet.read_length_encoded_integer() or 0, packet.read_length_encoded_integer() or 0)
        self._status(packet.read_all()[:2])
        return answer

    def _status(self, raw: bytes) -> None:
        self.server_status = int.from_bytes(raw, "little")
        self._more = bool(self.server_status & MORE_RESULTS)

    # bytes

    async def _read_packet(self, *kind: type[MysqlPacket]) -> MysqlPacket:
        try:
            return await super()._read_packet(*kind)
        except BAD_PACKET as error:
            raise OutOfStep(type(error).__name__) from None

    async def _get_server_information(self) -> None:
        try:
            await super()._get_server_information()
        except BAD_PACKET as error:
            raise OutOfStep(f"no greeting: {type(error).__name__}") from None

    async def _read_bytes(self, count: int) -> bytes:
        if len(self._in) - self._at < count:
            await self._receive(count)
        data = self._in[self._at : self._at + count]
        self._at += count
        return data

    async def _receive(self, count: int) -> None:
        """Have at least that many bytes unread. Whatever comes between closes the connection."""
        parts = [self._in[self._at :]]
        there = len(parts[0])
        try:
            while there < count:
                if self._sock is None:
                    raise Gone(LOST, "the connection was closed")
                data = bytes(await self._sock.receive_some(CHUNK))
                if not data:
                    raise Gone(LOST, "the server closed the connection")
                parts.append(data)
                there += len(data)
        except BaseException:
            self._force_close()
            raise
        self._in, self._at = b"".join(parts), 0

    async def _write_bytes(self, data: bytes) -> None:
        """Send it. Cut in the middle, theirs stays open, and the next query goes into the rest of this one."""
        try:
            if self._sock is None:
                raise Gone(LOST, "the connection was closed")
            await self._sock.send_all(data)
        except BaseException:
            self._force_close()
            raise


BAD_PACKET: Final = (LookupError, ValueError, struct.error, AssertionError)
"""What trio-mysql raises for a packet that it can't read."""

LONG: Final = 0xFFFFFF
"""Bytes of a packet at most; what is longer goes on in the next."""


def err_packet(packet: bytes) -> None:
    """Raise what an error packet says."""
    raise err.OperationalError(int.from_bytes(packet[1:3], "little"), packet[9:].decode("utf-8", "replace"))


def trouble_of(error: BaseException, late: str = "no answer in time") -> Trouble | None:
    """The Trouble that a failure is; None where it is none of the connection's, such as Cancelled."""
    match error:
        case Trouble():
            return error
        case trio.TooSlowError():
            return Gone(LOST, late)
        case OutOfStep():
            return Gone(LOST, f"what the server sends makes no sense: {error}")
        case trio.BrokenResourceError() if isinstance(error.__cause__, ssl.SSLError):
            return Gone(LOST, f"TLS: {_tls_words(error.__cause__)}")
        case trio.BrokenResourceError() | trio.ClosedResourceError():
            return Gone(LOST, "the connection broke")
        case err.MySQLError() if len(error.args) > 1 and isinstance(error.args[0], int):
            code = error.args[0] & 0xFFFF
            return (Gone if code in CLOSING or 2000 <= code < 3000 else Trouble)(code, str(error.args[1]))
        case err.MySQLError():
            return Gone(LOST, "what the server sends makes no sense")
        case OSError():
            return Gone(LOST, _os_words(error))
        case _:
            return None


CLOSING: Final = frozenset({1040, 1053, 1077, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 4031})
"""Errors after which the server closes: too many connections, shutdown, packets, time-outs, killed."""


def _column(packet: MysqlPacket) -> Column:
    data = packet.get_all_data()
    at, texts = 0, []
    for _ in range(6):  # catalog, schema, table, its real name, name, its real name
        size = data[at]
        if size >= LOCAL_INFILE:  # names are at most 64 characters of 4 bytes
            width = {0xFC: 2}.get(size)
            if width is None:
                raise OutOfStep("a column's name")
            size = int.from_bytes(data[at + 1 : at + 1 + width], "little")
            at += width
        texts.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    fixed = data[at + 1 :]
    return Column(texts[4].decode("utf-8", "replace"), fixed[6], int.from_bytes(fixed[:2], "little"))


def _tls_words(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)


def _os_words(error: OSError) -> str:
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):  # of trio: each address was tried
        words = [_os_words(one) for one in cause.exceptions if isinstance(one, OSError)]
        return ", ".join(dict.fromkeys(words)) or str(error)
    if isinstance(cause, OSError):
        return _os_words(cause)
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)
