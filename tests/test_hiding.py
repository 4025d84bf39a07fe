"""No password of a command line is seen in the list of processes, nor goes on to others (T123)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sipd.hiding import VARIABLE, masked_words
from tests.running import REPOSITORY, Child

URL = "sql://root:secretive@127.0.0.1:1/sip"

PROGRAM = """
import json, os, subprocess, sys, time
from sipd.hiding import hide_passwords
hide_passwords("-p", "--password")
child = [sys.executable, "-c", "import os, sys; print(sorted(os.environ), os.listdir('/proc/self/fd'))"]
heard = subprocess.run(child, capture_output=True, text=True, close_fds=False).stdout
print(json.dumps([sys.argv[1:], os.getpid(), heard, os.listdir("/proc/self/fd")]), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-D", URL], ["-D", "sql://root:***@127.0.0.1:1/sip"]),
        ([f"-D{URL}"], ["-Dsql://root:***@127.0.0.1:1/sip"]),
        ([f"--database={URL}"], ["--database=sql://root:***@127.0.0.1:1/sip"]),
        (["db", "import-kamailio", "mysql://k:a@b:c@h/k"], ["db", "import-kamailio", "mysql://k:***@h/k"]),
        (["sql:root:secretive@db"], ["sql:root:***@db"]),
        (["-p", "secretive", "a@b"], ["-p", "***", "a@b"]),
        (["-psecretive", "a@b"], ["-p***", "a@b"]),
        (["--password", "secretive"], ["--password", "***"]),
        (["--pass", "secretive"], ["--pass", "***"]),
        (["--pass=secretive"], ["--pass=***"]),
        (["-p", "-", "a@b"], ["-p", "-", "a@b"]),
        (["-D", "sqlite:x", "-d", "net", "a@b", "sip:a@b", "--listen", "udp:[::1]:5060"], None),
        (["-D", "sql://root@db/sip"], None),
        (["-p"], None),
        ([], None),
    ],
)
def test_what_the_list_of_processes_shows(words, shown):
    assert masked_words(words, ("-p", "--password")) == (words if shown is None else shown)


@pytest.mark.parametrize("odd", ["", "a\nb", "\udcff", "é", "x" * 2000])
def test_a_program_has_its_password_and_nobody_else_sees_it(odd):
    words = ["-D", URL, "-p", "secretive", odd]
    child = Child([sys.executable, "-c", PROGRAM, *words], cwd=REPOSITORY)
    try:
        got, pid, heard, descriptors = json.loads(child.wait_for(r"^\[.*")[0])
        assert got == words
        assert pid == child.pid, "it is the same process: service managers know it by its number"
        for file in ("cmdline", "environ"):
            seen = Path(f"/proc/{pid}/{file}").read_bytes()
            assert b"secretive" not in seen
        assert b"sql://root:***@127.0.0.1:1/sip\0-p\0***\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert VARIABLE not in heard, "its children know nothing of it"
        assert len(descriptors) == 4, "the pipe is closed"  # the three, and that of the listing
    finally:
        child.kill()


def test_what_a_pipe_does_not_hold_is_left_as_it_is():
    child = Child([sys.executable, "-c", PROGRAM, URL, *["x" * 100_000] * 3], cwd=REPOSITORY)
    try:
        got, *_ = json.loads(child.wait_for(r"^\[.*")[0])
        assert got == [URL, *["x" * 100_000] * 3]
    finally:
        child.kill()


@pytest.mark.parametrize("value", ["nonsense", "0", "99"])
def test_a_variable_that_somebody_else_has_set_is_refused(value):
    done = subprocess.run(
        [sys.executable, "-m", "sipd", "-v"],
        env={**os.environ, VARIABLE: value}, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"{VARIABLE} is set")


@pytest.mark.parametrize("program", ["sipd", "sipdctl", "addsipuser", "sippasswd", "cpl_check"])
@pytest.mark.parametrize(
    "words", [[URL, "--nonsense"], ["-D", URL.replace("sql:", "sqll:")], ["--from-db", f"{URL}?a=b"]]
)
def test_no_complaint_shows_a_password(tmp_path, program, words):
    code = f"import sys; from sipd.programs import {program}; sys.exit({program}())"
    more = {
        "sipdctl": ["user", "list"],
        "addsipuser": ["a@b"],
        "sippasswd": ["a@b"],
        "cpl_check": ["--user", "a@b"],
    }.get(program, [])
    done = subprocess.run(
        [sys.executable, "-c", code, *words, *more],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert done.stderr
    assert "secretive" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


CRASH = """
import sys
from sipd import cli
from sipd.store import backends
def broken(url, *more):
    raise RuntimeError(f"broken at {url} {url!r} {[url]}")
backends.BACKENDS = {"sql": broken}
sys.exit(cli.main())
"""


@pytest.mark.parametrize("said", ["-D", "-f", "SIPD_DATABASE"])
def test_no_traceback_shows_a_password(tmp_path, said):
    (tmp_path / "db.conf").write_text(URL)
    (tmp_path / "db.conf").chmod(0o644)  # a warning is logged too
    words = {"-D": ["-D", URL], "-f": ["-f", tmp_path / "db.conf"]}.get(said, [])
    done = subprocess.run(
        [sys.executable, "-c", CRASH, *words],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "SIPD_DATABASE": URL if said == "SIPD_DATABASE" else ""},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "RuntimeError: broken at sql://root:***@127.0.0.1:1/sip" in done.stderr
    assert "secretive" not in done.stdout + done.stderr


def test_what_a_server_starts_does_not_inherit_the_variable(tmp_path):
    """Who may read the database is its own affair."""
    child = Child(
        [sys.executable, "-c", CHILDREN, "--set", "auth=none", "--listen", "udp:127.0.0.1:0"],
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "SIPD_DATABASE": "sqlite:secretive.sqlite3"},
    )  # fmt: skip
    try:
        assert "secretive" not in child.wait_for(r"^children: .*")[0]
    finally:
        child.kill()


CHILDREN = """
import subprocess, sys
from sipd import cli
from sipd.server import startup
def greet(opened, network):
    code = "import os; print('children:', dict(os.environ))"
    print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout, flush=True)
startup.greet = greet
sys.exit(cli.main())
"""
