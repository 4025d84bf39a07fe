"""Whatever breaks in the server ends one call at most, and leaves nothing (T121).

Every function of the rooms that handle messages is made to raise, the first
time it is called, while a bit of everything goes on; then an innocent call
must go as if nothing had been.
"""

from __future__ import annotations

import importlib
import inspect

import pytest
import trio

from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"
USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
ROOMS = (
    *("answer", "branch", "call", "dispatch", "fork", "hops", "late", "merged", "registration", "scripting", "search"),
    *("stateless", "trying"),
)
DOORS = {  # where faults are stopped: these hold the others, and have nothing in them that could break
    "Dispatch.receive", "Dispatch._broke", "Call.guarded", "Call._guarded", "Call._broke", "Call.fail", "Call._run",
    "Branch.response", "Branch.timed_out", "Branch.transport_failed", "Branch._guarded_c", "Branch.abandon",
}  # fmt: skip
AT_THE_START = {"Dispatch.__init__", "Stateless.__init__", "Trying.__init__", "Merged.__init__", "until_t2"}
SCRIPT = (
    '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><lookup source="registration"><success>'
    '<log name="a" comment="b"><proxy timeout="5"><noanswer><redirect/></noanswer></proxy></log>'
    "</success></lookup></incoming></cpl>"
)

DEFAULTS = (
    '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><priority-switch><priority equal="emergency">'
    '<reject status="busy"/>'
    "</priority></priority-switch></incoming></cpl>"
)


class Planted(Exception):
    """The fault."""


def handlers() -> list[tuple[str, str]]:
    """Module and name of every function there."""
    found = []
    for room in ROOMS:
        module = importlib.import_module(f"sipd.server.{room}")
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(thing):
                found.append((room, name))
            elif inspect.isclass(thing):
                found += [
                    (room, f"{name}.{each}") for each, method in vars(thing).items() if inspect.isfunction(method)
                ]
    return [(room, name) for room, name in found if name not in DOORS | AT_THE_START and not name.endswith("__len__")]


def plant(monkeypatch, room: str, name: str, fault: type[Exception] | None = Planted) -> list[str]:
    """Have this raise once, or never without a fault; what is returned fills when it is called."""
    module = importlib.import_module(f"sipd.server.{room}")
    struck: list[str] = []
    holder, _, attribute = name.rpartition(".")
    owner = getattr(module, holder) if holder else module
    original = getattr(owner, attribute)

    def broken(*given, **more):
        if not struck:
            struck.append(name)
            if fault is not None:
                raise fault(name)
        return original(*given, **more)

    monkeypatch.setattr(owner, attribute, broken)
    if not holder:  # others have it by name
        for other in ROOMS:
            user = importlib.import_module(f"sipd.server.{other}")
            if getattr(user, attribute, None) is original:
                monkeypatch.setattr(user, attribute, broken)
    return struck


def phone_of(world, name, does="rings"):
    """The phone of that name, made when there is none."""
    phone = world.phones.get(name) or world.phone(name)
    phone.does, phone.answered, phone._invite = does, False, None
    return phone


async def a_bit_of_everything(world) -> None:
    alice = phone_of(world, "alice")
    desk, mobile = phone_of(world, "desk", "rings deaf"), phone_of(world, "mobile", "rings")
    voicemail, moved = phone_of(world, "vm", "answers"), phone_of(world, "moved")
    far = phone_of(world, "far", "answers")
    moved.does = f"moved:{far.uri}"
    world.resolver.found["far.example"] = far.hop
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
    for phone, q in ((desk, 1000), (mobile, 1000), (voicemail, 300)):
        world.bind(f"bob@{DOMAIN}", phone, q)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)  # a fork: after 30 s voicemail answers, the others are cancelled
    await trio.sleep(31)
    if alice.responses(200):
        alice.ack(invite, alice.responses(200)[-1])
    if desk._invite is not None:
        desk.answer()  # late
    world.script(f"carol@{DOMAIN}", SCRIPT)
    world.bind(f"carol@{DOMAIN}", mobile)
    alice.send(alice.request("INVITE", f"sip:carol@{DOMAIN}"))
    called = alice.request("INVITE", f"sip:x@{far.hop.host}:5060", branch="z9hG4bKtoBeCancelled")
    far.does = "rings"
    alice.send(called)
    await trio.sleep(1)
    alice.send(alice.request("CANCEL", called.request_uri, call_id=called.call_id, branch="z9hG4bKtoBeCancelled"))
    alice.send(alice.request("MESSAGE", "sip:x@far.example"))
    alice.send(alice.request("MESSAGE", "sip:x@nowhere.example"))
    alice.send(alice.request("INVITE", f"sip:nobody@{DOMAIN}"))
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    await trio.sleep(8)
    world.bind(f"dave@{DOMAIN}", moved)
    world.settings(recurse=True)
    far.does = "603"
    alice.send(alice.request("INVITE", f"sip:dave@{DOMAIN}"))
    await trio.sleep(1)
    world.settings(mode="stateless", recurse=False)
    world.bind(f"erin@{DOMAIN}", voicemail)
    alice.send(alice.request("INVITE", f"sip:erin@{DOMAIN}", branch="z9hG4bKstateless"))
    alice.send(alice.request("CANCEL", f"sip:erin@{DOMAIN}", branch="z9hG4bKstateless"))
    alice.send(alice.request("INVITE", f"sip:nobody@{DOMAIN}"))
    await trio.sleep(1)
    world.settings(mode="proxy")
    silent = phone_of(world, "silent")
    silent.react = lambda request, flow: None
    world.bind(f"frank@{DOMAIN}", silent)
    alice.send(alice.request("MESSAGE", f"sip:frank@{DOMAIN}"))
    alice.send(alice.request("INVITE", f"sip:frank@{DOMAIN}"))
    world.bind(f"heidi@{DOMAIN}", type("Local", (), {"uri": f"sip:ivan@{DOMAIN}"}))
    world.bind(f"ivan@{DOMAIN}", phone_of(world, "ivan", "rings deaf"))
    alice.send(alice.request("INVITE", f"sip:heidi@{DOMAIN}"))  # until Timer C
    for uri in (f"sip:heidi@{DOMAIN}", f"sip:carol@{DOMAIN}"):
        invite = alice.request("INVITE", uri, branch=f"z9hG4bK{uri[4:7]}")
        alice.send(invite)
        await trio.sleep(1)
        alice.send(alice.request("CANCEL", uri, call_id=invite.call_id, branch=invite.branch))
    world.script(f"judy@{DOMAIN}", DEFAULTS)
    world.bind(f"judy@{DOMAIN}", voicemail)
    alice.send(alice.request("INVITE", f"sip:judy@{DOMAIN}"))
    await trio.sleep(1)
    voicemail.answer()  # once more
    world.settings(mode="stateless")
    alice.send(alice.request("INVITE", "sip:x@far.example"))
    alice.send(alice.request("INVITE", "sip:x@nowhere.example"))
    alice.listener.flow_to("10.0.0.1", 5060).send(b"INVITE sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1\r\nx\r\n\r\n")
    await trio.sleep(1)
    world.settings(mode="proxy", auth="digest")
    alice.send(alice.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:alice@{DOMAIN}"))
    await trio.sleep(1)
    world.settings(auth="none")
    await trio.sleep(300)


@pytest.mark.parametrize(("room", "name"), handlers(), ids=lambda value: value)
async def test_what_breaks_ends_one_call_alone(nursery, autojump_clock, monkeypatch, room, name):
    world = await open_world(nursery, *USERS)
    with monkeypatch.context() as patch:
        plant(patch, room, name)
        await a_bit_of_everything(world)
    world.settings(mode="proxy", recurse=False)
    caller, callee = world.phone("caller"), world.phone("grace", "rings answers")
    world.bind(f"grace@{DOMAIN}", callee)
    caller.send(caller.request("INVITE", f"sip:grace@{DOMAIN}"))
    await caller.status(200)
    assert caller.statuses() == [100, 180, 200]
    await trio.sleep(80)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0), "something is left"
    assert world.house.counters.faults <= 5


async def test_the_scenario_comes_by_most_of_them(nursery, autojump_clock, monkeypatch):
    world = await open_world(nursery, *USERS)
    struck = {(room, name): plant(monkeypatch, room, name, None) for room, name in handlers()}
    await a_bit_of_everything(world)
    assert world.house.counters.faults == 0
    missed = [name for (_, name), by in struck.items() if not by]
    assert len(missed) < len(struck) / 4, missed
