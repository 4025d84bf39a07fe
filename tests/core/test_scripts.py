"""What a script is told, the order it rings in, and which output a response takes (RFC 3880 §6.1)."""

from __future__ import annotations

import pytest

from sipd.core.scripts import in_order, result_of
from sipd.message import Request, response_to
from tests.cpl.calls import as_words, targets

INVITE = Request.build(
    "INVITE",
    "sip:bob@example.com",
    (
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
        ("From", "<sip:alice@example.com>;tag=1"),
        ("To", "<sip:bob@example.com>"),
        ("Call-ID", "1"),
        ("CSeq", "1 INVITE"),
    ),
)


@pytest.mark.parametrize(
    ("ordering", "groups"),
    [
        ("parallel", ["sip:b@x;q=0.9 sip:a@x;q=0.5 sip:c@x;q=0.5"]),
        ("sequential", ["sip:b@x;q=0.9", "sip:a@x;q=0.5", "sip:c@x;q=0.5"]),
        ("first-only", ["sip:b@x;q=0.9"]),
    ],
)
def test_orderings(ordering: str, groups: list[str]) -> None:
    found = in_order(targets("sip:a@x;q=0.5 sip:b@x;q=0.9 sip:c@x;q=0.5"), ordering)
    assert [as_words(group) for group in found] == groups
    assert in_order((), ordering) == []


@pytest.mark.parametrize(
    ("status", "recurse", "outcome"),
    [
        (486, True, "busy"),
        (600, True, "busy"),
        (408, True, "noanswer"),
        (487, False, "noanswer"),
        (480, True, "failure"),
        (603, True, "failure"),
        (302, True, "failure"),
        (302, False, "redirection"),
    ],
)
def test_which_output_a_response_takes(status: int, recurse: bool, outcome: str) -> None:
    response = response_to(INVITE, status, headers=(("Contact", "<sip:c@x>;q=0.5"),))
    result = result_of(response, recurse=recurse)
    assert result.outcome == outcome
    assert as_words(result.contacts) == ("sip:c@x;q=0.5" if outcome == "redirection" else "")
