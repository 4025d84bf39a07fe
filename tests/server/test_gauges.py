"""Every table of the server has a bound, a gauge, and no more in it after a while than before (T59, T120)."""

from __future__ import annotations

import gc
from collections import deque

import pytest
import trio

from tests.server.phones import DOMAIN, open_world
from tests.server.test_faults import a_bit_of_everything

BOB = f"sip:bob@{DOMAIN}"
CONTAINERS = (dict, set, list, deque)


def containers(house) -> dict[str, int]:
    """How much is in each container that the rooms of this house hold, by where it hangs; rows and counters apart."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    left: list[tuple[str, object]] = [("house", house)]
    while left:
        path, thing = left.pop()
        thing = getattr(thing, "__self__", thing)  # of whom a method is
        if id(thing) in seen or path == "house.network.network":  # the net itself is the test's
            continue
        seen.add(id(thing))
        if isinstance(thing, CONTAINERS):
            found[path] = len(thing)
            continue
        if not type(thing).__module__.startswith("sipd.") or type(thing).__module__.startswith("sipd.store"):
            continue
        names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        names += list(getattr(thing, "__dict__", ()))
        left += [(f"{path}.{name}", getattr(thing, name)) for name in names if hasattr(thing, name)]
        left += [
            (f"{path}.{name}", value) for name, value in vars(type(thing)).items() if isinstance(value, CONTAINERS)
        ]
    return found


async def test_nothing_grows_with_what_has_been(nursery, autojump_clock):
    world = await open_world(
        nursery, "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", traces=10
    )
    for _ in range(2):
        await a_bit_of_everything(world)
        gc.collect()
    before = containers(world.house)
    assert {"house.network.receive.trying._queue", "house.transactions._servers"} <= before.keys(), (
        "it looks everywhere"
    )
    await a_bit_of_everything(world)
    after = containers(world.house)
    grown = {path: (before.get(path, 0), size) for path, size in after.items() if size > before.get(path, 0)}
    remembered = {"house.admission.guard.challenged._calls._entries", "house.admission.guard.nonces._windows._entries"}
    assert grown.keys() <= remembered, grown


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
async def test_a_flood_fills_no_table_beyond_its_bound(nursery, autojump_clock, method):
    world = await open_world(nursery, "alice", "bob", max_transactions=100)
    alice, silent = world.phone("alice"), world.phone("silent")
    silent.does = ""
    if method == "MESSAGE":
        silent.react = lambda request, flow: None  # type: ignore[method-assign]  # it hears and says nothing
    world.bind(f"bob@{DOMAIN}", silent)
    gauges = world.house.gauges
    for _ in range(50):
        for _ in range(20):
            alice.send(alice.request(method, BOB))
        await trio.sleep(0.05)
        assert all(gauge.size() <= gauge.most for gauge in gauges.values()), {
            name: (gauge.size(), gauge.most) for name, gauge in gauges.items() if gauge.size() > gauge.most
        }
    assert alice.statuses(method).count(503) == 900
    await trio.sleep(100)
    full = {name for name, gauge in gauges.items() if gauge.size()}
    assert full <= {"calls_explained", "sources_counted", "db_up"}


async def test_forks_of_many_calls_have_a_bound_in_all(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", max_transactions=10)
    alice = world.phone("alice")
    for n in range(60):
        world.bind(f"bob@{DOMAIN}", world.phone(f"p{n}", "rings", host=f"10.1.0.{n + 1}"))
    for _ in range(5):
        alice.send(alice.request("INVITE", BOB))
    await trio.sleep(1)
    gauge = world.house.gauges["client_transactions"]
    assert gauge.size() <= gauge.most
    assert 503 in alice.statuses(), "no room for one more fork"


async def test_stats_has_every_gauge(nursery, autojump_clock):
    from sipd.control.rpc import stats

    world = await open_world(nursery, "alice")
    told = stats(world.house, {})
    assert isinstance(told, dict)
    assert world.house.gauges.keys() <= told.keys()
