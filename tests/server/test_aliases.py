"""Aliases: an address that is no user's leads to his; one of several rings them all (FEATURES 65, 79)."""

from __future__ import annotations

import pytest
import trio

from sipd.message import Response
from sipd.rows import DropAlias, PutAlias, PutUser
from sipd.store import user_row
from tests.server.phones import DOMAIN, World, open_world

SALES, BOB = f"sip:sales@{DOMAIN}", f"sip:bob@{DOMAIN}"
BUSY = '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>'
TO_SALES = (
    '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>'
    f'<location url="sip:sales@{DOMAIN}"><proxy/></location></incoming></cpl>'
)


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def alias(world: World, name: str, *users: str) -> None:
    world.put(*(PutAlias(f"{name}@{DOMAIN}", f"{user}@{DOMAIN}") for user in users))


def phones(world: World, *names: str, does: str = "rings"):
    found = [world.phone(name, does) for name in names]
    for phone in found:
        world.bind(f"{phone.name}@{DOMAIN}", phone)
    return found


async def called(world: World, uri: str = SALES, method: str = "INVITE", seconds: float = 60):
    """What the caller hears of it at last."""
    caller = world.phones.get("caller") or world.phone("caller")
    before = len(caller.seen)
    caller.send(caller.request(method, uri))

    def final() -> list[int]:
        found = [seen.message for seen in caller.seen[before:]]
        return [one.status for one in found if isinstance(one, Response) and one.status >= 200]

    await caller.until(lambda: bool(final()), seconds)
    return final()[0]


@pytest.mark.parametrize(
    "uri", [f"sip:robert@{DOMAIN}", "sip:%72obert@EXAMPLE.com;user=phone", f"sip:robert@{DOMAIN}:5060"]
)
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS"])
async def test_one_of_one_user_is_that_user(world, autojump_clock, uri, method):
    [bob] = phones(world, "bob", does="answers")
    alias(world, "robert", "bob")
    assert await called(world, uri, method) == 200
    [got] = bob.requests(method)
    assert got.request_uri == bob.uri


async def test_his_script_runs_and_sees_his_own_address(world, autojump_clock):
    phones(world, "bob", does="answers")
    alias(world, "robert", "bob")
    world.script(
        f"bob@{DOMAIN}",
        '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><address-switch field="original-destination">'
        f'<address is="sip:robert@{DOMAIN}"><address-switch field="destination"><address is="{BOB}">'
        '<reject status="busy"/></address></address-switch></address></address-switch></incoming></cpl>',
    )
    assert await called(world, f"sip:robert@{DOMAIN}") == 486
    assert await called(world, BOB) == 200


async def test_a_group_rings_all_and_the_first_to_answer_has_it(world, autojump_clock):
    alice, bob = phones(world, "alice", "bob")
    alias(world, "sales", "alice", "bob")
    caller = world.phone("caller")
    caller.send(caller.request("INVITE", SALES))
    await bob.until(lambda: bool(bob.requests("INVITE")), 5)
    await alice.until(lambda: bool(alice.requests("INVITE")), 5)
    alice.answer()
    await caller.status(200)
    await bob.until(lambda: bool(bob.requests("CANCEL")), 5)
    assert alice.requests("CANCEL") == []


async def test_each_of_a_group_has_his_own_script(world, autojump_clock):
    alice, bob = phones(world, "alice", "bob", does="answers")
    alias(world, "sales", "alice", "bob")
    world.script(f"alice@{DOMAIN}", BUSY)
    assert await called(world) == 200
    assert (len(alice.requests("INVITE")), len(bob.requests("INVITE"))) == (0, 1)
    world.script(f"bob@{DOMAIN}", BUSY)
    assert await called(world) == 486


async def test_a_message_to_a_group_reaches_each(world, autojump_clock):
    alice, bob = phones(world, "alice", "bob")
    alias(world, "sales", "alice", "bob")
    assert await called(world, method="MESSAGE") == 200
    await trio.sleep(1)
    assert (len(alice.requests("MESSAGE")), len(bob.requests("MESSAGE"))) == (1, 1)


async def test_who_is_not_there_keeps_nobody_from_answering(world, autojump_clock):
    phones(world, "bob", does="answers")
    alias(world, "sales", "alice", "bob")
    assert await called(world) == 200
    alias(world, "empty", "alice", "carol")
    assert await called(world, f"sip:empty@{DOMAIN}") == 480


async def test_a_member_whose_script_leads_back_to_the_group_is_a_loop_of_his_alone(world, autojump_clock):
    alice, bob = phones(world, "alice", "bob", does="answers")
    alias(world, "sales", "alice", "bob")
    world.script(f"alice@{DOMAIN}", TO_SALES)
    assert await called(world) == 200
    assert (len(alice.requests("INVITE")), len(bob.requests("INVITE"))) == (0, 1)
    alice.seen.clear()
    assert await called(world, f"sip:alice@{DOMAIN}") == 200  # by bob: he is in the group
    alias(world, "me", "alice")
    world.script(f"alice@{DOMAIN}", TO_SALES.replace("sales", "me"))
    assert await called(world, f"sip:alice@{DOMAIN}") == 200  # his own script names himself: his phones (ADR 19)


async def test_a_user_of_that_name_comes_first_and_what_is_gone_is_gone(world, autojump_clock):
    [bob] = phones(world, "bob", does="answers")
    alias(world, "sales", "bob")
    assert await called(world) == 200
    world.put(PutUser(user_row(f"sales@{DOMAIN}", DOMAIN, "pw")))
    assert await called(world) == 480
    assert len(bob.requests("INVITE")) == 1
    alias(world, "other", "bob")
    world.put(DropAlias(f"other@{DOMAIN}", f"bob@{DOMAIN}"))
    assert await called(world, f"sip:other@{DOMAIN}") == 404


async def test_told_where_to_go_himself_the_caller_hears_of_the_members(world, autojump_clock):
    phones(world, "alice", "bob")
    alias(world, "sales", "alice", "bob")
    world.settings(mode="redirect")
    assert await called(world) == 302
    [answer] = world.phones["caller"].responses(302)
    assert {contact.uri.text for contact in answer.contacts} == {f"sip:alice@{DOMAIN}", BOB}


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("tel:+1-555-0100", 200),
        (f"tel:0100;phone-context={DOMAIN}", 200),
        (f"sip:+15550100@{DOMAIN};user=phone", 200),
        ("tel:+1-555-0199", 404),
        ("tel:0100;phone-context=elsewhere.example", 404),
    ],
)
async def test_a_number_may_be_an_alias(world, autojump_clock, uri, status):
    """`tel` has no domain: it is sought in the one of its context, of the caller, of this server."""
    phones(world, "bob", does="answers")
    alias(world, "+15550100", "bob")
    alias(world, "0100", "bob")
    caller = world.phone("alice")
    caller.send(caller.request("INVITE", uri))
    await caller.until(lambda: status in caller.statuses("INVITE"), 10)


# --- REGISTER and SUBSCRIBE -----------------------------------------------------------------------


async def test_a_phone_may_register_by_an_alias_of_its_user(world, autojump_clock):
    """Its account is called otherwise than its user: the contact is the user's."""
    bob = world.phone("bob", "answers")
    alias(world, "robert", "bob")
    robert = f"sip:robert@{DOMAIN}"
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=robert, from_uri=robert))
    await bob.status(200)
    assert [binding.uri for binding in world.cache.bindings(f"bob@{DOMAIN}")] == [bob.uri]
    assert await called(world, BOB) == 200
    bob.send(bob.request("SUBSCRIBE", robert, from_uri=robert, headers=(("Event", "reg"),)))
    await bob.until(lambda: bool(bob.requests("NOTIFY")), 5)
    assert f'aor="{BOB}"'.encode() in bob.requests("NOTIFY")[0].body


@pytest.mark.parametrize("who", ["alice", "carol"])
async def test_nobody_registers_for_a_group_or_by_anothers_alias(world, autojump_clock, who):
    alias(world, "sales", "alice", "bob")
    alias(world, "robert", "bob")
    phone = world.phone(who)
    for name in ("sales", "robert"):
        phone.seen.clear()
        phone.send(phone.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:{name}@{DOMAIN}"))
        await phone.until(lambda: bool({403, 404} & set(phone.statuses("REGISTER"))), 5)
    assert not world.cache.image.bindings
