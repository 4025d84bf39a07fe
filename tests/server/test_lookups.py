"""Lookups by URI in calls (RFC 3880 §5.2, T48): awaited in the call, and by nobody else."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio

from sipd.core.urilist import URI_LIST
from sipd.net.fetch import NoPage, Page, Web
from tests.net.test_fetch import dns
from tests.net.web_server import WebServer
from tests.server.phones import DOMAIN, open_world

BOB = f"sip:bob@{DOMAIN}"
SOURCE = "http://www.example.test/bob?x=1"


@dataclass
class FakeWeb:
    """Answers after `seconds`, on the virtual clock."""

    answer: Page | Exception
    seconds: float = 0.0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    cancelled: int = 0

    async def get(self, owner: str, url: str, accept: str) -> Page:
        self.asked.append((owner, url, accept))
        try:
            await trio.sleep(self.seconds)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def listing(*uris: str) -> Page:
    return Page(200, URI_LIST, "\r\n".join(uris).encode())


def script(source: str = SOURCE, more: str = "", after: str = "<proxy/>") -> str:
    return f"""<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><lookup source="{source}" {more}>
      <success>{after}</success>
      <notfound><reject status="480" reason="notfound"/></notfound>
      <failure><reject status="500" reason="failure"/></failure>
    </lookup></incoming></cpl>"""


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "carol", script_hosts="www.example.test")
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def call(world, name: str = "alice", uri: str = BOB):
    phone = world.phones.get(name) or world.phone(name)
    invite = phone.request("INVITE", uri)
    phone.send(invite)
    return phone, invite


def trace(world) -> list[str]:
    [told] = world.house.explain.find("last")
    return [f"{step['step']}: {step['saw']}: {step['chose']}" for step in told["trace"]]


async def test_success_rings_what_the_list_names(world, autojump_clock):
    desk, home = world.phone("desk", "rings"), world.phone("home", "answers")
    world.house.web = FakeWeb(listing(desk.uri, home.uri), 2.0)
    world.script(f"bob@{DOMAIN}", script())
    start = trio.current_time()
    alice, _ = call(world)
    await alice.status(200)
    assert trio.current_time() - start == pytest.approx(2.0, abs=0.1)
    assert world.house.web.asked == [(f"bob@{DOMAIN}", SOURCE, URI_LIST)], "the URI as it is, and nothing of the call"
    assert desk.requests("INVITE")
    await desk.until(lambda: bool(desk.requests("CANCEL")))
    await trio.sleep(40)
    [lookup] = [line for line in trace(world) if SOURCE in line]
    assert "success" in lookup
    assert "after 2 s" in lookup
    assert world.house.counters.fetches == 1
    assert world.house.counters.fetch_failures == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Page(204, "", b""), "notfound"),
        (Page(404, "text/html", b"<html>"), "notfound"),
        (listing("# nobody"), "notfound"),
        (Page(200, "text/html", b"<html>"), "failure"),
        (Page(503, "", b""), "failure"),
        (listing("javascript:alert(1)"), "failure"),
        (NoPage("nobody there"), "failure"),
    ],
)
async def test_each_outcome_takes_its_output(world, autojump_clock, answer, reason):
    world.house.web = FakeWeb(answer)
    world.script(f"bob@{DOMAIN}", script())
    alice, _ = call(world)
    await alice.until(lambda: any(status >= 300 for status in alice.statuses()))
    [response] = [seen.message for seen in alice.seen if seen.message.status >= 300]
    assert response.reason == reason, "and nothing of what the web server said"
    assert world.house.counters.fetch_failures == (reason == "failure")


@pytest.mark.parametrize(("more", "seconds"), [("", 30), ('timeout="2"', 2), ('timeout="3600"', 180)])
async def test_no_answer_in_time_is_a_failure(world, autojump_clock, more, seconds):
    world.house.web = FakeWeb(listing("sip:late@192.0.2.1"), 1e6)
    world.script(f"bob@{DOMAIN}", script(more=more))
    start = trio.current_time()
    alice, _ = call(world)
    await alice.status(500)
    assert trio.current_time() - start == pytest.approx(seconds, abs=0.1)
    assert world.house.web.cancelled == 1


async def test_an_output_that_is_not_there_is_the_default(world, autojump_clock):
    bob = world.phone("bob", "answers")
    world.bind(f"bob@{DOMAIN}", bob)
    world.house.web = FakeWeb(NoPage("nobody there"))
    world.script(f"bob@{DOMAIN}", f'<cpl><incoming><lookup source="{SOURCE}"/></incoming></cpl>')
    alice, _ = call(world)
    await alice.status(200)


async def test_a_caller_may_hang_up_meanwhile(world, autojump_clock):
    world.house.web = FakeWeb(listing("sip:late@192.0.2.1"), 20)
    world.script(f"bob@{DOMAIN}", script())
    alice, invite = call(world)
    await trio.sleep(1)
    start = trio.current_time()
    via = invite.first("Via")
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch=via.partition("branch=")[2]))
    await alice.status(487)
    assert trio.current_time() - start < 0.1
    await trio.sleep(0.1)
    assert world.house.web.cancelled == 1, "nobody waits for it any more"
    assert 200 in alice.statuses("CANCEL")


async def test_hanging_up_at_once_is_no_different(world, autojump_clock):
    world.house.web = FakeWeb(listing("sip:late@192.0.2.1"), 20)
    world.script(f"bob@{DOMAIN}", script())
    alice, invite = call(world)
    via = invite.first("Via")
    alice.send(alice.request("CANCEL", BOB, call_id=invite.call_id, branch=via.partition("branch=")[2]))
    await alice.status(487)
    await trio.sleep(40)
    assert {status for status in alice.statuses() if status >= 200} == {487}


async def test_others_do_not_wait(world, autojump_clock):
    """P7: a slow web server is the affair of its callers alone."""
    carol = world.phone("carol", "answers")
    world.bind(f"carol@{DOMAIN}", carol)
    world.house.web = FakeWeb(listing("sip:late@192.0.2.1"), 25)
    world.script(f"bob@{DOMAIN}", script())
    for _ in range(50):
        call(world, "alice")
    start = trio.current_time()
    dave, _ = call(world, "dave", f"sip:carol@{DOMAIN}")
    await dave.status(200)
    assert trio.current_time() - start < 0.1


async def test_it_may_come_after_a_proxy_whose_phones_still_end(world, autojump_clock):
    slow = world.phone("slow", "rings deaf")
    vm = world.phone("vm", "answers")
    world.house.web = FakeWeb(listing(vm.uri), 1)
    inner = script().partition("<incoming>")[2].partition("</incoming>")[0]
    world.script(
        f"bob@{DOMAIN}",
        f'<cpl><incoming><location url="{slow.uri}"><proxy timeout="5"><noanswer>{inner}</noanswer></proxy></location>'
        "</incoming></cpl>",
    )
    start = trio.current_time()
    alice, _ = call(world)
    await alice.status(200)
    assert trio.current_time() - start == pytest.approx(6.0, abs=0.2)


async def test_an_answer_that_comes_late_from_before_ends_the_wait(world, autojump_clock):
    slow = world.phone("slow", "rings deaf")
    world.house.web = FakeWeb(listing("sip:late@192.0.2.1"), 25)
    inner = script().partition("<incoming>")[2].partition("</incoming>")[0]
    world.script(
        f"bob@{DOMAIN}",
        f'<cpl><incoming><location url="{slow.uri}"><proxy timeout="5"><noanswer>{inner}</noanswer></proxy></location>'
        "</incoming></cpl>",
    )
    alice, _ = call(world)
    await trio.sleep(8)
    slow.answer()
    await alice.status(200)
    await trio.sleep(0.1)
    assert world.house.web.cancelled == 1
    await trio.sleep(60)
    assert {status for status in alice.statuses() if status >= 200} == {200}


async def test_a_real_web_server_is_asked_over_real_sockets(nursery, tmp_path):
    """The whole of it: script, call, HTTP, and a phone found by it."""
    with WebServer() as server:
        world = await open_world(nursery, "alice", "bob", script_hosts=f"www.example.test:{server.port}")
        hosts = frozenset({f"www.example.test:{server.port}"})
        world.house.web = Web(dns(tmp_path), lambda: hosts, lambda: "")
        desk = world.phone("desk", "answers")
        server.page("/bob", desk.uri)
        world.script(f"bob@{DOMAIN}", script(f"http://www.example.test:{server.port}/bob"))
        alice, _ = call(world)
        await alice.status(200)
        assert len(desk.requests("INVITE")) == 1
        assert [path for path, _ in server.asked] == ["/bob"]
        assert "alice" not in str(server.asked), "the web server learns nothing of the caller"
        assert world.house.counters.faults == 0
        nursery.cancel_scope.cancel()
