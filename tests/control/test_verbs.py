"""What verbs make of the database, the same on every kind of it; each reads and changes what it must, and no more."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sipd.control.verbs import VERBS, Arguments, Refusal
from sipd.core.reginfo import Known, as_registered
from sipd.rows import Binding, PutAlias, PutBinding, PutDelegate, PutDomain, PutSettings, PutUser, Settings
from sipd.store import MemoryStore, SqliteStore, user_row
from sipd.store.mysql import MysqlStore
from tests.store.conftest import on_mariadb
from tests.store.rows import apply

SCRIPT = b'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>'
ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture(params=["memory", "sqlite", "mariadb"])
async def store(request, tmp_path):
    """A database with two users, of whom alice is registered."""
    domains = [PutDomain("example.com", "example.com"), PutDomain("sip.example.com", "example.com")]
    users = [PutUser(user_row(aor, "example.com", "hidden-word")) for aor in (ALICE, BOB)]
    first = [PutSettings(Settings(max_contacts=22)), *domains, *users]
    store: Any
    if request.param == "mariadb":
        store = await on_mariadb(request.getfixturevalue("mariadb"))
        await apply(store, *first)
    else:
        store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "sip.sqlite3")
        await store.create(b"k" * 32, first)
    await apply(store, PutBinding(Binding(ALICE, "sip:alice@192.0.2.1", expires_at=time.time() + 60, call_id="a")))
    yield store
    await store.close()


async def run(store, noun, verb_name, flags=(), /, **values):
    [verb] = [verb for verb in VERBS if (verb.noun, verb.name) == (noun, verb_name)]
    given = {key.replace("_", "-"): value for key, value in values.items()} | dict.fromkeys(flags, "yes")
    told: Any = await verb.run(store, Arguments(given))
    return told


async def refused(store, *words, **values):
    """What is said when it can't be done."""
    before = await everything(store)
    with pytest.raises(Refusal) as refusal:
        await run(store, *words, **values)
    assert await everything(store) == before, "what is refused changes nothing"
    return str(refusal.value)


async def everything(store):
    """All rows, in lists of whatever kind."""
    return [list(rows) for rows in await store.load_all()]


async def test_a_part_of_a_name_that_is_no_text_is_refused(store):
    assert "not UTF-8" in await refused(store, "user", "list", filter="J\udcf6rg")


class Between:
    """A store in which another administrator does something after the first has looked, and before he writes."""

    def __init__(self, store, *words, **values):
        self._store, self._doing = store, (words, values)

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def apply(self, groups):
        """Once the other one is done."""
        words, values = self._doing
        await run(self._store, *words, **values)
        return await self._store.apply(groups)


@pytest.mark.parametrize(
    ("other", "mine"),
    [
        (("user", "passwd", {"password": "seven-green-apples"}), ("user", "set", {"setting": ("level=never",)})),
        (("user", "rm", {}), ("user", "set", {"setting": ("level=never",)})),
        (("user", "rm", {}), ("user", "passwd", {"password": "seven-green-apples"})),
        (("user", "set", {"setting": ("full_name=Al",)}), ("user", "set", {"setting": ("level=never",)})),
    ],
)
async def test_what_another_administrator_did_meanwhile_is_not_undone(store, other, mine):
    """Else the old password would be good again, or who was removed would be back with it."""
    between = Between(store, *other[:2], address=ALICE, **other[2])
    with pytest.raises(Refusal, match=r"alice@example\.com was changed meanwhile"):
        await run(between, *mine[:2], address=ALICE, **mine[2])
    users = [user for user in (await store.load_all()).users if user.aor == ALICE]
    assert [user.level for user in users] == ["required"] * (other[1] != "rm")
    if users:
        await run(store, *mine[:2], address=ALICE, **mine[2])


@pytest.mark.parametrize("other", [("passwd", {"password": "seven-green-apples"}), ("rm", {})])
async def test_what_another_administrator_did_while_a_file_was_read_is_not_undone(store, other):
    """To hash the passwords of many takes seconds."""

    class Reading(Between):
        """The other one is done when all is read."""

        async def news(self):
            words, values = self._doing
            await run(store, *words, **values)
            return await self._store.news()

    if isinstance(store, MemoryStore):
        return  # where nobody else is
    mine = SqliteStore(store.path) if isinstance(store, SqliteStore) else MysqlStore(store._url)
    await mine.open()
    try:
        reading = Reading(mine, "user", other[0], address=ALICE, **other[1])
        with pytest.raises(Refusal, match=r"alice@example\.com was changed meanwhile"):
            await run(reading, "user", "import", ["update"], file=b"address,level\nalice@example.com,never\n")
    finally:
        await mine.close()
    users = [user for user in (await store.load_all()).users if user.aor == ALICE]
    assert [user.level for user in users] == ["required"] * (other[0] != "rm")


async def test_of_two_who_add_a_user_one_is_told_that_he_is_there(store):
    carol = "carol@example.com"
    between = Between(store, "user", "add", address=carol, password="seven-green-apples")
    with pytest.raises(Refusal, match=r"carol@example\.com"):
        await run(between, "user", "add", address=carol, password="eight-red-pears")
    [user] = [user for user in (await store.load_all()).users if user.aor == carol]
    assert user == user_row(carol, "example.com", "seven-green-apples")


class Narrow(MemoryStore):
    """A database of which only some rows may be asked for."""

    asked = False

    async def load_all(self, begun=None, known=None):
        """Only on the way to some."""
        assert self.asked
        return await super().load_all(begun, known)

    async def load_some(self, keys):
        """These."""
        self.asked = True
        try:
            return await super().load_some(keys)
        finally:
            self.asked = False


class TestAliases:
    async def test_an_alias_leads_to_one_and_to_a_group(self, store):
        made = await run(store, "alias", "add", alias="sip:+15551234@SIP.example.com", user=(ALICE,))
        assert made == {"alias": "+15551234@example.com", "users": [ALICE]}
        await run(store, "alias", "add", alias="team@example.com", user=("bob@sip.example.com",))
        made = await run(store, "alias", "add", alias="team@example.com", user=(ALICE,))
        assert made == {"alias": "team@example.com", "users": [ALICE, BOB]}
        assert sorted((await store.load_all()).aliases) == [
            PutAlias("+15551234@example.com", ALICE),
            PutAlias("team@example.com", ALICE),
            PutAlias("team@example.com", BOB),
        ]
        assert await run(store, "alias", "list") == [
            {"alias": "+15551234@example.com", "users": [ALICE]},
            {"alias": "team@example.com", "users": [ALICE, BOB]},
        ]
        assert [row["alias"] for row in await run(store, "alias", "list", filter="BOB")] == ["team@example.com"]
        assert (await run(store, "alias", "rm", alias="team@example.com", user=(BOB,)))["users"] == [ALICE]
        assert (await run(store, "alias", "rm", alias="team@example.com"))["users"] == []
        assert [row["alias"] for row in await run(store, "alias", "list")] == ["+15551234@example.com"]

    @pytest.mark.parametrize(
        ("name", "alias", "users", "said"),
        [
            ("add", BOB, (ALICE,), "bob@example.com is a user himself"),
            ("add", "team@example.com", (), "Write: sipdctl alias add ALIAS USER"),
            ("add", "team@example.com", ("nobody@example.com",), "there is no user nobody@example.com. Add one with"),
            ("add", "team@example.net", (ALICE,), "example.net is not a local domain"),
            ("add", "team", (ALICE,), "not an address: 'team'"),
            ("rm", "team@example.com", (), "there is no alias team@example.com. See: sipdctl alias list"),
            ("rm", "there@example.com", (BOB,), "does not lead to bob@example.com. It leads to: alice@example.com"),
        ],
    )
    async def test_what_can_not_be_is_refused(self, store, name, alias, users, said):
        await apply(store, PutAlias("there@example.com", ALICE))
        assert said in await refused(store, "alias", name, alias=alias, user=users)

    async def test_no_user_gets_the_address_of_an_alias(self, store):
        await apply(store, PutAlias("team@example.com", ALICE))
        said = await refused(store, "user", "add", address="team@example.com")
        assert said == "team@example.com is an alias. Remove it first: sipdctl alias rm team@example.com"


class TestUserLocation:
    async def test_a_contact_by_hand_holds_until_it_is_removed(self, store):
        made = await run(store, "ul", "add", address=BOB, contact="<sip:bob@192.0.2.7:5070;transport=tcp>")
        assert (made["contact"], made["permanent"]) == ("sip:bob@192.0.2.7:5070;transport=tcp", True)
        [bob] = [row for row in (await store.load_all()).bindings if row.aor == BOB]
        assert bob.expires_at > time.time() + 60 * 365 * 86400
        [told] = await run(store, "ul", "show", address=BOB)
        assert [one.event for one in as_registered([Known(bob)])] == ["created"], "not by a REGISTER (RFC 3680)"
        assert (told["permanent"], told["q"]) == (True, 1.0)
        assert told["expires"] < 2**31, "phones can read it"
        gone = await run(store, "ul", "rm", address=BOB, contact="sip:bob@192.0.2.7:5070;transport=TCP")
        assert gone["removed"] == ["sip:bob@192.0.2.7:5070;transport=tcp"]
        assert await run(store, "ul", "show", address=BOB) == []

    async def test_it_has_the_end_and_the_rank_that_are_asked_for(self, store):
        await run(store, "ul", "add", address=BOB, contact="tel:+15551234", expires="600", q="0.25")
        [told] = await run(store, "ul", "show", address=BOB)
        assert (told["permanent"], told["q"], told["contact"]) == (False, 0.25, "tel:+15551234")
        assert 590 <= told["expires"] <= 600

    async def test_an_equal_contact_is_replaced(self, store):
        await run(store, "ul", "add", address=ALICE, contact="sip:%61lice@192.0.2.1;lr")
        [row] = (await store.load_all()).bindings
        assert row.uri == "sip:%61lice@192.0.2.1;lr"

    async def test_all_go_at_once_and_one_among_several(self, store):
        for host in ("192.0.2.2", "192.0.2.3"):
            await run(store, "ul", "add", address=ALICE, contact=f"sip:alice@{host}")
        await run(store, "ul", "rm", address=ALICE, contact="sip:alice@192.0.2.2")
        assert len((await store.load_all()).bindings) == 2
        gone = await run(store, "ul", "rm", ["all"], address=ALICE)
        assert gone["removed"] == ["sip:alice@192.0.2.1", "sip:alice@192.0.2.3"]
        assert not (await store.load_all()).bindings

    async def test_a_list_by_pages_keeps_the_contacts_of_a_user_together(self, store):
        for host in ("192.0.2.2", "192.0.2.3"):
            await run(store, "ul", "add", address=ALICE, contact=f"sip:alice@{host}")
        await run(store, "ul", "add", address=BOB, contact="sip:bob@192.0.2.2")
        assert [row["user"] for row in await run(store, "ul", "list", limit="1")] == [ALICE] * 3
        assert [row["user"] for row in await run(store, "ul", "list", after=ALICE, limit="1")] == [BOB]
        assert [row["user"] for row in await run(store, "ul", "list", filter="192.0.2.2")] == [ALICE, BOB]
        assert await run(store, "ul", "list", filter="nothing") == []

    async def test_as_many_as_the_server_permits(self, store):
        for number in range(22):
            await run(store, "ul", "add", address=BOB, contact=f"sip:bob@192.0.2.{number}")
        assert "22 contacts already" in await refused(store, "ul", "add", address=BOB, contact="sip:bob@192.0.2.22")
        await run(store, "ul", "add", address=BOB, contact="sip:bob@192.0.2.7", q="0.5")

    @pytest.mark.parametrize(
        ("words", "values", "said"),
        [
            (("ul", "add"), {"contact": "192.0.2.1"}, "not a contact: '192.0.2.1'"),
            (("ul", "add"), {"contact": "mailto:a@b.c"}, "Write a sip:, sips: or tel: URI"),
            (("ul", "add"), {"contact": "sip:a@h?subject=x"}, "URI without headers"),
            (("ul", "add"), {"contact": "sip:a@h", "q": "2"}, "a number from 0 to 1"),
            (("ul", "add"), {"contact": "sip:a@h", "expires": "0"}, "a whole number from 1 to 2147483647"),
            (("ul", "add"), {"contact": "sip:a@h", "expires": "soon"}, "--expires can't be 'soon'"),
            (("ul", "rm"), {}, "which contact is not said. Write one, or --all"),
            (("ul", "rm"), {"contact": "sip:b@h"}, "alice@example.com has no contact sip:b@h. See: sipdctl ul show"),
        ],
    )
    async def test_what_can_not_be_is_refused(self, store, words, values, said):
        assert said in await refused(store, *words, address=ALICE, **values)


class TestUsers:
    async def test_one_user_with_all_that_is_kept_of_him_but_his_secrets(self, store):
        await apply(store, PutAlias("team@example.com", ALICE), PutDelegate(ALICE, BOB))
        assert await run(store, "user", "show", address="alice@sip.example.com") == {
            "user": ALICE,
            "realm": "example.com",
            "level": "required",
            "role": "regular",
            "gateway_class": "",
            "full_name": "",
            "algorithms": ["MD5", "SHA-256", "SHA-512-256"],
            "aliases": ["team@example.com"],
            "delegates": [BOB],
            "contacts": ["sip:alice@192.0.2.1"],
            "scripts": [],
        }

    async def test_a_list_by_pages_and_by_a_part_of_the_name(self, store):
        await run(store, "user", "set", address=BOB, setting=("full_name=Bob Builder",))
        assert [row["user"] for row in await run(store, "user", "list", limit="1")] == [ALICE]
        assert [row["user"] for row in await run(store, "user", "list", limit="1", after=ALICE)] == [BOB]
        assert await run(store, "user", "list", limit="1", after=BOB) == []
        assert [row["user"] for row in await run(store, "user", "list", filter="BUILD")] == [BOB]
        assert "whole number" in await refused(store, "user", "list", limit="0")

    async def test_a_verb_for_one_user_does_not_load_all(self):
        """With 100,000 users that is seconds."""
        store = Narrow()
        users = [PutUser(user_row(aor, "example.com", "hidden-word")) for aor in (ALICE, BOB)]
        await store.create(b"k" * 32, [PutSettings(Settings()), PutDomain("example.com", "example.com"), *users])
        await run(store, "user", "add", address="carol@example.com")
        await run(store, "user", "set", address=BOB, setting=("level=never",))
        await run(store, "user", "passwd", address=BOB)
        await run(store, "user", "show", address=BOB)
        await run(store, "user", "allow", address=ALICE, other=BOB)
        await run(store, "user", "deny", address=ALICE, other=BOB)
        await run(store, "alias", "add", alias="team@example.com", user=(ALICE, BOB))
        await run(store, "alias", "rm", alias="team@example.com", user=(BOB,))
        await run(store, "ul", "add", address=ALICE, contact="sip:a@h")
        await run(store, "ul", "show", address=ALICE)
        await run(store, "ul", "rm", ["all"], address=ALICE)
        await run(store, "domain", "add", name="example.net")
        await run(store, "script", "put", address=ALICE, file=SCRIPT)
        await run(store, "script", "show", address=ALICE)
        await run(store, "script", "history", address=ALICE)
        await run(store, "script", "disable", address=ALICE)
        await run(store, "script", "rm", address=ALICE)
        await run(store, "script", "rollback", address=ALICE)
        await run(store, "server", "set", setting=("stagger=20",))
        await run(store, "peer", "add", name="gateway", match="192.0.2.7")
        await run(store, "user", "list", limit="1")
        await run(store, "user", "rm", address=BOB)
