"""Names as administrators write them become what is stored, or are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.control.verbs import VERBS, Refusal
from sipd.control.verbs.names import address_of_record, domain_name
from sipd.store import domain_key


@pytest.mark.parametrize(
    ("text", "aor"),
    [
        ("alice@example.com", "alice@example.com"),
        ("sip:Alice@EXAMPLE.com.", "Alice@example.com"),
        ("SIPS:%61lice@example.com", "alice@example.com"),
        ("%2561@example.com", "%61@example.com"),  # unescaped once
        ("+15551234@192.0.2.1", "+15551234@192.0.2.1"),
        ("jörg@[2001:DB8::1]", "jörg@2001:db8::1"),
        ("a@b@example.com", "a@b@example.com"),
    ],
)
def test_an_address_in_its_canonical_form(text, aor):
    assert address_of_record(text) == aor


NO_ADDRESSES = [
    "",
    "@",
    "alice",
    "alice@",
    "@example.com",
    "sip:alice",
    "a\nb@h.com",
    "a%0ab@h.com",
    "a%ff@h.com",
    "a:b@h.com",
    "a@ h.com",
    "a@h.123",
    "a@-h.com",
    "a@h.com-",
    "a@h\u212a.com",
    "x" * 300 + "@h.com",
    "a@" + "h" * 64 + ".com",
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Refusal):
        address_of_record(text)


def test_an_alias_means_the_users_of_its_domain():
    assert address_of_record("a@SIP.h.com", {"sip.h.com": "h.com", "h.com": "h.com"}) == "a@h.com"
    with pytest.raises(Refusal, match=r"sipdctl domain add other\.com"):
        address_of_record("a@other.com", {"h.com": "h.com"})


@given(st.text() | st.text(alphabet="aA1.-:[]"))
def test_a_domain_name_is_refused_or_found_again(text):
    try:
        name = domain_name(text)
    except Refusal:
        return
    assert domain_name(name) == name
    assert domain_key(text) == domain_key(name) == name, "what is stored is what a request asks for"


def test_every_verb_is_there_once_and_says_what_it_does():
    names = [(verb.noun, verb.name) for verb in VERBS]
    assert len(set(names)) == len(names)
    assert all(verb.help for verb in VERBS)
    assert all(parameter.help for verb in VERBS for parameter in verb.parameters)
