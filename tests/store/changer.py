"""A process that changes a database until it is killed, and says on standard output what was acknowledged.

`python changer.py FILE`. Its users are alice and bob, its bindings numbered:
round n of a user registers contacts n.0, n.1, n.2 in one group and removes
those of round n-1 in the same group. `put AOR n` is printed once that is
acknowledged, `gone AOR n` before the next removal of all is.
"""

import itertools
import os
import sys
from functools import partial

import trio

from sipd.rows import DropBinding, PutBinding
from sipd.store import Cache, SqliteStore, Writer
from tests.store.rows import ALICE, BOB, binding

CONTACTS = 3


def uri(number, contact):
    return f"sip:{number}.{contact}@192.0.2.1"


def say(text, error):
    assert error is None, error
    os.write(1, f"{text}\n".encode())  # at once, whole


async def change(writer, aor, start):
    for number in itertools.count(start):
        changes = [PutBinding(binding(aor, uri(number, contact), cseq=number)) for contact in range(CONTACTS)]
        changes += [DropBinding(aor, uri(number - 1, contact)) for contact in range(CONTACTS)]
        await acknowledged(writer, changes, aor, f"put {aor} {number}")
        if number % 5 == 0:
            changes = [DropBinding(aor, uri(number, contact)) for contact in range(CONTACTS)]
            await acknowledged(writer, changes, aor, f"gone {aor} {number}")


async def acknowledged(writer, changes, aor, text):
    os.write(1, f"try {text}\n".encode())
    come = trio.Event()

    def done(error):
        say(text, error)
        come.set()

    writer.submit(changes, aor, done)
    await come.wait()


async def main(path, start):
    store = SqliteStore(path, serving=True)
    await store.open()
    cache = Cache(store)
    await cache.fill()
    writer = Writer(store, cache)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for aor in (ALICE, BOB):
            nursery.start_soon(partial(change, writer, aor, start))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
