"""CPL scripts deciding calls through a whole server on the virtual clock (RFC 3880)."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from sipd.server.explain import MOST_STEPS
from tests.server.phones import DOMAIN, open_world

ALICE, BOB, CAROL = (f"sip:{name}@{DOMAIN}" for name in ("alice", "bob", "carol"))
NS = 'xmlns="urn:ietf:params:xml:ns:cpl"'


def cpl(inside: str, direction: str = "incoming") -> str:
    return f"<cpl {NS}><{direction}>{inside}</{direction}></cpl>"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


BY_CALLER = cpl(f"""
  <address-switch field="origin">
    <address is="{CAROL}"><location url="{{vm}}"><proxy/></location></address>
    <address is="sip:mallory@{DOMAIN}"><reject status="reject" reason="No, thank you"/></address>
  </address-switch>""")


async def test_one_caller_goes_to_voicemail_another_is_rejected_others_ring(world, autojump_clock):
    alice, carol, mallory = world.phone("alice"), world.phone("carol"), world.phone("mallory")
    bob, vm = world.phone("bob", "answers"), world.phone("vm", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    world.script(f"bob@{DOMAIN}", BY_CALLER.replace("{vm}", vm.uri))
    carol.send(carol.request("INVITE", BOB))
    await carol.status(200)
    assert len(vm.requests("INVITE")) == 1
    assert not bob.requests("INVITE")
    mallory.send(mallory.request("INVITE", BOB))
    refused = await mallory.status(603)
    assert refused.reason == "No, thank you"
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert len(bob.requests("INVITE")) == 1


OUTPUTS = cpl("""
  <lookup source="registration"><success>
    <proxy timeout="10">
      <busy><location url="{busy}" clear="yes"><proxy/></location></busy>
      <noanswer><location url="{noanswer}" clear="yes"><proxy/></location></noanswer>
      <failure><location url="{failure}" clear="yes"><proxy/></location></failure>
    </proxy></success>
    <notfound><reject status="notfound"/></notfound>
  </lookup>""")


@pytest.mark.parametrize(
    ("does", "output"),
    [
        ("486", "busy"),
        ("600", "busy"),
        ("rings", "noanswer"),
        ("404", "failure"),
        ("503", "failure"),
        ("603", "failure"),
    ],
)
async def test_each_outcome_of_proxy_takes_its_output(world, autojump_clock, does, output):
    alice, bob = world.phone("alice"), world.phone("bob", does)
    others = {name: world.phone(name, "answers") for name in ("busy", "noanswer", "failure")}
    world.bind(f"bob@{DOMAIN}", bob)
    script = OUTPUTS
    for name, phone in others.items():
        script = script.replace("{" + name + "}", phone.uri)
    world.script(f"bob@{DOMAIN}", script)
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert [name for name, phone in others.items() if phone.requests("INVITE")] == [output]
    waited = trio.current_time() - start
    assert waited == pytest.approx(10 if output == "noanswer" else 0, abs=0.1)
    if does == "rings":
        assert bob.requests("CANCEL"), "the branch whose time was over is cancelled"


async def test_lookup_of_nobody_takes_notfound(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", OUTPUTS.replace("{busy}", BOB).replace("{noanswer}", BOB).replace("{failure}", BOB))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(404)


async def test_redirect_by_script(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", cpl(f'<location url="{CAROL}"><redirect permanent="yes"/></location>'))
    alice.send(alice.request("INVITE", BOB))
    moved = await alice.status(301)
    assert moved.contacts[0].uri.text == CAROL


async def test_redirection_is_followed_with_recurse_and_reported_without(world, autojump_clock):
    alice, new = world.phone("alice"), world.phone("new", "answers")
    moved = world.phone("moved", f"moved:{new.uri}")
    world.bind(f"bob@{DOMAIN}", moved)
    lookup = '<lookup source="registration"><success>{}</success></lookup>'
    world.script(f"bob@{DOMAIN}", cpl(lookup.format("<proxy/>")))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert len(new.requests("INVITE")) == 1
    world.script(
        f"bob@{DOMAIN}", cpl(lookup.format('<proxy recurse="no"><redirection><redirect/></redirection></proxy>'))
    )
    alice.send(alice.request("INVITE", BOB))
    answer = await alice.status(302)
    assert answer.contacts[0].uri.text == new.uri
    assert len(new.requests("INVITE")) == 1


async def test_sequential_rings_one_after_another(world, autojump_clock):
    alice = world.phone("alice")
    first, second = world.phone("first", "486"), world.phone("second", "answers")
    world.script(
        f"bob@{DOMAIN}",
        cpl(
            f'<location url="{second.uri}" priority="0.5"><location url="{first.uri}" priority="0.9">'
            '<proxy ordering="sequential"/></location></location>'
        ),
    )
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert first.time_of("INVITE") <= second.time_of("INVITE")
    assert first.requests("INVITE")


async def test_a_location_in_this_house_runs_its_users_script_too(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", cpl(f'<location url="{CAROL}"><proxy/></location>'))
    world.script(f"carol@{DOMAIN}", cpl('<reject status="busy"/>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)


async def test_two_scripts_that_point_at_each_other_end_the_call(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", cpl(f'<location url="{CAROL}"><proxy/></location>'))
    world.script(f"carol@{DOMAIN}", cpl(f'<location url="{BOB}"><proxy/></location>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(482)


async def test_outgoing_script_decides_before_the_callee_is_sought(world, autojump_clock):
    alice, bob, carol = world.phone("alice"), world.phone("bob", "answers"), world.phone("carol", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    world.bind(f"carol@{DOMAIN}", carol)
    world.script(
        f"alice@{DOMAIN}",
        cpl(
            f'<address-switch field="destination"><address is="{BOB}">'
            '<reject status="reject"/></address></address-switch>',
            "outgoing",
        ),
    )
    alice.send(alice.request("INVITE", BOB))
    await alice.status(603)
    alice.send(alice.request("INVITE", CAROL))
    await alice.status(200)
    assert not bob.requests("INVITE")


async def test_cancel_while_the_script_rings_takes_no_output(world, autojump_clock):
    alice, bob, busy = world.phone("alice"), world.phone("bob"), world.phone("busy", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    world.script(
        f"bob@{DOMAIN}",
        OUTPUTS.replace("{failure}", busy.uri).replace("{busy}", busy.uri).replace("{noanswer}", busy.uri),
    )
    invite = alice.request("INVITE", BOB, branch="z9hG4bKc")
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKc"))
    await alice.status(487)
    await trio.sleep(60)
    assert not busy.requests("INVITE")


async def test_after_the_last_output_the_best_response_goes_up(world, autojump_clock):
    alice = world.phone("alice")
    world.bind(f"bob@{DOMAIN}", world.phone("bob", "486"))
    world.script(f"bob@{DOMAIN}", cpl('<lookup source="registration"><success><proxy/></success></lookup>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)


async def test_late_answer_of_a_detached_phone_reaches_the_caller(world, autojump_clock):
    alice, deaf, vm = world.phone("alice"), world.phone("deaf", "rings deaf"), world.phone("vm", "rings")
    world.bind(f"bob@{DOMAIN}", deaf)
    world.script(
        f"bob@{DOMAIN}", OUTPUTS.replace("{failure}", vm.uri).replace("{busy}", vm.uri).replace("{noanswer}", vm.uri)
    )
    alice.send(alice.request("INVITE", BOB))
    await vm.until(lambda: bool(vm.requests("INVITE")))
    start = trio.current_time()
    deaf.answer()
    ok = await alice.status(200)
    assert ok.to_tag == "tag-deaf"
    await vm.until(lambda: bool(vm.requests("CANCEL")))
    assert trio.current_time() - start < 1


async def test_log_lines_reach_the_owners_log(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", cpl('<log name="calls" comment="somebody rang"><reject status="busy"/></log>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    [line] = await world.store.script_log(f"bob@{DOMAIN}")
    assert (line.name, line.comment) == ("calls", f"somebody rang (incoming, from {ALICE})")


async def test_explain_tells_the_scripts_part(world, autojump_clock):
    alice = world.phone("alice")
    world.script(f"bob@{DOMAIN}", cpl('<reject status="busy"/>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    [told] = world.house.explain.find("last")
    assert told["status"] == 486
    assert any("bob" in str(step) for step in told["trace"])


async def test_what_explain_keeps_of_one_call_has_an_end(world, autojump_clock):
    """A thousand calls of a script of 1,700 nodes would take 250 MB."""
    alice = world.phone("alice")
    doing, done = "<remove-location>" * 50, "</remove-location>" * 50
    subactions = "".join(f'<subaction id="s{n}">{doing}<sub ref="s{n - 1}"/>{done}</subaction>' for n in range(1, 30))
    first = '<subaction id="s0"><reject status="busy"/></subaction>'
    script = f'<cpl>{first}{subactions}<incoming><sub ref="s29"/></incoming></cpl>'
    world.script(f"bob@{DOMAIN}", script)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    [told] = world.house.explain.find("last")
    trace = told["trace"]
    assert len(trace) == MOST_STEPS + 1
    assert "left out" in trace[MOST_STEPS // 2]["chose"]
    assert "reject" in trace[-1]["step"], "how it ended is there"


async def test_explain_says_how_long_the_script_rang(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    ringing = '<proxy timeout="12"><noanswer><reject status="busy"/></noanswer></proxy>'
    world.script(f"bob@{DOMAIN}", cpl(f'<lookup source="registration"><success>{ringing}</success></lookup>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    await trio.testing.wait_all_tasks_blocked()  # bob's phone is still being cancelled
    [told] = world.house.explain.find("last")
    assert [step["chose"] for step in told["trace"] if step["saw"] == "outcome noanswer"] == [
        "noanswer; {}, after 12 s"
    ]
