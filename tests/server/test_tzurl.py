"""Time zones that a script's tzurl leads to: fetched when it is uploaded, kept, and never fetched in a call (§4.4)."""

from __future__ import annotations

import pytest
import trio

from sipd.core.fetched import MOST_KEPT
from sipd.hop import Hop
from sipd.net.fetch import PATIENCE, NoPage, Page
from sipd.rows import PutScript, PutTimezone, Script
from sipd.server import fetching
from sipd.store import SqliteStore
from tests.core.test_fetched import BAD, URL, ZONE, script
from tests.server.phones import DOMAIN, WALL, open_world
from tests.server.test_lookups import FakeWeb

BOB = f"sip:bob@{DOMAIN}"
HOME = Hop("UDP", "127.0.0.1", 5060)  # who proves nothing may upload from the server's own host only
GOOD = Page(200, "text/calendar", ZONE)


async def opened(nursery, **more):
    made = await open_world(nursery, "alice", "bob", at=HOME, script_hosts="zones.example.com", **more)
    return made


def upload(phone, body: bytes):
    phone.send(
        phone.request(
            "REGISTER",
            f"sip:{DOMAIN}",
            to=BOB,
            from_uri=BOB,
            headers=(("Content-Type", "application/cpl+xml"), ("Content-Disposition", "script;action=store")),
            body=body,
        ),
        HOME,
    )


async def answer(phone):
    await phone.until(lambda: any(status >= 200 for status in phone.statuses("REGISTER")))
    return [seen.message for seen in phone.seen if seen.message.status >= 200][-1]


async def test_an_upload_waits_for_what_its_tzurl_gives(nursery, autojump_clock):
    world = await opened(nursery)
    world.house.web = FakeWeb(GOOD, 3.0)
    phone = world.phone("bob", host="127.0.0.2")
    start = trio.current_time()
    upload(phone, script(URL))
    assert (await answer(phone)).status == 200
    assert trio.current_time() - start == pytest.approx(3.0, abs=0.1)
    assert [url for _, url, _ in world.house.web.asked] == [URL]
    assert world.cache.timezones == {URL: ZONE}
    assert world.cache.program(f"bob@{DOMAIN}") is not None
    assert world.house.counters.faults == 0
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "page", [Page(404, "", b""), Page(200, "text/html", BAD), NoPage("nobody there"), Page(500, "", ZONE)]
)
async def test_what_can_not_be_had_is_refused_by_name(nursery, autojump_clock, page):
    world = await opened(nursery)
    world.house.web = FakeWeb(page)
    phone = world.phone("bob", host="127.0.0.2")
    upload(phone, script(URL))
    refused = await answer(phone)
    assert refused.status == 400
    assert URL in (refused.first("Warning") or "")
    assert world.cache.script(f"bob@{DOMAIN}", "cpl") is None
    assert not world.cache.bindings(f"bob@{DOMAIN}"), "and nothing of the REGISTER is carried out"
    assert world.cache.timezones == {}
    assert world.house.counters.faults == 0
    nursery.cancel_scope.cancel()


async def test_a_slow_host_has_its_time_and_no_more(nursery, autojump_clock):
    world = await opened(nursery)
    world.house.web = FakeWeb(GOOD, 1e6)
    phone = world.phone("bob", host="127.0.0.2")
    start = trio.current_time()
    upload(phone, script(URL, f"{URL}2"))
    assert (await answer(phone)).status == 400
    assert trio.current_time() - start == pytest.approx(PATIENCE, abs=0.1), "both at once"
    assert world.house.web.cancelled == 2
    nursery.cancel_scope.cancel()


async def test_the_last_good_data_stays(nursery, autojump_clock):
    world = await opened(nursery)
    world.house.web = FakeWeb(GOOD)
    phone = world.phone("bob", host="127.0.0.2")
    upload(phone, script(URL))
    assert (await answer(phone)).status == 200
    for page in (Page(404, "", b""), Page(200, "text/calendar", BAD)):
        world.house.web.answer = page
        phone.seen.clear()
        upload(phone, script(URL))
        assert (await answer(phone)).status == 200
        assert world.cache.timezones == {URL: ZONE}
    nursery.cancel_scope.cancel()


async def test_no_call_fetches_and_a_restart_needs_none(nursery, tmp_path):
    """On a real database: what was fetched is there again."""
    path = tmp_path / "sip.sqlite3"
    async with trio.open_nursery() as first:
        world = await opened(first, store=SqliteStore(path))
        world.house.web = FakeWeb(GOOD)
        phone = world.phone("bob", host="127.0.0.2")
        upload(phone, script(URL))
        assert (await answer(phone)).status == 200
        first.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await world.store.close()
    again = SqliteStore(path)
    await again.open()
    found = await again.load_all()
    await again.close()
    assert [(zone.url, zone.data) for zone in found.timezones] == [(URL, ZONE)]
    assert found.timezones[0].fetched == pytest.approx(WALL, abs=60)


async def test_a_call_uses_the_data_and_asks_nobody(nursery, autojump_clock):
    world = await opened(nursery)
    world.house.web = FakeWeb(GOOD)
    phone = world.phone("bob", host="127.0.0.2")
    upload(phone, script(URL))
    assert (await answer(phone)).status == 200
    world.house.web.answer = NoPage("gone")
    alice = world.phone("alice", host="127.0.0.3")
    alice.send(alice.request("INVITE", BOB), HOME)
    await alice.until(lambda: any(status >= 300 for status in alice.statuses()))
    assert alice.statuses()[-1] == 486, "it is 3:43 there, while it is 22:13 in UTC"
    assert len(world.house.web.asked) == 1
    nursery.cancel_scope.cancel()


async def test_those_that_no_script_asks_for_make_room(nursery, autojump_clock):
    """T120: however often a user uploads, others can still have their zones fetched."""
    world = await opened(nursery)
    world.house.web = FakeWeb(GOOD)
    phone = world.phone("bob", host="127.0.0.2")
    used = f"{URL}used"
    world.put(PutScript(Script(f"alice@{DOMAIN}", "cpl", script(used), "application/cpl+xml", WALL, enabled=False)))
    world.put(*(PutTimezone(url, ZONE, WALL) for url in (used, *(f"{URL}{n}" for n in range(MOST_KEPT - 1)))))
    assert len(world.cache.timezones) == MOST_KEPT
    upload(phone, script(URL))
    assert (await answer(phone)).status == 200
    assert world.cache.timezones.keys() == {used, URL}
    assert world.house.counters.faults == 0
    nursery.cancel_scope.cancel()


async def test_where_all_are_used_there_is_no_room(nursery, autojump_clock):
    world = await opened(nursery)
    world.house.web = FakeWeb(GOOD)
    phone = world.phone("bob", host="127.0.0.2")
    urls = [f"{URL}{number}" for number in range(MOST_KEPT)]
    zones = "".join(f'<time-switch tzid="x" tzurl="{url}"/>' for url in urls)
    world.put(*(PutTimezone(url, ZONE, WALL) for url in urls))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "zones_asked_for", lambda text, _: urls if zones.encode() in text else ())
        world.put(PutScript(Script(f"alice@{DOMAIN}", "cpl", zones.encode(), "application/cpl+xml", WALL)))
        upload(phone, script(URL))
        assert (await answer(phone)).status == 403
    assert len(world.cache.timezones) == MOST_KEPT
    assert world.cache.script(f"bob@{DOMAIN}", "cpl") is None
    nursery.cancel_scope.cancel()
