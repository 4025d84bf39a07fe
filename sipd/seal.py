"""Marks that only this server can make: nonces, Record-Route cookies, To tags.

Keyed BLAKE2b: one C call, no state. A mark is bound to a purpose, so that one
made for a Record-Route is worth nothing as a nonce.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest


class Seal:
    """Makes and checks marks with one secret key, which must outlive a restart."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key of a Seal has at least 16 bytes")
        self._key = key[:64]
        self._begun: dict[str, blake2b] = {}  # by purpose: a copy of one costs less than a new one

    def mark(self, purpose: str, *parts: str) -> str:
        """24 hex digits (96 bits) that stand for `parts` in that purpose."""
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        begun = self._begun.get(purpose)
        if begun is None:  # purposes are words of ours, a handful
            begun = self._begun[purpose] = blake2b(digest_size=12, key=self._key, person=purpose.encode()[:16])
        made = begun.copy()
        made.update(text)
        return made.hexdigest()

    def holds(self, mark: str, purpose: str, *parts: str) -> bool:
        """Whether `mark` is the one for these parts, in constant time; any text may be asked about."""
        return mark.isascii() and compare_digest(self.mark(purpose, *parts), mark)
