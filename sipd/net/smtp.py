"""Hands mails to the mail server: one connection for a few of them, in a thread, and it never takes for ever.

On port 25, and on this machine, STARTTLS is used where the server offers it,
whatever its certificate is worth, as between mail servers (RFC 7435). On any
other port a certificate must be good; 465 is TLS from the start (RFC 8314).
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

PORT: Final = 25
SUBMISSIONS: Final = 465

STEP: Final = 20.0
"""Seconds that connecting, and each answer of the server, may take."""

SESSION: Final = 120.0
"""Seconds for all of one connection."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

MOST_SAID: Final = 65536
"""Bytes of one answer of the server."""


class MailServer(NamedTuple):
    """Where mails go."""

    host: str
    port: int = PORT
    authorities: str = ""  # PEM file of those whose certificates are good; empty: the system's
    own_name: str = "localhost"  # what we call ourselves

    @classmethod
    def from_text(cls, text: str, authorities: str = "", own_name: str = "localhost") -> MailServer:
        """The server of `host` or `host:port`, an IPv6 address in brackets. Raises ValueError for no port."""
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port = text, ""
        return cls(host.strip("[]"), int(port or PORT), authorities, own_name)

    @property
    def trusts_blindly(self) -> bool:
        """Whether any certificate will do."""
        return self.port == PORT or self.host.lower() in LOOPBACK


class Post(NamedTuple):
    """One mail on its way: the envelope and the message."""

    sender: str  # where complaints go; empty: nowhere (RFC 3834 §3.3)
    recipients: tuple[str, ...]
    data: bytes


class Tried(NamedTuple):
    """What a try came to."""

    again: tuple[str, ...] = ()  # those who may be tried later
    refused: tuple[str, ...] = ()  # those who never will be
    why: str = ""  # the server's words, or ours


class _Plain(smtplib.SMTP):
    """A client that does not listen for ever, and that its session knows before it connects."""

    def __init__(self, session: Session, server: MailServer) -> None:
        session.smtp = self  # so that a greeting that never ends can be cut, too
        super().__init__(server.host, server.port, server.own_name, timeout=STEP)

    def getreply(self) -> tuple[int, bytes]:
        """One answer, all its lines. Raises SMTPServerDisconnected when it does not end."""
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        if isinstance(self.file, _Bounded):
            self.file.left = MOST_SAID
        return super().getreply()


class _OverTls(_Plain, smtplib.SMTP_SSL):
    """The same, TLS from the start."""

    def __init__(self, session: Session, server: MailServer, context: ssl.SSLContext) -> None:
        session.smtp = self
        smtplib.SMTP_SSL.__init__(self, server.host, server.port, server.own_name, timeout=STEP, context=context)


class _Bounded:
    """The lines that come, so many bytes at most."""

    def __init__(self, file: BinaryIO) -> None:
        self.left = MOST_SAID
        self._file = file

    def readline(self, most: int) -> bytes:
        """The next line. Raises OSError when that is too much."""
        line = self._file.readline(most)
        self.left -= len(line)
        if self.left < 0:
            raise OSError("its answer does not end")
        return line

    def close(self) -> None:
        """Close it."""
        self._file.close()


class Session:
    """One connection to a mail server. `run` is for a thread; `stop` ends it from outside."""

    def __init__(self, server: MailServer, posts: Sequence[Post]) -> None:
        self.tried: list[Tried] = []  # of the posts so far, in their order
        self._server = server
        self._posts = posts
        self.smtp: smtplib.SMTP | None = None  # as soon as it begins to connect
        self._stopped = False

    def run(self) -> None:
        """Send all. Raises nothing that the server, or the way there, has caused: `tried` tells."""
        try:
            smtp = self._open()
        except (OSError, smtplib.SMTPException, ValueError) as fault:
            why = "no answer in time" if self._stopped else _words(fault)
            self.tried = [Tried(post.recipients, (), why) for post in self._posts]
            return
        for post in self._posts:
            if self._stopped:
                break
            if smtp.sock is None:  # it hung up: the others come with another connection
                self.tried.append(Tried(post.recipients, (), "the mail server hung up"))
            else:
                self.tried.append(_send(smtp, post))
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        smtp.close()

    def _open(self) -> smtplib.SMTP:
        server = self._server
        if server.port == SUBMISSIONS:
            smtp: smtplib.SMTP = _OverTls(self, server, self._tls())
        else:
            smtp = _Plain(self, server)
        smtp.ehlo_or_helo_if_needed()
        if server.port != SUBMISSIONS and smtp.has_extn("starttls"):
            smtp.starttls(context=self._tls())
            smtp.ehlo()
        return smtp

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._server.authorities or None)
        if self._server.trusts_blindly:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def stop(self) -> None:
        """Cut the connection: `run` ends soon."""
        self._stopped = True
        sock = getattr(self.smtp, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


async def carry(server: MailServer, posts: Sequence[Post], seconds: float = SESSION) -> list[Tried]:
    """Hand these to the server; what each came to, in their order. Raises nothing that the server has caused."""
    session = Session(server, posts)
    with trio.move_on_after(seconds):  # the life of one connection
        try:
            await trio.to_thread.run_sync(session.run, abandon_on_cancel=True)
        finally:
            session.stop()  # a thread left behind ends by that
    tried = list(session.tried)
    return tried + [Tried(post.recipients, (), "no answer in time") for post in posts[len(tried) :]]


def _send(smtp: smtplib.SMTP, post: Post) -> Tried:
    try:
        refused = smtp.sendmail(post.sender, post.recipients, post.data)
    except smtplib.SMTPRecipientsRefused as fault:
        refused = fault.recipients
    except smtplib.SMTPResponseException as fault:
        refused = {who: (fault.smtp_code, _bytes(fault.smtp_error)) for who in post.recipients}
    except (OSError, smtplib.SMTPException, ValueError) as fault:
        smtp.close()
        return Tried(post.recipients, (), _words(fault))
    for_good = tuple(who for who, (code, _) in refused.items() if 500 <= code < 600)
    later = tuple(who for who in refused if who not in for_good)
    said = next(iter(refused.values()), None)
    return Tried(later, for_good, "" if said is None else _answer(*said))


def _answer(code: int, words: bytes) -> str:
    return f"{code} {words.decode('ascii', 'replace')}"[:200]


def _bytes(words: bytes | str) -> bytes:
    return words if isinstance(words, bytes) else words.encode("utf-8", "replace")


def _words(fault: Exception) -> str:
    if isinstance(fault, smtplib.SMTPResponseException):
        return _answer(fault.smtp_code, _bytes(fault.smtp_error))
    return f"{type(fault).__name__}: {fault}"[:200]
