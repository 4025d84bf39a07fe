"""Who proves himself to a whole server, and who tries to without being able to (T11, T117)."""

from __future__ import annotations

import trio

from sipd.message import parse_auth
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, open_world

HOME = f"sip:{DOMAIN}"
ALICE = f"sip:alice@{DOMAIN}"


async def challenged(phone, *, aor: str = ALICE, method: str = "REGISTER"):
    """The first challenge that this phone gets."""
    before = len(phone.statuses(method))
    phone.send(phone.request(method, HOME if method == "REGISTER" else aor, to=aor, from_uri=aor))
    await phone.until(lambda: len(phone.statuses(method)) > before)
    return phone.seen[-1].message.first("WWW-Authenticate") or phone.seen[-1].message.first("Proxy-Authenticate")


def registering(phone, challenge, *, aor: str = ALICE, name: str = "alice", count: int = 1, password: str = "", **more):
    """A REGISTER that answers that challenge."""
    text = credentials(
        challenge, "REGISTER", HOME, username=name, password=password or f"pw-{name}", count=count, **more
    )
    return phone.request("REGISTER", HOME, to=aor, from_uri=aor, headers=(("Authorization", text),))


def is_stale(response) -> bool:
    return parse_auth(response.first("WWW-Authenticate")).params.get("stale") == "true"


async def test_a_copy_of_a_register_that_waits_for_its_turn_is_stale(nursery, autojump_clock, monkeypatch):
    """T11: from the look at its nonce-count on nobody else can use it, though the REGISTER has to wait."""
    world = await open_world(nursery, "alice", auth="digest")
    apply = world.store.apply

    async def slowly(groups):
        await trio.sleep(1)
        return await apply(groups)

    monkeypatch.setattr(world.store, "apply", slowly)
    monkeypatch.setattr(world.store, "immediate", False, raising=False)
    alice, foe = world.phone("alice"), world.phone("foe")
    challenge = await challenged(alice)
    alice.send(registering(alice, challenge, count=1))
    alice.send(registering(alice, challenge, count=2))  # waits for the commit of the first
    copy = registering(foe, challenge, count=2)  # his own Contact, her credentials
    foe.send(copy)
    await foe.until(lambda: foe.statuses("REGISTER") == [401])
    assert alice.statuses("REGISTER") == [401], "the copy was decided while hers still waited"
    await alice.until(lambda: alice.statuses("REGISTER") == [401, 200, 200])
    assert is_stale(foe.responses(401)[0])
    assert [binding.uri for binding in world.cache.bindings(f"alice@{DOMAIN}")] == [alice.uri]


async def test_the_same_datagram_again_is_answered_by_its_transaction(nursery, autojump_clock):
    world = await open_world(nursery, "alice", auth="digest")
    alice = world.phone("alice")
    sent = registering(alice, await challenged(alice))
    for _ in range(3):
        alice.send(sent)
    await alice.until(lambda: alice.statuses("REGISTER") == [401, 200, 200, 200])
