"""Header field names (§7.3) and reason phrases (§21)."""

from __future__ import annotations

import pytest

from sipd.errors import BadSyntax
from sipd.message import STATUS, canonical_name
from sipd.message.headers import CANONICAL, COMPACT, LISTS, SINGLE


@pytest.mark.parametrize("name", sorted(set(CANONICAL.values())))
def test_every_spelling_of_a_known_name_is_one_object(name: str) -> None:
    for spelling in (name, name.lower(), name.upper(), name.swapcase()):
        assert canonical_name(spelling) is CANONICAL[name]


def test_compact_forms_and_tables_name_known_fields() -> None:
    for short, name in COMPACT.items():
        assert canonical_name(short) == canonical_name(short.upper()) == name
    assert set(CANONICAL) >= LISTS | SINGLE


def test_an_unknown_name_is_title_cased() -> None:
    assert canonical_name("x-FOO-bar") == "X-Foo-Bar"
    assert canonical_name("x" * 100) == "X" + "x" * 99


@pytest.mark.parametrize("name", ["", " ", "Via ", "Vi a", "Via\0", "V\u0131a", "\u212a", "a:b"])
def test_what_is_no_token_is_no_name(name: str) -> None:
    with pytest.raises(BadSyntax):
        canonical_name(name)


def test_every_status_of_rfc_3261_has_its_phrase() -> None:
    assert len(STATUS) == len(set(STATUS)) >= 49
    assert (STATUS[100], STATUS[480], STATUS[606]) == ("Trying", "Temporarily Unavailable", "Not Acceptable")
