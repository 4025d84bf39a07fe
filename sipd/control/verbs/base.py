"""What a verb is: a name, its parameters, a function over a Store that returns plain data.

Every face (sipdctl, later the web pages and the API) offers the same verbs.
A verb checks its arguments itself; it prints nothing, asks nobody and reads no file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from sipd.store import Store

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]
"""What JSON can say."""


class When(float):
    """A time in seconds since 1970, which people are shown by their clock."""

    __slots__ = ()


class Content(bytes):
    """What a file holds. `exposed`: others than its owner may read the file."""

    exposed: bool = False


Value = str | bytes | tuple[str, ...]

Progress = Callable[[str, int, int], None]
"""Told how far long work has come: what is done, steps done, steps in all (0: not known)."""


class Stage:
    """How far a verb has come with its one transaction; whoever interrupts it wants to know."""

    storing = False  # handed to the database, and no answer yet
    stored = False


STAGE: Final[ContextVar[Stage]] = ContextVar("STAGE")
"""The stage of the verb that runs in this context, where somebody asks for it."""


class Refusal(Exception):
    """What was asked can't be done: `text` says why, `hint` what to do. Nothing was changed."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(f"{text}. {hint}" if hint else text)
        self.text = text
        self.hint = hint


class Faults(Refusal):
    """What was asked can't be done for several reasons; `findings` names each, `text` sums them up."""

    def __init__(self, text: str, findings: Sequence[str], hint: str = "") -> None:
        super().__init__(text, hint)
        self.findings = tuple(findings)


class Parameter(NamedTuple):
    """One argument of a verb.

    `word`: must be there; `optional`: a word that may be missing; `words`:
    any number; `option`: given by name; `flag`: said or not; `file`: the
    bytes of a file; `file-option`: of one that is given by name, or not;
    `password`: asked for in the way that the face has for secrets; `output`:
    where the face writes what the verb `prints`.
    """

    name: str
    help: str
    kind: Literal["word", "optional", "words", "option", "flag", "file", "file-option", "password", "output"] = "word"
    choices: tuple[str, ...] = ()  # of an option


def _tell_nobody(what: str, done: int, total: int) -> None:
    pass


class Arguments:
    """The values of a verb's parameters, by name.

    `by`: who asks, as a script's history shall name him; `progress`: whom to
    tell how far long work has come.
    """

    def __init__(
        self, values: Mapping[str, Value | None], by: str = "administrator", progress: Progress = _tell_nobody
    ) -> None:
        self._values = values
        self.by = by
        self.progress = progress

    def word(self, name: str) -> str:
        """The value of a parameter that must be there."""
        value = self._values.get(name)
        if not isinstance(value, str) or not value:
            raise Refusal(f"{name} is missing")
        return value

    def optional(self, name: str) -> str | None:
        """The value of one that may be missing."""
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def words(self, name: str) -> tuple[str, ...]:
        """The values of one that may come several times."""
        value = self._values.get(name)
        return value if isinstance(value, tuple) else ()

    def content(self, name: str) -> bytes:
        """The bytes of a file."""
        value = self._values.get(name)
        return value if isinstance(value, bytes) else b""

    def exposed(self, name: str) -> bool:
        """Whether others than its owner may read that file."""
        value = self._values.get(name)
        return isinstance(value, Content) and value.exposed

    def flag(self, name: str) -> bool:
        """Whether it was said."""
        return bool(self._values.get(name))

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds; None: it was not given. Raises Refusal."""
        text = self.optional(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or not least <= int(text[:20]) <= most:
            raise Refusal(f"--{name} can't be {text!r}", f"It is a whole number from {least} to {most}")
        return int(text)


class Verb(NamedTuple):
    """One thing an administrator can ask for."""

    noun: str
    name: str
    help: str
    parameters: tuple[Parameter, ...]
    run: Callable[[Store, Arguments], Awaitable[Plain]]
    makes: bool = False  # the database may not be there, or not be ours to open: the store is handed over unopened
    prints: str = ""  # key of the result that is printed as it is, for people
    unmade: str = "nothing"  # what people are told when the result is an empty list, or text
    long: bool = False  # may take long: the face shows its progress
