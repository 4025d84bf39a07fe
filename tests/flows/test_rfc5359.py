"""RFC 5359: the services, all of them through one sipd, forwarding and screening by CPL scripts.

Where the RFC's figure has a proxy it is compared hop by hop (`expect`), else
phone by phone (`expect_end_to_end`): there the RFC's phones talk to each other
directly, here every message crosses the proxy and keeps its rules. What
differs for all: one domain and UDP in place of three and TLS; a 100 leaves
before the INVITE; no 181, which the RFC has in brackets; when a time is up
(2.9, 2.12) the next place is rung at once, and not after the 487 of the last.
"""

from __future__ import annotations

import pytest
import trio

from tests.flows.agent import ANSWER, HOLD
from tests.flows.figure import expect, expect_end_to_end
from tests.flows.stage import Stage

DOMAIN = "example.com"
ALICE, BOB, CAROL = (f"sip:{name}@{DOMAIN}" for name in ("alice", "bob", "carol"))
PEOPLE = ("alice", "bob", "carol", "bill", "music", "park", "pc")
CPL = '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><{0}>{1}</{0}></cpl>'
EVENT_DIALOG = (("Event", "dialog"), ("Accept", "application/dialog-info+xml"))
STATE = (("Event", "dialog"), ("Content-Type", "application/dialog-info+xml"))


@pytest.fixture
async def stage(nursery):
    made = Stage(nursery)
    await made.proxy("proxy", "ss1.example.com", DOMAIN, *PEOPLE)
    return made


def phones(stage, *names):
    """Phones with the proxy as their outbound proxy; those of its users are registered."""
    made = [stage.agent(name, f"{name}.phones.example", f"{name}@{DOMAIN}", proxy="ss1.example.com") for name in names]
    for phone in made:
        phone.passwords[DOMAIN] = f"pw-{phone.name}"
        if phone.name in PEOPLE:
            stage.proxies["proxy"].bind(phone.name, phone.contact)
    return made


async def talk(caller, callee, *, uri="", headers=(), rings=True):
    """A call set up through the proxy: both legs of it."""
    call = caller.call(uri or f"sip:{callee.aor}")
    call.invite(headers=headers)
    leg = await callee.rung()
    if rings:
        leg.answer(180)
        await call.gets(100, 180)
    else:
        await call.gets(100)
    leg.answer(200, body=ANSWER)
    call.ack(call.learn(await call.gets(200)))
    await leg.hears("ACK")
    return call, leg


async def again(one, other, body):
    """A re-INVITE from one side to the other, answered and acknowledged."""
    one.invite(body=body)
    got = await other.hears("INVITE")
    assert got.body == body
    other.answer(200, body=ANSWER)
    one.ack(await one.gets(100, 200))
    await other.hears("ACK")


async def request(one, other, method, *, headers=(), body=b"", status=200):
    """A request in the dialog, and its answer."""
    one.send(method, headers=headers, body=body)
    await other.hears(method)
    other.answer(status)
    return await one.gets(status)


async def hang_up(one, other):
    one.send("BYE", contact="")
    await other.hears("BYE")
    other.answer(200)
    await one.gets(200)


async def refer(sender, uri, phone, refer_to, *, subscribes=True):
    """A REFER outside a dialog: the legs of the subscription it makes."""
    asked = sender.call(uri)
    asked.send("REFER", headers=(("Refer-To", f"<{refer_to}>"), ("Referred-By", f"<sip:{sender.aor}>"),
                                 *(() if subscribes else (("Refer-Sub", "false"),))))  # fmt: skip
    leg = await phone.rung("REFER")
    leg.answer(202)
    asked.learn(await asked.gets(202))
    return asked, leg


async def progress(leg, asked, line):
    """A NOTIFY of how a REFER goes."""
    headers = (("Event", "refer"), ("Subscription-State", "active;expires=60"), ("Content-Type", "message/sipfrag"))
    await request(leg, asked, "NOTIFY", headers=headers, body=line)


def replaces(leg):
    """The Replaces value that means that dialog to the phone at the other end of `leg` (RFC 3891 §6.1)."""
    other = leg.remote.partition(";tag=")[2]
    return (("Require", "replaces"), ("Replaces", f"{leg.call_id};to-tag={other};from-tag={leg.tag}"))


async def test_2_1_call_hold(stage, autojump_clock):
    alice, bob = phones(stage, "alice", "bob")
    call, leg = await talk(alice, bob)  # F1 to F9
    await again(leg, call, HOLD)  # F10 to F15
    await again(leg, call, ANSWER)  # F16 to F21
    await hang_up(call, leg)  # F22 to F25
    expect(
        stage,
        """
        F1 alice -> proxy INVITE
        F3 proxy -> alice 100
        F2 proxy -> bob INVITE
        F4 bob -> proxy 180
        F5 proxy -> alice 180
        F6 bob -> proxy 200
        F7 proxy -> alice 200
        F8 alice -> proxy ACK
        F9 proxy -> bob ACK
        F10 bob -> proxy INVITE
        -- proxy -> bob 100
        F11 proxy -> alice INVITE
        F12 alice -> proxy 200
        F13 proxy -> bob 200
        F14 bob -> proxy ACK
        F15 proxy -> alice ACK
        F16 bob -> proxy INVITE
        -- proxy -> bob 100
        F17 proxy -> alice INVITE
        F18 alice -> proxy 200
        F19 proxy -> bob 200
        F20 bob -> proxy ACK
        F21 proxy -> alice ACK
        F22 alice -> proxy BYE
        F23 proxy -> bob BYE
        F24 bob -> proxy 200
        F25 proxy -> alice 200
        """,
    )


async def test_2_2_consultation_hold(stage, autojump_clock):
    alice, bob, carol = phones(stage, "alice", "bob", "carol")
    call, leg = await talk(alice, bob)  # F1 to F9
    await again(leg, call, HOLD)  # F10 to F15
    begun = len(stage.network.sent)
    asking, asked = await talk(bob, carol)  # F16 to F24
    await hang_up(asking, asked)  # F25 to F28
    await again(leg, call, ANSWER)  # F29 to F34
    await hang_up(call, leg)  # F35 to F38
    expect(
        stage,
        """
        F16 bob -> proxy INVITE
        F18 proxy -> bob 100
        F17 proxy -> carol INVITE
        F19 carol -> proxy 180
        F20 proxy -> bob 180
        F21 carol -> proxy 200
        F22 proxy -> bob 200
        F23 bob -> proxy ACK
        F24 proxy -> carol ACK
        F25 bob -> proxy BYE
        F26 proxy -> carol BYE
        F27 carol -> proxy 200
        F28 proxy -> bob 200
        F29 bob -> proxy INVITE
        -- proxy -> bob 100
        F30 proxy -> alice INVITE
        F31 alice -> proxy 200
        F32 proxy -> bob 200
        F33 bob -> proxy ACK
        F34 proxy -> alice ACK
        F35 alice -> proxy BYE
        F36 proxy -> bob BYE
        F37 bob -> proxy 200
        F38 proxy -> alice 200
        """,
        since=begun,
    )


async def test_2_3_music_on_hold(stage, autojump_clock):
    alice, bob, music = phones(stage, "alice", "bob", "music")
    call, leg = await talk(alice, bob)  # F1 to F4
    await again(leg, call, HOLD)  # F5 to F7
    begun = len(stage.network.sent)
    asked, player = await refer(bob, f"sip:music@{DOMAIN}", music, alice.contact)  # F8, F9
    await progress(player, asked, b"SIP/2.0 100 Trying\r\n")  # F10, F11
    playing, heard = await talk(music, alice, uri=alice.contact, headers=replaces(leg), rings=False)  # F12 to F14
    assert heard.agent is alice
    await hang_up(call, leg)  # F15, F16
    await progress(player, asked, b"SIP/2.0 200 OK\r\n")  # F17, F18
    back, _ = await talk(bob, alice, uri=alice.contact, headers=replaces(playing), rings=False)  # F19 to F21
    await hang_up(heard, playing)  # F22, F23
    assert back.remote
    expect_end_to_end(
        stage,
        """
        F8 bob -> music REFER
        F9 music -> bob 202
        F10 music -> bob NOTIFY
        F11 bob -> music 200
        F12 music -> alice INVITE
        F13 alice -> music 200
        F14 music -> alice ACK
        F15 alice -> bob BYE
        F16 bob -> alice 200
        F17 music -> bob NOTIFY
        F18 bob -> music 200
        F19 bob -> alice INVITE
        F20 alice -> bob 200
        F21 bob -> alice ACK
        F22 alice -> music BYE
        F23 music -> alice 200
        """,
        since=begun,
    )


async def test_2_4_transfer_unattended(stage, autojump_clock):
    alice, bob, carol = phones(stage, "alice", "bob", "carol")
    call, leg = await talk(bob, alice)  # F1 to F4
    await request(leg, call, "REFER", headers=(("Refer-To", f"<{CAROL}>"),), status=202)  # F5, F6
    await progress(call, leg, b"SIP/2.0 100 Trying\r\n")  # F7, F8
    await hang_up(leg, call)  # F9, F10
    await talk(bob, carol, headers=(("Referred-By", f"<{ALICE}>"),))  # F11 to F14
    await progress(call, leg, b"SIP/2.0 200 OK\r\n")  # F15, F16
    expect_end_to_end(
        stage,
        """
        F1 bob -> alice INVITE
        F2 alice -> bob 180
        F3 alice -> bob 200
        F4 bob -> alice ACK
        F5 alice -> bob REFER
        F6 bob -> alice 202
        F7 bob -> alice NOTIFY
        F8 alice -> bob 200
        F9 alice -> bob BYE
        F10 bob -> alice 200
        F11 bob -> carol INVITE
        F12 carol -> bob 180
        F13 carol -> bob 200
        F14 bob -> carol ACK
        F15 bob -> alice NOTIFY
        F16 alice -> bob 200
        """,
    )


async def test_2_5_transfer_attended(stage, autojump_clock):
    alice, bob, carol = phones(stage, "alice", "bob", "carol")
    call, leg = await talk(alice, bob)  # F1 to F4
    await again(leg, call, HOLD)  # F5 to F7
    asking, asked = await talk(bob, carol)  # F8 to F11
    await again(asking, asked, HOLD)  # F12 to F14
    begun = len(stage.network.sent)
    where = f"{carol.contact}?Replaces={asking.call_id.replace('@', '%40')}"
    await request(leg, call, "REFER", headers=(("Refer-To", f"<{where}>"),), status=202)  # F15, F16
    await progress(call, leg, b"SIP/2.0 100 Trying\r\n")  # F17, F18
    await talk(alice, carol, uri=carol.contact, headers=replaces(asking), rings=False)  # F19 to F21
    await hang_up(asked, asking)  # F22, F23
    await progress(call, leg, b"SIP/2.0 200 OK\r\n")  # F24, F25
    await hang_up(leg, call)  # F26, F27
    expect_end_to_end(
        stage,
        """
        F15 bob -> alice REFER
        F16 alice -> bob 202
        F17 alice -> bob NOTIFY
        F18 bob -> alice 200
        F19 alice -> carol INVITE
        F20 carol -> alice 200
        F21 alice -> carol ACK
        F22 carol -> bob BYE
        F23 bob -> carol 200
        F24 alice -> bob NOTIFY
        F25 bob -> alice 200
        F26 bob -> alice BYE
        F27 alice -> bob 200
        """,
        since=begun,
    )


async def test_2_6_transfer_by_instant_message(stage, autojump_clock):
    alice, bob, carol = phones(stage, "alice", "bob", "carol")
    call, leg = await talk(alice, bob)  # F1 to F4
    message = bob.call(CAROL)
    message.send("MESSAGE", contact="", headers=(("Content-Type", "text/plain"),), body=b"Take Alice, please")  # F5
    got = await carol.hears("MESSAGE")
    assert got.body == b"Take Alice, please"
    taken = carol.call(alice.contact)
    taken.answer(200, to=got)  # F6
    await message.gets(200)
    taken.invite(headers=replaces(leg))  # F7
    at_alice = await alice.rung()
    at_alice.answer(200, body=ANSWER)  # F8
    taken.ack(taken.learn(await taken.gets(100, 200)))  # F9
    await at_alice.hears("ACK")
    await hang_up(call, leg)  # F10, F11
    expect_end_to_end(
        stage,
        """
        F1 alice -> bob INVITE
        F2 bob -> alice 180
        F3 bob -> alice 200
        F4 alice -> bob ACK
        F5 bob -> carol MESSAGE
        F6 carol -> bob 200
        F7 carol -> alice INVITE
        F8 alice -> carol 200
        F9 carol -> alice ACK
        F10 alice -> bob BYE
        F11 bob -> alice 200
        """,
    )


async def test_2_7_call_forwarding_unconditional(stage, autojump_clock):
    alice, _, gateway = phones(stage, "alice", "bob", "gateway")
    stage.proxies["proxy"].script(
        "bob", CPL.format("incoming", f'<location url="{gateway.contact}"><proxy/></location>')
    )
    call, leg = await talk(alice, gateway, uri=BOB)
    assert leg.heard is not None
    await hang_up(call, leg)
    expect(
        stage,
        """
        F1 alice -> proxy INVITE
        F2 proxy -> alice 100
        F4 proxy -> gateway INVITE
        F5 gateway -> proxy 180
        F6 proxy -> alice 180
        F7 gateway -> proxy 200
        F8 proxy -> alice 200
        F9 alice -> proxy ACK
        F10 proxy -> gateway ACK
        F11 alice -> proxy BYE
        F12 proxy -> gateway BYE
        F13 gateway -> proxy 200
        F14 proxy -> alice 200
        """,
    )


async def test_2_8_call_forwarding_busy(stage, autojump_clock):
    alice, b1, b2 = phones(stage, "alice", "b1", "b2")
    stage.proxies["proxy"].bind("bob", b1.contact)
    forward = f'<busy><location url="{b2.contact}" clear="yes"><proxy/></location></busy>'
    stage.proxies["proxy"].script(
        "bob",
        CPL.format("incoming", f'<lookup source="registration"><success><proxy>{forward}</proxy></success></lookup>'),
    )
    call = alice.call(BOB)
    call.invite()  # F1
    busy = await b1.rung()
    busy.answer(486)  # F4
    await busy.hears("ACK")  # F5
    leg = await b2.rung()  # F7
    leg.answer(180)  # F8
    leg.answer(200, body=ANSWER)  # F10
    call.ack(call.learn(await call.gets(100, 180, 200)))  # F12
    await leg.hears("ACK")
    await hang_up(call, leg)  # F14 to F17
    expect(
        stage,
        """
        F1 alice -> proxy INVITE
        F3 proxy -> alice 100
        F2 proxy -> b1 INVITE
        F4 b1 -> proxy 486
        F5 proxy -> b1 ACK
        F7 proxy -> b2 INVITE
        F8 b2 -> proxy 180
        F10 b2 -> proxy 200
        F9 proxy -> alice 180
        F11 proxy -> alice 200
        F12 alice -> proxy ACK
        F13 proxy -> b2 ACK
        F14 alice -> proxy BYE
        F15 proxy -> b2 BYE
        F16 b2 -> proxy 200
        F17 proxy -> alice 200
        """,
    )


async def test_2_9_call_forwarding_no_answer(stage, autojump_clock):
    alice, b1, b2 = phones(stage, "alice", "b1", "b2")
    stage.proxies["proxy"].bind("bob", b1.contact)
    forward = f'<noanswer><location url="{b2.contact}" clear="yes"><proxy/></location></noanswer>'
    stage.proxies["proxy"].script(
        "bob",
        CPL.format(
            "incoming",
            f'<lookup source="registration"><success><proxy timeout="12">{forward}</proxy></success></lookup>',
        ),
    )
    call = alice.call(BOB)
    call.invite()  # F1
    first = await b1.rung()
    invite = first.heard
    first.answer(180)  # F4
    await call.gets(100, 180)
    start = trio.current_time()
    await first.hears("CANCEL")  # F6
    assert trio.current_time() - start == pytest.approx(12, abs=0.1)
    first.answer(200)  # F7
    first.answer(487, to=invite)  # F8
    await first.hears("ACK")  # F9
    leg = await b2.rung()  # F11
    leg.answer(180)  # F12
    await call.gets(180)
    leg.answer(200, body=ANSWER)  # F14
    call.ack(call.learn(await call.gets(200)))  # F16
    await leg.hears("ACK")
    await hang_up(call, leg)  # F18 to F21
    expect(
        stage,
        """
        F1 alice -> proxy INVITE
        F3 proxy -> alice 100
        F2 proxy -> b1 INVITE
        F4 b1 -> proxy 180
        F5 proxy -> alice 180
        F6 proxy -> b1 CANCEL
        F11 proxy -> b2 INVITE
        F7 b1 -> proxy 200
        F8 b1 -> proxy 487
        F9 proxy -> b1 ACK
        F12 b2 -> proxy 180
        F13 proxy -> alice 180
        F14 b2 -> proxy 200
        F15 proxy -> alice 200
        F16 alice -> proxy ACK
        F17 proxy -> b2 ACK
        F18 alice -> proxy BYE
        F19 proxy -> b2 BYE
        F20 b2 -> proxy 200
        F21 proxy -> alice 200
        """,
    )


async def test_2_10_third_party_is_added(stage, autojump_clock):
    alice, bob, carol = phones(stage, "alice", "bob", "carol")
    call, leg = await talk(alice, bob)  # F1 to F4
    await again(leg, call, ANSWER)  # F5 to F7: Bob's Contact is his mixer from now on
    await talk(bob, carol)  # F8 to F11
    expect_end_to_end(
        stage,
        """
        F1 alice -> bob INVITE
        F2 bob -> alice 180
        F3 bob -> alice 200
        F4 alice -> bob ACK
        F5 bob -> alice INVITE
        F6 alice -> bob 200
        F7 bob -> alice ACK
        F8 bob -> carol INVITE
        F9 carol -> bob 180
        F10 carol -> bob 200
        F11 bob -> carol ACK
        """,
    )


async def test_2_11_third_party_joins(stage, autojump_clock):
    alice, bob, carol = phones(stage, "alice", "bob", "carol")
    call, leg = await talk(alice, bob)  # F1 to F4
    joining = carol.call(bob.contact)
    join = f"{leg.call_id};to-tag={leg.tag};from-tag={call.tag}"
    joining.invite(headers=(("Require", "join"), ("Join", join)))  # F5
    joined = await bob.rung()
    joined.answer(180)  # F6
    await joining.gets(100, 180)
    await again(leg, call, ANSWER)  # F7 to F9
    joined.answer(200, body=ANSWER)  # F10
    joining.ack(joining.learn(await joining.gets(200)))  # F11
    await joined.hears("ACK")
    expect_end_to_end(
        stage,
        """
        F1 alice -> bob INVITE
        F2 bob -> alice 180
        F3 bob -> alice 200
        F4 alice -> bob ACK
        F5 carol -> bob INVITE
        F6 bob -> carol 180
        F7 bob -> alice INVITE
        F8 alice -> bob 200
        F9 bob -> alice ACK
        F10 bob -> carol 200
        F11 carol -> bob ACK
        """,
    )


FIND_ME = """
  <location url="{b1}"><proxy timeout="10"><default>
  <location url="{b2}" clear="yes"><proxy timeout="10"><default>
  <location url="{b3}" clear="yes"><proxy timeout="10"><default>
  <location url="{b4}" clear="yes"><proxy/></location>
  </default></proxy></location></default></proxy></location></default></proxy></location>"""


async def test_2_12_find_me(stage, autojump_clock):
    alice, b1, b2, b3, b4 = phones(stage, "alice", "b1", "b2", "b3", "b4")
    where = {phone.name: phone.contact for phone in (b1, b2, b3, b4)}
    stage.proxies["proxy"].script("bob", CPL.format("incoming", FIND_ME.format(**where)))
    call = alice.call(BOB)
    call.invite()  # F1
    first = await b1.rung()
    invite = first.heard
    first.answer(180)  # F4
    await call.gets(100, 180)
    await first.hears("CANCEL")  # F6
    first.answer(200)  # F7
    first.answer(487, to=invite)  # F8
    await first.hears("ACK")
    for phone, status in ((b2, 480), (b3, 486)):  # F10 to F15
        refused = await phone.rung()
        refused.answer(status)
        await refused.hears("ACK")
    leg = await b4.rung()  # F16
    leg.answer(180)  # F17
    await call.gets(180)
    leg.answer(200, body=ANSWER)  # F19
    call.ack(call.learn(await call.gets(200)))  # F21
    await leg.hears("ACK")
    await hang_up(leg, call)  # F23 to F26
    expect(
        stage,
        """
        F1 alice -> proxy INVITE
        F3 proxy -> alice 100
        F2 proxy -> b1 INVITE
        F4 b1 -> proxy 180
        F5 proxy -> alice 180
        F6 proxy -> b1 CANCEL
        F10 proxy -> b2 INVITE
        F7 b1 -> proxy 200
        F8 b1 -> proxy 487
        F9 proxy -> b1 ACK
        F11 b2 -> proxy 480
        F12 proxy -> b2 ACK
        F13 proxy -> b3 INVITE
        F14 b3 -> proxy 486
        F15 proxy -> b3 ACK
        F16 proxy -> b4 INVITE
        F17 b4 -> proxy 180
        F18 proxy -> alice 180
        F19 b4 -> proxy 200
        F20 proxy -> alice 200
        F21 alice -> proxy ACK
        F22 proxy -> b4 ACK
        F23 b4 -> proxy BYE
        F24 proxy -> alice BYE
        F25 alice -> proxy 200
        F26 proxy -> b4 200
        """,
    )


async def test_2_12_find_me_by_parallel_forking(stage, autojump_clock):
    """The RFC says that forking would do as well: by equal q all ring, and the first to answer ends the rest."""
    alice, b1, b2, b3, b4 = phones(stage, "alice", "b1", "b2", "b3", "b4")
    for phone in (b1, b2, b3, b4):
        stage.proxies["proxy"].bind("bob", phone.contact)
    call = alice.call(BOB)
    call.invite()
    legs = [await phone.rung() for phone in (b1, b2, b3, b4)]
    invites = [leg.heard for leg in legs]
    for leg in legs:
        leg.answer(180)
    await call.gets(100, 180, 180, 180, 180)
    legs[3].answer(200, body=ANSWER)
    call.ack(call.learn(await call.gets(200)))
    await legs[3].hears("ACK")
    for leg, invite in zip(legs[:3], invites, strict=False):
        await leg.hears("CANCEL")
        leg.answer(200)
        leg.answer(487, to=invite)
        await leg.hears("ACK")
    await trio.sleep(1)
    assert len({invite.branch for invite in invites}) == 4, "each branch its own"
    expect_end_to_end(
        stage,
        """
        -- alice -> b1 INVITE
        -- alice -> b2 INVITE
        -- alice -> b3 INVITE
        -- alice -> b4 INVITE
        -- b1 -> alice 180
        -- b2 -> alice 180
        -- b3 -> alice 180
        -- b4 -> alice 180
        -- b4 -> alice 200
        -- proxy -> b1 CANCEL
        -- proxy -> b2 CANCEL
        -- proxy -> b3 CANCEL
        -- alice -> b4 ACK
        -- proxy -> b1 ACK
        -- proxy -> b2 ACK
        -- proxy -> b3 ACK
        """,
    )


async def test_2_13_incoming_call_screening(stage, autojump_clock):
    """Bob's script refuses Alice once she has proved who she is. CPL knows no Error-Info: F10 is told otherwise."""
    alice, bob, announcement = phones(stage, "alice", "bob", "announcement")
    stage.proxies["proxy"].settings(auth="digest", digest_algorithms="MD5")
    stage.proxies["proxy"].script(
        "bob",
        CPL.format(
            "incoming",
            f'<address-switch field="origin"><address is="{ALICE}">'
            '<reject status="403" reason="Screening Failure (Terminating)"/></address></address-switch>',
        ),
    )
    directly = alice.call(bob.contact)
    alice.proxy = ""
    directly.invite()  # F1
    use_proxy = await bob.rung()
    use_proxy.answer(305, headers=(("Contact", "<sip:ss1.example.com>"),))  # F2
    directly.ack(await directly.gets(305))  # F3
    await use_proxy.hears("ACK")
    alice.proxy = "ss1.example.com"
    call = alice.call(BOB)
    call.invite()  # F4
    challenge = await call.gets(407)  # F5
    alice.take(challenge)
    call.ack(challenge)  # F6
    call.invite(prove=True)  # F7
    refused = await call.gets(100, 403)  # F8
    assert refused.reason == "Screening Failure (Terminating)"
    call.ack(refused)  # F9
    alice.proxy = ""
    hearing = alice.call(announcement.contact)
    hearing.invite()  # F10
    telling = await announcement.rung()
    telling.answer(200, body=ANSWER)  # F11
    hearing.ack(hearing.learn(await hearing.gets(200)))  # F12
    await telling.hears("ACK")
    await hang_up(telling, hearing)  # F13, F14
    expect(
        stage,
        """
        F1 alice -> bob INVITE
        F2 bob -> alice 305
        F3 alice -> bob ACK
        F4 alice -> proxy INVITE
        F5 proxy -> alice 407
        F6 alice -> proxy ACK
        F7 alice -> proxy INVITE
        -- proxy -> alice 100
        F8 proxy -> alice 403
        F9 alice -> proxy ACK
        F10 alice -> announcement INVITE
        F11 announcement -> alice 200
        F12 alice -> announcement ACK
        F13 announcement -> alice BYE
        F14 alice -> announcement 200
        """,
    )


async def test_2_14_outgoing_call_screening(stage, autojump_clock):
    (alice,) = phones(stage, "alice")
    stage.proxies["proxy"].settings(auth="digest", digest_algorithms="MD5")
    stage.proxies["proxy"].script(
        "alice",
        CPL.format(
            "outgoing",
            f'<address-switch field="original-destination"><address is="{BOB}">'
            '<reject status="403" reason="Screening Failure (Originating)"/></address></address-switch>',
        ),
    )
    call = alice.call(BOB)
    call.invite()  # F1
    challenge = await call.gets(407)  # F2
    alice.take(challenge)
    call.ack(challenge)  # F3
    call.invite(prove=True)  # F4
    refused = await call.gets(100, 403)  # F5
    assert refused.reason == "Screening Failure (Originating)"
    call.ack(refused)  # F6
    await trio.sleep(1)
    expect(
        stage,
        """
        F1 alice -> proxy INVITE
        F2 proxy -> alice 407
        F3 alice -> proxy ACK
        F4 alice -> proxy INVITE
        -- proxy -> alice 100
        F5 proxy -> alice 403
        F6 alice -> proxy ACK
        """,
    )


async def test_2_15_call_park(stage, autojump_clock):
    alice, bob, park, carol = phones(stage, "alice", "bob", "park", "carol")
    call, leg = await talk(alice, bob)  # F1 to F4
    asked, parking = await refer(bob, f"sip:park@{DOMAIN}", park, alice.contact)  # F5, F6
    await progress(parking, asked, b"SIP/2.0 100 Trying\r\n")  # F7, F8
    parked, at_alice = await talk(park, alice, uri=alice.contact, headers=replaces(leg), rings=False)  # F9 to F11
    await hang_up(call, leg)  # F12, F13
    await progress(parking, asked, b"SIP/2.0 200 OK\r\n")  # F14, F15
    watch = carol.call(f"sip:park@{DOMAIN}")
    watch.send("SUBSCRIBE", headers=(*EVENT_DIALOG, ("Expires", "0")))  # F16
    watched = await park.rung("SUBSCRIBE")
    watched.answer(200)  # F17
    watch.learn(await watch.gets(200))
    await request(watched, watch, "NOTIFY", headers=(*STATE, ("Subscription-State", "terminated")))  # F18, F19
    await talk(carol, alice, uri=alice.contact, headers=replaces(parked), rings=False)  # F20 to F22
    await hang_up(at_alice, parked)  # F23, F24
    expect_end_to_end(
        stage,
        """
        F1 alice -> bob INVITE
        F2 bob -> alice 180
        F3 bob -> alice 200
        F4 alice -> bob ACK
        F5 bob -> park REFER
        F6 park -> bob 202
        F7 park -> bob NOTIFY
        F8 bob -> park 200
        F9 park -> alice INVITE
        F10 alice -> park 200
        F11 park -> alice ACK
        F12 alice -> bob BYE
        F13 bob -> alice 200
        F14 park -> bob NOTIFY
        F15 bob -> park 200
        F16 carol -> park SUBSCRIBE
        F17 park -> carol 200
        F18 park -> carol NOTIFY
        F19 carol -> park 200
        F20 carol -> alice INVITE
        F21 alice -> carol 200
        F22 carol -> alice ACK
        F23 alice -> park BYE
        F24 park -> alice 200
        """,
    )


async def test_2_16_call_pickup(stage, autojump_clock):
    """F9 to F12 are hop by hop: the proxy answers the CANCEL, and acknowledges the 487."""
    alice, bob, bill = phones(stage, "alice", "bob", "bill")
    call = alice.call(BOB)
    call.invite()  # F1
    ringing = await bob.rung()
    invite = ringing.heard
    ringing.answer(180)  # F2
    early = await call.gets(100, 180)
    watch = bill.call(BOB)
    watch.send("SUBSCRIBE", headers=(*EVENT_DIALOG, ("Expires", "0")))  # F3
    watched = await bob.rung("SUBSCRIBE")
    watched.answer(200)  # F4
    watch.learn(await watch.gets(200))
    await request(watched, watch, "NOTIFY", headers=(*STATE, ("Subscription-State", "terminated")))  # F5, F6
    taken = bill.call(alice.contact)
    dialog = f"{call.call_id};from-tag={early.to_tag};to-tag={call.tag};early-only"
    taken.invite(headers=(("Require", "replaces"), ("Replaces", dialog)))  # F7
    at_alice = await alice.rung()
    at_alice.answer(200, body=ANSWER)  # F8
    call.cancel()  # F9
    await call.gets(200)  # F10
    await ringing.hears("CANCEL")
    ringing.answer(200)
    ringing.answer(487, to=invite)  # F11
    await ringing.hears("ACK")
    call.ack(await call.gets(487))  # F12
    taken.ack(taken.learn(await taken.gets(100, 200)))  # F13
    await at_alice.hears("ACK")
    await hang_up(at_alice, taken)  # F14, F15
    expect_end_to_end(
        stage,
        """
        F1 alice -> bob INVITE
        F2 bob -> alice 180
        F3 bill -> bob SUBSCRIBE
        F4 bob -> bill 200
        F5 bob -> bill NOTIFY
        F6 bill -> bob 200
        F7 bill -> alice INVITE
        F8 alice -> bill 200
        F10 proxy -> alice 200
        F9 alice -> bob CANCEL
        -- proxy -> bob ACK
        F11 bob -> alice 487
        F13 bill -> alice ACK
        F14 alice -> bill BYE
        F15 bill -> alice 200
        """,
    )


async def test_2_17_automatic_redial(stage, autojump_clock):
    alice, bob = phones(stage, "alice", "bob")
    first = alice.call(BOB)
    first.invite()  # F1
    busy = await bob.rung()
    busy.answer(486)  # F2
    await busy.hears("ACK")
    first.ack(await first.gets(100, 486))  # F3
    watch = alice.call(BOB)
    watch.send("SUBSCRIBE", headers=(*EVENT_DIALOG, ("Expires", "60")))  # F4
    watched = await bob.rung("SUBSCRIBE")
    watched.answer(200)  # F5
    watch.learn(await watch.gets(200))
    state = (*STATE, ("Subscription-State", "active;expires=59"))
    await request(watched, watch, "NOTIFY", headers=state, body=b"<busy/>")  # F6, F7
    await request(watched, watch, "NOTIFY", headers=state, body=b"<free/>")  # F8, F9
    await talk(alice, bob)  # F10 to F13
    await request(watched, watch, "NOTIFY", headers=state, body=b"<busy/>")  # F14, F15
    await request(watch, watched, "SUBSCRIBE", headers=(*EVENT_DIALOG, ("Expires", "0")))  # F16, F17
    await request(watched, watch, "NOTIFY", headers=(*STATE, ("Subscription-State", "terminated")))  # F18, F19
    expect_end_to_end(
        stage,
        """
        F1 alice -> bob INVITE
        -- proxy -> bob ACK
        F2 bob -> alice 486
        F4 alice -> bob SUBSCRIBE
        F5 bob -> alice 200
        F6 bob -> alice NOTIFY
        F7 alice -> bob 200
        F8 bob -> alice NOTIFY
        F9 alice -> bob 200
        F10 alice -> bob INVITE
        F11 bob -> alice 180
        F12 bob -> alice 200
        F13 alice -> bob ACK
        F14 bob -> alice NOTIFY
        F15 alice -> bob 200
        F16 alice -> bob SUBSCRIBE
        F17 bob -> alice 200
        F18 bob -> alice NOTIFY
        F19 alice -> bob 200
        """,
    )


async def test_2_18_click_to_dial(stage, autojump_clock):
    _, bob, carol = phones(stage, "pc", "bob", "carol")
    await refer(stage.agents["pc"], BOB, bob, CAROL, subscribes=False)  # F1, F2
    await talk(bob, carol, headers=(("Referred-By", f"<sip:pc@{DOMAIN}>"),))  # F3 to F6
    expect_end_to_end(
        stage,
        """
        F1 pc -> bob REFER
        F2 bob -> pc 202
        F3 bob -> carol INVITE
        F4 carol -> bob 180
        F5 carol -> bob 200
        F6 bob -> carol ACK
        """,
    )
