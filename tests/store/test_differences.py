"""Two images are compared a piece at a time, and what is told leads from one to the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.rows import (
    Peer,
    PutAlias,
    PutBinding,
    PutDelegate,
    PutDial,
    PutDomain,
    PutPeer,
    PutScript,
    PutTimezone,
    PutUser,
)
from sipd.store.differences import _TAKE, PIECE, differences, small_differences
from sipd.store.image import Image
from sipd.store.some import _READ, BELONGING
from sipd.store.triggers import LOGGED
from tests.store.rows import binding, script, user

MANY = 10 * PIECE
ONE = user()


class Watched(dict[Any, Any]):  # of rows of any kind
    """Counts the rows that are looked at."""

    looks = 0

    def get(self, key, default=None):
        Watched.looks += 1
        return super().get(key, default)

    def __contains__(self, key):
        Watched.looks += 1
        return super().__contains__(key)

    def __getitem__(self, key):
        Watched.looks += 1
        return super().__getitem__(key)

    def __iter__(self):
        for key in super().__iter__():
            Watched.looks += 1
            yield key


def image(of):
    made = Image()
    for n in of:
        made.users[f"{n}@h"] = ONE._replace(aor=f"{n}@h")
        made.bindings[f"{n}@h"] = (binding(f"{n}@h"),)
    made.users.rows = Watched(made.users.rows)
    made.bindings.rows = Watched(made.bindings.rows)
    made.scripts = Watched({(f"{n}@h", "cpl"): script(f"{n}@h") for n in of})
    made.aliases = Watched({f"a{n}@h": (f"{n}@h",) for n in of})
    return made


@pytest.mark.parametrize("before", [range(MANY), range(0), range(MANY // 2)])
@pytest.mark.parametrize("after", [range(MANY), range(0), range(MANY // 2, MANY)])
def test_no_step_looks_at_more_than_a_piece(before, after):
    old, new = image(before), image(after)
    most, last = 0, Watched.looks
    for _ in differences(old, new):
        most, last = max(most, Watched.looks - last), Watched.looks
    assert most <= 5 * PIECE


AORS = st.sampled_from([f"{n}@h" for n in range(4)])
NUMBERS = st.integers(0, 3)
CHANGES = st.lists(
    st.one_of(
        st.builds(lambda aor, level: PutUser(user(aor, level=level)), AORS, st.sampled_from(["never", "required"])),
        st.builds(lambda aor, n, cseq: PutBinding(binding(aor, f"sip:{n}@h", cseq=cseq)), AORS, NUMBERS, NUMBERS),
        st.builds(lambda aor: PutScript(script(aor)), AORS),
        st.builds(lambda n, aor: PutAlias(f"a{n}@h", aor), st.integers(0, 2), AORS),
        st.builds(PutDelegate, AORS, AORS),
        st.builds(lambda n, to: PutDomain(f"d{n}", to), st.integers(0, 2), st.sampled_from(["x", "y"])),
        st.builds(lambda n: PutPeer(Peer("pbx", f"192.0.2.{n}")), st.integers(0, 3)),
        st.builds(lambda n: PutDial(n, "9", "8"), st.integers(0, 3)),
        st.builds(lambda n: PutTimezone("http://h/", b"%d" % n, 1.0), st.integers(0, 3)),
    ),
    max_size=20,
)  # fmt: skip


def made_of(changes):
    made = Image()
    for change in changes:
        made.apply(change)
    return made


def rows(made):
    bindings = {aor: sorted(some) for aor, some in made.bindings.items()}
    scripts = {key: row._replace(version=0) for key, row in made.scripts.items()}
    return (
        made.users, bindings, scripts, made.aliases, made.delegates, made.domains, made.peers, made.dialplan,
        made.timezones,
    )  # fmt: skip


@given(CHANGES, CHANGES)
def test_they_lead_from_the_one_to_the_other(before, after):
    old, new = made_of(before), made_of(after)
    changes = [change for step in differences(old, new) for change in step]
    for change in (*changes, *small_differences(old, new)):
        old.apply(change)
    # Dropping a user takes along what refers to him, as in a database; what has no user is not compared.
    users = set(new.users)
    for made in (old, new):
        made.bindings = {aor: some for aor, some in made.bindings.items() if aor in users}
        made.scripts = {key: some for key, some in made.scripts.items() if key[0] in users}
        made.delegates = {row for row in made.delegates if users.issuperset(row)}
        made.aliases = {
            alias: left for alias, some in made.aliases.items() if (left := tuple(u for u in some if u in users))
        }
    assert rows(old) == rows(new)


def test_every_table_of_the_log_has_its_parts_and_every_part_its_reader():
    assert set(LOGGED) <= set(BELONGING)
    parts = {part for some in BELONGING.values() for part in some}
    assert parts == set(_TAKE)
    assert {part.field for part in parts} == set(_READ)
