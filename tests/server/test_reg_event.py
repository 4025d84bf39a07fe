"""Subscriptions to registrations in whole servers: RFC 3680 §6, RFC 6665 §4.2, and those who mean ill."""

from __future__ import annotations

import pytest
import trio
from lxml import etree

from sipd.hop import Hop
from sipd.message import Request
from sipd.rows import Binding, DropBinding, DropDelegate, DropUser, PutBinding, PutDelegate, PutUser
from sipd.server import notifier
from sipd.transaction.timers import Deadlines
from tests.core import rfc3680
from tests.server.phones import DOMAIN, SERVER, WALL, Phone, World, open_world
from tests.server.test_outbound import EDGES, open_edges

JOE = f"sip:joe@{DOMAIN}"
ALICE, BOB = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
SPACE = {"r": "urn:ietf:params:xml:ns:reginfo"}
APP_ADDRESS = "10.0.5.5"


@pytest.fixture
async def world(nursery):
    made = await open_world(nursery, "alice", "bob", "joe", "app")
    app = made.cache.user(f"app@{DOMAIN}")
    assert app is not None
    made.put(PutUser(app._replace(role="administrator")))
    yield made
    assert made.house.counters.faults == 0, "something broke behind the door"


def subscribe(phone: Phone, to: str, *, expires: int | None = None, event: str = "reg", **more) -> Request:
    """Send a SUBSCRIBE; its header fields besides are in `headers`."""
    headers = (("Event", event), *more.pop("headers", ()))
    if expires is not None:
        headers = (*headers, ("Expires", str(expires)))
    made = phone.request("SUBSCRIBE", more.pop("uri", to), to=to, headers=headers, **more)
    phone.send(made)
    return made


async def subscribed(phone: Phone, to: str, **more) -> Request:
    """The first NOTIFY, after the 200."""
    asked = subscribe(phone, to, **more)
    await phone.until(lambda: bool(phone.requests("NOTIFY")), 60)
    assert 200 in phone.statuses("SUBSCRIBE")
    assert phone.requests("NOTIFY")[0].call_id == asked.call_id
    return phone.requests("NOTIFY")[0]


def again(phone: Phone, notify: Request, **more) -> Request:
    """A SUBSCRIBE in the dialog of that NOTIFY."""
    contact = notify.contacts[0].uri.text
    return subscribe(
        phone,
        notify.from_.uri.text,
        uri=contact,
        call_id=notify.call_id,
        from_tag=notify.to_tag or "",
        to_tag=notify.from_tag or "",
        **{"cseq": 2, **more},
    )


def register(phone: Phone, aor: str, *, expires: int = 3600, cseq: int = 1, **more) -> None:
    headers = (("Expires", str(expires)), *more.pop("headers", ()))
    more = {"call_id": f"reg-{phone.name}", "contact": f"<{phone.uri}>", **more}
    phone.send(phone.request("REGISTER", f"sip:{DOMAIN}", to=aor, from_uri=aor, cseq=cseq, headers=headers, **more))


def told(notify: Request) -> etree._Element:
    """The document, which is valid."""
    assert notify.content_type == "application/reginfo+xml"
    root = etree.fromstring(notify.body)
    rfc3680.schema().assertValid(root)
    return root


def contacts(notify: Request) -> list[tuple[str, str, str]]:
    return [(one.findtext("r:uri", "", SPACE), one.get("state", ""), one.get("event", "")) for one in told(notify)[0]]


async def notified(phone: Phone, count: int, seconds: float = 60) -> Request:
    """The NOTIFY of that number, from 1."""
    await phone.until(lambda: len(phone.requests("NOTIFY")) >= count, seconds)
    return phone.requests("NOTIFY")[count - 1]


# --- RFC 3680 §6 ----------------------------------------------------------------------------------


async def test_rfc_3680_section_6(world, autojump_clock):
    """The welcome notice: an application subscribes, the user registers, the application hears of it."""
    world.resolver.found["app.example.com"] = Hop("UDP", APP_ADDRESS, 5060)
    app = Phone(world, "app", APP_ADDRESS, claims="app.example.com")
    asked = Request.build(
        "SUBSCRIBE",
        JOE,
        (
            ("Via", "SIP/2.0/UDP app.example.com;branch=z9hG4bKnashds7"),
            ("From", f"sip:app@{DOMAIN};tag=123aa9"),
            ("To", JOE),
            ("Call-ID", "9987@app.example.com"),
            ("CSeq", "9887 SUBSCRIBE"),
            ("Contact", "sip:app.example.com"),
            ("Event", "reg"),
            ("Max-Forwards", "70"),
            ("Accept", "application/reginfo+xml"),
        ),
    )
    app.send(asked)
    answer = await app.status(200)
    first = await notified(app, 1)
    assert answer.first("Expires") == "3761"
    assert answer.contacts[0].uri.text == f"sip:{SERVER.place}"
    shown = rfc3680.documents()[1]
    assert (first.request_uri, first.call_id) == ("sip:app.example.com", "9987@app.example.com")
    assert (first.from_tag, first.to_tag) == (answer.to_tag, "123aa9")
    assert (first.from_.uri.text, first.to.uri.text) == (JOE, f"sip:app@{DOMAIN}")
    assert (first.first("Event"), first.max_forwards) == ("reg", 70)
    assert first.first("Subscription-State") == "active;expires=3761"
    root = told(first)
    assert (root.get("version"), root.get("state")) == (shown.get("version"), shown.get("state")) == ("0", "full")
    assert (root[0].get("aor"), root[0].get("state")) == (shown[0].get("aor"), shown[0].get("state")) == (JOE, "init")

    await trio.sleep(60)
    joe = world.phone("joe")
    register(joe, JOE)
    second = await notified(app, 2)
    shown = rfc3680.documents()[2]
    root = told(second)
    assert second.cseq.number == first.cseq.number + 1
    assert (root.get("version"), root.get("state")) == (shown.get("version"), shown.get("state")) == ("1", "partial")
    assert (root[0].get("id"), root[0].get("state")) == (told(first)[0].get("id"), "active")
    [contact] = root[0]
    for name in ("state", "event", "duration-registered"):
        assert contact.get(name) == shown[0][0].get(name)
    assert contact[0].text == joe.uri

    message = app.request("MESSAGE", joe.uri, to=JOE)
    app.send(message, joe.hop)
    await joe.until(lambda: bool(joe.requests("MESSAGE")), 5)


# --- the notifier (RFC 6665 §4.2) -----------------------------------------------------------------


async def test_what_befalls_contacts_is_told(world, autojump_clock):
    bob, desk = world.phone("bob"), world.phone("desk")
    await subscribed(bob, BOB, expires=7000)
    expected = []
    await trio.sleep(10)
    register(desk, BOB, expires=600)
    expected.append((desk.uri, "active", "registered"))
    assert contacts(await notified(bob, 2)) == expected[-1:]
    await trio.sleep(10)
    register(desk, BOB, expires=600, cseq=2)
    assert contacts(await notified(bob, 3)) == [(desk.uri, "active", "refreshed")]
    await trio.sleep(10)
    register(desk, BOB, expires=0, cseq=3)
    gone = await notified(bob, 4)
    assert contacts(gone) == [(desk.uri, "terminated", "unregistered")]
    assert told(gone)[0].get("state") == "terminated"
    await trio.sleep(10)
    register(desk, BOB, expires=60, call_id="another")
    await notified(bob, 5)
    assert contacts(await notified(bob, 6, 100)) == [(desk.uri, "terminated", "expired")]
    await trio.sleep(10)
    world.bind(f"bob@{DOMAIN}", desk)
    assert contacts(await notified(bob, 7)) == [(desk.uri, "active", "created")]
    await trio.sleep(10)
    [binding] = world.cache.bindings(f"bob@{DOMAIN}")
    world.put(PutBinding(binding._replace(expires_at=world.house.wall() + 100)))
    shortened = await notified(bob, 8)
    assert contacts(shortened) == [(desk.uri, "active", "shortened")]
    assert told(shortened)[0][0].get("expires") == "100"
    await trio.sleep(10)
    world.put(DropBinding(f"bob@{DOMAIN}", desk.uri))
    assert contacts(await notified(bob, 9)) == [(desk.uri, "terminated", "deactivated")]
    documents = [told(notify) for notify in bob.requests("NOTIFY")]
    assert [root.get("version") for root in documents] == [str(n) for n in range(9)]
    assert {root.get("state") for root in documents[1:]} == {"partial"}
    assert [notify.cseq.number for notify in bob.requests("NOTIFY")] == list(range(1, 10))


async def test_not_more_often_than_every_five_seconds_and_then_the_latest_of_each(world, autojump_clock):
    """RFC 3680 §4.10; whoever has just subscribed need not wait."""
    bob, desk, cell = world.phone("bob"), world.phone("desk"), world.phone("cell")
    await subscribed(bob, BOB)
    begun = trio.current_time()
    for cseq in range(1, 6):
        register(desk, BOB, cseq=cseq)
        await trio.sleep(0.5)
    register(cell, BOB)
    await trio.sleep(0.5)
    register(desk, BOB, cseq=6, expires=0)
    second = await notified(bob, 2)
    assert bob.seen[-1].at - begun >= 4.9
    assert contacts(second) == [(cell.uri, "active", "registered"), (desk.uri, "terminated", "unregistered")]
    await trio.sleep(60)
    assert len(bob.requests("NOTIFY")) == 2


async def test_one_notify_at_a_time(world, autojump_clock):
    """What happens meanwhile is in the next one."""
    bob, desk = world.phone("bob"), world.phone("desk")
    first = await subscribed(bob, BOB)
    react, bob.react = bob.react, lambda request, flow: held.append((request, flow))
    held: list[tuple[Request, object]] = []
    await trio.sleep(6)
    register(desk, BOB)
    await notified(bob, 2)
    register(desk, BOB, cseq=2)
    await trio.sleep(15)
    again(bob, first, expires=3000)
    await trio.sleep(5)
    assert {notify.cseq.number for notify in bob.requests("NOTIFY")} == {1, 2}, "a repetition is no other"
    bob.react = react
    bob.reply(*held[0], 200)
    await bob.until(lambda: bob.requests("NOTIFY")[-1].cseq.number == 3, 5)
    last = bob.requests("NOTIFY")[-1]
    assert told(last).get("state") == "full"
    assert contacts(last) == [(desk.uri, "active", "refreshed")]


async def test_a_refresh_brings_all_again_and_more_time(world, autojump_clock):
    bob, desk = world.phone("bob"), world.phone("desk")
    first = await subscribed(bob, BOB, expires=100)
    register(desk, BOB)
    await trio.sleep(80)
    again(bob, first, expires=200)
    third = await notified(bob, 3, 5)
    assert (told(third).get("state"), told(third).get("version")) == ("full", "2")
    assert third.first("Subscription-State") == "active;expires=200"
    assert (third.from_tag, third.call_id) == (first.from_tag, first.call_id)
    await trio.sleep(150)
    assert len(bob.requests("NOTIFY")) == 3
    last = await notified(bob, 4, 60)
    assert last.first("Subscription-State") == "terminated;reason=timeout"
    assert bob.seen[-1].at == pytest.approx(80 + 200, abs=1)
    await trio.sleep(40)
    again(bob, first, cseq=3)
    await bob.until(lambda: 481 in bob.statuses("SUBSCRIBE"), 5)
    assert len(world.house.network.receive.__self__.notifier) == 0


async def test_unsubscribing(world, autojump_clock):
    bob, desk = world.phone("bob"), world.phone("desk")
    first = await subscribed(bob, BOB)
    register(desk, BOB)
    await trio.sleep(1)
    again(bob, first, expires=0)
    last = await notified(bob, 2, 5)
    assert last.first("Subscription-State") == "terminated;reason=timeout"
    assert contacts(last) == [(desk.uri, "active", "registered")]
    register(desk, BOB, cseq=2)
    await trio.sleep(100)
    assert len(bob.requests("NOTIFY")) == 2
    assert gauge(world) == 0


async def test_a_contact_that_ends_with_the_subscription_is_told_with_it(world, autojump_clock):
    """Though nobody has swept it away yet; who watches besides hears of it, too."""
    bob, other, desk = world.phone("bob"), world.phone("other"), world.phone("desk")
    other.name = "bob"
    register(desk, BOB, expires=62)
    await desk.status(200)
    await subscribed(other, BOB, expires=600)
    await subscribed(bob, BOB, expires=62)
    last = await notified(bob, 2, 70)
    assert last.first("Subscription-State") == "terminated;reason=timeout"
    assert len(world.cache.bindings(f"bob@{DOMAIN}")) == 1, "it is there still"
    assert contacts(last) == [(desk.uri, "terminated", "expired")]
    assert told(last)[0].get("state") == "terminated"
    assert contacts(await notified(other, 2, 5)) == [(desk.uri, "terminated", "expired")]
    await trio.sleep(60)
    assert len(other.requests("NOTIFY")) == 2


async def test_a_cancel_changes_nothing(world, autojump_clock):
    """RFC 6665 §4.6: it is answered, and that is all."""
    bob = world.phone("bob")
    subscribe(bob, BOB, branch="z9hG4bKsame", call_id="same")
    bob.send(bob.request("CANCEL", BOB, branch="z9hG4bKsame", call_id="same"))
    await bob.until(lambda: bool(bob.statuses("CANCEL")), 5)
    await notified(bob, 1)
    assert (bob.statuses("SUBSCRIBE"), gauge(world)) == ([200], 1)


async def test_a_fetch_is_one_look(world, autojump_clock):
    bob, desk = world.phone("bob"), world.phone("desk")
    register(desk, BOB)
    await trio.sleep(1)
    only = await subscribed(bob, BOB, expires=0)
    assert bob.responses(200)[0].first("Expires") == "0"
    assert only.first("Subscription-State") == "terminated;reason=timeout"
    assert (told(only).get("state"), contacts(only)) == ("full", [(desk.uri, "active", "registered")])
    await trio.sleep(1)
    assert gauge(world) == 0


def gauge(world: World) -> int:
    return world.house.gauges["subscriptions"].size()


@pytest.mark.parametrize(
    ("asked", "given"),
    [(None, 3761), (60, 60), (3600, 3600), (7200, 7200), (100000, 7200), (2**32, 7200), (2**80, 7200)],
)
async def test_how_long_it_holds(world, autojump_clock, asked, given):
    bob = world.phone("bob")
    first = await subscribed(bob, BOB, expires=asked)
    assert bob.responses(200)[0].first("Expires") == str(given)
    assert first.first("Subscription-State") == f"active;expires={given}"


async def test_too_brief_is_423(world, autojump_clock):
    bob = world.phone("bob")
    subscribe(bob, BOB, expires=59)
    assert (await bob.status(423)).first("Min-Expires") == "60"
    world.settings(min_expires=9999)
    subscribe(bob, BOB, expires=3600)
    await bob.status(200)


@pytest.mark.parametrize("status", [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604])
async def test_an_answer_that_knows_no_subscription_ends_it(world, autojump_clock, status):
    bob, desk = world.phone("bob"), world.phone("desk")
    await subscribed(bob, BOB)
    bob.react = lambda request, flow: bob.reply(request, flow, status)
    await trio.sleep(6)
    register(desk, BOB)
    await notified(bob, 2)
    await trio.sleep(1)
    assert gauge(world) == 0


@pytest.mark.parametrize("status", [400, 403, 407, 500, 503])
async def test_after_another_failure_the_next_has_all_again(world, autojump_clock, status):
    bob, desk = world.phone("bob"), world.phone("desk")
    await subscribed(bob, BOB)
    react, bob.react = bob.react, lambda request, flow: bob.reply(request, flow, status)
    await trio.sleep(6)
    register(desk, BOB)
    await notified(bob, 2)
    bob.react = react
    await trio.sleep(20)
    assert (gauge(world), len(bob.requests("NOTIFY"))) == (1, 2)
    register(desk, BOB, cseq=2)
    assert told(await notified(bob, 3)).get("state") == "full"


async def test_a_silent_subscriber_is_forgotten(world, autojump_clock):
    bob, desk = world.phone("bob"), world.phone("desk")
    await subscribed(bob, BOB)
    bob.react = lambda request, flow: None
    await trio.sleep(6)
    register(desk, BOB)
    await trio.sleep(40)
    assert {notify.cseq.number for notify in bob.requests("NOTIFY")} == {1, 2}
    assert gauge(world) == 0


async def test_who_refreshes_from_another_place_is_not_forgotten_for_the_old_one(world, autojump_clock):
    """His NAT has given him another port, and a NOTIFY is still on its way to the old one."""
    old, desk = world.phone("bob", host="10.0.7.7", port=40000, claims="192.168.1.2:5060"), world.phone("desk")
    first = await subscribed(old, BOB, expires=3000)
    old.react = lambda request, flow: None
    await trio.sleep(6)
    register(desk, BOB)
    await notified(old, 2)
    await trio.sleep(10)
    new = world.phone("bob", host="10.0.7.7", port=40001, claims="192.168.1.2:5060")
    again(new, first, expires=3000)
    await new.until(lambda: new.statuses("SUBSCRIBE") == [200], 5)
    told_there = await notified(new, 1, 40)
    assert told(told_there).get("state") == "full"
    assert contacts(told_there) == [(desk.uri, "active", "registered")]
    register(desk, BOB, cseq=2)
    assert contacts(await notified(new, 2)) == [(desk.uri, "active", "refreshed")]


async def test_with_the_user_goes_all(world, autojump_clock):
    bob, desk = world.phone("bob"), world.phone("desk")
    app = world.phone("app")
    await subscribed(bob, BOB)
    await subscribed(app, BOB)
    register(desk, BOB)
    await notified(bob, 2)
    await trio.sleep(6)
    world.put(DropUser(f"bob@{DOMAIN}"))
    for phone in (bob, app):
        last = await notified(phone, 3)
        assert contacts(last) == [(desk.uri, "terminated", "rejected")]
        assert last.first("Subscription-State") == "terminated;reason=noresource"
    await trio.sleep(1)
    assert gauge(world) == 0


async def test_who_may_no_longer_see_it_is_told_so(world, autojump_clock):
    alice, app = world.phone("alice"), world.phone("app")
    world.put(PutDelegate(f"bob@{DOMAIN}", f"alice@{DOMAIN}"))
    await subscribed(alice, BOB)
    await subscribed(app, BOB)
    world.put(DropDelegate(f"bob@{DOMAIN}", f"alice@{DOMAIN}"))
    last = await notified(alice, 2)
    assert last.first("Subscription-State") == "terminated;reason=rejected"
    world.put(PutUser(world.cache.user(f"app@{DOMAIN}")._replace(role="regular")))
    last = await notified(app, 2)
    assert last.first("Subscription-State") == "terminated;reason=rejected"


async def test_a_lost_flow_is_told(world, autojump_clock):
    """RFC 5626 §7: its binding goes at once, durably, and the other phones hear that it is to come back."""
    bob, other = world.phone("bob", transport="TCP"), world.phone("other")
    other.name = "bob"
    await subscribed(other, BOB)
    contact = f'<{bob.uri}>;+sip.instance="<urn:uuid:1>";reg-id=1'
    register(bob, BOB, contact=contact, headers=(("Supported", "outbound"),))
    await notified(other, 2)
    await trio.sleep(6)
    bob.listener.flow_to(SERVER.host, SERVER.port).close()
    last = await notified(other, 3, 10)
    assert contacts(last) == [(bob.uri, "terminated", "deactivated")]
    assert (await world.store.load_all()).bindings == []


async def test_what_others_change_in_the_database_is_told(world, autojump_clock):
    """Another server's phones, and sipdctl: who wanted a contact gone is not known then."""
    bob, desk = world.phone("bob"), world.phone("desk")
    await subscribed(bob, BOB)
    expected = []
    row = Binding(f"bob@{DOMAIN}", desk.uri, expires_at=WALL + 5000, call_id="there", cseq=1, refreshed_at=WALL)
    for changes, event in (
        ([PutBinding(row)], "registered"),
        ([PutBinding(row._replace(cseq=2, expires_at=WALL + 6000))], "refreshed"),
        ([PutBinding(row._replace(cseq=2, expires_at=WALL + 900))], "shortened"),
        ([DropBinding(row.aor, row.uri)], "deactivated"),
        ([PutBinding(row)], "registered"),
        ([DropUser(row.aor)], "rejected"),
    ):
        await trio.sleep(6)
        assert world.store.apply_now([changes]) == [None]
        await world.cache.reload()
        expected.append(event)
        last = await notified(bob, 1 + len(expected))
        assert [one[2] for one in contacts(last)] == [event]
    assert last.first("Subscription-State") == "terminated;reason=noresource"


# --- what it looks like on the way ----------------------------------------------------------------


async def test_notifies_go_along_the_record_route(world, autojump_clock):
    """RFC 6665 §4.4.1, RFC 3261 §12.2: the route set is that of the SUBSCRIBE, and stays so."""
    bob, edge = world.phone("bob"), world.phone("edge")
    edge.send(
        bob.request(
            *("SUBSCRIBE", BOB),
            headers=(("Event", "reg;id=x7"), ("Record-Route", f"<sip:{edge.hop.place};lr>, <sip:p1.example;lr>")),
        )
    )
    first = await notified(edge, 1)
    assert first.request_uri == bob.uri
    assert first.values("Route") == [f"<sip:{edge.hop.place};lr>", "<sip:p1.example;lr>"]
    assert first.first("Event") == "reg;id=x7"
    assert bob.requests("NOTIFY") == []


async def test_a_strict_router_gets_what_it_expects(world, autojump_clock):
    bob, edge = world.phone("bob"), world.phone("edge")
    edge.send(bob.request("SUBSCRIBE", BOB, headers=(("Event", "reg"), ("Record-Route", f"<sip:{edge.hop.place}>"))))
    first = await notified(edge, 1)
    assert (first.request_uri, first.values("Route")) == (f"sip:{edge.hop.place}", [f"<{bob.uri}>"])


async def test_a_phone_with_outbound_is_told_by_its_flow(world, autojump_clock):
    """It says `ob` and sends from another port than its Contact has (RFC 5626 §4.3)."""
    bob = world.phone("bob", claims="10.0.1.1:7000", params=";ob")
    elsewhere = Phone(world, "bob", "10.0.1.1", port=7000)
    first = await subscribed(bob, BOB)
    assert first.request_uri == "sip:bob@10.0.1.1:7000;ob"
    assert elsewhere.seen == []


async def test_a_phone_behind_nat_is_told_by_its_flow(world, autojump_clock):
    bob = world.phone("bob", claims="192.168.1.2:5060")
    first = await subscribed(bob, BOB)
    assert first.request_uri == "sip:bob@192.168.1.2:5060"


async def test_a_phone_on_a_connection_is_told_by_it_and_forgotten_with_it(world, autojump_clock):
    bob = world.phone("bob", transport="TCP")
    world.network.unreachable.add(bob.hop)
    first = await subscribed(bob, BOB)
    assert first.contacts[0].uri.text == f"sip:{SERVER.place};transport=tcp"
    world.network.unreachable.discard(bob.hop)
    bob.listener.flow_to(SERVER.host, SERVER.port).close()
    world.network.unreachable.add(bob.hop)
    await trio.sleep(6)
    register(world.phone("desk"), BOB)
    await trio.sleep(1)
    assert gauge(world) == 0


async def test_through_an_edge_by_the_flow_that_the_phone_has_there(world, nursery, autojump_clock):
    """RFC 5626 §5.3: the edge stays in the dialog, and its Route names the flow; so it does after a refresh."""
    await open_edges(nursery, world)
    bob = world.phone("bob", transport="TCP", claims="192.0.2.2:5060", host="10.0.1.99")
    world.network.unreachable.add(bob.hop)
    contact, event = f"<{bob.uri};ob>", ("Event", "reg")
    bob.send(bob.request("SUBSCRIBE", BOB, headers=(event,), contact=contact, call_id="by-edge"), EDGES[0])
    first = await notified(bob, 1)
    assert first.request_uri == contact[1:-1]
    assert "Route" not in first.names
    [ok] = bob.responses(200)
    routes = [("Route", value) for value in reversed(ok.values("Record-Route"))]  # RFC 3261 §12.1.2
    assert routes
    dialog = {"to": BOB, "to_tag": first.from_tag or "", "cseq": 2, "call_id": "by-edge", "contact": contact}
    bob.send(bob.request("SUBSCRIBE", first.contacts[0].uri.text, headers=(event, *routes), **dialog), EDGES[0])
    second = await notified(bob, 2)
    assert (second.request_uri, told(second).get("version")) == (contact[1:-1], "1")


async def test_a_gruu_as_contact_leads_back_to_the_phone(world, autojump_clock):
    """RFC 5627 §4.4: it is ours; the NOTIFY goes by the way the SUBSCRIBE came, with the GRUU in it."""
    bob = world.phone("bob")
    first = await subscribed(bob, BOB, contact=f"<sip:bob@{DOMAIN};gr=abc>")
    assert first.request_uri == f"sip:bob@{DOMAIN};gr=abc"


# --- what is for us, and what is not --------------------------------------------------------------


async def test_other_packages_go_to_the_phones(world, autojump_clock):
    alice, bob = world.phone("alice"), world.phone("bob")
    world.bind(f"bob@{DOMAIN}", bob)
    for event in ("presence", "Reg", "reg.winfo", "dialog"):
        subscribe(alice, BOB, event=event)
    await bob.until(lambda: len(bob.requests("SUBSCRIBE")) == 4, 5)
    subscribe(alice, f"sip:bob@{DOMAIN}", uri=f"sip:{DOMAIN}", event="presence")
    assert (await alice.status(489)).first("Allow-Events") == "reg"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ((("Accept", "application/pidf+xml"),), b"", 406),
        ((("Accept", "text/plain, application/reginfo+xml"),), b"", 200),
        ((("Accept", "application/*;q=0.1"),), b"", 200),
        ((("Require", "teleport"),), b"", 420),
        ((("Content-Type", "application/simple-filter+xml"),), b"<filter/>", 415),
        ((("Content-Type", "text/plain"), ("Content-Disposition", "render;handling=optional")), b"x", 200),
    ],
)
async def test_what_else_it_wants(world, autojump_clock, headers, body, status):
    bob = world.phone("bob")
    subscribe(bob, BOB, headers=headers, body=body)
    await bob.status(status)
    assert gauge(world) == (status == 200)


@pytest.mark.parametrize("contact", ["<tel:+1>", "<sip:a@10.0.1.1>, <sip:b@10.0.1.1>", "*"])
async def test_a_contact_that_is_no_address(world, autojump_clock, contact):
    bob = world.phone("bob")
    subscribe(bob, BOB, contact=contact)
    await bob.status(400)


@pytest.mark.parametrize(
    ("who", "whom", "status"),
    [
        ("bob", BOB, 200),
        ("alice", BOB, 403),
        ("bob", ALICE, 200),  # alice has named him
        ("app", BOB, 200),  # an administrator
        ("app", f"sip:nobody@{DOMAIN}", 404),
        ("bob", f"sip:nobody@{DOMAIN}", 403),
        ("zoe", BOB, 403),
        ("bob", f"sip:{DOMAIN}", 403),
    ],
)
async def test_who_may_subscribe_to_whom(world, autojump_clock, capsys, who, whom, status):
    world.put(PutDelegate(f"alice@{DOMAIN}", f"bob@{DOMAIN}"))
    phone = world.phone(who)
    subscribe(phone, whom)
    await phone.status(status)
    await trio.sleep(1)
    assert len(phone.requests("NOTIFY")) == (status == 200)
    if status == 403 and who == "alice":
        assert f"event=reg_denied who=alice@{DOMAIN} aor=bob@{DOMAIN}" in capsys.readouterr().err


async def test_it_takes_the_users_password_and_the_challenge_is_a_401(world, autojump_clock):
    """RFC 6665 §4.2.1.3, whatever his level."""
    world.settings(auth="digest")
    world.put(PutUser(world.cache.user(f"bob@{DOMAIN}")._replace(level="never")))
    for who in ("bob", "zoe"):
        phone = world.phone(who)
        subscribe(phone, BOB)
        assert (await phone.status(401)).first("WWW-Authenticate")
    assert gauge(world) == 0


# --- those who mean ill ---------------------------------------------------------------------------


async def test_nobody_else_gets_into_a_dialog(world, autojump_clock):
    bob, alice = world.phone("bob"), world.phone("alice")
    first = await subscribed(bob, BOB)
    again(alice, first, expires=0)
    await alice.status(403)
    subscribe(bob, BOB, uri=first.contacts[0].uri.text, call_id=first.call_id, to_tag="made-up", cseq=5)
    await bob.until(lambda: 481 in bob.statuses("SUBSCRIBE"), 5)
    again(bob, first, cseq=2, event="reg;id=2")
    await bob.until(lambda: 403 in bob.statuses("SUBSCRIBE"), 5)
    assert bob.responses(403)[0].reason == "Dialog Sharing Not Supported"
    again(bob, first, cseq=1)
    await bob.until(lambda: 500 in bob.statuses("SUBSCRIBE"), 5)  # RFC 3261 §12.2.2
    assert gauge(world) == 1


async def test_who_has_proved_nothing_makes_us_send_to_himself_only(world, autojump_clock):
    """No reflector (P6): neither Contact nor Record-Route name another to send to."""
    victim, bob = Phone(world, "victim", "10.0.7.7"), world.phone("bob")
    subscribe(bob, BOB, contact="<sip:victim@10.0.7.7>")
    await notified(bob, 1)
    subscribe(bob, BOB, headers=(("Record-Route", "<sip:10.0.7.7;lr>"),))
    await trio.sleep(40)
    assert victim.seen == []


ODD = [
    *("", ";", "reg;", "reg;id", "reg;id=", "reg;id=" + "x" * 300, "reg;id=a;id=b", "reg;=", "reg, reg", 'reg;id="a'),
    *("\\", "*", "<>", "sip:", "<sip:a@10.0.1.1>;tag=", "<sip:[::1>", "<sip:a@10.0.1.1;lr", "x" * 8000, "a" * 40 + ","),
    *("%00", "0", "-1", "1e9", "99999999999999999999", "\u0661", " ", "\t"),
]


@pytest.mark.parametrize("name", ["Event", "Contact", "Record-Route", "Expires", "Accept", "Content-Disposition"])
async def test_odd_header_fields_are_answered_and_break_nothing(world, autojump_clock, name):
    bob = world.phone("bob")
    for number, value in enumerate(ODD):
        plain = bob.request("SUBSCRIBE", BOB, call_id=f"odd-{number}", headers=(("Event", "reg"), ("Expires", "600")))
        lines = [line for line in plain.lines if not line.startswith(f"{name}:")]
        head = "\r\n".join([plain.start_line, *lines, f"{name}: {value}", "", ""])
        bob.listener.flow_to(SERVER.host, SERVER.port).send(head.encode("utf-8", "surrogateescape"))
    await trio.sleep(40)
    assert set(bob.statuses("SUBSCRIBE")) <= {200, 400, 406, 423, 480}
    again_there = bob.request("OPTIONS", f"sip:{DOMAIN}")
    bob.send(again_there)
    await bob.until(lambda: 200 in bob.statuses("OPTIONS"), 5)


@pytest.mark.parametrize("event", ["reg", "reg;id=7", "reg;id", 'reg;id="7"', 'reg;id="a b;c"', "reg ; ID=7;x=y"])
async def test_the_event_comes_back_as_it_was_asked_for(world, autojump_clock, event):
    """RFC 6665 §8.2.1: compared byte by byte, so nothing may be added to it or taken away."""
    notify = await subscribed(world.phone("bob"), BOB, event=event)
    asked = event.replace("reg ; ID=7;x=y", "reg;id=7")
    assert notify.first("Event") == asked


async def test_what_quoted_pairs_may_hide_comes_back_as_it_came(world, autojump_clock):
    """RFC 4475 §3.1.1.2 has NUL in a display name."""
    bob, odd = world.phone("bob"), '"\\\0\\\x07"'
    asked = bob.request(
        "SUBSCRIBE", BOB, headers=(("Event", f"reg;id={odd}"), ("Record-Route", f"<{bob.uri};lr>;x={odd}"))
    )
    head = bytes(asked).replace(b"From: <", f"From: {odd} <".encode()).replace(b"To: <", f"To: {odd} <".encode())
    bob.listener.flow_to(SERVER.host, SERVER.port).send(head)
    notify = await notified(bob, 1, 5)
    assert bob.statuses("SUBSCRIBE") == [200]
    assert (notify.first("Event"), notify.from_.display, notify.to.display) == (f"reg;id={odd}", "\0\x07", "\0\x07")


async def test_a_flood_has_an_end(world, autojump_clock, monkeypatch):
    monkeypatch.setattr(notifier, "MOST_OF_ONE", 5)
    world.settings(max_subscriptions=12)
    bob, app = world.phone("bob"), world.phone("app")
    for _ in range(10):
        subscribe(bob, BOB)
    for _ in range(20):
        subscribe(app, ALICE)
    await trio.sleep(1)
    assert sorted(bob.statuses("SUBSCRIBE")) == [200] * 5 + [403] * 5
    assert sorted(app.statuses("SUBSCRIBE")) == [200] * 7 + [503] * 13
    assert app.responses(503)[0].first("Retry-After") == "60"
    assert gauge(world) == 12
    await trio.sleep(4000)
    assert gauge(world) == 0


async def test_many_subscribers_are_told_some_at_a_time(world, autojump_clock, monkeypatch):
    """Calls go on between them (P7)."""
    monkeypatch.setattr(notifier, "AT_ONCE", 3)
    app, desk = world.phone("app"), world.phone("desk")
    for _ in range(10):
        subscribe(app, BOB)
    await trio.sleep(10)
    app.seen.clear()
    register(desk, BOB)
    await app.until(lambda: len(app.requests("NOTIFY")) == 10, 2)
    times = [round((seen.at - app.seen[0].at) / notifier.APART) for seen in app.seen]
    assert [times.count(turn) for turn in range(4)] == [3, 3, 3, 1]


async def test_a_change_makes_one_timer_however_many_subscribers_there_are(world, autojump_clock, monkeypatch):
    """Or thousands of them hold up the loop for a tenth of a second."""
    monkeypatch.setattr(notifier, "AT_ONCE", 3)
    app = world.phone("app")
    for _ in range(30):
        subscribe(app, BOB)
    await trio.sleep(10)
    made: list[float] = []
    call_at = Deadlines.call_at

    def counted(self, when, *more):
        made.append(when)
        return call_at(self, when, *more)

    monkeypatch.setattr(Deadlines, "call_at", counted)
    world.put(PutBinding(Binding(f"bob@{DOMAIN}", "sip:bob@10.0.1.9", expires_at=WALL + 900, call_id="x")))
    assert len(made) <= 3 * 3 + 1, "of each who is told now what his transaction needs, and one for all others"


async def test_a_subscription_to_ourselves_goes_round_once(world, autojump_clock):
    bob = world.phone("bob")
    subscribe(bob, BOB, contact=f"<sip:bob@{SERVER.place}>")
    subscribe(bob, BOB, headers=(("Record-Route", f"<sip:{SERVER.place};lr>"),))
    await trio.sleep(100)
    assert len(bob.requests("NOTIFY")) < 4
    assert len(world.network.sent) < 60


async def test_nothing_is_left_behind(world, autojump_clock):
    made = world.house.network.receive.__self__.notifier
    bob, desk = world.phone("bob"), world.phone("desk")
    first = await subscribed(bob, BOB)
    register(desk, BOB)
    await trio.sleep(10)
    again(bob, first, expires=0)
    await trio.sleep(50)
    assert (made._subscriptions, made._timers, made._watched, made._of_user) == ({}, {}, {}, {})
