"""Mails of scripts (RFC 3880 §7.1): queued here and handed to a mail server, beside the calls.

A call leaves its mail here and goes on. One task sends what is due, some at a
time; what the mail server can't take now it is offered again, five times in
an hour. A restart loses what waits: that is said in the log.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import trio

from sipd.cpl.letter import compose
from sipd.cpl.mailto import BadMailto, address_of
from sipd.net.smtp import MailServer, Post, Tried, carry
from sipd.server.door import report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import tzinfo

    from sipd.log import EventLog
    from sipd.metrics import Counters
    from sipd.rows import Settings
    from sipd.script import Facts, Mail

    Carry = Callable[[MailServer, Sequence[Post]], Awaitable[list[Tried]]]

QUEUED: Final = 1000
"""Mails that wait at most, of all users."""

AT_ONCE: Final = 20
"""Mails given to the mail server by one connection."""

AGAIN: Final = (60.0, 300.0, 900.0, 2100.0)
"""Seconds after each try until the next one: five tries in an hour."""

HOUR: Final = 3600.0

GOODBYE: Final = 3.0
"""Seconds for what still waits when the server stops."""


@dataclass(slots=True, eq=False)
class _Queued:
    owner: str
    mail: Mail
    facts: Facts
    due: float
    message_id: str
    tries: int = 0
    post: Post | None = None  # once it is written


class Mailer:
    """Takes mails, and gives them to the mail server of the settings. `run` must be running."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        now: Callable[[], float],
        counters: Counters,
        log: EventLog,
        carry: Carry = carry,
    ) -> None:
        self._settings = settings
        self._now = now
        self._counters = counters
        self._log = log
        self._carry = carry
        self._waiting: list[_Queued] = []
        self._work = trio.Event()
        self._sent: dict[str, deque[float]] = {}  # when each user's mails of the last hour came
        self._swept = now()  # when those were forgotten who sent none since
        self._away = False
        self._ends = False

    def __len__(self) -> int:
        """Mails that wait."""
        return len(self._waiting)

    def post(self, owner: str, mail: Mail, facts: Facts) -> str:
        """Take this mail of a script of `owner`; what became of it, in words. Waits for nothing and never fails."""
        settings = self._settings()
        if not settings.mail_server:
            return self._lost("mail_off", owner, "this server sends no mail")
        if not self._may(owner, settings.mail_limit):
            return self._lost("mail_limit", owner, "too many mails this hour", limit=settings.mail_limit)
        if len(self._waiting) >= QUEUED:
            return self._lost("mail_queue_full", owner, "too many mails wait")
        self._sent.setdefault(owner, deque()).append(self._now())
        self._waiting.append(_Queued(owner, mail, facts, self._now(), secrets.token_hex(16)))
        self._work.set()
        return "queued"

    def _lost(self, event: str, owner: str, words: str, **more: object) -> str:
        self._counters.mails_lost += 1
        self._log.event(event, owner=owner, **more)
        return words

    def _may(self, owner: str, limit: int) -> bool:
        """Whether this user's mails of the last hour leave room for one more."""
        self._sweep()
        times = self._sent.get(owner)
        if times is None:
            return limit > 0
        while times and times[0] <= self._now() - HOUR:
            times.popleft()
        if not times:
            del self._sent[owner]
        return len(times) < limit

    def _sweep(self) -> None:
        """Once an hour forget who has sent nothing in the last one."""
        since = self._now() - HOUR
        if self._swept <= since:
            self._swept = self._now()
            self._sent = {owner: times for owner, times in self._sent.items() if times[-1] > since}

    @property
    def senders(self) -> int:
        """Users whose mails are counted."""
        return len(self._sent)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what is due, for ever; when cancelled, what was not tried yet or is being sent has a moment."""
        self._ends = False
        try:
            async with trio.open_nursery() as nursery:  # ends with what it has to do
                life = trio.CancelScope(shield=True)  # no mail is cut in half: from the end on it has GOODBYE
                nursery.start_soon(self._notice_end, life)
                task_status.started()
                with life:
                    while batch := await self._next():
                        await self._deliver(batch)
        finally:
            if self._waiting:
                self._counters.mails_lost += len(self._waiting)
                self._log.event("mails_lost", n=len(self._waiting), text="the server stops")
                self._waiting.clear()

    async def _notice_end(self, life: trio.CancelScope) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._ends = True
            life.deadline = trio.current_time() + GOODBYE
            self._work.set()

    async def _next(self) -> list[_Queued]:
        """What is to be sent now, as soon as there is something; at the end what was never tried, perhaps nothing."""
        while True:
            now = self._now()
            due = [queued for queued in self._waiting if (not queued.tries if self._ends else queued.due <= now)]
            if due or self._ends:
                return due[:AT_ONCE]
            self._work = trio.Event()
            following = min((queued.due for queued in self._waiting), default=float("inf"))
            with trio.CancelScope(deadline=following):  # the next one's time, unless another comes before
                await self._work.wait()

    async def _deliver(self, batch: list[_Queued]) -> None:
        settings = self._settings()
        for queued in batch:
            queued.tries += 1
        written = []
        for queued in batch:
            if self._write(queued, settings):
                written.append(queued)
            await trio.lowlevel.checkpoint()  # each takes a millisecond or two: calls come between
        posts = [queued.post for queued in written if queued.post is not None]
        if not posts:
            return
        try:
            server = MailServer.from_text(settings.mail_server, settings.tls_ca, settings.host_name or "localhost")
            results = await self._carry(server, posts)
        except Exception as fault:  # the door, here for mails: what breaks must not end the server
            report("mail", fault, self._counters, self._log)
            results = [Tried((), post.recipients, "it could not be sent") for post in posts]
        for queued, tried in zip(written, results, strict=True):
            self._settle(queued, tried)
        self._tell_whether_away(results)

    def _write(self, queued: _Queued, settings: Settings) -> bool:
        """Make the message, once; False when none can be made: then it is lost."""
        if not settings.mail_server:  # switched off meanwhile
            self._give_up(queued, "this server sends no mail")
            return False
        if queued.post is None:
            try:
                sender = settings.mail_from or address_of(queued.owner)
                _, _, domain = sender.rpartition("@")
                letter = compose(
                    queued.mail,
                    queued.facts,
                    sender=sender,
                    message_id=f"<{queued.message_id}@{domain}>",
                    zone=_zone(settings.time_zone),
                )
                # Where mail_from is not set nobody reads complaints: then they go nowhere, and can't loop.
                queued.post = Post(settings.mail_from, letter.recipients, letter.data())
            except BadMailto:
                self._give_up(queued, "its owner's address is no mail address: set mail_from")
                return False
            except Exception as fault:  # the door, here for what a script and a caller make of one mail
                report("mail", fault, self._counters, self._log)
                self._give_up(queued, "it could not be written")
                return False
        return True

    def _settle(self, queued: _Queued, tried: Tried) -> None:
        if tried.refused:
            self._log.event("mail_refused", owner=queued.owner, to=" ".join(tried.refused), text=tried.why)
        if not tried.again:
            self._waiting.remove(queued)
            if queued.post is not None and len(tried.refused) < len(queued.post.recipients):
                self._counters.mails_sent += 1
            else:
                self._counters.mails_lost += 1
        elif queued.tries > len(AGAIN):
            self._give_up(queued, tried.why)
        else:
            assert queued.post is not None
            queued.post = queued.post._replace(recipients=tried.again)
            queued.due = self._now() + AGAIN[queued.tries - 1]

    def _give_up(self, queued: _Queued, why: str) -> None:
        self._waiting.remove(queued)
        self._counters.mails_lost += 1
        to = queued.post.recipients if queued.post is not None else queued.mail.to
        self._log.event("mail_lost", owner=queued.owner, to=" ".join(to), tries=queued.tries, text=why)

    def _tell_whether_away(self, results: Sequence[Tried]) -> None:
        """One line when the mail server takes nothing, one when it does again."""
        away = all(tried.again for tried in results)
        if away and not self._away:
            self._log.event("mail_delayed", text=results[0].why)
        elif self._away and not away:
            self._log.event("mail_goes_again")
        self._away = away


def _zone(name: str) -> tzinfo:
    """The zone that times are told in; UTC where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # no zone of that name
        return UTC
