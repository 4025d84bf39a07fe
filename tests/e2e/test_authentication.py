"""Phones that nobody here wrote prove who they are: one by SHA-256, one that knows MD5 only (RFC 8760, T116)."""

from __future__ import annotations

import base64
import re

import pytest

from sipd.message import parse_auth
from tests.attack.foe import Foe
from tests.e2e.house import DOMAIN, USERS
from tests.e2e.phones import Baresip, Sipp, registered
from tests.running import HERE


def algorithms(text: str) -> list[str]:
    """Those of the credentials in a trace, in order."""
    found = re.findall(r"(?m)^(?:Proxy-)?Authorization:[ \t]*(.*)$", text)
    return [parse_auth(value.strip()).params["algorithm"] for value in found]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_a_phone_with_sha_256(start_server, tmp_path, method):
    """Where nothing else is offered it uses that, for 401 and for 407."""
    server = start_server(digest_algorithms="SHA-256")
    with Baresip("alice", server.port) as alice:
        alice.register()
        if method == "INVITE":
            alice.do("dial", uri=f"sip:bob@{DOMAIN}")
            assert alice.event("closed")["text"].startswith("480"), "asked for credentials, believed, and bob is away"
        used = algorithms(alice.trace)
        assert set(used) == {"SHA-256"}, alice.trace
        assert len(used) == (2 if method == "INVITE" else 1), alice.trace


def test_a_phone_with_md5_only(md5_server, tmp_path):
    """It gives up at a challenge that begins with another one: so `digest_algorithms=MD5`."""
    callee = Sipp("answer", tmp_path, server=md5_server.port, user="bob").wait_until_listening()
    said = registered(md5_server.port, callee, tmp_path)
    caller = Sipp("call", tmp_path, server=md5_server.port, callee="bob").finish()
    for messages, number in ((said, 1), (caller, 1)):
        sent = [message.text for message in messages if message.sent]
        used = algorithms("\n".join(sent))
        assert set(used) == {"MD5"}
        assert len(used) == number


def test_one_server_for_both(start_server, tmp_path):
    """MD5 on top serves those that read only the first challenge; others may still use SHA-256."""
    server = start_server(digest_algorithms="MD5 SHA-256")
    with Baresip("bob", server.port) as bob:
        bob.register()
        assert set(algorithms(bob.trace)) == {"MD5", "SHA-256"}, "it answers every challenge"
        caller = Sipp("call", tmp_path, server=server.port, callee="bob")
        bob.event("incoming")
        bob.do("answer")
        said = caller.finish()
        bob.event("closed")
    assert algorithms("\n".join(message.text for message in said if message.sent)) == ["MD5"]


def test_old_phones_have_a_listener_of_their_own(start_server, tmp_path):
    """[T116] By UDP here MD5 alone, which SIPp knows; whoever comes by TCP is offered SHA-256 and nothing less."""
    server = start_server()
    server.ctl("server", "set", f"digest_algorithms=SHA-256 udp:{HERE}:{server.port} MD5")
    server.kill()
    server.start()
    callee = Sipp("answer", tmp_path, server=server.port, user="bob").wait_until_listening()
    said = registered(server.port, callee, tmp_path)
    assert set(algorithms("\n".join(message.text for message in said if message.sent))) == {"MD5"}
    callee.child.stop()
    with Baresip("alice", server.port, transport="tcp") as alice:
        alice.register()
        assert set(algorithms(alice.trace)) == {"SHA-256"}


def test_phones_that_know_no_auth_int_are_no_worse_off_where_it_is_offered(start_server, tmp_path):
    server = start_server(digest_algorithms="MD5", digest_qop="auth auth-int")
    with Baresip("alice", server.port) as alice:
        alice.register()
        assert "qop=auth," in alice.trace
    callee = Sipp("answer", tmp_path, server=server.port, user="bob").wait_until_listening()
    assert registered(server.port, callee, tmp_path)[-1].start_line.startswith("SIP/2.0 200")
    callee.child.stop()


def test_the_test_phone_of_sipdctl_knows_sha_512_256(start_server):
    server = start_server(digest_algorithms="SHA-512-256")
    said = server.ctl("call", "--server", f"udp:{HERE}:{server.port}", f"alice@{DOMAIN}", f"bob@{DOMAIN}")
    assert "200" in said


def test_a_password_as_it_is_on_this_machine(start_server):
    """[T115] `auth=basic`: said at the start and at each use; the password is in no log."""
    server = start_server(auth="basic")
    server.child.wait_for(r'event=warning text="auth=basic: ')
    token = base64.b64encode(f"alice:{USERS['alice']}".encode()).decode()
    who, contact = f"<sip:alice@{DOMAIN}>", f"Contact: <sip:alice@{HERE}:9>"
    with Foe(server.port) as phone:

        def registering(*more: str) -> int | None:
            message = phone.message(
                contact, *more, method="REGISTER", uri=f"sip:{DOMAIN}", to=who, from_=f"{who};tag=1"
            )
            return phone.ask(message)

        assert registering() == 401
        assert registering("Authorization: Basic " + base64.b64encode(b"alice:wrong").decode()) == 401
        assert registering(f"Authorization: Basic {token}") == 200
    server.child.wait_for(rf"event=login source={HERE} user=alice@{DOMAIN} auth=basic")
    assert USERS["alice"] not in server.child.output
    assert token not in server.child.output
