"""Calls for scripts: Facts from words, and a run that answers effects from a list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sipd.cpl import CplError, Finding, Program, compile, evaluate
from sipd.hop import Target
from sipd.message import parse_address, parse_uri
from sipd.script import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.script import Effect, Final, Result
    from sipd.trace import Trace

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def facts(
    *,
    from_: str = "sip:alice@example.com",
    uri: str = "sip:bob@example.com",
    to: str = "",
    direction: Literal["incoming", "outgoing"] = "incoming",
    **headers: Any,  # header fields of Facts, by name
) -> Facts:
    """A call from alice to bob, but for what is said otherwise."""
    call = Facts(
        owner="bob@example.com",
        direction=direction,
        origin=parse_address(bracketed(from_)),
        destination=parse_uri(uri),
        original_destination=parse_address(bracketed(to or uri)),
        now=NOW,
    )
    return call._replace(**headers)


def bracketed(text: str) -> str:
    return text if "<" in text else f"<{text}>"


def target(text: str) -> Target:
    """`sip:a@b;q=0.5` as a Target."""
    uri, _, q = text.partition(";q=")
    return Target(parse_uri(uri), round(float(q or 1) * 1000))


def targets(text: str) -> tuple[Target, ...]:
    return tuple(target(word) for word in text.split())


def as_words(some: Iterable[Target]) -> str:
    """Targets as they are written in cases."""
    return " ".join(t.uri.text if t.q == 1000 else f"{t.uri.text};q={t.q / 1000:g}" for t in some)


def program(body: str) -> Program:
    """A script of no namespace, compiled."""
    return compile(f"<cpl>{body}</cpl>".encode())


def compiled_or_refused(source: bytes) -> Program | tuple[Finding, ...]:
    """The Program, or the findings when it is refused."""
    try:
        return compile(source)
    except CplError as error:
        return error.findings


def run(
    script: Program, call: Facts, answers: Sequence[Result] = (), trace: Trace | None = None
) -> tuple[list[Effect], Final]:
    """The effects a run yields and how it ends; answers are sent in their order, then None."""
    waiting = list(answers)
    effects = []
    running = evaluate(script, call, trace)
    try:
        effect = next(running)
        while True:
            effects.append(effect)
            effect = running.send(waiting.pop(0) if waiting else None)
    except StopIteration as end:
        return effects, end.value
