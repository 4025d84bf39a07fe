"""The URL of a database: `sqlite:`, `memory:`, `sql://user:password@host:port,host/database?tls=verify`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, Final, Literal, cast, get_args
from urllib.parse import quote

from sipd.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Host = tuple[str, int]
"""Name or numeric address (IPv6 without brackets) of a database server, and its port."""

Tls = Literal["off", "preferred", "required", "verify"]
"""TLS to the database: never; where the server offers it (the default, as other MySQL clients do);
else no connection; and the server's certificate must be good for its name (the default with `ca=`)."""

PORT: Final = 3306
"""Where MySQL and MariaDB listen."""

FORMS: Final = (
    "A database URL is sqlite:///path/file, sqlite:file, memory: or sql://user:password@host:port/database, "
    "with several hosts as host:port,host:port, and with ?tls=required or ?tls=verify&ca=FILE at its end"
)

HOST: Final = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
WORD: Final = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII | re.IGNORECASE)

MOST_HOSTS: Final = 16
"""Servers that one URL may name."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Which database, and who said so. Neither str() nor repr() shows a password."""

    scheme: str  # "sqlite", "memory", "sql"
    path: Path | None = None  # sqlite: the file
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[Host, ...] = ()  # sql: at least one, in the order to try them
    database: str = ""
    tls: Tls = "preferred"
    ca: Path | None = None  # certificates of those who may have signed the server's (PEM)
    cert: Path | None = None  # our own certificate, for servers that ask for one (PEM)
    key: Path | None = None  # its private key; in the file of `cert` where None
    where: str = ""  # "-D", "-f FILE", "SIPD_DATABASE", the file found, "embedded"
    embedded: bool = False  # nobody named one: the server may make it by itself
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The URL as messages show it, with *** for the password."""
        if self.path is not None:
            return f"{self.scheme}:{self.path}"
        if self.scheme != "sql":
            return f"{self.scheme}:"
        secret = ":***" if self.password else ""
        who = f"{quote(self.user, safe='')}{secret}@" if self.user or secret else ""
        hosts = ",".join(shown_host(host) for host in self.hosts)
        return f"sql://{who}{hosts}/{quote(self.database, safe='')}{self._options()}"

    def _options(self) -> str:
        files = (("ca", self.ca), ("cert", self.cert), ("key", self.key))
        given = [f"{name}={quote(str(file), safe='/')}" for name, file in files if file is not None]
        if self.tls != _usual_tls(self.ca):
            given.insert(0, f"tls={self.tls}")
        return "?" + "&".join(given) if given else ""

    def __str__(self) -> str:
        return self.shown


def shown_host(host: Host) -> str:
    """A server as a URL names it: `db1`, `db1:3307`, `[2001:db8::1]`."""
    name = f"[{host[0]}]" if ":" in host[0] else host[0]
    return name if host[1] == PORT else f"{name}:{host[1]}"


def parse_url(text: str, *, base: Path, where: str = "") -> DatabaseUrl:
    """The typed URL; relative paths are relative to `base`. Raises SetupError, which shows no password."""
    text = text.strip(" \t\r\n")
    scheme, colon, rest = text.partition(":")
    reader = SCHEMES.get(scheme.lower()) if colon else None
    try:
        if CONTROL.search(text) is not None:
            raise _Wrong("a line break or another control character is in it")
        if not _is_utf8(text):
            raise _Wrong("it is not UTF-8")
        if reader is None:
            raise _Wrong("")
        return replace(reader(rest, base), where=where)
    except _Wrong as wrong:
        said = f" (from {where})" if where else ""
        why = f": {wrong}" if str(wrong) else ""
        raise SetupError(f"not a database URL: {hidden(text)!r}{said}{why}", FORMS) from None


def hidden(text: str) -> str:
    """A text that may be a malformed URL, with *** for whatever may hold its password."""
    scheme, colon, rest = text.partition(":")
    if not colon and "@" not in text:
        return text
    if scheme.lower() in ("sqlite", "memory") and not any(mark in rest for mark in ":@?"):
        return text
    return f"{scheme}:***" if colon and WORD.fullmatch(scheme) else "***"


class _Wrong(Exception):
    """What is wrong with a URL, in words that hold no part of it but names."""


def _sqlite(rest: str, base: Path) -> DatabaseUrl:
    if rest.startswith("///"):
        rest = rest[2:]
    if rest.startswith("//"):
        raise _Wrong("a path has one slash or three")  # sqlite://file: is it relative, or a host?
    if not rest or rest.endswith("/"):
        raise _Wrong("it names no file")
    return DatabaseUrl("sqlite", path=base / rest)


def _memory(rest: str, base: Path) -> DatabaseUrl:
    if rest.strip("/"):
        raise _Wrong("memory: has nothing behind it")
    return DatabaseUrl("memory")


def _sql(rest: str, base: Path) -> DatabaseUrl:
    if not rest.startswith("//"):
        raise _Wrong("after sql: comes //")
    authority, slash, tail = rest[2:].partition("/")
    who, _, hosts = authority.rpartition("@")
    if "@" in who or "@" in tail:
        raise _Wrong("a : / ? @ or % of the password is written %3A %2F %3F %40 or %25")
    name, _, options = tail.partition("?")
    if not slash or not name:
        raise _Wrong("it lacks the name of the database, as in sql://host/sip")
    user, _, password = who.partition(":")
    if ":" in password or "/" in name or "#" in name:
        raise _Wrong("a : / ? @ # or % of a name or password is written %3A %2F %3F %40 %23 or %25")
    url = DatabaseUrl(
        "sql", user=_unescaped(user), password=_unescaped(password), hosts=_hosts(hosts), database=_unescaped(name)
    )
    return _with_options(url, options, base)


def _hosts(text: str) -> tuple[Host, ...]:
    hosts: list[Host] = []
    for one in text.split(","):
        found = HOST.fullmatch(one)
        if found is None:
            raise _Wrong("a host is a name or an address (IPv6 in brackets), with :port where it is not 3306")
        port = int(found["port"] or PORT)
        if not 0 < port < 65536:
            raise _Wrong("a port is 1 to 65535")
        host: Host = (found["name"] or _ipv6(found["ipv6"]), port)
        if host in hosts:
            raise _Wrong("a host is named twice")
        hosts.append(host)
    if len(hosts) > MOST_HOSTS:
        raise _Wrong(f"more than {MOST_HOSTS} hosts")
    return tuple(hosts)


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        raise _Wrong("what is in brackets is no IPv6 address") from None


def _with_options(url: DatabaseUrl, options: str, base: Path) -> DatabaseUrl:
    values: dict[str, str] = {}
    for option in options.split("&") if options else ():
        name, equals, value = option.partition("=")
        if name not in OPTIONS:
            known = ", ".join(OPTIONS)
            shown = name if equals and WORD.fullmatch(name) else "***"
            raise _Wrong(f"no option {shown}; there are {known}")
        if name in values or not value:
            raise _Wrong(f"the option {name} is {'there twice' if name in values else 'empty'}")
        values[name] = _unescaped(value)
    files = {name: base / values[name] for name in OPTIONS[1:] if name in values}
    tls = values.get("tls", _usual_tls(files.get("ca")))
    if tls not in get_args(Tls):
        raise _Wrong(f"tls is one of {', '.join(get_args(Tls))}")
    if files and tls == "off":
        raise _Wrong("with tls=off there are no certificates")
    if "key" in files and "cert" not in files:
        raise _Wrong("a key without its cert")
    return replace(url, tls=cast("Tls", tls), ca=files.get("ca"), cert=files.get("cert"), key=files.get("key"))


def _usual_tls(ca: Path | None) -> Tls:
    return "preferred" if ca is None else "verify"


def _unescaped(text: str) -> str:
    """The text with its %-escapes undone."""
    if "%" in ESCAPE.sub("", text):
        raise _Wrong("a % is followed by two hexadecimal digits, as in %40 for @")
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())
    try:
        plain = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _Wrong("its %-escapes are no UTF-8") from None
    if CONTROL.search(plain) is not None:
        raise _Wrong("a control character is escaped in it")
    return plain


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


OPTIONS: Final = ("tls", "ca", "cert", "key")
"""What may stand after the question mark of a `sql:` URL; the last three are files."""

SCHEMES: Final[dict[str, Callable[[str, Path], DatabaseUrl]]] = {
    "sqlite": _sqlite,
    "memory": _memory,
    "sql": _sql,
    "mysql": _sql,  # the same, as others spell it
}
"""URL scheme -> how to read what follows the colon."""
