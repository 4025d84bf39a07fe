"""A Kamailio's users become ours: from databases with its own schema, one of them filled by a real Kamailio."""

import hashlib
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from sipd.control.verbs import Arguments, Content, Refusal
from sipd.control.verbs.kamailio import take
from sipd.control.verbs.kamailio_dialplan import CanNot, rows_of
from sipd.control.verbs.kamailio_source import Row, seconds_of, source_url
from sipd.core.outbound import flow_key
from sipd.errors import SetupError
from sipd.rows import Binding, PutAlias, PutBinding, PutDial, PutDomain, PutSettings, PutUser, Settings, User
from sipd.store import MemoryStore, user_row
from tests.mariadb import PASSWORD, MariaDb
from tests.running import HERE
from tests.store.rows import apply
from tests.tools.kamailio_house import add_rows, make_file, register_phones, schema
from tests.tools.test_sipdctl import Shell

ALICE, BOB, DAVE = "alice@example.com", "bob@example.com", "dave@other.example"


def hashed(kind, *parts):
    return hashlib.new(kind, ":".join(parts).encode()).hexdigest()


BOB_MD5 = {
    "ha1_md5": hashed("md5", "bob", "example.com", "bobs-word"),
    "ha1_md5_full": hashed("md5", BOB, "example.com", "bobs-word"),
}
DAVE_SHA = {
    "ha1_sha256": hashed("sha256", "dave", "other.example", "daves-word"),
    "ha1_sha256_full": hashed("sha256", DAVE, "other.example", "daves-word"),
}
DRAFT = """<?xml version="1.0"?><!DOCTYPE cpl SYSTEM "cpl.dtd">
<cpl><incoming><address-switch field="origin"><address is="sip:x@y.example"><reject status="busy"/></address>
</address-switch></incoming></cpl>"""
ROWS = f"""
INSERT INTO domain (domain, did) VALUES ('example.com', 'example.com'), ('SIP.example.com', 'example.com');
INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES
    ('alice', 'example.com', 'hidden-word', '', ''),
    ('bob', 'Example.com', '', '{BOB_MD5["ha1_md5"]}', '{BOB_MD5["ha1_md5_full"].upper()}'),
    ('dave', 'other.example', '', '{DAVE_SHA["ha1_sha256"]}', '{DAVE_SHA["ha1_sha256_full"]}'),
    ('nobody', 'example.com', '', '', ''),
    ('odd', 'example.com', '', 'no hash', ''),
    ('a b', 'example.com', 'hidden-word', '', '');
INSERT INTO dbaliases (alias_username, alias_domain, username, domain) VALUES
    ('+15551234', 'example.com', 'alice', 'example.com'),
    ('team', 'sip.example.com', 'alice', 'example.com'), ('team', 'example.com', 'bob', 'example.com'),
    ('ghost', 'example.com', 'ghost', 'example.com'), ('bob', 'example.com', 'alice', 'example.com');
INSERT INTO cpl (username, domain, cpl_xml) VALUES
    ('alice', 'example.com', '{DRAFT}'), ('bob', 'example.com', '<cpl><oops/></cpl>');
INSERT INTO dialplan (dpid, pr, match_op, match_exp, match_len, subst_exp, repl_exp, attrs) VALUES
    (1, 2, 1, '^9([0-9]{{7}})$', 0, '^9([0-9]{{7}})$', '\\1', 'gw=1'), (1, 1, 0, '911', 0, '', '911', ''),
    (1, 3, 1, '^(sales|help)$', 0, '', '100', '');
"""
LOCATIONS = """
INSERT INTO location (ruid, username, domain, contact, expires, q, callid, cseq) VALUES
    ('r1', 'bob', 'example.com', 'sip:bob@192.0.2.9', {expired}, 1.0, 'old', 1),
    ('r2', 'ghost', 'example.com', 'sip:ghost@192.0.2.9', {later}, 1.0, 'c', 1),
    ('r3', 'dave', 'other.example', 'mailto:dave@other.example', {later}, 1.0, 'c', 1),
    ('r4', 'dave', 'other.example', 'sip:dave@192.0.2.7', {endless}, 0.25, 'c', 3);
"""
INSTANCE = "<urn:uuid:00000000-0000-1000-8000-aabbccddeeff>"
PHONES = {
    "alice": (
        f'<sip:alice@192.0.2.1:5070>;q=0.5;expires=1800;+sip.instance="{INSTANCE}";reg-id=1',
        "Supported: path, outbound\r\nPath: <sip:edge1.example.com;lr>,<sip:edge2.example.com;lr;ob>\r\n",
    ),
    "bob": ("<sip:bob@10.0.0.1:5070>", "User-Agent: phone behind a NAT\r\n"),
}


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def old_house(request, tmp_path_factory):
    """The URL of a database that a real Kamailio has worked with, and the port its phones asked from."""
    directory = tmp_path_factory.mktemp("kamailio")
    if request.param == "sqlite":
        path = directory / "kamailio.sqlite"
        make_file(path, ROWS)
        port = register_phones(directory / "run", "db_sqlite", f"sqlite:///{path}", PHONES)
        add_rows(path, LOCATIONS.format(expired=2452000.5, later=2488069.5, endless=2440587.5))
        yield f"sqlite:///{path}", port
        return
    server = MariaDb(directory / "mariadb")
    server.start()
    try:
        database = server.new_database()
        server.run(schema("db_mysql"), database)
        server.run(ROWS.replace("\\1", "\\\\1"), database)
        url = f"mysql://bench:bench@{HERE}:{server.port}/{database}"
        port = register_phones(directory / "run", "db_mysql", url, PHONES)
        times = {"expired": "'2001-01-01 00:00:00'", "later": "'2101-01-01 00:00:00'"}
        server.run(LOCATIONS.format(**times, endless="'1970-01-01 00:00:00'"), database)
        yield url, port
    finally:
        server.stop()


@pytest.fixture
async def store():
    store = MemoryStore()
    await store.create(b"k" * 32, [PutSettings(Settings()), PutDomain("localhost", "localhost")])
    return store


async def taken(store, url, *flags, **values):
    told: Any = await take(store, Arguments({"url": url, **dict.fromkeys(flags, "yes"), **values}, "root"))
    return told


def skipped(told):
    return {(row["table"], row["such as"]): row["why"] for row in told["skipped"]}


async def test_all_that_can_be_is_taken_and_the_rest_is_named(store, old_house):
    url, port = old_house
    before = time.time()
    told = await taken(store, url, domain="example.com")
    found = await store.load_all()
    assert {row["table"]: (row["read"], row["taken"], row["skipped"]) for row in told["tables"]} == {
        "domain": (2, 2, 0),
        "subscriber": (6, 3, 3),
        "dbaliases": (5, 3, 2),
        "location": (6, 3, 3),
        "cpl": (2, 1, 1),
        "dialplan": (3, 2, 1),
    }
    assert {row.name: row.canonical for row in found.domains} == {
        "localhost": "localhost",
        "example.com": "example.com",
        "sip.example.com": "example.com",
        "other.example": "other.example",
    }
    assert {user.aor: user for user in found.users} == {
        ALICE: user_row(ALICE, "example.com", "hidden-word"),
        BOB: User(BOB, "Example.com")._replace(**BOB_MD5),
        DAVE: User(DAVE, "other.example")._replace(**DAVE_SHA),
    }
    assert sorted(found.aliases) == [
        PutAlias("+15551234@example.com", ALICE),
        PutAlias("team@example.com", ALICE),
        PutAlias("team@example.com", BOB),
    ]
    assert sorted(found.dialplan) == [
        PutDial(10, "911", "sip:911@example.com"),
        PutDial(20, "9{xxxxxxx}", r"sip:\1@example.com"),
    ]
    [script] = found.scripts
    assert (script.aor, script.enabled, script.modified_by) == (ALICE, True, "root")
    alice, bob, dave = sorted(found.bindings)
    assert before + 1790 < alice.expires_at < time.time() + 1801
    assert before + 3590 < bob.expires_at < time.time() + 3601
    assert dave.expires_at > before + 60 * 365 * 86400, "a contact without an end stays one"
    assert alice == Binding(
        ALICE,
        "sip:alice@192.0.2.1:5070",
        500,
        alice.expires_at,
        "call-of-alice",
        7,
        path=("<sip:edge1.example.com;lr>", "<sip:edge2.example.com;lr;ob>"),
        instance=INSTANCE,
        reg_id=1,
        key=flow_key(INSTANCE, 1),
        user_agent=alice.user_agent,
        refreshed_at=alice.refreshed_at,
    )
    assert (bob.uri, bob.q, bob.user_agent) == ("sip:bob@10.0.0.1:5070", 1000, "phone behind a NAT")
    assert bob.received.startswith(f"udp:{HERE}:{port}|{HERE}:"), "by the flow that it came by, through the same port"
    assert (dave.uri, dave.q, dave.cseq) == ("sip:dave@192.0.2.7", 250, 3)
    why = skipped(told)
    assert why["subscriber", "nobody@example.com"] == "has neither a password nor a hash"
    assert why["subscriber", "odd@example.com"] == "has a hash that is neither MD5 nor SHA-256"
    assert why["subscriber", "a b@example.com"].startswith("not an address")
    assert why["dbaliases", "ghost@example.com"] == "belongs to nobody here"
    assert why["dbaliases", "bob@example.com"] == "is a user himself"
    assert why["location", "bob@example.com sip:bob@192.0.2.9"] == "has expired"
    assert (
        why["location", "dave@other.example mailto:dave@other.example"]
        == "has a contact of a scheme that is not stored"
    )
    assert "is no digit" in why["dialplan", "^(sales|help)$ (id 3)"]
    unsound = why["cpl", BOB]
    assert unsound.startswith("is unsound: line 1, column 6:")
    assert unsound.endswith("(try --convert)")
    assert "other.example is made a local domain, as a subscriber is there" in told["notes"]
    assert "attributes of dial plan rules are left out, such as gw=1" in told["notes"]
    assert told["stored"] is True


async def test_a_second_run_is_told_what_to_do_with_whom_it_finds(store, old_house):
    url, _ = old_house
    await taken(store, url, domain="example.com")
    await apply(store, PutUser(user_row(ALICE, "example.com", "another-word")._replace(full_name="Alice")))
    before = await store.load_all()
    with pytest.raises(Refusal, match=r"3 users are there already, such as alice@example\.com\. --update changes them"):
        await taken(store, url, domain="example.com")
    told = await taken(store, url, "skip", domain="example.com")
    assert (told["stored"], await store.load_all()) == (False, before), "there is nothing new"
    assert (await taken(store, url, "update", "dry-run", domain="example.com"))["stored"] is False
    assert await store.load_all() == before, "a dry run stores nothing"
    told = await taken(store, url, "update", domain="example.com")
    after = await store.load_all()
    alice = next(user for user in after.users if user.aor == ALICE)
    assert alice == user_row(ALICE, "example.com", "hidden-word")._replace(full_name="Alice")
    assert after._replace(users=[]) == before._replace(users=[]), "nothing else is there twice"
    with pytest.raises(Refusal, match="can't both be"):
        await taken(store, url, "update", "skip")


async def test_who_registered_here_since_then_stays_where_he_is(store, old_house):
    url, _ = old_house
    await taken(store, url, domain="example.com")
    bob = next(row for row in (await store.load_all()).bindings if row.aor == BOB)
    await apply(store, PutBinding(bob._replace(call_id="here", received="")))
    told = await taken(store, url, "update", domain="example.com")
    assert skipped(told)["location", f"{ALICE} sip:alice@192.0.2.1:5070"] == "is registered here already"
    assert next(row for row in (await store.load_all()).bindings if row.aor == BOB).call_id == "here"


async def test_a_url_in_a_file_that_others_can_read_is_noted(store, mariadb):
    database = mariadb.new_database()
    mariadb.run(schema("db_mysql") + subscriber("alice"), database)
    content = Content(f"{mariadb.url(database).replace('sql://', 'mysql://', 1)}\n".encode())
    content.exposed = True
    told: Any = await take(store, Arguments({"url-file": content, "dry-run": "yes"}))
    assert "others can read the file with the URL, and it holds a password: chmod 600 it" in told["notes"]
    assert PASSWORD not in str(told)


@pytest.fixture
def file(tmp_path):
    """Makes an SQLite file with these rows in Kamailio's tables; its URL."""

    def make(rows):
        make_file(tmp_path / "k.sqlite", rows)
        return f"sqlite:///{tmp_path}/k.sqlite"

    return make


def subscriber(*names, domain="example.com"):
    return "".join(
        f"INSERT INTO subscriber (username, domain, password) VALUES ('{name}', '{domain}', 'hidden-word');"
        for name in names
    )


async def test_rows_without_a_domain_belong_to_the_only_one_or_to_the_one_that_is_named(store, file):
    url = file(subscriber("alice", domain=""))
    await taken(store, url)
    assert [user.aor for user in (await store.load_all()).users] == ["alice@localhost"]
    await taken(store, url, domain="new.example")
    assert [user.aor for user in (await store.load_all()).users] == ["alice@localhost", "alice@new.example"]
    told = await taken(store, url, "skip")
    assert skipped(told)["subscriber", "alice"] == "names no domain: say which with --domain"


async def test_hashes_are_for_the_realm_that_is_named(store, file):
    await taken(store, file(subscriber("alice")), realm="the realm")
    assert (await store.load_all()).users == [user_row(ALICE, "the realm", "hidden-word")]


async def test_short_passwords_are_taken_and_noted(store, file):
    told = await taken(store, file(subscriber("alice", "bob").replace("hidden-word", "1234")))
    assert told["notes"][1] == "some passwords have fewer than 8 letters, such as that of alice@example.com"
    assert len(told["notes"]) == 2


async def test_a_script_of_which_something_is_lost_is_stored_switched_off(store, file):
    lookup = '<lookup source="registration" use="x"><success><proxy/></success></lookup>'
    lossy = DRAFT.replace('<reject status="busy"/>', lookup)
    script = f"INSERT INTO cpl (username, domain, cpl_xml) VALUES ('alice', 'example.com', '{lossy}');"
    url = file(subscriber("alice") + script)
    told = await taken(store, url, "convert")
    [stored] = (await store.load_all()).scripts
    assert not stored.enabled
    assert b"urn:ietf:params:xml:ns:cpl" in stored.text
    assert any("is switched off, as not all of it could be said" in note for note in told["notes"])
    assert (await store.script_versions(ALICE))[0].what == "imported"


async def test_a_dial_plan_is_chosen_where_there_are_several(store, file):
    rule = "INSERT INTO dialplan (dpid, pr, match_op, match_exp, match_len, subst_exp, repl_exp, attrs) VALUES "
    url = file(subscriber("alice") + f"{rule} (1, 1, 0, '1', 0, '', '11', ''); {rule} (2, 1, 0, '2', 0, '', '22', '');")
    told = await taken(store, url, "skip", "dry-run")
    assert "is of one of several dial plans (1, 2): say which with --dpid" in skipped(told).values()
    await taken(store, url, dpid="2")
    assert [row.pattern for row in (await store.load_all()).dialplan] == ["2"]


NAT = "INSERT INTO location (ruid, username, domain, contact, received, socket, expires, callid) VALUES "


async def test_two_phones_behind_nats_that_call_themselves_the_same_are_two(store, file):
    rows = ", ".join(
        f"('r{n}', 'alice', 'example.com', 'sip:alice@10.0.0.1', 'sip:192.0.2.{n}:4000', 'udp:192.0.2.100:5060', "
        f"2488069.5, 'c{n}')"
        for n in (1, 2)
    )  # fmt: skip
    await taken(store, file(f"{subscriber('alice')} {NAT} {rows};"))
    one, two = (await store.load_all()).bindings
    assert {one.received, two.received} == {f"udp:192.0.2.{n}:4000|192.0.2.100:5060" for n in (1, 2)}
    assert one.key != two.key


@pytest.mark.parametrize(
    ("received", "said"),
    [
        ("sip:192.0.2.1:4000;transport=tcp", "is reached by a connection only, which ends with Kamailio"),
        ("sips:192.0.2.1", "is reached by a connection only"),
        ("nonsense", "came from a place that can't be read"),
        ("sip:phone.example", "came from a place that can't be read"),
    ],
)
async def test_a_connection_ends_with_its_server(store, file, received, said):
    row = f"('r', 'alice', 'example.com', 'sip:alice@10.0.0.1', '{received}', '', 2488069.5, 'c')"
    [why] = skipped(await taken(store, file(f"{subscriber('alice')} {NAT} {row};"))).values()
    assert why.startswith(said)
    assert not (await store.load_all()).bindings


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (2440587.5, 0.0),
        (2440588.5, 86400.0),
        (b"2440588.5", 86400.0),
        (1800000000, 1800000000.0),
        ("1800000000", 1800000000.0),
        (b"2026-11-27 12:00:00", time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))),
        ("2026-11-27 12:00:00.000", time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))),
        ("0000-00-00 00:00:00", None),
        ("soon", None),
        (float("inf"), None),
        (float("nan"), None),
        ("9" * 400, None),
        (None, None),
    ],
)
def test_a_time_in_every_form_that_it_is_stored_in(value, seconds):
    assert seconds_of(value) == seconds


async def test_numbers_that_are_none_stop_no_import(store, file):
    insert = NAT.replace("callid)", "callid, cseq)")
    row = "('r', 'alice', 'example.com', 'sip:alice@192.0.2.1', '', '', 2488069.5, 'c', 'inf')"
    await taken(store, file(f"{subscriber('alice')} {insert} {row};"))
    assert [binding.cseq for binding in (await store.load_all()).bindings] == [0]


# (match_op, match_exp, match_len, subst_exp, repl_exp) -> rows
RULES: list[tuple[tuple[int, str, int, str, str], list[tuple[str, str]]]] = [
    ((0, "911", 0, "", ""), [("911", r"\0")]),
    ((0, "911", 3, "", "112"), [("911", "112")]),
    ((1, "^911$", 0, "", "911"), [("911", "911")]),
    ((1, r"^8([0-9]{7})$", 0, r"^8([0-9]{7})$", r"\1"), [("8{xxxxxxx}", r"\1")]),
    ((1, r"^9(1\d{10})$", 0, r"^9(1\d{10})$", r"+\1"), [("9{1xxxxxxxxxx}", r"+\1")]),
    ((1, r"^9011", 0, r"^9011([0-9]+)$", r"+\1"), [("9011{xx.}", r"+\1")]),
    ((1, r"^9011.*$", 0, r"^9011(.*)$", r"+\1"), [("9011{x.}", r"+\1")]),
    ((1, r"^\+1([2-9]\d{2})(\d{7})$", 0, r"^\+1([2-9]\d{2})(\d{7})$", r"\1\2"), [("+1{[2-9]xx}{xxxxxxx}", r"\1\2")]),
    ((1, r"^\d{2,3}$", 0, "", r"\0"), [("xxx", r"\0"), ("xx", r"\0")]),
    ((1, r"^0?5$", 0, "", "5"), [("05", "5"), ("5", "5")]),
    ((1, r"^(?:00|011)(\d+)$", 0, r"^(?:00|011)(\d+)$", r"+\1"), [("00{xx.}", r"+\1"), ("011{xx.}", r"+\1")]),
    ((1, r"^([12]|30)$", 0, r"^([12]|30)$", r"7\1"), [("{[12]}", r"7\1"), ("{30}", r"7\1")]),
    ((1, r"^1", 0, "", "1"), [("1x.", "1")]),
    ((1, r"^1", 4, "", "1"), [("1xxx", "1")]),
    ((1, r"^\*7\d{2,}$", 0, "", "7"), [("*7xxx.", "7")]),
    ((2, "1??*", 0, "", "1"), [("1xxx.", "1")]),
    ((2, "[2-4]1", 0, "", "1"), [("[2-4]1", "1")]),
]


@pytest.mark.parametrize(("rule", "rows"), RULES, ids=[" ".join(map(str, rule)) for rule, _ in RULES])
def test_a_rule_of_a_dial_plan_as_a_digit_map(rule, rows):
    assert rows_of(*rule) == rows


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ((0, "sales", 0, "", ""), "'s' is no digit"),
        ((1, "911", 0, "", ""), "does not begin with ^"),
        ((1, "^(1(2)3)$", 0, "", ""), "a group within a group"),
        ((1, "^(1)+$", 0, "", ""), "a group that is repeated"),
        ((1, "^[a-z]+$", 0, "", ""), "of more than digits"),
        ((1, "^1|2$", 0, "", ""), "outside of a group"),
        ((1, "^(1", 0, "", ""), "not closed"),
        ((1, "^1)$", 0, "", ""), "out of place"),
        ((1, r"^\w$", 0, "", ""), "can't be said with digits"),
        ((1, r"^\d{99}$", 0, "", ""), "is no number of digits"),
        ((1, r"^\d{1,9}\d{1,9}$", 0, "", ""), "more than 32 digit maps"),
        ((1, "^1$", 2, "", ""), "no number of 2 digits matches"),
        ((1, "^[0-9]*$", 0, "^1(.)$", r"\1"), "different expressions"),
        ((1, "^(1)$", 0, "^(1)$", r"\2"), "a group \\2 that is not there"),
        ((1, "^1", 0, "^1", r"\0"), "less than the whole number"),
        ((1, "^1$", 0, "", "gw$var(x)"), "repl_exp is no number"),
        ((1, "^1$", 0, "^1$", ""), "repl_exp is empty"),
        ((3, "1", 0, "", ""), "match_op 3 is none of"),
    ],
)
def test_a_rule_that_is_no_digit_map_is_named(rule, said):
    with pytest.raises(CanNot) as reason:
        rows_of(*rule)
    assert said in str(reason.value)


def test_kamailios_own_spelling_of_a_file_is_known():
    for text in ("sqlite:////var/k.sqlite", "sqlite:///var/k.sqlite"):
        assert str(source_url(text).path) == "/var/k.sqlite"
    with pytest.raises(SetupError, match="no database of Kamailio"):
        source_url("memory:")


def test_cells_are_text_numbers_and_bytes_whatever_the_driver_gives():
    row = Row({"a": b"x\xff", "b": None, "c": 7, "d": "1.5", "e": "x"})
    assert (row.text("a"), row.text("b"), row.text("c"), row.text("nothing")) == ("x\udcff", "", "7", "")
    assert (row.number("c", 0), row.number("d", 0), row.number("e", 9), row.number("b", 9)) == (7, 1.5, 9, 9)
    assert (row.raw("a"), row.raw("d")) == (b"x\xff", b"1.5")


# as a program


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    shell("db", "init", "example.com")
    return shell


def test_people_see_tables_and_reasons(shell):
    make_file(shell.directory / "k.sqlite", ROWS)
    said = shell("db", "import-kamailio", "sqlite:k.sqlite")
    assert "subscriber     6      3        3\n" in said
    assert "has neither a password nor a hash" in said
    (shell.directory / "url").write_text("sqlite:k.sqlite\n")
    assert "3 users are there already" in shell("db", "import-kamailio", "--url-file", "url", status=1)
    assert "stored  no\n" in shell("db", "import-kamailio", "--url-file", "url", "--skip")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["sqlite:nothing"], 2, "there is no file"),
        (["sqlite:text"], 2, "Is it an SQLite file of Kamailio's?"),
        (["sqlite:other"], 2, "has none of Kamailio's tables. Looked for: domain, subscriber"),
        (["postgres://u:secretive@h/k"], 2, "not a database URL"),
        ([], 1, "which database is not said. Write its URL, or --url-file"),
        (["sqlite:other", "--url-file", "text"], 1, "which database is not said"),
        (["sqlite:other", "--dpid", "x"], 1, "--dpid can't be 'x'"),
        (["sqlite:other", "--realm", 'a"b'], 1, "not a realm"),
    ],
)
def test_what_is_no_kamailio_is_told(shell, words, status, said):
    (shell.directory / "text").write_text("no database at all, but a text that is long enough to be one\n" * 20)
    with closing(sqlite3.connect(shell.directory / "other")) as other:
        other.execute("CREATE TABLE domain (recipes TEXT)")
    error = shell("db", "import-kamailio", *words, status=status)
    assert said in error
    assert "secretive" not in error
