"""Memory keeps up with a database that others write to: by the change log, by refreshes, and where it is unsure."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio
import trio.testing

from sipd.core.tables import Missing
from sipd.errors import StoreAway
from sipd.log import EventLog
from sipd.rows import (
    Change,
    DropAlias,
    DropBinding,
    DropDelegate,
    DropDial,
    DropDomain,
    DropPeer,
    DropScript,
    DropTimezone,
    DropUser,
    EnableScript,
    Peer,
    PutAlias,
    PutBinding,
    PutDelegate,
    PutDial,
    PutDomain,
    PutPeer,
    PutScript,
    PutSettings,
    PutTimezone,
    PutUser,
    Settings,
)
from sipd.store import Cache, SqliteStore, Store, create
from sipd.store.following import MOST_KEYS, SOME
from sipd.store.sqlite_log import CUT, KEPT
from tests.store.conftest import made_on, on_mariadb, store_of
from tests.store.rows import ALICE, BOB, USERS, apply, binding, script, user

LINES: list[str] = []


def counted(store):
    """Has it say what it was asked for, in `asked`; while `away` is set it can't be reached."""
    store.asked = []
    store.away = False
    news, load_some, load_all = store.news, store.load_some, store.load_all

    def reached():
        if store.away:
            raise StoreAway("pulled out")

    async def told_news():
        reached()
        return await news()

    async def told_some(keys):
        store.asked.append("some")
        reached()
        await trio.sleep(0.05)  # so that others come while this is under way
        return await load_some(keys)

    async def told_all(begun=None, known=None):
        store.asked.append("all")
        reached()
        return await load_all(begun, known)

    store.news, store.load_some, store.load_all = told_news, told_some, told_all
    return store


@pytest.fixture
async def store(sqlite):
    made = counted(SqliteStore(sqlite.path, serving=True))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def other(sqlite):
    """Another process on the same file."""
    return sqlite


@pytest.fixture(params=["sqlite", "mariadb"])
async def two(request, tmp_path):
    """A store, and that of another process on the same database."""
    if request.param == "sqlite":
        other: Store = SqliteStore(tmp_path / "sip.sqlite3")
        await create(other, ["example.com"], more=USERS)
        store: Store = SqliteStore(tmp_path / "sip.sqlite3", serving=True)
    else:
        server = request.getfixturevalue("mariadb")
        other = await on_mariadb(server)
        store = store_of(server, made_on(server))
    await store.open()
    yield counted(store), other
    await store.close()
    await other.close()


async def cache_on(store):
    LINES.clear()
    made = Cache(store, log=EventLog(LINES.append))
    await made.fill()
    store.asked.clear()
    return made


@pytest.fixture
async def cache(store):
    return await cache_on(store)


def told(cache):
    heard: list[object] = []
    cache.watch(heard.extend)
    return heard


GROUPS: list[list[Change]] = [
    [PutUser(user("carol@example.com"))],
    [PutUser(user(ALICE, level="never"))],
    [PutUser(user("carol@example.com", ha1_md5="", ha1_md5_full=""))],
    [DropUser("carol@example.com")],
    [PutBinding(binding()), PutBinding(binding(uri="sip:2@h"))],
    [DropBinding(ALICE, "sip:2@h")],
    [PutScript(script(text=b"<cpl/>", version=1))],
    [PutDelegate(ALICE, BOB)],
    [PutAlias("sales@example.com", ALICE), PutAlias("sales@example.com", BOB)],
    [PutDomain("example.net", "example.com")],
    [PutDomain("example.net", "example.net")],
    [PutPeer(Peer("pbx", "192.0.2.7"))],
    [PutSettings(Settings(mode="redirect"))],
    [PutTimezone("http://h/z", b"zone", 1.0)],
    [PutDial(1, "9", "8")],
    [DropScript(ALICE, "cpl")],
    [DropDelegate(ALICE, BOB)],
    [DropAlias("sales@example.com", BOB)],
    [DropDomain("example.net")],
    [DropPeer("pbx")],
    [DropTimezone("http://h/z")],
    [DropDial(1)],
]


@pytest.mark.parametrize("odd", ["2026-12-01 10:00:00", float("inf"), -float("inf"), b"\0"])
@pytest.mark.parametrize("column", ["expires_at", "refreshed_at"])
async def test_a_time_that_is_none_makes_its_binding_one_that_has_expired(store, odd, column):
    cache = await cache_on(store)
    await apply(store, PutBinding(binding()))
    cache.apply([PutBinding(binding())])
    with closing(sqlite3.connect(store.path)) as file, file:
        file.execute(f"UPDATE contacts SET {column} = ?", (odd,))
    await cache.catch_up()
    assert [one.expires_at for one in cache.bindings(ALICE)] == [0.0]
    fresh = await cache_on(store)
    assert fresh.bindings(ALICE) == cache.bindings(ALICE)
    assert fresh.expired(5e9) == [DropBinding(ALICE, binding().uri)]


async def test_rows_that_can_not_be_read_at_all_stop_nobody_who_follows(store, other, nursery, autojump_clock):
    cache = await cache_on(store)
    load_some, load_all, broken = store.load_some, store.load_all, [True]

    async def some(keys):
        if broken:
            raise TypeError("a row of another age")
        return await load_some(keys)

    async def everything(begun=None, known=None):
        if broken:
            raise TypeError("a row of another age")
        return await load_all(begun, known)

    store.load_some, store.load_all = some, everything
    await nursery.start(cache.watch_outside)
    await apply(other, PutBinding(binding()))
    await trio.sleep(5)
    assert not cache.reach.up
    assert cache.bindings(ALICE) == ()
    broken.clear()
    await trio.sleep(5)
    assert cache.reach.up
    assert cache.bindings(ALICE) == (binding(),)


async def test_a_setting_that_is_no_number_is_heard_of_again_when_it_is_one(store, other, nursery, autojump_clock):
    cache = await cache_on(store)
    await nursery.start(cache.watch_outside)
    for value, used in (("soon", 600), (300, 300)):  # a server goes on with what it has
        with closing(sqlite3.connect(store.path)) as file, file:
            file.execute("UPDATE server SET cache_refresh = ?", (value,))
        await trio.sleep(5)
        assert cache.settings.cache_refresh == used
    await apply(other, PutBinding(binding()))
    await trio.sleep(1)
    assert cache.reach.up
    assert cache.bindings(ALICE) == (binding(),)


class TestNews:
    async def test_every_change_of_others_comes_in_alone_and_is_told_exactly(self, two):
        store, other = two
        cache = await cache_on(store)
        heard = told(cache)
        for group in GROUPS:
            await apply(other, *group)
            await cache.catch_up()
            assert sorted(repr(change) for change in heard) == sorted(repr(change) for change in group)
            heard.clear()
        assert set(store.asked) == {"some"}, "all rows were loaded"
        fresh = Cache(other)
        await fresh.fill()
        assert cache.kinds("example.com") == fresh.kinds("example.com")
        assert cache.image.removed == {(ALICE, "cpl"): 2}
        await cache.reload()
        assert heard == [], "the whole says something else than its parts"

    async def test_a_user_who_goes_takes_all_along(self, two):
        store, other = two
        cache = await cache_on(store)
        await apply(other, PutBinding(binding()), PutScript(script()), PutDelegate(BOB, ALICE), PutDelegate(ALICE, BOB))
        await apply(other, PutAlias("al@example.com", ALICE), PutAlias("al@example.com", BOB))
        await cache.catch_up()
        heard = told(cache)
        await apply(other, DropUser(ALICE))
        await cache.catch_up()
        gone = [
            DropUser(ALICE),
            DropBinding(ALICE, binding().uri),
            DropScript(ALICE, "cpl"),
            DropDelegate(BOB, ALICE),
            DropDelegate(ALICE, BOB),
            DropAlias("al@example.com", ALICE),
        ]
        assert sorted(repr(change) for change in heard) == sorted(repr(change) for change in gone)
        assert cache.bindings(ALICE) == ()
        assert cache.alias("al@example.com") == (BOB,)
        assert cache.image.delegates == set()

    async def test_a_script_that_is_switched_comes_as_it_is_stored(self, two):
        store, other = two
        cache = await cache_on(store)
        await apply(other, PutScript(script()))
        await apply(other, EnableScript(ALICE, "cpl", False))
        await cache.catch_up()
        assert cache.script(ALICE, "cpl") == script(version=2, enabled=False)

    async def test_plain_sql_is_news_like_everything_else(self, cache, store, other):
        with closing(sqlite3.connect(other.path)) as plain:
            plain.execute("UPDATE users SET full_name = 'Alice' WHERE aor = ?", (ALICE,))
            plain.commit()
        await cache.catch_up()
        assert cache.user(ALICE).full_name == "Alice"
        assert store.asked == ["some"]

    async def test_where_nothing_has_changed_nothing_is_loaded(self, cache, store):
        seen: list[str] = []
        store._connected.set_trace_callback(seen.append)
        for _ in range(10):
            await cache.catch_up()
        assert seen == ["PRAGMA data_version"] * 10
        assert store.asked == []

    async def test_our_own_changes_are_no_news_and_those_of_others_between_them_are(self, two):
        store, other = two
        await cache_on(store)
        for number in range(3):
            await apply(store, PutDomain(f"{number}.example.com", "example.com"))
            await apply(other, PutDomain(f"{number}.example.net", "example.net"))
        assert [key.name for key in await store.news()] == [f"{number}.example.net" for number in range(3)]
        again = await store.news()  # a cluster's lines may be told twice, see mysql_news.py
        assert {key.name for key in again} <= {f"{number}.example.net" for number in range(3)}

    async def test_more_than_thousands_of_changes_are_loaded_as_a_whole(self, cache, store, other):
        await apply(other, *(PutDomain(f"{number}.example.com", "example.com") for number in range(MOST_KEYS + 1)))
        await cache.catch_up()
        assert store.asked == ["all"]
        assert len(cache.domains) == MOST_KEYS + 2
        await cache.catch_up()
        assert store.asked == ["all"]

    async def test_hundreds_of_changes_are_loaded_some_at_a_time(self, cache, store, other):
        await apply(other, *(PutUser(user(f"{number}@example.com")) for number in range(1200)))
        await cache.catch_up()
        assert store.asked == ["some"] * (1200 // SOME)
        assert cache.user("1199@example.com") is not None

    async def test_what_could_not_be_read_is_read_later(self, cache, store, other):
        await apply(other, PutBinding(binding()))
        read = store.load_some

        async def broken(keys):
            raise StoreAway("just then")

        store.load_some = broken
        with pytest.raises(StoreAway):
            await cache.catch_up()
        store.load_some = read
        await cache.catch_up()
        assert cache.bindings(ALICE) == (binding(),)

    async def test_a_log_that_was_emptied_makes_all_rows_load(self, cache, store, other):
        await apply(store, PutDomain("a.example.com", "example.com"))
        with closing(sqlite3.connect(other.path)) as plain:
            plain.execute("UPDATE users SET full_name = 'Alice'")
            plain.execute("DELETE FROM change_log")
            plain.commit()
        await cache.catch_up()
        assert cache.user(ALICE).full_name == "Alice"
        assert store.asked == ["all"]

    async def test_the_server_keeps_the_log_short(self, store):
        for _ in range(10):
            rows = [PutDomain(f"{number}.example.com", "example.com") for number in range(KEPT // 2)]
            await apply(store, *rows)
        for number in range(20):
            await apply(store, PutDomain(f"{number}.example.net", "example.net"))
        with closing(sqlite3.connect(store.path)) as plain:
            [(count, last)] = plain.execute("SELECT count(*), max(id) FROM change_log")
        assert count <= KEPT + CUT
        assert last > 10 * KEPT // 2


class TestRefresh:
    async def test_all_rows_are_loaded_now_and_then(self, cache, store, nursery, autojump_clock):
        await nursery.start(cache.watch_outside)
        await trio.sleep(599)
        assert store.asked == []
        await trio.sleep(602)
        assert store.asked == ["all"] * 2

    async def test_what_comes_while_all_is_loaded_is_shown_at_once_and_stays(self, cache, store, other):
        """News read in the middle of a refresh are not overridden by its older rows."""
        heard = told(cache)
        whole = store.load_all

        async def slow(begun=None, known=None):
            snapshot = await whole(begun, known)
            await apply(other, PutBinding(binding()))
            cache.following._unread.update(dict.fromkeys(await store.news()))
            await cache.following.read()
            assert cache.bindings(ALICE) == (binding(),), "not shown while all is loaded"
            return snapshot

        store.load_all = slow
        await cache.reload()
        assert cache.bindings(ALICE) == (binding(),)
        assert heard == [PutBinding(binding())], "it came and went"

    async def test_what_others_made_of_a_change_of_ours_while_all_is_loaded_stays(self, cache, store, other):
        heard = told(cache)
        ours, theirs = binding(cseq=1), binding(cseq=2)
        whole = store.load_all

        async def slow(begun=None, known=None):
            snapshot = await whole(begun, known)
            await apply(store, PutBinding(ours))
            cache.apply([PutBinding(ours)])
            await apply(other, PutBinding(theirs))
            cache.following._unread.update(dict.fromkeys(await store.news()))
            await cache.following.read()
            return snapshot

        store.load_all = slow
        await cache.reload()
        assert cache.bindings(ALICE) == (theirs,)
        assert heard == [PutBinding(ours), PutBinding(theirs)], "ours came once more"


class TestUnsure:
    async def test_bindings_in_doubt_are_not_settled_until_they_are_loaded(self, cache, store, other):
        await apply(other, PutBinding(binding()))
        cache.following.doubt(ALICE)
        with pytest.raises(Missing) as missing:
            cache.settled_bindings(ALICE)
        assert cache.bindings(ALICE) == (), "calls go by what memory has"
        assert cache.settled_bindings(BOB) == ()
        await cache.load(missing.value.kind, missing.value.key)
        assert cache.settled_bindings(ALICE) == (binding(),)

    async def test_one_query_however_many_wait(self, cache, store):
        for aor in (ALICE, BOB):
            cache.following.doubt(aor)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(cache.load, "settled", ALICE)
                nursery.start_soon(cache.load, "settled", BOB)
        assert store.asked == ["some"]

    async def test_who_gives_up_leaves_the_others_waiting_for_another_try(self, cache, store):
        cache.following.doubt(ALICE)
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as first:
                async with trio.open_nursery() as inner:
                    inner.start_soon(cache.load, "settled", ALICE)
                    await trio.testing.wait_all_tasks_blocked()
                    nursery.start_soon(cache.load, "settled", ALICE)
                    await trio.testing.wait_all_tasks_blocked()
                    first.cancel()
        assert cache.settled_bindings(ALICE) == ()
        assert store.asked == ["some"] * 2

    async def test_all_who_wait_hear_of_one_failure(self, cache, store):
        cache.following.doubt(ALICE)
        store.away = True
        failures = []

        async def wait():
            try:
                await cache.load("settled", ALICE)
            except StoreAway as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(wait)
        assert len(failures) == 10

    async def test_the_watch_looks_after_them_when_nobody_asks(self, cache, store, other, nursery):
        await apply(other, PutBinding(binding()))
        await store.news()  # nobody will tell of it again
        cache.following.doubt("", [PutBinding(binding())])
        shown = trio.Event()
        cache.watch(lambda changes: shown.set())
        await nursery.start(cache.watch_outside, 0.01)
        with trio.fail_after(5):
            await shown.wait()
        assert cache.bindings(ALICE) == (binding(),)


class TestAway:
    async def test_reading_fails_and_comes_back_with_one_line_each(self, cache, store, other, nursery, autojump_clock):
        store.away = True
        cache.following.doubt(ALICE)
        await nursery.start(cache.watch_outside)
        await trio.sleep(10)
        assert [line.split()[1] for line in LINES] == ["event=db_away"]
        assert not cache.reach.up
        asked = len(store.asked)
        with pytest.raises(StoreAway):
            await cache.load("settled", ALICE)
        assert len(store.asked) == asked, "who waits is told at once"
        store.away = False
        await trio.sleep(2)
        assert [line.split()[1] for line in LINES] == ["event=db_away", "event=db_back"]
        assert cache.reach.up
        assert cache.settled_bindings(ALICE) == ()
