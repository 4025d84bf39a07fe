"""What the tests' own MariaDB must be able to do; each thing here is what other tests build on."""

from __future__ import annotations

import socket
import time

import pytest
import trustme

from tests.mariadb import MariaDb
from tests.running import HERE


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One that is stopped, killed and frozen here, and so not the one that other tests share."""
    made = MariaDb(tmp_path_factory.mktemp("mariadb"))
    made.start()
    yield made
    made.stop()


def test_a_second_server_starts_fast(server, tmp_path):
    began = time.monotonic()
    other = MariaDb(tmp_path / "other")
    other.start()
    took = time.monotonic() - began
    try:
        assert other.port != server.port
        assert took < 10  # 0.4 s on a quiet machine
    finally:
        other.stop()


def test_each_database_is_fresh(server):
    one, other = server.new_database(), server.new_database()
    server.ask("CREATE TABLE t (a INT);", one)
    assert server.ask("SHOW TABLES", other) == ""
    assert server.ask("SHOW TABLES", one) == "t\n"


def test_the_user_may_only_do_what_a_server_needs(server):
    name = server.new_database()
    server.ask("CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB", name)
    server.ask("CREATE TRIGGER tt AFTER INSERT ON t FOR EACH ROW SET @a = 1", name)
    for refused in ("SET GLOBAL read_only = 1", "SELECT * FROM mysql.global_priv", "CREATE DATABASE other"):
        with pytest.raises(AssertionError, match="denied"):
            server.ask(refused, name)


def test_rows_outlive_kill_and_restart(server):
    name = server.new_database()
    server.ask("CREATE TABLE t (a INT) ENGINE=InnoDB; INSERT INTO t VALUES (5);", name)
    for end in (server.kill, server.stop):
        end()
        assert not server.running
        with pytest.raises(AssertionError, match="Can't connect"):
            server.ask("SELECT 1")
        server.start()
        assert server.ask("SELECT a FROM t", name) == "5\n"


def test_a_frozen_server_takes_connections_and_says_nothing_until_it_thaws(server):
    server.freeze()
    with socket.create_connection((HERE, server.port), 1) as held:
        held.settimeout(0.2)
        with pytest.raises(TimeoutError):
            held.recv(1)
        server.thaw()
        held.settimeout(5)
        assert held.recv(1)
    assert server.ask("SELECT 1") == "1\n"


def test_read_only_refuses_writes(server):
    name = server.new_database()
    server.ask("CREATE TABLE t (a INT) ENGINE=InnoDB", name)
    server.read_only(True)
    try:
        with pytest.raises(AssertionError, match="1290"):
            server.ask("INSERT INTO t VALUES (1)", name)
    finally:
        server.read_only(False)
    server.ask("INSERT INTO t VALUES (1)", name)


def test_tls_with_a_certificate_of_the_tests(tmp_path):
    server = MariaDb(tmp_path / "db", settings={"require_secure_transport": 1}, tls=trustme.CA())
    server.start()
    try:
        verified = ("--ssl", f"--ssl-ca={server.settings['ssl_ca']}", "--ssl-verify-server-cert")
        assert "TLSv1." in server.ask("SHOW STATUS LIKE 'Ssl_version'", "", *verified)
        with pytest.raises(AssertionError, match=r"denied|3159"):
            server.ask("SELECT 1", "", "--skip-ssl")
    finally:
        server.stop()
