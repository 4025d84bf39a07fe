"""A Kamailio that keeps its phones in a database with its own schema: what `db import-kamailio` is to read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests import wire
from tests.bench.kamailio import PROGRAM, modules_directory
from tests.running import HERE, Child, free_port

SCHEMAS = Path("/usr/share/kamailio")
TABLES = ("standard", "usrloc", "auth_db", "cpl", "alias_db", "domain", "dialplan")
MODULES = (
    "kex", "tm", "sl", "pv", "rr", "maxfwd", "textops", "siputils", "{driver}", "usrloc", "path", "nathelper",
    "registrar",
)  # fmt: skip
CONFIG = """\
debug=0
log_stderror=yes
children=1
auto_aliases=no
alias="example.com"
listen=udp:{here}:{port}
mpath="{modules}"
{loads}
modparam("nathelper", "received_avp", "$avp(RECEIVED)")
modparam("registrar", "received_avp", "$avp(RECEIVED)")
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("usrloc", "db_mode", 1)
modparam("usrloc", "use_domain", 1)
modparam("usrloc", "db_url", "{url}")
request_route {{
    if (!is_method("REGISTER")) {{ sl_send_reply("404", "Not Here"); exit; }}
    if ($ua =~ "NAT") fix_nated_register();
    save("location");
}}
"""
REGISTER = (
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {here}:{port};branch=z9hG4bK{user}\r\nMax-Forwards: 70\r\n"
    "From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: call-of-{user}\r\n"
    "CSeq: 7 REGISTER\r\nContact: {contact}\r\n{more}Content-Length: 0\r\n\r\n"
)


def schema(driver: str) -> str:
    """The statements that make Kamailio's tables, as its packages bring them."""
    places = [
        SCHEMAS / {"db_sqlite": "db_sqlite", "db_mysql": "mysql"}[driver] / f"{name}-create.sql" for name in TABLES
    ]
    assert all(place.is_file() for place in places), (
        "the tests need Kamailio's schema (Debian and Ubuntu: apt-get install kamailio-sqlite-modules "
        "kamailio-mysql-modules)"
    )
    return "".join(place.read_text() for place in places)


def make_file(path: Path, rows: str = "") -> None:
    """An SQLite file with Kamailio's tables and these rows."""
    with closing(sqlite3.connect(path)) as file:
        file.executescript(schema("db_sqlite") + rows)
        file.commit()


def add_rows(path: Path, rows: str) -> None:
    """More rows in such a file."""
    with closing(sqlite3.connect(path)) as file:
        file.executescript(rows)
        file.commit()


def register_phones(
    directory: Path, driver: str, url: str, phones: dict[str, tuple[str, str]], env: dict[str, str] | None = None
) -> int:
    """Let a Kamailio on that database register these phones (user: Contact and further header fields).

    The port that the phones asked from.
    """
    assert PROGRAM is not None, "the tests need kamailio (Debian and Ubuntu: apt-get install kamailio)"
    directory.mkdir()
    port = free_port()
    loads = "\n".join(f'loadmodule "{name.format(driver=driver)}.so"' for name in MODULES)
    config = directory / "kamailio.cfg"
    config.write_text(CONFIG.format(here=HERE, port=port, modules=modules_directory(), loads=loads, url=url))
    command: list[str | Path] = [PROGRAM, "-DD", "-E", "-f", config, "-m", "64", "-M", "8", "-Y", directory]
    child = Child(command, name="kamailio", cwd=directory, env=env)
    try:
        wire.wait_until_answering(port, child)
        with wire.Asker(port) as asker:
            for user, (contact, more) in phones.items():
                text = REGISTER.format(here=HERE, port=asker.port, user=user, contact=contact, more=more)
                answer = asker.ask(text.encode("utf-8", "surrogateescape"))
                assert answer is not None, child.output
                assert answer.startswith("SIP/2.0 200"), answer
            return asker.port
    finally:
        child.stop()
