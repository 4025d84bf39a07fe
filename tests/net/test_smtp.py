"""Mails on their way to a real mail server (aiosmtpd): who gets them, what is tried again, and that it ends."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest
import trio
import trustme

from sipd.net import smtp
from sipd.net.smtp import MailServer as To
from sipd.net.smtp import Post, Tried, carry
from tests.net.mail_server import MailServer

DATA = b"From: s@example.com\r\nTo: a@example.com\r\nSubject: x\r\n\r\nHello\r\n.\r\n..two\r\n"
POST = Post("s@example.com", ("a@example.com", "b@example.com"), DATA)


@pytest.fixture
def server():
    with MailServer() as made:
        yield made


async def send(server, *posts, host: str = "127.0.0.1", authorities: str = "", seconds: float = 5) -> list[Tried]:
    with trio.fail_after(8):
        return await carry(To(host, server.port, authorities, "sip.example.com"), posts, seconds)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("localhost", "localhost", 25), ("mail.example.com:587", "mail.example.com", 587),
     ("192.0.2.1:25", "192.0.2.1", 25), ("[2001:db8::1]", "2001:db8::1", 25),
     ("[2001:db8::1]:2525", "2001:db8::1", 2525)],
)  # fmt: skip
def test_where_a_setting_leads(text, host, port):
    assert To.from_text(text)[:2] == (host, port)


async def test_a_mail_arrives_as_it_is(server):
    assert await send(server, POST) == [Tried()]
    [got] = server.got
    assert (got.sender, got.recipients) == ("s@example.com", ["a@example.com", "b@example.com"])
    assert got.data == DATA, "dots and all"


async def test_complaints_may_go_nowhere(server):
    """RFC 3834 §3.3: with the null sender nothing can come back, so nothing can loop."""
    assert await send(server, POST._replace(sender="")) == [Tried()]
    assert server.got[0].sender == ""


async def test_several_go_by_one_connection(server):
    posts = [POST._replace(recipients=(f"user{number}@example.com",)) for number in range(10)]
    assert await send(server, *posts) == [Tried()] * 10
    assert (len(server.got), server.connections) == (10, 1)


@pytest.mark.parametrize(
    ("says", "tried"),
    [
        ({("RCPT", "b@example.com"): "550 no such user"}, Tried((), ("b@example.com",), "550 no such user")),
        ({("RCPT", "b@example.com"): "450 greylisted"}, Tried(("b@example.com",), (), "450 greylisted")),
        ({"RCPT": "550 no"}, Tried((), POST.recipients, "550 no")),
        ({"RCPT": "452 full"}, Tried(POST.recipients, (), "452 full")),
        ({"MAIL": "550 not from you"}, Tried((), POST.recipients, "550 not from you")),
        ({"MAIL": "451 later"}, Tried(POST.recipients, (), "451 later")),
        ({"DATA": "554 spam"}, Tried((), POST.recipients, "554 spam")),
        ({"DATA": "451 later"}, Tried(POST.recipients, (), "451 later")),
    ],
)
async def test_what_is_refused_for_good_and_what_for_now(server, says, tried):
    server.says = says
    after = Post("s@example.com", ("c@example.com",), DATA)
    assert (await send(server, POST, after))[0] == tried
    server.says = {}
    assert await send(server, after) == [Tried()]


async def test_nobody_there_is_a_matter_of_time():
    with MailServer() as gone:
        pass
    [tried] = await send(gone, POST)
    assert tried.again == POST.recipients
    assert "refused" in tried.why.lower()


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_server_that_falls_silent_is_left(server, command):
    server.says = {command: None}
    start = time.monotonic()
    tried = await send(server, POST, POST, seconds=0.3)
    assert time.monotonic() - start < 3
    assert [each.again for each in tried] == [POST.recipients] * 2


async def test_a_server_that_never_speaks_is_left(server):
    server.silent = True
    [tried] = await send(server, POST, seconds=0.3)
    assert (tried.again, tried.why) == (POST.recipients, "no answer in time")


class Talker:
    """A mail server whose greeting does not end."""

    def __init__(self, line: bytes, pause: float) -> None:
        self._line = line
        self._pause = pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.left_alone = threading.Event()
        threading.Thread(target=self._talk, daemon=True).start()

    def _talk(self) -> None:
        with self._listener, self._listener.accept()[0] as stream, suppress(OSError):
            stream.settimeout(5)
            while True:
                stream.sendall(self._line)
                time.sleep(self._pause)
        self.left_alone.set()


async def test_a_greeting_a_byte_at_a_time_keeps_no_thread():
    """Each answer byte comes in time, but the greeting never ends: the connection is cut all the same."""
    slow = Talker(b"2", 0.02)
    [tried] = await send(slow, POST, seconds=0.3)
    assert (tried.again, tried.why) == (POST.recipients, "no answer in time")
    assert await trio.to_thread.run_sync(slow.left_alone.wait, 5), "a thread is still listening"


async def test_a_greeting_that_never_ends_is_not_kept():
    loud = Talker(b"220-" + b"x" * 996 + b"\r\n", 0)
    start = time.monotonic()
    [tried] = await send(loud, POST, seconds=5)
    assert "does not end" in tried.why
    assert time.monotonic() - start < 3


async def test_what_has_gone_is_not_sent_again_when_a_later_one_hangs(server):
    server.says = {("RCPT", "slow@example.com"): None}
    tried = await send(server, POST, POST._replace(recipients=("slow@example.com",)), seconds=0.5)
    assert tried == [Tried(), Tried(("slow@example.com",), (), tried[1].why)]


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def context_of(authority, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_starttls_is_used_where_it_is_offered(authority):
    """On this machine and on port 25 whatever the certificate is worth (RFC 7435)."""
    with MailServer(context_of(authority, "else.example.com")) as server:
        assert await send(server, POST) == [Tried()]
        assert server.got[0].encrypted


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(("names", "known", "good"), [
    (["localhost"], True, True), (["else.example.com"], True, False), (["localhost"], False, False),
])  # fmt: skip
async def test_on_other_ports_it_must_be_good(authority, tmp_path, monkeypatch, names, known, good, implicit):
    monkeypatch.setattr(smtp, "LOOPBACK", frozenset())
    with MailServer(context_of(authority, *names), tls_from_the_start=implicit) as server:
        monkeypatch.setattr(smtp, "SUBMISSIONS", server.port if implicit else 465)
        [tried] = await send(server, POST, host="localhost", authorities=str(tmp_path / "ca.pem") if known else "")
        assert [got.encrypted for got in server.got] == ([True] if good else [])
        if good:
            assert tried == Tried()
        else:
            assert tried.again == POST.recipients
            assert "certificate" in tried.why.lower()
