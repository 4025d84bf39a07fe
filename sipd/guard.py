"""Counts that must not grow: nonce windows, calls challenged once, failed log-ins.

Everything here is bounded in number and in age, each operation costs the same
however much is kept, and what is forgotten early is forgotten to the safe side.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sipd.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
V = TypeVar("V")

WINDOW: Final = 64  # counts below the highest seen that may still come (T11)
_WINDOW_BITS: Final = (1 << (WINDOW + 1)) - 1
HOLD: Final = 1.0
"""Seconds for which one who failed too often as one user is not looked at as that user (T117)."""

HOLD_IN_ALL: Final = 0.1
"""The same of a source that failed too often as many users."""

MARGIN: Final = 120.0
"""Seconds that a nonce is remembered beyond its life, which is told by a clock that may be set back a little."""

_SPENT: Final = 1 << 40  # above every nonce count of eight hex digits


class Ageing(Generic[K, V]):
    """A dict of at most `capacity` entries, each forgotten `life` seconds after it was last put."""

    def __init__(self, life: float, capacity: int) -> None:
        self.life = life
        self.capacity = capacity
        self._entries: dict[K, tuple[float, V]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        """The value put last, None when there is none or it was forgotten."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def since(self, key: K) -> float | None:
        """When it was put last; None when there is none, or it was forgotten."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: K, value: V, now: float) -> K | None:
        """Keep this value and forget what is too old; gives the key that had to go only for want of room."""
        entries = self._entries
        entries.pop(key, None)
        self.forget(now)
        pushed_out = None
        if len(entries) >= self.capacity:
            pushed_out = next(iter(entries))
            del entries[pushed_out]
        entries[key] = (now, value)
        return pushed_out

    def forget(self, now: float, at_most: int = 4) -> None:
        """Drop up to `at_most` entries that are too old: a few at every put keep pace with any number."""
        entries = self._entries
        oldest = now - self.life
        for _ in range(at_most):
            key = next(iter(entries), None)
            if key is None or entries[key][0] > oldest:
                return
            del entries[key]


class NonceWindows:
    """Which counts of a nonce were used (RFC 7616 §3.4, T11): the highest, and those up to 64 below it.

    A nonce begins with the time it was made as fixed-width hex, so older ones
    sort first. One that had to be forgotten for want of room takes all unknown
    ones up to its age with it: they are no longer fresh, and their users are
    asked again (`stale=true`). `not_before` does the same for those made before
    a restart, whose counts nobody remembers.
    """

    def __init__(self, life: float = 300.0, capacity: int = 100_000, not_before: str = "") -> None:
        self._windows: Ageing[str, tuple[int, int]] = Ageing(life + MARGIN, capacity)
        self._life = life
        self._not_before = not_before

    def keep(self, life: float, wall: float) -> None:
        """Nonces are good for so many seconds from now on; those that may have been forgotten never again."""
        if life > self._life:
            self._not_before = max(self._not_before, f"{max(0, int(wall - self._life)):08x}")
        self._life = life
        self._windows.life = life + MARGIN

    @property
    def capacity(self) -> int:
        """The most that are kept."""
        return self._windows.capacity

    def __len__(self) -> int:
        return len(self._windows)

    def count_is_fresh(self, nonce: str, count: int) -> bool:
        """Whether this count was not used and is not too far below the highest; count 0 is the whole nonce."""
        window = self._windows.get(nonce)
        if window is None:
            return nonce > self._not_before
        highest, seen = window
        if count == 0:
            return False
        below = highest - count
        return below < 0 or (below <= WINDOW and not seen >> below & 1)

    def mark(self, nonce: str, count: int, now: float) -> None:
        """This count is spent; 0 spends the whole nonce."""
        count = count or _SPENT
        window = self._windows.get(nonce)
        if window is None:
            highest, seen = count, 1
        else:
            highest, seen = window
            ahead = count - highest
            if ahead > WINDOW:
                highest, seen = count, 1
            elif ahead > 0:
                highest, seen = count, (seen << ahead | 1) & _WINDOW_BITS
            elif -ahead <= WINDOW:
                seen |= 1 << -ahead
        pushed_out = self._windows.put(nonce, (highest, seen), now)
        if pushed_out is not None and pushed_out > self._not_before:
            # Every nonce of that second, whatever follows the time in it.
            self._not_before = pushed_out[:8] + "g"


class ChallengedCalls:
    """The Call-IDs that had their one challenge of level `requested` (T61); kept as hashes."""

    def __init__(self, life: float = 600.0, capacity: int = 10_000) -> None:
        self._calls: Ageing[int, None] = Ageing(life, capacity)

    @property
    def capacity(self) -> int:
        """The most that are kept."""
        return self._calls.capacity

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call_id: str) -> bool:
        return hash(call_id) in self._calls

    def add(self, call_id: str, now: float) -> None:
        """Remember this Call-ID."""
        self._calls.put(hash(call_id), None, now)


class Failures:
    """How often somebody at one source failed to prove to be one user, or any user at all (T117); kept as hashes.

    Who did so too often has his next credentials not looked at for a while, be
    they right or wrong: so he may ask as fast as he likes, and guesses slowly.
    Who has proved to be this user from this source before is always looked at:
    neither a neighbour of his nor one who forges his address shuts him out.
    A source is an IPv4 address, or an IPv6 network of 64 bits.
    """

    def __init__(self, life: float = 300.0, capacity: int = 50_000, allowed: int = 5, allowed_in_all: int = 50) -> None:
        self._counts: Ageing[int, int] = Ageing(life, capacity)
        self._proved: Recent[int, bool] = Recent(capacity)
        self.allowed = allowed
        self.allowed_in_all = allowed_in_all  # of one source, whoever they said to be

    @property
    def capacity(self) -> int:
        """The most that are kept."""
        return self._counts.capacity

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def known(self) -> int:
        """How many users are remembered with a source where they proved themselves."""
        return len(self._proved)

    def add(self, user: str, source: str, now: float) -> int:
        """Count one more failure; gives how many there are now of this user at this source."""
        source = network_of(source)
        self._add_one(hash(source), now)  # first: the pair is then the younger one, and kept longer
        return self._add_one(hash((user, source)), now)

    def _add_one(self, key: int, now: float) -> int:
        since = self._counts.since(key)
        before = 0 if since is None or now - since >= self._counts.life else self._counts.get(key) or 0
        self._counts.put(key, before + 1, now)
        return before + 1

    def in_all(self, source: str) -> int:
        """How many failures of that source are remembered, whoever it said to be."""
        return self._counts.get(hash(network_of(source))) or 0

    def too_many(self, user: str, source: str) -> bool:
        """Whether the next challenge to them should wait a second."""
        source = network_of(source)
        return (self._counts.get(hash((user, source))) or 0) >= self.allowed or (
            self._counts.get(hash(source)) or 0
        ) >= self.allowed_in_all

    def proved(self, user: str, source: str) -> None:
        """He proved there that he is this user."""
        self._proved.put(hash((user, network_of(source))), True)

    def is_held(self, user: str, source: str, now: float) -> bool:
        """Whether what he offers now as a proof is not to be looked at; `now` in monotonic seconds."""
        if not len(self._counts):
            return False
        source = network_of(source)
        pair = hash((user, source))
        held = self._is_held(pair, self.allowed, HOLD, now) or self._is_held(
            hash(source), self.allowed_in_all, HOLD_IN_ALL, now
        )
        return held and pair not in self._proved

    def _is_held(self, key: int, allowed: int, seconds: float, now: float) -> bool:
        since = self._counts.since(key)
        return since is not None and now - since < seconds and (self._counts.get(key) or 0) >= allowed


class Rate:
    """How many requests each source has sent in this second, beyond `limit` (T59); 0: nobody counts.

    The second begins when a source reaches the limit and the last one is
    over: so nothing needs to be done while nobody does.
    """

    def __init__(self, limit: int = 0, capacity: int = 100_000) -> None:
        self.limit = limit
        self.capacity = capacity
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._since = float("-inf")

    def __len__(self) -> int:
        return len(self._counts)

    def excess(self, source: str, now: Callable[[], float]) -> int:
        """Counts one request of this address; gives by how many it is beyond the limit. `now` in monotonic seconds."""
        if ":" in source:
            source = network_of(source)
        counts = self._counts
        count = counts[source] + 1
        if count == 1 and len(counts) > self.capacity:  # more sources than anybody has: they are made up
            counts.clear()
        counts[source] = count
        if count <= self.limit:
            return 0
        if now() - self._since >= 1.0:
            self._since = now()
            counts.clear()
            counts[source] = 1
            return 0
        return count - self.limit


class Uploads:
    """How many bytes of scripts one user has had checked in this period, a small script counted as `least`.

    To check the worst of the largest takes as long as a hundred calls.
    """

    def __init__(self, most: int = 256 * 1024, period: float = 60.0, capacity: int = 10_000, least: int = 4096) -> None:
        self.most = most
        self.period = period
        self.capacity = capacity
        self.least = least
        self._counts: dict[str, tuple[float, int]] = {}  # when the period began, and how many since

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, user: str, size: int, at: float) -> None:
        """Count one more script of `size` bytes; `at` in seconds of any one clock."""
        since, count = self._counts.get(user, (at, 0))
        if abs(at - since) >= self.period:  # abs: where the clock was put back
            since, count = at, 0
        if count == 0 and len(self._counts) >= self.capacity:
            self._counts.clear()
        self._counts[user] = since, count + max(size, self.least)

    def allowed(self, user: str, at: float) -> bool:
        """Whether he may have another one checked now."""
        since, count = self._counts.get(user, (at, 0))
        return count < self.most or abs(at - since) >= self.period


@lru_cache(4096)
def network_of(source: str) -> str:
    """What counts as one source: an IPv4 address, or an IPv6 network of 64 bits: one machine has them all."""
    if ":" not in source:
        return source
    return str(ip_network((source, 64), strict=False).network_address)


class Guard:
    """All of them together, as decisions look at them (`core.inquiry.GuardView`)."""

    def __init__(
        self,
        nonces: NonceWindows | None = None,
        challenged: ChallengedCalls | None = None,
        failures: Failures | None = None,
    ) -> None:
        self.nonces = NonceWindows() if nonces is None else nonces
        self.challenged = ChallengedCalls() if challenged is None else challenged
        self.failures = Failures() if failures is None else failures
        self.uploads = Uploads()

    def count_is_fresh(self, nonce: str, count: int) -> bool:
        """See NonceWindows."""
        return self.nonces.count_is_fresh(nonce, count)

    def was_challenged(self, call_id: str) -> bool:
        """Whether this Call-ID has had its one challenge of level `requested`."""
        return call_id in self.challenged

    def is_held(self, user: str, source: str, now: float) -> bool:
        """See Failures."""
        return self.failures.is_held(user, source, now)

    def may_upload(self, user: str, at: float) -> bool:
        """See Uploads."""
        return self.uploads.allowed(user, at)
