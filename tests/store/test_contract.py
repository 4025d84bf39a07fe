"""What every Store promises: one class, run on each of them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipd.errors import SetupError
from sipd.rows import (
    AddScriptLog,
    DropAlias,
    DropBinding,
    DropDelegate,
    DropDial,
    DropDomain,
    DropPeer,
    DropScript,
    DropTimezone,
    DropUser,
    EnableScript,
    Expect,
    Peer,
    PutAlias,
    PutBinding,
    PutDelegate,
    PutDial,
    PutDomain,
    PutPeer,
    PutScript,
    PutSettings,
    PutTimezone,
    PutUser,
    ScriptVersion,
    Settings,
    TrimScriptLog,
)
from sipd.store import Cache, Conflict, Key, MemoryStore, Refused, Snapshot, SqliteStore, create
from sipd.store.base import WHOLE, Removed
from tests.store.conftest import on_mariadb
from tests.store.rows import ALICE, BOB, USERS, apply, binding, contents, script, user

KEY = "secret_key"


def expected(nothing, **fields):
    return nothing._replace(**{name: [] for name in nothing._fields if name != KEY} | fields)


class TestStore:
    async def test_begins_with_what_it_was_created_with(self, store):
        found = await contents(store)
        assert found.users == [user(ALICE), user(BOB)]
        assert found.domains == [PutDomain("example.com", "example.com")]
        assert found.settings == [Settings()]
        assert len(found.secret_key) == 32
        assert not found.bindings

    async def test_is_created_once(self, store):
        assert await store.exists()
        with pytest.raises(SetupError):
            await create(store, ["example.org"])
        assert (await contents(store)).domains == [PutDomain("example.com", "example.com")]

    @pytest.mark.parametrize(
        "row",
        [
            binding(),
            binding(q=0, action="redirect", reg_id=7, instance="<urn:uuid:1>", params=';methods="INVITE"'),
            binding(path=("<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"), received="udp:[2001:db8::1]:5060"),
            binding(uri="sip:%61lice@192.0.2.1;x='; DROP TABLE users --", call_id="'\"\\%_?:1$1"),
            binding(user_agent="T\udce9l\udce9phone", call_id="\udcff@h"),  # bytes that are no UTF-8
            binding(user_agent="Téléphone ☎ 電話", cseq=2**32 - 1, expires_at=1234567890.25),
        ],
    )
    async def test_gives_back_what_was_put(self, store, row):
        await apply(store, PutBinding(row))
        assert (await store.load_all()).bindings == [row]
        await apply(store, DropBinding(row.aor, row.uri))
        assert (await store.load_all()).bindings == []

    async def test_bindings_with_one_uri_are_told_apart_by_their_key(self, store):
        first, second = binding(key="flow1", cseq=1), binding(key="flow2", cseq=2)
        await apply(store, PutBinding(first), PutBinding(second), PutBinding(first._replace(cseq=3)))
        assert sorted((await store.load_all()).bindings) == sorted([first._replace(cseq=3), second])
        await apply(store, DropBinding(ALICE, first.uri, "flow1"), DropBinding(ALICE, first.uri))
        assert (await store.load_all()).bindings == [second]

    async def test_peers_are_stored_by_name(self, store):
        await apply(store, PutPeer(Peer("pbx", "192.0.2.7", "office")), PutPeer(Peer("old", "192.0.2.8")))
        await apply(store, PutPeer(Peer("pbx", "cert:pbx.example.com")), DropPeer("old"), DropPeer("nobody"))
        assert list((await store.load_all()).peers) == [Peer("pbx", "cert:pbx.example.com")]

    async def test_an_alias_leads_to_users_and_goes_with_them(self, store):
        await apply(store, PutAlias("sales@example.com", ALICE), PutAlias("sales@example.com", BOB))
        await apply(store, PutAlias("sales@example.com", BOB), PutAlias("al@example.com", ALICE))
        assert (await contents(store)).aliases == [
            PutAlias("al@example.com", ALICE),
            PutAlias("sales@example.com", ALICE),
            PutAlias("sales@example.com", BOB),
        ]
        await apply(store, DropAlias("al@example.com", ALICE), DropAlias("al@example.com", BOB))
        await apply(store, DropUser(ALICE))
        assert (await contents(store)).aliases == [PutAlias("sales@example.com", BOB)]

    async def test_rows_of_the_dial_plan_are_kept_by_position(self, store):
        await apply(store, PutDial(2, "9{x.}", r"tel:\1"), PutDial(1, "911", "sip:911@gate.example.com"))
        await apply(store, PutDial(2, "8{x.}", r"tel:\1"), DropDial(1), DropDial(7))
        assert (await contents(store)).dialplan == [PutDial(2, "8{x.}", r"tel:\1")]

    async def test_a_group_that_expects_something_else_is_refused_whole(self, store):
        first, second = binding(uri="sip:1@h"), binding(uri="sip:2@h")
        await apply(store, Expect(ALICE, 0), PutBinding(first))
        for wrong in (0, 2):
            [error] = await store.apply([[Expect(ALICE, wrong), PutBinding(second)]])
            assert isinstance(error, Conflict)
        found = await contents(store)
        assert (found.bindings, found.versions) == ([first], [(ALICE, 1)])
        await apply(store, Expect(ALICE, 1), PutBinding(second))
        await apply(store, Expect(BOB, 0))
        found = await contents(store)
        assert (found.bindings, found.versions) == ([first, second], [(ALICE, 2), (BOB, 1)])
        [error] = await store.apply([[Expect("nobody@example.com", 0)]])
        assert isinstance(error, Refused)
        assert not isinstance(error, Conflict)

    async def test_some_rows_are_those_of_the_keys(self, store):
        await apply(store, Expect(ALICE, 0), PutBinding(binding()), PutBinding(binding(BOB)), PutScript(script()))
        await apply(store, PutAlias("al@example.com", ALICE), PutAlias("al@example.com", BOB), PutDelegate(BOB, ALICE))
        await apply(store, PutPeer(Peer("pbx", "192.0.2.7")), PutDial(7, "9{x.}", r"tel:\1"), PutDelegate(ALICE, BOB))
        await apply(store, PutTimezone("http://h/z", b"zone", 1.0), PutScript(script(BOB)), DropScript(BOB, "cpl"))
        nothing = expected(Snapshot([], [], [], [], [], [], [], b""))

        async def some(*keys):
            found = await store.load_some([Key(*key) for key in keys])
            return found._replace(
                **{name: sorted(getattr(found, name)) for name in found._fields if name != "secret_key"}
            )

        alices = {"bindings": [binding()], "versions": [(ALICE, 1)]}
        for what in ("contacts", "registrations"):
            assert await some((what, ALICE)) == expected(nothing, **alices)
        everything = expected(
            nothing,
            users=[user()],
            **alices,
            scripts=[script(version=1)],
            delegates=[PutDelegate(ALICE, BOB), PutDelegate(BOB, ALICE)],
            aliases=[PutAlias("al@example.com", ALICE)],
        )
        assert await some(("users", ALICE)) == everything, "with what others let him do: it goes with him"
        assert await some(("users", ALICE), ("contacts", ALICE), ("users", ALICE)) == everything
        assert await some(("scripts", BOB)) == expected(nothing, removed=[Removed(BOB, "cpl", 2)])
        assert await some(("third_parties", ALICE)) == expected(nothing, delegates=[PutDelegate(ALICE, BOB)])
        both = [PutAlias("al@example.com", ALICE), PutAlias("al@example.com", BOB)]
        assert await some(("aliases", "al@example.com")) == expected(nothing, aliases=both)
        assert await some(("server", "default"), ("domain", "example.com")) == expected(
            nothing, settings=[Settings()], domains=[PutDomain("example.com", "example.com")]
        )
        assert await some(("dialplan", "7"), ("timezones", "http://h/z"), ("peers", "pbx")) == expected(
            nothing,
            dialplan=[PutDial(7, "9{x.}", r"tel:\1")],
            timezones=[PutTimezone("http://h/z", b"zone", 1.0)],
            peers=[Peer("pbx", "192.0.2.7")],
        )
        assert await some(("domain", "nowhere.example"), ("a table to come", "x"), ("users", "nobody")) == nothing
        assert await some() == nothing

    async def test_a_small_table_is_read_whole(self, store):
        await apply(store, PutPeer(Peer("pbx", "192.0.2.7")), PutPeer(Peer("gw", "192.0.2.8")))
        await apply(store, PutDomain("h.example", "h.example"), PutTimezone("http://h/z", b"zone", 1.0))
        found = await store.load_some([Key(what, WHOLE) for what in ("server", "domain", "peers", "timezones")])
        assert list(found.settings) == [Settings()]
        assert sorted(row.name for row in found.domains) == ["example.com", "h.example"]
        assert sorted(row.name for row in found.peers) == ["gw", "pbx"]
        assert [row.url for row in found.timezones] == ["http://h/z"]
        assert (await store.load_some([Key("users", WHOLE), Key("contacts", WHOLE)])).users == [], "these are large"

    async def test_users_are_found_by_pages_and_by_a_part_of_the_name(self, store):
        await apply(store, PutUser(user("a_b@example.com")._replace(full_name="Percy 100%!")), PutUser(user("Zoe@h")))
        everybody = ["Zoe@h", "a_b@example.com", ALICE, BOB]
        for part, after, limit, expected_page in (
            ("", "", 9, everybody),
            ("", "", 2, everybody[:2]),
            ("", "a_b@example.com", 2, everybody[2:]),
            ("", BOB, 2, []),
            ("_", "", 9, ["a_b@example.com"]),
            ("100%!", "", 9, ["a_b@example.com"]),
            ("percy", "", 9, ["a_b@example.com"]),
            ("zoe", "", 9, ["Zoe@h"]),
            ("example", "Zoe@h", 1, ["a_b@example.com"]),
        ):
            assert [row.aor for row in await store.find_users(part, after, limit)] == expected_page, (part, after)

    async def test_many_rows_are_found_by_their_keys(self, store):
        names = [f"{number}@example.com" for number in range(250)]
        await apply(store, *(PutUser(user(name)) for name in names), *(PutBinding(binding(name)) for name in names))
        found = await store.load_some([Key("contacts", name) for name in names])
        assert sorted(row.aor for row in found.bindings) == sorted(names)

    async def test_what_oneself_has_done_is_no_news(self, store):
        await store.load_all()
        await apply(store, PutBinding(binding()), PutPeer(Peer("pbx", "192.0.2.7")))
        assert list(await store.news()) == []

    async def test_a_binding_replaces_the_one_with_its_uri(self, store):
        await apply(store, PutBinding(binding(cseq=1)), PutBinding(binding(uri="sip:other@192.0.2.1")))
        await apply(store, PutBinding(binding(cseq=2)))
        found = {row.uri: row.cseq for row in (await store.load_all()).bindings}
        assert found == {"sip:alice@192.0.2.1": 2, "sip:other@192.0.2.1": 1}

    async def test_the_same_uri_of_another_user_is_another_binding(self, store):
        await apply(store, PutBinding(binding(ALICE)), PutBinding(binding(BOB)))
        await apply(store, DropBinding(ALICE, binding().uri))
        assert (await store.load_all()).bindings == [binding(BOB)]

    @pytest.mark.parametrize(
        "change",
        [
            PutBinding(binding("nobody@example.com")),
            PutScript(script("nobody@example.com")),
            PutDelegate(ALICE, "nobody@example.com"),
            PutDelegate("nobody@example.com", ALICE),
            AddScriptLog("nobody@example.com", 1.0, "", "x"),
        ],
    )
    async def test_what_belongs_to_nobody_is_refused(self, store, change):
        before = await contents(store)
        assert isinstance((await store.apply([[change]]))[0], Refused)
        assert await contents(store) == before

    async def test_a_group_is_whole_or_not_at_all(self, store):
        whole = [PutBinding(binding(uri="sip:1@h")), PutBinding(binding(uri="sip:2@h"))]
        torn = [PutBinding(binding(uri="sip:3@h")), PutBinding(binding("nobody@example.com"))]
        after = [PutBinding(binding(BOB))]
        first, second, third = await store.apply([whole, torn, after])
        assert (first, third) == (None, None)
        assert isinstance(second, Refused)
        assert (await contents(store)).bindings == [binding(uri="sip:1@h"), binding(uri="sip:2@h"), binding(BOB)]

    async def test_a_group_may_make_the_user_it_needs(self, store):
        aor = "carol@example.com"
        await apply(store, PutUser(user(aor)), PutBinding(binding(aor)))
        [error] = await store.apply([[DropUser(aor), PutBinding(binding(aor, uri="sip:new@h"))]])
        assert isinstance(error, Refused)
        assert (await store.load_all()).bindings == [binding(aor)]

    async def test_nothing_is_a_group_too(self, store):
        assert await store.apply([]) == []
        assert await store.apply([[]]) == [None]

    async def test_a_user_who_is_put_again_keeps_what_he_has(self, store):
        owned = [PutBinding(binding()), PutScript(script()), PutDelegate(ALICE, BOB)]
        await apply(store, *owned)
        await apply(store, PutUser(user(ALICE, level="never", full_name="Alice")))
        found = await contents(store)
        assert found.users[0] == user(ALICE, level="never", full_name="Alice")
        assert (len(found.bindings), len(found.scripts), len(found.delegates)) == (1, 1, 1)

    async def test_a_user_goes_with_all_he_has(self, store):
        mine = [PutBinding(binding()), PutScript(script()), PutDelegate(ALICE, BOB), PutDelegate(BOB, ALICE)]
        await apply(store, *mine, PutBinding(binding(BOB)), AddScriptLog(ALICE, 1.0, "n", "c"))
        await apply(store, DropUser(ALICE))
        found = await contents(store)
        assert found.users == [user(BOB)]
        assert found.bindings == [binding(BOB)]
        assert not found.scripts
        assert not found.delegates, "who comes back under that name must not inherit a permission"
        assert await store.script_log(ALICE) == []

    async def test_the_store_counts_a_scripts_versions(self, store):
        await apply(store, PutScript(script(text=b"<cpl>1</cpl>", version=9)))
        await apply(store, PutScript(script(text=b"\xff\x00\xfe")))
        assert (await store.load_all()).scripts == [script(text=b"\xff\x00\xfe", version=2)]
        await apply(store, DropScript(ALICE, "cpl"))
        assert (await store.load_all()).removed == [Removed(ALICE, "cpl", 3)]
        await apply(store, PutScript(script()))
        found = await store.load_all()
        assert (found.scripts, found.removed) == ([script(version=4)], []), "a number never comes again"

    async def test_what_was_done_to_a_script_is_kept(self, store):
        await apply(store, PutScript(script(text=b"one", modified_by=ALICE)))
        await apply(store, PutScript(script(text=b"\xff\x00\xfe", modified_by="root"), "rolled back to 17"))
        await apply(store, EnableScript(ALICE, "cpl", False, 2e9, "root"))
        await apply(store, EnableScript(ALICE, "cpl", False, 3e9, "root"), DropScript(BOB, "cpl", 3e9, "root"))
        await apply(store, DropScript(ALICE, "cpl", 4e9, BOB), DropScript(ALICE, "cpl", 5e9, BOB))
        kind = "application/cpl+xml"
        assert await store.script_versions(ALICE) == [
            ScriptVersion(ALICE, "cpl", 1, b"one", kind, 1e9, ALICE, "stored"),
            ScriptVersion(ALICE, "cpl", 2, b"\xff\x00\xfe", kind, 1e9, "root", "rolled back to 17"),
            ScriptVersion(ALICE, "cpl", 3, b"\xff\x00\xfe", kind, 2e9, "root", "disabled"),
            ScriptVersion(ALICE, "cpl", 4, b"", kind, 4e9, BOB, "removed"),
        ]
        assert await store.script_versions(BOB) == []
        assert await store.script_versions(ALICE, "cgi") == []

    async def test_a_script_that_is_switched_off_stays_stored_and_off(self, store):
        await apply(store, PutScript(script()), EnableScript(ALICE, "cpl", False, 2e9, "root"))
        assert (await store.load_all()).scripts == [script(version=2, enabled=False)], "its text is of the time it was"
        await apply(store, PutScript(script(text=b"other", enabled=True)))
        assert (await store.load_all()).scripts == [script(text=b"other", version=3, enabled=False)]
        await apply(store, EnableScript(ALICE, "cpl", True, 3e9, "root"), EnableScript(BOB, "cpl", True, 3e9, "root"))
        assert (await store.load_all()).scripts == [script(text=b"other", version=4)]
        assert [row.what for row in await store.script_versions(ALICE)] == ["stored", "disabled", "stored", "enabled"]

    @pytest.mark.parametrize("most", [0, 3])
    async def test_the_earlier_versions_kept_are_bounded(self, store, most):
        await apply(store, PutSettings(Settings(script_versions=most)))
        for number in range(1, 9):
            await apply(store, PutScript(script(text=b"%d" % number)), PutScript(script(BOB)))
        kept = [row.version for row in await store.script_versions(ALICE)]
        assert kept == list(range(8 - most, 9)), "the last one, and as many before it"
        await apply(store, DropScript(ALICE, "cpl"))
        await apply(store, PutScript(script()))
        assert [row.version for row in await store.script_versions(ALICE)] == list(range(10 - most, 11))

    async def test_of_several_servers_the_one_that_keeps_most_versions_counts(self, store):
        await apply(store, PutSettings(Settings(script_versions=1)), PutSettings(Settings("b", script_versions=2)))
        for _ in range(5):
            await apply(store, PutScript(script()))
        assert [row.version for row in await store.script_versions(ALICE)] == [3, 4, 5]

    async def test_a_group_that_is_refused_leaves_no_version(self, store):
        group = [PutScript(script()), PutBinding(binding("nobody@example.com"))]
        assert isinstance((await store.apply([group]))[0], Refused)
        assert await store.script_versions(ALICE) == []

    async def test_a_user_who_comes_back_has_no_history(self, store):
        await apply(store, PutScript(script()), DropScript(ALICE, "cpl"), PutScript(script(BOB)))
        await apply(store, DropUser(ALICE), PutUser(user(ALICE)))
        assert await store.script_versions(ALICE) == []
        await apply(store, PutScript(script()))
        assert [row.version for row in await store.script_versions(ALICE)] == [1]
        assert len(await store.script_versions(BOB)) == 1

    async def test_domains_delegates_and_settings_come_and_go(self, store):
        other = Settings("other", auth="none", record_route=False, stagger=2.5)
        put = [PutDomain("sip.example.com", "example.com"), PutDelegate(ALICE, BOB), PutSettings(other)]
        await apply(store, *put, *put)
        found = await contents(store)
        assert found.domains[1:] == [PutDomain("sip.example.com", "example.com")]
        assert found.delegates == [PutDelegate(ALICE, BOB)]
        assert found.settings == [Settings(), other]
        await apply(store, DropDomain("sip.example.com"), DropDelegate(ALICE, BOB))
        found = await contents(store)
        assert len(found.domains) == 1
        assert not found.delegates

    @pytest.mark.parametrize(
        "change",
        [
            DropBinding(ALICE, "sip:x@h"),
            DropScript(ALICE, "cpl"),
            EnableScript(ALICE, "cpl", False),
            DropUser("nobody@example.com"),
            DropDomain("example.net"),
            DropDelegate(ALICE, BOB),
        ],
    )
    async def test_dropping_what_is_not_there_is_no_error(self, store, change):
        before = await contents(store)
        await apply(store, change)
        assert await contents(store) == before

    async def test_script_log_gives_the_last_lines_in_order(self, store):
        lines = [AddScriptLog(ALICE, float(number), "work", f"line {number}") for number in range(5)]
        await apply(store, *lines, AddScriptLog(BOB, 9.0, "", "x"))
        assert await store.script_log(ALICE) == lines
        assert await store.script_log(ALICE, limit=2) == lines[-2:]

    @pytest.mark.parametrize(("most", "kept"), [(2, [3, 4]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (0, [])])
    async def test_script_log_is_cut_to_the_last_lines_of_that_user(self, store, most, kept):
        lines = [AddScriptLog(ALICE, float(number), "", f"{number}") for number in range(5)]
        other = AddScriptLog(BOB, 1.0, "", "his")
        await apply(store, *lines, other, TrimScriptLog(ALICE, most))
        assert await store.script_log(ALICE) == [lines[number] for number in kept]
        assert await store.script_log(BOB) == [other]

    async def test_timezones_are_kept_by_url(self, store):
        zone = PutTimezone("https://zones.example.com/a?b=1", b"BEGIN:VTIMEZONE\r\n\xff\x00", 1e9)
        newer = PutTimezone(zone.url, b"another", 2e9)
        await apply(store, zone, PutTimezone("http://zones.example.com/b", b"", 1e9))
        await apply(store, newer, DropTimezone("http://zones.example.com/b"), DropTimezone("http://nowhere"))
        assert list((await store.load_all()).timezones) == [newer]

    async def test_is_sound(self, store):
        assert await store.check() == []

    async def test_the_moment_of_a_snapshot_is_told(self, store):
        told = []
        await store.load_all(lambda: told.append(True))
        assert told == [True]


AORS = st.sampled_from([ALICE, BOB, "carol@example.com"])
TIMES = st.floats(0, 4e9)
URIS = st.sampled_from(["sip:1@h", "sip:2@h", "sip:3@h"])
CHANGES = st.one_of(
    st.builds(PutBinding, st.builds(binding, AORS, URIS, cseq=st.integers(0, 5))),
    st.builds(DropBinding, AORS, URIS),
    st.builds(PutUser, st.builds(user, AORS, level=st.sampled_from(["never", "required"]))),
    st.builds(DropUser, AORS),
    st.builds(PutScript, st.builds(script, AORS, st.binary(max_size=3))),
    st.builds(DropScript, AORS, st.just("cpl"), TIMES),
    st.builds(EnableScript, AORS, st.just("cpl"), st.booleans(), TIMES),
    st.builds(PutDelegate, AORS, AORS),
    st.builds(DropDelegate, AORS, AORS),
    st.builds(PutDomain, st.sampled_from(["a", "b"]), st.just("a")),
    st.builds(DropDomain, st.sampled_from(["a", "b"])),
)


EXPECTED = st.lists(st.builds(Expect, AORS, st.integers(0, 3)), max_size=1)
GROUPS = st.builds(lambda first, rest: [*first, *rest], EXPECTED, st.lists(CHANGES, max_size=4))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(groups=st.lists(GROUPS, max_size=8))
async def test_mysql_carries_out_many_groups_at_once_as_memory_does_one_by_one(groups, mariadb):
    memory, shared = MemoryStore(), await on_mariadb(mariadb)
    try:
        await create(memory, ["example.com"], more=USERS)
        in_memory, on_disk = await memory.apply(groups), await shared.apply(groups)
        assert [error is None for error in in_memory] == [error is None for error in on_disk]
        left, right = await contents(memory), await contents(shared)
        assert left._replace(secret_key=b"") == right._replace(secret_key=b"")
    finally:
        await shared.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(groups=st.lists(GROUPS, max_size=6))
async def test_all_stores_and_the_cache_agree(groups, tmp_path_factory):
    memory, sqlite = MemoryStore(), SqliteStore(tmp_path_factory.mktemp("agree") / "sip.sqlite3")
    for store in (memory, sqlite):
        await create(store, ["example.com"], more=USERS)
    cache, told = Cache(sqlite), Cache(memory)
    await cache.fill()
    in_memory, on_disk = await memory.apply(groups), await sqlite.apply(groups)
    assert [error is None for error in in_memory] == [error is None for error in on_disk]
    for group, error in zip(groups, on_disk, strict=True):
        if error is None:
            cache.apply(group)
    left, right = await contents(memory), await contents(sqlite)
    assert left._replace(secret_key=b"") == right._replace(secret_key=b"")
    await told.fill()
    for aor in (ALICE, BOB, "carol@example.com"):
        assert cache.user(aor) == told.user(aor)
        assert sorted(cache.bindings(aor)) == sorted(told.bindings(aor))
        assert cache.script(aor, "cpl") == told.script(aor, "cpl")
        assert await sqlite.script_versions(aor) == await memory.script_versions(aor)
    await sqlite.close()
