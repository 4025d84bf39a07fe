"""What phones do in a call that is made up, and the words it is told in: `busy`, `answer@12`, `redirect:sip:a@b`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.recursion import uri_key
from sipd.errors import SipError
from sipd.message import parse_uri

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.message import Uri


class Behaviour(NamedTuple):
    """What one target does when it is called."""

    status: int  # its final response; 0: it gives none of itself
    after: float = 0.0  # seconds until then; it rings meanwhile
    contacts: tuple[str, ...] = ()  # values of Contact, of a 3xx
    silent: bool = False  # nothing is heard of it at all

    @property
    def rings(self) -> bool:
        """Whether it says that it rings."""
        return not self.silent and (self.after > 0 or not self.status)


RINGS: Final = Behaviour(0)

WORDS: Final = {
    "answer": Behaviour(200),
    "busy": Behaviour(486),
    "noanswer": RINGS,
    "failure": Behaviour(480),
    "reject": Behaviour(603),
    "silent": Behaviour(0, silent=True),
}
"""The words for what a target does. `noanswer` rings until it is cancelled, of `silent` nothing is heard."""

NOTATION: Final = (
    f"{', '.join(WORDS)}, redirect:URI or a status from 300 to 699; with @SECONDS when it is to ring before"
)

_AFTER: Final = re.compile(r"(.*)@([0-9]{1,5}(?:\.[0-9]{1,3})?)", re.DOTALL)
_STATUS: Final = re.compile(r"[3-6][0-9][0-9]")
_TARGET: Final = re.compile(r"(?:sips?|tel):", re.I)


def behaviour(text: str) -> Behaviour:
    """The behaviour that a word means. Raises ValueError, with what may be written."""
    timed = _AFTER.fullmatch(text)
    word, after = (timed[1], float(timed[2])) if timed is not None else (text, 0.0)
    if word in WORDS:
        made = WORDS[word]
        if after and not made.status:
            raise ValueError(f"{word} has no time: it ends when the server ends it")
        return made._replace(after=after)
    if _STATUS.fullmatch(word):
        return Behaviour(int(word), after)
    if word.startswith("redirect:"):
        return Behaviour(302, after, (f"<{_uri(word.removeprefix('redirect:')).text}>",))
    raise ValueError(f"{text!r} is no outcome: there are {NOTATION}")


def _uri(text: str) -> Uri:
    try:
        return parse_uri(text)
    except SipError:
        raise ValueError(f"{text!r} is no URI: redirect wants one, as in redirect:sip:alice@example.com") from None


class Behaviours(NamedTuple):
    """What all targets do, each time they are called.

    The first of a row is for the first time, the last for all that come after
    it. `others` is for targets that are not named: there the time is the
    round of ringing.
    """

    named: tuple[tuple[Uri, tuple[Behaviour, ...]], ...] = ()
    others: tuple[Behaviour, ...] = (RINGS,)

    def of(self, uri: Uri) -> tuple[Behaviour, ...] | None:
        """What is said of this target by name: the same URI, else one that leads to the same place."""
        for named, row in self.named:
            if named.text == uri.text or named.same_as(uri):
                return row
        for named, row in self.named:
            if uri_key(named) == uri_key(uri):
                return row
        return None


def behaviours(texts: Iterable[str]) -> Behaviours:
    """Behaviours of `WORD,WORD,...` and `URI=WORD,WORD,...`, the later ones first. Raises ValueError."""
    named: list[tuple[Uri, tuple[Behaviour, ...]]] = []
    others = Behaviours().others
    for text in texts:
        if _TARGET.match(text):
            named.insert(0, _named(text))
        else:
            others = _row(text)
    return Behaviours(tuple(named), others)


def _row(text: str) -> tuple[Behaviour, ...]:
    return tuple(behaviour(word.strip()) for word in text.split(","))


def _named(text: str) -> tuple[Uri, tuple[Behaviour, ...]]:
    """A URI may have an equals sign, and so may one that is redirected to: the first with an outcome after it."""
    fault: ValueError | None = None
    parts = text.split("=")
    for at in range(1, len(parts)):
        try:
            row = _row("=".join(parts[at:]))
        except ValueError as error:
            fault = error
            continue
        try:
            return parse_uri("=".join(parts[:at])), row
        except SipError:
            raise ValueError(f"{'='.join(parts[:at])!r} is no URI") from None
    raise fault or ValueError(f"{text!r} says of a target, but not what it does: write {text}=busy")
