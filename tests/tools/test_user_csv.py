"""Users from a CSV file and into one, as an administrator does it: all of them or none."""

import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sipd.control.verbs import Arguments, Refusal
from sipd.control.verbs.base import Faults
from sipd.control.verbs.names import FORBIDDEN
from sipd.control.verbs.sheets import COLUMNS, HASHES, Complaints, lines_of, written
from sipd.control.verbs.user_import import give, take
from sipd.rows import PutAlias, PutDomain, PutUser, User
from sipd.store import MemoryStore, user_row
from sipd.store.mysql_link import Link
from tests.running import REPOSITORY
from tests.store.conftest import on_mariadb
from tests.tools.test_sipdctl import ALICE, Shell, Terminal, rows

BOB = "bob@example.com"


@pytest.fixture
async def store():
    store = MemoryStore()
    domains = [PutDomain("example.com", "example.com"), PutDomain("sip.example.com", "example.com")]
    alice = user_row(ALICE, "example.com", "hidden-word")._replace(full_name="Alice", level="never")
    await store.create(b"k" * 32, [*domains, PutUser(alice)])
    return store


def plain(told: Any) -> dict[str, Any]:
    """What a verb says, as a mapping."""
    assert isinstance(told, dict)
    return told


async def taken(store, text, *flags):
    content = text if isinstance(text, bytes) else text.encode()
    return plain(await take(store, Arguments({"file": content, **dict.fromkeys(flags, "yes")})))


async def users(store):
    return {user.aor: user for user in (await store.load_all()).users}


async def test_every_column_is_taken(store):
    told = await taken(
        store,
        "Address,password,realm,level,role,class,Name,aliases\n"
        'sip:BOB@SIP.Example.com.,correct horse,the realm,requested,administrator,pstn,"Bob, the Builder",'
        "+15551234@example.com team@example.com\n"
        "carol@example.com,correct horse,,,,,,\n",
    )
    assert told == {"added": 2, "updated": 0, "skipped": 0, "aliases": 2, "stored": True, "warnings": []}
    found = await users(store)
    assert found["BOB@example.com"] == user_row("BOB@example.com", "the realm", "correct horse")._replace(
        level="requested", role="administrator", gateway_class="pstn", full_name="Bob, the Builder"
    )
    assert found["carol@example.com"] == user_row("carol@example.com", "example.com", "correct horse")
    assert sorted((await store.load_all()).aliases) == [
        PutAlias("+15551234@example.com", "BOB@example.com"),
        PutAlias("team@example.com", "BOB@example.com"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffaddress,password\r\nbob@example.com,correct horse\r\n",
        "password;address\nCorrect;x@example.com\n".replace("Correct;x", "correct horse;bob"),
        "address\tpassword\nbob@example.com\tcorrect horse",
        '\n"address","password"\n\n"bob@example.com","correct horse"\n,\n',
        "user,password,name\nbob@example.com,correct horse\n",
        "address,password,,\nbob@example.com,correct horse,,\n",
    ],
    ids=["BOM and CRLF", "semicolons", "tabs", "quotes and empty lines", "short lines", "empty columns"],
)
async def test_files_are_taken_as_programs_write_them(store, text):
    await taken(store, text)
    assert (await users(store))[BOB] == user_row(BOB, "example.com", "correct horse")


async def test_hashes_are_taken_instead_of_a_password_and_those_that_lack_are_empty(store):
    hashes = {name: "0aF1" * (digits // 4) for name, digits in HASHES.items()}
    await taken(store, ",".join(["address", *hashes]) + "\n" + ",".join([BOB, *hashes.values()]))
    lower: dict[str, Any] = {name: text.lower() for name, text in hashes.items()}
    assert (await users(store))[BOB] == User(BOB, "example.com")._replace(**lower)
    await taken(store, f"address,ha1_md5\n{ALICE},{hashes['ha1_md5']}\n", "update")
    alice = (await users(store))[ALICE]
    assert (alice.ha1_md5, alice.ha1_sha256) == (hashes["ha1_md5"].lower(), ""), "what was of the old password is gone"
    assert (alice.full_name, alice.level) == ("Alice", "never"), "what the file does not say stays"


async def test_users_who_are_there_are_refused_or_changed_or_left_alone(store):
    text = f"address,password,name\n{ALICE},another word,\nbob@example.com,correct horse,Bob\n"
    before = await users(store)
    with pytest.raises(Faults) as refused:
        await taken(store, text)
    assert refused.value.findings == (
        f"line 2, column address: there is a user {ALICE} already (--update changes him, --skip leaves him alone)",
    )
    assert await users(store) == before, "nobody is stored"
    assert (await taken(store, text, "skip", "dry-run"))["added"] == 1
    assert await users(store) == before, "a dry run stores nothing"
    assert (await taken(store, text, "skip"))["skipped"] == 1
    assert (await users(store))[ALICE] == before[ALICE]
    assert (await taken(store, text, "update"))["updated"] == 2
    changed = user_row(ALICE, "example.com", "another word")._replace(full_name="Alice", level="never")
    assert (await users(store))[ALICE] == changed
    with pytest.raises(Refusal, match="can't both be"):
        await taken(store, text, "update", "skip")


BAD = [
    ("bob,x", "column address: not an address: 'bob'. Write user@domain"),
    (",long enough", "column address: not an address: ''"),
    ("bob@example.net,long enough", "column address: example.net is not a local domain. Make it one with: sipdctl"),
    ("bob@example.com,short", "column password: has fewer than 8 letters"),
    ("bob@example.com,long\x01enough", "column password: holds control characters"),
    ("bob@example.com,", "column password: is empty, and there is no hash: nobody could log in"),
    ("bob@example.com,long enough,often", "column level: can't be 'often'. It is one of: never, requested, required"),
    ("bob@example.com,long enough,,king", "column role: can't be 'king'. It is one of: regular, administrator"),
    ("bob@example.com,long enough,,,a\"b", "column realm: not a realm"),
    ("bob@example.com,long enough,,,,nobody", "column aliases: not an address: 'nobody'"),
    ("bob@example.com,long enough,,,,alice@example.com", "column aliases: alice@example.com is a user himself"),
    ("bob@example.com,long enough,,,,,abc", "column ha1_md5: there is a password too: leave one of them empty"),
    ("bob@example.com,,,,,,abc", "column ha1_md5: is no hash: 32 hexadecimal digits are one"),
    ("bob@example.com,long enough,,,,,,,x", "has 9 cells for 8 columns"),
    ("bob@example.com,long enough,,,,,," + "x" * 256, "column name: can't be"),
    ("bob@example.com,\"long enough", 'a quote (") is opened here and never closed'),
    ("bob@example.com,\"long\" enough", 'after a closing quote (") comes more text'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), BAD, ids=[said for _, said in BAD])
async def test_a_bad_line_is_named_with_its_column_and_nobody_is_stored(store, line, said):
    before = await users(store)
    with pytest.raises(Faults) as refused:
        await taken(
            store,
            "address,password,level,role,realm,aliases,ha1_md5,name\n"
            'carol@example.com,long enough,,,,,,"two\nlines"\n'.replace("two\nlines", "one line")
            + f"\r\n{line}\n",
        )
    [finding] = refused.value.findings
    assert finding.startswith("line 4"), finding
    assert said in finding
    assert str(refused.value).startswith("1 line can't be taken, and so no users were stored")
    assert await users(store) == before


async def test_a_line_that_is_there_twice_names_the_first(store):
    with pytest.raises(Faults) as refused:
        await taken(store, "address,password\nbob@example.com,long enough\nBob@example.com,long enough\n"
                           "bob@sip.example.com,long enough\n")  # fmt: skip
    assert refused.value.findings == ("line 4, column address: bob@example.com stands in line 2 already",)


async def test_twenty_bad_lines_are_named_and_the_others_counted(store):
    with pytest.raises(Faults) as refused:
        await taken(store, "address,password\n" + "bob\n" * 33)
    assert len(refused.value.findings) == 21
    assert refused.value.findings[19].startswith("line 21,")
    assert refused.value.findings[20] == "... and 13 more"
    assert "33 lines can't be taken" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"password\nx\n", "there is no column address"),
        (b"address,pasword\n", "there is no column 'pasword'. Did you mean password?"),
        (b"address,phone of the cat\n", "there is no column 'phone_of_the_cat'. The columns are: address, password"),
        (b"bob@example.com,long enough\n", "The first line names the columns: address, password"),
        (b"address,name,full_name\n", "there are two columns name"),
        (b"address,password\nb\xf6b@example.com,x\n", "line 2 is not UTF-8: byte 0xf6. Save the file as UTF-8"),
        ("address,password".encode("utf-16"), "the file is UTF-16"),
        (b"address,password\n\0\n", "line 2 holds a NUL character"),
    ],
)
async def test_a_file_that_is_none_says_how_to_mend_it(store, content, said):
    with pytest.raises(Refusal) as refused:
        await taken(store, content)
    assert said in str(refused.value)


async def test_what_is_exported_is_imported_again_without_a_difference(store):
    await taken(store, 'address,password,name,aliases\nbob@example.com,correct horse,"=B, ""C""",x@example.com\n')
    told = plain(await give(store, Arguments({"secrets": "yes"})))
    assert told["users"] == 2
    before, aliases = await users(store), (await store.load_all()).aliases
    again = MemoryStore()
    await again.create(b"k" * 32, [PutDomain("example.com", "example.com")])
    await taken(again, told["csv"])
    assert await users(again) == before
    assert (await again.load_all()).aliases == aliases
    public = plain(await give(store, Arguments({})))["csv"]
    assert not any(secret in public for user in before.values() for secret in user[2:6])
    with pytest.raises(Faults, match="2 lines"):
        await taken(again, public.replace("example.com", "other.example"))


@given(st.binary(max_size=200) | st.text(alphabet='a@,;"\n\r\tlicexmp.o\0ü', max_size=80).map(str.encode))
def test_no_file_is_too_strange(content):
    for head in (b"", b"address,password\n"):
        try:
            lines = list(lines_of(head + content, complaints := Complaints()))
        except Refusal:
            continue
        assert all(set(line.cells) <= set(COLUMNS) and line.number >= 1 for line in lines)
        assert complaints.count >= 0


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"])).map(lambda text: text.strip()), max_size=5))
def test_any_name_survives_the_file(names):
    users = [User(f"u{place}@h.com", "h.com", full_name=name) for place, name in enumerate(names)]
    found = list(lines_of(written(users, {}, secrets=False).encode(), complaints := Complaints()))
    assert [line.cells.get("name", "") for line in found] == names
    assert not complaints.count


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=5, unique=True))
def test_any_address_survives_the_file(texts):
    """RFC 3261 §25.1: the name of a user may hold commas and semicolons."""

    async def there_and_back(aors):
        some = {f"user{at}@example.com": [aor, f"more{at}@example.com"] for at, aor in enumerate(aors)}
        named = [User(aor, "example.com", ha1_md5="0" * 32) for aor in (*some, *(f"x{aor}" for aor in aors))]
        store = MemoryStore()
        await store.create(b"k" * 32, [PutDomain("example.com", "example.com")])
        await taken(store, written(named, some, secrets=True))
        assert await users(store) == {user.aor: user for user in named}
        wanted = sorted(PutAlias(alias, aor) for aor, aliases in some.items() for alias in aliases)
        assert sorted((await store.load_all()).aliases) == wanted

    trio.run(there_and_back, [f"{text}@example.com" for text in texts if not FORBIDDEN.search(text)])


# as a program


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    shell("db", "init", "example.com")
    return shell


async def test_a_file_that_others_can_read_is_warned_of_where_it_holds_secrets(shell):
    file = shell.directory / "users.csv"
    file.write_text("address,password\nbob@example.com,correct horse\n")
    file.chmod(0o644)
    told = json.loads(shell("user", "import", "users.csv", "--json"))
    assert "chmod 600" in told["warnings"][0]
    file.write_text("address,name\nbob@example.com,Bob\n")
    assert json.loads(shell("user", "import", "users.csv", "--update", "--json"))["warnings"] == []
    file.chmod(0o600)
    file.write_text("address,password\nbob@example.com,correct horse 2\n")
    assert json.loads(shell("user", "import", "users.csv", "--update", "--json"))["warnings"] == []
    assert (await rows(shell)).users == [user_row(BOB, "example.com", "correct horse 2")._replace(full_name="Bob")]


def test_what_is_no_text_in_the_database_is_not_exported(shell):
    shell("user", "add", ALICE)
    with closing(sqlite3.connect(shell.directory / "sip.sqlite3")) as connection:
        connection.execute("UPDATE users SET full_name = CAST(x'4af67267' AS TEXT)")  # by a program in ISO 8859-1
        connection.commit()
    for words in ((), ("-o", "out.csv"), ("--json",)):
        assert "line 2 of the file would not be UTF-8" in shell("user", "export", *words, status=1)
    assert "full_name is no UTF-8" in shell("db", "check", status=1)
    shell("user", "set", ALICE, "full_name=Jörg")
    assert "Jörg" in shell("user", "export")


async def test_standard_input_and_a_private_output(shell):
    shell("user", "import", "-", stdin="address,password\nbob@example.com,correct horse\n")
    assert shell("user", "export").splitlines()[1] == "bob@example.com,example.com,required,regular,,,"
    shell("user", "export", "--secrets", "-o", "out.csv")
    out = shell.directory / "out.csv"
    assert out.stat().st_mode & 0o777 == 0o600
    assert (await rows(shell)).users[0].ha1_sha256 in out.read_text()
    assert "there is a file out.csv already" in shell("user", "export", "-o", "out.csv", status=2)
    shell("user", "import", "out.csv", "--update")
    assert (await rows(shell)).users == [user_row(BOB, "example.com", "correct horse")]


def test_bad_lines_come_before_the_sum_of_them(shell):
    said = shell("user", "import", "-", stdin="address,password\nbob@example.com,x\ncarol,long enough\n", status=1)
    first, second, last = said.splitlines()
    assert first == "line 2, column password: has fewer than 8 letters"
    assert second.startswith("line 3, column address: not an address")
    assert last == "sipdctl: 2 lines can't be taken, and so no users were stored. Mend the file and try again"
    shell("user", "import", "-", "--short-passwords", stdin="address,password\nbob@example.com,x\n")


def many(count):
    return "address,password,name,aliases\n" + "".join(
        f'user{n:06d}@example.com,secret-{n:08d},"User, No. {n}",+1555{n:07d}@example.com\n' for n in range(count)
    )


async def test_twenty_thousand_are_one_transaction(shell):
    (shell.directory / "many.csv").write_text(many(20000))
    told = json.loads(shell("user", "import", "many.csv", "--json"))
    assert (told["added"], told["aliases"]) == (20000, 20000)
    found = await rows(shell)
    assert len(found.users) == 20000
    assert user_row("user012345@example.com", "example.com", "secret-00012345")._replace(
        full_name="User, No. 12345"
    ) in set(found.users)


async def test_on_mariadb_too_they_are_one_transaction_of_few_statements(mariadb, monkeypatch):
    store = await on_mariadb(mariadb)
    asked = []

    async def counted(link, *words, **more):
        asked.append(words)
        return await run(link, *words, **more)

    run = Link._run
    monkeypatch.setattr(Link, "_run", counted)
    told = await taken(store, many(5000))
    assert (told["added"], told["aliases"]) == (5000, 5000)
    assert len(asked) < 100, "with one statement a user 100,000 take minutes"
    assert (await users(store))["user001234@example.com"] == user_row(
        "user001234@example.com", "example.com", "secret-00001234"
    )._replace(full_name="User, No. 1234")
    with pytest.raises(Faults):
        await taken(store, many(5001))
    assert len((await store.load_all()).aliases) == 5000
    await store.close()


def test_ctrl_c_leaves_nothing_and_says_so(shell):
    (shell.directory / "many.csv").write_text(many(60000))
    started = subprocess.Popen(
        [sys.executable, "-m", "sipd.tools.sipdctl", "-D", "sqlite:sip.sqlite3", "user", "import", "many.csv"],
        cwd=shell.directory, env={"PYTHONPATH": str(REPOSITORY), "PATH": ""}, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's jobs with & ignore
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not (shell.directory / "sip.sqlite3-wal").exists():  # it has opened the database
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        started.send_signal(signal.SIGINT)
        said = started.communicate(timeout=30)[1]
    finally:
        started.kill()
    assert said == "sipdctl: interrupted, nothing was changed\n"
    assert started.returncode == 130
    assert not trio.run(rows, shell).users


async def test_ctrl_c_after_the_commit_says_that_it_is_done(shell, monkeypatch, capsys):
    """Whoever presses it a moment too late is not told that nothing happened."""
    from sipd.control.verbs import names
    from sipd.tools import sipdctl

    async def late(store, changes, progress=None):
        await names.carry_out(store, changes, progress)
        raise KeyboardInterrupt

    monkeypatch.setattr("sipd.control.verbs.user.carry_out", late)
    monkeypatch.chdir(shell.directory)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"correct horse\n")))
    words = ["-D", "sqlite:sip.sqlite3", "user", "add", BOB, "--password-file", "-"]
    assert await trio.to_thread.run_sync(sipdctl.main, words) == 130
    assert capsys.readouterr().err == "sipdctl: interrupted, but what was asked is done\n"
    assert len((await rows(shell)).users) == 1


def test_a_terminal_sees_how_far_it_is_and_nobody_else(shell, monkeypatch):
    from sipd.tools import progress, sipdctl

    (shell.directory / "many.csv").write_text(many(3000))
    (shell.directory / "many.csv").chmod(0o600)
    monkeypatch.chdir(shell.directory)
    monkeypatch.setattr(progress, "AFTER", 0)
    monkeypatch.setattr(progress, "EVERY", 0)
    for flags, seen in (([], True), (["--quiet"], False)):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        assert sipdctl.main(["-D", "sqlite:sip.sqlite3", "user", "import", "--update", "many.csv", *flags]) == 0
        assert ("storing: [###" in screen.getvalue()) is seen
        assert ("reading: [###" in screen.getvalue()) is seen
        assert screen.getvalue().endswith("\r\x1b[K") is seen
