"""The words for what phones of a made-up call do."""

from __future__ import annotations

import pytest

from sipd.core.behaviour import Behaviour, behaviour, behaviours
from sipd.message import parse_uri


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("answer", Behaviour(200)),
        ("answer@12", Behaviour(200, 12.0)),
        ("busy@0.5", Behaviour(486, 0.5)),
        ("noanswer", Behaviour(0)),
        ("silent", Behaviour(0, silent=True)),
        ("503", Behaviour(503)),
        ("603@3", Behaviour(603, 3.0)),
        ("redirect:sip:carol@example.com", Behaviour(302, 0.0, ("<sip:carol@example.com>",))),
        ("redirect:sip:carol@example.com@5", Behaviour(302, 5.0, ("<sip:carol@example.com>",))),
        ("redirect:sip:carol@192.0.2.1", Behaviour(302, 0.0, ("<sip:carol@192.0.2.1>",))),
    ],
)
def test_words(word: str, meant: Behaviour) -> None:
    assert behaviour(word) == meant


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("bussy", "'bussy' is no outcome: there are answer, busy"),
        ("", "'' is no outcome"),
        ("700", "is no outcome"),
        ("180", "is no outcome"),
        ("noanswer@5", "noanswer has no time"),
        ("silent@5", "silent has no time"),
        ("redirect:carol", "'carol' is no URI"),
        ("answer@-1", "is no outcome"),
        ("answer@1e9", "is no outcome"),
    ],
)
def test_wrong_words_are_told(word: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"outcome|time|URI") as told:
        behaviour(word)
    assert why in str(told.value)


def test_whom_outcomes_are_of() -> None:
    told = behaviours(
        [
            "busy,answer@3",
            "sip:desk@192.0.2.1=503",
            "sip:cell@example.net;transport=tcp=redirect:sip:a@b;transport=tcp,noanswer",
        ]
    )
    assert told.others == (Behaviour(486), Behaviour(200, 3.0))
    assert told.of(parse_uri("sip:desk@192.0.2.1")) == (Behaviour(503),)
    assert told.of(parse_uri("sip:desk@192.0.2.1;line=1")) == (Behaviour(503),)  # leads to the same place
    cell = told.of(parse_uri("sip:cell@example.net;transport=tcp"))
    assert cell == (Behaviour(302, 0.0, ("<sip:a@b;transport=tcp>",)), Behaviour(0))
    assert told.of(parse_uri("sip:other@192.0.2.1")) is None


def test_the_later_one_counts() -> None:
    told = behaviours(["sip:a@b=busy", "sip:a@b=answer", "busy", "answer"])
    assert told.of(parse_uri("sip:a@b")) == (Behaviour(200),)
    assert told.others == (Behaviour(200),)


@pytest.mark.parametrize("text", ["sip:a@b", "sip:a@b=", "sip:a@b=nonsense", "sip:=busy", "busy,,answer"])
def test_a_bad_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no outcome|no URI|what it does"):
        behaviours([text])
