"""How far long work has come, on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

WIDTH: Final = 20
"""Signs of the bar."""

EVERY: Final = 0.1
"""Seconds between two looks of it."""

AFTER: Final = 0.3
"""Seconds of work that is not worth a bar."""


class Bar:
    """A line that is drawn over and over, and is gone at the end. Nothing is drawn where no terminal is."""

    def __init__(self, stream: TextIO, *, shown: bool = True) -> None:
        self._stream = stream
        self._shown = shown and stream.isatty()
        self._next = time.monotonic() + AFTER
        self._drawn = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show what is done, and how many steps of how many (0: not known)."""
        if not self._shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        self._drawn = True
        self._stream.write(f"\r\x1b[K{line(what, done, total)}")
        self._stream.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._drawn = False


def line(what: str, done: int, total: int) -> str:
    """The bar as text."""
    if total <= 0:
        return f"{what}: {done:,}"
    full = min(done, total) * WIDTH // total
    return f"{what}: [{'#' * full}{'-' * (WIDTH - full)}] {done:,} of {total:,}"
