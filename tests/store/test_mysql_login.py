"""Logging in: passwords of every kind, and none that leaves in clear; TLS to the database."""

from __future__ import annotations

import ssl

import pytest
import trio
import trustme

from sipd.store import mysql_login
from sipd.store.mysql_link import open_link
from sipd.store.mysql_wire import Gone, Login, Trouble, Wire
from tests.mariadb import PASSWORD, USER, MariaDb
from tests.running import HERE
from tests.store.mysql_peer import FAST_OK, FULL, OK, SALT, RsaKey, caching_proof, listening, native_proof

SETTINGS: dict[str, str | int] = {"require_secure_transport": 1, "bind-address": "127.0.0.1,127.0.0.2"}
LOGIN = Login(USER, "geheim-пароль", "sip")


async def dialled(port: int, login: Login = LOGIN, host: str = HERE) -> Wire:
    wire = Wire(host, port, login)
    await wire.dial(2)
    return wire


async def said_by(script, login: Login = LOGIN) -> list[bytes]:
    """What a client says that meets this server, up to an end of either kind."""
    async with listening(script) as (port, peers):
        try:
            (await dialled(port, login))._force_close()
        except Trouble as error:
            return [str(error).encode(), *peers[0].heard]
        return peers[0].heard


class TestPasswords:
    async def test_of_any_letters(self, mariadb):
        name, word = "péter", "pässwörd-пароль-☎'\\\""
        quoted = word.replace("\\", "\\\\").replace("'", "''")
        mariadb.run(f"DROP USER IF EXISTS '{name}'@'%'; CREATE USER '{name}'@'%' IDENTIFIED BY '{quoted}';")
        link = await open_link(HERE, mariadb.port, Login(name, word, ""), seconds=5)
        assert await link.fetch("SELECT 1") == [(1,)]
        await link.quit()

    async def test_a_wrong_one_is_said_without_it(self, mariadb):
        with pytest.raises(Trouble) as caught:
            await open_link(HERE, mariadb.port, Login(USER, "s3cret-and-wrong", ""), seconds=5)
        assert caught.value.code == 1045
        assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__} {LOGIN} {LOGIN!r}"
        assert LOGIN.password not in f"{LOGIN} {LOGIN!r}"

    async def test_the_server_may_switch_to_another_way(self):
        other = bytes(range(50, 70))

        async def switches(peer):
            await peer.greet("made_up_plugin")
            await peer.say(b"\xfemysql_native_password\0" + other + b"\0")
            assert await peer.hear() == native_proof(LOGIN.password, other)
            await peer.say(b"\xfecaching_sha2_password\0" + SALT + b"\0")
            assert await peer.hear() == caching_proof(LOGIN.password)
            await peer.say(FAST_OK)
            await peer.say(OK)

        heard = await said_by(switches)
        assert len(heard) == 3

    async def test_sha256_password_on_this_machine(self):
        key, got = RsaKey(), []

        async def asks(peer):
            await peer.greet("sha256_password")
            await peer.say(b"\1" + key.pem)
            got.append(key.password(await peer.hear()))
            await peer.say(OK)

        await said_by(asks)
        assert got == [LOGIN.password]


class TestNothingInClear:
    @pytest.mark.parametrize("plugin", ["mysql_clear_password", "dialog", "mysql_old_password", "client_ed25519"])
    async def test_a_server_that_asks_for_the_password_itself(self, plugin):
        async def asks(peer):
            await peer.greet("mysql_native_password")
            await peer.say(b"\xfe" + plugin.encode() + b"\0" + b"Password: ")
            await peer.hear()

        said, *heard = await said_by(asks)
        assert plugin.encode() in said
        assert LOGIN.password.encode() not in b"".join(heard)
        assert len(heard) == 1 or heard[1] == b""

    async def test_a_key_of_somebody_in_between(self, monkeypatch):
        monkeypatch.setattr(mysql_login, "_is_loopback", lambda wire: False)

        async def asks(peer):
            await peer.greet("caching_sha2_password")
            await peer.say(FULL)
            await peer.hear()

        said, *heard = await said_by(asks)
        assert b"TLS" in said
        assert heard[1:] in ([], [b""])

    async def test_no_log_in_where_tls_was_asked_for_and_is_not_offered(self):
        async def without(peer):
            await peer.greet("mysql_native_password")

        login = Login(USER, LOGIN.password, "sip", ssl.create_default_context(), tls_required=True)
        said, *heard = await said_by(without, login)
        assert b"no TLS" in said
        assert heard in ([], [b""])

    async def test_what_makes_no_sense_ends_it(self):
        async def talks_on(peer):
            await peer.greet("mysql_native_password")
            for _ in range(20):
                await peer.say(b"\xfemysql_native_password\0" + SALT + b"\0")
                await peer.hear()

        said, *heard = await said_by(talks_on)
        assert b"makes no sense" in said
        assert len(heard) < 12

    @pytest.mark.parametrize(
        "greeting", [b"", b"\x0a", b"\x0a8\0", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\xff\x10\x04Too many"]
    )
    async def test_what_is_no_greeting(self, greeting):
        async def greets(peer):
            await peer.say(greeting)
            await peer.hear()

        async with listening(greets) as (port, _):
            with pytest.raises(Gone), trio.fail_after(3):
                await dialled(port)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory):
    made = MariaDb(tmp_path_factory.mktemp("tls"), settings=SETTINGS, tls=authority)
    made.start()
    made.run(f"CREATE USER mutual@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509; GRANT ALL ON `sip%`.* TO mutual@'%';")
    yield made
    made.stop()


class TestTls:
    @staticmethod
    def trusting(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
        return context

    async def test_verified(self, server, authority):
        login = Login(USER, PASSWORD, "", self.trusting(authority), tls_required=True)
        for host in (HERE, "localhost"):
            link = await open_link(host, server.port, login, seconds=5)
            [(_, version)] = await link.fetch("SHOW STATUS LIKE 'Ssl_version'")
            assert version.startswith("TLSv1.")
            assert len((await link.fetch("SELECT REPEAT('x', 1000000)"))[0][0]) == 1_000_000
            await link.quit()

    async def test_of_an_authority_that_is_not_trusted(self, server):
        login = Login(USER, PASSWORD, "", self.trusting(trustme.CA()), tls_required=True)
        with pytest.raises(Gone, match=r"TLS: .*(verif|certificate|issuer)"):
            await open_link(HERE, server.port, login, seconds=5)

    async def test_of_another_name(self, server, authority):
        login = Login(USER, PASSWORD, "", self.trusting(authority), tls_required=True)
        with pytest.raises(Gone, match=r"TLS: .*127\.0\.0\.2"):
            await open_link("127.0.0.2", server.port, login, seconds=5)

    async def test_in_clear_it_wants_none(self, server):
        with pytest.raises(Trouble) as caught:
            await open_link(HERE, server.port, Login(USER, PASSWORD, ""), seconds=5)
        assert caught.value.code in (1045, 3159)

    async def test_a_certificate_of_ours(self, server, authority):
        context = self.trusting(authority)
        with pytest.raises(Trouble):
            await open_link(HERE, server.port, Login("mutual", PASSWORD, "", context, tls_required=True), seconds=5)
        authority.issue_cert("sipd.example.com").configure_cert(context)
        link = await open_link(HERE, server.port, Login("mutual", PASSWORD, "", context, tls_required=True), seconds=5)
        assert await link.fetch("SELECT 1") == [(1,)]
        await link.quit()

    async def test_the_password_of_mysql_8_goes_over_it(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HERE).configure_cert(context)
        got = []

        async def asks(peer):
            await peer.greet("caching_sha2_password", tls=context)
            await peer.say(FULL)
            got.append(await peer.hear())
            await peer.say(OK)

        await said_by(asks, Login(USER, LOGIN.password, "sip", self.trusting(authority), tls_required=True))
        assert got == [LOGIN.password.encode() + b"\0"]
