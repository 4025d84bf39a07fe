"""Hops and Ways as text: what a binding keeps can be read again, anything else is refused."""

import pytest

from sipd.hop import Hop, Way

UDP, SIX = Hop("UDP", "192.0.2.1", 5060), Hop("TCP", "2001:db8::1", 40000)


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (Way(UDP), "udp:192.0.2.1:5060"),
        (Way(UDP, Hop("UDP", "0.0.0.0", 5062)), "udp:192.0.2.1:5060|0.0.0.0:5062"),
        (Way(SIX, Hop("TCP", "::", 5060)), "tcp:[2001:db8::1]:40000|[::]:5060"),
    ],
)
def test_a_way_is_written_and_read_again(way, text):
    assert str(way) == text
    assert Way.from_text(text) == way


@pytest.mark.parametrize(
    "text", ["", "udp", "udp:192.0.2.1", "udp:192.0.2.1:x", "udp:192.0.2.1:65536", "udp:a:5|", "|", "udp:a:1|b"]
)
def test_what_is_no_way(text):
    with pytest.raises(ValueError, match="not transport:host:port"):
        Way.from_text(text)


def test_hops_to_other_names_are_other_hops():
    assert UDP._replace(name="a.example") != UDP._replace(name="b.example")
    assert str(UDP._replace(name="a.example")) == str(UDP)
