"""Settings written as text: what no server could use is refused with what it may be."""

from __future__ import annotations

import re

import pytest

from sipd.errors import SetupError
from sipd.store.options import LONG, settings_from_texts
from tests.running import REPOSITORY


@pytest.mark.parametrize("value", ["sip:a.example;lr", "<sip:a.example>", "<tel:+1;lr>", "<sip:a.example;lr>, b", "x"])
def test_a_service_route_without_lr_is_refused(value):
    """RFC 3608 §5: it is what every phone puts into Route."""
    with pytest.raises(SetupError, match="service_route can't be"):
        settings_from_texts([f"service_route={value}"])


@pytest.mark.parametrize("value", ["", "<sip:a.example;lr>", "<sip:a.example;lr>, <sips:b.example:5071;lr>"])
def test_a_service_route_is_as_in_route(value):
    assert settings_from_texts([f"service_route={value}"]) == {"service_route": value}


@pytest.mark.parametrize("value", ["bad domain", "a..b", ".", "e164.arpa/x", "x" * 64, "a." * 100 + "b"])
def test_enum_is_a_domain(value):
    with pytest.raises(SetupError, match="enum can't be"):
        settings_from_texts([f"enum={value}"])


@pytest.mark.parametrize("value", ["", "e164.arpa", "e164.arpa.", "_enum.Example-1.com"])
def test_enum_is_a_domain_or_nothing(value):
    assert settings_from_texts([f"enum={value}"]) == {"enum": value}


@pytest.mark.parametrize("value", ["", "localhost", "mail.example.com:587", "192.0.2.1", "[2001:db8::1]:25", "m_x-1."])
def test_a_mail_server_is_a_host_with_or_without_a_port(value):
    assert settings_from_texts([f"mail_server={value}"]) == {"mail_server": value}


@pytest.mark.parametrize(
    "value",
    ["a b", "host:", "host:0", "host:65536", "smtp://host", "2001:db8::1", "-h -x;", "a..b", "user@host", "h" * 201],
)
def test_what_is_no_mail_server_is_refused(value):
    with pytest.raises(SetupError, match="mail_server can't be"):
        settings_from_texts([f"mail_server={value}"])


@pytest.mark.parametrize(
    "value", ["", "sipd@example.com", '"call server"@example.com'.replace(" ", "."), "a+b@[192.0.2.1]"]
)
def test_mails_come_from_an_address(value):
    assert settings_from_texts([f"mail_from={value}"]) == {"mail_from": value}


@pytest.mark.parametrize(
    "value",
    [
        "sipd",
        "Sipd <sipd@example.com>",
        "a@b, c@d",
        "a@b\r\nBcc: c@d",
        "é@example.com",
        "a b@example.com",
        "@",
        "a@",
        '"',
    ],
)
def test_what_is_no_address_is_refused(value):
    with pytest.raises(SetupError, match="mail_from can't"):
        settings_from_texts([f"mail_from={value}"])


@pytest.mark.parametrize("value", ["", "www.example.com", "a.example b.example:8080", "192.0.2.1, [2001:db8::1]"])
def test_script_hosts_are_hosts(value):
    assert settings_from_texts([f"script_hosts={value}"]) == {"script_hosts": value}


@pytest.mark.parametrize("value", ["http://www.example.com", "*", "*.example.com", "a.example:0", "a/b"])
def test_what_is_no_host_is_refused(value):
    with pytest.raises(SetupError, match="script_hosts can't be"):
        settings_from_texts([f"script_hosts={value}"])


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("digest_algorithms=SHA-512-256 SHA-256 MD5", True),
        ("digest_algorithms=MD5", True),
        ("digest_algorithms=", False),
        ("digest_algorithms=MD5 SHA-256 MD5", False),
        ("digest_algorithms=MD5-sess", False),
        ("digest_algorithms=sha-256", False),
        ("digest_algorithms=SHA-256 MD5 udp:192.0.2.1:5070 MD5 tls:[2001:db8::1]:5061 SHA-512-256 SHA-256", True),
        ("digest_algorithms=SHA-256 udp:192.0.2.1:5070", False),
        ("digest_algorithms=udp:192.0.2.1:5070 MD5", False),
        ("digest_algorithms=SHA-256 udp:192.0.2.1 MD5", False),
        ("digest_algorithms=SHA-256 carrier:192.0.2.1:5070 MD5", False),
        ("digest_algorithms=SHA-256 udp:192.0.2.1:5070 MD5 MD5", False),
        ("digest_algorithms=SHA-256 udp:sip.example.com:5070 MD5", False),
        ("digest_algorithms=SHA-256 udp:[2001:DB8::1]:5070 MD5", True),
        ("digest_algorithms=SHA-256 udp:[2001:DB8::1]:5070 MD5 udp:[2001:db8::1]:5070 MD5", False),
        ("digest_qop=auth auth-int", True),
        ("digest_qop=auth-int", True),
        ("digest_qop=", False),
        ("digest_qop=auth auth", False),
        ("auth=basic", True),
        ("auth=pgp", False),
    ],
)
def test_how_users_prove_themselves(text, fine):
    """Each algorithm once (RFC 8760 §2.3), and always a qop (§2.6)."""
    key, _, value = text.partition("=")
    if fine:
        assert settings_from_texts([text]) == {key: value}
    else:
        with pytest.raises(SetupError):
            settings_from_texts([text])


def test_time_zone_is_one_that_is_there():
    assert settings_from_texts(["time_zone=Europe/Paris", "time_zone="]) == {"time_zone": ""}
    with pytest.raises(SetupError, match="there is no such zone here") as raised:
        settings_from_texts(["time_zone=Europe/Pariss"])
    assert raised.value.hint == "did you mean “Europe/Paris”?"


def test_no_text_is_longer_than_its_column():
    """MariaDB refuses such a row, SQLite takes it."""
    table = (REPOSITORY / "sql" / "createsip.sql").read_text().partition("CREATE TABLE server (")[2].partition(");")[0]
    widths = {name: int(size) for name, size in re.findall(r"^ +(\w+) +VARCHAR\((\d+)\)", table, re.MULTILINE)}
    assert {name for name, size in widths.items() if size > 255} == LONG
    assert {widths[name] for name in LONG} == {1000}
    for key, size in (("root", 255), ("tls_key", 1000)):
        assert widths[key] == size
        assert settings_from_texts([f"{key}=/{'x' * (size - 1)}"])
        with pytest.raises(SetupError, match="can't be that long"):
            settings_from_texts([f"{key}=/{'x' * size}"])
