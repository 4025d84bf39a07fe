"""Which database: the order of those who may say so."""

from pathlib import Path

import pytest

from sipd.errors import SetupError
from sipd.store import locate

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
    [(b"", "has 0 lines"), (b"sqlite:a\nsqlite:b\n", "has 2 lines"), (b"\xff\xfe", "not a text file"), (b"x", "not a")],
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


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_password_that_others_can_read_is_warned_of(tmp_path, mode, warned):
    file = tmp_path / "db.conf"
    file.write_text("sql://root:secretive@db/sip")
    file.chmod(mode)
    url = locate(None, file, {}, tmp_path)
    assert bool(url.warnings) == warned
    assert "secretive" not in str(url.warnings)


def test_a_password_in_a_process_list_is_warned_of(tmp_path):
    assert locate("sql://root:secretive@db/sip", None, {}, tmp_path).warnings
