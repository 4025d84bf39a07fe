"""Each figure of RFC 3880 that is a script, in a running server: the calls its text describes, and what comes of them.

The scripts are in tests/cpl/rfc3880, as the RFC has them. They belong to jones@example.com.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from sipd.net.fetch import NoPage
from tests.server.phones import DOMAIN, WALL, open_world
from tests.server.scripted import contacts, rung
from tests.server.test_lookups import FakeWeb, listing
from tests.server.test_mailing import Post
from tests.server.test_numbers import listed

FIGURES = Path(__file__).parent.parent / "cpl" / "rfc3880"
JONES = f"sip:jones@{DOMAIN}"
VOICEMAIL = "sip:jones@voicemail.example.com"
SPANISH, ENGLISH = "en;q=0.5, es", "en-GB, de"
BUGGY = "Inadequate Software SIP User Agent/0.9beta2"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "jones", "alice", "boss")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def elsewhere(world, host: str, does: str, name: str = ""):
    """A phone at a host that is not ours."""
    made = world.phone(name or host.partition(".")[0], does)
    world.resolver.found[host] = made.hop
    return made


def figure(world, number: int, *, owner: str = "jones") -> None:
    world.script(f"{owner}@{DOMAIN}", (FIGURES / f"fig{number:02}.cpl").read_text("utf-8"))


def registered(world, name: str, does: str, **more):
    made = world.phone(name, does, **more)
    world.bind(f"jones@{DOMAIN}", made)
    return made


def call(world, caller: str = "alice", uri: str = JONES, **more):
    phone = world.phones.get(caller) or world.phone(caller)
    phone.send(phone.request("INVITE", uri, **more))
    return phone


@pytest.mark.parametrize(("does", "seconds"), [("486", 0), ("rings", 10), ("404", 0)])
async def test_figures_1_and_2_a_call_from_inside_rings_and_then_goes_to_voicemail(
    world, autojump_clock, does, seconds
):
    figure(world, 2)
    desk = registered(world, "desk", does)
    alice = call(world)
    moved = await alice.status(302)
    assert contacts(moved) == [(VOICEMAIL, 1)]
    assert rung(desk) == ["desk"]
    assert alice.time_of(302) - desk.time_of("INVITE") == pytest.approx(seconds, abs=0.1)


async def test_figures_1_and_2_a_call_from_inside_that_is_answered(world, autojump_clock):
    figure(world, 2)
    registered(world, "desk", "answers")
    await call(world).status(200)


async def test_figures_1_and_2_a_call_from_outside_goes_to_voicemail_at_once(world, autojump_clock):
    figure(world, 2)
    desk = registered(world, "desk", "answers")
    moved = await call(world, "stranger", from_uri="sip:stranger@elsewhere.example.org").status(302)
    assert contacts(moved) == [(VOICEMAIL, 1)]
    assert rung(desk) == []


async def test_figure_19_redirects_all_calls_to_one_place(world, autojump_clock):
    figure(world, 19)
    for caller, more in (("alice", {}), ("stranger", {"from_uri": "sip:x@elsewhere.example.org"})):
        moved = await call(world, caller, **more).status(302)
        assert contacts(moved) == [("sip:smith@phone.example.com", 1)]


@pytest.mark.parametrize(("does", "seconds"), [("486", 0), ("600", 0), ("rings", 8)])
async def test_figure_20_forwards_when_busy_or_not_answered(world, autojump_clock, does, seconds):
    figure(world, 20)
    pc, voicemail = elsewhere(world, "jonespc.example.com", does), elsewhere(world, "voicemail.example.com", "answers")
    await call(world).status(200)
    assert voicemail.requests("INVITE")[0].request_uri == VOICEMAIL
    assert voicemail.time_of("INVITE") - pc.time_of("INVITE") == pytest.approx(seconds, abs=0.2)
    assert bool(pc.requests("CANCEL")) == (does == "rings")


@pytest.mark.parametrize(("does", "status"), [("answers", 200), ("404", 404), ("603", 603)])
async def test_figure_20_leaves_alone_what_is_neither(world, autojump_clock, does, status):
    figure(world, 20)
    elsewhere(world, "jonespc.example.com", does)
    voicemail = elsewhere(world, "voicemail.example.com", "answers")
    await call(world).status(status)
    assert rung(voicemail) == []


@pytest.mark.parametrize(("does", "seconds"), [("486", 0), ("404", 0), ("503", 0), ("603", 0), ("rings", 20)])
async def test_figure_21_sends_all_failures_to_voicemail(world, autojump_clock, does, seconds):
    """A default output is there, so 20 s without an answer are one of them (§6.1)."""
    figure(world, 21)
    pc, voicemail = elsewhere(world, "jonespc.example.com", does), elsewhere(world, "voicemail.example.com", "answers")
    await call(world).status(200)
    assert rung(voicemail) == ["voicemail"]
    assert voicemail.time_of("INVITE") - pc.time_of("INVITE") == pytest.approx(seconds, abs=0.2)


async def test_figure_21_follows_a_redirection_as_recurse_is_yes_there(world, autojump_clock):
    """Its text wants a new redirection; but recurse is yes by default, and with that the output is never taken."""
    figure(world, 21)
    new = world.phone("new", "answers")
    elsewhere(world, "jonespc.example.com", f"moved:{new.uri}")
    alice = call(world)
    await alice.status(200)
    assert rung(new) == ["new"]
    assert 302 not in alice.statuses()


async def test_figure_21_as_it_was_meant_redirects_when_it_was_redirected(world, autojump_clock):
    text = (FIGURES / "fig21.cpl").read_text("utf-8").replace("<proxy>", '<proxy recurse="no">', 1)
    world.script(f"jones@{DOMAIN}", text)
    elsewhere(world, "jonespc.example.com", "moved:sip:new@there")
    moved = await call(world).status(302)
    assert contacts(moved) == [("sip:new@there", 1)]


async def test_figure_22_refuses_anonymous_callers_and_others_reach_the_user(world, autojump_clock):
    figure(world, 22)
    desk = registered(world, "desk", "answers")
    refused = await call(world, "hidden", from_uri="sip:anonymous@anonymous.invalid").status(603)
    assert refused.reason == "I reject anonymous calls"
    assert rung(desk) == []
    await call(world).status(200)
    assert rung(desk) == ["desk"]


@pytest.mark.parametrize(
    ("priority", "languages", "reached"),
    [
        ("emergency", SPANISH, "desk"),  # `greater="urgent"` is emergency alone, its text says urgent too
        ("urgent", SPANISH, "spanish"),
        (None, SPANISH, "spanish"),
        ("normal", ENGLISH, "english"),
        ("non-urgent", None, "english"),
        (None, "en, es;q=0", "english"),
    ],
)
async def test_figure_23_chooses_an_operator_unless_it_is_an_emergency(
    world, autojump_clock, priority, languages, reached
):
    figure(world, 23)
    desk = registered(world, "desk", "answers")
    operator = elsewhere(world, "operator.example.com", "answers")
    said = (("Priority", priority), ("Accept-Language", languages))
    await call(world, headers=tuple((name, value) for name, value in said if value)).status(200)
    if reached == "desk":
        assert rung(desk, operator) == ["desk"]
    else:
        assert rung(desk, operator) == ["operator"]
        assert operator.requests("INVITE")[0].request_uri == f"sip:{reached}@operator.example.com"


@pytest.mark.parametrize(
    "to", [f"sip:1-900-555-1234@{DOMAIN};user=phone", f"sip:+1.900.555.1234@{DOMAIN};user=phone", "tel:+1-900-555-1234"]
)
async def test_figure_24_refuses_premium_numbers(world, autojump_clock, to):
    figure(world, 24, owner="alice")
    refused = await call(world, uri=to).status(603)
    assert refused.reason == "Not allowed to make 1-900 calls."


async def test_figure_24_lets_other_calls_go(world, autojump_clock):
    figure(world, 24, owner="alice")
    desk = registered(world, "desk", "answers")
    await call(world).status(200)
    gateway = elsewhere(world, "gateway.example.com", "answers")
    alice = world.phones["alice"]
    alice.send(alice.request("INVITE", "sip:+18005551234@gateway.example.com;user=phone"))
    await alice.until(lambda: len(alice.responses(200)) == 2)
    assert rung(desk, gateway) == ["desk", "gateway"]


@pytest.mark.parametrize(
    ("hours", "reached"),  # it is Tuesday, 17:13 in New York, as the world begins; the office is open from 9 to 17
    [(0, "voicemail"), (15.75, "voicemail"), (15.8, "desk"), (23.75, "desk"), (23.8, "voicemail"), (88, "voicemail")],
)
async def test_figure_25_rings_in_office_hours_of_new_york_else_voicemail_answers(
    nursery, autojump_clock, hours, reached
):
    world = await open_world(nursery, "jones", wall=WALL + hours * 3600)
    figure(world, 25)
    desk, voicemail = registered(world, "desk", "answers"), elsewhere(world, "voicemail.example.com", "answers")
    await call(world).status(200)
    assert rung(desk, voicemail) == [reached]


async def test_figure_25_with_nobody_registered_is_as_without_a_script(nursery, autojump_clock):
    world = await open_world(nursery, "jones", wall=WALL + 16 * 3600)
    figure(world, 25)
    await call(world).status(480)


async def test_figure_26_leaves_out_the_phone_that_a_broken_user_agent_can_not_talk_to(world, autojump_clock):
    figure(world, 26)
    desk = registered(world, "desk", "answers")
    mobile = elsewhere(world, "mobile.provider.net", "rings", "me")
    mobile.claims = "mobile.provider.net"
    world.bind(f"jones@{DOMAIN}", mobile)
    alice = call(world, headers=(("User-Agent", BUGGY),))
    await alice.status(200)
    assert rung(desk, mobile) == ["desk"]
    desk.does = "rings"
    call(world, "boss", headers=(("User-Agent", "A Good One/1.0"),))
    await trio.sleep(1)
    assert rung(desk, mobile) == ["desk", "me"]


def with_effects(world, answer, seconds: float = 0.0) -> tuple[FakeWeb, Post]:
    """A web server that says this after some seconds, and a post office."""
    web, post = FakeWeb(answer, seconds), Post()
    world.house.web, world.house.mailer._carry = web, post.carry
    return web, post


async def test_figure_27_rings_where_the_lookup_server_says(nursery, autojump_clock):
    world = await open_world(nursery, "mary", script_hosts="www.example.com", mail_server="mail.example.com")
    figure(world, 27, owner="mary")
    desk = world.phone("desk", "answers")
    web, post = with_effects(world, listing(desk.uri))
    await call(world, uri=f"sip:mary@{DOMAIN}").status(200)
    [(_, asked, _)] = web.asked
    assert asked == "http://www.example.com/cgi-bin/locate.cgi?user=mary"
    assert not post.posts


@pytest.mark.parametrize(
    ("answer", "seconds", "took"), [(NoPage("nobody there"), 0, 0), (listing("sip:x@there"), 60, 8)]
)
async def test_figure_27_mails_when_the_lookup_server_fails_and_the_call_goes_on(
    nursery, autojump_clock, answer, seconds, took
):
    """After the mail there is nothing: the call is as one without a script (§10)."""
    world = await open_world(nursery, "mary", script_hosts="www.example.com", mail_server="mail.example.com")
    figure(world, 27, owner="mary")
    phone = world.phone("phone", "answers")
    world.bind(f"mary@{DOMAIN}", phone)
    _, post = with_effects(world, answer, seconds)
    start = trio.current_time()
    await call(world, uri=f"sip:mary@{DOMAIN}").status(200)
    assert trio.current_time() - start == pytest.approx(took, abs=0.1)
    await trio.sleep(1)
    [mail] = post.posts
    assert mail.recipients == ("mary@example.com",)
    assert b"Subject: Lookup failed\r\n" in mail.data


async def test_figure_27_does_not_mail_when_the_lookup_server_knows_nobody(nursery, autojump_clock):
    world = await open_world(nursery, "mary", script_hosts="www.example.com", mail_server="mail.example.com")
    figure(world, 27, owner="mary")
    _, post = with_effects(world, listing())
    await call(world, uri=f"sip:mary@{DOMAIN}").status(480)
    assert not post.posts


async def test_figure_27_is_refused_where_its_host_is_not_permitted(world, autojump_clock):
    refused = await upload(world, 27)
    assert b"CPL-SOURCE, RFC 3880 \xc2\xa75.2" in refused.body


async def upload(world, number: int):
    """What jones hears who uploads that figure."""
    phone = world.phone("jones", host="127.0.0.2")
    script = (FIGURES / f"fig{number}.cpl").read_bytes()
    headers = (
        ("Content-Type", "application/cpl+xml"),
        ("Content-Disposition", "script;action=store"),
        ("Accept", "text/plain"),
    )
    phone.send(phone.request("REGISTER", f"sip:{DOMAIN}", to=JONES, headers=headers, body=script))
    return await phone.status(400)


@pytest.mark.parametrize("number", [28, 29])
async def test_figures_28_and_29_are_refused_for_their_extensions(world, autojump_clock, number):
    """§11: an unknown namespace makes the upload fail; what was stored stays."""
    figure(world, 22)
    refused = await upload(world, number)
    assert b"CPL-NAMESPACE, RFC 3880 \xc2\xa711" in refused.body
    await call(world, "hidden", from_uri="sip:anonymous@anonymous.invalid").status(603)
    assert not world.cache.bindings(f"jones@{DOMAIN}")


async def test_figure_30_an_answer_at_the_desk(world, autojump_clock):
    figure(world, 30)
    elsewhere(world, "phone.example.com", "answers")
    await call(world).status(200)


async def test_figure_30_sends_a_busy_call_and_others_than_the_boss_s_to_voicemail(world, autojump_clock):
    figure(world, 30)
    desk = elsewhere(world, "phone.example.com", "486")
    moved = await call(world, "boss").status(302)
    assert contacts(moved) == [(VOICEMAIL, 1)]
    desk.does = "rings"
    alice = call(world)
    moved = await alice.status(302)
    assert contacts(moved) == [(VOICEMAIL, 1)]
    assert alice.time_of(302) - alice.time_of(180) == pytest.approx(8, abs=0.2)


async def test_figure_30_sends_the_boss_to_the_mobile_phone(world, autojump_clock):
    figure(world, 30)
    desk = elsewhere(world, "phone.example.com", "rings")
    mobile = elsewhere(world, "mobile.example.com", "answers")
    world.settings(enum="e164.test")
    listed(world, "sip:+19175551212@mobile.example.com")
    await call(world, "boss").status(200)
    assert mobile.time_of("INVITE") - desk.time_of("INVITE") == pytest.approx(8, abs=0.5)
    assert desk.requests("CANCEL")


async def test_figure_30_says_nothing_of_failures(world, autojump_clock):
    figure(world, 30)
    elsewhere(world, "phone.example.com", "500")
    await call(world).status(500)
