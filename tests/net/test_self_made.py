"""The certificate that a server makes for itself."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509

from sipd.errors import SetupError
from sipd.net import self_made

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NAMES = ["example.com", "localhost", "192.0.2.1", "2001:db8::1"]


def read(path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_it_has_all_names_and_is_kept(tmp_path):
    path = tmp_path / "sipd.tls.pem"
    assert self_made.ensure(path, NAMES, NOW)
    names = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.com", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]
    before = path.read_bytes()
    assert not self_made.ensure(path, NAMES, NOW)
    assert not self_made.ensure(path, NAMES[:2], NOW), "a name less is no reason"
    assert path.read_bytes() == before


def test_only_its_owner_can_read_the_key(tmp_path):
    path = tmp_path / "sipd.tls.pem"
    self_made.ensure(path, NAMES, NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    alone = tmp_path / "sipd.tls.crt"
    assert b"PRIVATE" not in alone.read_bytes(), "what phones are given has no key"
    assert read(alone) == read(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["sipd.tls.crt", "sipd.tls.pem"]


@pytest.mark.parametrize(
    ("names", "days"),
    [([*NAMES, "new.example.com"], 0), (NAMES, 365), (NAMES, -2)],
    ids=["another name", "expired", "from the future"],
)
def test_it_is_made_anew_when_it_does_not_do_any_more(tmp_path, names, days):
    path = tmp_path / "sipd.tls.pem"
    self_made.ensure(path, NAMES, NOW)
    before = read(path)
    assert self_made.ensure(path, names, NOW + datetime.timedelta(days=days))
    assert read(path).serial_number != before.serial_number
    assert read(tmp_path / "sipd.tls.crt") == read(path)


@pytest.mark.parametrize("text", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_replaced(tmp_path, text):
    path = tmp_path / "sipd.tls.pem"
    path.write_bytes(text)
    assert self_made.ensure(path, NAMES, NOW)
    assert path.stat().st_mode & 0o777 == 0o600


def test_names_that_no_certificate_can_have_are_left_out(tmp_path):
    path = tmp_path / "sipd.tls.pem"
    assert self_made.ensure(path, ["häuser.example", "a..b", "", "x" * 64, "example.com"], NOW)
    names = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.com"]
    assert not self_made.ensure(path, ["häuser.example", "example.com"], NOW)


def test_a_directory_that_can_not_be_written_is_named(tmp_path):
    path = tmp_path / "missing" / "sipd.tls.pem"
    with pytest.raises(SetupError, match=f"{path}: No such file"):
        self_made.ensure(path, NAMES, NOW)


@pytest.mark.parametrize("is_strict", [False, True])
def test_who_is_told_to_trust_it_does(tmp_path, is_strict):
    """As a phone does: that certificate is in its list of authorities."""
    path = tmp_path / "sipd.tls.pem"
    self_made.ensure(path, NAMES, datetime.datetime.now(datetime.UTC))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cafile=path.with_suffix(".crt"))
    if is_strict:
        client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="192.0.2.1")
    ends = [theirs, ours] * 3
    for end in ends:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = theirs.getpeercert()
    assert shown is not None
    assert shown["subject"] == ((("commonName", "sipd example.com"),),)
