"""Which database: the order of those who may say so, and what a URL may look like."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.errors import SetupError
from sipd.store import BACKENDS, hidden, locate, open_store, parse_url
from sipd.store.url import SCHEMES

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
    ("text", "fields"),
    [
        ("sqlite:///var/x.sqlite3", {"scheme": "sqlite", "path": Path("/var/x.sqlite3")}),
        ("sqlite:/var/x.sqlite3", {"path": Path("/var/x.sqlite3")}),
        ("sqlite:sub/x.sqlite3", {"path": Path("/base/sub/x.sqlite3")}),
        ("  SQLITE:x \n", {"path": Path("/base/x")}),
        ("memory:", {"scheme": "memory", "path": None}),
        ("sql://root:passwd@db.example.com:3306/sip", {"user": "root", "password": "passwd", "port": 3306}),
        ("sql://root@db/sip", {"user": "root", "password": "", "host": "db", "port": None, "database": "sip"}),
        ("sql://db/sip", {"user": "", "host": "db", "database": "sip"}),
        ("sql://u:p@[2001:db8::1]:3306/sip", {"host": "2001:db8::1", "port": 3306}),
        ("sql://u%40h:p%3A%2F%40@db/my%20sip", {"user": "u@h", "password": "p:/@", "database": "my sip"}),
    ],
)
def test_a_url_says(text, fields):
    url = parse_url(text, base=Path("/base"))
    assert {name: getattr(url, name) for name in fields} == fields
    assert parse_url(text, base=Path("/base")) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "mysql://root:secretive@db/sip",
        "sqlite:",
        "sqlite://file",
        "sqlite:///dir/",
        "memory:x",
        "sql:",
        "sql://",
        "sql://db",
        "sql://db/",
        "sql://u:secretive@db:99999/sip",
        "sql://u:secretive@db:0/sip",
        "sql://u:secretive@db:٣/sip",
        "sql://u:secre%zztive@db/sip",
        "sql://u:secre%fftive@db/sip",
        "sql://u:secre/secretive@db/sip",
        "sql://u:secretive@[:::g]/sip",
        "sql://u:secretive@db/a/b",
        "sql:u:secretive@db/sip",
        "sqlite:x\0y",
    ],
)
def test_a_bad_url_is_an_error_that_shows_no_password(tmp_path, text):
    with pytest.raises(SetupError) as error:
        locate(text, None, {}, tmp_path)
    assert "secretive" not in str(error.value)
    assert "sqlite:///path/file" in error.value.hint, "says what a URL looks like"


@given(
    password=st.text(st.characters(codec="utf-8", exclude_characters=":/@%?#[]\0")).filter(lambda text: len(text) > 5)
)
def test_a_password_is_never_shown(password):
    text = f"sql://root:{password}@db:3306/sip"
    url = parse_url(text, base=Path("/"))
    for shown in (str(url), repr(url), url.shown, f"{url}", hidden(text), hidden(f"mysql{text}")):
        assert password not in shown
    assert url.shown == "sql://root:***@db:3306/sip"


@given(text=st.text() | st.text(alphabet="sql:/@%0[]*.").map(lambda rest: f"sql:{rest}"))
def test_any_text_is_a_url_or_a_setup_error(text):
    with suppress(SetupError):
        parse_url(text, base=Path("/"))


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


def test_every_scheme_has_a_backend():
    assert set(BACKENDS) == set(SCHEMES)
    with pytest.raises(SetupError, match=r"sql://root:\*\*\*@db/sip: MySQL comes with a later version"):
        open_store(parse_url("sql://root:secretive@db/sip", base=Path("/")))
