"""Aliases between real phones: one that is a user's, and a group that rings two."""

from __future__ import annotations

from tests.e2e.house import DOMAIN
from tests.e2e.phones import Baresip


def test_an_alias_is_its_user_and_a_group_rings_all(server):
    server.ctl("alias", "add", f"Bob.Wilson@{DOMAIN}", f"bob@{DOMAIN}")
    server.ctl("alias", "add", f"office@{DOMAIN}", f"bob@{DOMAIN}", f"carol@{DOMAIN}")
    with (
        Baresip("alice", server.port) as alice,
        Baresip("bob", server.port) as bob,
        Baresip("carol", server.port) as carol,
    ):
        for phone in (alice, bob, carol):
            phone.register()
        alice.do("dial", uri=f"sip:Bob.Wilson@{DOMAIN}")
        assert bob.event("incoming")["peer"] == f"sip:alice@{DOMAIN}"
        bob.do("answer")
        alice.event("established")
        bob.event("established")
        alice.do("hangup")
        bob.event("closed")
        alice.event("closed")

        alice.do("dial", uri=f"sip:office@{DOMAIN}")
        bob.event("incoming")
        carol.event("incoming")
        carol.do("answer")
        alice.event("established")
        bob.event("closed")
        alice.do("hangup")
        carol.event("closed")
        alice.event("closed")
