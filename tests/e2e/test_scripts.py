"""A phone uploads a CPL script in REGISTER (draft-lennox-sip-reg-payload-01), and calls do as it says."""

from __future__ import annotations

import re

import pytest

from tests.e2e.house import DOMAIN
from tests.e2e.phones import Sipp, registered

SCRIPT = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <incoming>
    <address-switch field="origin">
      <address is="sip:alice@{DOMAIN}">
        <location url="sip:voicemail@{DOMAIN}"><proxy/></location>
      </address>
      <address is="sip:carol@{DOMAIN}">
        <reject status="reject" reason="Not today"/>
      </address>
    </address-switch>
  </incoming>
</cpl>
"""
BROKEN = SCRIPT.replace("<reject status", "<rejekt status")


def upload(server, directory, script: str, scenario: str = "upload"):
    return Sipp(
        scenario, directory, server=server.port, user="bob", script=script, contact="<sip:bob@127.0.0.1:9>"
    ).finish()


def stored(server, directory) -> str | None:
    answer = Sipp("query", directory, server=server.port, user="bob").finish()[-1]
    if answer.values("Content-Type") != ["application/cpl+xml"]:
        return None
    return answer.body


def contacts(server) -> list[str]:
    return re.findall(r"sip:bob@([\d.:]+)", server.ctl("ul", "show", f"bob@{DOMAIN}"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_script_sends_one_caller_to_voicemail_and_refuses_another(md5_server, tmp_path, transport):
    own = Sipp("answer", tmp_path, server=md5_server.port, user="bob").wait_until_listening()
    voicemail = Sipp("answer", tmp_path, server=md5_server.port, user="voicemail", transport=transport)
    registered(md5_server.port, own, tmp_path)
    registered(md5_server.port, voicemail.wait_until_listening(), tmp_path)
    upload(md5_server, tmp_path, SCRIPT)

    Sipp("call", tmp_path, server=md5_server.port, user="alice", callee="bob").finish()
    at_voicemail = voicemail.finish()
    assert at_voicemail[0].start_line.startswith("INVITE sip:")
    assert f"bob@{DOMAIN}" in at_voicemail[0].values("To")[0], "To is the callee's as dialled (§16.6)"

    refused = Sipp("call_refused", tmp_path, server=md5_server.port, user="carol", callee="bob").finish()
    answers = [one for one in refused if one.start_line.startswith("SIP/2.0 603")]
    assert answers[0].start_line == "SIP/2.0 603 Not today"
    assert not own.messages(), "bob's own phone was rung"
    own.child.stop()


def test_stored_script_comes_back_in_a_query(md5_server, tmp_path):
    assert stored(md5_server, tmp_path) is None
    upload(md5_server, tmp_path, SCRIPT)
    assert (stored(md5_server, tmp_path) or "").strip() == SCRIPT.strip()


def test_stored_script_outlives_a_power_cut(md5_server, tmp_path):
    """T53: what a 200 was sent for is on disk; the script after it is there whole."""
    for script in (SCRIPT, SCRIPT.replace("Not today", "Never")):
        upload(md5_server, tmp_path, script)
        md5_server.kill()
        md5_server.start()
        assert (stored(md5_server, tmp_path) or "").strip() == script.strip()


def test_broken_script_is_refused_and_changes_nothing(md5_server, tmp_path):
    phone = Sipp("answer", tmp_path, server=md5_server.port, user="bob").wait_until_listening()
    registered(md5_server.port, phone, tmp_path)
    upload(md5_server, tmp_path, SCRIPT)
    assert contacts(md5_server) == [f"127.0.0.1:{phone.port}"]

    answer = upload(md5_server, tmp_path, BROKEN, "upload_refused")[-1]
    (warning,) = answer.values("Warning")
    line = next(number for number, text in enumerate(BROKEN.splitlines(), 1) if "rejekt" in text)
    assert re.search(rf"line {line}\b", warning), warning
    assert re.search(r"column \d+", warning), warning

    assert contacts(md5_server) == [f"127.0.0.1:{phone.port}"], "its contact was stored all the same"
    assert (stored(md5_server, tmp_path) or "").strip() == SCRIPT.strip()
    phone.child.stop()
