"""Mails of scripts (RFC 3880 §7.1, T46): queued, bounded, tried again, and never in the way of a call."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
import trio

from sipd.log import EventLog
from sipd.message import parse_address, parse_uri
from sipd.metrics import Counters
from sipd.net.smtp import Post as Envelope
from sipd.net.smtp import Tried, carry
from sipd.rows import Settings
from sipd.script import Facts, Mail
from sipd.server import mailing
from sipd.server.mailing import AGAIN, AT_ONCE, QUEUED, Mailer
from tests.net.mail_server import MailServer
from tests.server.phones import DOMAIN, open_world

OWNER = "bob@example.com"
BOB = f"sip:bob@{DOMAIN}"
MAIL = Mail(("bob@example.org",))
GOOD = Tried()
ON = Settings(mail_server="mail.example.com", mail_from="sipd@example.com", mail_limit=20)


def facts(**more) -> Facts:
    origin = parse_address("Alice <sip:alice@example.com>;tag=1")
    to = parse_address("<sip:bob@example.com>")
    now = datetime(2026, 11, 27, 10, 0, tzinfo=UTC)
    return Facts(OWNER, "incoming", origin, parse_uri(BOB), to, now)._replace(**more)


class Post:
    """A mailer with a mail server that answers as it is told, after `seconds` on the virtual clock."""

    def __init__(self, settings: Settings = ON):
        self.settings = settings
        self.lines: list[str] = []
        self.counters = Counters()
        self.answers: list[Tried | Exception | None] = []  # None: for all, later; when empty: good
        self.seconds = 0.0
        self.tries: list[tuple[float, list[tuple[str, ...]]]] = []
        self.posts: list[Envelope] = []
        self.mailer = Mailer(
            lambda: self.settings, trio.current_time, self.counters, EventLog(self.lines.append), self.carry
        )
        self.start = trio.current_time()

    async def carry(self, server, posts):
        self.tries.append((trio.current_time() - self.start, [post.recipients for post in posts]))
        self.posts += posts
        await trio.sleep(self.seconds)
        answer = self.answers.pop(0) if self.answers else GOOD
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return [Tried(post.recipients, (), "451 later") for post in posts]
        return [answer for _ in posts]

    def post(self, count: int = 1, owner: str = OWNER) -> list[str]:
        return [self.mailer.post(owner, MAIL, facts()) for _ in range(count)]

    @property
    def at(self) -> list[float]:
        return [round(at) for at, _ in self.tries]

    @property
    def counted(self) -> tuple[int, int, int]:
        return self.counters.mails_sent, self.counters.mails_lost, len(self.mailer)


@pytest.fixture
async def post(nursery):
    made = Post()
    await nursery.start(made.mailer.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_a_mail_goes_at_once(post, autojump_clock):
    assert post.post() == ["queued"]
    await trio.sleep(1)
    assert post.at == [0]
    assert post.counted == (1, 0, 0)
    [sent] = post.posts
    assert (sent.sender, sent.recipients) == ("sipd@example.com", ("bob@example.org",))
    assert b"From: sipd@example.com\r\n" in sent.data
    assert b"Auto-Submitted: auto-generated\r\n" in sent.data
    assert b"@example.com>\r\n" in sent.data.partition(b"Message-ID: ")[2]


async def test_without_mail_from_it_is_its_owners_and_complaints_go_nowhere(post, autojump_clock):
    post.settings = ON._replace(mail_from="")
    post.post()
    post.post(owner="bad address@example.com")
    await trio.sleep(1)
    [sent] = post.posts
    assert sent.sender == ""
    assert b"From: bob@example.com\r\n" in sent.data
    assert post.counted == (1, 1, 0)
    assert "mail_from" in post.lines[0]


async def test_a_mail_server_that_can_not_be_read_costs_its_mails_and_not_the_server(post, autojump_clock):
    post.settings = ON._replace(mail_server="mail.example.com:smtp")  # written past sipdctl
    post.post()
    await trio.sleep(1)
    assert post.counted == (0, 1, 0)
    post.settings = ON
    post.post()
    await trio.sleep(1)
    assert post.counted == (1, 1, 0)


async def test_what_can_not_go_now_is_tried_five_times_in_an_hour(post, autojump_clock):
    post.answers = [None] * 9
    post.post()
    await trio.sleep(2 * 3600)
    assert post.at == [0, 60, 360, 1260, 3360]
    assert len(post.at) == len(AGAIN) + 1
    assert post.at[-1] <= 3600
    assert post.counted == (0, 1, 0)
    assert [line.split()[1] for line in post.lines] == ["event=mail_delayed", "event=mail_lost"]
    assert 'text="451 later"' in post.lines[1]


async def test_it_goes_when_the_server_is_back_and_that_is_said(post, autojump_clock):
    post.answers = [None, None]
    post.post(3)
    await trio.sleep(3600)
    assert post.at == [0, 60, 360]
    assert post.counted == (3, 0, 0)
    assert [line.split()[1] for line in post.lines] == ["event=mail_delayed", "event=mail_goes_again"]
    ids = [bytes(p.data).partition(b"Message-ID: ")[2].partition(b"\r\n")[0] for p in post.posts]
    assert len(set(ids)) == 3, "a mail keeps its Message-ID, so that one that came twice can be known"


async def test_who_is_refused_for_good_is_said_once(post, autojump_clock):
    post.answers = [Tried((), MAIL.to, "550 no such user")]
    post.post()
    await trio.sleep(7200)
    assert post.at == [0]
    assert post.counted == (0, 1, 0)
    [line] = post.lines
    assert "event=mail_refused" in line
    assert f"to={MAIL.to[0]}" in line.replace('"', "")


async def test_only_those_are_tried_again_who_were_not_reached(post, autojump_clock):
    mail = Mail(("a@example.org", "b@example.org", "c@example.org"))
    post.answers = [Tried(("b@example.org",), ("c@example.org",), "450 greylisted")]
    post.mailer.post(OWNER, mail, facts())
    await trio.sleep(7200)
    assert [people for _, people in post.tries] == [[mail.to], [("b@example.org",)]]
    assert post.counted == (1, 0, 0)


async def test_one_user_sends_so_many_an_hour(post, autojump_clock):
    """T46."""
    said = post.post(30)
    assert said.count("queued") == 20
    assert post.post(owner="carol@example.com") == ["queued"], "others are not concerned"
    await trio.sleep(3599)
    assert post.post() != ["queued"]
    await trio.sleep(2)
    assert post.post() == ["queued"]
    assert post.counters.mails_lost == 11
    assert all("event=mail_limit" in line for line in post.lines)


async def test_who_sends_no_more_is_forgotten_after_an_hour(post, autojump_clock):
    for number in range(100):
        post.post(owner=f"user{number}@example.com")
    assert post.mailer.senders == 100
    await trio.sleep(3601)
    post.post()
    assert post.mailer.senders == 1


@pytest.mark.parametrize("settings", [ON._replace(mail_limit=0), ON._replace(mail_server="")])
async def test_none_are_taken_where_there_are_to_be_none(post, autojump_clock, settings):
    post.settings = settings
    assert post.post() != ["queued"]
    await trio.sleep(10)
    assert (post.at, post.counted) == ([], (0, 1, 0))


async def test_the_queue_has_an_end(post, autojump_clock):
    post.settings = ON._replace(mail_limit=10_000)
    post.answers = [None] * 10_000
    said = post.post(QUEUED + 50)
    assert said.count("queued") == QUEUED
    assert len(post.mailer) == QUEUED
    assert post.counters.mails_lost == 50
    assert post.lines[0].split()[1] == "event=mail_queue_full"
    await trio.sleep(1)
    assert max(len(people) for _, people in post.tries) == AT_ONCE


async def test_what_breaks_is_the_affair_of_one_mail(post, autojump_clock, monkeypatch):
    post.answers = [RuntimeError("boom")]
    post.post()
    await trio.sleep(1)
    assert post.counted == (0, 1, 0)
    assert post.counters.faults == 1

    def boom(*args, **more):
        raise ValueError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(mailing, "compose", boom)
        post.post()
        await trio.sleep(1)
    assert post.counted == (0, 2, 0)
    post.post()
    await trio.sleep(1)
    assert post.counted == (1, 2, 0)


async def test_a_mail_of_what_callers_say_has_our_header_fields_only(post, autojump_clock):
    """T46: nothing the caller sends makes a header field, a recipient or a line of its own."""
    evil = "x\r\nBcc: victim@example.net\r\n\r\nbody\0\x1b[2J\u2028Bcc: y"
    said = facts(
        subject=evil, priority=evil, organization=evil,
        origin=parse_address('"a\\\rBcc: victim@example.net" <sip:alice%0d%0aBcc:v@example.com>;tag=1'),
    )  # fmt: skip
    post.mailer.post(OWNER, MAIL, said)
    await trio.sleep(1)
    [sent] = post.posts
    head = sent.data.partition(b"\r\n\r\n")[0].decode("ascii")
    names = {line.partition(":")[0] for line in head.split("\r\n") if not line.startswith((" ", "\t"))}
    assert sent.recipients == MAIL.to
    assert "Bcc" not in names
    assert names <= {
        "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-CPL-Script", "X-CPL-Caller",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert not [line for line in post.lines if "victim" in line], "and the log shows no content"


async def test_when_the_server_stops_what_waits_has_a_moment(autojump_clock):
    post = Post()
    post.settings = ON._replace(mail_limit=100)
    async with trio.open_nursery() as nursery:
        await nursery.start(post.mailer.run)
        post.post(AT_ONCE + 5)
        nursery.cancel_scope.cancel()
    assert post.counted == (AT_ONCE + 5, 0, 0)


async def test_and_what_could_not_go_then_is_said(autojump_clock):
    post = Post()
    post.seconds = 60.0
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        await nursery.start(post.mailer.run)
        post.post(2)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - start == pytest.approx(mailing.GOODBYE)
    assert post.counted == (0, 2, 0)
    assert "event=mails_lost n=2" in post.lines[-1]


# --- in calls --------------------------------------------------------------------------------

SCRIPT = """<cpl><incoming><mail url="mailto:bob@example.org?subject=missed"><mail url="mailto:carol@example.org">
  <reject status="busy"/></mail></mail></incoming></cpl>"""


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", mail_server="mail.example.com", mail_from="s@example.com")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def test_a_script_mails_and_goes_on(world, autojump_clock):
    post = Post()
    world.house.mailer._carry = post.carry
    world.script(f"bob@{DOMAIN}", SCRIPT)
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB, headers=(("Subject", "lunch"),)))
    await alice.status(486)
    await trio.sleep(1)
    first, second = post.posts
    assert (first.recipients, second.recipients) == (("bob@example.org",), ("carol@example.org",))
    assert b"Subject: missed\r\n" in first.data
    assert b"Subject: [CPL] lunch\r\n" in second.data
    assert b"sip:alice@example.com" in second.data
    [told] = world.house.explain.find("last")
    assert [step["chose"] for step in told["trace"] if step["step"] == "mail"] == ["queued"] * 2


async def test_a_dead_mail_server_is_nobodys_delay(world, autojump_clock):
    """P7: neither of the caller whose call mails, nor of anybody else."""
    post = Post()
    post.seconds = 3600.0
    world.house.mailer._carry = post.carry
    world.script(f"bob@{DOMAIN}", SCRIPT)
    carol = world.phone("carol", "answers")
    world.bind(f"carol@{DOMAIN}", carol)
    alice = world.phone("alice")
    start = trio.current_time()
    for _ in range(100):
        alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.responses(486)) >= 100)
    dave = world.phone("dave")
    dave.send(dave.request("INVITE", f"sip:carol@{DOMAIN}"))
    await dave.status(200)
    assert trio.current_time() - start < 0.1
    assert len(world.house.mailer) == 20
    assert world.house.counters.mails_lost == 180


async def test_a_real_mail_server_gets_it(nursery):
    """The whole of it: script, call, queue, SMTP over a real socket."""
    with MailServer() as server:
        place = f"127.0.0.1:{server.port}"
        world = await open_world(nursery, "alice", "bob", mail_server=place, mail_from="s@example.com")
        world.script(f"bob@{DOMAIN}", SCRIPT)
        alice = world.phone("alice")
        alice.send(alice.request("INVITE", BOB, headers=(("Subject", "Grüße"),)))
        await alice.status(486)
        with trio.fail_after(5):
            while world.house.counters.mails_sent < 2:  # noqa: ASYNC110 - the thread knows no trio.Event
                await trio.sleep(0.01)
        first, second = server.got
        assert (first.sender, first.recipients) == ("s@example.com", ["bob@example.org"])
        assert second.message["Subject"] == "[CPL] Grüße"
        assert second.message["Reply-To"] == "alice@example.com"
        assert "sip:alice@example.com" in second.message.get_content()
        nursery.cancel_scope.cancel()


async def test_a_silent_mail_server_does_not_hold_up_the_loop(nursery):
    """T122: calls go on while a thread waits for SMTP."""
    with MailServer() as server:
        server.silent = True
        place = f"127.0.0.1:{server.port}"
        world = await open_world(nursery, "alice", "bob", mail_server=place, mail_from="s@example.com")
        world.script(f"bob@{DOMAIN}", SCRIPT)
        alice = world.phone("alice")
        slowest = 0.0
        for _ in range(20):
            begun = time.perf_counter()
            alice.seen.clear()
            alice.send(alice.request("INVITE", BOB))
            await alice.status(486)
            slowest = max(slowest, time.perf_counter() - begun)
        assert slowest < 1.0
        assert len(world.house.mailer) == 20
        assert world.house.mailer._carry is carry
        nursery.cancel_scope.cancel()
