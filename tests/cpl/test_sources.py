"""What a lookup may have fetched: hosts the administrator names, and nothing by a trick (RFC 3880 §5.2, T48)."""

from __future__ import annotations

import pytest

from sipd.cpl import CplError, compile, evaluate
from sipd.cpl.sources import NotFetched, check_url, hosts_from_text
from sipd.script import Lookup
from tests.cpl.calls import facts

HOSTS = hosts_from_text("www.example.com, lists.example.com:8080 [2001:db8::1]")
SCRIPT = "<cpl><incoming>\n<lookup source='{}' timeout='8'><success/></lookup></incoming></cpl>"


@pytest.mark.parametrize(
    "url",
    [
        "http://www.example.com/cgi-bin/locate.cgi?user=mary",  # figure 27
        "https://www.example.com/",
        "HTTPS://WWW.Example.COM",
        "http://www.example.com.:80/a;b?c&d",
        "https://www.example.com:0443/",
        "http://lists.example.com:8080/",
        "http://[2001:db8::1]/",
    ],
)
def test_a_permitted_host_is_looked_up_verbatim(url):
    check_url(url, HOSTS)
    program = compile(SCRIPT.format(url.replace("&", "&amp;")).encode(), hosts=HOSTS)
    assert next(evaluate(program, facts())) == Lookup(url, 8.0)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://www.example.com:8080/",
        "http://lists.example.com/",
        "http://x.www.example.com/",
        "http://www.example.com.evil.net/",
        "http://www.example.com@evil.net/",
        "http://evil.net@www.example.com/",
        "http://evil.net\\@www.example.com/",
        "http://www.example.com/#",
        "http://evil.net#@www.example.com/",
        "http://evil.net%2f@www.example.com/",
        "http://www.example.com%2eevil.net/",
        "http://www.example.com:/",
        "http://www.example.com:0/",
        "http://www.example.com:99999/",
        "http://www.example.com:80:80/",
        "http:www.example.com",
        "http:///etc/passwd",
        "http://www.example.com/#a",
        "http://www.example.com/ä",
        "http://www.example.com/a b",
        "http://www.example.com/" + "a" * 970 + "é",
        "http://[2001:db8::1",
        "http://[2001:db8::2]/",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "ftp://www.example.com/",
        "ldap://www.example.com/",
        "data:text/uri-list,sip:a@b",
        "gopher://www.example.com/",
    ],
)
def test_anything_else_is_refused_at_upload(url):
    with pytest.raises(NotFetched):
        check_url(url, HOSTS)
    with pytest.raises(CplError) as raised:
        compile(SCRIPT.format(url).encode(), hosts=HOSTS)
    assert [(found.code, found.line, found.column) for found in raised.value.findings] == [("CPL-SOURCE", 2, 9)]


@pytest.mark.parametrize("hosts", [frozenset(), HOSTS])
def test_the_hint_names_the_setting_and_the_host(hosts):
    with pytest.raises(CplError) as raised:
        compile(SCRIPT.format("https://other.example.com:8443/x").encode(), hosts=hosts)
    assert "sipdctl server set script_hosts=other.example.com:8443" in raised.value.findings[0].hint


@pytest.mark.parametrize("text", ["http://www.example.com", "a/b", "a:b", "a:0", "a:65536", "user@host", "*", "[::1"])
def test_hosts_are_names_with_or_without_a_port(text):
    with pytest.raises(ValueError, match="host"):
        hosts_from_text(text)


def test_no_hosts_are_no_hosts():
    assert hosts_from_text("") == hosts_from_text(" , ") == frozenset()
