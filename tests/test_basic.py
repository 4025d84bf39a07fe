"""Basic: what its token says, and what is none (RFC 7617)."""

from __future__ import annotations

import pytest

from sipd.basic import challenge, credentials
from sipd.errors import BadSyntax
from sipd.message import parse_auth


@pytest.mark.parametrize(
    ("token", "username", "password"),
    [
        ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),  # RFC 7617 §2
        ("dGVzdDoxMjPCow==", "test", "123\u00a3"),  # RFC 7617 §2.1: UTF-8
        ("dGVzdDoxMjOj", "test", "123\udca3"),  # the same in Latin-1
        ("YTpiOmM=", "a", "b:c"),  # the first colon ends the name
        ("Og==", "", ""),
    ],
)
def test_examples(token, username, password):
    assert credentials(token) == (username, password)


@pytest.mark.parametrize("token", ["", "YQ==", "YTpi!", "=", "YTpiDQ", "YTpi\r\n", "YTo=YTo=", "YToA", "YToK", "Cg=="])
def test_what_is_no_token_is_malformed(token):
    with pytest.raises(BadSyntax):
        credentials(token)


def test_a_challenge_can_be_read_back():
    assert parse_auth(challenge('our "realm"')) == ("basic", {"realm": 'our "realm"', "charset": "UTF-8"}, "")
