"""URIs (§19.1)."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.errors import BadSyntax
from sipd.message import Uri, parse_uri, sip_uri

SETS_OF_EQUALS = [  # §19.1.4
    ["sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"],
    ["sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"],
    ["sip:carol@chicago.com", "sip:carol@chicago.com;security=on"],
    [
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ],
    [
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ],
    # ours
    ["sip:a@[2001:db8:0:0::1]", "sip:a@[2001:DB8::1]"],
    ["sip:a%2fb@example.com", "sip:a%2Fb@example.com"],
    ["tel:+1-201-555-0123", "tel:+12015550123"],
    ["sip:a@example.com.", "sip:a@EXAMPLE.com"],
]
DIFFERENT = [  # §19.1.4
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    # ours
    ("sip:a@example.com", "sips:a@example.com"),
    ("sip:a@example.com", "sip:example.com"),
    ("sip:a:@example.com", "sip:a@example.com"),
    ("sip:a%2Fb@example.com", "sip:a/b@example.com"),
    ("sip:a@example.com;maddr=192.0.2.1", "sip:a@example.com"),
    ("sip:a@example.com;lr=x", "sip:a@example.com;lr"),
    ("sip:a%00@example.com", "sip:a@example.com"),
    ("tel:+12015550123", "tel:12015550123"),
    ("mailto:a@example.com", "mailto:b@example.com"),
    ("tel:+12015550123", "sip:+12015550123@example.com"),
]


@pytest.mark.parametrize("equal", SETS_OF_EQUALS)
def test_these_are_equivalent(equal: list[str]) -> None:
    one, other = map(parse_uri, equal)
    assert one.same_as(other)
    assert other.same_binding(one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_these_are_not_equivalent(one: str, other: str) -> None:
    assert not parse_uri(one).same_as(parse_uri(other))
    assert not parse_uri(other).same_as(parse_uri(one))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sip:example.com", ("sip", None, None, "example.com", None, (), "")),
        ("SIPS:bob:@h:5061", ("sips", "bob", "", "h", 5061, (), "")),
        ("sip:bob:x%3A@[::1]:1;LR;a=%41?b=c", ("sip", "bob", "x%3A", "::1", 1, (("lr", None), ("a", "%41")), "b=c")),
        ("sip:a;b?c@h", ("sip", "a;b?c", None, "h", None, (), "")),
        ("sip:*21#@h_1", ("sip", "*21#", None, "h_1", None, (), "")),
        (
            "tel:+1-201(5);phone-context=x",
            ("tel", "+1-201(5)", None, "", None, (("phone-context", "x"),), ""),
        ),
        ("urn:service:sos", ("urn", None, None, "", None, (), "")),
    ],
)
def test_the_parts_are_as_written(text: str, parts: tuple[object, ...]) -> None:
    uri = parse_uri(text)
    assert uri == (text, *parts)
    assert str(uri) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "sip", "sip:", "sips:", ":x", "1sip:h", "sip:@h", "sip:a@", "sip:x@.1", "sip:x@[::1", "sip:x@::1"),
        *(
            "sip:h:",
            "sip:h:0",
            "sip:h:65536",
            "sip:h:99999999999",
            "sip:h:\u0661",
            "sip:h:-1",
            "sip:h: 1",
            "sip:h:5060x",
        ),
        *("sip:a..b", "sip:.a", "sip:-a", "sip:1.2.3", "sip:1.2.3.256", "sip:1234", "sip:a@b@c", "sip:a b@c", "sip:h;"),
        *(
            "sip:h;;a",
            "sip:h;=a",
            "sip:h;a=",
            "sip:h;a=b=c",
            "sip:h;a;A=1",
            "sip:h?",
            "sip:h;a=<",
            "sip:h?a=b c",
            "<sip:h>",
        ),
        *("sip:%zz@h", "sip:%4@h", "sip:a%@h", "sip:h;a=%g0", "sip:\u00e9@h", "sip:a\r\nb@h", "sip:a\0@h", 'sip:"a"@h'),
        *("sip:[1.2.3.4]", "sip:[::1]x", "sip:[fe80::1%25eth0]", "sip:[::g]", "sip:[]", "sip:" + "a" * 300),
        *("tel:", "tel:;a=b", "tel:+1 2", "tel:1;a=%zz", "mailto:", "mailto:a b", "urn:<x>", "x:\u2028", "http:\x7f"),
    ],
)
def test_what_is_no_uri_raises(text: str) -> None:
    with pytest.raises(BadSyntax):
        parse_uri(text)


def test_transport_is_what_it_asks_for() -> None:
    asked = {"sip:h": "UDP", "sip:h;transport=TcP": "TCP", "sips:h": "TLS", "sips:h;transport=tcp": "TLS"}
    asked |= {"sips:h;transport=ws": "WSS", "sip:h;transport=ws": "WS"}
    assert {text: parse_uri(text).transport for text in asked} == asked


def test_parameters_are_set_and_taken_away() -> None:
    uri = parse_uri("sip:bob:x@[::1]:5070;a=b;lr?c=d").with_params(a=None, ob="", x="y")
    assert uri.text == "sip:bob:x@[::1]:5070;lr;ob;x=y"
    assert (uri.param("lr"), uri.param("x"), uri.param("a")) == ("", "y", None)


def test_escapes_in_the_user_part_are_resolved_once() -> None:
    assert parse_uri("sip:a%2541%00%C3%A9%ff@h").user_unescaped == "a%41\0é\udcff"


USERS = st.text(string.ascii_letters + string.digits + "-_.!~*'()&=+$,;?/#", min_size=1, max_size=12)
HOSTS = st.one_of(
    st.from_regex(r"\A[a-z][a-z0-9]{0,5}(\.[a-z][a-z0-9-]{0,4}[a-z]){0,3}\Z"),
    st.ip_addresses().map(str),
)
WORDS = st.text(string.ascii_lowercase + string.digits + "-_.!~*'()[]/:&+$", min_size=1, max_size=8)
PARAMS = st.dictionaries(WORDS, st.none() | WORDS, max_size=4).map(lambda found: tuple(found.items()))


@st.composite
def uris(draw: st.DrawFn) -> Uri:
    user = draw(st.none() | USERS)
    return sip_uri(
        draw(HOSTS),
        draw(st.none() | st.integers(1, 65535)),
        user=user,
        password=draw(st.none() | st.just("p%40")) if user else None,
        params=draw(PARAMS),
        scheme=draw(st.sampled_from(["sip", "sips"])),
    )


@given(uris())
def test_a_uri_put_together_is_read_as_the_same(uri: Uri) -> None:
    again = parse_uri(str(uri))
    assert again == uri
    assert again.same_as(uri)
    assert (
        sip_uri(uri.host, uri.port, user=uri.user, password=uri.password, params=uri.params, scheme=uri.scheme) == uri
    )


@given(uris(), uris())
def test_equivalence_works_both_ways(one: Uri, other: Uri) -> None:
    assert one.same_as(other) == other.same_as(one)
