"""The last requests and why they went as they did; words are made only on demand."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.errors import BadSyntax
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.message import Request
    from sipd.trace import Trace

DEFAULT_KEPT: Final = 1000

MOST_STEPS: Final = 200
"""Steps kept of one request: its first and its last ones. A script may have ten times as many nodes."""


class Told(NamedTuple):
    """One request that was settled, with the steps that settled it."""

    at: float  # wall-clock seconds
    call_id: str
    method: str
    request_uri: str
    source: object  # a Hop
    status: int  # the final response; 0: none was sent
    trace: Trace


class Explain:
    """A ring of the last requests; keeping one costs an append."""

    __slots__ = ("_listener", "_ring")

    def __init__(self, kept: int = DEFAULT_KEPT) -> None:
        self._ring: deque[Told] = deque(maxlen=kept)
        self._listener: Callable[[Told], None] | None = None

    def __len__(self) -> int:
        """How many are kept now."""
        return len(self._ring)

    @property
    def most(self) -> int:
        """How many are kept at most."""
        return self._ring.maxlen or 0

    def listen(self, listener: Callable[[Told], None]) -> None:
        """Call this with each request that is settled from now on (`-d misc`)."""
        self._listener = listener

    def resize(self, kept: int) -> None:
        """Keep this many from now on."""
        self._ring = deque(self._ring, maxlen=kept)

    def keep(self, at: float, request: Request, source: object, status: int, trace: Trace) -> None:
        """Remember a settled request. Called on the hot path: no formatting here."""
        try:
            call_id = request.call_id
        except BadSyntax:
            call_id = request.first("Call-ID") or ""
        if len(trace) > MOST_STEPS:
            trace = _shortened(trace)
        self._ring.append(Told(at, call_id, request.method, request.request_uri, source, status, trace))
        if self._listener is not None:
            self._listener(self._ring[-1])

    def find(self, what: str) -> list[dict[str, object]]:
        """The requests of a Call-ID (or of the `last` call), oldest first, as plain data."""
        if what == "last":
            invite = next((told for told in reversed(self._ring) if told.method == "INVITE"), None)
            newest = invite or (self._ring[-1] if self._ring else None)
            if newest is None:
                return []
            what = newest.call_id
        return [_plain(told) for told in self._ring if told.call_id == what]


def _shortened(trace: Trace) -> Trace:
    half = MOST_STEPS // 2
    left_out = Step("explain", f"{len(trace)} steps", f"{len(trace) - 2 * half} of them are left out here")
    return [*trace[:half], left_out, *trace[-half:]]


def _plain(told: Told) -> dict[str, object]:
    steps = [{"step": step.step, "saw": step.saw, "chose": step.chose} for step in told.trace]
    return {**told._asdict(), "source": str(told.source), "trace": steps}
