"""Phones that nobody here wrote register with digest and call each other through sipd."""

from __future__ import annotations

import pytest

from tests.e2e.house import DOMAIN
from tests.e2e.phones import Baresip, Sipp, registered

TRANSPORTS = ("udp", "tcp")


@pytest.mark.parametrize("callee_over", TRANSPORTS)
@pytest.mark.parametrize("caller_over", TRANSPORTS)
def test_two_phones_call_each_other_both_ways(server, caller_over, callee_over):
    with (
        Baresip("alice", server.port, transport=caller_over) as alice,
        Baresip("bob", server.port, transport=callee_over) as bob,
    ):
        alice.register()
        bob.register()
        for caller, callee, first_to_end in ((alice, bob, alice), (bob, alice, alice)):
            caller.do("dial", uri=f"sip:{callee.user}@{DOMAIN}")
            assert callee.event("incoming")["peer"] == f"sip:{caller.user}@{DOMAIN}"
            caller.event("ringing")
            callee.do("answer")
            caller.event("established")
            callee.event("established")
            first_to_end.do("hangup")
            caller.event("closed")
            callee.event("closed")


def test_wrong_password_is_refused(server):
    with Baresip("alice", server.port, password="not hers") as alice:
        alice.do("register")
        assert alice.event("registration_failed")["status"] == 401
    assert "127.0.0.1" not in server.ctl("ul", "show")


def test_removed_binding_is_rung_no_more(server):
    with Baresip("alice", server.port) as alice, Baresip("bob", server.port) as bob:
        alice.register()
        bob.register()
        bob.do("unregister")
        bob.event("unregistered")
        alice.do("dial", uri=f"sip:bob@{DOMAIN}")
        assert alice.event("closed")["text"].startswith("480")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_message_of_a_call_goes_through_the_proxy(md5_server, tmp_path, transport):
    callee = Sipp("answer", tmp_path, server=md5_server.port, user="bob", transport=transport).wait_until_listening()
    registered(md5_server.port, callee, tmp_path)
    caller = Sipp("call", tmp_path, server=md5_server.port, user="alice", transport=transport, callee="bob")
    at_caller, at_callee = caller.finish(), callee.finish()
    ours = f"127.0.0.1:{md5_server.port}"

    heard = [message.start_line.split()[1] for message in at_caller if not message.sent]
    assert [status for status in heard if status != "100"] == ["407", "180", "200", "200"]
    arrived = [message for message in at_callee if not message.sent]
    assert [message.start_line.split()[0] for message in arrived] == ["INVITE", "ACK", "BYE"]
    for request in arrived:
        via = request.values("Via")
        assert ours in via[0], f"the Via on top is not sipd's: {request.text}"
        assert f"127.0.0.1:{caller.port}" in via[-1]
        assert request.values("Max-Forwards") == ["69"]
    routes = arrived[0].values("Record-Route")
    # The caller's connection is a way of its own: its side has a value that names it (RFC 5626 §5.3).
    assert len(routes) == (2 if transport == "tcp" else 1)
    assert all(ours in route and ";lr" in route for route in routes)
    assert not arrived[1].values("Route"), "our own Route value stayed on (§16.4)"
    (answer,) = [message for message in at_caller if message.start_line.startswith("SIP/2.0 200")
                 and "INVITE" in message.values("CSeq")[0]]  # fmt: skip
    assert len(answer.values("Via")) == 1
    assert ", ".join(answer.values("Record-Route")) == ", ".join(routes)


def test_credentials_for_us_go_no_further(md5_server, tmp_path):
    callee = Sipp("answer", tmp_path, server=md5_server.port, user="bob").wait_until_listening()
    registered(md5_server.port, callee, tmp_path)
    Sipp("call", tmp_path, server=md5_server.port, callee="bob").finish()
    invite = callee.finish()[0]
    assert not invite.values("Proxy-Authorization"), "the first proxy that asked for them consumes them (§22.3)"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_called_side_can_hang_up(md5_server, tmp_path, transport):
    callee = Sipp("answer_and_hang_up", tmp_path, server=md5_server.port, user="bob", transport=transport)
    registered(md5_server.port, callee.wait_until_listening(), tmp_path)
    caller = Sipp("call_hung_up", tmp_path, server=md5_server.port, transport=transport, callee="bob")
    caller.finish()
    callee.finish()


def test_sipp_and_the_other_phone_understand_each_other(md5_server, tmp_path):
    with Baresip("bob", md5_server.port) as bob:
        bob.register()
        caller = Sipp("call", tmp_path, server=md5_server.port, callee="bob")
        bob.event("incoming")
        bob.do("answer")
        caller.finish()
        bob.event("closed")
