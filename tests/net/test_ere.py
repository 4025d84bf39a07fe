from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.net.ere import BadExpression, compile_ere, match


@pytest.mark.parametrize(
    ("expression", "text", "groups"),
    [
        ("^(\\+441632960083)$", "+441632960083", ("+441632960083",) * 2),
        ("^.*$", "+44", ("+44",)),
        ("", "+44", ("",)),
        ("^\\+44(.*)$", "+4420", ("+4420", "20")),
        ("^\\+(..)(..)?(.*)$", "+441", ("+441", "44", "", "1")),
        ("(A(B(C)DE)(F)G)", "ABCDEFG", ("ABCDEFG", "ABCDEFG", "BCDE", "C", "F")),
        ("44|442", "+4420", ("442",)),
        ("abc|b", "abc", ("abc",)),
        ("a*", "baa", ("",)),
        ("(1|2|3){2,3}", "12345", ("123", "3")),
        ("^[[:digit:]+-]{3}$", "+1-", ("+1-",)),
        ("^[^0-9]", "+1", ("+",)),
        ("^\\d+$", "123", ("123",)),
        ("[]x]", "a]", ("]",)),
        ("x", "abc", None),
        ("^b", "ab", None),
        ("a$", "ab", None),
        ("1{2}", "1", None),
        ("(a*)*b", "aaac", None),
    ],
)
def test_matches(expression, text, groups):
    assert match(compile_ere(expression), text) == groups


@pytest.mark.parametrize(
    "expression",
    [
        *("(", ")", "a)", "*", "a|*", "a{2", "a{2,1}", "a{256}", "a{x}", "a{,2}", "[a", "[z-a]", "[[:what:]]", "\\"),
        *("(" * 100 + ")" * 100, "((((a{99}){99}){99}){99})", "a{1,255}" * 20),
    ],
)
def test_what_is_no_expression_is_refused(expression):
    with pytest.raises(BadExpression):
        compile_ere(expression)


@pytest.mark.parametrize("expression", ["^(a*)*$", "^((a|a)*)*b", "^(a|aa|aaa|a|a|a)*c", "(a?){60}a{60}", "((a*)*)*$b"])
def test_no_expression_takes_long(expression):
    begun = time.process_time()
    match(compile_ere(expression), "a" * 30)
    assert time.process_time() - begun < 0.2


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("({})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(_EXPRESSIONS, st.text("abc", max_size=6))
def test_the_first_and_longest_is_found(expression, text):
    """Every part of the text against Python's own, from the left, the longest first."""
    parts = (text[begin:end] for begin in range(len(text) + 1) for end in range(len(text), begin - 1, -1))
    expected = next((part for part in parts if re.fullmatch(expression, part)), None)
    found = match(compile_ere(expression), text)
    assert (None if found is None else found[0]) == expected


@given(st.text("a+*?{}()[]|^$\\.,12:-", max_size=20), st.text("a1+", max_size=15))
def test_nothing_else_is_ever_raised(expression, text):
    try:
        program = compile_ere(expression)
    except BadExpression:
        return
    match(program, text)
