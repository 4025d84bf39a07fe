"""A server on a real MariaDB: with an empty database, with tables made by hand, and what it refuses (T57, T123)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sipd.store.ddl import SCHEMA, createsip
from tests.mariadb import PASSWORD
from tests.running import HERE, REPOSITORY, free_port, sipdctl, start_sipd

SECRETS = (PASSWORD, "pass-word", "%3Atests")


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_server_fills_an_empty_database_and_shows_its_password_to_nobody(mariadb, by_hand):
    name = mariadb.new_database()
    url = mariadb.url(name)
    if by_hand:
        mariadb.run(createsip(), name)
    where = f"udp:{HERE}:{free_port()}"
    server = start_sipd(url, where)
    try:
        server.wait_for("Try next:")
        for file in ("cmdline", "environ"):
            seen = Path(f"/proc/{server.pid}/{file}").read_bytes().decode()
            assert not any(secret in seen for secret in SECRETS), file
        assert f"sql://sipd:***@{HERE}:{mariadb.port}/{name}" in Path(f"/proc/{server.pid}/cmdline").read_text()
        users = {row["user"] for row in json.loads(sipdctl(url, "--json", "user", "list"))}
        assert {user.partition("@")[0] for user in users} == {"alice", "bob"}
        said = json.loads(sipdctl(url, "--json", "db", "check"))
        assert (said["sound"], said["schema"], said["users"]) == (True, SCHEMA, 2)
        assert json.loads(sipdctl(url, "--json", "db", "upgrade"))["upgrade"] == "nothing to do"
        assert json.loads(sipdctl(url, "--json", "stats"))
        mariadb.restart()
        sipdctl(url, "user", "add", "carol@example.com", check=False)
        assert not any(secret in server.output for secret in SECRETS), server.output
        assert server.stop() == 0
    finally:
        server.kill()


def refused(url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sipd", "-D", url, "--listen", f"udp:{HERE}:{free_port()}"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)
    return done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (createsip() + "UPDATE sipd_meta SET value = '99'", "has schema version 99"),
        (createsip() + "DELETE FROM sipd_meta; INSERT INTO domain VALUES ('a', 'a')", "is damaged: it does not say"),
        ("CREATE TABLE recipes (name TEXT)", "has tables of another program"),
    ],
)
def test_a_server_refuses_what_it_can_not_work_with(mariadb, changes, said):
    name = mariadb.new_database()
    mariadb.run(changes, name)
    assert said in refused(mariadb.url(name))
    assert mariadb.run("SHOW TABLES LIKE 'users'", name).strip() in ("", "users")


def test_a_database_that_is_not_there_or_not_ours_is_said_without_its_password(mariadb):
    assert "CREATE DATABASE" in refused(mariadb.url("sip_nowhere"))
    assert "password" in refused(mariadb.url(mariadb.new_database(), password=PASSWORD + "x"))
