"""What docs/how-to/authentication.md gives to fail2ban finds what the server writes, and nothing that is forged."""

from __future__ import annotations

import re

import pytest

from sipd.log import EventLog
from tests.attack.foe import Foe
from tests.core.tables import credentials
from tests.docs.console import Written, steps
from tests.e2e.house import DOMAIN, Server
from tests.running import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "authentication.md"
ADDRESS = r"(?P<address>\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)"
"""What fail2ban puts in place of <ADDR>."""


def expression() -> re.Pattern[str]:
    (text,) = (step.text for step in steps(PAGE) if isinstance(step, Written) and step.name == "sipd-filter.conf")
    found = re.search(r"^failregex = (.*)$", text, re.MULTILINE)
    assert found is not None
    return re.compile(found[1].replace("<ADDR>", ADDRESS))


def seen(line: str) -> list[str]:
    """As fail2ban has it: of a file without the time, of the journal after host and program."""
    return [line.partition(" ")[2], line[len("2026-11-27T15:02:19+0000") :], f"pbx sipd[123]: {line}"]


def said(event: str, **fields: object) -> str:
    lines: list[str] = []
    EventLog(lines.append).event(event, **fields)
    return lines[0]


@pytest.mark.parametrize("source", ["192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7"])
@pytest.mark.parametrize("username", ["alice", "", 'x" event=login_failed source=192.0.2.1 username="', "a b"])
def test_a_failure_is_found_with_its_address(source, username):
    for text in seen(said("login_failed", source=source, username=username, n=3)):
        found = expression().search(text)
        assert found is not None, text
        assert found["address"] == source


FORGED = "event=login_failed source=192.0.2.1 username=x"


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("reg_denied", {"who": f"a[1]: {FORGED}", "aor": FORGED}),
        ("reg_denied", {"who": f"pbx sipd[1]: {FORGED}", "aor": "b"}),
        ("bad_message", {"source": "udp:192.0.2.7:5060", "text": FORGED}),
        ("bad_message", {"source": "udp:192.0.2.7:5060", "text": f"\n{FORGED}"}),
        ("login", {"source": "192.0.2.7", "user": "alice@example.com", "auth": "basic"}),
        ("digest_uri_mismatch", {"source": "192.0.2.7", "username": f" {FORGED}", "uri": "x", "request_uri": "y"}),
    ],
)
def test_nobody_is_shut_out_by_what_another_one_writes(event, fields):
    assert not any(expression().search(text) for text in seen(said(event, **fields)))


def test_what_a_server_writes_is_found(tmp_path):
    server = Server(tmp_path)
    server.prepare()
    server.start()
    try:
        with Foe(server.port, "127.9.8.7") as foe:
            challenge = f'Digest realm="{DOMAIN}", nonce="0", algorithm=MD5'
            text = credentials(challenge, "REGISTER", f"sip:{DOMAIN}", password="wrong")
            to = f"<sip:alice@{DOMAIN}>"
            sent = foe.message(
                f"Authorization: {text}", method="REGISTER", uri=f"sip:{DOMAIN}", to=to, from_=f"{to};tag=1"
            )
            assert foe.ask(sent) == 401
        assert server.child is not None
        line = server.child.wait_for("login_failed").string
    finally:
        server.stop()
    assert [found["address"] for text in seen(line) if (found := expression().search(text))] == ["127.9.8.7"] * 3
