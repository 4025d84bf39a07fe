"""A process that changes a database until it is killed, and says on standard output what was acknowledged.

`python -m tests.store.changer FILE START`. Its users are alice and bob.
Change number n of a user registers CONTACTS contacts of that number and
removes all others in the same group; after every fifth all are removed. A line
`try put AOR n` comes before a change is submitted, `put AOR n` when it is
acknowledged; `try gone AOR n` and `gone AOR n` likewise.
"""

import itertools
import os
import sys
from functools import partial

import trio

from sipd.rows import Change, DropBinding, PutBinding
from sipd.store import Cache, SqliteStore, Writer
from tests.store.rows import ALICE, BOB, binding

CONTACTS = 3


def uri(number, contact):
    return f"sip:{number}.{contact}@192.0.2.1"


def say(text, error):
    assert error is None, error
    os.write(1, f"{text}\n".encode())  # at once, whole


async def change(writer, cache, aor, start):
    for number in itertools.count(start):
        changes: list[Change] = [DropBinding(aor, row.uri) for row in cache.settled_bindings(aor)]
        changes += [PutBinding(binding(aor, uri(number, contact), cseq=number)) for contact in range(CONTACTS)]
        await acknowledged(writer, changes, aor, f"put {aor} {number}")
        if number % 5 == 0:
            changes = [DropBinding(aor, row.uri) for row in cache.settled_bindings(aor)]
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
            nursery.start_soon(partial(change, writer, cache, aor, start))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
