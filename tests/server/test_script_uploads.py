"""Scripts in REGISTER through a whole server, with digest, and what the next calls do (SCRIPTING.md section 4)."""

from __future__ import annotations

import pytest
import trio

from sipd.core.dates import date_value
from sipd.message import Request
from sipd.rows import EnableScript, PutDelegate
from sipd.store import SqliteStore
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, WALL, Phone, open_world
from tests.server.scripted import BOB, LOOKUP, cpl, rung, to

REJECTS = cpl('<reject status="403"/>')
RINGS = cpl(LOOKUP.format("<proxy/>"))
BROKEN = REJECTS.replace("<reject status", "\n<rejekt status")
KIND = "application/cpl+xml"
TYPE = ("Content-Type", KIND)
STORE = ("Content-Disposition", "script;action=store")
REMOVE = ("Content-Disposition", "script;action=remove")
WANTED = ("Accept", KIND)


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", auth="digest", digest_algorithms="MD5")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def register(phone, *headers, body: str = "", by: str = "bob", uri: str = f"sip:{DOMAIN}"):
    """The answer to a REGISTER (or OPTIONS) of bob, proved by digest: as he himself, or `by` another."""

    def request(cseq, *more):
        via = f"SIP/2.0/{phone.hop.transport} {phone.claims};branch=z9hG4bK{len(phone.seen)}x{cseq}"
        lines = [("Via", via), ("Max-Forwards", "70"), ("To", f"<{BOB}>"), ("CSeq", f"{cseq} REGISTER")]
        lines += [("From", f"<sip:{by}@{DOMAIN}>;tag=1"), ("Call-ID", f"{phone.name}{len(phone.seen)}")]
        return Request.build("REGISTER", uri, (*lines, *more, *headers), body.encode())

    answer = await _answer(phone, request(1))
    proof = credentials(answer.first("WWW-Authenticate"), "REGISTER", uri, username=by, password=f"pw-{by}")
    return await _answer(phone, request(2, ("Authorization", proof)))


async def _answer(phone, request):
    before = len(phone.seen)
    phone.send(request)
    await phone.until(lambda: len(phone.seen) > before)
    return phone.seen[-1].message


async def invited(world, caller="alice"):
    """The final status of a call to bob."""
    phone = world.phones.get(caller) or world.phone(caller)
    before = len(phone.statuses())
    phone.send(phone.request("INVITE", BOB, from_uri=f"sip:{caller}@elsewhere.example"))
    await phone.until(lambda: any(status >= 200 for status in phone.statuses()[before:]))
    return phone.statuses()[-1]


def in_store(world):
    script = world.cache.script(f"bob@{DOMAIN}", "cpl")
    assert script is not None
    return script


async def test_a_script_is_stored_replaced_asked_for_and_removed(world, autojump_clock):
    phone = world.phone("bob", "answers", transport="TCP")
    stored = await register(phone, TYPE, STORE, ("Contact", f"<{phone.uri}>"), WANTED, body=REJECTS)
    assert (stored.status, stored.body.decode()) == (200, REJECTS)
    assert stored.first("Content-Type") == KIND
    assert stored.first("Content-Disposition") == f'script;modification-date="{date_value(int(WALL))}"'
    assert [contact.uri.text for contact in stored.contacts] == [phone.uri]
    assert (stored.first("Accept"), stored.first("Accept-Disposition")) == (KIND, "script")
    assert await invited(world) == 403
    await register(phone, TYPE, STORE, body=REJECTS.replace("403", "406"))
    assert await invited(world) == 406
    asked = await register(phone, WANTED)
    assert asked.body.decode() == REJECTS.replace("403", "406")
    assert "Content-Disposition" not in (await register(phone)).names  # not asked for
    assert (await register(phone, REMOVE, WANTED)).body == b""
    assert await invited(world) == 200  # the default behaviour
    again = await register(phone, REMOVE, WANTED)
    assert (again.status, again.body) == (200, b"")
    assert await invited(world) == 200


async def test_an_empty_script_is_one(world, autojump_clock):
    """§4.1: stored and empty is not the same as none; calls go on as without one."""
    phone = world.phone("bob", "answers", transport="TCP")
    empty = '<cpl xmlns="urn:ietf:params:xml:ns:cpl"/>'
    await register(phone, TYPE, STORE, ("Contact", f"<{phone.uri}>"), body=empty)
    assert (await register(phone, WANTED)).body.decode() == empty
    assert await invited(world) == 200


async def test_a_refused_script_changes_nothing_and_says_why(world, autojump_clock):
    phone = world.phone("bob", "answers", transport="TCP")
    await register(phone, TYPE, STORE, body=REJECTS)
    refused = await register(phone, TYPE, STORE, ("Contact", f"<{phone.uri}>"), ("Accept", "text/plain"), body=BROKEN)
    assert refused.status == 400
    assert (refused.first("Warning") or "").startswith('399 sipd "line 2, column 1: ')
    assert refused.first("Content-Type") == "text/plain;charset=utf-8"
    assert b"rejekt" in refused.body
    assert "Content-Disposition" not in refused.names  # §4.2: no script on an error
    assert (refused.first("Accept"), refused.first("Accept-Disposition")) == (KIND, "script")
    assert not world.cache.bindings(f"bob@{DOMAIN}")
    assert await invited(world) == 403  # the old script


async def test_a_newer_script_is_not_overwritten(world, autojump_clock):
    phone = world.phone("bob", "answers", transport="TCP")
    await register(phone, TYPE, STORE, body=REJECTS)
    read = (await register(phone, WANTED)).first("Content-Disposition") or ""
    since = ("If-Unmodified-Since", read.partition('modification-date="')[2].rstrip('"'))
    await trio.sleep(100)
    await register(world.phone("other"), TYPE, STORE, body=REJECTS.replace("403", "406"))
    contact = ("Contact", f"<{phone.uri}>")
    assert (await register(phone, TYPE, STORE, since, contact, body=REJECTS)).status == 412
    assert (await register(phone, REMOVE, since, contact)).status == 412
    assert (await register(phone, since, contact)).status == 200  # nothing of a script is asked
    assert await invited(world) == 406


async def test_who_proved_himself_is_who_changed_it(world, autojump_clock):
    phone = world.phone("carol", "answers", transport="TCP")
    assert (await register(phone, TYPE, STORE, body=REJECTS, by="carol")).status == 403
    assert world.cache.script(f"bob@{DOMAIN}", "cpl") is None
    world.put(PutDelegate(f"bob@{DOMAIN}", f"carol@{DOMAIN}"))
    assert (await register(phone, TYPE, STORE, body=REJECTS, by="carol")).status == 200
    assert in_store(world).modified_by == f"carol@{DOMAIN}"
    await register(phone, TYPE, STORE, body=REJECTS.replace("403", "406"))
    assert in_store(world).modified_by == f"bob@{DOMAIN}"
    assert await invited(world) == 406


async def test_nobody_uploads_without_credentials(world, autojump_clock):
    phone = world.phone("bob", "answers")
    lines = (TYPE, STORE)
    phone.send(phone.request("REGISTER", f"sip:{DOMAIN}", to=BOB, headers=lines, body=REJECTS.encode()))
    await phone.status(401)
    assert world.cache.script(f"bob@{DOMAIN}", "cpl") is None


async def test_a_script_that_is_switched_off_is_kept_and_not_run(world, autojump_clock):
    phone = world.phone("bob", "answers", transport="TCP")
    await register(phone, TYPE, STORE, ("Contact", f"<{phone.uri}>"), body=REJECTS)
    world.put(EnableScript(f"bob@{DOMAIN}", "cpl", False))
    assert await invited(world) == 200
    assert (await register(phone, WANTED)).body.decode() == REJECTS
    await register(phone, TYPE, STORE, body=REJECTS.replace("403", "406"))
    assert (await register(phone, WANTED)).body.decode() == REJECTS.replace("403", "406")
    assert await invited(world) == 200  # whoever switched it off had a reason
    world.put(EnableScript(f"bob@{DOMAIN}", "cpl", True))
    assert await invited(world) == 406


async def test_a_call_under_way_goes_on_by_the_script_it_began_with(world, autojump_clock):
    phone, vm = world.phone("bob", "rings"), world.phone("vm", "answers")
    then = f'<proxy timeout="9"><noanswer>{to(vm, then="<proxy/>")}</noanswer></proxy>'
    await register(phone, TYPE, STORE, ("Contact", f"<{phone.uri}>"), body=cpl(LOOKUP.format(then)))
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB, from_uri="sip:alice@elsewhere.example"))
    await alice.status(180)
    await register(world.phone("other"), TYPE, STORE, body=REJECTS)
    await alice.status(200)
    assert rung(vm) == ["vm"]
    assert await invited(world, "carol") == 403


async def test_neither_bindings_that_end_nor_scripts_touch_one_another(world, autojump_clock):
    """§5: a script does not expire with the contacts, nor does it decide about REGISTER."""
    phone = world.phone("bob", "answers", transport="TCP")
    await register(phone, TYPE, STORE, ("Contact", f"<{phone.uri}>;expires=60"), body=cpl('<reject status="busy"/>'))
    await trio.sleep(120)
    assert not world.cache.bindings(f"bob@{DOMAIN}")
    await register(phone, ("Contact", f"<{phone.uri}>"))
    await register(phone, ("Contact", "*"), ("Expires", "0"))
    assert await invited(world) == 486
    assert (await register(phone, WANTED)).body


async def test_a_script_in_a_multipart_has_its_disposition_there(world, autojump_clock):
    """§3.1: on the part; what the header field of the whole says means nothing."""
    phone = world.phone("bob", transport="TCP")
    part = f"Content-Type: {KIND}\r\nContent-Disposition: script;action=store\r\n\r\n{REJECTS}"
    body = f"--b\r\n{part}\r\n--b--\r\n"
    mixed = ("Content-Type", "multipart/mixed;boundary=b")
    assert (await register(phone, mixed, body=body)).status == 200
    assert await invited(world) == 403
    assert (await register(phone, mixed, REMOVE, body=body.replace("403", "406"))).status == 200
    assert await invited(world) == 406
    bare = body.replace("Content-Disposition: script;action=store\r\n", "")
    assert (await register(phone, mixed, STORE, body=bare)).status == 415


@pytest.mark.parametrize(
    ("transport", "size", "back"), [("UDP", 400, True), ("UDP", 2000, False), ("TCP", 60000, True)]
)
async def test_a_script_too_long_for_a_datagram_comes_back_over_tcp_only(world, autojump_clock, transport, size, back):
    phone = world.phone("bob", transport=transport)
    script = REJECTS.ljust(size)
    stored = await register(phone, TYPE, STORE, WANTED, body=script)
    assert stored.status == 200
    assert stored.body.decode() == (script if back else "")
    assert ("Content-Disposition" in stored.names) is back
    assert len(bytes(stored)) <= 1300 or back
    assert in_store(world).text.decode() == script


@pytest.mark.parametrize("wanted", ["", "sip-cgi", "session, sip-cgi"])
async def test_who_wants_no_script_gets_none(world, autojump_clock, wanted):
    phone = world.phone("bob", transport="TCP")
    asked = await register(phone, TYPE, STORE, WANTED, ("Accept-Disposition", wanted), body=REJECTS)
    assert (asked.status, asked.body) == (200, b"")


async def test_scripts_survive_a_restart(nursery, tmp_path):
    """§5: stored before the 200 is sent, and there when the server is started again."""
    store = SqliteStore(tmp_path / "sip.sqlite3")
    world = await open_world(nursery, "bob", auth="digest", digest_algorithms="MD5", store=store)
    stored = await register(world.phone("bob", transport="TCP"), TYPE, STORE, body=REJECTS)
    assert stored.status == 200
    again = SqliteStore(tmp_path / "sip.sqlite3")
    await again.open()
    [script] = (await again.load_all()).scripts
    assert (script.text.decode(), script.enabled, script.modified_by) == (REJECTS, True, f"bob@{DOMAIN}")
    await again.close()


async def test_of_two_uploads_at_once_the_last_200_wins(world, autojump_clock):
    """T53: old or new, never a mix; and the contacts are those of both."""
    answered: list[str] = []

    class Listening(Phone):
        def receive(self, data, flow):
            super().receive(data, flow)
            if data.startswith(b"SIP/2.0 200"):
                answered.append(self.name)

    async def upload(n: int) -> None:
        phone, contact = Listening(world, f"{410 + n}", f"10.0.2.{n + 1}"), ("Contact", f"<sip:bob@10.0.3.{n}>")
        await register(phone, TYPE, STORE, contact, body=cpl(f'<reject status="{phone.name}"/>'))

    async with trio.open_nursery() as nursery:
        for n in range(6):
            nursery.start_soon(upload, n)
    assert len(answered) == 6
    assert await invited(world) == int(answered[-1])
    assert len(world.cache.bindings(f"bob@{DOMAIN}")) == 6
    assert in_store(world).version == 6


@pytest.mark.parametrize("name", ["..%2f..%2ftmp%2fx", "%00", ".", "-rf", "b" * 5000])
async def test_only_users_upload_whatever_their_name_is(world, autojump_clock, name):
    """T51: no name is ever that of a file."""
    phone = world.phone("bob", transport="TCP")
    lines = (TYPE, STORE, ("Authorization", 'Digest username="x"'))
    phone.send(phone.request("REGISTER", f"sip:{DOMAIN}", to=f"sip:{name}@{DOMAIN}", headers=lines, body=b"<cpl/>"))
    await phone.until(lambda: bool(phone.seen))
    assert 400 <= phone.seen[0].message.status < 500
    assert world.cache.script(f"{name}@{DOMAIN}", "cpl") is None


async def test_who_uploads_without_end_has_to_wait_and_nobody_else(world, autojump_clock):
    phone = world.phone("bob", "answers", transport="TCP")
    await register(phone, ("Contact", f"<{phone.uri}>"))
    for count in range(5):
        body = (BROKEN if count % 2 else REJECTS) + " " * 60_000
        answer = await register(phone, TYPE, STORE, body=body)
        assert answer.status == (400 if count % 2 else 200)
    refused = await register(phone, TYPE, STORE, ("Contact", "<sip:bob@192.0.2.99>"), body=RINGS)
    assert (refused.status, refused.first("Retry-After")) == (503, "60")
    assert in_store(world).text.strip() == REJECTS.encode()
    assert [binding.uri for binding in world.cache.bindings(f"bob@{DOMAIN}")] == [phone.uri]
    world.put(PutDelegate(f"bob@{DOMAIN}", f"carol@{DOMAIN}"))
    other = world.phone("carol", transport="TCP")
    assert (await register(other, TYPE, STORE, body=REJECTS, by="carol")).status == 200
    assert (await register(phone, ("Contact", f"<{phone.uri}>"))).status == 200  # phones are registered all the same
    await trio.sleep(60)
    assert (await register(phone, TYPE, STORE, body=RINGS)).status == 200
