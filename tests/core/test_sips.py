from __future__ import annotations

import pytest

from sipd.core.sips import as_asked, may_follow, with_scheme
from sipd.errors import TemporarilyUnavailable
from sipd.hop import Target
from sipd.message import parse_uri


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


def test_a_change_of_scheme_changes_nothing_else():
    assert with_scheme("sips", parse_uri("SIP:b%20b@[::1]:5;a=b?c=d")).text == "sips:b%20b@[::1]:5;a=b?c=d"
