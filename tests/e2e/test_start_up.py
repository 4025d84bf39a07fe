"""What can't start says why in words and ends with an error, not with a traceback."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys

import pytest

from tests.running import HERE, READY, REPOSITORY, free_port


def elsewhere() -> tuple[str, str]:
    """A place to listen that is free, so that it is not the port that is refused."""
    return "--listen", f"udp:{HERE}:{free_port()}"


def refused(*words: str, cwd=None) -> str:
    """What sipd says when it doesn't start with these arguments."""
    done = subprocess.run(
        [sys.executable, "-m", "sipd", "-X", *(() if "--listen" in words else elsewhere()), *words],
        cwd=cwd or REPOSITORY, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode not in (0, None), f"it started all the same: {done.stdout}"
    assert "Traceback" not in done.stderr, done.stderr
    assert not re.search(READY, done.stdout), "it said that it listens"
    assert done.stderr.strip(), "it ended without a word"
    return done.stderr


@pytest.mark.parametrize(("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_port_in_use(transport, kind):
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((HERE, 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        assert str(port) in refused("-D", "memory:", "--listen", f"{transport}:{HERE}:{port}")


@pytest.mark.parametrize("url", ["", "nonsense", "nonsense://host/db", "sqlite:", "http://127.0.0.1/"])
def test_url_of_no_database(url):
    refused("-D", url)


def test_password_in_a_bad_url_is_not_shown():
    assert "s3cret" not in refused("-D", "nonsense://user:s3cret@host/db")


def test_file_that_is_not_there(tmp_path):
    missing = tmp_path / "nowhere.conf"
    assert str(missing) in refused("-f", str(missing))


def test_file_that_can_not_be_read(tmp_path):
    assert str(tmp_path) in refused("-f", str(tmp_path))  # a directory


def test_file_without_a_url(tmp_path):
    empty = tmp_path / "empty.conf"
    empty.write_text("\n")
    assert str(empty) in refused("-f", str(empty))


def test_database_of_another_program(tmp_path):
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = other.read_bytes()
    refused("-D", f"sqlite://{other}")
    assert other.read_bytes() == before, "it was changed"


def test_file_that_is_no_database(tmp_path):
    text = tmp_path / "text.sqlite3"
    text.write_text("The quick brown fox jumps over the lazy dog.\n" * 100)
    refused("-D", f"sqlite://{text}")
    assert text.read_text().startswith("The quick"), "it was changed"


@pytest.mark.parametrize("listen", ["udp", "udp:127.0.0.1:99999", "carrier-pigeon:127.0.0.1:5060"])
def test_place_that_can_not_be_listened_on(listen):
    refused("-D", "memory:", "--listen", listen)


@pytest.mark.parametrize("setting", ["no_such_setting=1", "auth=perhaps", "auth", "timer_c=soon"])
def test_setting_that_makes_no_sense(setting):
    refused("-D", "memory:", "--set", setting)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["tls_certificate=/nowhere/chain.pem"], "/nowhere/chain.pem"),
        (["tls_certificate=a.pem b.pem", "tls_key=a.key"], "tls_key names 1 files, tls_certificate 2"),
        (["tls_ca=/nowhere/ca.pem"], "/nowhere/ca.pem"),
    ],
)
def test_certificate_that_can_not_be_had(settings, says):
    words = [word for setting in settings for word in ("--set", setting)]
    assert says in refused("-D", "memory:", "--listen", f"tls:{HERE}:{free_port()}", *words)


def test_server_name_without_a_row():
    assert "elsewhere" in refused("-D", "memory:", "-S", "elsewhere")
