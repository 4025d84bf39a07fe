"""Every message that the phones sent and got, and the ladder drawn of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.message import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.hop import Hop
    from sipd.message import Message

WIDTH: Final = 34
"""Columns from one vertical line to the next: three fit on a terminal."""


class Note(NamedTuple):
    """One message at one phone."""

    at: float  # seconds since the ladder was begun
    phone: str  # the name of the phone that sent or got it
    sent: bool
    far: Hop
    message: Message
    again: bool = False  # it was seen before: a retransmission

    @property
    def text(self) -> str:
        """The message in a few words: its method, or status and reason."""
        message = self.message
        text = message.method if isinstance(message, Request) else message.start_line[8:]
        return f"{text} (again)" if self.again else text


class Ladder:
    """What happened, in order. One ladder serves several phones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self.notes: list[Note] = []

    def note(self, phone: str, sent: bool, far: Hop, message: Message, again: bool = False) -> None:
        """Write down one message."""
        self.notes.append(Note(self._clock() - self._begin, phone, sent, far, message, again))

    def rungs(self, server: str = "sipd") -> list[tuple[int, str, str, str]]:
        """Each message once, as (milliseconds, from, to, text); a message that passed the server by is one too."""
        # A server between always adds or takes a Via: the same bytes at two phones have passed it by.
        heard = {(bytes(note.message), note.phone) for note in self.notes if not note.sent}
        phones = dict.fromkeys(note.phone for note in self.notes)
        direct: set[bytes] = set()
        made = []
        for note in self.notes:
            data = bytes(note.message)
            if not note.sent and data in direct:
                continue  # drawn where it was sent
            far = server
            if note.sent:
                far = next((name for name in phones if name != note.phone and (data, name) in heard), server)
            if far != server:
                direct.add(data)
            ends = (note.phone, far) if note.sent else (far, note.phone)
            made.append((round(note.at * 1000), *ends, note.text))
        return made

    def lines(self, columns: Sequence[str], server: str = "sipd") -> list[str]:
        """The ladder for a terminal: a column for each of these names, `server` being one of them."""
        left = " " * 9
        lines = [left + "".join(name[: WIDTH - 2].ljust(WIDTH) for name in columns).rstrip(" ")]
        for at, begin, end, text in self.rungs(server):
            one, other = sorted((columns.index(begin), columns.index(end)))
            length = (other - one) * WIDTH - 1
            shown = _fitting(text, length - 6)
            if columns.index(begin) < columns.index(end):
                arrow = f"--- {shown} ".ljust(length - 1, "-") + ">"
            else:
                arrow = "<" + f"-- {shown} ".ljust(length - 1, "-")
            row = [f"|{' ' * (WIDTH - 1)}" for _ in columns[:-1]]
            row[one:other] = [f"|{arrow}"]
            lines.append(f"{at:>6}   {''.join(row)}|")
        return lines


def _fitting(text: str, most: int) -> str:
    """The text without what would steer a terminal, cut when it is too long."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= most else text[: most - 2] + ".."
