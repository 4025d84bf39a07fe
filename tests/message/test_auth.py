"""Credentials (§20.7, T10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.errors import BadSyntax
from sipd.message import parse_auth, quote


@pytest.mark.parametrize(
    ("text", "scheme", "params"),
    [
        (
            'Digest username="a\\"b", QOP=auth ,nc=00000001',
            "digest",
            {"username": 'a"b', "qop": "auth", "nc": "00000001"},
        ),
        ('DIGEST \t uri="sip:a,b", opaque=""', "digest", {"uri": "sip:a,b", "opaque": ""}),
        ("NoOneKnowsThisScheme opaque-data=here", "nooneknowsthisscheme", {"opaque-data": "here"}),
        ("Basic dGVzdA==", "basic", {}),
    ],
)
def test_credentials_are_read(text: str, scheme: str, params: dict[str, str]) -> None:
    assert parse_auth(text)[:2] == (scheme, params)


def test_what_stands_in_place_of_parameters_is_read() -> None:
    assert parse_auth("Basic dGVzdA==") == ("basic", {}, "dGVzdA==")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "Digest",
            "Digest ",
            "Digest ,",
            'Digest a="b',
            'Digest a="b"c',
            "Digest a=b,",
            "Digest a=b,,c=d",
            "Digest =b",
        ),
        *(
            "Digest a=",
            "Digest a=b c=d",
            "Digest a=b, A=c",
            'Digest a="b" c="d"',
            'Digest "a"=b',
            "Digest a b",
            "a=b",
            "Dig\0est a=b",
        ),
        *('Digest a="\\"', "Digest a=b;c", "Digest a=\u00e9", "Digest\u00a0a=b", "Digest a==\x00"),
    ],
)
def test_what_is_no_credentials_raises(text: str) -> None:
    with pytest.raises(BadSyntax):
        parse_auth(text)


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,6}\Z"), st.text(st.characters(exclude_categories=["Cc"])), min_size=1))
def test_quoted_values_come_back(params: dict[str, str]) -> None:
    text = "Digest " + ", ".join(f"{name}={quote(value)}" for name, value in params.items())
    assert parse_auth(text) == ("digest", params, "")
