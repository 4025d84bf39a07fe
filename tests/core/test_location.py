"""Location: groups of near-equal q, bindings that live, redirecting (§16.5, §16.6)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.decision import Proxy, Relay, Respond
from sipd.core.location import groups, redirect, target_set
from sipd.errors import TemporarilyUnavailable
from sipd.hop import Hop, Target, Way
from sipd.message import parse_uri
from sipd.rows import Binding
from tests.core.tables import BOB, WALL, House, request

URI = parse_uri("sip:bob@192.0.2.20")


def q_groups(values, **kwargs):
    return [[target.q for target in group] for group in groups([Target(URI, q) for q in values], **kwargs)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([500], [[500]]),
        ([1000, 960], [[1000, 960]]),
        ([1000, 940], [[1000], [940]]),
        ([1000, 950, 900], [[1000, 950], [900]]),  # from the group's highest, inclusive
        ([100, 1000, 500, 490, 960], [[1000, 960], [500, 490], [100]]),
        ([0, 0], [[0, 0]]),
    ],
)
def test_groups(values, expected):
    assert q_groups(values) == expected


@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(0, 200))
def test_groups_hold_everything_in_order_and_none_is_empty(values, spread):
    made = q_groups(values, spread=spread)
    assert [q for group in made for q in group] == sorted(values, reverse=True)
    assert all(group and group[0] - group[-1] <= spread for group in made)
    assert all(one[0] - other[0] > spread for one, other in pairwise(made))


def test_equal_q_keeps_its_order():
    targets = [Target(parse_uri(f"sip:{number}@x.example")) for number in range(5)]
    assert groups(targets) == [targets]


def test_a_negative_spread_is_a_mistake():
    with pytest.raises(ValueError, match="negative"):
        groups([], -1)


def binding(number=1, **changes):
    return Binding(BOB, f"sip:bob@192.0.2.2{number}", expires_at=WALL + 60)._replace(**changes)


def house(*bindings, **settings):
    made = House()
    made.tables.set(auth="none", **settings)
    made.tables.contacts[BOB] = list(bindings)
    return made


def test_a_target_has_what_the_binding_has():
    row = binding(q=700, path=("<sip:edge.example;lr>",), received="tcp:[2001:db8::5]:5070")
    assert target_set([row], WALL) == [
        Target(
            parse_uri("sip:bob@192.0.2.21"),
            700,
            ("<sip:edge.example;lr>",),
            Way(Hop("TCP", "2001:db8::5", 5070)),
            owner=BOB,
        )
    ]


@pytest.mark.parametrize(("left", "lives"), [(1, True), (0, False), (-1, False)])
def test_expired_bindings_are_passed_over(left, lives):
    assert bool(target_set([binding(expires_at=WALL + left)], WALL)) is lives


@pytest.mark.parametrize("rows", [[], [binding(expires_at=WALL - 1)]])
def test_nobody_there_is_480(rows):
    with pytest.raises(TemporarilyUnavailable):
        house(*rows).decide(request())


@pytest.mark.parametrize(
    ("method", "count", "quick"),
    [("INVITE", 1, False), ("INVITE", 2, False), ("MESSAGE", 1, True), ("MESSAGE", 2, False)],
)
def test_one_target_of_a_non_invite_needs_no_task(method, count, quick):
    decision = house(*(binding(number) for number in range(count))).decide(request(method))
    assert isinstance(decision, Proxy)
    assert (len(decision.targets), decision.quick, decision.owner) == (count, quick, BOB)


def test_ack_goes_to_the_first():
    decision = house(binding(1), binding(2)).decide(request("ACK"))
    assert isinstance(decision, Relay)
    assert decision.target.uri.text == "sip:bob@192.0.2.21"


PROXY, REDIRECT = binding(1), binding(2, action="redirect", q=500)


@pytest.mark.parametrize(
    ("rows", "mode", "lines", "redirected"),
    [
        ([PROXY], "proxy", [], False),
        ([REDIRECT], "proxy", [], True),
        ([PROXY, REDIRECT], "proxy", [], False),
        ([PROXY], "redirect", [], True),
        ([PROXY], "proxy", ["Request-Disposition: fork, redirect"], True),
        ([PROXY], "proxy", ["d: proxy"], False),
    ],
)
def test_proxy_or_redirect(rows, mode, lines, redirected):
    decision = house(*rows, mode=mode).decide(request("INVITE", f"sip:{BOB}", *lines))
    assert isinstance(decision, Proxy) != redirected
    if not redirected:
        assert [target.uri.text for target in decision.targets] == ["sip:bob@192.0.2.21"]


def test_a_redirect_lists_the_best_first():
    answer = redirect([Target(URI, 500), Target(parse_uri("tel:+1"), 1000)])
    assert answer == (302, "", (("Contact", "<tel:+1>"), ("Contact", f"<{URI}>;q=0.5")), b"", False, ())


@pytest.mark.parametrize("asked", ["sip", "sips"])
def test_a_redirect_gives_each_contact_under_the_scheme_it_was_registered_by(asked):
    """RFC 5630 §5.4; what the caller makes of it is his matter. No `transport=tls` is written."""
    rows = [binding(1), binding(2)._replace(uri="sips:bob@192.0.2.22")]
    decision = house(*rows, mode="redirect").decide(request("INVITE", f"{asked}:{BOB}"))
    assert isinstance(decision, Respond)
    contacts = [value for name, value in decision.headers if name == "Contact"]
    assert contacts == ["<sip:bob@192.0.2.21>", "<sips:bob@192.0.2.22>"]


@pytest.mark.parametrize(("method", "quick"), [("INVITE", False), ("MESSAGE", True)])
def test_a_foreign_uri_is_its_own_target(method, quick):
    decision = house().decide(request(method, "sip:joe@far.example"))
    assert decision == Proxy((Target(parse_uri("sip:joe@far.example")),), quick=quick)
