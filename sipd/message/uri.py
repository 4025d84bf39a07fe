"""URIs: sip, sips, tel, and any other as scheme and text (§19.1, RFC 3966)."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import quote as _escape
from urllib.parse import unquote as _unescape

from sipd.errors import BadSyntax
from sipd.message.grammar import Params, host_from_text, port_from_text, write_params

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()%"
_USER: Final = re.compile(rf"[{_UNRESERVED}&=+$,;?/#]+")
_PASSWORD: Final = re.compile(rf"[{_UNRESERVED}&=+$,]*")
_PARAM: Final = re.compile(rf"[{_UNRESERVED}\[\]/:&+$]+")
_HEADERS: Final = re.compile(rf"[{_UNRESERVED}\[\]/?:+$&=]+")
_NUMBER: Final = re.compile(r"[0-9A-Za-z*#+().\-]+")
_OPAQUE: Final = re.compile(r'[^\x00-\x20\x7f-\U0010ffff<>"]+')
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Escapes that stay what they are when URIs are compared: of the reserved set, "%", controls and beyond (§19.1.4).
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ONLY_IN_BOTH: Final = frozenset({"user", "ttl", "method", "maddr", "transport"})
_SECURE: Final = {"UDP": "TLS", "TCP": "TLS", "WS": "WSS"}


class Uri(NamedTuple):
    """A URI, taken apart (§19.1.1); `text` is the whole as written and `str(uri)`.

    A tel URI has its number as `user`; any other scheme but sip and sips has
    only `text` and `scheme`.
    """

    text: str
    scheme: str  # lower case
    user: str | None = None  # as written, escaped
    password: str | None = None
    host: str = ""  # as written; IPv6 without brackets; "" when not sip or sips
    port: int | None = None
    params: Params = ()  # names in lower case
    headers: str = ""  # what follows "?"

    def __str__(self) -> str:
        return self.text

    @property
    def is_sip(self) -> bool:
        """Whether it is a sip or sips URI."""
        return self.scheme == "sip" or self.scheme == "sips"

    @property
    def transport(self) -> str:
        """The transport it asks for: its parameter in upper case; else UDP, for sips TLS (§19.1.2)."""
        named = (self.param("transport") or "UDP").upper() if self.params else "UDP"
        return _SECURE.get(named, named) if self.scheme == "sips" else named

    @property
    def user_unescaped(self) -> str:
        """The user part, unescaped once; "" when there is none. Bytes that are no UTF-8 become surrogates."""
        user = self.user or ""
        return _unescape(user, errors="surrogateescape") if "%" in user else user

    def param(self, name: str) -> str | None:
        """The value of the parameter of that (lower-case) name: "" without a value, None when it is absent."""
        for key, value in self.params:
            if key == name:
                return value or ""
        return None

    def with_params(self, **params: str | None) -> Uri:
        """The same sip or sips URI with these parameters set (None: taken away) and its headers part left out."""
        kept = tuple(pair for pair in self.params if pair[0] not in params)
        added = tuple((name, value or None) for name, value in params.items() if value is not None)
        return sip_uri(
            self.host, self.port, user=self.user, password=self.password, params=kept + added, scheme=self.scheme
        )

    def as_request_uri(self) -> Uri:
        """Itself, or without what a Request-URI may not have: headers part and method parameter (§19.1.1 table 1)."""
        if self.headers or (self.params and self.param("method") is not None):
            return self.with_params(method=None) if self.is_sip else self
        return self

    def same_as(self, other: Uri) -> bool:
        """Whether both are equivalent by §19.1.4 (RFC 3966 §4 for tel; by text for other schemes)."""
        if self.text == other.text:
            return True
        if self.scheme != other.scheme:
            return False
        if self.scheme == "tel":
            return _tel_key(self) == _tel_key(other)
        if not self.is_sip:
            return self.text.partition(":")[2] == other.text.partition(":")[2]
        return (
            self.port == other.port
            and _same_text(self.user, other.user)
            and _same_text(self.password, other.password)
            and host_key(self.host) == host_key(other.host)
            and _same_params(dict(self.params), dict(other.params))
            and (self.headers == other.headers or _header_set(self.headers) == _header_set(other.headers))
        )

    def same_binding(self, other: Uri) -> bool:
        """Whether a registrar keeps one binding for both (§10.3 step 7): as `same_as`, be it by sip or sips.

        Of a contact that is registered under both schemes the later takes the
        other's place (RFC 5630 §5.1.1.1).
        """
        if self.scheme != other.scheme and self.is_sip and other.is_sip:
            return self._replace(scheme=other.scheme, text="").same_as(other)
        return self.same_as(other)


def sip_uri(
    host: str,
    port: int | None = None,
    *,
    user: str | None = None,
    password: str | None = None,
    params: Params = (),
    scheme: str = "sip",
) -> Uri:
    """The URI of these parts (already escaped); IPv6 gets its brackets. Raises BadSyntax when they make none."""
    place = f"[{host}]" if ":" in host else host
    login = "" if user is None else f"{user}@" if password is None else f"{user}:{password}@"
    number = "" if port is None else f":{port}"
    return parse_uri(f"{scheme}:{login}{place}{number}{write_params(params)}")


def parse_uri(text: str) -> Uri:
    """The URI that `text` is, nothing around it. Raises BadSyntax. What was parsed lately is remembered."""
    # Long ones are not remembered: the cache must not become a store of hostile text.
    return _remembered(text) if len(text) <= 256 else _parse(text)


def _parse(text: str) -> Uri:
    name, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(name):
        raise BadSyntax("Bad URI")
    scheme = name.lower()
    if scheme == "sip" or scheme == "sips":
        return _parse_sip(text, scheme, rest)
    if not _OPAQUE.fullmatch(rest):
        raise BadSyntax("Bad URI")
    if scheme == "tel":
        return _parse_tel(text, rest)
    return Uri(text, scheme)


def _parse_sip(text: str, scheme: str, rest: str) -> Uri:
    if "%" in rest and _BAD_ESCAPE.search(rest):
        raise BadSyntax("Bad escape in URI")
    user: str | None = None
    password: str | None = None
    login, at, place = rest.rpartition("@")
    if at:
        user, colon, secret = login.partition(":")
        if not _USER.fullmatch(user):
            raise BadSyntax("Bad user part in URI")
        if colon:
            if not _PASSWORD.fullmatch(secret):
                raise BadSyntax("Bad password in URI")
            password = secret
    place, question, headers = place.partition("?")
    if question and not _HEADERS.fullmatch(headers):
        raise BadSyntax("Bad headers in URI")
    place, semicolon, tail = place.partition(";")
    host, port = hostport_from_text(place)
    return Uri(text, scheme, user, password, host, port, _uri_params(tail) if semicolon else (), headers)


def _parse_tel(text: str, rest: str) -> Uri:
    number, semicolon, tail = rest.partition(";")
    if not _NUMBER.fullmatch(number) or _BAD_ESCAPE.search(tail):
        raise BadSyntax("Bad tel URI")
    return Uri(text, "tel", number, params=_uri_params(tail) if semicolon else ())


_remembered: Final = lru_cache(4096)(_parse)


def hostport_from_text(text: str) -> tuple[str, int | None]:
    """Host (IPv6 without brackets) and port of `host[:port]`, nothing around it (§25.1). Raises BadSyntax."""
    if text[:1] == "[":
        bracket = text.find("]") + 1
        host, rest = text[:bracket], text[bracket:]
        if rest and rest[0] != ":":
            raise BadSyntax("Bad IPv6 reference")
        return host_from_text(host), port_from_text(rest[1:]) if rest else None
    host, colon, number = text.partition(":")
    return host_from_text(host), port_from_text(number) if colon else None


def _uri_params(text: str) -> Params:
    """What follows the first `;`. A parameter comes once (§19.1.1)."""
    params: dict[str, str | None] = {}
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        if not _PARAM.fullmatch(name) or (equals and not _PARAM.fullmatch(value)):
            raise BadSyntax("Bad parameter in URI")
        name = name.lower()
        if name in params:
            raise BadSyntax("Parameter twice in URI")
        params[name] = value if equals else None
    return tuple(params.items())


def host_key(host: str) -> str:
    """A host for comparing: lower case, no final dot, IPv6 in one spelling."""
    return IPv6Address(host).compressed if ":" in host else host.lower().removesuffix(".")


def is_address(host: str) -> bool:
    """Whether a host that was parsed is a numeric address, and no name."""
    return ":" in host or host[-1:].isdigit()


def escaped_user(user: str) -> str:
    """A user part as it may stand in a URI (§25.1)."""
    return _escape(user, safe="-_.!~*'()&=+$,;?/")


def _plain(found: re.Match[str]) -> str:
    character = chr(int(found.group()[1:], 16))
    return character if character in _SAME_WHEN_ESCAPED else found.group().upper()


_SAME_WHEN_ESCAPED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")


def _canonical(text: str) -> str:
    """Escapes of unreserved characters resolved, the others in upper case (§19.1.4)."""
    return _ESCAPE.sub(_plain, text) if "%" in text else text


def _same_text(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or _canonical(one) == _canonical(other)


def _same_params(one: dict[str, str | None], other: dict[str, str | None]) -> bool:
    one = {_canonical(name).lower(): value for name, value in one.items()}
    other = {_canonical(name).lower(): value for name, value in other.items()}
    if any((name in one) != (name in other) for name in _ONLY_IN_BOTH):
        return False
    return all(_fold_case(one[name]) == _fold_case(other[name]) for name in one if name in other)


def _fold_case(value: str | None) -> str | None:
    return None if value is None else _canonical(value).lower()


def _header_set(headers: str) -> list[tuple[str, str]]:
    pairs = [piece.partition("=") for piece in headers.split("&")]
    return sorted((_canonical(name).lower(), _canonical(value)) for name, _, value in pairs)


def _tel_key(uri: Uri) -> tuple[str, list[tuple[str, str | None]]]:
    """What two tel URIs are compared by: the number without visual separators, parameters in any order."""
    number = re.sub(r"[-.()]", "", (uri.user or "").lower())
    return number, sorted(((name, _fold_case(value)) for name, value in uri.params), key=str)
