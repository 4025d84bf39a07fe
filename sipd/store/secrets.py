"""Passwords that people can type, and what is stored of them: hashes only."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from sipd.rows import User

LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 signs none of which is taken for another one: five bits each."""


def random_password() -> str:
    """Four groups of four signs, 80 random bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


def user_row(aor: str, realm: str, password: str) -> User:
    """A user with this password, all else as by default.

    Phones send their user name with or without the domain, and sipd can offer
    three algorithms: so six hashes H(name:realm:password) (RFC 7616 §3.4.2).
    """
    return with_password(User(aor, realm), password)


def with_password(user: User, password: str) -> User:
    """The same user with another password, in the realm he has."""
    name = user.aor.rpartition("@")[0]
    short, full = (f"{who}:{user.realm}:{password}".encode("utf-8", "surrogateescape") for who in (name, user.aor))
    return user._replace(
        ha1_md5=hashlib.md5(short, usedforsecurity=False).hexdigest(),  # what RFC 3261 phones know
        ha1_md5_full=hashlib.md5(full, usedforsecurity=False).hexdigest(),
        ha1_sha256=hashlib.sha256(short).hexdigest(),
        ha1_sha256_full=hashlib.sha256(full).hexdigest(),
        ha1_sha512_256=_sha512_256(short),
        ha1_sha512_256_full=_sha512_256(full),
    )


def _sha512_256(text: bytes) -> str:
    """Empty where this Python's library lacks it: the user is then not offered it."""
    return hashlib.new("sha512_256", text).hexdigest() if "sha512_256" in hashlib.algorithms_available else ""
