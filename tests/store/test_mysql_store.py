"""The store on MySQL in trouble: killed, frozen, read-only, full; two servers of one name; what others change."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from sipd.errors import CommitUnknown, SetupError, StoreAway
from sipd.rows import DropUser, Expect, PutBinding, PutPeer, PutScript, PutSettings, PutUser, Settings
from sipd.rows import Peer as PeerRow
from sipd.store import Refused, create, open_store, parse_url
from sipd.store.base import Key
from sipd.store.mysql import MysqlStore
from sipd.store.mysql_link import AT_ONCE, Link, open_link
from sipd.store.mysql_news import COUNT, DEEP, KEPT, MOST_NEWS, NEAR, PRUNE, ChangeLog
from sipd.store.mysql_wire import Login
from tests.mariadb import PASSWORD, USER, MariaDb
from tests.running import HERE, free_port
from tests.store.conftest import on_mariadb, store_of
from tests.store.rows import ALICE, BOB, USERS, binding, contents, script, user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOBODY = "nobody@example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One that may be stopped, frozen and filled."""
    made = MariaDb(tmp_path_factory.mktemp("store"), settings={"max_allowed_packet": "1M"})
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def store(server):
    """A store on it, whose patience is short."""
    server.thaw()
    if not server.running:
        server.start()
    made = await on_mariadb(server)
    assert isinstance(made, MysqlStore)
    made._patience = 1.0
    assert made._pool is not None
    made._pool._patience = made._pool._connect = 0.4
    await made._pool.close()
    if made._writer is not None:
        await made._writer.quit()
    yield made
    server.thaw()
    await made.close()


@asynccontextmanager
async def another(server: MariaDb, **options) -> AsyncIterator[MysqlStore]:
    """A second store on the database of the first."""
    made = await on_second(server, **options)
    try:
        yield made
    finally:
        await made.close()


async def on_second(server: MariaDb, **options) -> MysqlStore:
    from tests.store.conftest import _made

    made = store_of(server, _made[server], **options)
    assert isinstance(made, MysqlStore)
    await made.open()
    return made


def put(number: int = 1) -> list[PutBinding]:
    return [PutBinding(binding(cseq=number))]


class TestAway:
    async def test_stopped_and_started(self, server, store):
        assert await store.apply([put()]) == [None]
        server.stop()
        for call in (store.apply([put(2)]), store.news(), store.load_all(), store.load_some([Key("users", ALICE)])):
            with pytest.raises(StoreAway, match="Connection refused"):
                await call
        server.start()
        assert (await store.load_all()).bindings == [binding()]
        assert await store.apply([put(3)]) == [None]

    async def test_restarted_in_between_nobody_notices(self, server, store):
        assert await store.apply([put()]) == [None]
        server.restart()
        assert await store.apply([put(2)]) == [None]
        server.kill()
        server.start()
        assert [row.cseq for row in (await store.load_all()).bindings] == [2], "what was acknowledged outlives kill -9"

    async def test_connections_that_the_server_closed_are_not_noticed_either(self, server, store):
        await store.apply([put()])
        await store.load_all()
        await store.news()
        for number in server.run("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'sipd'").split():
            server.run(f"KILL {number};")
        assert await store.apply([put(2)]) == [None]
        assert await store.news() == []

    async def test_frozen_it_is_away_within_its_patience(self, server, store):
        await store.apply([put()])
        server.freeze()
        began = trio.current_time()
        with pytest.raises(StoreAway, match="no answer within"):
            await store.apply([put(2)])
        assert trio.current_time() - began < 4
        server.thaw()
        assert await store.apply([put(3)]) == [None]
        assert [row.cseq for row in (await store.load_all()).bindings] == [3]

    async def test_frozen_at_its_commit_nobody_knows_and_the_news_tell_it(self, server, store):
        await store.load_all()
        link = store._writer = await store._connected.new_link()
        await link.for_writing()
        really = link._run

        async def freezes(composed, **options):
            if composed == b"COMMIT":
                server.freeze()
            return await really(composed, **options)

        link._run = freezes
        with pytest.raises(CommitUnknown):
            await store.apply([put(7)])
        server.thaw()
        found: list[Key] = []
        with trio.fail_after(10):
            while not found:
                found += await store.news()
                await trio.sleep(0.05)
        assert found == [Key("contacts", ALICE)]
        assert [row.cseq for row in (await store.load_some(found)).bindings] == [7]
        assert await store.apply([put(8)]) == [None]
        assert await store.news() == []

    async def test_read_only(self, server, store):
        await store.apply([put()])
        server.read_only(True)
        try:
            with pytest.raises(StoreAway, match="read-only"):
                await store.apply([put(2)])
            assert len((await store.load_all()).bindings) == 1
        finally:
            server.read_only(False)
        assert await store.apply([put(3)]) == [None]

    async def test_news_are_read_where_nothing_can_be_written_not_even_the_log_cut(self, server, store, monkeypatch):
        await store.load_all()
        await store.apply([put()])
        server.run("UPDATE users SET full_name = 'x' WHERE aor = 'bob@example.com';", database(server))

        async def refused(link, now):
            await link.execute("UPDATE users SET full_name = 'y'")

        monkeypatch.setattr(store._log, "prune", refused)
        server.read_only(True)
        try:
            assert await store.news() == [Key("users", BOB)]
        finally:
            server.read_only(False)

    async def test_no_connection_to_be_had(self, server, store):
        server.run("SET GLOBAL max_connections = 10;")
        held = [socket.create_connection((HERE, server.port)) for _ in range(10)]
        for one in held:
            one.recv(100)
        try:
            with pytest.raises(StoreAway, match=r"(?i)connections"):
                await store.apply([put()])
        finally:
            for one in held:
                one.close()
            server.run("SET GLOBAL max_connections = 151;")
        with trio.fail_after(5):
            while True:
                try:
                    assert await store.apply([put()]) == [None]
                except StoreAway:
                    await trio.sleep(0.05)
                else:
                    break

    async def test_a_lock_that_somebody_holds(self, server, store):
        await store.apply([put()])
        async with another(server) as other:
            link = await other._connected.new_link()
            await link.execute("START TRANSACTION")
            await link.execute("UPDATE contacts SET q = 5")
            with pytest.raises(StoreAway):
                await store.apply([put(2)])
            await link.execute("ROLLBACK")
            assert await store.apply([put(3)]) == [None]
            link.close()

    async def test_cancelled_in_the_middle_nothing_is_left_half(self, server, store):
        async with another(server) as other:
            link = await other._connected.new_link()
            await link.execute("START TRANSACTION")
            await link.execute("UPDATE users SET full_name = 'held'")
            with trio.move_on_after(0.1) as scope:
                await store.apply([[PutPeer(PeerRow("pbx", "192.0.2.7")), PutUser(user(ALICE, full_name="mine"))]])
            assert scope.cancelled_caught
            await link.execute("ROLLBACK")
            link.close()
        assert list((await store.load_all()).peers) == []
        assert await store.apply([put(3)]) == [None]


class TestFull:
    async def test_a_full_database_is_away_for_writers_and_comes_back(self, tmp_path):
        small: dict[str, str | int] = {
            "innodb_data_file_path": "ibdata1:12M:autoextend:max:40M",
            "innodb_file_per_table": 0,
        }
        server = MariaDb(tmp_path / "db", settings=small)
        server.start()
        try:
            store = await on_mariadb(server)
            assert await store.apply([[PutSettings(Settings(script_versions=1000))]]) == [None]

            async def fill() -> None:
                for number in range(400):
                    await store.apply([[PutScript(script(text=bytes([number % 250]) * 200_000))]])

            with pytest.raises(StoreAway, match="full"):
                await fill()
            assert (await contents(store)).scripts, "it can be read"
            assert await store.apply([[DropUser(ALICE)]]) == [None]
            with trio.fail_after(20):
                while True:
                    try:
                        assert await store.apply([[PutScript(script(BOB, text=b"y" * 200_000))]]) == [None]
                    except StoreAway:
                        await trio.sleep(0.2)
                    else:
                        break
            await store.close()
        finally:
            server.stop()


class TestRefused:
    async def test_one_of_many_costs_the_others_nothing(self, store):
        names = [f"{number}@example.com" for number in range(40)]
        await store.apply([[PutUser(user(name)) for name in names]])
        groups = [[Expect(name, 0), PutBinding(binding(name))] for name in names]
        groups[7] = [Expect(names[7], 3), PutBinding(binding(names[7]))]
        groups[20] = [Expect(names[20], 0), PutBinding(binding(names[20], uri="sip:" + "x" * 5000))]
        groups[33] = [Expect(NOBODY, 0), PutBinding(binding(NOBODY))]
        results = await store.apply(groups)
        wrong = [number for number, error in enumerate(results) if error is not None]
        assert wrong == [7, 20, 33]
        assert all(isinstance(results[number], Refused) for number in wrong)
        found = await store.load_all()
        assert {row.aor for row in found.bindings} == set(names) - {names[7], names[20], names[33]}
        assert dict(found.versions) == {name: 1 for number, name in enumerate(names) if number not in wrong}

    async def test_more_than_the_server_takes_in_one_packet(self, store):
        groups = [put(), [PutScript(script(text=b"x" * 1_100_000))], [PutBinding(binding(BOB))]]
        first, second, third = await store.apply(groups)
        assert (first, third) == (None, None)
        assert isinstance(second, Refused)
        assert "max_allowed_packet" in str(second)

    async def test_of_many_bindings_none_is_lost_to_a_small_packet(self, store):
        rows = [binding(uri=f"sip:{number}@h", user_agent="y" * 7000) for number in range(300)]
        assert await store.apply([[PutBinding(row) for row in rows]]) == [None]
        assert len((await store.load_all()).bindings) == 300

    async def test_many_statements_are_not_sent_with_the_patience_of_one(self, store, monkeypatch):
        sent = []
        really = Link._ask

        async def counted(link, composed, **options):  # of any link: one that was given up is followed by another
            sent.append(len(composed))
            return await really(link, composed, **options)

        monkeypatch.setattr(Link, "_ask", counted)
        rows = [PutUser(user(f"{number}@example.com")) for number in range(8000)]
        assert await store.apply([rows]) == [None]
        assert max(sent) <= AT_ONCE < sum(sent)

    @pytest.mark.parametrize("text", ["\U0001f600 ☎ é\u0301", "a\0b\x1a", "'\\\"`%s?", "ß" * 200, " trailing "])
    async def test_text_of_every_kind(self, store, text):
        odd = user(ALICE, full_name=text)
        rows = [PutUser(odd), PutBinding(binding(user_agent=text, uri=f"sip:{text}@h"))]
        assert await store.apply([rows]) == [None]
        found = await store.load_all()
        assert found.users[0] == odd
        assert found.bindings[0].uri == f"sip:{text}@h"

    async def test_names_that_differ_in_little_are_others(self, store):
        names = ["a@example.com", "A@example.com", "ä@example.com", "a @example.com"]
        assert await store.apply([[PutUser(user(name)), PutBinding(binding(name))] for name in names]) == [None] * 4
        assert {row.aor for row in (await store.load_all()).bindings} == set(names)


class TestTwoServers:
    async def test_one_of_each_name(self, server, store):
        long = "n" * 64
        async with another(server, serving=True, name=long):
            with pytest.raises(SetupError, match="another sipd serves as 'n"):
                await on_second(server, serving=True, name=long)
            async with another(server, serving=True, name="other"), another(server):
                pass
        async with another(server, serving=True, name=long):
            pass

    async def test_a_name_is_taken_again_when_the_database_comes_back(self, server, store):
        async with another(server, serving=True, name="a") as first:
            server.restart()
            first._held = -100.0
            await first.load_all()
            await first.news()
            with pytest.raises(SetupError, match="another sipd"):
                await on_second(server, serving=True, name="a")

    async def test_the_second_to_change_what_both_have_read_is_told(self, server, store):
        async with another(server) as other:
            assert await store.apply([[Expect(ALICE, 0), *put(1)]]) == [None]
            [error] = await other.apply([[Expect(ALICE, 0), *put(2)]])
            assert isinstance(error, Refused)
            assert await other.apply([[Expect(ALICE, 1), *put(3)]]) == [None]
            assert [row.cseq for row in (await store.load_all()).bindings] == [3]

    async def test_what_they_do_at_once_comes_out_as_one_after_another(self, server, store):
        names = [f"{number}@example.com" for number in range(30)]
        await store.apply([[PutUser(user(name)) for name in names]])
        won: list[tuple[str, int]] = []

        async def change(one: MysqlStore) -> None:
            for version in range(8):
                results = await one.apply([[Expect(name, version), PutBinding(binding(name))] for name in names])
                won.extend((name, version) for name, error in zip(names, results, strict=True) if error is None)

        async with another(server) as other, trio.open_nursery() as nursery:
            store._patience = 20.0
            other._patience = 20.0
            nursery.start_soon(change, store)
            nursery.start_soon(change, other)
        assert len(won) == len(set(won)), "one version, one winner"
        versions = dict((await store.load_all()).versions)
        assert all(versions[name] == max(v for n, v in won if n == name) + 1 for name in names)


class TestNews:
    async def test_of_another_store_and_of_plain_sql(self, server, store):
        await store.load_all()
        async with another(server) as other:
            await other.load_all()
            await other.apply([put()])
            server.run("UPDATE users SET full_name = 'x' WHERE aor = 'bob@example.com';", database(server))
            assert await store.news() == [Key("contacts", ALICE), Key("users", BOB)]
            assert await store.news() == []
            assert await other.news() == [Key("users", BOB)]

    async def test_before_all_rows_were_loaded_none_can_be_told(self, server, store):
        assert await store.news() is None

    async def test_an_emptied_log_is_another_log(self, server, store):
        await store.apply([put()])
        await store.load_all()
        assert await store.news() == []
        server.run("DELETE FROM change_log;", database(server))
        assert await store.news() is None
        await store.load_all()
        assert await store.news() == []


def database(server: MariaDb) -> str:
    from tests.store.conftest import _made

    return _made[server]


def changed(count: int) -> str:
    """So many lines of the change log, each of another user."""
    lines = ", ".join(f"('', 'users', '{number}', 0)" for number in range(count))
    return f"INSERT INTO change_log (origin, what, name, changed_at) VALUES {lines};"


class TestChangeLog:
    """On connections of its own, and on a clock that the tests turn."""

    @pytest.fixture
    async def links(self, server, store):
        made = [
            await open_link(HERE, server.port, Login(USER, PASSWORD, database(server)), seconds=5, origin=origin)
            for origin in ("ours", "theirs", "third")
        ]
        yield made
        for link in made:
            link.close()

    @staticmethod
    async def rename(link, name: str) -> None:
        await link.execute("REPLACE INTO peers (name, matches, gateway_class) VALUES (?, 'x', '')", (name,))

    async def test_a_lower_number_that_comes_late(self, links):
        ours, theirs, third = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        await theirs.execute("START TRANSACTION")
        await self.rename(theirs, "slow")
        await self.rename(third, "quick")
        assert await log.news(ours, 100.2) == [Key("peers", "quick")]
        assert await log.news(ours, 100.4) == []
        await theirs.execute("COMMIT")
        assert await log.news(ours, 100.6) == [Key("peers", "slow")]
        assert await log.news(ours, 100.8) == []

    async def test_one_that_comes_very_late(self, links):
        ours, theirs, third = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        await theirs.execute("START TRANSACTION")
        await self.rename(theirs, "slow")
        now = 100.0
        while now < 100 + DEEP / 2:
            now += 1.0
            await self.rename(third, f"quick {now}")
            assert await log.news(ours, now) == [Key("peers", f"quick {now}")]
        await theirs.execute("COMMIT")
        found: list[Key] = []
        for _ in range(int(COUNT) + 2):
            now += 1.0
            found += await log.news(ours, now) or ()
        assert found == [Key("peers", "slow")]

    async def test_one_that_was_under_way_when_all_was_loaded(self, links):
        ours, theirs, _ = links
        await theirs.execute("START TRANSACTION")
        await self.rename(theirs, "slow")
        await self.rename(ours, "own")
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        await theirs.execute("COMMIT")
        assert await log.news(ours, 100.2) == [Key("peers", "slow")]

    async def test_what_ended_without_an_answer_is_news_of_the_old_name(self, links):
        ours, theirs, _ = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        await self.rename(ours, "before")
        assert await log.news(ours, 100.2) == []
        before = log.last
        await self.rename(ours, "unknown")
        log.renamed("ours-1", before)
        assert await log.news(ours, 100.4) == [Key("peers", "unknown")]
        await self.rename(theirs, "other")
        assert await log.news(ours, 100 + NEAR) == [Key("peers", "other")]
        assert await log.news(ours, 100 + COUNT + 1) == [], "and nothing older comes back with the count"

    async def test_when_nobody_asked_for_long_none_can_be_told(self, links):
        ours, theirs, _ = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        log._asked -= int(KEPT / 2) + 1
        await self.rename(theirs, "x")
        assert await log.news(ours, 101.0) is None
        assert await log.news(ours, 102.0) is None, "until all is loaded"
        await log.loaded(ours, 103.0)
        assert await log.news(ours, 104.0) == []

    async def test_too_many_are_not_told_one_by_one(self, links, server):
        ours, _, _ = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        server.run(
            changed(MOST_NEWS + 1),
            database(server),
        )
        assert await log.news(ours, 101.0) is None

    async def test_many_that_were_told_are_no_reason_to_load_all(self, links, server):
        ours, _, _ = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        for turn in range(4):
            server.run(
                changed(MOST_NEWS // 2),
                database(server),
            )
            found = await log.news(ours, 100.5 + turn / 4)
            assert found is not None
            assert len(found) == MOST_NEWS // 2

    async def test_old_lines_are_removed_and_the_last_one_stays(self, links, server):
        ours, theirs, _ = links
        log = ChangeLog("ours")
        await log.loaded(ours, 100.0)
        for number in range(5):
            await self.rename(theirs, f"{number}")
            await log.news(ours, 100.0 + number)
        count = "SELECT COUNT(*) FROM change_log"
        there = (await ours.fetch(count))[0][0]
        await log.prune(ours, 100 + KEPT - 1)
        assert (await ours.fetch(count))[0][0] == there, "whoever has not looked since may still want them"
        now = 100 + KEPT + PRUNE + 100
        log._asked = 2**40
        assert await log.news(ours, now) == []
        await log.prune(ours, now)
        assert (await ours.fetch(count))[0][0] == 1
        await self.rename(theirs, "after")
        assert await log.news(ours, now + 1) == [Key("peers", "after")]


class TestSetup:
    """What a person can mend is said, with what to do, and without the password."""

    @staticmethod
    async def said(url: str, *, makes: bool = False) -> str:
        store = open_store(parse_url(url, base=Path("/")))
        with pytest.raises(SetupError) as caught:
            await (create(store, ["example.com"]) if makes else store.open())
        await store.close()
        assert PASSWORD not in str(caught.value)
        return str(caught.value)

    async def test_a_wrong_password(self, mariadb):
        said = await self.said(mariadb.url("sip", password="wrong-s3cret"))
        assert "Access denied" in said
        assert "password of the database URL" in said
        assert "s3cret" not in said

    async def test_an_unknown_database(self, mariadb):
        said = await self.said(mariadb.url("sip_nowhere"))
        assert "CREATE DATABASE sip_nowhere" in said

    async def test_no_rights(self, mariadb):
        mariadb.run("CREATE DATABASE IF NOT EXISTS others;")
        assert "GRANT ALL ON others.* TO sipd" in await self.said(mariadb.url("others"))

    async def test_an_empty_database(self, mariadb):
        assert "db init" in await self.said(mariadb.url(mariadb.new_database()))

    async def test_another_programs_database(self, mariadb):
        name = mariadb.new_database()
        mariadb.run("CREATE TABLE users (a INT);", name)
        assert "another program" in await self.said(mariadb.url(name))
        assert "another program" in await self.said(mariadb.url(name), makes=True)

    async def test_a_database_that_is_there_is_not_made_again(self, mariadb, shared):
        before = await contents(shared)
        assert await shared.exists()
        assert "there already" in await self.said(mariadb.url(database(mariadb)), makes=True)
        assert await contents(shared) == before

    async def test_triggers_that_a_server_with_a_binary_log_does_not_permit(self, tmp_path):
        server = MariaDb(tmp_path / "db", settings={"log_bin": "bin", "server_id": 1})
        server.start()
        try:
            name = server.new_database()
            assert "log_bin_trust_function_creators" in await self.said(server.url(name), makes=True)
            server.run("SET GLOBAL log_bin_trust_function_creators = 1;")
            store = store_of(server, name)
            assert not await store.exists(), "half made is not there"
            await create(store, ["example.com"], more=USERS)
            assert await store.apply([put()]) == [None]
            await store.close()
        finally:
            server.stop()

    async def test_a_server_that_is_not_there_is_away(self):
        store = open_store(parse_url(f"sql://a:s3cret@{HERE}:{free_port()}/sip", base=Path("/")))
        with pytest.raises(StoreAway, match="Connection refused") as caught:
            await store.open()
        assert "s3cret" not in str(caught.value)

    async def test_the_second_host_where_the_first_is_not_there(self, mariadb, shared):
        url = mariadb.url(database(mariadb)).replace("@", f"@{HERE}:{free_port()},", 1)
        store = open_store(parse_url(url, base=Path("/")))
        await store.open()
        assert (await store.load_all()).settings == [Settings()]
        assert await store.apply([put()]) == [None]
        await store.close()
