"""Fresh identifiers from the kernel's random source, read in blocks."""

from __future__ import annotations

import os
from typing import Final

BLOCK: Final = 4096
"""Bytes asked of the kernel at once: one call serves 512 identifiers."""


class Ids:
    """Hands out 64-bit identifiers that nobody can guess (T114)."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = ""
        self._at = 0

    def fresh(self) -> str:
        """16 hex digits, never the same again."""
        at = self._at
        if at >= len(self._pool):
            self._pool = os.urandom(BLOCK).hex()
            at = 0
        self._at = at + 16
        return self._pool[at : at + 16]
