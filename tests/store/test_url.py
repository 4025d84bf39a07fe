"""What a database URL may look like, and that no password is ever shown."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipd.errors import SetupError
from sipd.store import BACKENDS, hidden, open_store, parse_url
from sipd.store.url import FORMS, OPTIONS, SCHEMES, DatabaseUrl

BASE = Path("/base")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("sqlite:///var/x.sqlite3", {"scheme": "sqlite", "path": Path("/var/x.sqlite3")}),
        ("sqlite:/var/x.sqlite3", {"path": Path("/var/x.sqlite3")}),
        ("sqlite:sub/x.sqlite3", {"path": Path("/base/sub/x.sqlite3")}),
        ("  SQLITE:x \n", {"path": Path("/base/x")}),
        ("memory:", {"scheme": "memory", "path": None}),
        ("sql://root:passwd@db.example.com:3306/sip", {"user": "root", "password": "passwd", "database": "sip"}),
        ("sql://root@db/sip", {"user": "root", "password": "", "hosts": (("db", 3306),), "database": "sip"}),
        ("sql://db/sip", {"user": "", "hosts": (("db", 3306),), "database": "sip"}),
        ("mysql://root:p@db/sip", {"scheme": "sql", "password": "p"}),
        ("sql://u:p@[2001:DB8::0:1]:3307/sip", {"hosts": (("2001:db8::1", 3307),)}),
        ("sql://u%40h:p%3A%2F%40@db/my%20sip", {"user": "u@h", "password": "p:/@", "database": "my sip"}),
        ("sql://u:a?b#c@db/sip", {"password": "a?b#c"}),
        (
            "sql://u:p@db1:3306,db2,[2001:db8::1]:3307/sip",
            {"hosts": (("db1", 3306), ("db2", 3306), ("2001:db8::1", 3307))},
        ),
        ("sql://db/sip", {"tls": "preferred", "ca": None, "cert": None, "key": None}),
        ("sql://db/sip?tls=off", {"tls": "off"}),
        ("sql://db/sip?tls=required", {"tls": "required"}),
        ("sql://db/sip?tls=verify", {"tls": "verify", "ca": None}),
        ("sql://db/sip?ca=certs/ca.pem", {"tls": "verify", "ca": Path("/base/certs/ca.pem")}),
        ("sql://db/sip?ca=/a%20b&tls=required", {"tls": "required", "ca": Path("/a b")}),
        ("sql://db/sip?cert=/c&key=/k", {"tls": "preferred", "cert": Path("/c"), "key": Path("/k")}),
    ],
)
def test_a_url_says(text, fields):
    url = parse_url(text, base=BASE)
    assert {name: getattr(url, name) for name in fields} == fields
    assert parse_url(text, base=BASE) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "''"),
        ("sip", "'sip'"),
        ("/var/lib/sip.sqlite3", "'/var/lib/sip.sqlite3'"),
        ("postgres://root:secretive@db/sip", "'postgres:\\*\\*\\*'"),
        ("sqlite:", "no file"),
        ("sqlite://file", "one slash or three"),
        ("sqlite:///dir/", "no file"),
        ("memory:x", "nothing behind"),
        ("sql:", "comes //"),
        ("sql://", "name of the database"),
        ("sql://db", "name of the database"),
        ("sql://db/", "name of the database"),
        ("sql://db/?tls=off", "name of the database"),
        ("sql:///sip", "a host is"),
        ("sql://u:secretive@db:99999/sip", "1 to 65535"),
        ("sql://u:secretive@db:0/sip", "1 to 65535"),
        ("sql://u:secretive@db:٣/sip", "a host is"),
        ("sql://u:secretive@db,/sip", "a host is"),
        ("sql://u:secretive@db, db2/sip", "a host is"),
        ("sql://u:secretive@db,db:3306/sip", "named twice"),
        (f"sql://u:secretive@{','.join(f'db{n}' for n in range(17))}/sip", "more than 16"),
        ("sql://u:secre%zztive@db/sip", "two hexadecimal digits"),
        ("sql://u:secre%fftive@db/sip", "no UTF-8"),
        ("sql://u:secre%00tive@db/sip", "control character"),
        ("sql://u:secre/secretive@db/sip", "%2F"),
        ("sql://u:secre@secretive@db/sip", "%40"),
        ("sql://u:secre:secretive@db/sip", "%3A"),
        ("sql://u:secretive@[:::g]/sip", "no IPv6"),
        ("sql://u:secretive@[fe80::1%25eth0]/sip/", "%2F"),
        ("sql://u:secretive@db/a/b", "%2F"),
        ("sql:u:secretive@db/sip", "comes //"),
        ("sql//u:secretive@db/sip", "not a database URL"),
        ("u:secretive@db/sip", "not a database URL"),
        ("secretive@db/sip", "not a database URL"),
        ("sql://u:secretive@", "name of the database"),
        ("sql://u:x@secretive", "name of the database"),
        ("sql://root:secretive/sip", "a host is"),
        ("sql://u:secretive@db/sip?ssl=1", "no option ssl; there are tls, ca, cert, key"),
        ("sql://u:secretive@db/sip?tls", "option tls is empty"),
        ("sql://u:secretive@db/sip?tls=off&tls=off", "there twice"),
        ("sql://u:secretive@db/sip?tls=on", "tls is one of off, preferred, required, verify"),
        ("sql://u:secretive@db/sip?tls=off&ca=/x", "no certificates"),
        ("sql://u:secretive@db/sip?key=/x", "without its cert"),
        ("sql://u:secretive@db/sip?secretive", r"no option \*"),
        ("sql://u:secretive@db/sip?a b=secretive", r"no option \*"),
        ("sqlite:x\0y", "control character"),
        ("sqlite:x\ny", "control character"),
        ("sql://u:\udcffsecretive@db/sip", "not UTF-8"),
        ("sqlite:\udcff", "not UTF-8"),
    ],
)
def test_a_bad_url_is_an_error_that_shows_no_password(text, said):
    with pytest.raises(SetupError, match=said) as error:
        parse_url(text, base=BASE, where="-D")
    assert "secretive" not in str(error.value)
    assert "from -D" in error.value.text
    assert error.value.hint == FORMS, "says what a URL looks like"


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
escaped = words.map(lambda text: quote(text, safe=""))
hosts = st.lists(
    st.tuples(
        st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True) | st.ip_addresses().map(str), st.integers(1, 65535)
    ),
    min_size=1,
    max_size=5,
    unique=True,
)
options = st.fixed_dictionaries(
    {}, optional={"tls": st.sampled_from(("preferred", "required", "verify")), "ca": words, "cert": words}
)


@given(user=words, password=words, hosts=hosts, database=words.filter(bool), options=options)
def test_what_is_shown_with_its_password_is_the_same_url(user, password, hosts, database, options):
    files = "&".join(f"{name}={quote('/' * (name != 'tls') + value)}" for name, value in options.items())
    who = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    where = ",".join(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name, port in hosts)
    url = parse_url(f"sql://{who}{where}/{quote(database, safe='')}?{files}", base=BASE)
    assert (url.user, url.password, url.database) == (user, password, database)
    assert url.hosts == tuple(hosts)
    assert parse_url(url.shown.replace(":***@", f":{quote(password, safe='')}@"), base=BASE) == url


@given(before=st.text(), after=st.text())
@example("p@", "")
@example("12/x?", "")
@example("", ":")
def test_a_password_is_never_shown(before, after):
    password = f"{before}secretive{after}"
    for text in (
        f"sql://root:{quote(password, safe='')}@db:3306/sip",
        f"sql://root:{password}@db:3306/sip",
        f"sqll://root:{password}@db/sip",
        f"sql://root:{password}@db",
        f"sql://root:{password}",
        f"sql:/root:{password}@db/sip",
        f"sqlite://root:{password}@db/sip",
        f"memory:root:{password}@db/sip",
        f"root:{password}@db/sip",
        f"{password.replace(':', '')}@db/sip",  # what is before a colon would be a user
    ):
        assert "secretive" not in hidden(text)
        url = _parsed(text)
        if not isinstance(url, SetupError):  # where it was not escaped, a part of it may be the name of a host now
            url = replace(url, hosts=(), database="")
        assert "secretive" not in f"{url} {url!r} {[url]}"


def _parsed(text: str) -> DatabaseUrl | SetupError:
    try:
        return parse_url(text, base=BASE)
    except SetupError as error:
        return error


@given(text=st.text() | st.text(alphabet="sql:/@%0[]*.,?=&tcak").map(lambda rest: f"sql:{rest}"))
def test_any_text_is_a_url_or_a_setup_error(text):
    with suppress(SetupError):
        url = parse_url(text, base=BASE)
        shown = url.shown.replace(":***@", f":{quote(url.password, safe='')}@")
        assert parse_url(shown, base=BASE) == url


def test_every_scheme_has_a_backend():
    assert set(BACKENDS) == {parse_url(f"{scheme}{REST[scheme]}", base=BASE).scheme for scheme in SCHEMES}


REST = {"sqlite": ":x", "memory": ":", "sql": "://h/d", "mysql": "://h/d"}


def test_options_are_named_in_the_hint():
    assert all(f"{name}=" in FORMS for name in OPTIONS if name not in ("cert", "key"))


def test_a_store_shows_no_password():
    store = open_store(parse_url("sql://root:secretive@db/sip", base=Path("/")))
    assert store.shown == "sql://root:***@db/sip"
    assert "secretive" not in f"{store!r} {store.__dict__}"
