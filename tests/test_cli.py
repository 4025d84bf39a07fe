"""The `sipd` command itself: flags that end at once, errors that name what is wrong and what to do."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sipd import __version__
from tests.running import free_port

ROOT = Path(__file__).resolve().parents[1]


def sipd(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "SIPD_DATABASE"}
    environment = {**clean, "PYTHONPATH": str(ROOT), "HOME": str(cwd), "XDG_STATE_HOME": "", **environ}
    return subprocess.run(
        [sys.executable, "-m", "sipd", *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version_is_printed_without_touching_a_database(flag: str, tmp_path: Path) -> None:
    done = sipd(flag, cwd=tmp_path, SIPD_DATABASE="nonsense:")
    assert (done.returncode, done.stdout) == (0, f"sipd-{__version__}\n")
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_flag_in_both_forms(tmp_path: Path) -> None:
    done = sipd("--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("-S", "--server", "-D", "--database", "-f", "--database-file", "-s", "--root", "-d", "--debug", "-X",
                 "--foreground", "-l", "--license", "--listen", "--check", "--daemon", "--set"):  # fmt: skip
        assert word in done.stdout


def initialised(directory: Path) -> str:
    subprocess.run(
        [sys.executable, "-m", "sipd.tools.sipdctl", "-D", f"sqlite:{directory / 'x.sqlite3'}", "db", "init"],
        check=True, capture_output=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return f"sqlite:{directory / 'x.sqlite3'}"


def test_a_licence_is_put_into_the_database(tmp_path: Path) -> None:
    url = initialised(tmp_path)
    (tmp_path / "licence").write_text("program: sipd\n", encoding="utf-8")
    done = sipd("-D", url, "-l", "licence", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "x.sqlite3") as database:
        assert database.execute("SELECT licence_text FROM licence").fetchall() == [("program: sipd\n",)]
    database.close()


@pytest.mark.parametrize(("words", "said"), [
    (("-l", "missing"), "can't read the licence file missing"),
    (("--listen", "udp:nowhere"), "udp:nowhere"),
    (("--listen", "sctp:127.0.0.1:5060"), "sctp"),
    (("--set", "auth=perhaps"), "auth can't be 'perhaps'"),
    (("--set", "colour=red"), "not a setting"),
    (("-S", "other"), "other"),
    (("-s", "no/such/root"), "no/such/root"),
])  # fmt: skip
def test_what_is_wrong_is_named_and_the_exit_status_is_1(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = sipd("-D", initialised(tmp_path), *words, "--check", cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_flag_is_a_usage_error(tmp_path: Path) -> None:
    assert sipd("--colour", cwd=tmp_path).returncode == 2


def test_check_opens_everything_and_ends(tmp_path: Path) -> None:
    done = sipd("-D", initialised(tmp_path), "--listen", "udp:127.0.0.1:0", "--check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "could be opened" in done.stdout


def test_a_database_server_that_is_not_there_is_said_without_a_traceback(tmp_path: Path) -> None:
    done = sipd("-X", cwd=tmp_path, SIPD_DATABASE=f"sql://sipd:s3cret@127.0.0.1:{free_port()}/sip")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
