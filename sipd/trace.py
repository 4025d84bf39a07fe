"""What a decision leaves behind, so that a call can be explained later.

Leaving an entry costs an append; words are made when somebody asks
(`server/explain.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_SHOWN: Final = "(not shown)"
"""What stands for a password."""

Seen = TypeVar("Seen")


class Entry(Protocol):
    """One entry of a trace, in words."""

    @property
    def step(self) -> str:
        """Which step: `identify`, `locate`, `branch`, or a node of a script: `cpl /cpl/incoming/proxy[1] line 7`."""

    @property
    def saw(self) -> str:
        """What it saw."""

    @property
    def chose(self) -> str:
        """What it chose."""

    @property
    def place(self) -> str:
        """Path and line of a script's node: `/cpl/incoming/proxy[1] line 7`; empty for all else."""

    @property
    def output(self) -> str:
        """Path of the output that the node took: `/cpl/incoming/proxy[1]/busy[1]`; empty when it has none."""

    @property
    def took(self) -> float | None:
        """Seconds from asking the server to its answer; None when nobody was asked, or nobody looked at a clock."""


class Step(NamedTuple):
    """One thing that was decided: which step, what it saw, what it chose. Small values only."""

    step: str  # "identify", "locate", "cpl", "branch", ...
    saw: str
    chose: str

    @property
    def place(self) -> str:
        """Nowhere in a script."""
        return ""

    @property
    def output(self) -> str:
        """None."""
        return ""

    @property
    def took(self) -> float | None:
        """Not known."""
        return None


class Visit(Generic[Seen]):
    """A script's node that a run came to: the values as they were then, of which words are made on demand.

    `seen` holds small values that never change, and nothing that leads to
    the script's other nodes: a kept trace keeps no script alive.
    """

    __slots__ = ("_output", "_seen", "_words", "place", "took")

    def __init__(
        self,
        place: str,
        words: Callable[[Seen], tuple[str, str]],
        seen: Seen,
        output: str = "",
        took: float | None = None,
    ) -> None:
        self.place = place
        self.took = took
        self._words = words
        self._seen = seen
        self._output = output  # the last step of its path

    @property
    def step(self) -> str:
        """`cpl` and the place."""
        return f"cpl {self.place}" if self.place else "cpl"

    @property
    def output(self) -> str:
        """The path of the output that it took."""
        return f"{self.place.partition(' ')[0]}/{self._output}" if self._output else ""

    @property
    def saw(self) -> str:
        """What the node saw."""
        return self._words(self._seen)[0]

    @property
    def chose(self) -> str:
        """What it chose, and how long the server took where that is known."""
        chose = self._words(self._seen)[1]
        return chose if self.took is None else f"{chose}, after {seconds(self.took)}"


def seconds(took: float) -> str:
    """A time in words: to the millisecond, `2.5 s`."""
    return f"{took:.3f}".rstrip("0").rstrip(".") + " s"


Trace = list[Entry]
"""The entries of one request in their order; appended to by whoever decides."""
