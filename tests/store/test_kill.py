"""kill -9 at any moment: nothing acknowledged is lost, nothing is torn, nothing removed comes back (T54-T56)."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sipd.store import SqliteStore, create
from tests.store.changer import CONTACTS
from tests.store.rows import ALICE, BOB, USERS

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("SIPD_KILLS", "20"))


async def test_kill_9_at_a_random_moment(tmp_path):
    path = tmp_path / "sip.sqlite3"
    made = SqliteStore(path)
    await create(made, ["example.com"], more=USERS)
    await made.close()
    moments = random.Random(3261)
    acknowledged: Counter[str] = Counter()
    before: dict[str, frozenset[int]] = {ALICE: frozenset(), BOB: frozenset()}
    for kill in range(ROUNDS):
        said = killed_after(path, 1 + kill * 100_000, moments.randrange(3, 120))
        acknowledged.update(word for word, _, _ in said)
        found = await stored(path)
        for aor, counts in found.items():
            assert set(counts.values()) <= {CONTACTS}, f"torn: {counts}"
            mine = [line for line in said if line[1] == aor]
            assert frozenset(counts) in possible(before[aor], mine), f"{counts} after {mine[-3:]}"
            before[aor] = frozenset(counts)
    assert acknowledged["put"] > 2 * ROUNDS
    assert acknowledged["gone"] > 0


def killed_after(path, start, lines):
    """The lines that a changer said until it was killed, somewhere after the given number of them."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.store.changer", str(path), str(start)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    said += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -9, "it ended by itself"
    words = [line.decode().split() for line in said if line.endswith(b"\n")]
    return [(" ".join(word[:-2]), word[-2], int(word[-1])) for word in words]


def possible(before, said):
    """The numbers that may be stored after these lines; what is being tried may have been done, or not."""
    may_be = {before}
    for word, _, number in said:
        new = frozenset({number}) if word.endswith("put") else frozenset()
        may_be = may_be | {new} if word.startswith("try") else {new}
    return may_be


async def stored(path):
    """How many contacts of each round of each user are in the file, which must be sound."""
    store = SqliteStore(path)
    await store.open()
    assert await store.check() == []
    found: dict[str, Counter[int]] = {ALICE: Counter(), BOB: Counter()}
    for row in (await store.load_all()).bindings:
        found[row.aor][row.cseq] += 1
    await store.close()
    return found
