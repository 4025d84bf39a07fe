"""Colours on words, where they are wanted."""

from __future__ import annotations

import os
from typing import Final, TextIO

_COLOURS: Final = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "hint": "\x1b[36m",
    "bold": "\x1b[1m",
    "faint": "\x1b[2m",
    "good": "\x1b[32m",
}
_PLAIN: Final = "\x1b[0m"


class Paint:
    """Puts colours on words, or not."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, colour: str, text: str) -> str:
        """The text in that colour."""
        return f"{_COLOURS[colour]}{text}{_PLAIN}" if self._on and text else text


def paint_for(stream: TextIO) -> Paint:
    """Colours on a terminal only, and not when NO_COLOR is set to anything (no-color.org)."""
    return Paint(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")
