"""How many users of each domain there are of each kind, kept up as users come and go (T67)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sipd.core.challenge import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.core.challenge import Kind
    from sipd.rows import User

MOST: Final = 16
"""Kinds that are told of one domain: the most frequent."""


class Kinds:
    """Counts of `kind_of` by domain."""

    __slots__ = ("_counts", "_told")

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Kind]] = {}
        self._told: dict[str, tuple[tuple[Kind, int], ...]] = {}

    def change(self, old: User | None, new: User | None) -> None:
        """A user came (`old` is None), went (`new` is None), or is another now."""
        if old is not None:
            self.add(old, -1)
        if new is not None:
            self.add(new, 1)

    def add(self, user: User, many: int) -> None:
        """There are so many more like him; less than none: fewer."""
        domain = user.aor.rpartition("@")[2]
        counts = self._counts.setdefault(domain, Counter())
        kind = kind_of(user)
        counts[kind] += many
        if counts[kind] <= 0:
            del counts[kind]
        self._told.pop(domain, None)

    def of(self, domain: str) -> Sequence[tuple[Kind, int]]:
        """The kinds of that domain and how many users have each, the most frequent first; at most MOST."""
        told = self._told.get(domain)
        if told is None:
            counts = self._counts.get(domain)
            if counts is None:
                return ()
            # By name where as many have it: the order must not tell who came first.
            told = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST])
            self._told[domain] = told
        return told
