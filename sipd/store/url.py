"""The URL of a database: `sqlite:`, `memory:`, `sql://user:password@host:port/database`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sipd.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMS: Final = "A database URL is sqlite:///path/file, sqlite:file, memory: or sql://user:password@host:port/database"

SQL: Final = re.compile(
    r"""//
    (?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?
    (?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))
    (?::(?P<port>[0-9]{1,5}))?
    /(?P<database>[^/?\#]+)""",
    re.VERBOSE | re.ASCII,
)
ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
ANY_PASSWORD: Final = re.compile(r"//([^:@/]*):.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Which database, and who said so. Neither str() nor repr() shows a password."""

    scheme: str  # "sqlite", "memory", "sql"
    path: Path | None = None  # sqlite: the file
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int | None = None
    database: str = ""
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
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"sql://{who}{host}{port}/{self.database}"

    def __str__(self) -> str:
        return self.shown


def parse_url(text: str, *, base: Path, where: str = "") -> DatabaseUrl:
    """The typed URL; relative paths are relative to `base`. Raises SetupError, which shows no password."""
    scheme, colon, rest = text.strip(" \t\r\n").partition(":")
    reader = SCHEMES.get(scheme.lower()) if colon else None
    if reader is None or "\0" in text:
        raise _bad(text, where)
    url = reader(rest, base, where)
    if url is None:
        raise _bad(text, where)
    return url


def hidden(text: str) -> str:
    """A URL that may be malformed, with *** for whatever may be its password."""
    shown, changed = ANY_PASSWORD.subn(r"//\1:***@", text)
    if "@" in text and not changed:
        return f"{text.partition(':')[0]}:***"
    return shown


def _bad(text: str, where: str) -> SetupError:
    said = f" (from {where})" if where else ""
    return SetupError(f"not a database URL: {hidden(text)!r}{said}", FORMS)


def _sqlite(rest: str, base: Path, where: str) -> DatabaseUrl | None:
    if rest.startswith("///"):
        rest = rest[2:]
    if rest.startswith("//") or not rest or rest.endswith("/"):
        return None  # sqlite://file: is it relative, or a host?
    return DatabaseUrl("sqlite", path=base / rest, where=where)


def _memory(rest: str, base: Path, where: str) -> DatabaseUrl | None:
    return None if rest.strip("/") else DatabaseUrl("memory", where=where)


def _sql(rest: str, base: Path, where: str) -> DatabaseUrl | None:
    found = SQL.fullmatch(rest)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    values = [_unescaped(found[name] or "") for name in ("user", "password", "database")]
    if None in values or (port is not None and not 0 < port < 65536):
        return None
    user, password, database = (value or "" for value in values)
    host = found["ipv6"] or found["host"]
    return DatabaseUrl("sql", user=user, password=password, host=host, port=port, database=database, where=where)


def _unescaped(text: str) -> str | None:
    """The text with its %-escapes undone; None when they are no UTF-8."""
    if "%" in ESCAPE.sub("", text):
        return None
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


SCHEMES: Final[dict[str, Callable[[str, Path, str], DatabaseUrl | None]]] = {
    "sqlite": _sqlite,
    "memory": _memory,
    "sql": _sql,
}
"""URL scheme -> how to read what follows the colon; None: it can't be read."""
