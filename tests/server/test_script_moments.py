"""Scripts and what comes across them: hanging up, late answers, hostile scripts, other scripts (T47, T50)."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from sipd.rows import Binding
from tests.server.phones import DOMAIN, WALL, open_world
from tests.server.scripted import BOB, BRANCH, CAROL, LOOKUP, call, cpl, hang_up, rung, to


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", "dave")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


# --- hanging up, at any moment of a script -----------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.2, 4.9, 5.0, 5.2, 9.9, 10.1])
async def test_hanging_up_at_any_moment_ends_the_script_and_what_rings(world, autojump_clock, at):
    """Two proxies of 5 s each; the last word is a third: who hangs up is told 487 once, and nobody else is rung."""
    first, second, third = world.phone("first", "rings"), world.phone("second", "rings"), world.phone("third", "rings")
    last = to(third, then="<proxy/>")
    middle = to(second, then=f'<proxy timeout="5"><noanswer>{last}</noanswer></proxy>')
    alice = call(world, to(first, then=f'<proxy timeout="5"><noanswer>{middle}</noanswer></proxy>'))
    await trio.sleep(at)
    start = trio.current_time()
    hang_up(alice)
    await alice.status(487)
    assert trio.current_time() - start < 0.5
    before = rung(first, second, third)
    await trio.sleep(300)
    assert rung(first, second, third) == before
    for phone in (first, second, third):
        assert len(phone.requests("CANCEL")) == len(phone.requests("INVITE"))
    assert set(alice.statuses()) <= {100, 180, 487}


async def test_hanging_up_while_a_name_is_looked_up(world, autojump_clock):
    alice = call(
        world, '<location url="sip:bob@far.example"><proxy><failure><reject status="403"/></failure></proxy></location>'
    )
    await trio.sleep(0.05)
    hang_up(alice)
    await alice.status(487)
    await trio.sleep(60)
    assert 403 not in alice.statuses()


async def test_an_answer_that_crosses_the_hanging_up_wins(world, autojump_clock):
    bob = world.phone("bob", "rings deaf")
    alice = call(world, to(bob, then='<proxy><default><reject status="403"/></default></proxy>'))
    await alice.status(180)
    hang_up(alice)
    await bob.until(lambda: bool(bob.requests("CANCEL")))
    bob.answer()
    await alice.status(200)
    assert 403 not in alice.statuses()


async def test_an_answer_after_the_script_has_rejected_still_reaches_the_caller(world, autojump_clock):
    """RFC 3261 §16.7 step 5: a 2xx always goes up."""
    bob = world.phone("bob", "rings deaf")
    alice = call(world, to(bob, then='<proxy timeout="3"><noanswer><reject status="403"/></noanswer></proxy>'))
    refused = await alice.status(403)
    alice.ack(alice.request("INVITE", BOB, branch=BRANCH, call_id="thecall"), refused)
    bob.answer()
    ok = await alice.status(200)
    assert ok.to_tag == "tag-bob"


async def test_ringing_of_a_phone_whose_time_was_over_is_not_heard(world, autojump_clock):
    bob, vm = world.phone("bob", "rings deaf"), world.phone("vm", "rings")
    alice = call(world, to(bob, then=f'<proxy timeout="3"><noanswer>{to(vm, then="<proxy/>")}</noanswer></proxy>'))
    await vm.until(lambda: bool(vm.requests("INVITE")))
    await trio.sleep(0.1)
    heard = len(alice.responses(180))
    bob.act("rings")
    await trio.sleep(1)
    assert len(alice.responses(180)) == heard


# --- bounds (T47, T50) -----------------------------------------------------------------------


async def test_hundreds_of_proxies_that_fail_at_once_end(world, autojump_clock):
    """A chain of 300 subactions, each looks up a contact that can't be rung: no stack grows with it."""
    world.bind_again([Binding(aor=f"bob@{DOMAIN}", uri="sip:bob@10.0.9.9;transport=sctp", expires_at=WALL + 1e6)])
    chain = f'<subaction id="s0">{LOOKUP.format("<proxy/>")}</subaction>'
    for n in range(1, 300):
        proxy = f'<proxy><failure><sub ref="s{n - 1}"/></failure></proxy>'
        chain += f'<subaction id="s{n}">{LOOKUP.format(proxy)}</subaction>'
    text = f'<cpl xmlns="urn:ietf:params:xml:ns:cpl">{chain}<incoming><sub ref="s299"/></incoming></cpl>'
    world.script(f"bob@{DOMAIN}", text)
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: any(status >= 400 for status in alice.statuses()))
    assert alice.statuses()[-1] in (480, 500)
    assert world.house.counters.scripts == 1


async def test_a_run_logs_a_bounded_number_of_lines(world, autojump_clock):
    logs = "".join(f'<log comment="{n}">' for n in range(20)) + '<reject status="busy"/>' + "</log>" * 20
    alice = call(world, logs)
    await alice.status(486)
    assert len(await world.store.script_log(f"bob@{DOMAIN}")) == 20


@pytest.mark.parametrize("rounds", ["carol", "carol alice", "carol dave alice"])
async def test_scripts_in_a_circle_end_the_call_and_ring_nobody_twice(world, autojump_clock, rounds):
    """T50: bob to carol to ... and back to bob, each with an output that tries somewhere else."""
    names = ["bob", *rounds.split()]
    other = world.phone("other", "486")
    for name, following in zip(names, [*names[1:], "bob"], strict=True):
        proxy = f"<proxy><failure>{to(other, then='<proxy/>')}</failure></proxy>"
        world.script(f"{name}@{DOMAIN}", cpl(f'<location url="sip:{following}@{DOMAIN}">{proxy}</location>'))
    caller = world.phone("erin")
    caller.send(caller.request("INVITE", BOB))
    await caller.status(486)
    assert len(other.requests("INVITE")) == 1  # the innermost failed as a circle, and its other attempt was busy
    assert world.house.counters.scripts == len(names)


async def test_a_script_that_names_its_own_user_means_his_phones(world, autojump_clock):
    """As figure 2 does; his script has had its say, and is not asked again (ADR 19)."""
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    alice = call(world, f'<location url="{BOB}"><proxy/></location>')
    await alice.status(200)
    assert len(bob.requests("INVITE")) == 1
    carol = call(world, f'<location url="{BOB}"/>', caller="carol")  # left to policy
    await carol.status(200)
    assert world.house.counters.scripts == 2


async def test_a_script_that_names_its_own_user_who_is_registered_as_himself_is_a_loop(world, autojump_clock):
    world.bind_again([Binding(aor=f"bob@{DOMAIN}", uri=BOB, expires_at=WALL + 1e6)])
    alice = call(world, f'<location url="{BOB}"><proxy/></location>')
    await alice.status(482)
    carol = call(world, LOOKUP.format(f'<location url="{BOB}"><proxy/></location>'), caller="carol")
    await carol.status(482)
    dave = call(world, '<log comment="nothing"/>', caller="dave")
    await dave.status(482)


async def test_scripts_that_fan_out_are_bounded(world, autojump_clock):
    """20 locations each of which leads to 20, and so on: 8000 phones would be rung (T38)."""
    for name, following in pairwise(["bob", "carol", "dave", "alice"]):
        places = [f'<location url="sip:{following}@{DOMAIN};n={n}">' for n in range(20)]
        world.script(f"{name}@{DOMAIN}", cpl("".join(places) + "<proxy/>" + "</location>" * 20))
    caller = world.phone("erin")
    caller.send(caller.request("INVITE", BOB))
    await caller.until(lambda: any(status >= 400 for status in caller.statuses()), seconds=60)
    assert world.house.counters.scripts <= 500


# --- two scripts in one call -----------------------------------------------------------------


async def test_caller_s_and_callee_s_scripts_and_that_of_where_he_forwards_all_have_their_say(world, autojump_clock):
    """alice's outgoing rings bob for 10 s; bob's incoming forwards to carol; carol's rings her phone for 4 s."""
    alice, vm = world.phone("alice"), world.phone("vm", "answers")
    bob, carol, mobile = world.phone("bob"), world.phone("carol", "rings"), world.phone("mobile", "rings")
    world.bind(f"bob@{DOMAIN}", bob)
    world.bind(f"carol@{DOMAIN}", carol)
    world.script(
        f"alice@{DOMAIN}",
        cpl(f'<proxy timeout="10"><noanswer>{to(vm, then="<proxy/>")}</noanswer></proxy>', "outgoing"),
    )
    world.script(f"bob@{DOMAIN}", cpl(f'<location url="{CAROL}"><proxy/></location>'))
    more = f'<proxy timeout="4"><noanswer>{to(mobile, then="<proxy/>")}</noanswer></proxy>'
    world.script(f"carol@{DOMAIN}", cpl(LOOKUP.format(more)))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    start = carol.time_of("INVITE")
    assert rung(bob) == []
    assert mobile.time_of("INVITE") - start == pytest.approx(4, abs=0.1)
    assert vm.time_of("INVITE") - start == pytest.approx(10, abs=0.1)
    await trio.sleep(1)
    assert carol.requests("CANCEL")
    assert mobile.requests("CANCEL")
    assert world.house.counters.scripts == 3


async def test_the_outgoing_script_of_who_forwards_has_no_say(world, autojump_clock):
    carol = world.phone("carol", "answers")
    world.bind(f"carol@{DOMAIN}", carol)
    both = (
        f'<outgoing><reject status="403"/></outgoing><incoming><location url="{CAROL}"><proxy/></location></incoming>'
    )
    world.script(f"bob@{DOMAIN}", f'<cpl xmlns="urn:ietf:params:xml:ns:cpl">{both}</cpl>')
    alice = world.phone("alice")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)


async def test_a_script_that_breaks_is_as_none(world, autojump_clock, monkeypatch):
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    monkeypatch.setattr("sipd.cpl.nodes.RejectNode.end", lambda *_: 1 / 0)
    alice = call(world, '<reject status="busy"/>')
    await alice.status(200)
