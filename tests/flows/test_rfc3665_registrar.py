"""RFC 3665 §2: registering, the five flows, each message as the RFC shows it.

What differs: our challenge has no `opaque`, which is the server's to give or
not (RFC 2617 §3.2.1), and its realm is Bob's own domain; the answers carry a
Date and what scripts may be sent (draft-lennox-sip-reg-payload-01).
"""

from __future__ import annotations

import pytest

from tests.flows.figure import expect
from tests.flows.stage import Stage

BOB = "sips:bob@biloxi.example.com"
SERVER = "sips:ss2.biloxi.example.com"
FIRST = "sips:bob@client.biloxi.example.com"
SECOND = "tel:+15555550100"
REALM = "biloxi.example.com"


@pytest.fixture
async def stage(nursery):
    made = Stage(nursery, "TLS")
    await made.proxy("server", "ss2.biloxi.example.com", "biloxi.example.com", "bob", auth="digest",
                     digest_algorithms="MD5")  # fmt: skip
    return made


def phone_of(stage, password="pw-bob"):
    bob = stage.agent("bob", "client.biloxi.example.com", "bob@biloxi.example.com", proxy="ss2.biloxi.example.com")
    bob.passwords[REALM] = password
    return bob


def registration(bob):
    """A REGISTER to be: the Request-URI is the registrar, To and From are Bob."""
    leg = bob.call(BOB, from_=BOB)
    leg.target = SERVER
    return leg


async def registered(bob, *contacts):
    """As after 2.1: these are registered, and Bob knows a nonce."""
    leg = registration(bob)
    headers = [("Contact", f"<{contact}>") for contact in contacts]
    leg.send("REGISTER", contact="", headers=headers)
    bob.take(await leg.gets(401))
    leg.send("REGISTER", contact="", headers=headers, prove=True)
    return await leg.gets(200)


async def test_2_1_new_registration(stage, autojump_clock):
    bob = phone_of(stage)
    leg = registration(bob)
    leg.send("REGISTER", contact=FIRST)  # F1
    challenge = await leg.gets(401)  # F2
    asked = bob.take(challenge)
    assert (asked["realm"], asked["qop"], asked["algorithm"]) == (REALM, "auth", "MD5")
    assert asked.get("stale", "false") == "false"
    leg.send("REGISTER", contact=FIRST, prove=True)  # F3
    ok = await leg.gets(200)  # F4
    assert ok.values("Contact") == [f"<{FIRST}>;expires=3600"]
    expect(
        stage,
        """
        F1 bob -> server REGISTER
        F2 server -> bob 401
        F3 bob -> server REGISTER
        F4 server -> bob 200
        """,
    )


async def test_2_2_update_of_the_contact_list(stage, autojump_clock):
    """The address added is a telephone: the RFC's mailto has a scheme that sipd does not store (T71)."""
    bob = phone_of(stage)
    await registered(bob, FIRST)
    begun = len(stage.network.sent)
    leg = registration(bob)
    leg.send("REGISTER", contact=SECOND, prove=True)  # F1: the nonce known, its count the next
    ok = await leg.gets(200)  # F2: not challenged
    assert ok.values("Contact") == [f"<{FIRST}>;expires=3600", f"<{SECOND}>;expires=3600"]
    expect(stage, "F1 bob -> server REGISTER\nF2 server -> bob 200", since=begun)


async def test_2_2_a_mailto_is_refused_and_changes_nothing(stage, autojump_clock):
    bob = phone_of(stage)
    await registered(bob, FIRST)
    leg = registration(bob)
    leg.send("REGISTER", contact="mailto:bob@biloxi.example.com", prove=True)
    await leg.gets(403)
    leg.send("REGISTER", contact="", prove=True)
    assert (await leg.gets(200)).values("Contact") == [f"<{FIRST}>;expires=3600"]


async def test_2_3_request_for_the_current_contact_list(stage, autojump_clock):
    bob = phone_of(stage)
    await registered(bob, FIRST, SECOND)
    begun = len(stage.network.sent)
    leg = registration(bob)
    leg.send("REGISTER", contact="", prove=True)  # F1: no Contact
    ok = await leg.gets(200)  # F2
    assert ok.values("Contact") == [f"<{FIRST}>;expires=3600", f"<{SECOND}>;expires=3600"]
    expect(stage, "F1 bob -> server REGISTER\nF2 server -> bob 200", since=begun)


async def test_2_4_cancellation_of_registration(stage, autojump_clock):
    bob = phone_of(stage)
    await registered(bob, FIRST, SECOND)
    begun = len(stage.network.sent)
    leg = registration(bob)
    leg.send("REGISTER", contact="", headers=(("Expires", "0"), ("Contact", "*")), prove=True)  # F1
    ok = await leg.gets(200)  # F2
    assert not ok.values("Contact")
    expect(stage, "F1 bob -> server REGISTER\nF2 server -> bob 200", since=begun)
    leg.send("REGISTER", contact="", prove=True)
    assert not (await leg.gets(200)).values("Contact")


async def test_2_5_unsuccessful_registration(stage, autojump_clock):
    bob = phone_of(stage, "not his")
    leg = registration(bob)
    leg.send("REGISTER", contact=FIRST)  # F1
    first = bob.take(await leg.gets(401))  # F2
    leg.send("REGISTER", contact=FIRST, prove=True)  # F3
    second = bob.take(await leg.gets(401))  # F4
    assert second["nonce"] != first["nonce"], "a challenge anew"
    assert second.get("stale", "false") == "false", "the nonce was right, the password was not"
    expect(
        stage,
        """
        F1 bob -> server REGISTER
        F2 server -> bob 401
        F3 bob -> server REGISTER
        F4 server -> bob 401
        """,
    )
    bob.passwords[REALM] = "pw-bob"
    leg.send("REGISTER", contact="", prove=True)
    assert not (await leg.gets(200)).values("Contact"), "nothing was registered"
