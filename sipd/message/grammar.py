"""The small words of the grammar (§25.1): tokens, quoted strings, parameters, comma lists, hosts.

Every pattern is ASCII only and runs in linear time: character classes,
possessive blanks, no quantifier within a quantified group. A scan that fails
ends there; none is begun again further on.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from sipd.errors import BadSyntax

Params = tuple[tuple[str, str | None], ...]
"""Parameters in their order: (name in lower case, value as written or None)."""

MAX_TOKEN: Final = 1024
"""Longest tag, branch, method or Call-ID we take (T03)."""

TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"
TOKEN: Final = re.compile(rf"[{TOKEN_CHARS}]+")

# A value as gen-value has it (token, host), and what branches and tags are seen to hold besides.
_VALUE: Final = rf"[{TOKEN_CHARS}\[\]:/=@?&$#|{{}}^]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_PARAM: Final = re.compile(rf";[ \t]*+([{TOKEN_CHARS}]+)[ \t]*+(?:=[ \t]*+({_VALUE}|{_QUOTED})[ \t]*+)?+", re.DOTALL)
_PLAIN_PARAMS: Final = re.compile(rf"[{TOKEN_CHARS};=]+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_FOLD: Final = re.compile(r"\r\n[ \t]+")
# What a comma list is cut by, and what hides commas; both of these end with the text at the latest.
_LIST_MARK: Final = re.compile(r',|"(?:[^"\\]|\\.)*+"?|<[^>]*+>?', re.DOTALL)
_HOST_CHARS: Final = re.compile(r"[A-Za-z0-9._-]+")
_IPV6_CHARS: Final = re.compile(r"[0-9A-Fa-f:.]+")
_IPV4: Final = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
_FORBIDDEN: Final = re.compile(r"[\r\n]|(?<!\\)\0")


def unfold(text: str) -> str:
    """A header value on one line, without blanks around it (§7.3.1)."""
    if "\r\n" in text:
        text = _FOLD.sub(" ", text)
    return text.strip(" \t")


def no_line_break(text: str) -> str:
    """`text` itself; ValueError when writing it would forge a line: it has CR, LF or NUL (T32).

    NUL may be there as a quoted-pair, as it may in what comes in (§25.1, RFC 4475 §3.1.1.2).
    """
    if _FORBIDDEN.search(text):
        raise ValueError("CR, LF or NUL in a value to be written")
    return text


def quote(text: str) -> str:
    """`text` as a quoted-string (§25.1). Raises ValueError for CR, LF and NUL."""
    if "\0" in text:
        raise ValueError("CR, LF or NUL in a value to be written")
    return '"' + no_line_break(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """What a quoted-string says; any other text is given back as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _ESCAPED.sub(r"\1", inner) if "\\" in inner else inner


def parse_params(text: str) -> Params:
    """The parameters of `;name=value;flag` (generic-param, §25.1), blanks around `;` and `=` allowed.

    Raises BadSyntax when anything is left over.
    """
    params = []
    if _PLAIN_PARAMS.fullmatch(text):  # no blank, no quote: whatever stands between ";" and "=" is a token
        before, *pieces = text.split(";")
        if before:
            raise BadSyntax("Bad parameter")
        for piece in pieces:
            name, equals, value = piece.partition("=")
            if not name or (equals and not value):
                raise BadSyntax("Bad parameter")
            params.append((name.lower(), value if equals else None))
        return tuple(params)
    match = _PARAM.match
    at, end = 0, len(text)
    while at < end:
        found = match(text, at)
        if found is None:
            raise BadSyntax("Bad parameter")
        key, said = found.groups()
        params.append((key.lower(), said))
        at = found.end()
    return tuple(params)


def write_params(params: Params) -> str:
    """The parameters as text, each with its `;` before it: what `parse_params` reads."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params])


def find_param(params: Params, name: str) -> str | None:
    """The first parameter of that (lower-case) name, unquoted; "" when it has no value, None when it is absent."""
    for key, value in params:
        if key == name:
            return "" if value is None else unquote(value)
    return None


def split_list(text: str) -> list[str]:
    """The elements of a comma list (§7.3.1), trimmed; commas in quotes and in <> don't count.

    An empty text has no elements; an empty element between commas is "".
    """
    if "," not in text:
        text = text.strip(" \t")
        return [text] if text else []
    if '"' not in text and "<" not in text:
        return [element.strip(" \t") for element in text.split(",")]
    elements, start = [], 0
    for found in _LIST_MARK.finditer(text):
        if found.group() == ",":
            elements.append(text[start : found.start()].strip(" \t"))
            start = found.end()
    elements.append(text[start:].strip(" \t"))
    return elements


def host_from_text(text: str) -> str:
    """The host of a hostport (§25.1): a name or address as written, IPv6 without its brackets.

    Raises BadSyntax for what can be none: empty labels, numbers that are no IPv4 address.
    """
    if text[:1] == "[":
        # The grammar of RFC 3261 let a third colon before an IPv4 part slip in: taken, and dropped (RFC 5118 §4.10).
        inner = text[1:-1].replace(":::", "::", 1)
        if text[-1:] != "]" or not is_ipv6(inner):
            raise BadSyntax("Bad IPv6 reference")
        return inner
    if not _HOST_CHARS.fullmatch(text) or len(text) > 255 or text[0] in ".-" or ".." in text:
        raise BadSyntax("Bad host")
    if text[-1] in "0123456789." and not _last_label_ok(text):
        raise BadSyntax("Bad host")
    return text


def _last_label_ok(text: str) -> bool:
    """A host that ends in a digit or dot: a name (with its final dot), or a right IPv4 address."""
    label = text.removesuffix(".").rpartition(".")[2]
    if label.strip("0123456789"):
        return True
    quad = _IPV4.fullmatch(text)
    return quad is not None and all(int(part) < 256 for part in quad.groups())


def is_ipv6(text: str) -> bool:
    """Whether this is an IPv6 address (without brackets or zone)."""
    if not _IPV6_CHARS.fullmatch(text):
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def port_from_text(text: str) -> int:
    """A port number, 1 to 65535 (§25.1). Raises BadSyntax."""
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65536:
        raise BadSyntax("Bad port")
    return int(text)
