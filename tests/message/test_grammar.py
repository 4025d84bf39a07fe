"""Lists, quotes, parameters, hosts (§7.3.1, §25.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.message import is_ipv6, quote, split_list, unquote, write_params
from sipd.message.grammar import parse_params, unfold


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        ("  \t", []),
        (" a ", ["a"]),
        ("a,b , c", ["a", "b", "c"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"a,b" <sip:c,d@e>;x="f,g\\",h" , i', ['"a,b" <sip:c,d@e>;x="f,g\\",h"', "i"]),
        ('"<", b', ['"<"', "b"]),
        ('<">, b', ['<">', "b"]),
        ('"a, b', ['"a, b']),
        ("<a, b", ["<a, b"]),
        ('a, "b\\', ["a", '"b\\']),
    ],
)
def test_commas_in_quotes_and_brackets_do_not_part(text: str, elements: list[str]) -> None:
    assert split_list(text) == elements


@given(st.lists(st.text(), min_size=1))
def test_quoted_strings_are_parted_and_come_back(texts: list[str]) -> None:
    texts = [text.translate({13: None, 10: None, 0: None}) for text in texts]
    assert [unquote(element) for element in split_list(", ".join(map(quote, texts)))] == texts


@pytest.mark.parametrize("text", ["a\r", "a\nb", "\0"])
def test_nothing_that_breaks_a_line_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        quote(text)


def test_folds_become_one_blank() -> None:
    assert unfold(" a\r\n \t b \r\n\tc\r\n ") == "a b  c"


def test_parameters_are_written_as_they_were_read() -> None:
    text = ';a;b=c;d="e;f=\\"g";h=[::1]'
    assert write_params(parse_params(text)) == text


def test_ipv6_is_told_from_what_looks_like_it() -> None:
    assert all(map(is_ipv6, ["::", "::1", "2001:db8::192.0.2.1"]))
    assert not any(map(is_ipv6, ["", "1.2.3.4", "fe80::1%eth0", "[::1]", ":::1", "1:2:3:4:5:6:7:8:9"]))
