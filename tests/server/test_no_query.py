"""The hot path asks the database nothing: calls, OPTIONS, log-ins and scripts go by memory."""

from __future__ import annotations

import pytest
import trio

from tests.core.tables import credentials
from tests.server.phones import DOMAIN, open_world
from tests.store.faulty import FaultyStore

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
MANY = 1000

SCRIPT = """<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>
<address-switch field="origin" subfield="user"><address is="mallory"><reject status="busy"/></address>
<otherwise><lookup source="registration"><success><proxy/></success></lookup></otherwise></address-switch>
</incoming></cpl>"""


@pytest.fixture
async def world(nursery, tmp_path):
    made = await open_world(
        nursery, "alice", "bob", "carol", store=FaultyStore(tmp_path / "sip.sqlite3"), auth="digest", nonce_life=3000
    )
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"
    await made.store.close()


async def many_calls(alice, bob, pause) -> None:
    """MANY rounds of a call that alice proves herself for and bob's script decides, of OPTIONS and of a challenge."""
    uri = f"sip:{BOB}"
    alice.send(alice.request("INVITE", uri))
    challenge = (await alice.status(407)).values("Proxy-Authenticate")[0]
    for number in range(1, MANY + 1):
        proof = credentials(challenge, "INVITE", uri, username="alice", password="pw-alice", count=number)
        invite = alice.request("INVITE", uri, cseq=2, headers=(("Proxy-Authorization", proof),))
        alice.send(invite)
        await alice.until(lambda: 200 in alice.statuses())
        ok = alice.responses(200)[0]
        alice.ack(invite, ok)
        routes = tuple(("Route", value) for value in ok.values("Record-Route"))
        alice.send(
            alice.request("BYE", bob.uri, to=uri, to_tag="tag-bob", cseq=3, call_id=invite.call_id, headers=routes)
        )
        alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
        alice.send(alice.request("INVITE", uri, from_uri=f"sip:carol@{DOMAIN}"))  # not proven: a challenge
        await alice.until(lambda: alice.statuses("BYE") == [200] and bool(alice.statuses("OPTIONS")))
        await alice.until(lambda: 407 in alice.statuses())
        alice.seen.clear()
        bob.seen.clear()
        if number == MANY // 2:
            await trio.sleep(pause)
    assert alice.world.house.counters.scripts == MANY


async def test_calls_log_ins_scripts_and_options_make_no_query(world, autojump_clock):
    bob, alice = world.phone("bob", "answers"), world.phone("alice")
    world.bind(BOB, bob)
    world.script(BOB, SCRIPT)
    await trio.sleep(1)
    asked: list[str] = []
    world.store._connected.set_trace_callback(asked.append)
    before = world.store.asked.copy()
    await many_calls(alice, bob, 200)  # what is cleaned up meanwhile asks nothing either
    assert set(asked) == {"PRAGMA data_version"}, "that is how changes of other programs are noticed"
    assert world.store.asked - before == {"news": len(asked)}
