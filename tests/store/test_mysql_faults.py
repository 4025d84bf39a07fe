"""The nine faults of trio-mysql 1.0.3: each reproduced with it alone, and gone with ours on top of it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
import trio_mysql

from sipd.store.mysql_link import Link, open_link
from sipd.store.mysql_pool import Pool
from sipd.store.mysql_wire import Gone, Login, Wire
from tests.mariadb import PASSWORD, USER, MariaDb
from tests.running import HERE
from tests.store.mysql_peer import FAST_OK, FULL, OK, RsaKey, caching_proof, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_mysql import Connection

SOON = 0.3
"""Seconds that are long enough for what comes at all."""


@pytest.fixture(scope="module")
def frozen_now_and_then(tmp_path_factory):
    """A server that these tests may freeze."""
    made = MariaDb(tmp_path_factory.mktemp("faults"), settings={"max_allowed_packet": "64M"})
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def streams(monkeypatch):
    """Closes what trio-mysql leaves open (fault 8)."""
    opened = []
    really = trio.open_tcp_stream

    async def noted(*where, **options):
        opened.append(await really(*where, **options))
        return opened[-1]

    monkeypatch.setattr(trio, "open_tcp_stream", noted)
    yield
    for stream in opened:
        stream.socket.close()


@asynccontextmanager
async def plain(server: MariaDb, database: str, **options) -> AsyncIterator[Connection]:
    """A connection of trio-mysql as it comes."""
    made = trio_mysql.connect(
        host=HERE, port=server.port, user=USER, password=PASSWORD, database=database, **{"autocommit": True, **options}
    )
    await made.connect()
    stream = made._sock
    try:
        yield made
    finally:
        assert isinstance(stream, trio.SocketStream)
        stream.socket.close()


@asynccontextmanager
async def ours(server: MariaDb, database: str) -> AsyncIterator[Link]:
    made = await open_link(HERE, server.port, Login(USER, PASSWORD, database), seconds=5)
    try:
        yield made
    finally:
        made.close()


async def asked(connection: Connection, statement: str):
    async with connection.cursor() as cursor:
        await cursor.execute(statement)
        return await cursor.fetchall()


@pytest.fixture
def database(mariadb):
    name = mariadb.new_database()
    mariadb.run("CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB;", name)
    return name


class TestOneTypes:
    async def test_the_fault(self, mariadb, database):
        async with plain(mariadb, database) as connection:
            assert await asked(connection, "SELECT 'text'") == ((b"text",),)
            with pytest.raises(TypeError):
                await asked(connection, "SELECT 2.5")

    async def test_the_cure(self, mariadb, database):
        async with ours(mariadb, database) as link:
            [row] = await link.fetch("SELECT 'text', 2.5, 1, 2.5e0, x'00ff', NULL, CURRENT_DATE = 0")
            assert row == ("text", Decimal("2.5"), 1, 2.5, b"\x00\xff", None, 0)
            assert [type(value) for value in row[1:4]] == [Decimal, int, float]


class TestTwoCancelledWrite:
    LONG = "SELECT '" + "x" * 30_000_000 + "'"

    async def test_the_fault(self, frozen_now_and_then):
        server = frozen_now_and_then
        async with plain(server, "") as connection:
            server.freeze()
            with trio.move_on_after(SOON) as scope:
                await asked(connection, self.LONG)
            server.thaw()
            assert scope.cancelled_caught
            assert connection.open, "as if nothing had happened"
            with trio.move_on_after(SOON) as scope:
                assert await asked(connection, "SELECT 1") != ((1,),)
            assert scope.cancelled_caught, "it went into the rest of the long one"

    async def test_the_cure(self, frozen_now_and_then):
        server = frozen_now_and_then
        async with ours(server, "") as link:
            server.freeze()
            with trio.move_on_after(SOON) as scope:
                await link.fetch(self.LONG)
            server.thaw()
            assert scope.cancelled_caught
            assert not link.usable
            with pytest.raises(Gone, match="closed"):
                await link.fetch("SELECT 1")


class TestThreeCancelledTransaction:
    async def test_the_fault(self, mariadb, database):
        async with plain(mariadb, database) as connection:
            with trio.CancelScope() as scope:
                async with connection.transaction():
                    await asked(connection, "INSERT INTO t VALUES (1)")
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            await connection.begin()
        assert mariadb.ask("SELECT a FROM t", database) == "1\n", "what was abandoned is there"

    async def test_the_cure(self, mariadb, database):
        async with ours(mariadb, database) as link:
            with trio.CancelScope() as scope:
                async with link.tx():
                    await link.execute("INSERT INTO t VALUES (?)", (1,))
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            assert not link.usable
            with pytest.raises(Gone):
                await link.execute("START TRANSACTION")
        assert mariadb.ask("SELECT a FROM t", database) == ""
        mariadb.ask("INSERT INTO t VALUES (1)", database)  # no lock is left

    async def test_a_frozen_server_holds_the_roll_back_for_a_second_only(self, frozen_now_and_then):
        server = frozen_now_and_then
        name = server.new_database()
        server.run("CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB;", name)
        async with ours(server, name) as link:
            began = trio.current_time()

            async def frozen_within() -> None:
                async with link.tx():
                    await link.execute("INSERT INTO t VALUES (1)")
                    server.freeze()
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await frozen_within()
            assert trio.current_time() - began < 3
            server.thaw()
            assert not link.usable
        server.ask("INSERT INTO t VALUES (1)", name)  # closed, and so rolled back


class TestFourCancelledQueryInATransaction:
    async def test_the_fault(self, mariadb, database):
        async with plain(mariadb, database) as connection:

            async def cut() -> None:
                with trio.move_on_after(SOON):
                    async with connection.transaction():
                        await asked(connection, "SELECT SLEEP(2)")

            with pytest.raises(trio_mysql.err.InterfaceError):
                await cut()

    async def test_the_cure(self, mariadb, database):
        async with ours(mariadb, database) as link:
            with trio.move_on_after(SOON) as scope:
                async with link.tx():
                    await link.fetch("SELECT SLEEP(2)")
            assert scope.cancelled_caught


class TestFiveCancelledRead:
    async def test_the_fault(self, mariadb, database):
        async with plain(mariadb, database) as connection:
            with trio.move_on_after(SOON):
                await asked(connection, "SELECT SLEEP(1000) AS plain_one")
            assert not connection.open  # which is safe; the server goes on with it, without an end
        running = mariadb.run("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%plain_one'")
        mariadb.run(f"KILL {int(running)};")

    async def test_the_cure(self, mariadb, database):
        async with ours(mariadb, database) as link:
            limits = dict(
                await link.fetch("SHOW VARIABLES WHERE Variable_name REGEXP '^max_(statement|execution)_time$'")
            )
            assert limits in ({"max_statement_time": "60.000000"}, {"max_execution_time": "60000"})  # MariaDB, MySQL
            with trio.move_on_after(SOON) as scope:
                await link.fetch("SELECT SLEEP(2)")
            assert scope.cancelled_caught
            assert not link.usable


CALLS_TWICE = """
import sys, trio, trio_mysql
async def main(port, user, password, database):
    connection = trio_mysql.connect(host="127.0.0.1", port=port, user=user, password=password, database=database)
    await connection.connect()
    cursor = connection.cursor()
    await cursor.execute("CALL p()")
    print("called", flush=True)
    await connection.query("SELECT 1")
    print("asked", flush=True)
trio.run(main, int(sys.argv[1]), *sys.argv[2:])
"""


class TestSixCallNotDrained:
    @pytest.fixture
    def procedure(self, mariadb, database):
        mariadb.run("CREATE PROCEDURE p() SELECT 1, 2;", database)
        return database

    def test_the_fault(self, mariadb, procedure):
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", CALLS_TWICE, str(mariadb.port), USER, PASSWORD, procedure],
                capture_output=True, timeout=2,
            )  # fmt: skip
        assert caught.value.stdout == b"called\n", "it spins, and nothing else runs"

    async def test_the_cure(self, mariadb, procedure):
        async with ours(mariadb, procedure) as link:
            for _ in range(3):
                assert await link.fetch("CALL p()") == [(1, 2)]
                assert await link.fetch("SELECT 3") == [(3,)]


class TestSevenMySql8:
    """No MySQL 8 is at hand: a server that speaks its log-in, checked against what its documents say."""

    @staticmethod
    async def knows(peer):
        assert caching_proof(PASSWORD) in await peer.greet("caching_sha2_password")
        await peer.say(FAST_OK)
        await peer.say(OK)
        await peer.serve()

    @pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
    async def test_the_fault(self, streams):
        async with listening(self.knows) as (port, _):
            connection = trio_mysql.connect(host=HERE, port=port, user=USER, password=PASSWORD)
            with pytest.raises((trio_mysql.err.MySQLError, AttributeError)), trio.fail_after(2):
                await connection.connect()

    async def test_the_cure(self):
        async with listening(self.knows) as (port, peers):
            wire = await dialled(port)
            await wire.check_alive()
            wire._force_close()
        assert peers[0].heard[-1] == b"\x0e"

    async def test_the_cure_of_the_long_way(self):
        key, heard = RsaKey(), []

        async def asks(peer):
            await peer.greet("caching_sha2_password")
            await peer.say(FULL)
            assert await peer.hear() == b"\2"
            await peer.say(b"\1" + key.pem)
            heard.append(key.password(await peer.hear()))
            await peer.say(OK)
            await peer.serve()

        async with listening(asks) as (port, _):
            wire = await dialled(port)
            await wire.check_alive()
            wire._force_close()
        assert heard == [PASSWORD]


async def dialled(port: int) -> Wire:
    wire = Wire(HERE, port, Login(USER, PASSWORD, "sip"))
    await wire.dial(2)
    return wire


class TestEightGreetingAndClose:
    @staticmethod
    async def silent(peer):
        await peer.hear()

    async def test_the_fault_of_the_greeting(self, streams):
        async with listening(self.silent) as (port, _):
            connection = trio_mysql.connect(host=HERE, port=port, user=USER, password=PASSWORD, connect_timeout=0.05)
            with trio.move_on_after(SOON) as scope:
                await connection.connect()
            assert scope.cancelled_caught, "its own time was over long before"

    async def test_the_cure_of_the_greeting(self):
        async with listening(self.silent) as (port, _):
            with pytest.raises(Gone, match=r"no answer within 0\.05 s"), trio.fail_after(2):
                await open_link(HERE, port, Login(USER, PASSWORD, "sip"), seconds=0.05)

    async def test_the_fault_of_close(self, mariadb, database):
        async with plain(mariadb, database) as connection:
            stream = connection._sock
            connection.close()
            assert isinstance(stream, trio.SocketStream)
            assert stream.socket.fileno() >= 0, "still open"

    async def test_the_cure_of_close(self, mariadb, database):
        async with ours(mariadb, database) as link:
            raw = link._wire._raw
            assert raw is not None
            link.close()
            assert raw.fileno() == -1
            link.close()  # closing twice does no harm


class TestNineTwoTasks:
    async def test_the_fault(self, mariadb, database):
        async with plain(mariadb, database) as connection:
            with pytest.RaisesGroup(trio.BusyResourceError, allow_unwrapped=True, flatten_subgroups=True):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(asked, connection, "SELECT SLEEP(0.1)")
                    nursery.start_soon(asked, connection, "SELECT SLEEP(0.1)")

    async def test_the_cure(self, mariadb, database):
        pool = Pool([(HERE, mariadb.port)], Login(USER, PASSWORD, database), size=2)
        answers = []

        async def ask(number: int) -> None:
            async with pool.link() as link:
                answers.append((await link.fetch("SELECT ?, SLEEP(0.02)", (number,)))[0][0] == number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
        assert answers == [True] * 20
        assert pool.opened == 2
        await pool.close()
