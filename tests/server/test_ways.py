"""Phones that are reached by their flow only, in a whole server: NAT, connections, browsers (RFC 5626, RFC 5658)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio

from sipd.hop import Hop
from sipd.message import Request, Response
from sipd.net.memory import MemoryHost
from tests.server.phones import DOMAIN, SERVER, Phone, World, open_world

ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
PRIVATE = "192.168.1.2:5060"

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "NAT": {"claims": PRIVATE, "port": 40000},
    "outbound": {"params": ";ob"},
    "NAT, outbound": {"claims": PRIVATE, "port": 40000, "params": ";ob"},
    "TCP": {"transport": "TCP"},
    "TCP, NAT": {"transport": "TCP", "claims": PRIVATE},
    "TLS": {"transport": "TLS"},
    "browser": {"transport": "WSS", "claims": "kdb7jal23ls0d.invalid"},
}


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    assert isinstance(made.house.network, MemoryHost)
    for transport in ("TLS", "WSS"):
        made.house.network.listen(Hop(transport, "10.0.0.1", 5061))
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def phone(world: World, name: str, kind: str, does: str = "answers") -> Phone:
    """A phone that can only be reached as its kind says: what listens at its Contact is not there."""
    made = world.phone(name, does, **KINDS[kind])
    if made.hop.transport != "UDP":
        world.network.unreachable.add(made.hop)
    return made


def server_of(who: Phone) -> Hop:
    transport = who.hop.transport
    return Hop(transport, SERVER.host, 5060 if transport in ("UDP", "TCP") else 5061)


def say(who: Phone, request: Request) -> None:
    who.send(request, server_of(who))


async def register(who: Phone, cseq: int = 1, **more) -> Response:
    say(who, who.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:{who.name}@{DOMAIN}", cseq=cseq, **more))
    await who.until(lambda: len(who.statuses("REGISTER")) == cseq)
    return [seen.message for seen in who.seen if isinstance(seen.message, Response)][-1]


def answered(who: Phone, method: str) -> bool:
    return who.statuses(method) == [200]


@dataclass
class Dialog:
    """A call that was answered, and what both sides know of it."""

    caller: Phone
    callee: Phone
    invite: Request
    ok: Response

    def request(self, method: str, cseq: int, *, back: bool = False, routes: list[str] | None = None) -> Request:
        """A request within it, from the caller or (`back`) from the callee."""
        got = self.callee.requests("INVITE")[-1]
        theirs, ours = self.ok.to_tag or "", got.from_tag or ""
        call_id = self.invite.call_id
        if not back:
            uri, set_ = self.ok.contacts[0].uri.text, self.ok.values("Record-Route")[::-1]
            headers = tuple(("Route", value) for value in (set_ if routes is None else routes))
            return self.caller.request(
                method, uri, cseq=cseq, call_id=call_id, headers=headers, from_tag=ours, to_tag=theirs, to=BOB
            )
        uri, set_ = got.contacts[0].uri.text, got.values("Record-Route")
        headers = tuple(("Route", value) for value in (set_ if routes is None else routes))
        return self.callee.request(
            *(method, uri),
            cseq=cseq,
            call_id=call_id,
            headers=headers,
            from_tag=theirs,
            to_tag=ours,
            to=ALICE,
            from_uri=BOB,
        )

    async def ends(self, *, back: bool = False) -> None:
        """ACK reaches the callee; INFO and BYE reach the other side and are answered."""
        say(self.caller, self.request("ACK", 1))
        await self.callee.until(lambda: bool(self.callee.requests("ACK")))
        here, there = (self.callee, self.caller) if back else (self.caller, self.callee)
        for cseq, method in ((2, "INFO"), (3, "BYE")):
            say(here, self.request(method, cseq, back=back))
            await here.until(partial(answered, here, method), 60)
            assert "Route" not in there.requests(method)[0].names


async def call(caller: Phone, callee: Phone, headers=()) -> Dialog:
    invite = caller.request("INVITE", BOB, headers=headers)
    say(caller, invite)
    ok = await caller.status(200)
    return Dialog(caller, callee, invite, ok)


@pytest.mark.parametrize("back", [False, True], ids=["caller hangs up", "callee hangs up"])
@pytest.mark.parametrize("callee", KINDS)
@pytest.mark.parametrize("caller", ["plain", "NAT", "NAT, outbound", "TCP", "browser"])
async def test_a_dialog_reaches_both_sides(world, autojump_clock, caller, callee, back):
    alice, bob = phone(world, "alice", caller), phone(world, "bob", callee)
    await register(bob)
    await (await call(alice, bob)).ends(back=back)


async def test_plain_phones_get_the_plain_record_route(world, autojump_clock):
    alice, bob = phone(world, "alice", "plain"), phone(world, "bob", "plain")
    await register(bob)
    dialog = await call(alice, bob)
    [value] = dialog.ok.values("Record-Route")
    assert "fl." not in value


async def test_with_record_route_off_only_those_who_need_it_get_one(world, autojump_clock):
    world.settings(record_route=False)
    alice, bob = phone(world, "alice", "plain"), phone(world, "bob", "plain")
    await register(bob)
    dialog = await call(alice, bob)
    assert dialog.ok.values("Record-Route") == []
    carol = phone(world, "carol", "NAT")
    await (await call(carol, bob)).ends(back=True)


async def test_a_forged_token_is_403_and_reaches_nobody(world, autojump_clock):
    alice, bob = phone(world, "alice", "plain"), phone(world, "bob", "NAT")
    await register(bob)
    dialog = await call(alice, bob)
    routes = dialog.ok.values("Record-Route")[::-1]
    token = routes[1].partition("@")[0]
    forged = [routes[0], routes[1].replace(token, token[:-2] + ("AA" if token[-2:] != "AA" else "BB"))]
    say(alice, dialog.request("BYE", 2, routes=forged))
    await alice.until(lambda: alice.statuses("BYE") == [403])
    assert bob.requests("BYE") == []


async def test_a_token_of_another_dialog_is_403(world, autojump_clock):
    alice, bob = phone(world, "alice", "plain"), phone(world, "bob", "NAT")
    await register(bob)
    dialog = await call(alice, bob)
    routes = tuple(("Route", value) for value in dialog.ok.values("Record-Route")[::-1])
    say(alice, alice.request("BYE", bob.uri, to=BOB, to_tag="tag-bob", cseq=2, headers=routes))
    await alice.until(lambda: alice.statuses("BYE") == [403])
    say(alice, alice.request("INVITE", bob.uri, to=BOB, headers=routes))  # and no new call may be begun with it
    await alice.until(lambda: alice.statuses("INVITE")[-1] == 403)
    assert len(bob.requests("INVITE")) == 1


@pytest.mark.parametrize(("kind", "status"), [("browser", 430), ("TCP", 200), ("TCP, NAT", 500)])
async def test_when_the_connection_is_gone(world, autojump_clock, kind, status):
    """An outbound or browser phone can't be reached otherwise: 430; another perhaps listens at its Contact."""
    alice, bob = phone(world, "alice", "plain"), phone(world, "bob", kind)
    await register(bob)
    dialog = await call(alice, bob)
    world.network.unreachable.discard(bob.hop)
    bob.listener.flow_to(server_of(bob).host, server_of(bob).port).close()
    await trio.sleep(1)
    say(alice, dialog.request("BYE", 2))
    await alice.until(lambda: bool(alice.statuses("BYE")), 60)
    assert alice.statuses("BYE") == [status]
