"""Digest: the RFCs' own vectors, and what is not taken for an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.digest import ALGORITHMS, Credentials, challenge, credentials, expected, ha1, verify
from sipd.errors import BadSyntax
from sipd.message import parse_auth

HTTP_7616 = Credentials(
    "Mufasa",
    "http-auth@example.org",
    "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "/dir/index.html",
    "",
    "MD5",
    "auth",
    "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "00000001",
)
HTTP_2617 = Credentials(
    "Mufasa",
    "testrealm@host.com",
    "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    "/dir/index.html",
    "",
    "MD5",
    "auth",
    "0a4f113b",
    "00000001",
)


@pytest.mark.parametrize(
    ("claim", "password", "response"),
    [
        (HTTP_7616, "Circle of Life", "8ca523f5e9506fed4657c9700eebdbec"),  # RFC 7616 §3.9.1
        (
            HTTP_7616._replace(algorithm="SHA-256"),
            "Circle of Life",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        (HTTP_2617, "Circle Of Life", "6629fae49393a05397450978507c4ef1"),  # RFC 2617 §3.5
        (
            HTTP_2617._replace(qop="", cnonce="", nc=""),
            "CircleOfLife",
            "1949323746fe6a43ef61f9606e7febea",  # RFC 2069 §2.4, as its erratum has it
        ),
    ],
)
def test_vectors_of_the_rfcs(claim, password, response):
    secret = ha1(claim.username, claim.realm, password, claim.algorithm)
    assert expected(secret, "GET", claim) == response
    assert verify(secret, "GET", claim._replace(response=response))


def test_auth_int_covers_the_body():
    secret = ha1("alice", "example.com", "secret")
    claim = HTTP_2617._replace(qop="auth-int")
    signed = claim._replace(response=expected(secret, "REGISTER", claim, b"body"))
    assert verify(secret, "REGISTER", signed, b"body")
    assert not verify(secret, "REGISTER", signed, b"another")


@pytest.mark.parametrize("response", ["", "0", "ä" * 32, "\udcff", "8ca523f5e9506fed4657c9700eebdbe"])
def test_a_response_that_is_no_digest_is_just_wrong(response):
    assert not verify(ha1("a", "r", "p"), "INVITE", HTTP_7616._replace(response=response))


@pytest.mark.parametrize("changed", [{"algorithm": "MD5-sess"}, {"algorithm": "FOO"}, {"qop": "auth-conf"}])
def test_what_is_never_offered_never_verifies(changed):
    assert not verify("0" * 32, "INVITE", HTTP_7616._replace(**changed))


@given(
    st.sampled_from(sorted(ALGORITHMS)), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.booleans()
)
def test_only_the_right_password_verifies(algorithm, username, password, guess, with_qop):
    claim = HTTP_7616._replace(username=username, algorithm=algorithm)
    if not with_qop:
        claim = claim._replace(qop="", nc="", cnonce="")
    claim = claim._replace(response=expected(ha1(username, claim.realm, password, algorithm), "INVITE", claim))
    assert verify(ha1(username, claim.realm, guess, algorithm), "INVITE", claim) == (guess == password)


PARAMS = {"username": "a", "realm": "r", "nonce": "n", "uri": "sip:x", "response": "f"}


@pytest.mark.parametrize("missing", PARAMS)
def test_credentials_without_a_needed_parameter_are_malformed(missing):
    with pytest.raises(BadSyntax):
        credentials({name: value for name, value in PARAMS.items() if name != missing})


@pytest.mark.parametrize(
    "more", [{"qop": "auth"}, {"qop": "auth", "nc": "00000001"}, {"qop": "auth", "cnonce": "c", "nc": "1"}]
)
def test_qop_needs_cnonce_and_eight_hex_digits(more):
    with pytest.raises(BadSyntax):
        credentials(PARAMS | more)


def test_credentials_read():
    made = credentials(PARAMS | {"algorithm": "sha-256", "qop": "auth", "cnonce": "c", "nc": "0000001F"})
    assert made == Credentials("a", "r", "n", "sip:x", "f", "SHA-256", "auth", "c", "0000001F")
    assert made.nonce_count == 31
    assert credentials(PARAMS).nonce_count == 0


@pytest.mark.parametrize("stale", [False, True])
def test_a_challenge_can_be_read_back(stale):
    made = parse_auth(challenge('our "realm"', "abc", "SHA-256", stale=stale))
    wanted = {"realm": 'our "realm"', "nonce": "abc", "algorithm": "SHA-256", "qop": "auth"}
    assert made == ("digest", wanted | {"stale": "true"} if stale else wanted)
