"""Events for the administrator: one event, one line, every value escaped.

A line is `event=word key=value ...`. Values come from the network, so control
characters, line separators and quotes are escaped and long ones cut: nothing
a peer sends can forge a line. A storm of one kind of event is thinned out and
the rest counted.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST: Final = 255
"""Characters kept of one value."""

BURST: Final = 50
"""Lines of one kind written in one period; the others are counted."""

PERIOD: Final = 10.0
"""Seconds after which a kind of event may speak again."""


def escaped(value: object, most: int = MOST) -> str:
    r"""The value as one word or one quoted string: control and non-ASCII characters as `\xNN`, `\uNNNN`."""
    text = str(value)
    if len(text) > most:
        text = text[:most] + "..."
    if text.isalnum() and text.isascii():
        return text
    text = text.encode("unicode_escape", "backslashreplace").decode("ascii").replace('"', r"\"")
    return text if text and " " not in text and "=" not in text and '"' not in text else f'"{text}"'


class EventLog:
    """Writes events to a stream; thin enough to be called from anywhere."""

    def __init__(
        self, write: Callable[[str], object] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._spoken: dict[str, tuple[float, int]] = {}

    def event(self, event: str, /, **fields: object) -> None:
        """Write one line; `event` is a stable word, the fields are whatever was seen."""
        now = self._clock()
        since, count = self._spoken.get(event, (now, 0))
        if now - since > PERIOD:
            if count > BURST:
                self._line(f"event=suppressed kind={event} n={count - BURST}")
            since, count = now, 0
        self._spoken[event] = (since, count + 1)
        if count < BURST:
            words = "".join(f" {key}={escaped(value)}" for key, value in fields.items())
            self._line(f"event={event}{words}")

    def _line(self, line: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        try:
            if self._write is not None:
                self._write(f"{stamp} {line}\n")
            else:
                sys.stderr.write(f"{stamp} {line}\n")
        except (OSError, ValueError):  # a log that can't be written must not end a call
            self._write = _nowhere


def _nowhere(text: str) -> None:
    """Where lines go once the stream is broken."""


LOG: Final = EventLog()
"""The log of this process."""
