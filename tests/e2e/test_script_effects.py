"""A sipd as users run it: a script asks a web server, mails and logs; its zone is fetched at upload. Real sockets."""

from __future__ import annotations

import time

from tests.core.test_fetched import ZONE
from tests.e2e.house import DOMAIN
from tests.e2e.phones import Sipp
from tests.e2e.test_scripts import upload
from tests.net.mail_server import MailServer
from tests.net.web_server import WebServer

SCRIPT = """\
<?xml version="1.0" encoding="UTF-8"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <incoming>
    <time-switch tzid="Somewhere" tzurl="http://127.0.0.1:{port}/tz">
      <time dtstart="20200101T000000" duration="P1D" freq="daily">
        <lookup source="http://127.0.0.1:{port}/where">
          <notfound>
            <log name="calls" comment="nowhere">
              <mail url="mailto:bob@example.org">
                <reject status="reject" reason="Not today"/>
              </mail>
            </log>
          </notfound>
        </lookup>
      </time>
    </time-switch>
  </incoming>
</cpl>
"""


def until(condition, seconds: float = 5.0) -> None:
    """Wait for another process."""
    given_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < given_up
        time.sleep(0.02)


def test_a_script_asks_mails_and_logs(start_server, tmp_path):
    with WebServer() as web, MailServer() as mail:
        server = start_server(
            digest_algorithms="MD5", script_hosts=f"127.0.0.1:{web.port}",
            mail_server=f"127.0.0.1:{mail.port}", mail_from="sipd@example.com",
        )  # fmt: skip
        web.pages["/tz"] = (200, {"Content-Type": "text/calendar"}, ZONE)
        upload(server, tmp_path, SCRIPT.format(port=web.port))
        refused = Sipp("call_refused", tmp_path, server=server.port, user="carol", callee="bob").finish()
        assert [one for one in refused if one.start_line == "SIP/2.0 603 Not today"]
        until(lambda: bool(mail.got))
        [got] = mail.got
        assert (got.sender, got.recipients) == ("sipd@example.com", ["bob@example.org"])
        assert f"sip:carol@{DOMAIN}" in got.message.get_content()
        assert [path for path, _ in web.asked] == ["/tz", "/where"], "the zone at upload, the place in the call"
        said = server.ctl("script", "log", f"bob@{DOMAIN}")
        assert f"nowhere (incoming, from sip:carol@{DOMAIN})" in said
        server.stop()
