"""Two servers on one database: what one is told, the other knows; and neither overrides what the other has stored."""

from __future__ import annotations

import pytest
import trio

from sipd.hop import Hop
from sipd.message import Draft
from sipd.rows import DropBinding, PutBinding, PutUser
from sipd.server.pins import drop_dead
from sipd.store import SqliteStore, user_row
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, SERVER, open_world
from tests.store.faulty import FaultyStore
from tests.store.rows import apply

ALICE = f"alice@{DOMAIN}"
OTHER = Hop("UDP", "10.0.0.2", 5060)


TCP = SERVER._replace(transport="TCP")


@pytest.fixture
async def two(nursery, tmp_path):
    """Two worlds, each with its own store on the same file."""
    path = tmp_path / "sip.sqlite3"
    first = await open_world(nursery, "alice", "bob", store=FaultyStore(path, shared=True))
    second = await open_world(nursery, at=OTHER, beside=first, store=FaultyStore(path, shared=True))
    yield first, second
    for world in (first, second):
        assert world.house.counters.faults == 0, "something broke behind the door"
        await world.store.close()


def register(phone, *, at=SERVER, call_id="reg", cseq=1, contact="", expires=600, **more):
    request = phone.request(
        "REGISTER", f"sip:{DOMAIN}", to=f"sip:{ALICE}", from_uri=f"sip:{ALICE}", call_id=call_id, cseq=cseq,
        contact=contact or f"<{phone.uri}>", headers=(("Expires", str(expires)),), **more,
    )  # fmt: skip
    phone.send(request, at)
    return request


async def statuses(phone, count):
    """The first so many answers to its REGISTERs."""
    await phone.until(lambda: len(phone.statuses("REGISTER")) >= count)
    return phone.statuses("REGISTER")


def kept(world):
    return sorted(binding.uri for binding in world.cache.bindings(ALICE))


async def stored(world):
    """What the database has, as a third one reads it."""
    store = SqliteStore(world.store.path)
    await store.open()
    found = sorted(binding.uri for binding in (await store.load_all()).bindings)
    await store.close()
    return found


async def test_what_one_is_told_the_other_rings_within_a_second(two, autojump_clock):
    first, second = two
    desk = first.phone("desk", "rings answers")
    register(desk)
    assert await statuses(desk, 1) == [200]
    at = trio.current_time()
    await trio.sleep(0.9)
    bob = second.phone("bob", host="10.0.2.1")
    bob.send(bob.request("INVITE", f"sip:{ALICE}"), OTHER)
    await bob.until(lambda: 200 in bob.statuses())
    assert desk.time_of("INVITE") - at < 1.0
    assert second.store.asked["load_all"] == 1, "all rows were loaded for one change"


async def test_a_user_that_a_tool_adds_is_known_to_both(two, autojump_clock):
    first, second = two
    tool = FaultyStore(first.store.path)
    await tool.open()
    await apply(tool, PutUser(user_row(f"carol@{DOMAIN}", DOMAIN, "pw")))
    await tool.close()
    await trio.sleep(0.9)
    assert first.cache.user(f"carol@{DOMAIN}")
    assert second.cache.user(f"carol@{DOMAIN}")


async def test_the_second_of_two_at_once_is_decided_again(two, autojump_clock):
    """Both are told of a contact in the same moment: neither is lost."""
    first, second = two
    desk, mobile = first.phone("desk"), first.phone("mobile")
    register(desk, call_id="a")
    register(mobile, at=OTHER, call_id="b")
    assert await statuses(desk, 1) == await statuses(mobile, 1) == [200]
    assert await stored(first) == sorted([desk.uri, mobile.uri])
    listed = [[contact.uri.text for contact in phone.responses(200)[0].contacts] for phone in (desk, mobile)]
    assert sorted(map(len, listed)) == [1, 2], "who came second hears of both"
    await trio.sleep(1)
    assert kept(first) == kept(second) == sorted([desk.uri, mobile.uri])
    assert first.store.asked["load_some"] + second.store.asked["load_some"] <= 3


async def test_the_order_of_cseq_holds_whichever_server_is_asked(two, autojump_clock):
    """§10.3 step 7: a REGISTER that comes late is refused there as here, and overrides nothing."""
    first, _ = two
    desk = first.phone("desk")
    register(desk, cseq=5)
    assert await statuses(desk, 1) == [200]
    register(desk, at=OTHER, cseq=4, expires=0)
    [_, there] = await statuses(desk, 2)
    register(desk, cseq=4, expires=0)
    [_, _, here] = await statuses(desk, 3)
    assert there == here >= 400
    assert await stored(first) == [desk.uri]


async def test_a_star_takes_what_the_other_server_has_just_stored(two, autojump_clock):
    first, _ = two
    desk = first.phone("desk")
    register(desk, cseq=1)
    assert await statuses(desk, 1) == [200]
    register(desk, at=OTHER, cseq=2, contact="*", expires=0)
    assert await statuses(desk, 2) == [200, 200]
    assert await stored(first) == []


async def test_the_limit_of_contacts_holds_over_both(two, autojump_clock):
    first, second = two
    second.cache.override(["max_contacts=2"])
    first.cache.override(["max_contacts=2"])
    phones = [first.phone(name) for name in ("one", "two", "three", "four")]
    for number, phone in enumerate(phones):
        register(phone, at=(SERVER, OTHER)[number % 2], call_id=f"c{number}")
    answers = sorted([(await statuses(phone, 1))[0] for phone in phones])
    assert answers[:2] == [200, 200]
    assert answers[2] > 200
    assert len(await stored(first)) == 2


async def test_a_conflict_does_not_ask_for_credentials_again(nursery, tmp_path, autojump_clock):
    """Its nonce-count is spent: were it asked again who sent the REGISTER, the answer would be 401."""
    path = tmp_path / "sip.sqlite3"
    first = await open_world(nursery, "alice", store=FaultyStore(path, shared=True), auth="digest")
    second = await open_world(nursery, at=OTHER, beside=first, store=FaultyStore(path, shared=True))
    desk, mobile = first.phone("desk"), first.phone("mobile")
    for phone, at in ((desk, SERVER), (mobile, OTHER)):
        register(phone, at=at, call_id=phone.name)
        await phone.status(401)
    for phone, at in ((desk, SERVER), (mobile, OTHER)):
        challenge = phone.responses(401)[0]
        value = challenge.values("WWW-Authenticate")[0]
        proof = credentials(value, "REGISTER", f"sip:{DOMAIN}", username="alice", password="pw-alice")
        request = phone.request(
            "REGISTER", f"sip:{DOMAIN}", to=f"sip:{ALICE}", call_id=phone.name, cseq=2, from_uri=f"sip:{ALICE}",
            headers=(("Expires", "600"), ("Authorization", proof)),
        )  # fmt: skip
        phone.send(request, at)
    assert [(await statuses(phone, 2))[1] for phone in (desk, mobile)] == [200, 200]
    assert len(await stored(first)) == 2
    assert second.house.counters.faults == first.house.counters.faults == 0
    for world in (first, second):
        await world.store.close()


async def test_one_that_meets_others_without_end_is_told_to_come_again(two, autojump_clock):
    first, second = two
    desk = first.phone("desk")
    apply_it = first.store.apply

    async def apply_after_another(groups):
        await apply(second.store, second.cache.expected(ALICE)._replace(version=len(first.store.asked_before)))
        first.store.asked_before.append(1)
        return await apply_it(groups)

    first.store.asked_before = []
    first.store.apply = apply_after_another
    register(desk)
    assert await statuses(desk, 1) == [503]
    assert desk.responses(503)[0].first("Retry-After") == "10"
    first.store.apply = apply_it
    register(desk, cseq=2)
    assert await statuses(desk, 2) == [503, 200]


async def test_a_binding_that_the_other_refreshed_is_not_removed_as_expired(two, autojump_clock):
    first, second = two
    desk = first.phone("desk")
    register(desk, expires=60)
    assert await statuses(desk, 1) == [200]
    await trio.sleep(59)
    second.store.trouble = "away"  # it hears nothing any more, for a while
    register(desk, cseq=2)
    assert await statuses(desk, 2) == [200, 200]
    await trio.sleep(4)
    assert second.cache.bindings(ALICE)[0].expires_at < second.house.wall()
    second.store.trouble = ""
    await trio.sleep(30)
    assert await stored(first) == [desk.uri]
    assert kept(second) == [desk.uri]


async def test_what_one_removes_as_expired_is_gone_at_the_other(two, autojump_clock):
    first, second = two
    desk = first.phone("desk")
    register(desk, expires=60)
    assert await statuses(desk, 1) == [200]
    await trio.sleep(100)
    assert await stored(first) == kept(first) == kept(second) == []


async def test_a_query_sees_what_was_stored_elsewhere_within_a_second(two, autojump_clock):
    first, _ = two
    desk = first.phone("desk")
    register(desk)
    assert await statuses(desk, 1) == [200]
    await trio.sleep(0.9)
    query = desk.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:{ALICE}", from_uri=f"sip:{ALICE}", cseq=2)
    without_contact = Draft(query)
    without_contact.remove("Contact")
    desk.send(without_contact, OTHER)
    await statuses(desk, 2)
    assert [contact.uri.text for contact in desk.responses(200)[1].contacts] == [desk.uri]


async def test_what_a_tool_removed_is_not_brought_back_by_a_refresh_of_all(two, autojump_clock):
    first, second = two
    desk = first.phone("desk")
    register(desk)
    assert await statuses(desk, 1) == [200]
    await apply(second.store, DropBinding(ALICE, desk.uri))
    await first.cache.reload()
    assert kept(first) == []


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_connection_that_the_other_server_has_is_not_taken_for_lost(two, autojump_clock, everywhere):
    """Who calls by way of the wrong server hears 480; the binding stays, also when that server starts anew."""
    first, second = two
    desk = first.phone("desk", "answers", transport="TCP", claims="192.0.2.2:5060")
    first.network.unreachable.add(desk.hop)
    outbound = f'<{desk.uri}>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
    register(desk, at=TCP, contact=outbound)
    assert await statuses(desk, 1) == [200]
    [binding] = first.cache.bindings(ALICE)
    assert binding.received
    if everywhere:  # both listen at 0.0.0.0: the row can't tell whose connection it was
        assert f"|{SERVER.host}:" in binding.received
        anywhere = binding.received.replace(f"|{SERVER.host}:", "|0.0.0.0:")
        await apply(second.store, PutBinding(binding._replace(received=anywhere)))
        second.house.network.listen(Hop("TCP", "0.0.0.0", 5060))
    await trio.sleep(1)
    bob = second.phone("bob", host="10.0.2.1")
    bob.send(bob.request("INVITE", f"sip:{ALICE}"), OTHER)
    await bob.until(lambda: 480 in bob.statuses())
    drop_dead(second.house, second.cache.bindings_with_flow())
    await trio.sleep(5)
    assert await stored(first) == [desk.uri]
