"""The registrar in a whole server: log lines, old requests after a restart, loops, domains (T13, T16, T69, T71)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from sipd.rows import Binding, PutBinding, PutDelegate, PutDomain
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, SERVER, WALL, Phone, World, open_world

if TYPE_CHECKING:
    from sipd.message import Request

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def registered(phone: Phone, aor: str, *, uri: str = f"sip:{DOMAIN}", **more) -> int:
    """What comes of a REGISTER."""
    before = len(phone.statuses("REGISTER"))
    phone.send(phone.request("REGISTER", uri, to=aor, **{"from_uri": aor, **more}))
    await phone.until(lambda: len(phone.statuses("REGISTER")) > before, 10)
    return phone.statuses("REGISTER")[-1]


def contacts(world: World, name: str) -> list[str]:
    return [binding.uri for binding in world.cache.bindings(f"{name}@{DOMAIN}")]


async def test_who_registers_for_another_is_logged_by_both_names(world, autojump_clock, capsys):
    world.put(PutDelegate(f"alice@{DOMAIN}", f"bob@{DOMAIN}"))
    bob = world.phone("bob")
    for aor, status in ((ALICE, 200), (f"sip:carol@{DOMAIN}", 403), (BOB, 200)):
        assert await registered(bob, aor, from_uri=BOB) == status
    alice = world.phone("alice")
    assert await registered(alice, BOB, from_uri=ALICE) == 403  # one way only
    lines = [line.partition("event=")[2] for line in capsys.readouterr().err.splitlines() if "event=reg_" in line]
    assert lines == [
        f"reg_delegate who=bob@{DOMAIN} aor=alice@{DOMAIN}",
        f"reg_denied who=bob@{DOMAIN} aor=carol@{DOMAIN}",
        f"reg_denied who=alice@{DOMAIN} aor=bob@{DOMAIN}",
    ]
    assert (contacts(world, "alice"), contacts(world, "bob"), contacts(world, "carol")) == ([bob.uri], [bob.uri], [])


async def test_a_domain_is_one_when_it_is_in_the_table(world, autojump_clock):
    """FEATURES 33: REGISTER sip:a.b.c.d gives 403; with a row for it the user is there."""
    at = SERVER._replace(host="10.0.0.9")
    there = await open_world(world.nursery, "alice", beside=world, at=at, domain="b.example")
    phone = Phone(there, "alice", "10.0.1.50")
    foreign = phone.request("REGISTER", "sip:10.0.0.99", to="sip:alice@10.0.0.99", from_uri="sip:alice@10.0.0.99")
    phone.send(foreign, at)
    assert (await phone.status(403)).reason == "Forbidden"
    phone.seen.clear()
    there.put(PutDomain("10.0.0.99", "b.example"))
    asked = phone.request("REGISTER", "sip:10.0.0.99", to="sip:alice@10.0.0.99", from_uri="sip:alice@10.0.0.99")
    phone.send(asked, at)
    await phone.status(200)


async def test_a_contact_that_is_its_own_address_is_a_loop_and_nothing_worse(world, autojump_clock):
    """RFC 4475 §3.3.14: it is taken; who calls hears 482 at last (T37, T71)."""
    bob, caller = world.phone("bob"), world.phone("caller")
    assert await registered(bob, BOB, contact=f"<{BOB}>") == 200
    caller.send(caller.request("INVITE", BOB))
    await caller.until(lambda: any(status >= 400 for status in caller.statuses("INVITE")), 60)
    assert caller.statuses("INVITE")[-1] in (482, 480)
    assert len(world.network.sent) < 50


async def restarted(nursery, world: World) -> World:
    """Another process on the same database: what was in memory is gone."""
    from sipd.server.startup import furnish, serve
    from sipd.store import Cache, Writer
    from tests.server.phones import FixedResolver

    cache = Cache(world.store)
    await cache.fill()
    host = world.network.host(SERVER._replace(host="10.0.0.8"))
    start = trio.current_time()
    house = furnish(
        *(cache, Writer(world.store, cache), host),
        wall=lambda: WALL + 1000 + trio.current_time() - start,
        resolver=FixedResolver(clock=trio.current_time),
    )
    await nursery.start(serve, house)
    return World(cache, world.store, house, world.network, nursery, world.resolver, world.count + 1000)


@pytest.mark.parametrize("auth", ["none", "digest"])
async def test_the_same_request_after_a_restart_changes_nothing(nursery, world, autojump_clock, auth):
    """It was carried out, and its answer was lost with the process; then it comes again, by no transaction known.

    With passwords the nonce is of the old process: 401 with stale=true, and the phone asks with a higher CSeq.
    """
    world.settings(auth=auth)
    bob = world.phone("bob")

    def asked(cseq: int, challenge: str = "") -> Request:
        uri = f"sip:{DOMAIN}"
        proof = credentials(challenge, "REGISTER", uri, username="bob", password="pw-bob") if challenge else ""
        headers = (("Authorization", proof),) if proof else ()
        made: Request = bob.request("REGISTER", uri, to=BOB, from_uri=BOB, cseq=cseq, call_id="one", headers=headers)
        return made

    challenge = ""
    if auth == "digest":
        bob.send(asked(1))
        challenge = (await bob.status(401)).first("WWW-Authenticate") or ""
    sent = asked(2, challenge)
    bob.send(sent)
    await bob.status(200)
    [before] = world.cache.bindings(f"bob@{DOMAIN}")
    bob.send(sent)  # a repetition is absorbed (§17.2)
    await bob.until(lambda: bob.statuses("REGISTER").count(200) == 2, 5)
    new = await restarted(nursery, world)
    assert list(new.cache.bindings(f"bob@{DOMAIN}")) == [before]
    bob.seen.clear()
    at = SERVER._replace(host="10.0.0.8")
    bob.send(sent, at)
    if auth == "none":
        assert (await bob.status(400)).reason == "Out of order"
    else:
        stale = (await bob.status(401)).first("WWW-Authenticate") or ""
        assert "stale=true" in stale
        bob.send(asked(3, stale), at)
        await bob.status(200)
        [after] = new.cache.bindings(f"bob@{DOMAIN}")
        assert (after.uri, after.cseq) == (before.uri, 3)
        return
    assert list(new.cache.bindings(f"bob@{DOMAIN}")) == [before]


@pytest.mark.parametrize(
    "odd",
    [{"uri": "sip:["}, {"uri": ""}, {"uri": "<sip:bob@10.9.9.9>"}, {"q": 5000}, {"q": -1}, {"q": 0.5},
     {"params": ";x=1\r\nY: z"}, {"params": ";x=\x00"}, {"instance": '"<urn:x>\r\nY: z"'},
     {"path": ("<sip:10.9.9.8;lr>\r",)}, {"path": ("nonsense",)}, {"path": ("<sip:10.9.9.8;lr>", "Y: z")}],
    ids=str,
)  # fmt: skip
async def test_a_row_that_somebody_wrote_badly_does_not_stop_its_user(world, autojump_clock, odd):
    """By plain SQL, say: he registers and is called as if it were not there, or were in order."""
    row = Binding(f"bob@{DOMAIN}", "sip:bob@10.9.9.9", expires_at=WALL + 1e6)._replace(**odd)
    assert world.store.apply_now([[PutBinding(row)]]) == [None]
    await world.cache.reload()
    bob, alice = world.phone("bob"), world.phone("alice")
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:bob@{DOMAIN}"))
    answer = await bob.status(200)
    listed = [contact.uri.text for contact in answer.contacts]
    assert listed == ([bob.uri] if "uri" in odd or "path" in odd else [row.uri, bob.uri])
    assert b"\r\nY:" not in bytes(answer)
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
    await alice.until(lambda: 180 in alice.statuses("INVITE"), 5)
    assert world.house.counters.faults == 0
