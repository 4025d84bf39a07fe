"""What users' scripts did in the last calls: each run with the way it took; words are made only on demand.

A run is kept with its owner's, and shown with no other user's. Kept are the
last ones of each user, as many as the setting `script_traces` says, and of
all users together as many as fit in MOST_KEPT: then the oldest run of the
user whose script has not run for the longest goes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from sipd.rows import DropUser
from sipd.trace import NOT_SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sipd.message import Uri
    from sipd.rows import Change
    from sipd.script import Direction, Facts
    from sipd.trace import Entry, Trace

MOST_KEPT: Final = 32 * 2**20
"""Bytes, about, that the runs of all users may take."""

RUN: Final = 1000
"""Bytes of a run without its steps, about."""

STEP: Final = 400
"""Bytes of a step with the values it holds, about: what a call could make long is cut."""

LONGEST: Final = 255
"""Characters of a Call-ID or an address that are kept."""


class Run:
    """One run of a user's script; filled as the call goes on."""

    __slots__ = (
        "_marks",
        "at",
        "began",
        "call_id",
        "called",
        "caller",
        "direction",
        "lasted",
        "owner",
        "size",
        "status",
        "steps",
        "version",
    )

    def __init__(self, facts: Facts, version: int, call_id: str, at: float, now: float) -> None:
        self.owner: str = facts.owner
        self.direction: Direction = facts.direction
        self.caller = _kept(facts.origin.uri)
        self.called = _kept(facts.destination)
        self.version = version
        self.call_id = call_id[:LONGEST]
        self.at = at  # wall-clock seconds
        self.steps: Trace = []
        self.status = 0  # the final response that came of it; 0: none so far, or none at all
        self.lasted: float | None = None  # seconds until then; None: it is under way
        self.size = 0  # what it counts for in MOST_KEPT; 0: it is not kept
        self.began = now
        self._marks = [(0, now)]  # from which step on it was which time

    def goes_on(self, now: float) -> None:
        """The steps to come are of this time; the first ones are of the time it began."""
        if self.steps:
            self._marks.append((len(self.steps), now))

    def in_order(self) -> Iterator[tuple[float, Entry]]:
        """Its steps, each with the seconds since it began."""
        marks = iter([*self._marks, (len(self.steps), 0.0)])
        _, now = next(marks)
        following, then = next(marks, (len(self.steps), 0.0))
        for index, step in enumerate(self.steps):
            while index >= following:
                now = then
                following, then = next(marks)
            yield now - self.began, step


class Runs:
    """The last runs of each user's script; to keep one costs an append."""

    __slots__ = ("_count", "_of", "_size")

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[Run]] = OrderedDict()  # the user whose script ran last comes last
        self._count = 0
        self._size = 0

    def __len__(self) -> int:
        """How many are kept now, of all users."""
        return self._count

    @property
    def most(self) -> int:
        """How many there may be at most."""
        return MOST_KEPT // RUN

    def begin(self, run: Run, most: int) -> None:
        """Keep a run that begins, as one of the last `most` of its user."""
        if not most:
            return
        kept = self._of.get(run.owner)
        if kept is None:
            kept = self._of[run.owner] = deque()
        else:
            self._of.move_to_end(run.owner)
        kept.append(run)
        self._count += 1
        self._grow(run, RUN)
        while len(kept) > most:
            self._forget(kept.popleft())

    def end(self, run: Run, status: int, now: float) -> None:
        """What came of it; the first word counts."""
        if run.lasted is None:
            run.status = status
            run.lasted = now - run.began
            if run.size:
                self._grow(run, STEP * len(run.steps))

    def last(self, owner: str, count: int) -> list[Run]:
        """The last runs of this user's script, oldest first."""
        kept = self._of.get(owner, ())
        return list(kept)[-count:] if count > 0 else []

    def heed(self, changes: Sequence[Change]) -> None:
        """Forget what belongs to a user who is gone."""
        for change in changes:
            if isinstance(change, DropUser):
                for run in self._of.pop(change.aor, ()):
                    self._forget(run)

    def _grow(self, run: Run, size: int) -> None:
        run.size += size
        self._size += size
        while self._size > MOST_KEPT and self._count > 1:
            owner, kept = next(iter(self._of.items()))
            self._forget(kept.popleft())
            if not kept:
                del self._of[owner]

    def _forget(self, run: Run) -> None:
        self._count -= 1
        self._size -= run.size
        run.size = 0


def plain(run: Run) -> dict[str, object]:
    """A run as plain data, its steps in words."""
    return {
        "at": run.at,
        "call_id": run.call_id,
        "user": run.owner,
        "direction": run.direction,
        "version": run.version,
        "caller": run.caller,
        "called": run.called,
        "status": run.status,
        "lasted": run.lasted,
        "steps": [
            {
                "after": round(after, 6),
                "step": step.step,
                "place": step.place,
                "saw": step.saw,
                "chose": step.chose,
                "output": step.output,
            }
            for after, step in run.in_order()
        ],
    }


def _kept(uri: Uri) -> str:
    """An address that is not too long, without a password."""
    text = uri.text
    if uri.password is not None:
        text = text.replace(f":{uri.password}@", f":{NOT_SHOWN}@", 1)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
