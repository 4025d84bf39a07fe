"""Kamailio as a target: the same work as sipd does in each scenario, one child, allocator tlsf."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from tests import mariadb, wire
from tests.mariadb import MariaDb
from tests.running import HERE, Child

if TYPE_CHECKING:
    from tests.bench.scenarios import Scenario

PROGRAM = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin")

DURABLE: dict[str, str | int] = {"innodb_log_file_size": "96M", "innodb_flush_log_at_trx_commit": 1}
"""Of a database that is measured: each commit is on the disk before it is answered."""

# Only the elements that the benchmark's script uses; cplc validates against it.
DTD = """\
<!ELEMENT cpl (subaction*, outgoing?, incoming?)>
<!ELEMENT subaction ANY> <!ATTLIST subaction id ID #REQUIRED>
<!ELEMENT outgoing ANY> <!ELEMENT incoming ANY>
<!ELEMENT address-switch ANY>
<!ATTLIST address-switch field CDATA #REQUIRED subfield CDATA #IMPLIED>
<!ELEMENT address ANY>
<!ATTLIST address is CDATA #IMPLIED contains CDATA #IMPLIED subdomain-of CDATA #IMPLIED>
<!ELEMENT otherwise ANY>
<!ELEMENT lookup ANY>
<!ATTLIST lookup source CDATA #REQUIRED timeout CDATA "30" use CDATA #IMPLIED ignore CDATA #IMPLIED clear CDATA "no">
<!ELEMENT success ANY> <!ELEMENT notfound ANY> <!ELEMENT failure ANY>
<!ELEMENT proxy ANY>
<!ATTLIST proxy timeout CDATA "20" recurse CDATA "yes" ordering CDATA "parallel">
<!ELEMENT reject EMPTY> <!ATTLIST reject status CDATA #REQUIRED reason CDATA #IMPLIED>
"""

MODULES = ["kex", "tm", "tmx", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "registrar"]

ROUTE = """\
request_route {{
    if (!mf_process_maxfwd_header("70")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not Here"); exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    t_check_trans();
    if (is_method("OPTIONS") && uri == myself && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{
{upload}{challenge}        save("location"); exit;
    }}
    if (is_method("INVITE")) record_route();
{script}    if (!lookup("location")) {{ sl_send_reply("480", "Temporarily Unavailable"); exit; }}
    t_relay();
}}
"""

# The flag 1 asks for qop, and so for counted nonces.
CHALLENGE = """\
        if (!www_authorize("$td", "subscriber")) {{ www_challenge("$td", "{flags}"); exit; }}
"""


def missing(scenario: Scenario, *, sqlite: bool = False) -> list[str]:
    """The Debian packages that this scenario needs of Kamailio and its database, and that are not here."""
    packages = [] if PROGRAM else ["kamailio"]
    if sqlite:
        here = any((place / "db_sqlite.so").is_file() for place in places())
        return packages if here else [*packages, "kamailio-sqlite-modules"]
    with_database = scenario.durable or scenario.cpl
    if with_database and mariadb.PROGRAM is None:
        packages.append("mariadb-server")
    modules = [("kamailio-mysql-modules", "db_mysql.so")] if with_database else []
    if scenario.cpl:
        modules.append(("kamailio-cpl-modules", "cplc.so"))
    packages += [package for package, module in modules if not any((place / module).is_file() for place in places())]
    return packages


class Kamailio:
    """One Kamailio, with a database of its own where the scenario keeps something: MariaDB, or an SQLite file.

    `children`: processes for UDP; each is busy while the database writes for it.
    """

    def __init__(self, scenario: Scenario, port: int, directory: Path, *, allocator: str = "tlsf", sqlite: bool = False,
                 children: int = 1) -> None:  # fmt: skip
        if PROGRAM is None:
            raise FileNotFoundError("kamailio is not installed")
        kind = [allocator] * (allocator != "tlsf") + ["sqlite"] * sqlite + [str(children)] * (children != 1)
        self.name = "-".join(["kamailio", *kind])
        self.port = port
        self._scenario = scenario
        self._directory = directory
        self._allocator = allocator
        self._children = children
        self._sqlite = directory / "kamailio.sqlite3" if sqlite else None
        self._database: MariaDb | None = None
        self._child: Child | None = None

    @property
    def server_pids(self) -> list[int]:
        return [] if self._child is None else [self._child.pid]

    @property
    def database_pids(self) -> list[int]:
        return [] if self._database is None else [self._database.pid]

    def start(self) -> None:
        """Raises AssertionError, with what it said, when it doesn't come up."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._sqlite is not None:
            self._fill_file(self._sqlite)
        elif self._scenario.durable or self._scenario.cpl:
            self._database = MariaDb(self._directory / "db", settings=DURABLE)
            self._database.start()
            self._fill(self._database)
        config = self._directory / "kamailio.cfg"
        config.write_text(self._config())
        memory = ("-m", "1024", "-M", "32")
        self._child = Child(
            [PROGRAM or "", "-DD", "-E", "-f", config, "-x", self._allocator, *memory, "-Y", self._directory],
            name="kamailio",
            cwd=self._directory,
        )
        wire.wait_until_answering(self.port, self._child)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
        if self._database is not None:
            self._database.stop()

    def _subscribers(self) -> str:
        rows = ",".join(
            f"('{user}','{HERE}','','{wire.ha1(user, HERE, password)}','')" for user, password in self._scenario.users
        )
        return f"INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES {rows};"

    def _fill_file(self, path: Path) -> None:
        """With a write-ahead log and SQLite's default `synchronous=FULL`: the quickest that is durable.

        The module sets neither. With the rollback journal that its tool makes a write takes 20 ms. Nor does it wait
        for another child's write (no busy timeout): with several children most REGISTERs are refused.
        """
        tables = Path("/usr/share/kamailio/db_sqlite")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        for name in ("standard", "usrloc", "auth_db"):
            connection.executescript((tables / f"{name}-create.sql").read_text())
        connection.executescript(self._subscribers())
        connection.close()

    def _fill(self, database: MariaDb) -> None:
        tables = Path("/usr/share/kamailio/mysql")
        statements = ["CREATE DATABASE kamailio;", "USE kamailio;"]
        for name in ("standard", "usrloc", "auth_db", "cpl"):
            statements.append((tables / f"{name}-create.sql").read_text())
        statements.append(self._subscribers())
        # The compiled script is bytes, for which the column of the shipped table is too narrow a type.
        statements.append("ALTER TABLE cpl MODIFY cpl_bin BLOB, MODIFY cpl_xml BLOB;")
        database.run("\n".join(statements))

    def _config(self) -> str:
        scenario, database = self._scenario, self._database
        driver = "db_sqlite" if self._sqlite is not None else "db_mysql"
        modules = [*([driver] if self._sqlite is not None or database is not None else []), *MODULES]
        lines = [
            "debug=0",
            "log_stderror=yes",
            f"children={self._children}",
            "auto_aliases=no",
            "disable_tcp=yes",
            f"listen=udp:{HERE}:{self.port}",
            f'mpath="{modules_directory()}"',
        ]
        if scenario.durable:
            modules += ["auth", "auth_db"]
        if scenario.cpl:
            modules.append("cplc")
        lines += [f'loadmodule "{name}.so"' for name in modules]
        lines += ['modparam("rr", "enable_full_lr", 1)', 'modparam("registrar", "max_expires", 7200)']
        url = (
            f"sqlite:///{self._sqlite}" if database is None else f"mysql://bench:bench@{HERE}:{database.port}/kamailio"
        )
        if driver in modules:
            lines.append(
                f'modparam("usrloc|auth_db|cplc", "db_url", "{url}")'
                if scenario.cpl and scenario.durable
                else f'modparam("usrloc|{"auth_db" if scenario.durable else "cplc"}", "db_url", "{url}")'
            )
        lines.append(f'modparam("usrloc", "db_mode", {1 if scenario.durable else 0})')
        if scenario.durable:
            lines += ['modparam("auth_db", "calculate_ha1", 0)', 'modparam("auth_db", "password_column", "ha1")',
                      'modparam("auth_db", "use_domain", 1)', 'modparam("usrloc", "use_domain", 1)']  # fmt: skip
        if scenario.kept:
            lines.append('modparam("auth", "nonce_count", 1)')
        if scenario.cpl:
            dtd = self._directory / "cpl.dtd"
            dtd.write_text(DTD)
            lines += [f'modparam("cplc", "cpl_dtd_file", "{dtd}")', 'modparam("cplc", "lookup_domain", "location")']
        script = '    if (is_method("INVITE")) cpl_run_script("incoming", "is_stateless");\n' if scenario.cpl else ""
        upload = "        cpl_process_register();\n" if scenario.cpl else ""
        challenge = CHALLENGE.format(flags=int(scenario.kept)) if scenario.durable else ""
        lines.append(ROUTE.format(upload=upload, challenge=challenge, script=script))
        return "\n".join(lines)


def places() -> list[Path]:
    """Where Kamailio's modules may lie."""
    return [*Path("/usr/lib").glob("*/kamailio/modules"), Path("/usr/lib64/kamailio/modules")]


def modules_directory() -> str:
    """The directory of Kamailio's modules on this machine."""
    for place in places():
        if place.is_dir():
            return f"{place}{os.sep}"
    raise FileNotFoundError("kamailio's modules are not installed")
