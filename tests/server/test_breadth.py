"""How many branches a request has at once, and loops that would double it (RFC 5393, T38, T39)."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import trio

from sipd.message import Request, Response, parse
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", "dave")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def at(uri):
    """Somewhere that is bound like a phone."""
    return type("Place", (), {"uri": uri})


def breadths(*phones):
    """What the INVITE of each phone says; None where it says nothing."""
    said = [phone.requests("INVITE")[0].first("Max-Breadth") for phone in phones]
    return [None if text is None else int(text) for text in said]


def ringing_at_once(world, method="INVITE"):
    """The most branches that had no final response at one time, and the most breadth these had together.

    One that nobody answers is over after 32 s, as is one that does not heed its CANCEL.
    """
    open_: dict[str, int] = {}
    until: dict[str, float] = {}
    most = widest = 0
    for sent in world.network.sent:
        message = parse(sent.data)
        branch = message.branch or ""
        for over in [one for one, when in until.items() if when <= sent.time]:
            open_.pop(over, None)
            del until[over]
        if isinstance(message, Request) and sent.source.host == "10.0.0.1":
            if message.method == method and branch not in open_:
                open_[branch] = int(message.first("Max-Breadth") or "60")
                until[branch] = sent.time + 32
            elif message.method == "CANCEL":
                until[branch] = sent.time + 32
        elif isinstance(message, Response) and sent.target.host == "10.0.0.1" and message.cseq.method == method:
            until.pop(branch, None)
            if message.status >= 200:
                open_.pop(branch, None)
        most, widest = max(most, len(open_)), max(widest, sum(open_.values()))
    return most, widest


async def test_every_request_that_goes_on_says_its_breadth_once(world, autojump_clock):
    """RFC 5393 §5.3.3: 60 where it came without; also in a dialog, and the ACK of a 2xx."""
    alice, bob = world.phone("alice"), world.phone("bob", "rings answers")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB)
    alice.send(invite)
    ok = await alice.status(200)
    alice.ack(invite, ok)
    routes = tuple(("Route", value) for value in ok.values("Record-Route"))
    alice.send(alice.request("BYE", bob.uri, to=BOB, to_tag="tag-bob", cseq=2, call_id=invite.call_id, headers=routes))
    await alice.until(lambda: alice.statuses("BYE") == [200])
    for method in ("INVITE", "ACK", "BYE"):
        assert bob.requests(method)[0].values("Max-Breadth") == ["60"], method


async def test_a_cancel_says_no_breadth(world, autojump_clock):
    """RFC 5393 §5.4.1: it is never proxied."""
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    invite = alice.request("INVITE", BOB, branch="z9hG4bKsame")
    alice.send(invite)
    await alice.status(180)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKsame"))
    await alice.status(487)
    assert "Max-Breadth" not in bob.requests("CANCEL")[0].names


@pytest.mark.parametrize(("said", "sent"), [("7", 7), ("60", 60), ("61", 60), ("99999999999999999999", 60), ("007", 7)])
async def test_one_branch_keeps_the_breadth_up_to_the_most_we_allow(world, autojump_clock, said, sent):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    for method in ("INVITE", "MESSAGE"):
        alice.send(alice.request(method, BOB, headers=(("Max-Breadth", said),)))
        await bob.until(lambda method=method: bool(bob.requests(method)))
        assert bob.requests(method)[0].values("Max-Breadth") == [str(sent)]


@pytest.mark.parametrize("bad", ["0", "000", "-1", "x", "1 2", "", "1;a=b"])
async def test_a_max_breadth_that_is_none_is_400(world, autojump_clock, bad):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    alice.send(alice.request("INVITE", BOB, headers=(("Max-Breadth", bad),)))
    await alice.status(400)


@pytest.mark.parametrize(
    ("said", "shares"), [(None, [20, 20, 20]), ("60", [20, 20, 20]), ("5", [1, 2, 2]), ("3", [1, 1, 1])]
)
async def test_a_parallel_fork_splits_the_breadth(world, autojump_clock, said, shares):
    alice = world.phone("alice")
    phones = [world.phone(name) for name in ("desk", "mobile", "tablet")]
    for phone in phones:
        world.bind(f"bob@{DOMAIN}", phone)
    alice.send(alice.request("INVITE", BOB, headers=() if said is None else (("Max-Breadth", said),)))
    await alice.until(lambda: len(alice.responses(180)) == 3)
    assert sorted(breadths(*phones)) == shares


async def test_too_little_breadth_makes_a_parallel_fork_serial(world, autojump_clock):
    alice = world.phone("alice")
    phones = [world.phone(name, "486") for name in ("desk", "mobile", "tablet")]
    last = world.phone("last", "answers")
    for phone in (*phones, last):
        world.bind(f"bob@{DOMAIN}", phone)
    alice.send(alice.request("INVITE", BOB, headers=(("Max-Breadth", "1"),)))
    await alice.status(200)
    assert breadths(*phones, last) == [1, 1, 1, 1]
    assert ringing_at_once(world)[0] == 1


async def test_the_setting_allows_fewer_branches_at_once(world, autojump_clock):
    alice = world.phone("alice")
    phones = [world.phone(name, "486") for name in ("desk", "mobile", "tablet")]
    last = world.phone("last", "answers")
    for phone in (*phones, last):
        world.bind(f"bob@{DOMAIN}", phone)
    world.settings(max_breadth=2)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert ringing_at_once(world) == (2, 2)
    assert all(phone.requests("INVITE") for phone in phones), "the others waited for their turn"


async def test_a_group_that_joins_has_a_share_kept_for_it(world, autojump_clock):
    alice = world.phone("alice")
    desk, mobile, voicemail = world.phone("desk"), world.phone("mobile"), world.phone("vm", "answers")
    for phone, q in ((desk, 1000), (mobile, 1000), (voicemail, 500)):
        world.bind(f"bob@{DOMAIN}", phone, q)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert breadths(desk, mobile, voicemail) == [20, 20, 20]
    assert ringing_at_once(world)[1] <= 60


async def test_breadth_of_branches_that_have_ended_is_used_again(world, autojump_clock):
    alice = world.phone("alice")
    desk, voicemail = world.phone("desk", "486"), world.phone("vm", "answers")
    world.bind(f"bob@{DOMAIN}", desk, 1000)
    world.bind(f"bob@{DOMAIN}", voicemail, 500)
    alice.send(alice.request("INVITE", BOB, headers=(("Max-Breadth", "9"),)))
    await alice.status(200)
    assert breadths(desk, voicemail) == [4, 9]


async def test_300_contacts_have_60_branches_at_once_and_the_rest_as_they_end(world, autojump_clock):
    alice = world.phone("alice")
    busy = [world.phone(f"p{n}", "486", host=f"10.1.{n // 250}.{n % 250 + 1}") for n in range(299)]
    last = world.phone("last", "answers", host="10.2.0.1")
    for phone in (*busy, last):
        world.bind(f"bob@{DOMAIN}", phone)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert all(len(phone.requests("INVITE")) == 1 for phone in busy), "everyone had his turn"
    assert ringing_at_once(world) == (60, 60)
    assert set(breadths(*busy, last)) == {1}
    await trio.sleep(70)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)


async def test_300_phones_that_ring_are_60_and_cancel_ends_it(world, autojump_clock):
    alice = world.phone("alice")
    for n in range(300):
        world.bind(f"bob@{DOMAIN}", world.phone(f"p{n}", host=f"10.1.{n // 250}.{n % 250 + 1}"))
    invite = alice.request("INVITE", BOB, branch="z9hG4bKmany")
    alice.send(invite)
    await alice.until(lambda: len(alice.responses(180)) == 60)
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKmany"))
    await alice.status(487)
    rung = [phone for phone in world.phones.values() if phone.requests("INVITE")]
    assert len(rung) == 60
    assert all(phone.requests("CANCEL") for phone in rung)


async def test_300_contacts_nobody_can_reach_end_the_call_and_not_the_stack(world, autojump_clock):
    alice = world.phone("alice")
    for n in range(300):
        there = at(f"sip:x@[2001:db8::{n + 1:x}]:5060")  # we have no IPv6
        world.bind(f"bob@{DOMAIN}", there)
    alice.send(alice.request("INVITE", BOB))
    await alice.status(500)
    await trio.sleep(70)
    assert world.house.transactions.servers == 0


async def test_users_bound_to_users_share_the_breadth_of_the_request(world, autojump_clock):
    alice = world.phone("alice")
    phones = {name: [world.phone(f"{name}{n}") for n in range(2)] for name in ("carol", "dave")}
    for name, own in phones.items():
        world.bind(f"bob@{DOMAIN}", at(f"sip:{name}@{DOMAIN}"))
        for phone in own:
            world.bind(f"{name}@{DOMAIN}", phone)
    alice.send(alice.request("INVITE", BOB, headers=(("Max-Breadth", "6"),)))
    await alice.until(lambda: len(alice.responses(180)) == 4)
    assert sorted(breadths(*phones["carol"], *phones["dave"])) == [1, 1, 2, 2]


async def test_a_script_that_goes_on_leaves_the_breadth_of_those_being_cancelled(world, autojump_clock):
    """RFC 5393 §5.3.2: a branch counts until its final response, cancelled or not."""
    alice = world.phone("alice")
    deaf, other = world.phone("deaf", "rings deaf"), world.phone("other", "answers")
    world.script(
        f"bob@{DOMAIN}",
        '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>'
        f'<location url="{deaf.uri}"><proxy timeout="5"><noanswer>'
        f'<location url="{other.uri}" clear="yes"><proxy/></location></noanswer></proxy></location></incoming></cpl>',
    )
    alice.send(alice.request("INVITE", BOB, headers=(("Max-Breadth", "1"),)))
    await deaf.until(lambda: bool(deaf.requests("CANCEL")))
    await trio.sleep(1)
    assert not other.requests("INVITE"), "the breadth of 1 is still in use"
    deaf.reply(*deaf._invite, 487)
    await alice.status(200)
    assert ringing_at_once(world) == (1, 1)


async def test_a_script_goes_on_at_once_where_there_is_breadth(world, autojump_clock):
    alice = world.phone("alice")
    deaf, other = world.phone("deaf", "rings deaf"), world.phone("other", "answers")
    world.script(
        f"bob@{DOMAIN}",
        '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming>'
        f'<location url="{deaf.uri}"><proxy timeout="5"><noanswer>'
        f'<location url="{other.uri}" clear="yes"><proxy/></location></noanswer></proxy></location></incoming></cpl>',
    )
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(200)
    assert trio.current_time() - start < 6
    assert ringing_at_once(world) == (2, 60)


# --- loops ---------------------------------------------------------------------------------


class Bouncer:
    """A proxy elsewhere that sends everything it gets back to us, for the user its URI names."""

    def __init__(self, world, host: str):
        self.world = world
        self.host = host
        self.listener = world.network.listener("UDP", host, 5060, self.receive)
        self.forwarded = 0

    def receive(self, data, flow):
        message = parse(data)
        if isinstance(message, Response):
            rest = data.decode().split("\r\n")
            at = next(at for at, line in enumerate(rest) if line.startswith("Via: "))
            below = parse(data).values("Via")[1]
            del rest[at]
            host, _, port = below.split()[1].partition(";")[0].partition(":")
            self.listener.flow_to(host, int(port)).send("\r\n".join(rest).encode())
        elif message.method == "INVITE":
            self.forwarded += 1
            user = message.uri.user
            lines = data.decode().split("\r\n")
            lines[0] = f"INVITE sip:{user}@{DOMAIN} SIP/2.0"
            hops = message.max_forwards or 70
            lines = [f"Max-Forwards: {hops - 1}" if line.startswith("Max-Forwards") else line for line in lines]
            lines.insert(1, f"Via: SIP/2.0/UDP {self.host}:5060;branch={message.branch}x")
            self.listener.flow_to("10.0.0.1", 5060).send("\r\n".join(lines).encode())


async def test_two_users_each_bound_to_both_make_four_copies_and_482(world, autojump_clock):
    """RFC 5393 §3, §4: without a loop check this makes 2^70 copies; with it, four."""
    alice = world.phone("alice")
    there = Bouncer(world, "10.0.9.1")
    for user in ("bob", "carol"):
        for contact in ("bob", "carol"):
            world.bind(f"{user}@{DOMAIN}", at(f"sip:{contact}@10.0.9.1:5060"))
    start = trio.current_time()
    alice.send(alice.request("INVITE", BOB))
    await alice.status(482)
    assert there.forwarded <= 4
    assert trio.current_time() - start < 1


async def test_two_users_of_ours_each_bound_to_both_are_never_sent_on(world, autojump_clock):
    alice = world.phone("alice")
    for user in ("bob", "carol"):
        for contact in ("bob", "carol"):
            world.bind(f"{user}@{DOMAIN}", at(f"sip:{contact}@{DOMAIN}"))
    alice.send(alice.request("INVITE", BOB))
    await alice.status(482)
    sent = [parse(sent.data) for sent in world.network.sent if sent.source.host == "10.0.0.1"]
    assert not [message for message in sent if isinstance(message, Request) and message.method == "INVITE"]


async def test_a_dozen_users_each_bound_to_all_end_in_time(nursery, autojump_clock):
    """T38 within one house: paths through 12 users are 12!; a call has only so many branches."""
    names = [f"u{n}" for n in range(12)]
    world = await open_world(nursery, "alice", *names)
    alice = world.phone("alice")
    for user in names:
        for contact in names:
            world.bind(f"{user}@{DOMAIN}", at(f"sip:{contact}@{DOMAIN}"))
    alice.send(alice.request("INVITE", f"sip:u0@{DOMAIN}"))
    await alice.until(lambda: any(status >= 400 for status in alice.statuses()))
    assert alice.statuses()[-1] in (440, 482)
    assert world.house.counters.faults == 0


async def test_a_long_chain_of_users_ends_with_483(nursery, autojump_clock):
    names = [f"u{n}" for n in range(100)]
    world = await open_world(nursery, "alice", *names)
    alice = world.phone("alice")
    for user, contact in pairwise(names):
        world.bind(f"{user}@{DOMAIN}", at(f"sip:{contact}@{DOMAIN}"))
    alice.send(alice.request("INVITE", f"sip:u0@{DOMAIN}"))
    await alice.status(483)
    assert world.house.counters.faults == 0


async def test_a_spiral_with_another_request_uri_is_legal(world, autojump_clock):
    """T37, T19: the request comes back to us for somebody else; that is no loop."""
    alice, phone = world.phone("alice"), world.phone("phone", "answers")
    Bouncer(world, "10.0.9.1")
    world.bind(f"bob@{DOMAIN}", at("sip:carol@10.0.9.1:5060"))
    world.bind(f"carol@{DOMAIN}", phone)
    alice.send(alice.request("INVITE", BOB))
    ok = await alice.status(200)
    assert len(ok.values("Via")) == 1
    assert len(phone.requests("INVITE")[0].values("Via")) == 4


async def test_a_busy_phone_says_more_than_a_loop(world, autojump_clock):
    alice, desk = world.phone("alice"), world.phone("desk", "486")
    world.bind(f"bob@{DOMAIN}", at(BOB))
    world.bind(f"bob@{DOMAIN}", desk)
    alice.send(alice.request("INVITE", BOB))
    await alice.until(lambda: len(alice.statuses()) == 2)
    assert alice.statuses() == [100, 486]


# --- whatever the tree ---------------------------------------------------------------------


def grow(world, lot) -> None:
    """Users bound to phones and to each other, some with scripts, as it falls out."""
    names = ["bob", "carol", "dave"]
    made = 0
    for name in names:
        for _ in range(lot.randrange(1, 5)):
            if lot.random() < 0.3:
                world.bind(f"{name}@{DOMAIN}", at(f"sip:{lot.choice(names)}@{DOMAIN}"), lot.choice([1000, 500]))
                continue
            made += 1
            does = lot.choice(["486", "rings", "rings deaf", "404", "", "moved:sip:carol@" + DOMAIN, "603", "503"])
            world.bind(f"{name}@{DOMAIN}", world.phone(f"p{made}", does), lot.choice([1000, 1000, 700, 200]))
    if lot.random() < 0.5:
        order = lot.choice(["parallel", "sequential"])
        world.script(
            f"carol@{DOMAIN}",
            '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><lookup source="registration"><success>'
            f'<proxy timeout="{lot.choice([3, 20])}" ordering="{order}"><default><proxy/></default></proxy>'
            "</success></lookup></incoming></cpl>",
        )


@pytest.mark.parametrize("seed", range(40))
async def test_what_is_under_way_is_never_broader_than_the_request(world, autojump_clock, seed):
    """RFC 5393 §5.3.3: the Outgoing Max-Breadth never exceeds the Incoming, in whatever tree."""
    lot = random.Random(seed)
    grow(world, lot)
    world.settings(recurse=lot.random() < 0.5)
    breadth = lot.choice([1, 2, 3, 5, 8])
    alice = world.phone("alice")
    invite = alice.request("INVITE", BOB, branch="z9hG4bKseed", headers=(("Max-Breadth", str(breadth)),))
    alice.send(invite)
    await trio.sleep(lot.choice([0, 1, 4, 31, 100]))
    if lot.random() < 0.5:
        alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch="z9hG4bKseed"))
    await alice.until(lambda: any(status >= 200 for status in alice.statuses()), 2000)
    most, widest = ringing_at_once(world)
    assert most <= widest <= breadth
    assert len({status for status in alice.statuses() if status >= 200}) == 1, "one final response"
    await trio.sleep(300)
    assert (world.house.transactions.servers, world.house.transactions.clients) == (0, 0)
