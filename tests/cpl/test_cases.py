"""The table of cases: tests/cpl/cases/*.xml, scripts with calls and what must come of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lxml import etree

from sipd.cpl import compile
from sipd.script import Default, Log, Lookup, LookupResult, ProxyResult, ProxyTo, Redirect, Reject
from tests.cpl.calls import as_words, facts, run, targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark.structures import ParameterSet

    from sipd.script import Effect, Final, Result

CASES = Path(__file__).parent / "cases"
FACTS = {"from": "from_", "user-agent": "user_agent", "accept-language": "accept_language"}
ANSWERS = {("lookup", "outcome"), ("lookup", "targets"), ("proxy", "outcome"), ("proxy", "targets-back")}
"""Attributes of an expected effect that say what it is answered with."""


def all_calls() -> Iterator[ParameterSet]:
    for file in sorted(CASES.glob("*.xml")):
        for case in etree.parse(file).getroot().iterfind("case"):
            (script,) = case.iterfind("cpl")
            source = etree.tostring(script, with_tail=False, encoding="UTF-8")
            for call in case.iterfind("call"):
                yield pytest.param(source, call, id=f"{file.name}:{call.sourceline}: {case.get('rule')}")


def outcome_of(element: etree._Element) -> Result:
    """What a test answers to an effect."""
    back = targets(element.get("targets-back", "") if element.tag == "proxy" else element.get("targets", ""))
    outcome: Any = element.get("outcome")
    if element.tag == "lookup":
        return LookupResult(outcome, back)
    if element.tag == "proxy":
        return ProxyResult(outcome, back)
    return None


def in_words(value: Effect | Final) -> dict[str, str]:
    """An effect or an end as the cases write it."""
    match value:
        case Lookup(source, timeout):
            return {"tag": "lookup", "source": source, "timeout": f"{timeout:g}"}
        case ProxyTo(some, ordering, timeout, recurse):
            seconds = "" if timeout is None else f"{timeout:g}"
            words = {"targets": as_words(some), "ordering": ordering, "timeout": seconds}
            return {"tag": "proxy", **words, "recurse": "yes" if recurse else "no"}
        case Log(name, comment):
            return {"tag": "log", "name": name, "comment": comment}
        case Reject(status, reason):
            return {"tag": "reject", "status": str(status), "reason": reason}
        case Redirect(some, permanent):
            return {"tag": "redirect", "targets": as_words(some), "permanent": "yes" if permanent else "no"}
        case Default(None, proxied):
            return {"tag": "default", "proxied": "yes" if proxied else "no"}
        case Default(some, _):
            return {"tag": "default", "targets": as_words(some or ()), "proxied": "no"}
    raise AssertionError(value)


@pytest.mark.parametrize(("source", "call"), list(all_calls()))
def test_case(source: bytes, call: etree._Element) -> None:
    words: Any = {FACTS.get(name, name): value for name, value in call.attrib.items()}
    expected = [{"tag": element.tag, **element.attrib} for element in call]
    answers = [outcome_of(element) for element in call]
    effects, end = run(compile(source), facts(**words), answers)
    seen = [in_words(value) for value in (*effects, end)]
    assert [each["tag"] for each in seen] == [each["tag"] for each in expected]
    for got, wanted in zip(seen, expected, strict=True):
        wanted = {name: value for name, value in wanted.items() if (got["tag"], name) not in ANSWERS}
        assert {name: got.get(name) for name in wanted} == wanted
        if got["tag"] == "default":
            assert ("targets" in got) == ("targets" in wanted)
