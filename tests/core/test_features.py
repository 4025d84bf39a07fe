"""Feature parameters as sets, and when two of them meet (RFC 3840 §5, §9; RFC 3841 §7.2.3, §7.2.4, §8)."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.features import MOST_RANGES, Term, features_of, match, overlap, predicate
from sipd.errors import BadSyntax
from sipd.message import parse_params


def said(text):
    return predicate(parse_params(text))


def term(value):
    """The set that `;+x="value"` writes."""
    return said(f';+x="{value}"')["x"]


def test_the_example_of_rfc_3841_section_8():
    assert said(
        ';mobility="fixed";events="!presence,message-summary";language="en,de";description="<PC>"'
        ';+sip.newparam;+rangeparam="#-4:+5.125"'
    ) == {
        "sip.mobility": Term(frozenset({"fixed"})),
        "sip.events": Term(frozenset({"message-summary"}), frozenset({"presence"})),
        "language": Term(frozenset({"en", "de"})),
        "sip.description": Term(frozenset({"<PC>"})),
        "sip.newparam": Term(frozenset({"true"})),
        "rangeparam": Term(ranges=((-4.0, 5.125),)),
    }


def test_the_contact_of_rfc_3841_section_7_2_3_leaves_out_what_is_no_feature():
    made = features_of(
        ';audio;video;mobility="fixed";+sip.message="TRUE";other-param=66372;'
        'methods="INVITE,OPTIONS,BYE,CANCEL,ACK";schemes="sip,http"'
    )
    assert set(made) == {
        "sip.audio", "sip.video", "sip.mobility", "sip.message", "sip.methods", "sip.schemes"
    }  # fmt: skip
    assert made["sip.message"] == made["sip.audio"], "no value is TRUE"
    assert "invite" in made["sip.methods"].values, "tokens in any case"


def test_tags_are_decoded_and_the_plus_form_of_a_base_tag_is_dropped():
    assert set(said(";+urn!x'y")) == {"urn:x/y"}
    assert said(';+sip.video="FALSE";video') == {"sip.video": term("TRUE")}


def test_the_instance_of_a_binding_is_a_feature_of_it():
    assert match(features_of("", "<urn:uuid:1>"), said(';+sip.instance="<urn:uuid:1>"'))
    assert not match(features_of("", "<urn:uuid:1>"), said(';+sip.instance="<urn:uuid:2>"'))


def test_what_a_phone_registered_badly_says_nothing():
    assert features_of(';audio;+x="#five";language=","') == {"sip.audio": term("TRUE")}
    assert features_of(';a="') == {}


OVERLAPS = [
    # one, other, whether they have a value in common
    ("TRUE", "true", True),
    ("TRUE", "FALSE", False),
    ("!TRUE", "FALSE", True),
    ("!TRUE", "TRUE", False),
    ("en,de", "DE,fr", True),
    ("en,de", "fr", False),
    ("!en", "en,de", True),  # de is right for both
    ("!en", "en", False),
    ("!en,!de", "en", True),  # either of two negations is enough: everything
    ("!en", "!en", True),
    ("!en,fr", "en", False),
    ("<PC>", "<PC>", True),
    ("<PC>", "<pc>", False),  # the case of a string counts
    ("<pc>", "pc", False),  # a string is no token
    ("!pc", "<pc>", True),
    ("#=5", "#=5.0", True),
    ("#=5", "#=+5.", True),
    ("#=5", "#=6", False),
    ("#>=5", "#<=5", True),
    ("#>=5.1", "#<=5", False),
    ("#-4:+5.125", "#5.125:7", True),
    ("#-4:5", "#5.1:7", False),
    ("#7:5", "#=6", False),  # no number is over 7 and under 5
    ("#1:2,#5:6", "#3:4,#=6", True),
    ("#=5", "5", False),  # a number is no token
    ("!#=5", "#=5", False),
    ("!#=5", "#4:5", True),
    ("!#>=3", "#>=2", True),
    ("!#>=3", "#=7", False),
    ("!#>=3", "!#<=5", False),  # under 3, and over 5
    ("!#>=3", "!#>=5", True),
    ("!#>=3", "!en", True),
    ("!#=5", "en", True),
    ("!en", "#=5", True),
]


@pytest.mark.parametrize(("one", "other", "expected"), OVERLAPS)
def test_overlap(one, other, expected):
    assert overlap(term(one), term(other)) is expected
    assert overlap(term(other), term(one)) is expected, "the order says nothing"


@pytest.mark.parametrize(
    "value", ["", ",", "a,,b", "!", "<PC", "#", "#5", "#>5", "#=", "#=x", "#1:", "#:1", "#1:2:3", "#=\u0665", "#=1e3"]
)
def test_what_is_no_feature_value_is_a_bad_request(value):
    with pytest.raises(BadSyntax):
        term(value)


def test_numbers_to_compare_are_few():
    assert len(term(",".join(["#=1"] * MOST_RANGES)).ranges) == MOST_RANGES
    with pytest.raises(BadSyntax, match="Too many"):
        term(",".join(["#=1"] * (MOST_RANGES + 1)))


def test_a_number_of_any_length_is_read():
    assert term("#=" + "9" * 400).ranges == ((inf, inf),)


ITEMS = st.sampled_from(["a", "b", "!a", "!b", "#=1", "#1:2", "#>=2", "!#=1", "!#<=1"])


@given(st.lists(ITEMS, min_size=1, max_size=4), st.lists(ITEMS, min_size=1, max_size=4))
def test_overlap_is_that_of_the_sets_of_values(one, other):
    """Against the meaning itself: some value of a small world is right for an item of each list."""
    world = ["a", "b", "c", 0.0, 1.0, 1.5, 2.0, 3.0]

    def right(item, value):
        if item.startswith("!"):
            return not right(item[1:], value)
        if isinstance(value, str):
            return item == value
        return {"#=1": value == 1, "#1:2": 1 <= value <= 2, "#>=2": value >= 2, "#<=1": value <= 1}.get(item, False)

    # A tag whose values are numbers has no others: what is not 1 is then another number.
    numbers = all("#" in item for item in one + other)
    values = [value for value in world if not (numbers and isinstance(value, str))]
    meant = any(any(right(x, value) for x in one) and any(right(y, value) for y in other) for value in values)
    assert overlap(term(",".join(one)), term(",".join(other))) is meant
