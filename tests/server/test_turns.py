"""Nothing holds up the loop: no disk, no lock, no password (T122)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from time import perf_counter

import trio

from sipd.store import SqliteStore
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, open_world

LONGEST = 0.05
TRIES = 3  # other programs have their turns, too: the best counts


class Turns(trio.abc.Instrument):
    """The longest step that any task has taken, in seconds of the wall clock."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = perf_counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.longest = max(self.longest, perf_counter() - self._began)


async def work(world, name: str, round_: int) -> None:
    """A REGISTER that is challenged, proved and stored, and a call."""
    phone = world.phone(f"{name}{round_}", "answers", host=f"10.0.{20 + round_}.{ord(name[0]) % 100}")
    phone.name = name
    server, me = f"sip:{DOMAIN}", f"sip:{name}@{DOMAIN}"
    phone.send(phone.request("REGISTER", server, to=me))
    challenge = (await phone.status(401)).values("WWW-Authenticate")[0]
    proof = credentials(challenge, "REGISTER", server, username=name, password=f"pw-{name}")
    phone.send(phone.request("REGISTER", server, to=me, cseq=2, headers=(("Authorization", proof),)))
    await phone.status(200)
    stranger = world.phone(f"x{name}{round_}", host=f"10.0.{40 + round_}.{ord(name[0]) % 100}")
    stranger.send(stranger.request("INVITE", me, from_uri="sip:x@elsewhere.example"))
    await stranger.status(200)


async def test_no_turn_takes_long_while_the_database_does(nursery, tmp_path):
    users = ("alice", "bob", "carol", "dave")
    path = tmp_path / "sip.sqlite3"
    store = SqliteStore(path)
    world = await open_world(nursery, *users, store=store, auth="digest")
    best = 1.0
    for round_ in range(TRIES):
        turns = Turns()
        trio.lowlevel.add_instrument(turns)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # every commit waits
            async with trio.open_nursery() as callers:
                for name in users:
                    callers.start_soon(work, world, name, round_)
                await trio.sleep(0.3)
                assert not any(world.cache.bindings(f"{name}@{DOMAIN}") for name in users) or round_
                other.execute("ROLLBACK")
        trio.lowlevel.remove_instrument(turns)
        best = min(best, turns.longest)
        if best < LONGEST:
            break
    assert best < LONGEST
    assert world.house.counters.faults == 0
    nursery.cancel_scope.cancel()


def test_identifiers_have_64_bits_that_nobody_can_guess():
    """T114: each is 16 hex digits of the kernel's, none comes twice, over more than one block."""
    from sipd.server.ids import BLOCK, Ids

    ids, others = Ids(), Ids()
    made = [ids.fresh() for _ in range(BLOCK // 4)]
    assert {len(one) for one in made} == {16}
    assert len({*made, *(others.fresh() for _ in made)}) == 2 * len(made)
    for bit in range(64):  # each is set in about half of them
        share = sum(int(one, 16) >> bit & 1 for one in made) / len(made)
        assert 0.35 < share < 0.65, bit
