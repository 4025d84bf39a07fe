"""Rows that are kept small say what they said, and take little memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
import trio

from sipd.rows import Binding, Change, PutBinding, PutUser, User
from sipd.store import SqliteStore, user_row
from sipd.store.cache import Cache
from sipd.store.dense import RECENT, Bindings, Users
from sipd.store.dense_rows import BindingRows, Known, UserRows
from sipd.store.image import Image
from sipd.store.kinds import Kinds
from tests.bench.population import bindings_of, populated, rows_of

ALICE = user_row("alice@example.com", "example.com", "secret")
USERS = [
    ALICE,
    User("bob@example.com", "example.com"),
    ALICE._replace(aor="capitals@example.com", ha1_md5=ALICE.ha1_md5.upper()),
    ALICE._replace(aor="blank@example.com", ha1_md5="ab cd"),
    ALICE._replace(aor="odd@example.com", ha1_md5="abc", ha1_sha256="d"),
    ALICE._replace(aor="none@example.com", ha1_md5="no digits", level="never"),
    ALICE._replace(aor="one@example.com", ha1_md5="", ha1_sha256="", ha1_sha512_256="0f" * 32, role="administrator"),
    ALICE._replace(aor="named@example.com", full_name="Nämed", gateway_class="abroad"),
]

PLAIN = Binding("alice@example.com", "sip:alice@192.0.2.1", expires_at=100.5, call_id="1@x", cseq=7, user_agent="Phone")
BINDINGS = [
    PLAIN,
    PLAIN._replace(uri="sip:alice@192.0.2.2", q=500, action="redirect", path=("<sip:p1;lr>", "<sip:p2;lr>")),
    PLAIN._replace(key="flow", received="UDP 192.0.2.9 4000", instance="<urn:uuid:1>", reg_id=1, gruu="0" * 12),
    PLAIN._replace(uri="sip:alice@192.0.2.3", params=';methods="INVITE"', refreshed_at=99.25),
]


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.aor)
def test_a_user_comes_back_as_he_was(user: User):
    users = Users()
    users[user.aor] = user
    assert users[user.aor] == user
    assert users.get(user.aor) == user
    assert list(UserRows([tuple(user)])) == [user]


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.aor)
def test_users_are_counted_alike_loaded_and_changed(user: User):
    """[T67] Else who is not there would be asked for what nobody who is there is asked for."""
    fewer = user._replace(ha1_sha512_256="", ha1_sha512_256_full="")  # as an import or an older database has it
    last = fewer._replace(ha1_sha512_256_full="0f" * 32)
    for one in (user, fewer, last):
        loaded, changed = Kinds(), Kinds()
        Users().take(UserRows([tuple(one)]), loaded)
        changed.change(None, one)
        assert loaded.of("example.com") == changed.of("example.com")


def test_users_that_were_loaded_together_are_as_each_alone():
    """Whoever stands beside one whose hashes are none, and whoever does not."""
    ordinary = [ALICE._replace(aor=f"user{number}@example.com") for number in range(5)]
    short = [user._replace(aor=f"s{user.aor}", ha1_sha512_256="", ha1_sha512_256_full="") for user in ordinary]
    for rows in (ordinary, ordinary + short, [*ordinary, *USERS, *short]):
        loaded, changed = Kinds(), Kinds()
        users = Users()
        users.take(UserRows(map(tuple, rows)), loaded)
        for user in rows:
            changed.change(None, user)
            assert users[user.aor] == user
        assert len(users) == len(rows)
        assert loaded.of("example.com") == changed.of("example.com")


def test_digits_that_are_one_too_many_here_and_one_too_few_there_stay_where_they_are():
    rows = [ALICE._replace(aor="a@x", ha1_md5="abc"), ALICE._replace(aor="b@x", ha1_md5="d")]
    assert list(UserRows(map(tuple, rows))) == rows


@pytest.mark.parametrize("column", [0, 1, 2, 6, 7, 8, 9, 11])
def test_a_user_that_somebody_wrote_as_bytes_is_read_as_text(column):
    """SQLite keeps what it is given: nobody's start is to end with it."""
    odd: list[object] = list(ALICE)
    odd[column] = b"\xff@x"
    for _ in range(2):  # the second meets what the first has left
        users = Users()
        users.take(UserRows([tuple(odd), tuple(USERS[1])]), Kinds())
        assert users["\udcff@x" if column == 0 else ALICE.aor][column] == "\udcff@x"
        assert users[USERS[1].aor] == USERS[1]


def test_a_user_who_was_asked_for_is_another_one_once_he_is_changed():
    users = Users()
    users[ALICE.aor] = ALICE
    assert users[ALICE.aor].level == "required"
    users[ALICE.aor] = ALICE._replace(level="never")
    assert users[ALICE.aor].level == "never"
    del users[ALICE.aor]
    assert users.get(ALICE.aor) is None
    assert ALICE.aor not in users


def test_rows_made_for_those_who_ask_are_forgotten():
    users = Users()
    for number in range(3 * RECENT):
        aor = f"user{number}@example.com"
        users[aor] = ALICE._replace(aor=aor)
        assert users[aor].aor == aor
    assert len(users._recent) <= RECENT


def test_bindings_come_back_as_they_were_in_their_order():
    bindings = Bindings()
    for binding in BINDINGS:
        bindings.put(binding, binding.aor)
    assert bindings[PLAIN.aor] == tuple(BINDINGS)
    again = PLAIN._replace(cseq=8, expires_at=200.0)
    bindings.put(again, again.aor)
    assert bindings[PLAIN.aor] == (again, *BINDINGS[1:])
    assert BindingRows(BINDINGS) == BINDINGS
    assert sorted(bindings.ends()) == sorted((one.aor, one.expires_at) for one in (again, *BINDINGS[1:]))
    assert list(bindings.with_flow()) == [BINDINGS[2]]


def test_a_row_of_the_database_is_read_as_it_stands_there():
    row: list[object] = list(BINDINGS[1])
    row[7] = "<sip:p1;lr>\n<sip:p2;lr>"
    row[4] = b"\xff@x"
    assert BindingRows([tuple(row)]) == [BINDINGS[1]._replace(call_id="\udcff@x")]


def test_a_refresh_that_changes_only_times_brings_no_text_of_its_own():
    image = Image()
    image.apply(PutUser(ALICE))
    image.apply(PutBinding(PLAIN))

    def anew(text: str) -> str:
        return "".join(list(text))

    renewed = PLAIN._replace(
        uri=anew(PLAIN.uri), call_id=anew(PLAIN.call_id), user_agent=anew(PLAIN.user_agent), cseq=8, expires_at=300.0
    )
    first = image.bindings[PLAIN.aor][0]
    image.apply(PutBinding(renewed))
    second = image.bindings[PLAIN.aor][0]
    assert second == renewed
    for name in ("uri", "call_id", "user_agent"):
        assert getattr(second, name) is getattr(first, name), name


def test_what_is_loaded_again_is_held_once():
    users, bindings = Users(), Bindings()
    for user in USERS:
        users[user.aor] = user
    for binding in (PLAIN, BINDINGS[2]._replace(aor="bob@example.com")):
        bindings.put(binding, binding.aor)
    changed = USERS[0]._replace(level="never")
    known = Known(users, bindings)
    again = UserRows([changed, *USERS[1:]], known)
    assert list(again) == [changed, *USERS[1:]]
    assert [row is users.rows[row.aor] for row in again.rows.values()] == [False, *[True] * (len(USERS) - 1)]
    rows = BindingRows([PLAIN, PLAIN._replace(aor="bob@example.com")], known)
    assert [bound is bindings.rows[aor] for aor, bound in rows.rows.items()] == [True, False]


MEMORY = 900
"""Bytes of one user with his phone: 760 where there are many; here each second of their ends has a list of its own."""


def test_a_user_with_his_phone_takes_little_memory(tmp_path):
    async def loaded() -> int:
        names = [(f"user{number}", f"secret-{number}") for number in range(2000)]
        rows: list[Change] = [*rows_of(names), *bindings_of((name for name, _ in names), 1_700_000_000.0)]
        store = SqliteStore(tmp_path / "many.sqlite3")
        await populated(store, rows)
        del rows
        await store.open()
        cache = Cache(store)
        gc.collect()
        tracemalloc.start()
        try:
            await cache.fill()
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await store.close()
        assert len(cache.image.users) == len(cache.image.bindings) == 2000
        return taken

    assert trio.run(loaded) / 2000 < MEMORY
