"""What is remembered of users' scripts: each run with the way it took, its owner's only, and never too much."""

from __future__ import annotations

import gc
import json

import pytest
import trio

from sipd.control.rpc import reply_to
from sipd.rows import DropUser, PutScript
from sipd.server import runs as module
from sipd.server.runs import RUN, STEP, Run, Runs, plain
from sipd.trace import Step
from tests.cpl.calls import facts
from tests.server.phones import DOMAIN, WALL, open_world
from tests.server.test_scripts import ALICE, BOB, CAROL, cpl

AOR = f"bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", "dave")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


async def told(world, user=AOR, count=1):
    """The last runs, as the control socket gives them."""
    line = json.dumps({"verb": "script_runs", "user": user, "count": count}).encode()
    answer = json.loads(await reply_to(world.house, line))
    assert "error" not in answer, answer
    return answer["result"]


def in_short(run):
    """Each step: when, where, what it saw."""
    return [(round(step["after"], 1), step["place"].rpartition("/")[2], step["saw"]) for step in run["steps"]]


async def answered(alice, times):
    """Wait until that many calls of hers were answered 486."""
    await alice.until(lambda: len(alice.responses(486)) >= times)


SEQUENTIAL = cpl("""
  <lookup source="registration"><success>
    <proxy timeout="10" ordering="sequential">
      <noanswer><location url="{vm}" clear="yes"><proxy/></location></noanswer>
    </proxy></success></lookup>""")


async def test_a_run_is_told_node_by_node_with_what_came_of_it(world, autojump_clock):
    alice, bob, vm = world.phone("alice"), world.phone("bob"), world.phone("vm", "486")
    world.bind(AOR, bob)
    world.script(AOR, SEQUENTIAL.replace("{vm}", vm.uri))
    alice.send(alice.request("INVITE", BOB, call_id="c1", headers=(("Subject", "lunch"),)))
    await alice.status(486)
    [run] = await told(world)
    assert {key: run[key] for key in run if key not in ("steps", "lasted", "at")} == {
        "call_id": "c1",
        "user": AOR,
        "direction": "incoming",
        "version": 1,
        "caller": ALICE,
        "called": BOB,
        "status": 486,
    }
    assert run["lasted"] == pytest.approx(10.0, abs=0.2)
    assert run["at"] == pytest.approx(WALL, abs=1)
    assert in_short(run) == [
        (0.0, "lookup[1] line 2", "lookup registration: success"),
        (0.0, "proxy[1] line 3", f"{{{bob.uri}}}"),
        (10.0, "", AOR),
        (10.0, "proxy[1] line 3", "outcome noanswer"),
        (10.0, "location[1] line 4", f"location {vm.uri}"),
        (10.0, "proxy[1] line 4", f"{{{vm.uri}}}"),
        (10.0, "", AOR),
        (10.0, "proxy[1] line 4", "outcome busy"),
        (10.0, "", "end of the script"),
    ]
    said = [step["chose"] for step in run["steps"] if step["step"] == "script"]
    assert said == ["no answer in time", "486 Busy Here"]
    assert run["steps"][3]["output"] == "/cpl/incoming/lookup[1]/success[1]/proxy[1]/noanswer[1]"


async def test_the_calls_own_steps_stand_between_in_the_order_they_were_taken(world, autojump_clock):
    alice, bob, vm = world.phone("alice"), world.phone("bob"), world.phone("vm", "486")
    world.bind(AOR, bob)
    world.script(AOR, SEQUENTIAL.replace("{vm}", vm.uri))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    await trio.sleep(40)
    [call] = world.house.explain.find("last")
    steps = [(step["step"].partition(" ")[0], step["chose"].partition(";")[0]) for step in call["trace"]]
    begin = steps.index(("consult", "incoming"))
    assert steps[begin:] == [
        ("consult", "incoming"),
        ("cpl", "success"),
        ("cpl", "proxy, sequential"),
        ("script", "no answer in time"),
        ("cpl", "noanswer"),
        ("cpl", f"{{{vm.uri}}}"),
        ("cpl", "proxy, parallel"),
        ("branch", "487"),
        ("branch", "486"),
        ("script", "486 Busy Here"),
        ("cpl", "no output: default behaviour"),
        ("cpl", "default behaviour: best response so far"),
    ]


async def test_two_scripts_in_one_call_are_each_told_to_their_owner_only(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob", "rings answers")
    world.bind(AOR, bob)
    world.script(f"alice@{DOMAIN}", cpl("<proxy/>", "outgoing"))
    world.script(AOR, cpl('<string-switch field="subject"><otherwise/></string-switch>'))
    alice.send(alice.request("INVITE", BOB, headers=(("Subject", "secret of the call"),)))
    await alice.status(200)
    [mine], [his] = await told(world, f"alice@{DOMAIN}", 9), await told(world, AOR, 9)
    assert (mine["direction"], his["direction"]) == ("outgoing", "incoming")
    assert (mine["status"], his["status"]) == (200, 200)
    assert "/cpl/incoming" not in json.dumps(mine)
    assert "secret" not in json.dumps(mine)
    assert "/cpl/outgoing" not in json.dumps(his)
    assert await told(world, f"carol@{DOMAIN}", 9) == []


async def test_two_scripts_that_run_at_once_do_not_mix(world, autojump_clock):
    """Alice's group rings bob and carol, who have scripts that wait for different times."""
    alice, bob, carol = world.phone("alice"), world.phone("bob"), world.phone("carol")
    group = f"dave@{DOMAIN}"
    world.bind(AOR, bob)
    world.bind(f"carol@{DOMAIN}", carol)
    both = f'<location url="{BOB}"><location url="{CAROL}">{{}}</location></location>'
    world.script(group, cpl(both.format('<proxy timeout="60"><noanswer/></proxy>')))
    for user, after in (("bob", 5.0), ("carol", 7.0)):
        world.script(
            f"{user}@{DOMAIN}",
            cpl(
                f'<lookup source="registration"><success><proxy timeout="{after:g}"><noanswer>'
                f'<reject status="busy" reason="{user}"/></noanswer></proxy></success></lookup>'
            ),
        )
    alice.send(alice.request("INVITE", f"sip:{group}"))
    await alice.status(486)
    for user, after in (("bob", 5.0), ("carol", 7.0)):
        [run] = await told(world, f"{user}@{DOMAIN}")
        assert run["status"] == 486
        assert in_short(run)[-1] == (after, "reject[1] line 1", "reject")
        assert run["steps"][-1]["chose"] == f"486 {user}"
        assert len(run["steps"]) == 5
    await trio.sleep(40)
    [call] = world.house.explain.find("last")
    whose = [step["saw"] for step in call["trace"] if step["step"] == "script"]
    assert whose == [AOR, f"carol@{DOMAIN}", group], "each stretch says whose script it is"


async def test_a_call_under_way_and_one_that_was_given_up(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(AOR, bob)
    world.script(AOR, cpl('<lookup source="registration"><success><proxy/></success></lookup>'))
    invite = alice.request("INVITE", BOB, branch="z9hG4bKup")
    alice.send(invite)
    await alice.status(180)
    [run] = await told(world)
    assert (run["status"], run["lasted"], len(run["steps"])) == (0, None, 2)
    await trio.sleep(3)
    alice.send(alice.request("CANCEL", BOB, branch="z9hG4bKup", call_id=invite.call_id, cseq=1))
    await alice.status(487)
    [run] = await told(world)
    assert run["status"] == 487
    assert run["steps"][-1]["step"] == "cancel"
    assert run["lasted"] == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ('<reject status="reject"/>', 603),
        ('<location url="sip:a@h.example"><redirect/></location>', 302),
        ('<string-switch field="subject"/>', 480),
        ("<proxy/>", 480),
    ],
)
async def test_the_end_is_what_the_caller_was_told(world, autojump_clock, script, status):
    alice = world.phone("alice")
    world.script(AOR, cpl(script))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(status)
    [run] = await told(world)
    assert run["status"] == status
    assert run["lasted"] is not None


async def test_the_version_is_that_which_ran(world, autojump_clock):
    alice = world.phone("alice")
    for number, status in enumerate((486, 404, 603), 1):
        world.script(AOR, cpl(f'<reject status="{status}"/>'))
        alice.send(alice.request("INVITE", BOB))
        await alice.status(status)
        assert [(run["version"], run["status"]) for run in await told(world)] == [(number, status)]
    assert [run["version"] for run in await told(world, count=2)] == [2, 3], "oldest first"


async def test_what_a_call_says_can_do_no_harm_in_a_trace(world, autojump_clock):
    alice = world.phone("alice", host="10.0.1.9")
    world.script(
        AOR,
        cpl(
            '<string-switch field="subject"><string is="x"/><otherwise>'
            '<address-switch field="origin" subfield="password"><address is="guess"/><otherwise>'
            '<address-switch field="origin"><address is="sip:x@y"/><otherwise>'
            '<language-switch><language matches="xx"/><otherwise><reject status="busy"/></otherwise></language-switch>'
            "</otherwise></address-switch></otherwise></address-switch></otherwise></string-switch>"
        ),
    )
    hostile = (
        ("Subject", "\x9b2J\u202e" + "A" * 5000),
        ("Accept-Language", ", ".join(f"a-{n:03}" for n in range(999))),
    )
    invite = alice.request(
        "INVITE", BOB, headers=hostile, from_uri=f"sip:alice:hidden-word@{DOMAIN}", call_id="C" * 120
    )
    alice.send(invite)
    await alice.status(486)
    [run] = await told(world)
    text = json.dumps(run, ensure_ascii=False)
    assert not [letter for letter in text if not letter.isprintable()]
    assert "\\u{9b}2j\\u{202e}aaa" in run["steps"][0]["saw"]
    assert "hidden-word" not in text
    assert run["steps"][1]["saw"] == "origin password is “(not shown)”"
    assert run["steps"][2]["saw"] == f"origin is “sip:alice:(not shown)@{DOMAIN}”"
    assert len(text) < 5000


async def test_a_phones_answer_is_kept_short(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(AOR, bob)
    world.script(AOR, cpl('<lookup source="registration"><success><proxy/></success></lookup>'))
    alice.send(alice.request("INVITE", BOB))
    await bob.until(lambda: bool(bob.requests("INVITE")))
    request, flow = bob._invite
    bob.reply(request, flow, 486)
    await alice.status(486)
    [run] = await told(world)
    assert all(len(step["chose"]) < 300 for step in run["steps"])


async def test_as_many_runs_are_kept_as_the_setting_says(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", script_traces=3)
    alice = world.phone("alice")
    world.script(AOR, cpl('<reject status="busy"/>'))
    for number in range(5):
        alice.send(alice.request("INVITE", BOB, call_id=f"c{number}"))
        await answered(alice, number + 1)
    assert [run["call_id"] for run in await told(world, count=100)] == ["c2", "c3", "c4"]
    assert world.house.gauges["script_runs"].size() == 3


async def test_none_is_kept_where_the_setting_says_so(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", script_traces=0)
    alice = world.phone("alice")
    world.script(AOR, cpl('<reject status="busy"/>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    assert await told(world, count=5) == []
    await trio.sleep(40)
    assert "cpl" in json.dumps(world.house.explain.find("last")), "explain has it all the same"


async def test_a_user_who_is_gone_is_forgotten(world, autojump_clock):
    alice = world.phone("alice")
    world.script(AOR, cpl('<reject status="busy"/>'))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    world.put(DropUser(AOR))
    assert await told(world) == []
    assert len(world.house.runs) == 0


@pytest.mark.parametrize(
    "line", [{}, {"user": AOR}, {"user": AOR, "count": "many"}, {"count": 1}, {"user": [], "count": None}]
)
async def test_a_question_that_makes_no_sense_is_an_error(world, line):
    assert "error" in json.loads(await reply_to(world.house, json.dumps({"verb": "script_runs", **line}).encode()))


async def test_a_count_that_is_not_above_zero_is_none(world, autojump_clock):
    for count in (0, -1, -100):
        assert await told(world, count=count) == []


def a_run(owner=AOR, steps=0):
    run = Run(facts()._replace(owner=owner), 1, "c", 0.0, 0.0)
    run.steps += [Step("cpl", "", "")] * steps
    return run


def test_all_users_together_have_a_bound(monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 100 * RUN)
    kept = Runs()
    for number in range(500):
        run = a_run(f"user{number}")
        kept.begin(run, 20)
        kept.end(run, 200, 1.0)
    assert len(kept) == 100
    assert not kept.last("user399", 1)
    assert kept.last("user400", 1), "whose script has not run for the longest is forgotten first"
    kept.begin(a_run("user400"), 20)
    assert not kept.last("user401", 1)
    assert len(kept.last("user400", 9)) == 2


def test_long_runs_count_for_more(monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 100 * RUN)
    kept = Runs()
    for number in range(50):
        run = a_run(f"user{number}", steps=1)
        kept.begin(run, 20)
        kept.end(run, 200, 1.0)
    long = a_run("long", steps=80 * RUN // STEP)
    kept.begin(long, 20)
    kept.end(long, 200, 1.0)
    assert 10 < len(kept) < 20
    assert kept.last("long", 1) == [long]
    longer = a_run("longer", steps=1000 * RUN // STEP)
    kept.begin(longer, 20)
    kept.end(longer, 200, 1.0)
    assert kept.last("longer", 1) == [longer], "the last run is always there"
    assert len(kept) == 1


def test_what_is_forgotten_while_it_runs_is_counted_no_more(monkeypatch):
    kept = Runs()
    first, second = a_run(steps=3), a_run(steps=3)
    kept.begin(first, 1)
    kept.begin(second, 1)
    kept.end(first, 486, 1.0)
    kept.end(second, 486, 1.0)
    kept.end(second, 200, 2.0)
    assert (len(kept), kept._size) == (1, RUN + 3 * STEP)
    assert (second.status, second.lasted) == (486, 1.0), "the first word counts"
    kept.heed([DropUser("somebody@else"), DropUser(AOR)])
    assert (len(kept), kept._size) == (0, 0)


def test_each_step_has_the_time_it_was_taken():
    run = a_run()
    run.steps.append(Step("cpl", "1", ""))
    run.goes_on(2.0)
    run.goes_on(2.5)
    run.steps += [Step("cpl", "2", ""), Step("cpl", "3", "")]
    run.goes_on(7.0)
    assert [(after, step.saw) for after, step in run.in_order()] == [(0.0, "1"), (2.5, "2"), (2.5, "3")]
    run.steps.append(Step("cpl", "4", ""))
    steps = plain(run)["steps"]
    assert isinstance(steps, list)
    assert [step["after"] for step in steps] == [0.0, 2.5, 2.5, 7.0]


async def test_a_call_with_a_script_leaves_no_cycle(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", traces=0, script_traces=5)
    alice, bob = world.phone("alice"), world.phone("bob", "486")
    world.bind(AOR, bob)
    world.script(AOR, cpl('<lookup source="registration"><success><proxy/></success></lookup>'))
    for number in range(2):
        if number:
            gc.collect()
            gc.disable()
        alice.send(alice.request("INVITE", BOB))
        await answered(alice, number + 1)
        await trio.sleep(60)
    try:
        left = [thing for thing in gc.get_objects() if type(thing).__module__ == "sipd.server.scripting"]
    finally:
        gc.enable()
    assert not left


def test_scripts_of_one_user_do_not_reach_another(monkeypatch):
    """The key is the owner whole: nobody is found by a part of his name."""
    kept = Runs()
    kept.begin(a_run("bob@example.com"), 5)
    for other in ("bob", "bob@example.co", "BOB@example.com", "", "bob@example.com "):
        assert kept.last(other, 5) == []


async def test_stored_while_switched_off_is_returned_and_not_run(world, autojump_clock):
    from sipd.rows import EnableScript, Script

    alice, bob = world.phone("alice"), world.phone("bob", "486")
    world.bind(AOR, bob)
    text = cpl('<reject status="reject"/>')
    world.put(
        PutScript(Script(AOR, "cpl", text.encode(), "application/cpl+xml", WALL)), EnableScript(AOR, "cpl", False)
    )
    alice.send(alice.request("INVITE", BOB))
    await alice.status(486)
    assert await told(world) == []
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=BOB, headers=(("Accept", "application/cpl+xml"),)))
    answer = await bob.status(200)
    assert answer.body == text.encode()
    world.put(EnableScript(AOR, "cpl", True))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(603)
