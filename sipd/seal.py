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

    def mark(self, purpose: str, *parts: str) -> str:
        """24 hex digits (96 bits) that stand for `parts` in that purpose."""
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        return blake2b(text, digest_size=12, key=self._key, person=purpose.encode()[:16]).hexdigest()

    def holds(self, mark: str, purpose: str, *parts: str) -> bool:
        """Whether `mark` is the one for these parts, in constant time; any text may be asked about."""
        made = self.mark(purpose, *parts)
        return compare_digest(made.encode(), mark.encode("utf-8", "surrogateescape"))
