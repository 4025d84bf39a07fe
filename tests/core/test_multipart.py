"""Multipart bodies: the parts, and nothing but BadSyntax for what is none (RFC 2046 §5.1)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.multipart import MAX_PARTS, split_multipart
from sipd.errors import BadSyntax

PART = b"Content-Type: text/plain\r\nX:\r\n y\r\n\r\nbody"


@pytest.mark.parametrize(
    ("body", "bodies"),
    [
        (b"--b\r\n" + PART + b"\r\n--b--", [b"body"]),
        (
            b"before\r\n--b  \r\n" + PART + b"\r\n--b\r\n\r\nsecond\r\n\r\nline\r\n--b--\r\nafter",
            [b"body", b"second\r\n\r\nline"],
        ),
        (b"--b\r\n\r\n\r\n--b--", [b""]),
    ],
)
def test_parts(body, bodies):
    parts = split_multipart(body, "b")
    assert [part.body for part in parts] == bodies


def test_headers_of_a_part():
    (part,) = split_multipart(b"--b\r\n" + PART + b"\r\n--b--", "b")
    assert part.headers == {"content-type": "text/plain", "x": "y"}


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"", "b"),
        (b"--b\r\n\r\nx", "b"),
        (b"--b\r\nno colon\r\n\r\nx\r\n--b--", "b"),
        (b"--bx\r\n\r\nx\r\n--b--", "b"),
        (b"--b\r\nA: b\r\n--b--", "b"),
        (b"--b\r\n\r\nx\r\n--b--", ""),
        (b"--b\r\n\r\nx\r\n--b--", "b" * 71),
        (b"--b\r\n\r\nx\r\n" * (MAX_PARTS + 2) + b"--b--", "b"),
    ],
)
def test_what_is_refused(body, boundary):
    with pytest.raises(BadSyntax):
        split_multipart(body, boundary)


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(body):
    with suppress(BadSyntax):
        split_multipart(b"--b\r\n" + body + b"\r\n--b--", "b")


@given(st.lists(st.binary(max_size=30).filter(lambda text: b"--b" not in text), min_size=1, max_size=MAX_PARTS))
def test_what_was_put_together_comes_apart(bodies):
    whole = b"".join(b"--b\r\nContent-Type: a/b\r\n\r\n" + body + b"\r\n" for body in bodies) + b"--b--\r\n"
    assert [part.body for part in split_multipart(whole, "b")] == bodies
