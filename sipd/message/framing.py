"""A byte stream -> whole messages (§18.3, §7.5, RFC 5626 §3.5.1)."""

from __future__ import annotations

import re
from typing import Final

from sipd.message.parse import MAX_BODY, MAX_HEAD

PING: Final = b"\r\n\r\n"
"""A keep-alive between messages; it is answered with one CRLF (RFC 5626 §3.5.1)."""

_NAME: Final = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:", re.IGNORECASE)
_VALUE: Final = re.compile(rb"(?:[ \t]|\r\n[ \t])*+([0-9]{1,9}+)(?:[ \t]|\r\n[ \t])*+\r\n")  # folds and all


class Framer:
    """Cuts a stream into messages, each once it is whole.

    An item is a message, a PING, or the head of a message that can't be
    framed: then `broken` is set, nothing more comes out, and
    `parse(item, stream=True)` says what is wrong with it.
    """

    __slots__ = ("_buffer", "_length", "_max_body", "_max_head", "_searched", "broken")

    def __init__(self, max_head: int = MAX_HEAD, max_body: int = MAX_BODY) -> None:
        self.broken = False
        self._buffer = bytearray()
        self._searched = 0  # up to here no end of the head was found
        self._length = 0  # of the message being read, once its head is whole
        self._max_head = max_head
        self._max_body = max_body

    @property
    def partial(self) -> bool:
        """Whether a message has begun and is not whole: the header timer runs (T27)."""
        return not self.broken and not PING.startswith(self._buffer)

    @property
    def in_body(self) -> bool:
        """Whether the head of that message is whole: the message timer runs instead (T27)."""
        return self._length > 0

    def feed(self, data: bytes) -> list[bytes]:
        """The items that these bytes complete, in order."""
        items: list[bytes] = []
        self._buffer += data
        while not self.broken and (item := self._next()) is not None:
            items.append(item)
        if self.broken:
            self._buffer.clear()
        return items

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not self._length:
            while buffer[:2] == b"\r\n":
                if buffer[:4] == PING:
                    return self._take(4)
                if PING.startswith(buffer):
                    return None
                del buffer[:2]
            if not self._find_length():
                return None
        return self._take(self._length) if self.broken or len(buffer) >= self._length else None

    def _find_length(self) -> bool:
        """Set how long the message at hand is; False while its head is not whole. What can't be framed is broken."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._searched, self._max_head)
        if end < 0:
            self._searched = max(0, len(buffer) - 3)
            if len(buffer) < self._max_head:
                return False
            self.broken = True
            self._length = self._max_head
            return True
        self._length = end + 4
        found = list(_NAME.finditer(buffer, 0, end))
        value = _VALUE.match(buffer, found[0].end(), end + 2) if len(found) == 1 else None
        size = int(value[1]) if value else -1
        if 0 <= size <= self._max_body:
            self._length += size
        else:
            self.broken = True
        return True

    def _take(self, count: int) -> bytes:
        item = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._searched = self._length = 0
        return item
