"""Which database: the order of those who may say so."""

import os
from pathlib import Path

import pytest

from sipd.errors import SetupError
from sipd.store import locate
from sipd.store.locate import from_registry

SAYERS = ["-D", "-f", "SIPD_DATABASE", "cwd", "etc", "embedded"]


@pytest.mark.parametrize("first", SAYERS)
def test_the_order_of_those_who_say(tmp_path, first):
    """Everyone from `first` on says a database; that of `first` is taken."""
    cwd, etc = tmp_path / "cwd", tmp_path / "etc"
    said = SAYERS[SAYERS.index(first) :]
    for directory, who in ((cwd, "cwd"), (etc, "etc")):
        directory.mkdir()
        if who in said:
            (directory / "cinema_db.conf").write_text(f"sqlite:///{who}\n")
    (cwd / "file").write_text("# the database\n\nsqlite:///-f\n")
    url = locate(
        "sqlite:///-D" if "-D" in said else None,
        "file" if "-f" in said else None,
        {"SIPD_DATABASE": "sqlite:///SIPD_DATABASE", "HOME": "/home/x"} if "SIPD_DATABASE" in said else {"HOME": "/h"},
        cwd,
        etc=etc,
    )
    assert url.path == (Path("/h/.local/state/sipd/sipd.sqlite3") if first == "embedded" else Path(f"/{first}"))
    assert url.embedded == (first == "embedded")
    assert first in url.where or first in ("cwd", "etc")
    assert bool(url.warnings) == (first == "-D"), "-D beats -f with a warning"


@pytest.mark.parametrize(
    ("environ", "root", "place"),
    [
        ({"HOME": "/home/x"}, None, "/home/x/.local/state/sipd"),
        ({"HOME": "/home/x", "XDG_STATE_HOME": "/state"}, None, "/state/sipd"),
        ({"HOME": "/home/x", "XDG_STATE_HOME": "relative"}, None, "/home/x/.local/state/sipd"),
        ({"HOME": "/home/x", "prefix": "/opt"}, None, "/opt/sipd"),
        ({"STATE_DIRECTORY": "/var/lib/sipd:/var/lib/more", "HOME": "/"}, None, "/var/lib/sipd"),
        ({"STATE_DIRECTORY": "/var/lib/sipd"}, "/srv/sip", "/srv/sip"),
    ],
)
def test_where_the_embedded_database_is(tmp_path, environ, root, place):
    url = locate(None, None, environ, tmp_path, root=None if root is None else Path(root), etc=tmp_path)
    assert url.path == Path(place) / "sipd.sqlite3"


def test_nowhere_to_put_it(tmp_path):
    with pytest.raises(SetupError, match="--root"):
        locate(None, None, {}, tmp_path, etc=tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has 0 lines"),
        (b"# sqlite:a\n", "has 0 lines"),
        (b"sqlite:a\nsqlite:b\n", "has 2 lines"),
        (b"\xff\xfe", "not a text file"),
        (b"x", "not a"),
        (b"sqlite:" + b"x" * 100_000, "more than 65536 bytes"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, said):
    (tmp_path / "db.conf").write_bytes(content)
    with pytest.raises(SetupError, match=said) as error:
        locate(None, "db.conf", {}, tmp_path)
    assert "db.conf" in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SetupError, match=r"no file .*db\.conf"):
        locate(None, "db.conf", {}, tmp_path)


def test_a_file_that_is_there_and_unreadable_is_not_passed_over(tmp_path):
    (tmp_path / "cinema_db.conf").symlink_to("nowhere")
    with pytest.raises(SetupError, match=r"cinema_db\.conf"):
        locate(None, None, {"HOME": "/h"}, tmp_path, etc=tmp_path)


def test_a_pipe_may_say_it(tmp_path):
    """As of `sipd -f <(pass show sipd)`."""
    reading, writing = os.pipe()
    os.write(writing, b"sql://root:secretive@db/sip\n")
    os.close(writing)
    url = locate(None, f"/dev/fd/{reading}", {}, tmp_path)
    os.close(reading)
    assert (url.password, url.warnings) == ("secretive", ())


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_found_and_no_file_is_refused(tmp_path, make):
    make(tmp_path / "cinema_db.conf")
    with pytest.raises(SetupError, match=r"cinema_db\.conf is no regular file"):
        locate(None, None, {"HOME": "/h"}, tmp_path, etc=tmp_path)


def test_a_found_file_that_everybody_can_write_is_not_used(tmp_path):
    file = tmp_path / "cinema_db.conf"
    file.write_text("sqlite:x")
    file.chmod(0o602)
    for cwd in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SetupError, match="everybody can write"):
            locate(None, None, {"HOME": "/h"}, cwd, etc=tmp_path)
    url = locate(None, file, {}, tmp_path)
    assert "others can write" in url.warnings[0], "it was named, so it is used"


def test_a_file_of_another_user_in_the_working_directory_is_not_used(tmp_path, monkeypatch):
    file = tmp_path / "cinema_db.conf"
    file.write_text("sqlite:x")
    if os.getuid() == 0:
        os.chown(file, 12345, -1)
    else:  # only root can give files away
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(SetupError, match="belongs to another user"):
        locate(None, None, {"HOME": "/h"}, tmp_path, etc=tmp_path / "nowhere")
    assert locate(None, None, {"HOME": "/h"}, tmp_path / "nowhere", etc=tmp_path).path == tmp_path / "x"
    assert locate(None, file, {}, tmp_path).path == tmp_path / "x"


def test_the_registry_of_windows_is_asked_last(tmp_path):
    def registered():
        return "sqlite:///registered"

    url = locate(None, None, {"HOME": "/h"}, tmp_path, etc=tmp_path, registry=registered)
    assert (url.path, url.embedded) == (Path("/registered"), False)
    (tmp_path / "cinema_db.conf").write_text("sqlite:///found")
    assert locate(None, None, {}, tmp_path, etc=tmp_path, registry=registered).path == Path("/found")
    assert from_registry() is None, "there is none here"


def test_a_variable_with_a_line_break_names_no_database(tmp_path):
    with pytest.raises(SetupError, match=r"from SIPD_DATABASE.*line break"):
        locate(None, None, {"SIPD_DATABASE": "sqlite:a\nsqlite:b"}, tmp_path)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True), (0o620, True)])
def test_a_password_that_others_can_read_is_warned_of(tmp_path, mode, warned):
    file = tmp_path / "db.conf"
    file.write_text("sql://root:secretive@db/sip")
    file.chmod(mode)
    url = locate(None, file, {}, tmp_path)
    assert bool(url.warnings) == warned
    assert "secretive" not in str(url.warnings)


def test_a_password_in_a_process_list_is_warned_of(tmp_path):
    assert locate("sql://root:secretive@db/sip", None, {}, tmp_path).warnings
