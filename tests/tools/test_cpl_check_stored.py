"""cpl-check --from-db: scripts as they are stored, under the server's own settings, with its users and phones."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import trio

from sipd.rows import Binding, EnableScript, PutBinding, PutScript, PutSettings, PutUser, Script, Settings
from sipd.store import SqliteStore, create, user_row
from sipd.tools.cpl_check import COULD_NOT_RUN, REFUSED, SOUND, main
from tests.mariadb import PASSWORD
from tests.store.conftest import store_of

if TYPE_CHECKING:
    from pathlib import Path

    from sipd.rows import Change

RING = '<lookup source="registration"><success><proxy timeout="9"><noanswer>{}</noanswer></proxy></success></lookup>'
ON_TO_CAROL = '<location url="sip:carol@example.com"><proxy/></location>'
BOB = f"<cpl><incoming>{RING.format(ON_TO_CAROL)}</incoming></cpl>"
OUT = '<mail url="mailto:c@example.com"><reject status="busy" reason="Carol is out"/></mail>'
CAROL = f"<cpl><incoming>{OUT}</incoming></cpl>"
SETTINGS = Settings(time_zone="Europe/Paris", mail_server="mail.example.com")
DESK = "sip:desk@192.0.2.1"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore(tmp_path / "sip.db")
    users = [PutUser(user_row(f"{name}@example.com", "example.com", "pw-secret")) for name in ("alice", "bob", "carol")]
    now = time.time()
    rows: list[Change] = [
        *users,
        PutBinding(Binding("bob@example.com", DESK, 500, now + 1000)),
        PutBinding(Binding("bob@example.com", "sip:gone@192.0.2.2", 500, now - 1000)),
        PutScript(Script("bob@example.com", "cpl", BOB.encode(), "application/cpl+xml", now)),
        PutScript(Script("carol@example.com", "cpl", CAROL.encode(), "application/cpl+xml", now)),
    ]

    async def make() -> None:
        await create(store, ["example.com"], settings=SETTINGS, more=rows)
        await store.close()

    trio.run(make)
    return "sqlite:sip.db"


def change(tmp_path: Path, *changes: Change) -> None:
    async def work() -> None:
        store = SqliteStore(tmp_path / "sip.db")
        await store.open()
        assert await store.apply([changes]) == [None]
        await store.close()

    trio.run(work)


def test_all_users_are_checked(database, capsys):
    assert main(["--from-db", database]) == SOUND
    assert capsys.readouterr().out.splitlines() == [
        "bob@example.com: sound (version 1)",
        "carol@example.com: sound (version 1)",
        "2 scripts: 2 sound",
    ]


def test_a_call_goes_through_the_scripts_and_phones_that_are_stored(database, capsys):
    words = ["--from-db", database, "--user", "bob@example.com", "--simulate", "--json"]
    assert main([*words, "--from", "sip:alice@example.com", "--outcome", "noanswer"]) == SOUND
    [each] = json.loads(capsys.readouterr().out)
    simulation = each["simulation"]
    assert simulation["registered"] == [{"uri": DESK, "q": 0.5}]
    assert [rung["uri"] for round in simulation["rounds"] for rung in round["rung"]] == [DESK]
    assert simulation["scripts"] == [
        {"owner": "bob@example.com", "action": "incoming"},
        {"owner": "carol@example.com", "action": "incoming"},
    ]
    assert (simulation["status"], simulation["reason"], simulation["seconds"]) == (486, "Carol is out", 9)


def test_settings_of_the_server_hold(database, capsys, tmp_path):
    change(tmp_path, PutSettings(SETTINGS._replace(script_operations="location lookup proxy reject")))
    assert main(["--from-db", database]) == REFUSED
    out = capsys.readouterr().out
    assert "bob@example.com: sound" in out
    assert "carol@example.com:1:16: error: " in out
    assert main(["--from-db", database, "--operations", "all"]) == SOUND


def test_a_new_script_is_tried_before_it_is_uploaded(database, capsys, tmp_path):
    (tmp_path / "new.cpl").write_text('<cpl><incoming><reject status="404" reason="New"/></incoming></cpl>')
    assert main(["--from-db", database, "--user", "bob@example.com", "new.cpl", "--simulate"]) == SOUND
    assert capsys.readouterr().out.splitlines()[-1] == "At once the caller is refused: 404 New."


def test_one_that_is_switched_off_says_so_and_has_no_say_in_calls_of_others(database, capsys, tmp_path):
    change(tmp_path, EnableScript("carol@example.com", "cpl", False))
    assert main(["--from-db", database, "--user", "carol@example.com"]) == SOUND
    assert capsys.readouterr().out == "carol@example.com: sound (version 2, switched off)\n"
    assert main(["--from-db", database, "--user", "bob@example.com", "--simulate"]) == SOUND
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "After 9 s the caller is refused: 480 Temporarily Unavailable.", "carol has no phone"


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("nobody@example.com", "there is no user nobody@example.com"),
        ("alice@example.com", "alice@example.com has no CPL script"),
        ("a\x1b@example.com", "there is no user a\\x1b@example.com"),
    ],
)
def test_users_without(database, capsys, user, why):
    assert main(["--from-db", database, "--user", user]) == COULD_NOT_RUN
    assert capsys.readouterr().err.startswith(f"cpl-check: {why}")


def test_no_secret_is_printed(database, capsys):
    main(["--from-db", database, "--simulate", "--json"])
    main(["--from-db", database, "--simulate", "--week"])
    printed = "".join(capsys.readouterr())
    row = user_row("bob@example.com", "example.com", "pw-secret")
    assert "pw-secret" not in printed
    assert all(secret not in printed for secret in (row.ha1_md5, row.ha1_sha256, row.ha1_md5_full, row.ha1_sha256_full))


def test_scripts_in_mariadb_are_checked_as_those_in_a_file(mariadb, capsys) -> None:
    name = mariadb.new_database()

    async def make() -> None:
        store = store_of(mariadb, name)
        user = PutUser(user_row("bob@example.com", "example.com", "pw-secret"))
        script = PutScript(Script("bob@example.com", "cpl", BOB.encode(), "application/cpl+xml", time.time()))
        await create(store, ["example.com"], settings=SETTINGS, more=[user, script])
        await store.close()

    trio.run(make)
    assert main(["--from-db", mariadb.url(name), "--user", "bob@example.com"]) == SOUND
    said = capsys.readouterr()
    assert "bob@example.com" in said.out
    assert PASSWORD not in said.out + said.err
