"""The tables in memory: what is committed, whoever committed it."""

from datetime import datetime

import pytest
import trio

from sipd.core.tables import Missing, Tables
from sipd.errors import SetupError
from sipd.log import EventLog
from sipd.rows import (
    DropBinding,
    DropScript,
    DropUser,
    EnableScript,
    PutBinding,
    PutDelegate,
    PutDomain,
    PutScript,
    PutSettings,
    PutUser,
    Settings,
)
from sipd.script import Reject
from sipd.store import Cache, SqliteStore, Writer, choose, domain_key
from tests.cpl.calls import facts, run
from tests.store.rows import ALICE, BOB, apply, binding, script, user

CPL = b"""<?xml version="1.0"?>
<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>"""


@pytest.fixture
async def cache(store):
    await apply(store, PutDomain("sip.example.com", "example.com"), PutDomain("2001:db8::1", "example.com"))
    cache = Cache(store, log=EventLog(LINES.append))
    LINES.clear()
    await cache.fill()
    return cache


LINES: list[str] = []


async def commit(cache, *changes):
    await apply(cache.store, *changes)
    cache.apply(changes)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        ("Sip.Example.com", "example.com"),
        ("2001:DB8:0::1", "example.com"),
        ("[2001:db8::1]", "example.com"),
        ("example.com..", None),
        ("example.net", None),
        ("", None),
        (".", None),
        ("example.\u212aom", None),
        ("ex\udce9mple.com", None),
        (":::", None),
    ],
)
async def test_a_domain_is_local_in_any_case_and_with_a_final_dot(cache, host, domain):
    assert cache.domain(host) == domain


async def test_what_is_too_long_for_a_name_is_no_domain_and_not_remembered(cache):
    domain_key.cache_clear()
    assert cache.domain("example.com" + "." * 300) is None
    assert domain_key.cache_info().currsize == 0


async def test_is_the_tables_that_decisions_read(cache):
    tables: Tables = cache
    assert tables.user(ALICE) == user(ALICE)
    assert tables.user("nobody@example.com") is None
    assert tables.bindings("nobody@example.com") == ()
    assert tables.script(ALICE, "cpl") is None
    assert tables.program(ALICE) is None
    assert not tables.may_register_for(BOB, ALICE)
    await commit(cache, PutDelegate(ALICE, BOB))
    assert tables.may_register_for(BOB, ALICE)
    assert not tables.may_register_for(ALICE, BOB)


async def test_settled_bindings_are_missing_while_a_change_is_queued(cache):
    cache.queued(ALICE)
    cache.queued(ALICE)
    with pytest.raises(Missing) as missing:
        cache.settled_bindings(ALICE)
    assert (missing.value.kind, missing.value.key) == ("settled", ALICE)
    assert cache.bindings(ALICE) == (), "calls read what is committed"
    assert cache.settled_bindings(BOB) == ()
    cache.settled(ALICE)
    with pytest.raises(Missing):
        cache.settled_bindings(ALICE)
    cache.settled(ALICE)
    assert cache.settled_bindings(ALICE) == ()
    await cache.load("settled", ALICE)


async def test_a_script_is_compiled_once_a_version(cache):
    await commit(cache, PutScript(script(text=CPL)))
    first = cache.program(ALICE)
    assert first is not None
    assert cache.program(ALICE) is first
    await cache.reload()
    assert cache.program(ALICE) is first, "the same version was compiled again"
    await commit(cache, PutScript(script(text=CPL)))
    assert cache.program(ALICE) is not first
    await commit(cache, EnableScript(ALICE, "cpl", False))
    assert cache.program(ALICE) is None
    assert cache.script(ALICE, "cpl").version == 3
    await commit(cache, EnableScript(ALICE, "cpl", True))
    assert cache.program(ALICE) is not None


async def test_a_version_counts_on_over_a_removal_and_a_new_start(cache):
    await commit(cache, PutScript(script(text=CPL)))
    await commit(cache, PutScript(script(text=CPL)))
    await commit(cache, DropScript(ALICE, "cpl"))
    await cache.reload()
    await commit(cache, PutScript(script(text=CPL)))
    assert cache.script(ALICE, "cpl").version == 4
    await cache.reload()
    assert cache.script(ALICE, "cpl").version == 4, "as the database has it"


async def test_a_broken_script_is_none_and_logged_once(cache):
    await commit(cache, PutScript(script(text=b"<cpl")))
    assert cache.program(ALICE) is None
    assert cache.program(ALICE) is None
    assert [line.split()[1] for line in LINES] == ["event=script_broken"]


async def test_operations_that_are_no_longer_permitted_stop_a_script(cache):
    await commit(cache, PutScript(script(text=CPL)))
    before = cache.program(ALICE)
    assert before is not None
    await commit(cache, PutSettings(Settings(traces=7)))
    assert cache.program(ALICE) is before, "settings that are not about scripts made it compile again"
    await commit(cache, PutSettings(Settings(script_operations="proxy")))
    assert cache.settings.script_operations == "proxy"
    assert cache.program(ALICE) is None


async def test_what_is_permitted_goes_by_the_class_of_the_user(cache):
    await commit(cache, PutScript(script(text=CPL)), PutSettings(Settings(script_operations="all guest:proxy")))
    assert cache.program(ALICE) is not None
    await commit(cache, PutUser(user(gateway_class="guest")))
    assert cache.program(ALICE) is None
    await commit(cache, PutUser(user()))
    assert cache.program(ALICE) is not None


async def test_a_setting_of_scripts_that_cannot_be_read_stops_them_all(cache):
    await commit(cache, PutScript(script(text=CPL)), PutSettings(Settings(script_hosts="http://x")))
    assert cache.program(ALICE) is None
    assert cache.program(ALICE) is None
    assert [line.split()[1] for line in LINES] == ["event=script_broken"]


async def test_watchers_hear_every_change_when_it_shows(cache):
    heard: list[object] = []
    cache.watch(lambda changes: 1 / 0)
    cache.watch(lambda changes: heard.append((changes, cache.bindings(ALICE))))
    await commit(cache, PutBinding(binding()))
    assert heard == [((PutBinding(binding()),), (binding(),))]
    assert "whose=watcher" in LINES[0]


async def test_watchers_hear_what_a_reload_brings(cache):
    await commit(cache, PutBinding(binding()), PutBinding(binding(uri="sip:2@h")))
    heard: list[object] = []
    cache.watch(heard.extend)
    await cache.reload()
    assert heard == [], "nothing has changed"
    changes = [
        PutUser(user(ALICE, level="never")),
        DropBinding(ALICE, "sip:2@h"),
        PutBinding(binding(cseq=9)),
        DropUser(BOB),
        PutDomain("example.net", "example.net"),
        PutSettings(Settings(mode="redirect")),
        PutScript(script(text=CPL)),
    ]
    await apply(cache.store, *changes)
    await cache.reload()
    assert sorted(map(repr, heard)) == sorted(map(repr, changes))
    assert cache.user(BOB) is None
    assert cache.user(ALICE).level == "never"
    assert cache.bindings(ALICE) == (binding(cseq=9),)
    assert cache.domain("example.net") == "example.net"
    assert cache.settings.mode == "redirect"


async def test_what_nobody_can_read_in_a_row_says_nothing(cache):
    sound = binding(uri="sip:2@h", received="udp:192.0.2.1:5060", gruu="0123456789ab")
    await apply(cache.store, PutBinding(binding(received="nonsense", gruu="no hex")), PutBinding(sound))
    await cache.reload()
    assert set(cache.bindings(ALICE)) == {binding(), sound}


async def test_the_command_lines_settings_outlive_a_change_of_the_row(cache):
    cache.override(["auth=none"])
    await commit(cache, PutSettings(Settings(auth="digest", stagger=3.0)))
    assert (cache.settings.auth, cache.settings.stagger) == ("none", 3.0)


class TestOutside:
    """Another process changes the file while a server runs on it."""

    @pytest.fixture
    async def server(self, sqlite, nursery):
        sqlite._patience = 5.0  # on a busy machine a commit of the other one takes a while
        cache = Cache(sqlite)
        await cache.fill()
        writer = Writer(sqlite, cache)
        await nursery.start(writer.run)
        await nursery.start(cache.watch_outside, 0.01)
        return cache, writer

    @pytest.fixture
    async def other(self, sqlite):
        store = SqliteStore(sqlite.path)
        await store.open()
        yield store
        await store.close()

    async def test_is_noticed(self, server, other):
        cache, _ = server
        changed = trio.Event()
        cache.watch(lambda changes: changed.set())
        await apply(other, PutUser(user("carol@example.com")))
        with trio.fail_after(1):  # what the contract says
            await changed.wait()
        assert cache.user("carol@example.com") == user("carol@example.com")

    async def test_is_noticed_behind_a_change_of_ours(self, server, other):
        cache, writer = server
        changed = trio.Event()
        cache.watch(lambda changes: changed.set() if cache.user("carol@example.com") else None)
        await apply(other, PutUser(user("carol@example.com")))
        writer.submit([PutBinding(binding())], ALICE, lambda error: None)
        with trio.fail_after(1):
            await changed.wait()
            await writer.drain()  # the other's may be noticed before ours is on disk
        assert cache.bindings(ALICE) == (binding(),)

    async def test_nothing_of_ours_is_lost_in_between(self, server, other):
        """Reloads at every moment of our commits: memory and file end up equal."""
        cache, writer = server
        answers: list[Exception | None] = []

        async def others():
            for number in range(30):
                await apply(other, PutDomain(f"{number}.example.com", "example.com"))

        async def reloads():
            for _ in range(30):
                await cache.reload()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            nursery.start_soon(reloads)
            for number in range(60):
                row = binding(uri=f"sip:{number % 7}@h", cseq=number)
                writer.submit([PutBinding(row), PutScript(script(text=CPL))], "", answers.append)
                if number % 3 == 0:
                    await writer.drain()
        await writer.drain()
        shown, version = cache.bindings(ALICE), cache.script(ALICE, "cpl").version
        assert answers == [None] * 60
        await cache.reload()
        assert sorted(shown) == sorted(cache.bindings(ALICE))
        assert sorted(row.cseq for row in shown) == list(range(53, 60))
        assert version == cache.script(ALICE, "cpl").version == 60
        assert cache.domain("29.example.com") == "example.com"


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (["default"], "", "default"),
        (["a", "b"], "b", "b"),
        (["a"], "a", "a"),
        ([], "", "no server configuration"),
        (["a", "b"], "", "several server configurations: a, b"),
        (["a", "b"], "c", "no server configuration 'c'"),
    ],
)
def test_the_settings_row_is_chosen_by_name(names, wanted, found):
    rows = [Settings(name) for name in names]
    if found in names:
        assert choose(rows, wanted).name == found
    else:
        with pytest.raises(SetupError, match=found):
            choose(rows, wanted)


NINE = b"""<cpl><incoming><time-switch><time dtstart="20260105T090000" duration="PT1H" freq="daily">
<reject status="busy"/></time></time-switch></incoming></cpl>"""


async def test_times_without_a_zone_are_those_of_the_setting_or_else_of_the_machine(cache):
    def rejects(moment):
        _, end = run(cache.program(ALICE), facts(now=datetime.fromisoformat(moment)))
        return isinstance(end, Reject)

    await commit(cache, PutUser(user(ALICE)), PutScript(script(ALICE, text=NINE)))
    cache.use_zone("Asia/Tokyo")
    assert rejects("2026-11-27T00:30:00+00:00")
    await commit(cache, PutSettings(Settings(time_zone="Europe/Paris")))
    assert rejects("2026-11-27T08:30:00+00:00")
    assert not rejects("2026-11-27T00:30:00+00:00")
    await commit(cache, PutSettings(Settings()))
    assert rejects("2026-11-27T00:30:00+00:00")
    cache.override(["time_zone=America/New_York"])
    assert rejects("2026-11-27T14:30:00+00:00")
