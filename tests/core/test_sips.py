from __future__ import annotations

import pytest

from sipd.core.forwarding import Passage, forwarded_copy
from sipd.core.sips import as_asked, may_follow, with_scheme
from sipd.errors import TemporarilyUnavailable
from sipd.hop import Target
from sipd.message import parse, parse_uri
from sipd.seal import Seal


@pytest.mark.parametrize(
    ("asked", "target", "sent"),
    [
        ("sip:bob@a.test", "sip:bob@10.0.0.1", "sip:bob@10.0.0.1"),
        ("sips:bob@a.test", "sips:bob@10.0.0.1;x=1", "sips:bob@10.0.0.1;x=1"),
        ("sip:bob@a.test", "sips:bob@10.0.0.1:5061;transport=tcp", "sip:bob@10.0.0.1:5061;transport=tcp"),
        ("tel:+123", "sips:bob@10.0.0.1", "sips:bob@10.0.0.1"),
        ("sip:bob@a.test", "tel:+123", "tel:+123"),
    ],
)
def test_the_scheme_is_that_of_the_request(asked, target, sent):
    assert as_asked(parse_uri(asked), Target(parse_uri(target))).uri.text == sent


@pytest.mark.parametrize("target", ["sip:bob@10.0.0.1", "tel:+123"])
def test_no_sips_request_goes_to_another_scheme(target):
    with pytest.raises(TemporarilyUnavailable) as refused:
        as_asked(parse_uri("sips:bob@a.test"), Target(parse_uri(target)))
    assert refused.value.status == 480
    assert refused.value.headers == (("Warning", '380 sipd "SIPS Not Allowed"'),)


@pytest.mark.parametrize(
    ("asked", "contact", "may"),
    [
        ("sip:a@x", "sip:b@y", True),
        ("sip:a@x", "sips:b@y", False),
        ("sips:a@x", "sip:b@y", False),
        ("sips:a@x", "sips:b@y", True),
        ("tel:+1", "sips:b@y", True),
    ],
)
def test_a_3xx_is_followed_within_its_scheme(asked, contact, may):
    assert may_follow(parse_uri(asked), parse_uri(contact)) is may


def _request(uri: str, *more: str):
    lines = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/TLS 192.0.2.10:5061;branch=z9hG4bK1",
        "Max-Forwards: 70",
        "From: <sip:a@a.test>;tag=1",
        "To: <sip:b@a.test>",
        "Call-ID: 1",
        "CSeq: 1 INVITE",
        *more,
    ]
    return parse("\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize(
    ("uri", "route", "transport", "setting", "values"),
    [
        ("sips:b@h.test", (), "TLS", True, ["<sips:10.0.0.1:5061;lr;sd="]),
        ("sips:b@h.test", (), "WSS", True, ["<sips:10.0.0.1:5061;lr;sd=", "<sips:10.0.0.2:443;transport=ws;lr;sd="]),
        ("sips:b@h.test", (), "TLS", False, []),
        ("sips:b@h.test", (), "TCP", False, ["<sips:10.0.0.1:5061;lr;sd=", "<sips:10.0.0.2:443;lr;sd="]),
        ("sip:b@h.test", ("Route: <sips:next.test;lr>",), "TLS", True, ["<sips:10.0.0.1:5061;lr;sd="]),
        ("sip:b@h.test", (), "TLS", True, ["<sip:10.0.0.1:5061;transport=tls;lr;sd="]),
        ("sip:b@h.test", (), "TLS", False, ["<sip:10.0.0.1:5061;transport=tls;lr;sd="]),
    ],
)
def test_what_is_recorded_is_sips_where_the_request_goes_by_sips(uri, route, transport, setting, values):
    made = _request(uri, *route)
    near = "10.0.0.1:5061" if transport == "TLS" else "10.0.0.2:443"
    passage = Passage(
        Target(parse_uri(uri)), "z9hG4bK2", "10.0.0.1:5061", "TLS", near, transport, setting, Seal(b"x" * 32)
    )
    sent = parse(forwarded_copy(made, passage))
    recorded = [value.partition("sd=")[0] + "sd=" for value in sent.values("Record-Route")]
    assert recorded == values


def test_a_change_of_scheme_changes_nothing_else():
    assert with_scheme("sips", parse_uri("SIP:b%20b@[::1]:5;a=b?c=d")).text == "sips:b%20b@[::1]:5;a=b?c=d"
