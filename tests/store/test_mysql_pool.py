"""Connections that are lent: never a broken one, never more than it says, to a server that works."""

from __future__ import annotations

import random

import pytest
import trio

from sipd.store.mysql_link import CommitLost
from sipd.store.mysql_pool import Pool, Unreachable
from sipd.store.mysql_wire import Gone, Login, Trouble
from tests.mariadb import PASSWORD, USER, MariaDb
from tests.running import HERE, free_port
from tests.store.mysql_peer import listening


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two servers of their own, which these tests stop and freeze; both run when a test begins."""
    made = [MariaDb(tmp_path_factory.mktemp(f"pool{number}")) for number in range(2)]
    for server in made:
        server.start()
    yield made
    for server in made:
        server.stop()


@pytest.fixture
def running(two):
    yield two
    for server in two:
        server.thaw()
        if not server.running:
            server.start()


@pytest.fixture
async def pools():
    """Makes pools, and closes them at the end."""
    made: list[Pool] = []

    def make(*servers: MariaDb, **options) -> Pool:
        hosts = [(HERE, server.port) for server in servers]
        made.append(Pool(hosts, Login(USER, PASSWORD, options.pop("database", "")), **options))
        return made[-1]

    yield make
    for pool in made:
        await pool.close()


async def ask(pool: Pool, statement: str = "SELECT @@port"):
    async with pool.link() as link:
        return (await link.fetch(statement))[0][0]


class TestLending:
    async def test_the_same_one_again(self, mariadb, pools):
        pool = pools(mariadb)
        assert [await ask(pool) for _ in range(3)] == [mariadb.port] * 3
        assert (pool.opened, pool.idle) == (1, 1)

    async def test_an_error_of_sql_harms_nothing(self, mariadb, pools):
        pool = pools(mariadb)
        with pytest.raises(Trouble):
            await ask(pool, "SELECT nothing_of_the_kind")
        assert await ask(pool) == mariadb.port
        assert pool.opened == 1

    async def test_what_left_a_transaction_by_an_exception_never_comes_back(self, mariadb, pools):
        pool = pools(mariadb)

        async def fails() -> None:
            async with pool.link() as link, link.tx():
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        assert pool.idle == 0
        assert await ask(pool) == mariadb.port
        assert pool.opened == 2

    async def test_nobody_gets_more_than_there_are(self, mariadb, pools):
        pool = pools(mariadb, size=1)
        async with pool.link():
            with trio.move_on_after(0.1) as scope:
                await ask(pool)
            assert scope.cancelled_caught
        assert await ask(pool) == mariadb.port

    async def test_two_tasks_on_one_are_told(self, mariadb, pools):
        pool = pools(mariadb)

        async def both() -> None:
            async with pool.link() as link, trio.open_nursery() as nursery:
                nursery.start_soon(link.fetch, "SELECT SLEEP(0.1)")
                nursery.start_soon(link.fetch, "SELECT SLEEP(0.1)")

        with pytest.RaisesGroup(RuntimeError):
            await both()


class TestAfterTrouble:
    async def test_one_that_the_server_closed_is_not_lent(self, mariadb, pools):
        pool = pools(mariadb, rested=0)
        number = await ask(pool, "SELECT CONNECTION_ID()")
        mariadb.run(f"KILL {number};")
        assert await ask(pool, "SELECT CONNECTION_ID()") != number

    async def test_restarted(self, running, pools):
        pool = pools(running[0], rested=0)
        await ask(pool)
        running[0].restart()
        assert await ask(pool) == running[0].port

    async def test_stopped(self, running, pools):
        pool = pools(running[0], rested=0)
        await ask(pool)
        running[0].stop()
        with pytest.raises(Unreachable, match="refused"):
            await ask(pool)
        running[0].start()
        assert await ask(pool) == running[0].port

    async def test_frozen(self, running, pools):
        pool = pools(running[0], connect=0.2, patience=0.2)
        await ask(pool)
        running[0].freeze()
        with pytest.raises(Gone, match=r"no answer within 0\.2 s"):
            await ask(pool)
        with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
            await ask(pool)
        running[0].thaw()
        assert await ask(pool) == running[0].port

    async def test_a_commit_without_an_answer_is_not_taken_for_none(self, running, pools):
        name = running[0].new_database()
        running[0].run("CREATE TABLE t (a INT) ENGINE=InnoDB;", name)
        pool = pools(running[0], database=name, patience=0.2)

        async def commits() -> None:
            async with pool.link() as link, link.tx():
                await link.execute("INSERT INTO t VALUES (1)")
                running[0].freeze()

        with pytest.raises(CommitLost):
            await commits()
        running[0].thaw()
        assert pool.idle == 0


class TestSeveralHosts:
    async def test_the_first_that_works(self, running, pools):
        pool = pools(*running)
        assert await ask(pool) == running[0].port
        running[0].stop()
        pool.forget()
        assert await ask(pool) == running[1].port
        running[0].start()
        pool.forget()
        assert await ask(pool) == running[1].port, "kept to"

    async def test_past_one_that_is_frozen(self, running, pools):
        pool = pools(*running, connect=0.5, rested=0)
        running[0].freeze()
        assert await ask(pool) == running[1].port

    async def test_past_one_that_says_nothing(self, running, pools):
        async def silent(peer):
            await peer.hear()

        async with listening(silent) as (port, _):
            pool = Pool([(HERE, port), (HERE, running[0].port)], Login(USER, PASSWORD, ""), connect=0.3)
            assert await ask(pool) == running[0].port
            await pool.close()

    async def test_all_are_named_when_none_works(self):
        ports = [free_port(), free_port()]
        pool = Pool([(HERE, port) for port in ports], Login(USER, "s3cret", ""))
        with pytest.raises(Unreachable) as caught:
            await ask(pool)
        assert [host for host, _ in caught.value.troubles] == [f"{HERE}:{port}" for port in ports]
        assert "s3cret" not in f"{caught.value} {pool!r}"


async def test_whatever_is_cancelled_the_others_get_their_own_answer(running, pools):
    """200 tasks on 4 connections, a hundred of them cancelled at random, the server restarted in the middle."""
    server = running[0]
    name = server.new_database()
    server.run("CREATE TABLE t (a INT, b INT) ENGINE=InnoDB;", name)
    pool = pools(server, database=name, rested=0.05)
    chance = random.Random(5)
    right, cancelled, away = [], [], []

    async def task(number: int) -> None:
        own = random.Random(number)
        for turn in range(10):
            value = number * 1000 + turn
            with trio.move_on_after(own.choice([0.004, 0.02, 30])) as scope:
                try:
                    async with pool.link() as link:
                        if own.random() < 0.3:
                            async with link.tx():
                                await link.execute("INSERT INTO t VALUES (?, ?)", (value, value))
                                await link.execute("INSERT INTO t VALUES (?, ?)", (value, -value))
                        rows = await link.fetch("SELECT ?, REPEAT('x', ?)", (value, value % 5000))
                        assert rows == [(value, "x" * (value % 5000))], "somebody else's answer"
                        right.append(value)
                except (Trouble, Unreachable, CommitLost):
                    away.append(value)
                    await trio.sleep(0.05)
            if scope.cancelled_caught:
                cancelled.append(value)

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(task, number)
        await trio.sleep(chance.uniform(0.2, 0.4))
        await trio.to_thread.run_sync(server.restart)
    assert len(right) > 200
    assert len(cancelled) > 100
    halves = server.ask("SELECT COUNT(*) FROM (SELECT a FROM t GROUP BY a HAVING COUNT(*) <> 2) AS x", name)
    assert halves == "0\n", "a transaction came in two"
    assert server.connections() <= 4
