from __future__ import annotations

import os

from sipd.net.hosts import Hosts, WatchedFile, parse_hosts

TEXT = """
# comment
127.0.0.1   localhost
192.0.2.1\tPbx.example.com pbx  # the old one
2001:DB8::1 pbx
not-an-address pbx
192.0.2.2
"""


def test_names_have_their_addresses_in_the_order_of_the_file():
    assert parse_hosts(TEXT) == {
        "localhost": ("127.0.0.1",),
        "pbx.example.com": ("192.0.2.1",),
        "pbx": ("192.0.2.1", "2001:db8::1"),
    }


def test_localhost_needs_no_file(tmp_path):
    hosts = Hosts(tmp_path / "none")
    hosts.refresh()
    assert hosts.addresses("localhost") == ("127.0.0.1", "::1")
    assert hosts.addresses("a.localhost") == ("127.0.0.1", "::1")
    assert hosts.addresses("example.com") == ()


def test_the_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 pbx\n")
    hosts = Hosts(path)
    assert hosts.refresh()
    assert hosts.addresses("pbx") == ("192.0.2.1",)
    assert not hosts.refresh()
    path.write_text("192.0.2.77 pbx\n")
    assert hosts.refresh()
    assert hosts.addresses("pbx") == ("192.0.2.77",)
    path.unlink()
    assert hosts.refresh()
    assert hosts.addresses("pbx") == ()


def test_a_file_that_is_not_text_is_passed_over(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(os.urandom(64) + b"\n192.0.2.1 pbx\n")
    assert parse_hosts(WatchedFile(path).text())["pbx"] == ("192.0.2.1",)
