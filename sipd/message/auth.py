"""Credentials and challenges as text: scheme and parameters (§20.7, §25.1, RFC 7616 §3)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sipd.errors import BadSyntax
from sipd.message.grammar import TOKEN_CHARS, unquote

_SCHEME: Final = re.compile(rf"([{TOKEN_CHARS}]++)(?:[ \t]++(.*))?", re.DOTALL)
_PAIR: Final = re.compile(
    rf"([{TOKEN_CHARS}]++)[ \t]*+=[ \t]*+"
    r'("(?:[^"\\]|\\.)*+"|[^\x00-\x20\x7f-\U0010ffff",;<>\\]++)[ \t]*+(,[ \t]*+|$)',
    re.DOTALL,
)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class AuthParams(NamedTuple):
    """An Authorization or Proxy-Authorization value (or a challenge)."""

    scheme: str  # lower case
    params: dict[str, str]  # names in lower case, values unquoted; empty for `Basic dGVzdA==`
    token: str = ""  # what stands there in place of parameters


def parse_auth(text: str) -> AuthParams:
    """Scheme and parameters. Raises BadSyntax for what can't be read, and for a parameter that comes twice (T10)."""
    found = _SCHEME.fullmatch(text)
    if found is None:
        raise BadSyntax("Bad credentials")
    scheme, rest = found.group(1).lower(), found.group(2) or ""
    params: dict[str, str] = {}
    if not rest:
        raise BadSyntax("Bad credentials")
    if scheme != "digest" and _TOKEN68.fullmatch(rest):
        return AuthParams(scheme, params, rest)
    at, more = 0, ","
    while more:
        pair = _PAIR.match(rest, at)
        if pair is None:
            raise BadSyntax("Bad credentials")
        name, value, more = pair.groups()
        name = name.lower()
        if name in params:
            raise BadSyntax("Parameter twice in credentials")
        params[name] = unquote(value)
        at = pair.end()
    return AuthParams(scheme, params)
