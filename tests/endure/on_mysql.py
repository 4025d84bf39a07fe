"""The tests on a MySQL in place of MariaDB, by hand: Debian stable has none, and MySQL is not MariaDB.

`SIPD_MYSQLD=/usr/sbin/mysqld python -m pytest -p tests.endure.on_mysql tests/store -k 'mariadb or mysql'`,
`SIPD_MYSQLD=/usr/sbin/mysqld python -m tests.endure.on_mysql kill --store mariadb --kill-database`.

Its settings are as they come: a binary log, caching_sha2_password. What
shows faults of trio-mysql itself (`test_the_fault`) fails here: by itself it can't log in.
"""

from __future__ import annotations

import atexit
import functools
import os
import runpy
import shutil
import subprocess
import tempfile
from pathlib import Path

import tests.mariadb

SHIPPED = ("lc-messages-dir", "character-sets-dir", "plugin-dir")
"""What a MySQL unpacked somewhere must be told, as SIPD_MYSQLD_LC_MESSAGES_DIR and so on."""


class MySql(tests.mariadb.MariaDb):
    """One server. Settings that MariaDB alone has are left out."""

    def find(self) -> str:
        return os.environ.get("SIPD_MYSQLD") or shutil.which("mysqld") or shutil.which("mysqld", path="/usr/sbin") or ""

    def template(self) -> Path:
        return _template(self.program)

    def start(self) -> None:
        self.settings.pop("innodb_log_file_size", None)
        self.settings |= {"mysqlx": "OFF", "secure-file-priv": "NULL", **_where()}
        if "log_bin" not in self.settings:
            self.settings["log_bin_trust_function_creators"] = 1
        super().start()


@functools.cache
def _template(program: str) -> Path:
    place = Path(tempfile.mkdtemp(prefix="sipd-mysql-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    who = ["--user=root"] if os.getuid() == 0 else []
    options = [f"--{name}={value}" for name, value in _where().items()]
    made = subprocess.run(
        [program, "--no-defaults", "--initialize-insecure", f"--datadir={place / 'data'}", *who, *options],
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        raise AssertionError(f"mysqld: {made.stdout}{made.stderr}")
    return place / "data"


def _where() -> dict[str, str | int]:
    named = {name: os.environ.get("SIPD_MYSQLD_" + name.upper().replace("-", "_")) for name in SHIPPED}
    return {name: value for name, value in named.items() if value}


tests.mariadb.MariaDb = MySql  # type: ignore[misc]  # before anybody else has taken it from there

if __name__ == "__main__":
    runpy.run_module("tests.endure", run_name="__main__", alter_sys=True)
