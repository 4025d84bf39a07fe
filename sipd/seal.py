"""Marks that only this server can make: nonces, Record-Route cookies, To tags.

Keyed BLAKE2b: one C call, no state. A mark is bound to a purpose, so that one
made for a Record-Route is worth nothing as a nonce. What must be read again
and by nobody else is encrypted, by AES-SIV (RFC 5297), which needs no chance.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV


class _Begun(dict[str, blake2b]):
    """Marks begun, by purpose, which are a handful of words of ours: a copy of one costs less than a new one."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, purpose: str) -> blake2b:
        begun = self[purpose] = blake2b(digest_size=12, key=self._key, person=purpose.encode()[:16])
        return begun


class Seal:
    """Makes and checks marks with one secret key, which must outlive a restart."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key of a Seal has at least 16 bytes")
        self._key = key[:64]
        self._ciphers: dict[str, AESSIV] = {}  # by purpose
        self._begun = _Begun(self._key)

    def mark(self, purpose: str, *parts: str) -> str:
        """24 hex digits (96 bits) that stand for `parts` in that purpose."""
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        made = self._begun[purpose].copy()
        made.update(text)
        return made.hexdigest()

    def holds(self, mark: str, purpose: str, *parts: str) -> bool:
        """Whether `mark` is the one for these parts, in constant time; any text may be asked about."""
        return mark.isascii() and compare_digest(mark, self.mark(purpose, *parts))

    @staticmethod
    def equal(text: str, mark: str) -> bool:
        """Whether any text is this mark, or piece of one, in constant time."""
        return text.isascii() and compare_digest(text, mark)

    def hide(self, purpose: str, data: bytes) -> str:
        """`data` as text of the base64url alphabet that only `reveal` reads; the same data give the same text."""
        return urlsafe_b64encode(self._cipher(purpose).encrypt(data, None)).decode().rstrip("=")

    def reveal(self, purpose: str, text: str) -> bytes | None:
        """What was hidden in `text` for that purpose; None for any other text."""
        from cryptography.exceptions import InvalidTag

        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if urlsafe_b64encode(data).decode().rstrip("=") != text:
                return None  # one spelling only
            return self._cipher(purpose).decrypt(data, None)
        except (ValueError, InvalidTag):
            return None

    def _cipher(self, purpose: str) -> AESSIV:
        made = self._ciphers.get(purpose)
        if made is None:
            # Loaded when first needed: many servers never make a temporary GRUU.
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV

            key = blake2b(digest_size=64, key=self._key, person=purpose.encode()[:16]).digest()
            made = self._ciphers[purpose] = AESSIV(key)
        return made
