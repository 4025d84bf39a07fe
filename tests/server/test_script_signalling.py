"""Proxy, redirect and what follows a script, sentence by sentence, in a running server (RFC 3880 §5, §6, §10)."""

from __future__ import annotations

import pytest
import trio

from tests.server.phones import DOMAIN, Phone, open_world
from tests.server.scripted import BOB, CAROL, LOOKUP, call, contacts, cpl, rung, to


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", "dave")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


# --- in which order (§6.1) -------------------------------------------------------------------


async def test_parallel_rings_all_at_once_whatever_their_priority(world, autojump_clock):
    phones = [world.phone(name) for name in ("one", "two", "three")]
    call(world, to(*phones, then='<proxy timeout="30"/>', one=0.1, two=1.0, three=0.5))
    await trio.sleep(0.5)
    assert rung(*phones) == ["one", "two", "three"]


async def test_sequential_goes_by_priority_until_one_succeeds(world, autojump_clock):
    low, high = world.phone("low", "answers"), world.phone("high", "404")
    mid, last = world.phone("mid", "486"), world.phone("last", "answers")
    alice = call(
        world, to(last, low, high, mid, then='<proxy ordering="sequential"/>', last=0.1, low=0.3, high=0.9, mid=0.6)
    )
    await alice.status(200)
    assert rung(low, high, mid, last) == ["low", "high", "mid"]
    assert high.time_of("INVITE") <= mid.time_of("INVITE") <= low.time_of("INVITE")


async def test_sequential_that_is_exhausted_takes_the_output_of_the_best_response(world, autojump_clock):
    gone, busy, vm = world.phone("gone", "480"), world.phone("busy", "486"), world.phone("vm", "answers")
    then = f'<proxy ordering="sequential"><busy><location url="{vm.uri}"><proxy/></location></busy></proxy>'
    alice = call(world, to(gone, busy, then=then, gone=0.1, busy=0.9))
    await alice.status(200)  # 480 and 486 are of one class: the first to come is the best, and it was busy
    assert rung(gone, busy, vm) == ["gone", "busy", "vm"]


async def test_the_timeout_is_for_the_whole_attempt_also_one_after_another(world, autojump_clock):
    first, second, vm = world.phone("first", "rings"), world.phone("second"), world.phone("vm", "answers")
    then = (
        '<proxy ordering="sequential" timeout="7"><noanswer>'
        f'<location url="{vm.uri}"><proxy/></location></noanswer></proxy>'
    )
    alice = call(world, to(first, second, then=then, first=0.9, second=0.5))
    await alice.status(200)
    assert vm.time_of("INVITE") - first.time_of("INVITE") == pytest.approx(7, abs=0.1)
    assert rung(second) == []


async def test_first_only_tries_the_best_and_leaves_the_others_in_the_set(world, autojump_clock):
    best, second, third = world.phone("best", "486"), world.phone("second", "404"), world.phone("third", "answers")
    once = '<proxy ordering="first-only"><default>{}</default></proxy>'
    alice = call(
        world, to(third, best, second, then=once.format(once.format("<proxy/>")), best=0.9, second=0.8, third=0.1)
    )
    await alice.status(200)
    assert best.time_of("INVITE") <= second.time_of("INVITE") <= third.time_of("INVITE")
    assert [len(phone.requests("INVITE")) for phone in (best, second, third)] == [1, 1, 1]


@pytest.mark.parametrize("ordering", ["sequential", "first-only"])
async def test_q_of_registrations_is_honoured(world, autojump_clock, ordering):
    desk, mobile = world.phone("desk", "486"), world.phone("mobile", "486")
    world.bind(f"bob@{DOMAIN}", mobile, q=300)
    world.bind(f"bob@{DOMAIN}", desk, q=900)
    alice = call(world, LOOKUP.format(f'<proxy ordering="{ordering}"/>'))
    await alice.status(486)
    if ordering == "sequential":
        assert desk.time_of("INVITE") <= mobile.time_of("INVITE")
    else:
        assert rung(desk, mobile) == ["desk"]


# --- how long (§6.1, §10) --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "seconds"),
    [
        ("<noanswer>{}</noanswer>", 20),
        ("<default>{}</default>", 20),
        ("<noanswer/>", 20),
        ("<busy>{}</busy><failure>{}</failure>", 185),
        ("", 185),
    ],
)
async def test_without_a_timeout_20_s_where_somebody_waits_for_it_else_as_long_as_policy_allows(
    world, autojump_clock, output, seconds
):
    bob = world.phone("bob", "rings")
    vm = '<reject status="error"/>'
    alice = call(world, to(bob, then=f"<proxy>{output.replace('{}', vm)}</proxy>"))
    await bob.until(lambda: bool(bob.requests("CANCEL")))
    assert bob.time_of("CANCEL") - bob.time_of("INVITE") == pytest.approx(seconds, abs=0.1)
    status = 500 if seconds == 20 and "{}" in output else 408 if seconds == 20 else 487
    await alice.status(status)  # never by the failure output: that it was not answered is no failure


async def test_a_timeout_beyond_every_limit_is_cut(world, autojump_clock):
    bob = world.phone("bob", "rings")
    call(world, to(bob, then='<proxy timeout="1000000000"><noanswer><reject status="busy"/></noanswer></proxy>'))
    await bob.until(lambda: bool(bob.requests("CANCEL")))
    assert bob.time_of("CANCEL") - bob.time_of("INVITE") <= 181


async def test_where_nobody_waits_the_caller_says_how_long(world, autojump_clock):
    bob = world.phone("bob", "rings")
    alice = call(world, to(bob, then="<proxy/>"), headers=(("Expires", "12"),))
    await alice.status(408)
    assert bob.time_of("CANCEL") - bob.time_of("INVITE") == pytest.approx(12, abs=0.1)


async def test_the_scripts_timeout_goes_before_the_callers(world, autojump_clock):
    bob = world.phone("bob", "rings")
    alice = call(
        world, to(bob, then='<proxy><noanswer><reject status="busy"/></noanswer></proxy>'), headers=(("Expires", "12"),)
    )
    await alice.status(486)
    assert bob.time_of("CANCEL") - bob.time_of("INVITE") == pytest.approx(20, abs=0.1)


# --- which output (§6.1, §6.1.1) -------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "status"),
    [("486", 486), ("404", 404), ("503", 500), ("603", 603), ("600", 600), ("moved:sip:x@there", 302)],
)
async def test_default_is_taken_where_the_output_is_missing_else_the_best_response_goes_up(
    world, autojump_clock, does, status
):
    bob, other = world.phone("bob", does), world.phone("other", "answers")
    proxy = '<proxy recurse="no">{}</proxy>'
    alice = call(world, to(bob, then=proxy.format(f"<default>{to(other, then='<proxy/>')}</default>")))
    await alice.status(200)
    alice = call(world, to(bob, then=proxy.format("")), caller="carol")
    await alice.status(status)


async def test_an_output_that_is_there_and_empty_is_taken(world, autojump_clock):
    bob, other = world.phone("bob", "486"), world.phone("other", "answers")
    alice = call(world, to(bob, then=f"<proxy><busy/><default>{to(other, then='<proxy/>')}</default></proxy>"))
    await alice.status(486)
    assert rung(other) == []


@pytest.mark.parametrize(
    "then",
    [
        "{}",
        '<location url="http://example.com/bob">{}</location>',
        '<location url="mailto:bob@example.com">{}</location>',
    ],
)
async def test_nobody_to_ring_is_failure(world, autojump_clock, then):
    vm = world.phone("vm", "answers")
    alice = call(world, then.format(f"<proxy><failure>{to(vm, then='<proxy/>')}</failure></proxy>"))
    await alice.status(200)
    assert rung(vm) == ["vm"]


async def test_nobody_to_ring_and_no_output_for_it(world, autojump_clock):
    alice = call(world, "<proxy/>")
    await alice.status(480)


async def test_a_number_that_leads_nowhere_is_failure(world, autojump_clock):
    vm = world.phone("vm", "answers")
    number = '<location url="tel:+19175551212"><proxy><failure>{}</failure></proxy></location>'
    alice = call(world, number.format(to(vm, then="<proxy/>")))
    await alice.status(200)
    alice = call(world, number.format(""), caller="carol")
    await alice.status(404)


# --- redirections (§6.1) ---------------------------------------------------------------------


async def test_with_recurse_the_redirection_output_is_never_taken(world, autojump_clock):
    moved, other = world.phone("moved", f"moved:{CAROL};x=y"), world.phone("other", "answers")
    world.script(f"carol@{DOMAIN}", cpl("<redirect/>"))  # to nowhere: 404
    outputs = f'<redirection><reject status="error"/></redirection><failure>{to(other, then="<proxy/>")}</failure>'
    alice = call(world, to(moved, then=f"<proxy>{outputs}</proxy>"))
    await alice.status(200)


async def test_a_redirection_to_nowhere_new_is_failure_with_recurse(world, autojump_clock):
    moved, other = world.phone("moved"), world.phone("other", "answers")
    moved.does = f"moved:{moved.uri}"  # to itself
    outputs = f'<redirection><reject status="error"/></redirection><failure>{to(other, then="<proxy/>")}</failure>'
    alice = call(world, to(moved, then=f"<proxy>{outputs}</proxy>"))
    await alice.status(200)
    assert len(moved.requests("INVITE")) == 1


async def test_parallel_tries_the_addresses_of_a_redirection_all_at_once_too(world, autojump_clock):
    first, second = world.phone("first"), world.phone("second")
    moved = world.phone("moved", f"moved:{first.uri}>;q=0.1,<{second.uri}")
    call(world, to(moved, then='<proxy timeout="30"/>'))
    await trio.sleep(1)
    assert rung(first, second) == ["first", "second"]


async def test_a_redirection_adds_all_its_addresses_to_what_is_left(world, autojump_clock):
    moved = world.phone("moved", "moved:tel:+19175551212>;q=0.5,<http://example.com/bob>;q=0.2,<sip:new@there")
    proxy = '<proxy recurse="no"><redirection><redirect/></redirection></proxy>'
    old = f'<location url="http://example.com/old" priority="0.3">{proxy}</location>'
    alice = call(world, to(moved, then=old))
    answer = await alice.status(302)
    assert [contact.uri.text for contact in answer.contacts] == [
        "sip:new@there", "tel:+19175551212", "http://example.com/old", "http://example.com/bob",
    ]  # fmt: skip


async def test_after_a_proxy_only_what_it_could_not_use_is_left(world, autojump_clock):
    bob = world.phone("bob", "486")
    then = '<location url="http://example.com/bob"><proxy><busy><redirect permanent="yes"/></busy></proxy></location>'
    alice = call(world, to(bob, then=then))
    moved = await alice.status(301)
    assert [contact.uri.text for contact in moved.contacts] == ["http://example.com/bob"]


@pytest.mark.parametrize("registered", [True, False])
async def test_a_stranger_s_phone_does_not_lead_another_stranger_out_of_the_house(world, autojump_clock, registered):
    """T63, T88: what a user's own phone says he answers for, not what a place elsewhere says."""
    far = world.phone("far", "answers")
    moved = world.phone("moved", f"moved:{far.uri}")
    if registered:
        world.bind(f"bob@{DOMAIN}", moved)
    then = '<proxy recurse="no"><redirection><proxy/></redirection></proxy>'
    mallory = world.phone("mallory")
    call(
        world, LOOKUP.format(then) if registered else to(moved, then=then), caller="mallory",
        from_uri="sip:mallory@elsewhere.example",
    )  # fmt: skip
    await mallory.status(200 if registered else 302)
    assert rung(far) == (["far"] if registered else [])


# --- what comes after the script (§10) -------------------------------------------------------


async def test_nothing_done_is_as_without_a_script(world, autojump_clock):
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    nobody = '<address is="sip:nobody@there"><reject status="busy"/></address>'
    switch = f'<address-switch field="origin">{nobody}</address-switch>'
    alice = call(world, switch)
    await alice.status(200)
    carol = call(world, switch, uri=CAROL, caller="carol")
    await carol.status(480)


async def test_nothing_done_by_an_outgoing_script_calls_the_destination(world, autojump_clock):
    bob, far = world.phone("bob", "answers"), world.phone("far", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice = world.phone("alice")
    world.script(f"alice@{DOMAIN}", cpl('<log comment="out"/>', "outgoing"))
    for uri in (BOB, far.uri):
        alice.send(alice.request("INVITE", uri))
    await alice.until(lambda: len(alice.responses(200)) == 2)
    assert rung(bob, far) == ["bob", "far"]


async def test_nothing_done_by_an_outgoing_script_of_a_number_is_as_without_it(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"alice@{DOMAIN}", cpl('<log comment="out"/>', "outgoing"))
    alice.send(alice.request("INVITE", "tel:+19175551212"))
    await alice.status(404)


async def test_changed_locations_are_rung_by_the_server_s_policy(world, autojump_clock):
    first, second = world.phone("first", "486"), world.phone("second", "answers")
    alice = call(world, to(second, first, then="", first=0.9, second=0.2))
    await alice.status(200)
    assert first.time_of("INVITE") <= second.time_of("INVITE")


async def test_changed_locations_are_redirected_to_where_that_is_the_server_s_policy(world, autojump_clock):
    first, second = world.phone("first"), world.phone("second")
    world.settings(mode="redirect")
    alice = call(world, to(second, first, then="", first=0.9, second=0.2))
    moved = await alice.status(302)
    assert [contact.uri.text for contact in moved.contacts] == [first.uri, second.uri]
    assert rung(first, second) == []


async def test_changed_locations_are_redirected_to_when_the_caller_asks_for_it(world, autojump_clock):
    alice = call(world, to(world.phone("first"), then=""), headers=(("Request-Disposition", "redirect"),))
    await alice.status(302)


async def test_changed_locations_of_which_none_can_be_rung_are_told_the_caller(world, autojump_clock):
    alice = call(world, '<location url="http://example.com/bob"/>')
    moved = await alice.status(302)
    assert moved.contacts[0].uri.text == "http://example.com/bob"


async def test_changed_locations_are_rung_without_those_that_can_not_be(world, autojump_clock):
    first = world.phone("first", "486")
    alice = call(world, to(first, then='<location url="http://example.com/bob"/>'))
    await alice.status(486)
    assert rung(first) == ["first"]


async def test_changed_locations_are_followed_where_the_server_follows(world, autojump_clock):
    new = world.phone("new", "answers")
    moved = world.phone("moved", f"moved:{new.uri}")
    alice = call(world, to(moved, then=""))
    await alice.status(302)
    world.settings(recurse=True)
    carol = call(world, to(moved, then=""), caller="carol")
    await carol.status(200)


async def test_locations_all_taken_away_are_not_found(world, autojump_clock):
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice = call(world, to(bob, then="<remove-location/>"))
    await alice.status(404)
    assert rung(bob) == []


async def test_of_several_proxies_the_best_response_of_all_goes_up(world, autojump_clock):
    first, second, third = world.phone("first", "486"), world.phone("second", "rings"), world.phone("third", "500")
    last = to(third, then="<proxy/>")
    middle = to(second, then=f'<proxy timeout="5"><default>{last}</default></proxy>')
    alice = call(world, to(first, then=f"<proxy><busy>{middle}</busy></proxy>"))
    await alice.status(486)
    assert second.requests("CANCEL")
    assert alice.statuses().count(486) == 1


async def test_6xx_ends_a_proxy_and_not_the_script_and_is_the_best_in_the_end(world, autojump_clock):
    decline, other = world.phone("decline", "603"), world.phone("other", "rings")
    after = world.phone("after", "486")
    then = f'<proxy timeout="30"><failure>{to(after, then="<proxy/>")}</failure></proxy>'
    alice = call(world, to(decline, other, then=then))
    await alice.status(603)
    assert rung(after) == ["after"]
    assert other.requests("CANCEL")


async def test_the_challenges_of_several_proxies_go_up_together(world, autojump_clock):
    class Locked(Phone):
        def act(self, word):
            assert self._invite is not None
            self.reply(*self._invite, 407, (("Proxy-Authenticate", f'Digest realm="{self.name}", nonce="n"'),))

    first, second = Locked(world, "first", "10.0.2.1", "407"), Locked(world, "second", "10.0.2.2", "407")
    alice = call(world, to(first, then=f"<proxy><failure>{to(second, then='<proxy/>')}</failure></proxy>"))
    answer = await alice.status(407)
    assert [value.split('"')[1] for value in answer.values("Proxy-Authenticate")] == ["first", "second"]


# --- redirect and reject (§6.2, §6.3) --------------------------------------------------------


@pytest.mark.parametrize(("permanent", "status"), [("", 302), (' permanent="no"', 302), (' permanent="yes"', 301)])
async def test_redirect_names_the_set_the_best_first(world, autojump_clock, permanent, status):
    locations = '<location url="sip:b@there" priority="0.25"><location url="sip:a@there">{}</location></location>'
    alice = call(world, locations.format(f"<redirect{permanent}/>"))
    moved = await alice.status(status)
    assert contacts(moved) == [("sip:a@there", 1), ("sip:b@there", 0.25)]


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("busy", 486),
        ("notfound", 404),
        ("reject", 603),
        ("error", 500),
        ("403", 403),
        ("503", 503),
        ("606", 606),
        ("499", 499),
    ],
)
@pytest.mark.parametrize("reason", ["", "Gone fishing: è"])
async def test_reject_by_name_and_by_number(world, autojump_clock, status, sent, reason):
    alice = call(world, f'<reject status="{status}" reason="{reason}"/>' if reason else f'<reject status="{status}"/>')
    answer = await alice.status(sent)
    assert answer.reason == reason or not reason
    assert alice.statuses() == [100, sent] or alice.statuses() == [sent]


async def test_reject_ends_a_script_that_has_rung_somebody(world, autojump_clock):
    bob = world.phone("bob", "rings")
    alice = call(world, to(bob, then='<proxy timeout="3"><noanswer><reject status="403"/></noanswer></proxy>'))
    await alice.status(403)
    assert bob.requests("CANCEL")
    await trio.sleep(60)
    assert set(alice.statuses()) == {100, 180, 403}


# --- locations (§5) --------------------------------------------------------------------------


async def test_lookup_adds_to_the_set_or_clears_it_first(world, autojump_clock):
    bob, other = world.phone("bob", "rings"), world.phone("other", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    lookup = '<lookup source="registration"{}><success><proxy timeout="5"/></success></lookup>'
    call(world, to(other, then=lookup.format("")))
    await trio.sleep(1)
    assert rung(bob, other) == ["bob", "other"]
    call(world, to(other, then=lookup.format(' clear="yes"')), caller="carol")
    await trio.sleep(1)
    assert [len(phone.requests("INVITE")) for phone in (bob, other)] == [2, 1]


async def test_lookup_whose_output_is_missing_is_the_default(world, autojump_clock):
    bob = world.phone("bob", "answers")
    alice = call(world, LOOKUP.format('<reject status="error"/>'))
    await alice.status(480)  # nobody registered, nothing done: as without a script
    world.bind(f"bob@{DOMAIN}", bob)
    carol = call(world, '<lookup source="registration"><notfound/></lookup>', caller="carol")
    await carol.status(200)


async def test_remove_location_matches_as_a_contact_does(world, autojump_clock):
    bob, mobile = world.phone("bob", "answers"), world.phone("mobile", "answers", params=";x=1")
    world.bind(f"bob@{DOMAIN}", bob)
    world.bind(f"bob@{DOMAIN}", mobile)
    same = f"SIP:mobile@{mobile.hop.host}:5060;X=1"
    alice = call(world, LOOKUP.format(f'<remove-location location="{same}"><proxy/></remove-location>'))
    await alice.status(200)
    assert rung(bob, mobile) == ["bob"]


async def test_lookup_asks_what_the_caller_wants(world, autojump_clock):
    """A script that looks up and rings is as good a call as one without a script (RFC 3841 §7.2)."""
    desk, mobile = world.phone("desk", "answers"), world.phone("mobile", "answers")
    world.bind(f"bob@{DOMAIN}", desk, params=';mobility="fixed"')
    world.bind(f"bob@{DOMAIN}", mobile, params=';mobility="mobile"')
    script = LOOKUP.format("<proxy/>").replace("</success>", '</success><notfound><reject status="403"/></notfound>')
    alice = call(world, script, headers=(("Reject-Contact", '*;mobility="mobile"'),))
    await alice.status(200)
    assert rung(desk, mobile) == ["desk"]
    carol = call(world, script, caller="carol", headers=(("Reject-Contact", '*;mobility="mobile,fixed"'),))
    await carol.status(403)
    dave = call(world, script, caller="dave", headers=(("Reject-Contact", "nonsense"),))
    await dave.status(200)


async def test_an_outgoing_script_starts_with_the_destination(world, autojump_clock):
    bob, far = world.phone("bob", "rings"), world.phone("far", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    alice = world.phone("alice")
    world.script(f"alice@{DOMAIN}", cpl(to(far, then='<proxy timeout="5"/>'), "outgoing"))
    alice.send(alice.request("INVITE", BOB))
    await trio.sleep(1)
    assert rung(bob, far) == ["bob", "far"]


async def test_an_incoming_script_starts_with_nobody(world, autojump_clock):
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice = call(world, '<proxy><failure><reject status="403"/></failure></proxy>')
    await alice.status(403)
    assert rung(bob) == []
