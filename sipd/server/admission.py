"""What decisions marked: nonces spent, log-ins failed, calls challenged; and how long a guesser waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.decision import (
    Challenged,
    LogInFailed,
    LogInHeld,
    NonceUsed,
    PasswordSent,
    Registering,
    ScriptChecked,
    UriDiffers,
)
from sipd.guard import Rate
from sipd.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.core.decision import Mark
    from sipd.guard import Guard
    from sipd.log import EventLog

GUESSERS_WAIT: Final = 1.0
"""Seconds before one who failed too often hears his next challenge (T117)."""


ALL_LOGGED: Final = 20
SOME_LOGGED: Final = 10
"""The first failures of a source have a line each, later ones every tenth: one source hides no other one's (T117)."""

MOST_PROVEN: Final = 50_000
"""Addresses remembered as those of somebody who has logged in."""


class Admission:
    """Keeps the books that `decide` may only read."""

    __slots__ = ("_log", "guard", "proven", "rate")

    def __init__(self, guard: Guard, log: EventLog) -> None:
        self.guard = guard
        self.rate = Rate()
        self.proven: Recent[str, bool] = Recent(MOST_PROVEN)  # sources of requests whose credentials were right
        self._log = log

    def apply(self, marks: Iterable[Mark], now: float, source: str = "") -> float:
        """Carry out the marks of one decision, in the same turn; gives the seconds its answer should wait.

        `source` is the address that the request came from.
        """
        wait = 0.0
        for mark in marks:
            match mark:
                case NonceUsed():
                    self.guard.nonces.mark(mark.nonce, mark.count, now)
                    self._proved(mark.user, source)
                case PasswordSent():
                    self._proved(mark.user, source)
                    self._log.event("login", source=mark.source, user=mark.user, auth="basic")
                case Challenged():
                    self.guard.challenged.add(mark.call_id, now)
                case ScriptChecked():
                    self.guard.uploads.add(mark.user, mark.size, mark.at)
                case Registering():
                    self._log.event("reg_delegate" if mark.allowed else "reg_denied", who=mark.who, aor=mark.aor)
                case LogInFailed():
                    if self._failed(mark, now):
                        wait = GUESSERS_WAIT
                case LogInHeld():
                    wait = GUESSERS_WAIT
                case UriDiffers():
                    self._log.event("digest_uri_mismatch", **mark._asdict())
        return wait

    def _failed(self, mark: LogInFailed, now: float) -> bool:
        """Count and log it; whether that source has failed too often."""
        failures = self.guard.failures
        count = failures.add(mark.user, mark.source, now)
        in_all = failures.in_all(mark.source)
        if in_all <= ALL_LOGGED or in_all % SOME_LOGGED == 0:
            self._log.event("login_failed", source=mark.source, username=mark.username, n=count)
        return failures.too_many(mark.user, mark.source)

    def _proved(self, user: str, source: str) -> None:
        self.proven.put(source, True)
        self.guard.failures.proved(user, source)
