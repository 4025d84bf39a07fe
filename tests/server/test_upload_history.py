"""Uploads in REGISTER are kept as versions, with who proved himself, also when many come at once."""

from __future__ import annotations

import trio

from sipd.rows import PutDelegate, PutScript, Script
from sipd.store import SqliteStore
from tests.server.phones import DOMAIN, open_world
from tests.server.scripted import cpl
from tests.server.test_script_uploads import BROKEN, KIND, REJECTS, REMOVE, STORE, TYPE, WANTED, register

AOR = f"bob@{DOMAIN}"


def reason(text):
    return cpl(f'<reject status="busy" reason="{text}"/>')


async def test_each_upload_is_a_version_of_who_proved_himself(nursery):
    world = await open_world(nursery, "alice", "bob", auth="digest", digest_algorithms="MD5")
    world.put(PutDelegate(AOR, f"alice@{DOMAIN}"))
    phone = world.phone("bob", transport="TCP")
    assert (await register(phone, TYPE, STORE, body=REJECTS)).status == 200
    assert (await register(phone, TYPE, STORE, body=reason("a"), by="alice")).status == 200
    assert (await register(phone, TYPE, STORE, body=BROKEN)).status == 400
    assert (await register(phone, REMOVE)).status == 200
    assert (await register(phone, REMOVE)).status == 200
    assert (await register(phone, TYPE, STORE, body=reason("b"))).status == 200
    assert [(row.version, row.what, row.modified_by) for row in await world.store.script_versions(AOR)] == [
        (1, "stored", AOR),
        (2, "stored", f"alice@{DOMAIN}"),
        (3, "removed", AOR),
        (4, "stored", AOR),
    ]
    script = world.cache.script(AOR, "cpl")
    assert script is not None
    assert script.version == 4, "the cache counts as the database does"


async def test_uploads_at_once_and_an_administrator_in_between(nursery, tmp_path):
    """Each has a number of its own, all are kept, and server and database agree on which was the last."""
    store = SqliteStore(tmp_path / "sip.sqlite3", patience=5)
    world = await open_world(nursery, "alice", "bob", auth="digest", digest_algorithms="MD5", store=store)
    world.put(PutDelegate(AOR, f"alice@{DOMAIN}"))
    tool = SqliteStore(tmp_path / "sip.sqlite3", patience=5)
    await tool.open()
    uploads = 5

    async def upload(by, host):
        phone = world.phone(by, host=host, transport="TCP")
        for number in range(uploads):
            answer = await register(phone, TYPE, STORE, body=reason(f"{by} {number}"), by=by)
            assert answer.status == 200

    async def administer():
        for number in range(uploads):
            text = reason(f"root {number}").encode()
            assert await tool.apply([[PutScript(Script(AOR, "cpl", text, KIND, 1.0, "root"))]]) == [None]
            await trio.sleep(0.01)

    with trio.fail_after(30):
        async with trio.open_nursery() as phones:
            phones.start_soon(upload, "bob", "10.0.7.1")
            phones.start_soon(upload, "alice", "10.0.7.2")
            phones.start_soon(administer)
        found = await tool.script_versions(AOR)
        assert [row.version for row in found] == list(range(1, 3 * uploads + 1))
        for by, aor in (("bob", AOR), ("alice", f"alice@{DOMAIN}"), ("root", "root")):
            texts = [row.text.decode() for row in found if row.modified_by == aor]
            assert texts == [reason(f"{by} {number}") for number in range(uploads)], "each, in its order"
        await world.cache.catch_up()
        answer = await register(world.phone("bob", host="10.0.7.9", transport="TCP"), WANTED)
        assert answer.body == found[-1].text
        script = world.cache.script(AOR, "cpl")
        assert script is not None
        assert script.version == found[-1].version
    await tool.close()
