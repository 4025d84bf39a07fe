"""What scripts may have fetched: http and https, from hosts the administrator names (RFC 3880 §5.2, T48)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sipd.cpl.findings import shown

if TYPE_CHECKING:
    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report

PORTS: Final = {"http": 80, "https": 443}
"""The schemes there are, with the ports meant when a URL names none."""

MAX_URL: Final = 1000
"""Characters of a URL that is fetched."""

_PRINTABLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
_HOST_PORT: Final = re.compile(rf"(?P<host>{_HOST.pattern})(?::(?P<port>[0-9]{{1,5}}))?")


class NotFetched(Exception):
    """A URL that is not fetched; `hint` says what would be."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


def hosts_from_text(text: str) -> frozenset[str]:
    """The hosts of the setting `script_hosts`: names with or without `:port`, blanks or commas between.

    Without a port, 80 and 443 are meant. Raises ValueError for what is no host.
    """
    hosts = set()
    for word in text.replace(",", " ").split():
        found = _HOST_PORT.fullmatch(word)
        if found is None or int(found["port"] or 1) not in range(1, 65536):
            raise ValueError(f"not host or host:port: {word[:80]!r}")
        host = found["host"].lower().rstrip(".")
        hosts.add(f"{host}:{int(found['port'])}" if found["port"] else host)
    return frozenset(hosts)


def check_url(url: str, hosts: frozenset[str]) -> None:
    """Raises NotFetched unless it is an http or https URL whose host and port are among `hosts`.

    Every place a redirection points to is to be checked like this too.
    """
    if len(url) > MAX_URL or _PRINTABLE.fullmatch(url) is None:
        raise NotFetched("that is no URL, or too long", "a URL has no blanks and only ASCII characters")
    scheme = url.partition(":")[0].lower()
    if scheme not in PORTS:
        raise NotFetched(f"nothing is fetched by {shown(scheme, 20)}", "only http: and https: are")
    try:
        parts = urlsplit(url)
        port = PORTS[scheme] if parts.port is None else parts.port
    except ValueError:
        raise NotFetched("that is no URL") from None
    found = _HOST_PORT.fullmatch(parts.netloc)
    if "@" in parts.netloc:
        raise NotFetched("a URL with a user name is not fetched", "leave out what stands before the @")
    if found is None or port == 0 or parts.netloc.endswith(":"):
        raise NotFetched("that URL names no host")
    host = found["host"].lower().rstrip(".")
    if parts.fragment or "#" in url:
        raise NotFetched("a URL with # is not fetched", "leave out # and what follows")
    if f"{host}:{port}" not in hosts and not (host in hosts and port in PORTS.values()):
        where = host if port in PORTS.values() else f"{host}:{port}"
        hint = f"its administrator can permit that: sipdctl server set script_hosts={where[:80]}"
        raise NotFetched(f"this server fetches nothing from {shown(where)}", hint)


def read_source(report: Report, element: Element, hosts: frozenset[str]) -> str:
    """The source of a lookup (§5.2); `registration` after reporting what is wrong with it."""
    source = element.attributes.get("source", "registration").strip(" \t\r\n")
    if source == "registration":
        return source
    if ":" in source:
        try:
            check_url(source, hosts)
        except NotFetched as error:
            ours = 'source="registration" finds the phones you have registered'
            hint = f"{error.hint}; {ours}" if error.hint else ours
            report.error("CPL-SOURCE", f"source={shown(source)}: {error.text}", element, "source", hint=hint)
            return "registration"
        return source
    text = f"source={shown(source)}: there is no such source"
    report.error("CPL-SOURCE", text, element, "source", hint='write source="registration", or a URL')
    return "registration"
