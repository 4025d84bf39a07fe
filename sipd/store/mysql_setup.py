"""What can be wrong before the first row is read, and what to do about it, in plain words."""

from __future__ import annotations

import re
import ssl
import time
from typing import TYPE_CHECKING, Final

from sipd.errors import SetupError, StoreAway
from sipd.log import LOG
from sipd.store.mysql_wire import Login

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.store.mysql_link import Link
    from sipd.store.mysql_pool import Unreachable
    from sipd.store.url import DatabaseUrl

CLOCKS_DIFFER: Final = 5.0
"""Seconds between our clock and the server's that are worth a warning: other sipd may go by its."""

OLDEST: Final[Mapping[str, tuple[int, int]]] = {"MariaDB": (10, 3), "MySQL": (5, 7)}
"""What is older lacks keys of 3072 bytes, or several triggers on one table."""

HINTS: Final[Mapping[int, str]] = {
    1045: "Correct the user or the password of the database URL, or: CREATE USER ... IDENTIFIED BY ...;",
    1698: "Correct the user or the password of the database URL; root logs in only on the machine itself",
    1044: "Allow it: GRANT ALL ON {database}.* TO {user};",
    1049: "Make it: CREATE DATABASE {database} CHARACTER SET utf8mb4;",
    1130: "The server takes no connections from this machine: CREATE USER '{user}'@'HOST' ...;",
    1129: "The server has blocked this machine after failed log-ins: FLUSH HOSTS;",
    3159: "The server wants TLS: add ?tls=required, or ?tls=verify&ca=FILE, to the database URL",
    2026: "Switch TLS on at the server, or write ?tls=off",
    2059: "Make the user with mysql_native_password or caching_sha2_password",
    2061: "Add ?tls=verify&ca=FILE to the database URL, and switch TLS on at the server",
}
"""Errors of a log-in that waiting does not cure -> what to do."""

TLS: Final = "Correct ca=FILE and the host's name in the database URL, or the server's certificate"


def login_of(url: DatabaseUrl) -> Login:
    """Who logs in, with the certificates read. Raises OSError and ssl.SSLError for those."""
    return Login(url.user, url.password, url.database, _context(url), url.tls in ("required", "verify"))


def _context(url: DatabaseUrl) -> ssl.SSLContext | None:
    if url.tls == "off":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if url.tls == "verify":
        context.load_verify_locations(url.ca) if url.ca else context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if url.cert is not None:
        context.load_cert_chain(url.cert, url.key)
    return context


def setup_error(shown: str, url: DatabaseUrl, error: Unreachable) -> Exception:
    """What to raise when none of the hosts could be had: SetupError where a person must act, else StoreAway."""
    for host, trouble in error.troubles:
        hint = TLS if trouble.text.startswith("TLS: ") else HINTS.get(trouble.code, "")
        if hint:
            words = hint.format(database=url.database, user=url.user)
            return SetupError(f"can't use the database {shown}: {host}: {trouble}", words)
    return StoreAway(f"{shown}: {error}")


async def check_server(link: Link, shown: str, now: Callable[[], float] = time.time) -> None:
    """Raise SetupError for a server that is too old, or has no InnoDB; warn where its clock is not ours."""
    kind = "MariaDB" if link.is_mariadb else "MySQL"
    found = re.search(r"(\d+)\.(\d+)", link.server_version.removeprefix("5.5.5-"))
    if found is not None and (int(found[1]), int(found[2])) < OLDEST[kind]:
        least = ".".join(map(str, OLDEST[kind]))
        raise SetupError(f"the database server of {shown} is {kind} {found[0]}", f"sipd needs {least} or newer")
    if not await link.fetch(
        "SELECT 1 FROM information_schema.ENGINES WHERE ENGINE = 'InnoDB' AND SUPPORT IN ('YES', 'DEFAULT')"
    ):
        raise SetupError(f"the database server of {shown} has no InnoDB", "Switch it on: without it nothing is safe")
    before = now()
    [(theirs,)] = await link.fetch("SELECT UNIX_TIMESTAMP(NOW(6)) + 0e0")
    ahead = (before + now()) / 2 - theirs
    if abs(ahead) > CLOCKS_DIFFER:
        side = "ahead of" if ahead > 0 else "behind"
        words = "servers that share a database must have the same time"
        LOG.event("warning", text=f"the clock of this machine is {abs(ahead):.0f} s {side} that of {shown}: {words}")


async def warn_of_forgetting(link: Link, shown: str) -> None:
    """Warn where the server may forget what it confirmed, when its power fails: a 200 would promise too much.

    Not of a cluster's node: what it has confirmed the others have as well.
    """
    [(flush,)] = await link.fetch("SELECT @@innodb_flush_log_at_trx_commit")
    if flush != 1 and not link.galera:
        LOG.event(
            "warning",
            text=f"{shown} has innodb_flush_log_at_trx_commit={flush}: when its power fails it may forget registrations"
            " that were answered 200; set it to 1",
        )
