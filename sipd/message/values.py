"""Typed header values: Address, Via, CSeq, q, expires, media types (§20)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from sipd.errors import BadSyntax
from sipd.message.grammar import (
    MAX_TOKEN,
    TOKEN,
    TOKEN_CHARS,
    Params,
    find_param,
    host_from_text,
    parse_params,
    port_from_text,
    quote,
    unfold,
    unquote,
    write_params,
)
from sipd.message.uri import Uri, hostport_from_text, parse_uri

_DISPLAY_TOKENS: Final = re.compile(rf"[{TOKEN_CHARS} \t\x80-\U0010ffff]*")
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUOTED_START: Final = re.compile(r'"(?:[^"\\]|\\.)*+"[ \t]*+', re.DOTALL)
_VIA: Final = re.compile(
    r"SIP[ \t]*+/[ \t]*+[A-Za-z0-9.]++[ \t]*+/[ \t]*+"
    rf"([{TOKEN_CHARS}]++)[ \t]++(\[[^\]]*+\]|[A-Za-z0-9._\-]++)[ \t]*+(?::[ \t]*+([0-9]++)[ \t]*+)?+(.*)",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
TRANSPORTS: Final = frozenset({"UDP", "TCP", "TLS", "WS", "WSS", "SCTP"})
_PROTOCOLS: Final = {f"SIP/2.0/{name}": name for name in TRANSPORTS}
METHODS: Final = frozenset(  # RFC 3261, 2976, 3262, 3311, 6665, 3515, 3428, 3903
    "INVITE ACK BYE CANCEL REGISTER OPTIONS INFO PRACK UPDATE SUBSCRIBE NOTIFY REFER MESSAGE PUBLISH".split(" ")  # noqa: SIM905
)
_hostport: Final = lru_cache(4096)(hostport_from_text)
# A Via line as nearly all write it, which is just as `str(via)` writes it.
_USUAL_VIA: Final = re.compile(
    r"Via: SIP/2\.0/([A-Z]{2,4}) ([A-Za-z0-9.\-]{1,64}(?::[1-9][0-9]{0,4})?)"
    rf";branch=([{TOKEN_CHARS}]{{1,{MAX_TOKEN}}})(;rport)?"
)
_CSEQ: Final = re.compile(rf"([0-9]++)[ \t]++([{TOKEN_CHARS}]++)")
_Q: Final = re.compile(r"0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?")
_MEDIA_TYPE: Final = re.compile(rf"([{TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)[ \t]*+(?:;.*)?", re.DOTALL)
_DIGITS: Final = re.compile(r"[0-9]+")
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,9}")

EXPIRES_LIMIT: Final = 2**32 - 1
"""The largest value of Expires (§20.19); more digits count as this."""

EXPIRES_WHEN_MALFORMED: Final = 3600
"""What an unreadable Expires or expires parameter counts as (§10.2.1.1, T70)."""


class Address(NamedTuple):
    """A name-addr or addr-spec with its header parameters: From, To, Contact, Route ... (§20.10)."""

    display: str | None  # unquoted; None when there is none
    uri: Uri
    params: Params = ()  # names in lower case, values as written

    def __str__(self) -> str:
        # A display name may hold controls, each as a quoted-pair: we don't write any (T32).
        name = "" if self.display is None else quote(_UNSEEN.sub("", self.display)) + " "
        return f"{name}<{self.uri.text}>{write_params(self.params)}"

    def param(self, name: str) -> str | None:
        """The parameter of that (lower-case) name, unquoted: "" without a value, None when it is absent."""
        return find_param(self.params, name)

    @property
    def tag(self) -> str | None:
        """The tag (§19.3); None when there is none. Raises BadSyntax for two, an empty, quoted or overlong one."""
        tag: str | None = None
        for name, value in self.params:
            if name == "tag":
                if tag is not None or value is None or value[0] == '"' or len(value) > MAX_TOKEN:
                    raise BadSyntax("Bad tag")
                tag = value
        return tag


class Via(NamedTuple):
    """One hop of a message's way (§20.42)."""

    transport: str  # upper case
    host: str  # of sent-by, as written; IPv6 without brackets
    port: int | None = None
    params: Params = ()  # names in lower case, values as written

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{write_params(self.params)}"

    def param(self, name: str) -> str | None:
        """The parameter of that (lower-case) name, unquoted: "" without a value, None when it is absent."""
        return find_param(self.params, name)

    @property
    def sent_by(self) -> str:
        """`host` or `host:port` as written in the header, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def branch(self) -> str | None:
        """The branch (§8.1.1.7). Raises BadSyntax for an empty, quoted or overlong one."""
        for name, value in self.params:
            if name == "branch":
                if value is None or value[0] == '"' or len(value) > MAX_TOKEN:
                    raise BadSyntax("Bad branch")
                return value
        return None

    @property
    def received(self) -> str | None:
        """The received parameter, IPv6 without brackets (RFC 5118 §4.5 has it both ways)."""
        value = self.param("received")
        return value[1:-1] if value and value[0] == "[" and value[-1] == "]" else value

    @property
    def rport(self) -> int | None:
        """The port of rport (RFC 3581); None when it has no value or a bad one: `param("rport")` tells."""
        value = self.param("rport")
        try:
            return port_from_text(value) if value else None
        except BadSyntax:
            return None

    def with_params(self, **params: str | None) -> Via:
        """The same with these parameters set, in the place of all of that name (None: taken away)."""
        kept = [pair for pair in self.params if pair[0] not in params]
        kept += [(name, value or None) for name, value in params.items() if value is not None]
        return Via(self.transport, self.host, self.port, tuple(kept))


class CSeq(NamedTuple):
    """A CSeq header field: the request's number and method (§20.16)."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_address(text: str) -> Address:
    """The name-addr or addr-spec with parameters that `text` is (§20.10, §25.1). Raises BadSyntax."""
    display: str | None = None
    if text[:1] == '"':
        quoted = _QUOTED_START.match(text)
        if quoted is None or text[quoted.end() : quoted.end() + 1] != "<":
            raise BadSyntax("Bad display name")
        display = unquote(quoted.group().rstrip(" \t"))
        text = text[quoted.end() :]
        name, angle = "", "<"
        rest = text[1:]
    else:
        name, angle, rest = text.partition("<")
    if angle:
        if name:
            if not _DISPLAY_TOKENS.fullmatch(name):
                raise BadSyntax("Bad display name")
            display = name.strip(" \t") or None
        inner, bracket, tail = rest.partition(">")
        if not bracket:
            raise BadSyntax("Bad address")
        tail = tail.strip(" \t")
        return Address(display, parse_uri(inner), parse_params(tail) if tail else ())
    # Without <> a "?" or "," can't belong to the URI, and ";" begins the header's own parameters (§20).
    spec, semicolon, tail = text.partition(";")
    spec = spec.strip(" \t")
    if "?" in spec or "," in spec:
        raise BadSyntax("Bad address: URI needs <>")
    return Address(None, parse_uri(spec), parse_params(";" + tail.rstrip(" \t")) if semicolon else ())


def parse_route(text: str) -> Address:
    """A Route, Record-Route or Path value: an Address that must have its <> (§20.34). Raises BadSyntax."""
    if "<" not in text:
        raise BadSyntax("Bad route")
    return parse_address(text)


def via_from_line(line: str) -> Via | None:
    """The Via of a header line in its usual spelling, in a hurry; None for any other, which may be right as well."""
    found = _USUAL_VIA.fullmatch(line)
    if found is None:
        return None
    transport, sent_by, branch, rport = found.groups()
    if transport not in TRANSPORTS:
        return None
    try:
        host, port = _hostport(sent_by)
    except BadSyntax:
        return None
    return Via(transport, host, port, (("branch", branch),) if rport is None else (("branch", branch), ("rport", None)))


def parse_via(text: str) -> Via:
    """One Via value, blanks allowed wherever §25.1 does (§20.42). Raises BadSyntax."""
    head, semicolon, tail = text.partition(";")
    protocol, _, sent_by = head.partition(" ")
    transport = _PROTOCOLS.get(protocol)
    try:
        # As nearly all write it; what is not so gets the full look below.
        host, port = _hostport(sent_by) if transport is not None and len(sent_by) <= 64 else ("", None)
    except BadSyntax:
        host, port = "", None
    if transport is None or not host:
        transport, host, port, tail = _via_parts(text)
        return Via(transport, host, port, parse_params(tail) if tail else ())
    return Via(transport, host, port, parse_params(";" + tail) if semicolon else ())


def parse_sent_by(text: str) -> Via:
    """A Via value without its parameters, however bad these are: enough to answer (T01). Raises BadSyntax."""
    return Via(*_via_parts(text)[:3])


def _via_parts(text: str) -> tuple[str, str, int | None, str]:
    found = _VIA.fullmatch(text)
    if found is None:
        raise BadSyntax("Bad Via")
    transport, host, port, tail = found.groups()
    return transport.upper(), host_from_text(host), port_from_text(port) if port else None, tail


def parse_cseq(text: str) -> CSeq:
    """A CSeq value: a number below 2^31 and a method (§8.1.1.5, T04). Raises BadSyntax."""
    digits, _, method = text.partition(" ")
    if method in METHODS and len(digits) < 10 and digits.isascii() and digits.isdigit():
        return CSeq(int(digits), method)
    found = _CSEQ.fullmatch(text)
    if found is None:
        raise BadSyntax("Bad CSeq")
    digits, method = found.groups()
    number = number_from_text(digits, 2**31)
    if number >= 2**31 or len(method) > MAX_TOKEN:
        raise BadSyntax("Bad CSeq")
    return CSeq(number, method)


@lru_cache(1024)
def cseq_from_line(line: str) -> CSeq:
    """The CSeq of a header line, remembered: the few that there are come again and again. Raises BadSyntax."""
    return parse_cseq(unfold(line[line.index(":") + 1 :]))


@lru_cache(512)
def number_from_line(line: str) -> int:
    """The number of up to nine digits that is the value of a header line, remembered; -1 for any other value."""
    value = unfold(line[line.index(":") + 1 :])
    return int(value) if _SHORT_NUMBER.fullmatch(value) else -1


@lru_cache(4096)
def party_from_line(line: str) -> Address | None:
    """The From or To of a header line that ends with the URI's ">", remembered; None when this is no such line.

    It is for what is left of most From and To lines when their tag is cut
    off, the same in every call. Raises BadSyntax.
    """
    value = unfold(line[line.index(":") + 1 :])
    return parse_address(value) if value.find(">") == len(value) - 1 else None


def number_from_text(text: str, limit: int) -> int:
    """The number `text` writes in ASCII digits, `limit` when it is larger. Raises BadSyntax for other text."""
    if not _DIGITS.fullmatch(text):
        raise BadSyntax("Bad number")
    digits = text if len(text) < 20 else text.lstrip("0") or "0"
    return min(int(digits), limit) if len(digits) < 20 else limit


def expires_from_text(text: str) -> int:
    """Seconds of an Expires or expires parameter: unreadable ones are 3600, larger than 2^32-1 that (T70)."""
    try:
        return number_from_text(text, EXPIRES_LIMIT)
    except BadSyntax:
        return EXPIRES_WHEN_MALFORMED


def q_from_text(text: str) -> int:
    """A qvalue in thousandths, 0..1000 (§25.1). Raises BadSyntax."""
    found = _Q.fullmatch(text)
    if found is None:
        raise BadSyntax("Bad q")
    return 1000 if text[0] == "1" else int((found.group(1) or "").ljust(3, "0"))


def q_to_text(q: int) -> str:
    """A qvalue as it is written: 1000 is "1", 500 is "0.5". Raises ValueError outside 0..1000."""
    if not 0 <= q <= 1000:
        raise ValueError(f"q is 0..1000, not {q}")
    return "1" if q == 1000 else f"0.{q:03}".rstrip("0").rstrip(".")


def media_type(text: str) -> str:
    """The media type of a Content-Type value, lower case, without parameters (§20.15). Raises BadSyntax."""
    found = _MEDIA_TYPE.fullmatch(text)
    if found is None:
        raise BadSyntax("Bad Content-Type")
    return f"{found.group(1)}/{found.group(2)}".lower()


def parse_method(text: str) -> str:
    """`text` when it can be a method (§25.1). Raises BadSyntax."""
    if not TOKEN.fullmatch(text) or len(text) > MAX_TOKEN:
        raise BadSyntax("Bad method")
    return text
