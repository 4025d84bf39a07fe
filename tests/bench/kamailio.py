"""Kamailio as a target: the same work as sipd does in each scenario, one child, allocator tlsf."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests import mariadb, wire
from tests.mariadb import MariaDb
from tests.running import HERE, Child

if TYPE_CHECKING:
    from tests.bench.scenarios import Scenario

PROGRAM = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin")

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

MODULES = ["db_mysql", "kex", "tm", "tmx", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "registrar"]

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

CHALLENGE = """\
        if (!www_authorize("$td", "subscriber")) { www_challenge("$td", "0"); exit; }
"""


def missing(scenario: Scenario) -> list[str]:
    """The Debian packages that this scenario needs of Kamailio and its database, and that are not here."""
    packages = [] if PROGRAM else ["kamailio"]
    with_database = scenario.durable or scenario.cpl
    if with_database and mariadb.PROGRAM is None:
        packages.append("mariadb-server")
    modules = [("kamailio-mysql-modules", "db_mysql.so")] if with_database else []
    if scenario.cpl:
        modules.append(("kamailio-cpl-modules", "cplc.so"))
    packages += [package for package, module in modules if not any((place / module).is_file() for place in places())]
    return packages


class Kamailio:
    """One Kamailio, with a MariaDB of its own where the scenario keeps something."""

    def __init__(self, scenario: Scenario, port: int, directory: Path, *, allocator: str = "tlsf") -> None:
        if PROGRAM is None:
            raise FileNotFoundError("kamailio is not installed")
        self.name = "kamailio" if allocator == "tlsf" else f"kamailio-{allocator}"
        self.port = port
        self._scenario = scenario
        self._directory = directory
        self._allocator = allocator
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
        if self._scenario.durable or self._scenario.cpl:
            self._database = MariaDb(self._directory / "db", settings={"innodb_log_file_size": "96M"})
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

    def _fill(self, database: MariaDb) -> None:
        tables = Path("/usr/share/kamailio/mysql")
        statements = ["CREATE DATABASE kamailio;", "USE kamailio;"]
        for name in ("standard", "usrloc", "auth_db", "cpl"):
            statements.append((tables / f"{name}-create.sql").read_text())
        rows = ",".join(
            f"('{user}','{HERE}','','{wire.ha1(user, HERE, password)}','')" for user, password in self._scenario.users
        )
        statements.append(f"INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES {rows};")
        # The compiled script is bytes, for which the column of the shipped table is too narrow a type.
        statements.append("ALTER TABLE cpl MODIFY cpl_bin BLOB, MODIFY cpl_xml BLOB;")
        database.run("\n".join(statements))

    def _config(self) -> str:
        scenario, database = self._scenario, self._database
        modules = [name for name in MODULES if name != "db_mysql" or database is not None]
        lines = [
            "debug=0",
            "log_stderror=yes",
            "children=1",
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
        if database is not None:
            url = f"mysql://bench:bench@{HERE}:{database.port}/kamailio"
            lines.append(
                f'modparam("usrloc|auth_db|cplc", "db_url", "{url}")'
                if scenario.cpl and scenario.durable
                else f'modparam("usrloc|{"auth_db" if scenario.durable else "cplc"}", "db_url", "{url}")'
            )
        lines.append(f'modparam("usrloc", "db_mode", {1 if scenario.durable else 0})')
        if scenario.durable:
            lines += ['modparam("auth_db", "calculate_ha1", 0)', 'modparam("auth_db", "password_column", "ha1")']
        if scenario.cpl:
            dtd = self._directory / "cpl.dtd"
            dtd.write_text(DTD)
            lines += [f'modparam("cplc", "cpl_dtd_file", "{dtd}")', 'modparam("cplc", "lookup_domain", "location")']
        script = '    if (is_method("INVITE")) cpl_run_script("incoming", "is_stateless");\n' if scenario.cpl else ""
        upload = "        cpl_process_register();\n" if scenario.cpl else ""
        lines.append(ROUTE.format(upload=upload, challenge=CHALLENGE if scenario.durable else "", script=script))
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
