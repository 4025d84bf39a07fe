"""Basic authentication: a name and a password that everybody on the way can read (RFC 7617).

SIP forbids it (RFC 8760 §2.6); here it is for phones that know nothing else,
and where `core/challenge.py` says that nobody can listen.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from sipd.errors import BadSyntax
from sipd.message import quote

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class Credentials(NamedTuple):
    """What one Basic value says."""

    username: str
    password: str


def credentials(token: str) -> Credentials:
    """Name and password out of `YWxpY2U6c2VjcmV0` (§2). Raises BadSyntax for what is none.

    Bytes that are no UTF-8 are kept, as surrogate escapes: some clients know of no other than Latin-1.
    """
    try:
        data = binascii.a2b_base64(token, strict_mode=True)
    except ValueError:
        raise BadSyntax("Bad credentials") from None
    name, colon, password = data.partition(b":")
    if not colon or _CONTROL.search(data):
        raise BadSyntax("Bad credentials")
    return Credentials(name.decode("utf-8", "surrogateescape"), password.decode("utf-8", "surrogateescape"))


def challenge(realm: str) -> str:
    """The value of a WWW-Authenticate or Proxy-Authenticate header field (§2, §2.1)."""
    return f'Basic realm={quote(realm)}, charset="UTF-8"'
