"""Rows for the tests of the store."""

from sipd.rows import Binding, PutUser, Script, User
from sipd.store import user_row

ALICE = "alice@example.com"
BOB = "bob@example.com"


def user(aor=ALICE, password="hidden-word", **fields) -> User:
    return user_row(aor, "example.com", password)._replace(**fields)


def binding(aor=ALICE, uri="sip:alice@192.0.2.1", **fields) -> Binding:
    return Binding(aor, uri, **{"expires_at": 5e9, "call_id": "a@192.0.2.1", "cseq": 1, **fields})


def script(aor=ALICE, text=b"<cpl/>", **fields) -> Script:
    return Script(aor, "cpl", text, "application/cpl+xml", **{"modified": 1e9, **fields})


USERS = [PutUser(user(ALICE)), PutUser(user(BOB))]


async def apply(store, *changes):
    """One group; raises what it came to."""
    [error] = await store.apply([changes])
    if error is not None:
        raise error


async def contents(store):
    """What is stored, in an order that does not depend on the store."""
    snapshot = await store.load_all()
    return snapshot._replace(
        **{name: sorted(getattr(snapshot, name)) for name in snapshot._fields if name != "secret_key"}
    )
