"""Digest authentication: what a right answer to a challenge is (RFC 7616, RFC 2617, RFC 8760).

Pure sums over text. Which user, which nonce and which realm are questions for
`core/identity.py`; here a password is known only by its HA1 hash.
"""

from __future__ import annotations

import hashlib
import re
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from sipd.errors import BadSyntax, SetupError
from sipd.message import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _sha512_256(text: bytes) -> str:
    return hashlib.new("sha512_256", text).hexdigest()


def _has_sha512_256() -> bool:
    # OpenSSL's, which hashlib does not promise: a Python may be linked to a library that has none.
    try:
        _sha512_256(b"")
    except ValueError:
        return False
    return True


ALGORITHMS: Final[Mapping[str, Callable[[bytes], str]]] = {
    **({"SHA-512-256": _sha512_256} if _has_sha512_256() else {}),
    "SHA-256": _sha256,
    "MD5": _md5,
}
"""The algorithms at hand, by the name they have in a challenge (RFC 7616 §6.1): bytes to lower-case hex."""

DIGITS: Final[Mapping[str, int]] = {"SHA-512-256": 64, "SHA-256": 64, "MD5": 32}
"""How many hex digits each gives (RFC 8760 §2.2)."""

QOPS: Final = ("auth", "auth-int")
"""The qualities of protection known (RFC 7616 §3.3)."""

_QOPS_TAKEN: Final = frozenset({"", *QOPS})  # none: the way of RFC 2069

_BY_LOWER_NAME: Final = {name.lower(): name for name in ALGORITHMS}
_NONCE_COUNT: Final = re.compile(r"[0-9A-Fa-f]{8}")
_REQUIRED: Final = ("realm", "nonce", "uri", "response")
_EXTENDED: Final = re.compile(r"utf-8'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)", re.IGNORECASE)


def check_algorithms(names: Sequence[str]) -> None:
    """Raises SetupError where one of these can't be had from the Python that runs."""
    for name in names:
        if name not in ALGORITHMS:
            raise SetupError(
                f"digest_algorithms names {name}, which this Python lacks: its OpenSSL does not know it",
                "Take it out: sipdctl server set 'digest_algorithms=SHA-256 MD5'",
            )


class Credentials(NamedTuple):
    """What one Authorization or Proxy-Authorization value says (RFC 7616 §3.4)."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"  # a key of ALGORITHMS, or as written when unknown here
    qop: str = ""  # "auth", "auth-int"; empty: the way of RFC 2069
    cnonce: str = ""
    nc: str = ""  # as written: it is part of what is hashed

    @property
    def nonce_count(self) -> int:
        """The nonce count; 0 when there is none, which stands for the whole nonce."""
        return int(self.nc, 16) if self.nc else 0


def credentials(params: Mapping[str, str]) -> Credentials:
    """The Digest credentials made of an authorization's parameters (names in lower case, values unquoted).

    Raises BadSyntax when one that must be there is not, or a nonce count is
    not eight hex digits (RFC 7616 §3.4). Values that are merely wrong pass.
    """
    for name in _REQUIRED:
        if name not in params:
            raise BadSyntax(f"credentials without {name}")
    username = _username(params)
    algorithm = params.get("algorithm", "MD5")
    qop = params.get("qop", "").lower()
    cnonce, nc = "", ""
    if qop:
        if "cnonce" not in params or "nc" not in params:
            raise BadSyntax("credentials with qop need nc and cnonce")
        cnonce, nc = params["cnonce"], params["nc"]
        if _NONCE_COUNT.fullmatch(nc) is None:
            raise BadSyntax("nc is not eight hex digits")
    return Credentials(
        username,
        params["realm"],
        params["nonce"],
        params["uri"],
        params["response"],
        _BY_LOWER_NAME.get(algorithm.lower(), algorithm),
        qop,
        cnonce,
        nc,
    )


def _username(params: Mapping[str, str]) -> str:
    """The user's name from `username`, or from `username*` as RFC 5987 writes it; both at once are an error (§3.4)."""
    plain, extended = params.get("username"), params.get("username*")
    if plain is not None and extended is not None:
        raise BadSyntax("credentials with two usernames")
    if plain is not None:
        return plain
    if extended is None:
        raise BadSyntax("credentials without username")
    found = _EXTENDED.fullmatch(extended)
    try:
        name = "" if found is None else unquote_to_bytes(found[1]).decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name.isprintable() or not name:
        raise BadSyntax("username* can't be read")
    return name


def ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """H(username:realm:password) in lower-case hex: what is stored in place of a password (§3.4.2)."""
    return ALGORITHMS[algorithm](_encoded(f"{username}:{realm}:{password}"))


def expected(secret: str, method: str, claim: Credentials, body: bytes = b"") -> str:
    """The `response` that one who knows the password gives; `secret` is his HA1 (§3.4.1).

    Raises KeyError for an algorithm not in ALGORITHMS. `body` counts only for `auth-int`.
    """
    hashed = ALGORITHMS[claim.algorithm]
    a2 = f"{method}:{claim.uri}"
    if claim.qop == "auth-int":
        a2 = f"{a2}:{hashed(body)}"
    ha2 = hashed(_encoded(a2))
    if not claim.qop:
        return hashed(_encoded(f"{secret}:{claim.nonce}:{ha2}"))
    return hashed(_encoded(f"{secret}:{claim.nonce}:{claim.nc}:{claim.cnonce}:{claim.qop}:{ha2}"))


def verify(secret: str, method: str, claim: Credentials, body: bytes = b"") -> bool:
    """Whether the response is right, in a time that says nothing about how wrong it is (T10, T68).

    False for an algorithm or a qop that is never offered.
    """
    if claim.algorithm not in ALGORITHMS or claim.qop not in _QOPS_TAKEN:
        return False
    return compare_digest(expected(secret, method, claim, body).encode(), _encoded(claim.response))


def is_password(secret: str, username: str, realm: str, password: str, algorithm: str) -> bool:
    """Whether the HA1 of this password is `secret`, in a time that says nothing about how wrong it is."""
    return compare_digest(ha1(username, realm, password, algorithm), secret)


def challenge(realm: str, nonce: str, algorithm: str, *, qop: str = "auth", stale: bool = False) -> str:
    """The value of a WWW-Authenticate or Proxy-Authenticate header field (§3.3, RFC 8760 §2.3).

    `qop`: what is offered, as it stands between the quotation marks; never empty (RFC 8760 §2.6 item 8).
    """
    text = f'Digest realm={quote(realm)}, nonce="{nonce}", algorithm={algorithm}, qop="{qop}"'
    return f"{text}, stale=true" if stale else text


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
