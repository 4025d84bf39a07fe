"""Digest: the RFCs' own vectors, and what is not taken for an answer."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd import digest
from sipd.digest import ALGORITHMS, DIGITS, Credentials, challenge, credentials, expected, ha1, verify
from sipd.errors import BadSyntax, SetupError
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
API_7616 = Credentials(
    "Jäsøn Doe",
    "api@example.org",
    "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    "/doe.json",
    "",
    "SHA-512-256",
    "auth",
    "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
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
        (
            API_7616,  # RFC 7616 §3.9.2 as erratum 4897 has it: what is printed there is cut from SHA-512
            "Secret, or not?",
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
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


def test_what_is_printed_in_rfc_7616_3_9_2_is_no_sha_512_256(monkeypatch):
    """It is SHA-512 cut to 256 bits (erratum 4897): all else of our sum is as the RFC has it."""
    monkeypatch.setitem(ALGORITHMS, "SHA-512-256", lambda text: hashlib.sha512(text).hexdigest()[:64])
    secret = ha1(API_7616.username, API_7616.realm, "Secret, or not?", "SHA-512-256")
    assert expected(secret, "GET", API_7616) == "ae66e67d6b427bd3f120414a82e4acff38e8ecd9101d6c861229025f607a79dd"


SAID_7616 = (
    'realm="api@example.org", uri="/doe.json", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, '
    'cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", qop=auth, '
    'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS"'
)


@pytest.mark.parametrize("name", ["username*=UTF-8''J%C3%A4s%C3%B8n%20Doe", "username*=utf-8'en'J%C3%A4s%C3%B8n%20Doe"])
def test_the_header_field_of_rfc_7616_3_9_2_is_read_and_right(name):
    claim = credentials(parse_auth(f"Digest {name}, {SAID_7616}, userhash=false").params)
    assert claim == API_7616._replace(response=claim.response)
    assert verify(ha1("Jäsøn Doe", "api@example.org", "Secret, or not?", "SHA-512-256"), "GET", claim)


@pytest.mark.parametrize(
    "name",
    [
        "username=a, username*=UTF-8''a",  # both: an error (§3.4)
        "username*=a",
        "username*=UTF-8''",
        "username*=ISO-8859-1''%E4",
        "username*=UTF-8''%E4",
        "username*=UTF-8''%",
        "username*=UTF-8''a%0d%0aX",
        "username*=UTF-8''a%00",
    ],
)
def test_a_username_that_is_not_as_it_should_be_is_malformed(name):
    with pytest.raises(BadSyntax):
        credentials(parse_auth(f"Digest {name}, {SAID_7616}").params)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_hash_of_no_body_is_that_of_the_empty_string(algorithm):
    """RFC 8760 §2.6 item 7; the value printed there is of SHA-256."""
    assert len(ALGORITHMS[algorithm](b"")) == DIGITS[algorithm]
    if algorithm == "SHA-256":
        assert ALGORITHMS[algorithm](b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    claim = HTTP_7616._replace(algorithm=algorithm, qop="auth-int")
    inner = ALGORITHMS[algorithm](b"INVITE:/dir/index.html:" + ALGORITHMS[algorithm](b"").encode())
    whole = f"secret:{claim.nonce}:{claim.nc}:{claim.cnonce}:auth-int:{inner}"
    assert expected("secret", "INVITE", claim) == ALGORITHMS[algorithm](whole.encode())


def test_sha_512_256_is_that_of_fips_180_4():
    """The published example for the message 'abc'."""
    assert ALGORITHMS["SHA-512-256"](b"abc") == "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"


def test_a_python_without_sha_512_256_says_so(monkeypatch):
    digest.check_algorithms(["SHA-512-256", "MD5"])
    monkeypatch.delitem(ALGORITHMS, "SHA-512-256")
    digest.check_algorithms(["SHA-256", "MD5"])
    with pytest.raises(SetupError, match="SHA-512-256"):
        digest.check_algorithms(["SHA-512-256", "MD5"])


def test_the_look_for_sha_512_256_can_find_none(monkeypatch):
    def unknown(name, text):
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr(hashlib, "new", unknown)
    assert not digest._has_sha512_256()


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
@pytest.mark.parametrize("qop", ["auth", "auth,auth-int"])
def test_a_challenge_can_be_read_back(stale, qop):
    made = parse_auth(challenge('our "realm"', "abc", "SHA-256", qop=qop, stale=stale))
    wanted = {"realm": 'our "realm"', "nonce": "abc", "algorithm": "SHA-256", "qop": qop}
    assert made.params == (wanted | {"stale": "true"} if stale else wanted)


def test_a_challenge_has_the_quotation_marks_it_must():
    """RFC 7616 §3.3: round realm, nonce and qop, and not round algorithm and stale."""
    made = challenge("r", "n", "SHA-256", qop="auth,auth-int", stale=True)
    assert made == 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth,auth-int", stale=true'
