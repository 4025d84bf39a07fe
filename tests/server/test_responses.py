"""What becomes of the responses of the branches (RFC 3261 §16.7, §16.8, §18.1.2, T112, T114, T119)."""

from __future__ import annotations

import pytest
import trio

from sipd.message import response_to
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"
    await trio.sleep(80)
    assert (made.house.transactions.servers, made.house.transactions.clients) == (0, 0), "state is left"


def fork(world, *does: str):
    phones = [world.phone(f"p{at}", what) for at, what in enumerate(does)]
    for phone in phones:
        world.bind(f"bob@{DOMAIN}", phone)
    return phones


async def test_provisionals_of_all_branches_go_up_and_no_100(world, autojump_clock):
    alice = world.phone("alice")
    phones = fork(world, "100 180", "100 183", "182")
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.statuses()) == 4)
    assert alice.statuses()[0] == 100, "ours"
    assert sorted(alice.statuses()[1:]) == [180, 182, 183]
    tags = {alice.responses(status)[0].to_tag for status in (180, 182, 183)}
    assert tags == {f"tag-{phone.name}" for phone in phones}
    phones[0].answer()
    await alice.status(200)


async def test_a_provisional_after_the_final_response_is_dropped(world, autojump_clock):
    alice = world.phone("alice")
    [desk, mobile] = fork(world, "rings", "rings deaf")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    desk.answer()
    await alice.status(200)
    before = alice.statuses()
    mobile.reply(*mobile._invite, 183)
    desk.reply(*desk._invite, 183)
    await trio.sleep(1)
    assert alice.statuses() == before


async def test_a_2xx_that_crosses_a_6xx_wins(world, autojump_clock):
    alice = world.phone("alice")
    [decliner, deaf] = fork(world, "", "rings deaf")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    decliner.reply(*decliner._invite, 603)
    await deaf.until(lambda: bool(deaf.requests("CANCEL")))
    deaf.answer()
    await alice.status(200)
    assert alice.statuses() == [100, 180, 200], "never a 6xx and then a 2xx (§16.7 step 5)"


async def test_no_branch_starts_after_a_6xx(world, autojump_clock):
    alice, voicemail = world.phone("alice"), world.phone("vm", "answers")
    world.bind(f"bob@{DOMAIN}", world.phone("desk", "603"), 1000)
    world.bind(f"bob@{DOMAIN}", voicemail, 500)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(603)
    await trio.sleep(40)
    assert not voicemail.requests("INVITE")


async def test_each_further_2xx_goes_up(world, autojump_clock):
    """A proxy behind us forked: several phones answer on one branch (§16.7 step 5)."""
    alice = world.phone("alice")
    [desk] = fork(world, "rings")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    request, flow = desk._invite
    for tag in ("one", "two", "two"):
        flow.send(bytes(response_to(request, 200, to_tag=tag, headers=(("Contact", f"<{desk.uri}>"),))))
    await alice.until(lambda: len(alice.responses(200)) == 3)
    assert [response.to_tag for response in alice.responses(200)] == ["one", "two", "two"]


async def test_a_2xx_long_after_the_call_goes_up_while_its_transaction_lives(world, autojump_clock):
    alice = world.phone("alice")
    [desk] = fork(world, "answers")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    await trio.sleep(20)
    desk.reply(*desk._invite, 200)
    await alice.until(lambda: len(alice.responses(200)) == 2)
    await trio.sleep(20)
    before = world.house.counters.dropped
    desk.reply(*desk._invite, 200)
    await trio.sleep(1)
    assert len(alice.responses(200)) == 2, "a stray one is not passed on (RFC 6026 §8.9)"
    assert world.house.counters.dropped == before + 1


async def test_challenges_of_all_branches_are_in_the_one_that_goes_up(world, autojump_clock):
    alice = world.phone("alice")
    phones = fork(world, "", "", "")
    alice.send(alice.request("INVITE", BOB))
    await phones[2].until(lambda: all(phone._invite for phone in phones))
    for phone, (status, header, value) in zip(
        phones,
        [
            (407, "Proxy-Authenticate", 'Digest realm="a", nonce="1"'),
            (401, "WWW-Authenticate", 'Digest realm="b", nonce="2"'),
            (401, "WWW-Authenticate", 'Digest realm="b", nonce="2"'),
        ],
        strict=True,
    ):
        phone.reply(*phone._invite, status, ((header, value),))
    got = await alice.status(407)
    assert got.values("Proxy-Authenticate") == ['Digest realm="a", nonce="1"']
    assert got.values("WWW-Authenticate") == ['Digest realm="b", nonce="2"'] * 2, "unchanged, twice where it came twice"


@pytest.mark.parametrize(
    ("does", "best"),
    [
        (("486", "415"), 415),
        (("404", "420"), 420),
        (("480", "484"), 484),
        (("486", "302"), 302),
        (("500", "404"), 404),
        (("503", "502"), 502),
        (("503", "503"), 500),
        (("503",), 500),
        (("486", "603"), 603),
        (("302", "600"), 600),
    ],
)
async def test_the_best_response_of_a_fork(world, autojump_clock, does, best):
    alice = world.phone("alice")
    fork(world, *does)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(best)
    assert alice.statuses() == [100, best]


async def test_a_503_says_nothing_of_when_to_come_again(world, autojump_clock):
    alice = world.phone("alice")
    [desk] = fork(world, "")
    alice.send(alice.request("INVITE", BOB))
    await desk.until(lambda: desk._invite is not None)
    desk.reply(*desk._invite, 503, (("Retry-After", "3600"),))
    assert "Retry-After" not in (await alice.status(500)).names


async def test_one_that_times_out_is_worse_than_one_that_is_busy(world, autojump_clock):
    alice = world.phone("alice")
    fork(world, "", "486")
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.statuses()) == 2)
    assert alice.statuses() == [100, 486]


async def test_where_none_answers_at_all_it_is_408(world, autojump_clock):
    alice = world.phone("alice")
    fork(world, "", "")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(408)


# --- Timer C (§16.8) ---------------------------------------------------------------------------


async def test_every_provisional_resets_timer_c_but_a_100(world, autojump_clock):
    alice = world.phone("alice")
    [desk] = fork(world, "rings deaf")
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    await trio.sleep(100)
    desk.reply(*desk._invite, 183)
    await trio.sleep(80)
    desk.reply(*desk._invite, 100)
    await desk.until(lambda: bool(desk.requests("CANCEL")))
    assert desk.time_of("CANCEL") - start == pytest.approx(100 + 185, abs=1)
    await alice.until(lambda: len(alice.statuses()) == 4)
    assert alice.statuses()[-1] == 408, "the phone did not even heed the CANCEL"


async def test_timer_c_counts_from_a_100(world, autojump_clock):
    alice = world.phone("alice")
    [desk] = fork(world, "100")
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await desk.until(lambda: desk._invite is not None)
    await trio.sleep(90)
    desk.reply(*desk._invite, 100)
    await desk.until(lambda: bool(desk.requests("CANCEL")))
    assert desk.time_of("CANCEL") - start == pytest.approx(185, abs=1)


# --- Vias ----------------------------------------------------------------------------------------


async def test_our_via_is_taken_off_a_comma_list_too(world, autojump_clock):
    alice = world.phone("alice")
    [desk] = fork(world, "")
    alice.send(alice.request("INVITE", BOB))
    await desk.until(lambda: desk._invite is not None)
    request, flow = desk._invite
    lines = bytes(response_to(request, 180, to_tag="d")).split(b"\r\n")
    vias = [line[5:] for line in lines if line.startswith(b"Via: ")]
    others = [line for line in lines if not line.startswith(b"Via: ")]
    flow.send(b"\r\n".join([others[0], b"v: " + b" , ".join(vias), *others[1:]]))
    got = await alice.status(180)
    assert got.values("Via") == [vias[1].decode().strip()]
    desk.reply(request, flow, 486)


@pytest.mark.parametrize("change", ["branch", "sent-by", "no other", "none", "method"])
async def test_a_response_that_is_not_to_us_is_dropped(world, autojump_clock, change):
    alice = world.phone("alice")
    [desk] = fork(world, "rings")
    alice.send(alice.request("INVITE", BOB))
    await alice.status(180)
    request, flow = desk._invite
    data = bytes(response_to(request, 200, to_tag="x"))
    vias = [line + b"\r\n" for line in data.split(b"\r\n") if line.startswith(b"Via: ")]
    changed = {
        "branch": data.replace(b"z9hG4bK" + vias[0].partition(b"z9hG4bK")[2][:4], b"z9hG4bKzzzz", 1),
        "sent-by": data.replace(b"10.0.0.1:5060", b"10.9.9.9:5060", 1),
        "no other": data.replace(vias[1], b""),
        "none": data.replace(vias[0], b"").replace(vias[1], b""),
        "method": data.replace(b"1 INVITE", b"1 OPTIONS"),
    }[change]
    assert changed != data
    before = world.house.counters.dropped
    flow.send(changed)
    await trio.sleep(1)
    assert alice.statuses() == [100, 180]
    assert world.house.counters.dropped == before + 1
    desk.answer()
    await alice.status(200)
    assert alice.statuses() == [100, 180, 200], "and the call goes on"


async def test_the_to_tag_of_a_refusal_is_the_phones(world, autojump_clock):
    alice = world.phone("alice")
    fork(world, "486", "404")
    alice.send(alice.request("INVITE", BOB))
    assert (await alice.status(486)).to_tag == "tag-p0"


async def test_the_ack_of_a_refusal_ends_here(world, autojump_clock):
    alice = world.phone("alice")
    [desk] = fork(world, "486")
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    refusal = await alice.status(486)
    await desk.until(lambda: len(desk.requests("ACK")) == 1)
    alice.send(alice.request("ACK", BOB, call_id=invite.call_id, branch=invite.branch, to_tag=refusal.to_tag or ""))
    await trio.sleep(20)
    assert len(desk.requests("ACK")) == 1, "that is our own"
    assert alice.statuses() == [100, 486], "and the 486 is not repeated"
