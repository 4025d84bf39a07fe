"""RFC 3665 §3: sessions, the eleven flows, each message as the RFC shows it.

`expect` compares order, ends, methods and statuses with the RFC's figure,
and holds every message of a proxy to the rules: Via stack, Route and
Record-Route, Max-Forwards, branches, tags, what must stay as it was. What
differs from the RFC's figures is said at the flow, and this holds for all:

* A 100 leaves before the INVITE goes on, where the RFC numbers it after; both
  leave at once. It is sent once the caller has proved who he is.
* Our Record-Route names the port, the transport, and a mark of the dialog
  (docs/adr/0008); the address-of-record's server is found by name.
* An ACK or CANCEL that a proxy makes has its own Via alone and the Request-URI
  of its INVITE (RFC 3261 §9.1, §17.1.1.3). Three of the RFC's messages have
  not: 3.3 F8 (Alice's Via), 3.8 F11 (another Request-URI), 3.8 F18 (Proxy 2's Via).
"""

from __future__ import annotations

import pytest
import trio

from tests.flows.agent import ANSWER, OFFER, SDP, TIMER_A
from tests.flows.figure import expect
from tests.flows.stage import Stage

BOB = "sip:bob@biloxi.example.com"
FIRST_ROUTE = ("<sip:ss1.atlanta.example.com;lr>",)
WITH_ATLANTA, WITH_BILOXI = "pw-alice", "alice-in-biloxi"


async def two_phones(stage, *, home="client.biloxi.example.com"):
    alice = stage.agent("alice", "client.atlanta.example.com", "alice@atlanta.example.com")
    bob = stage.agent("bob", home, "bob@biloxi.example.com")
    alice.passwords = {"atlanta.example.com": WITH_ATLANTA, "biloxi.example.com": WITH_BILOXI}
    return alice, bob


async def second_proxy(stage, bob, **settings):
    """Proxy 2, where Bob is registered."""
    two = await stage.proxy("proxy2", "ss2.biloxi.example.com", "biloxi.example.com", "bob", **settings)
    two.bind("bob", bob.contact)
    return two


async def two_proxies(nursery, transport, **settings):
    """Proxy 1 knows Alice, who proves who she is; Proxy 2 has Bob."""
    stage = Stage(nursery, transport)
    alice, bob = await two_phones(stage)
    await stage.proxy("proxy1", "ss1.atlanta.example.com", "atlanta.example.com", "alice", auth="digest",
                      digest_algorithms="MD5")  # fmt: skip
    await second_proxy(stage, bob, **settings)
    return stage, alice, bob


async def known_to_proxy_1(stage, alice):
    """A nonce of Proxy 1 in Alice's hands, as 3.8 to 3.11 begin; how many messages that took."""
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite()
    challenge = await call.gets(407)
    alice.take(challenge)
    call.ack(challenge)
    await trio.sleep(1)
    return len(stage.network.sent)


def hosts(values):
    """The hosts of Route or Record-Route values, each once: a proxy whose sides differ has two."""
    return list(dict.fromkeys(value.partition("sip:")[2].rpartition("@")[2].partition(":")[0] for value in values))


async def test_3_1_successful_session_establishment(nursery, autojump_clock):
    """The RFC has no server in this one; here it goes through one, over TCP, and Bob hangs up."""
    stage = Stage(nursery, "TCP")
    alice, bob = await two_phones(stage)
    await second_proxy(stage, bob)
    call = alice.call(BOB)
    call.invite()  # F1
    ringing = await bob.rung()
    assert ringing.heard.request_uri == bob.contact
    assert ringing.heard.body == OFFER
    ringing.answer(180)  # F2
    ringing.answer(200, body=ANSWER)  # F3
    ok = call.learn(await call.gets(100, 180, 200))
    assert ok.body == ANSWER
    call.ack(ok)  # F4
    await ringing.hears("ACK")
    ringing.send("BYE", contact="")  # F5
    await call.hears("BYE")
    call.answer(200)  # F6
    await ringing.gets(200)
    expect(
        stage,
        """
        F1 alice -> proxy2 INVITE
        -- proxy2 -> alice 100
        F1 proxy2 -> bob INVITE
        F2 bob -> proxy2 180
        F3 bob -> proxy2 200
        F2 proxy2 -> alice 180
        F3 proxy2 -> alice 200
        F4 alice -> proxy2 ACK
        F4 proxy2 -> bob ACK
        F5 bob -> proxy2 BYE
        F5 proxy2 -> alice BYE
        F6 alice -> proxy2 200
        F6 proxy2 -> bob 200
        """,
    )


async def test_3_2_session_establishment_through_two_proxies(nursery, autojump_clock):
    """Proxy 1 records its route twice: Alice came by a connection, which the value of her side names (RFC 5626)."""
    stage, alice, bob = await two_proxies(nursery, "TCP")
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite()  # F1
    challenge = await call.gets(407)  # F2
    assert alice.take(challenge)["realm"] == "atlanta.example.com"
    call.ack(challenge)  # F3
    call.invite(prove=True)  # F4
    ringing = await bob.rung()  # F7
    got = ringing.heard
    assert got.request_uri == bob.contact
    assert got.max_forwards == 68
    assert hosts(got.values("Record-Route")) == ["ss2.biloxi.example.com", "ss1.atlanta.example.com"]
    assert not got.values("Route")
    assert not got.values("Proxy-Authorization"), "Proxy 1 consumed what was for it (RFC 3261 §22.3)"
    assert [via.partition(" ")[2].partition(":")[0] for via in got.values("Via")] == [
        "ss2.biloxi.example.com", "ss1.atlanta.example.com", "client.atlanta.example.com",
    ]  # fmt: skip
    ringing.answer(180)  # F9
    await call.gets(100, 180)  # F6, F11
    ringing.answer(200, body=ANSWER)  # F12
    ok = call.learn(await call.gets(200))  # F14
    assert ok.values("Record-Route") == got.values("Record-Route")
    call.ack(ok)  # F15
    ack = await ringing.hears("ACK")  # F17
    assert (ack.request_uri, ack.cseq.number, ack.max_forwards) == (bob.contact, 2, 68)
    assert not ack.values("Route")
    bye = ringing.send("BYE", contact="")  # F18
    assert hosts(bye.values("Route")) == ["ss2.biloxi.example.com", "ss1.atlanta.example.com"]
    assert (await call.hears("BYE")).request_uri == alice.contact  # F20
    call.answer(200)  # F21
    await ringing.gets(200)  # F23
    expect(
        stage,
        """
        F1 alice -> proxy1 INVITE
        F2 proxy1 -> alice 407
        F3 alice -> proxy1 ACK
        F4 alice -> proxy1 INVITE
        F6 proxy1 -> alice 100
        F5 proxy1 -> proxy2 INVITE
        F8 proxy2 -> proxy1 100
        F7 proxy2 -> bob INVITE
        F9 bob -> proxy2 180
        F10 proxy2 -> proxy1 180
        F11 proxy1 -> alice 180
        F12 bob -> proxy2 200
        F13 proxy2 -> proxy1 200
        F14 proxy1 -> alice 200
        F15 alice -> proxy1 ACK
        F16 proxy1 -> proxy2 ACK
        F17 proxy2 -> bob ACK
        F18 bob -> proxy2 BYE
        F19 proxy2 -> proxy1 BYE
        F20 proxy1 -> alice BYE
        F21 alice -> proxy1 200
        F22 proxy1 -> proxy2 200
        F23 proxy2 -> bob 200
        """,
    )


async def test_3_3_session_with_multiple_proxy_authentication(nursery, autojump_clock):
    """Alice is a user of both: Proxy 2 keeps her under her own address, in the realm biloxi.example.com."""
    stage, alice, bob = await two_proxies(nursery, "UDP", auth="digest", digest_algorithms="MD5")
    stage.proxies["proxy2"].also_serves("atlanta.example.com")
    stage.proxies["proxy2"].user("alice@atlanta.example.com", "biloxi.example.com", WITH_BILOXI)
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite()  # F1
    first = await call.gets(407)  # F2
    assert alice.take(first)["realm"] == "atlanta.example.com"
    call.ack(first)  # F3
    call.invite(prove=True)  # F4
    second = await call.gets(100, 407)  # F5, F9
    assert alice.take(second)["realm"] == "biloxi.example.com"
    assert len(second.values("Proxy-Authenticate")) == 1
    call.ack(second)  # F10
    sent = call.invite(prove=True)  # F11
    assert len(sent.values("Proxy-Authorization")) == 2
    ringing = await bob.rung()  # F15
    assert not ringing.heard.values("Proxy-Authorization")
    assert ringing.heard.cseq.number == 3
    ringing.answer(200, body=ANSWER)  # F16
    ok = call.learn(await call.gets(100, 200))  # F12, F18
    call.ack(ok, headers=alice.proofs("ACK", call.target))  # F19
    assert (await ringing.hears("ACK")).max_forwards == 68  # F21
    expect(
        stage,
        """
        F1 alice -> proxy1 INVITE
        F2 proxy1 -> alice 407
        F3 alice -> proxy1 ACK
        F4 alice -> proxy1 INVITE
        F5 proxy1 -> alice 100
        F6 proxy1 -> proxy2 INVITE
        F7 proxy2 -> proxy1 407
        F8 proxy1 -> proxy2 ACK
        F9 proxy1 -> alice 407
        F10 alice -> proxy1 ACK
        F11 alice -> proxy1 INVITE
        F12 proxy1 -> alice 100
        F13 proxy1 -> proxy2 INVITE
        F14 proxy2 -> proxy1 100
        F15 proxy2 -> bob INVITE
        F16 bob -> proxy2 200
        F17 proxy2 -> proxy1 200
        F18 proxy1 -> alice 200
        F19 alice -> proxy1 ACK
        F20 proxy1 -> proxy2 ACK
        F21 proxy2 -> bob ACK
        """,
    )


async def test_3_4_successful_session_with_proxy_failure(nursery, autojump_clock):
    """Proxy 1 hears nothing; Alice gives up on it and calls through Proxy 2, which asks who she is."""
    stage = Stage(nursery)
    alice, bob = await two_phones(stage)
    stage.place("proxy1", "ss1.atlanta.example.com")  # reachable, and silent
    two = await second_proxy(stage, bob, auth="digest", digest_algorithms="MD5")
    two.also_serves("atlanta.example.com")
    two.user("alice@atlanta.example.com", "biloxi.example.com", WITH_BILOXI)
    lost = alice.call(BOB, routes=FIRST_ROUTE)
    lost.invite()  # F1
    for pause in TIMER_A:  # F2 to F7
        await trio.sleep(pause)
        lost.again()
    call = alice.call(BOB)
    call.invite()  # F8
    challenge = await call.gets(407)  # F9
    assert alice.take(challenge)["realm"] == "biloxi.example.com"
    call.ack(challenge)  # F10
    call.invite(prove=True)  # F11
    ringing = await bob.rung()  # F12
    ringing.answer(180)  # F14
    await call.gets(100, 180)  # F13, F15
    ringing.answer(200, body=ANSWER)  # F16
    ok = call.learn(await call.gets(200))  # F17
    call.ack(ok)  # F18
    await ringing.hears("ACK")  # F19
    ringing.send("BYE", contact="")  # F20
    await call.hears("BYE")  # F21
    call.answer(200)  # F22
    await ringing.gets(200)  # F23
    silence = "\n".join(f"F{at} alice -> proxy1 INVITE" for at in range(1, 8))
    expect(
        stage,
        silence
        + """
        F8 alice -> proxy2 INVITE
        F9 proxy2 -> alice 407
        F10 alice -> proxy2 ACK
        F11 alice -> proxy2 INVITE
        F13 proxy2 -> alice 100
        F12 proxy2 -> bob INVITE
        F14 bob -> proxy2 180
        F15 proxy2 -> alice 180
        F16 bob -> proxy2 200
        F17 proxy2 -> alice 200
        F18 alice -> proxy2 ACK
        F19 proxy2 -> bob ACK
        F20 bob -> proxy2 BYE
        F21 proxy2 -> alice BYE
        F22 alice -> proxy2 200
        F23 proxy2 -> bob 200
        """,
    )


async def test_3_5_session_through_a_sip_alg(nursery, autojump_clock):
    """The ALG's signalling is a proxy's that stays in the dialog: a sipd, which leaves the media alone.

    Proxy 2 doesn't stay in: ACK and BYE go from the ALG to Bob himself.
    """
    stage = Stage(nursery)
    alice, bob = await two_phones(stage)
    await stage.proxy("alg", "alg1.atlanta.example.com", "atlanta.example.com", "alice")
    await second_proxy(stage, bob, record_route=False)
    call = alice.call(BOB, routes=("<sip:alg1.atlanta.example.com;lr>",))
    call.invite()  # F1
    ringing = await bob.rung()  # F4
    assert hosts(ringing.heard.values("Record-Route")) == ["alg1.atlanta.example.com"]
    ringing.answer(180)  # F6
    await call.gets(100, 180)  # F3, F8
    ringing.answer(200, body=ANSWER)  # F9
    ok = call.learn(await call.gets(200))  # F11
    call.ack(ok)  # F12
    await ringing.hears("ACK")  # F13
    call.send("BYE", contact="")  # F14
    await ringing.hears("BYE")  # F15
    ringing.answer(200)  # F16
    await call.gets(200)  # F17
    expect(
        stage,
        """
        F1 alice -> alg INVITE
        F3 alg -> alice 100
        F2 alg -> proxy2 INVITE
        F5 proxy2 -> alg 100
        F4 proxy2 -> bob INVITE
        F6 bob -> proxy2 180
        F7 proxy2 -> alg 180
        F8 alg -> alice 180
        F9 bob -> proxy2 200
        F10 proxy2 -> alg 200
        F11 alg -> alice 200
        F12 alice -> alg ACK
        F13 alg -> bob ACK
        F14 alice -> alg BYE
        F15 alg -> bob BYE
        F16 bob -> alg 200
        F17 alg -> alice 200
        """,
    )


async def test_3_6_session_via_redirect_and_proxy_servers_with_sdp_in_ack(nursery, autojump_clock):
    """The redirect server is a sipd in redirect mode, asked over UDP; Proxy 3 is called over TCP."""
    stage = Stage(nursery)
    alice, bob = await two_phones(stage, home="client.chicago.example.com")
    redirect = await stage.proxy("redirect", "ss2.biloxi.example.com", "biloxi.example.com", "bob", mode="redirect")
    redirect.bind("bob", "sip:bob@chicago.example.com;transport=tcp")
    three = await stage.proxy("proxy3", "ss3.chicago.example.com", "chicago.example.com", "bob")
    first = alice.call(BOB)
    first.invite(body=b"")  # F1
    moved = await first.gets(302)  # F2
    assert moved.values("Contact") == ["<sip:bob@chicago.example.com;transport=tcp>"]
    first.ack(moved)  # F3
    stage.transport = "TCP"
    three.bind("bob", bob.contact)
    call = alice.call(moved.contacts[0].uri.text)
    call.remote, call.call_id, call.tag, call.cseq = first.remote, first.call_id, first.tag, first.cseq
    call.invite(body=b"")  # F4: To, From and Call-ID as before, the next CSeq
    ringing = await bob.rung()  # F5
    assert ringing.heard.to.uri.text == BOB
    assert not ringing.heard.body
    ringing.answer(180)  # F7
    await call.gets(100, 180)  # F6, F8
    ringing.answer(200, body=OFFER)  # F9
    ok = call.learn(await call.gets(200))  # F10
    call.ack(ok, headers=SDP, body=ANSWER)  # F11
    assert (await ringing.hears("ACK")).body == ANSWER  # F12
    ringing.send("BYE", contact="")  # F13
    await call.hears("BYE")  # F14
    call.answer(200)  # F15
    await ringing.gets(200)  # F16
    expect(
        stage,
        """
        F1 alice -> redirect INVITE
        F2 redirect -> alice 302
        F3 alice -> redirect ACK
        F4 alice -> proxy3 INVITE
        F6 proxy3 -> alice 100
        F5 proxy3 -> bob INVITE
        F7 bob -> proxy3 180
        F8 proxy3 -> alice 180
        F9 bob -> proxy3 200
        F10 proxy3 -> alice 200
        F11 alice -> proxy3 ACK
        F12 proxy3 -> bob ACK
        F13 bob -> proxy3 BYE
        F14 proxy3 -> alice BYE
        F15 alice -> proxy3 200
        F16 proxy3 -> bob 200
        """,
    )


async def test_3_7_session_with_re_invite_after_a_change_of_address(nursery, autojump_clock):
    """Proxy 2 doesn't stay in the dialog: from F8 on it hears nothing."""
    stage = Stage(nursery)
    alice, bob = await two_phones(stage)
    await second_proxy(stage, bob, record_route=False)
    call = alice.call(BOB)
    call.invite()  # F1
    ringing = await bob.rung()  # F2
    assert not ringing.heard.values("Record-Route")
    ringing.answer(180)  # F4
    await call.gets(100, 180)  # F3, F5
    ringing.answer(200, body=ANSWER)  # F6
    ok = call.learn(await call.gets(200))  # F7
    call.ack(ok)  # F8
    await ringing.hears("ACK")
    moved = stage.agent("bob-moved", "client.chicago.example.com", "bob@biloxi.example.com")
    ringing.agent = moved
    ringing.invite()  # F9
    again = await call.hears("INVITE")
    call.target = again.contacts[0].uri.text
    call.answer(200, body=ANSWER)  # F10
    ringing.ack(await ringing.gets(200))  # F11
    await call.hears("ACK")
    call.send("BYE", contact="")  # F12
    await ringing.hears("BYE")
    ringing.answer(200)  # F13
    await call.gets(200)
    expect(
        stage,
        """
        F1 alice -> proxy2 INVITE
        F3 proxy2 -> alice 100
        F2 proxy2 -> bob INVITE
        F4 bob -> proxy2 180
        F5 proxy2 -> alice 180
        F6 bob -> proxy2 200
        F7 proxy2 -> alice 200
        F8 alice -> bob ACK
        F9 bob-moved -> alice INVITE
        F10 alice -> bob-moved 200
        F11 bob-moved -> alice ACK
        F12 alice -> bob-moved BYE
        F13 bob-moved -> alice 200
        """,
    )


async def test_3_8_unsuccessful_no_answer(nursery, autojump_clock):
    """Alice gives up: CANCEL and its 200 go hop by hop, the 487 all the way, each hop with its ACK."""
    stage, alice, bob = await two_proxies(nursery, "UDP")
    begun = await known_to_proxy_1(stage, alice)
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite(prove=True)  # F1
    ringing = await bob.rung()  # F4
    ringing.answer(180)  # F6
    await call.gets(100, 180)  # F3, F8
    call.cancel()  # F9
    cancelled = await call.gets(200)  # F10
    assert cancelled.cseq.method == "CANCEL"
    invite = ringing.heard
    cancel = await ringing.hears("CANCEL")  # F13
    assert cancel.request_uri == bob.contact
    ringing.answer(200)  # F14
    ringing.answer(487, to=invite)  # F15
    assert (await ringing.hears("ACK")).first("To") == f"{invite.first('To')};tag={ringing.tag}"  # F16
    ended = await call.gets(487)  # F19
    call.ack(ended)  # F20
    await trio.sleep(1)
    expect(
        stage,
        """
        F1 alice -> proxy1 INVITE
        F3 proxy1 -> alice 100
        F2 proxy1 -> proxy2 INVITE
        F5 proxy2 -> proxy1 100
        F4 proxy2 -> bob INVITE
        F6 bob -> proxy2 180
        F7 proxy2 -> proxy1 180
        F8 proxy1 -> alice 180
        F9 alice -> proxy1 CANCEL
        F10 proxy1 -> alice 200
        F11 proxy1 -> proxy2 CANCEL
        F12 proxy2 -> proxy1 200
        F13 proxy2 -> bob CANCEL
        F14 bob -> proxy2 200
        F15 bob -> proxy2 487
        F16 proxy2 -> bob ACK
        F17 proxy2 -> proxy1 487
        F18 proxy1 -> proxy2 ACK
        F19 proxy1 -> alice 487
        F20 alice -> proxy1 ACK
        """,
        since=begun,
    )


@pytest.mark.parametrize("transport", ["TCP", "UDP"])
async def test_3_9_unsuccessful_busy(nursery, autojump_clock, transport):
    stage, alice, bob = await two_proxies(nursery, transport)
    begun = await known_to_proxy_1(stage, alice)
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite(prove=True)  # F1
    ringing = await bob.rung()  # F4
    ringing.answer(486)  # F6
    await ringing.hears("ACK")  # F7
    call.ack(await call.gets(100, 486))  # F3, F10, F11
    await trio.sleep(1)
    expect(
        stage,
        """
        F1 alice -> proxy1 INVITE
        F3 proxy1 -> alice 100
        F2 proxy1 -> proxy2 INVITE
        F5 proxy2 -> proxy1 100
        F4 proxy2 -> bob INVITE
        F6 bob -> proxy2 486
        F7 proxy2 -> bob ACK
        F8 proxy2 -> proxy1 486
        F9 proxy1 -> proxy2 ACK
        F10 proxy1 -> alice 486
        F11 alice -> proxy1 ACK
        """,
        since=begun,
    )


async def test_3_10_unsuccessful_no_response_from_user_agent(nursery, autojump_clock):
    """After its seventh INVITE Proxy 2 gives up. The RFC's answer is 480; ours is 408, as RFC 3261 §16.8 says.

    A 480 in its place would hide from Proxy 1 that nobody was there (docs/adr/0006: 408 is `noanswer`).
    """
    stage, alice, bob = await two_proxies(nursery, "UDP")
    begun = await known_to_proxy_1(stage, alice)
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite(prove=True)  # F1
    start = trio.current_time()
    heard = [await bob.hears("INVITE") for _ in range(7)]  # F4, F6 to F11
    assert len({bytes(invite) for invite in heard}) == 1, "the same each time"
    ended = await call.gets(100, 408)  # F3, F14
    assert trio.current_time() - start == pytest.approx(32, abs=0.1), "timer B"
    call.ack(ended)  # F15
    await trio.sleep(1)
    resent = "\n".join(f"F{at} proxy2 -> bob INVITE" for at in range(6, 12))
    expect(
        stage,
        """
        F1 alice -> proxy1 INVITE
        F3 proxy1 -> alice 100
        F2 proxy1 -> proxy2 INVITE
        F5 proxy2 -> proxy1 100
        F4 proxy2 -> bob INVITE
        """
        + resent
        + """
        F12 proxy2 -> proxy1 408
        F13 proxy1 -> proxy2 ACK
        F14 proxy1 -> alice 408
        F15 alice -> proxy1 ACK
        """,
        since=begun,
    )


async def test_3_11_unsuccessful_temporarily_unavailable(nursery, autojump_clock):
    stage, alice, bob = await two_proxies(nursery, "UDP")
    begun = await known_to_proxy_1(stage, alice)
    call = alice.call(BOB, routes=FIRST_ROUTE)
    call.invite(prove=True)  # F1
    ringing = await bob.rung()  # F4
    ringing.answer(180)  # F6
    await call.gets(100, 180)  # F3, F8
    ringing.answer(480)  # F9
    await ringing.hears("ACK")  # F10
    call.ack(await call.gets(480))  # F13, F14
    await trio.sleep(1)
    expect(
        stage,
        """
        F1 alice -> proxy1 INVITE
        F3 proxy1 -> alice 100
        F2 proxy1 -> proxy2 INVITE
        F5 proxy2 -> proxy1 100
        F4 proxy2 -> bob INVITE
        F6 bob -> proxy2 180
        F7 proxy2 -> proxy1 180
        F8 proxy1 -> alice 180
        F9 bob -> proxy2 480
        F10 proxy2 -> bob ACK
        F11 proxy2 -> proxy1 480
        F12 proxy1 -> proxy2 ACK
        F13 proxy1 -> alice 480
        F14 alice -> proxy1 ACK
        """,
        since=begun,
    )
