"""GRUUs in a whole server: the call flow of RFC 5627 §9, dialogs, scripts, anonymous callers."""

from __future__ import annotations

import pytest
import trio

from sipd.message import Response
from tests.server.phones import DOMAIN, Phone, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def register(phone: Phone, instance: str = UUID, user: str = BOB, **more) -> tuple[str, str]:
    """The public and the temporary GRUU of this phone."""
    phone.seen.clear()
    contact = f'<{phone.uri}>;+sip.instance="<{instance}>"'
    headers = (("Supported", "gruu"),)
    phone.send(
        phone.request("REGISTER", f"sip:{DOMAIN}", to=user, from_uri=user, contact=contact, headers=headers, **more)
    )
    answer = await phone.status(200)
    phone.seen.clear()
    mine = next(contact for contact in answer.contacts if contact.uri.text == phone.uri)
    return mine.param("pub-gruu") or "", mine.param("temp-gruu") or ""


async def call(caller: Phone, uri: str, **more) -> Response:
    caller.seen.clear()
    caller.send(caller.request("INVITE", uri, **more))
    await caller.until(lambda: any(status >= 200 for status in caller.statuses("INVITE")))
    return [seen.message for seen in caller.seen if isinstance(seen.message, Response)][-1]


async def test_rfc_5627_section_9(world, autojump_clock):
    caller = world.phone("alice")
    callee = world.phone("bob", "answers", host="192.0.2.1")
    public, temporary = await register(callee, call_id="1j9FpLxk3uxtm8tn@192.0.2.1")
    first = callee.uri
    # messages 3 to 8: an INVITE to the address-of-record, whose 200 has the public GRUU
    callee.contact = public
    ok = await call(caller, BOB)
    assert ok.contacts[0].uri.text == public
    routes = tuple(("Route", value) for value in reversed(ok.values("Record-Route")))
    invite = callee.requests("INVITE")[0]
    caller.send(caller.request("ACK", public, to=BOB, to_tag="tag-bob", call_id=invite.call_id, headers=routes))
    await callee.until(lambda: bool(callee.requests("ACK")))
    assert callee.requests("ACK")[0].request_uri == first
    # messages 9 to 12: a SUBSCRIBE to the GRUU outside of the dialog
    caller.send(caller.request("SUBSCRIBE", public, cseq=2))
    await caller.until(lambda: caller.statuses("SUBSCRIBE") == [200])
    [got] = callee.requests("SUBSCRIBE")
    assert (got.request_uri, got.to.uri.text) == (first, public), "the URI is that of the contact, To stays"
    # messages 17, 18: it crashes, has another address, and registers anew
    again = world.phone("bob", "answers", host="192.0.2.2")
    await trio.sleep(10)
    assert (await register(again, call_id="hf8asxzff8s7f@192.0.2.2"))[0] == public
    assert len(world.cache.bindings(f"bob@{DOMAIN}")) == 2
    assert (await call(caller, public)).status == 200
    assert (len(again.requests("INVITE")), len(callee.requests("INVITE"))) == (1, 1), "the latest contact"
    # and requests of the dialog reach it where it is now
    caller.send(caller.request("BYE", public, to=BOB, to_tag="tag-bob", cseq=3, call_id=invite.call_id, headers=routes))
    await caller.until(lambda: caller.statuses("BYE") == [200])
    assert again.requests("BYE")[0].request_uri == again.uri
    assert (await call(caller, temporary)).status == 404, "the temporary one went with its Call-ID"


async def test_an_anonymous_caller_is_called_back_at_his_temporary_gruu(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    _, temporary = await register(alice, user=ALICE)
    alice.contact = temporary
    alice.does = "answers"
    ok = await call(alice, BOB, from_uri="sip:anonymous@anonymous.invalid")
    assert ok.status == 200
    contact = bob.requests("INVITE")[0].contacts[0].uri.text
    assert "alice" not in contact
    assert (await call(bob, contact)).status == 200
    assert len(alice.requests("INVITE")) == 1


async def test_when_the_latest_contact_is_silent_the_one_before_is_tried(world, autojump_clock):
    old, new = world.phone("bob", "answers"), world.phone("bob2", "")
    new.name = "bob"
    await register(old, call_id="one")
    await trio.sleep(1)
    public, _ = await register(new, call_id="two")
    assert (await call(world.phone("alice"), public)).status == 200
    assert len(new.requests("INVITE")) > 1


@pytest.mark.parametrize("body", ["", "<proxy/>", "<lookup source='registration'><success><proxy/></success></lookup>"])
async def test_the_owners_script_runs_and_finds_that_phone_only(world, autojump_clock, body):
    desk, cell = world.phone("bob", "answers"), world.phone("bob2", "answers")
    public, temporary = await register(desk, call_id="one")
    await register(cell, "urn:uuid:another", call_id="two")
    world.script(f"bob@{DOMAIN}", f'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>{body}</incoming></cpl>')
    alice = world.phone("alice")
    for number, uri in enumerate((public, temporary), 1):
        answer = await call(alice, uri)
        if body == "<proxy/>":
            assert answer.status in (404, 480), "a proxy without a location rings nobody"
            return
        assert answer.status == 200
        assert (len(desk.requests("INVITE")), len(cell.requests("INVITE"))) == (number, 0)


async def test_the_owners_script_screens_calls_to_a_gruu(world, autojump_clock):
    desk = world.phone("bob", "answers")
    public, temporary = await register(desk)
    world.script(
        f"bob@{DOMAIN}",
        f"""<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>
        <address-switch field="destination"><address is="{BOB}"><reject status="busy"/></address></address-switch>
        </incoming></cpl>""",
    )
    alice = world.phone("alice")
    for uri in (public, temporary):
        assert (await call(alice, uri)).status == 486, "to his script it is a call for him"
    assert desk.requests("INVITE") == []


async def test_two_who_lead_to_each_others_gruu_are_a_loop(world, autojump_clock):
    bob, carol = world.phone("bob"), world.phone("carol")
    carols = f"sip:carol@{DOMAIN}"
    public, _ = await register(bob)
    other, _ = await register(carol, "urn:uuid:carol", carols)
    for phone, user, instance, leads_to in ((bob, BOB, UUID, other), (carol, carols, "urn:uuid:carol", public)):
        contact = f'<{leads_to}>;+sip.instance="<{instance}>", <{phone.uri}>;expires=0'
        phone.send(phone.request("REGISTER", f"sip:{DOMAIN}", to=user, contact=contact, cseq=9))
        await phone.status(200)
    alice = world.phone("alice")
    start = trio.current_time()
    for uri in (BOB, public):
        assert (await call(alice, uri)).status == 482
    assert trio.current_time() - start < 1
