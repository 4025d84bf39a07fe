"""What a verb is: a name, its parameters, a function over a Store that returns plain data.

Every face (sipdctl, later the web pages and the API) offers the same verbs.
A verb checks its arguments itself; it prints nothing, asks nobody and reads no file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from sipd.store import Store

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]
"""What JSON can say."""


class When(float):
    """A time in seconds since 1970, which people are shown by their clock."""

    __slots__ = ()


Value = str | bytes | tuple[str, ...]


class Refusal(Exception):
    """What was asked can't be done: `text` says why, `hint` what to do. Nothing was changed."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(f"{text}. {hint}" if hint else text)
        self.text = text
        self.hint = hint


class Parameter(NamedTuple):
    """One argument of a verb.

    `word`: must be there; `optional`: a word that may be missing; `words`:
    any number; `option`: given by name; `file`: the bytes of a file;
    `password`: asked for in the way that the face has for secrets.
    """

    name: str
    help: str
    kind: Literal["word", "optional", "words", "option", "file", "password"] = "word"


class Arguments:
    """The values of a verb's parameters, by name. `by`: who asks, as a script's history shall name him."""

    def __init__(self, values: Mapping[str, Value | None], by: str = "administrator") -> None:
        self._values = values
        self.by = by

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


class Verb(NamedTuple):
    """One thing an administrator can ask for."""

    noun: str
    name: str
    help: str
    parameters: tuple[Parameter, ...]
    run: Callable[[Store, Arguments], Awaitable[Plain]]
    makes: bool = False  # makes the database: the store is handed over unopened
    prints: str = ""  # key of the result that is printed as it is, for people
    unmade: str = "nothing"  # what people are told when the result is an empty list, or text
