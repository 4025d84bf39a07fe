"""Subscriptions to registrations between real programs: SIPp watches, a phone registers, sipdctl removes it."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.core import rfc3680
from tests.e2e.house import DOMAIN
from tests.e2e.phones import Baresip, Sipp, Traced

SPACE = {"r": "urn:ietf:params:xml:ns:reginfo"}


def told(body: str) -> etree._Element:
    """The document, which is valid."""
    root = etree.fromstring(body.strip().encode())
    rfc3680.schema().assertValid(root)
    return root


def notifies_in(messages: list[Traced]) -> list[Traced]:
    """Those that were received, each once."""
    found = [one for one in messages if not one.sent and one.start_line.startswith("NOTIFY ")]
    return list({one.values("CSeq")[0]: one for one in found}.values())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_phone_is_told_of_the_other_and_of_what_the_administrator_does(start_server, tmp_path, transport):
    server = start_server(digest_algorithms="MD5")
    watcher = Sipp("watch", tmp_path, server=server.port, user="bob", transport=transport, watched="bob")
    watcher.wait_for_message("^NOTIFY")
    with Baresip("bob", server.port) as bob:
        bob.register()
        [contact] = [line.split()[1] for line in server.ctl("ul", "list").splitlines() if line.startswith("bob@")]
        while watcher.child.alive and len(notifies_in(watcher.messages())) < 2:
            watcher.child.pause()
        server.ctl("ul", "rm", f"bob@{DOMAIN}", contact)
        messages = watcher.finish()
    first, registered, removed, last = notifies_in(messages)
    assert [one.values("Subscription-State")[0].partition(";")[0] for one in (first, registered, removed, last)] == [
        *["active"] * 3,
        "terminated",
    ]
    states = [(told(one.body)[0].get("state"), told(one.body).get("state")) for one in (first, registered, removed)]
    assert states == [("init", "full"), ("active", "partial"), ("terminated", "partial")]
    [came], [went] = told(registered.body)[0], told(removed.body)[0]
    assert (came.get("event"), came.findtext("r:uri", "", SPACE)) == ("registered", contact)
    assert (went.get("event"), went.get("id")) == ("deactivated", came.get("id"))
    assert told(last.body)[0].get("state") == "init"


def test_another_user_is_refused(md5_server, tmp_path):
    """What he gets is 403, and the log has both names."""
    watcher = Sipp("watch", tmp_path, server=md5_server.port, user="alice", watched="bob")
    with pytest.raises(AssertionError, match="403"):
        watcher.finish()
    md5_server.child.wait_for(rf"event=reg_denied who=alice@{DOMAIN} aor=bob@{DOMAIN}")
