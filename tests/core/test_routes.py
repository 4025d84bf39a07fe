"""Routes: whose URI it is, strict and loose routers, and the seal of our dialogs (§16.4, T64, T65)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.decision import Proxy, Relay, Respond
from sipd.core.policy import decide
from sipd.core.routes import (
    address_of_record,
    local_domain,
    means_server,
    names_us,
    path_value,
    record_route_value,
    strip_routes,
)
from sipd.core.ways import Token, token_text
from sipd.errors import Forbidden, SipError
from sipd.hop import Hop, Target, Way
from sipd.message import parse_route, parse_uri
from tests.core.tables import BOB, SEAL, DictTables, House, Places, request

CONTACT = "sip:bob@198.51.100.7:5062"
OURS = "<sip:192.0.2.1:5060;lr>"
STRANGER = "<sip:zoe@elsewhere.example>;tag=z1"


def sealed(made=None, sent_by="192.0.2.1:5060", transport="UDP"):
    return record_route_value(made or request(from_=STRANGER), sent_by, transport, SEAL)


def within(method="BYE", *routes, uri=CONTACT, from_=STRANGER, to="<sip:bob@example.com>;tag=b1", **kwargs):
    return request(method, uri, *(f"Route: {route}" for route in routes or (sealed(),)), from_=from_, to=to, **kwargs)


@pytest.mark.parametrize(
    ("uri", "domain"),
    [
        ("sip:bob@example.com", "example.com"),
        ("sips:bob@EXAMPLE.COM.", "example.com"),
        ("sip:bob@example.com:5060", "example.com"),
        ("sip:bob@example.com:5061", "example.com"),
        ("sip:bob@example.com:5070", None),
        ("sip:bob@192.0.2.1", "example.com"),
        ("sip:bob@192.0.2.1:5060", "example.com"),
        ("sip:bob@192.0.2.1:5070", None),  # a phone on our own host
        ("sip:bob@elsewhere.example", None),
        ("sip:bob@example.com;maddr=198.51.100.1", None),
        ("sip:bob@example.com;maddr=192.0.2.1", "example.com"),
        ("tel:+1", None),
        ("mailto:bob@example.com", None),
    ],
)
def test_local_domain(uri, domain):
    assert local_domain(parse_uri(uri), DictTables(), Places()) == domain


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("sip:bob@example.com", BOB),
        ("sips:%62ob@Example.Com.;user=phone", BOB),
        ("sip:bob:x@192.0.2.1", BOB),
        ("sip:Bob@example.com", "Bob@example.com"),
        ("sip:bob%00x@example.com", "bob\0x@example.com"),  # looked up whole (T09)
        ("sip:b%C3%B6b@example.com", "böb@example.com"),
        ("sip:b%F6b@example.com", ""),  # not UTF-8
        ("sip:%2562ob@example.com", "%62ob@example.com"),  # unescaped once
        ("sip:example.com", ""),
        ("sip:bob@elsewhere.example", ""),
        ("tel:+1", ""),
    ],
)
def test_one_canonical_form(uri, aor):
    assert address_of_record(parse_uri(uri), DictTables()) == aor


@pytest.mark.parametrize(
    ("host", "port", "ours"),
    [("192.0.2.1", 5060, True), ("192.0.2.1", None, True), ("2001:db8::1", 5060, True), ("192.0.2.2", 5060, False)],
)
def test_names_us(host, port, ours):
    assert names_us(host, port, DictTables(), Places()) is ours


def test_means_server():
    tables, places = DictTables(), Places()
    answers = [
        means_server(parse_uri(uri), tables, places) for uri in ("sip:example.com", f"sip:{BOB}", "sip:x.example")
    ]
    assert answers == [True, False, False]


# -- Record-Route ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent_by", "transport", "begins"),
    [
        ("192.0.2.1:5060", "UDP", "<sip:192.0.2.1:5060;lr;sd="),
        ("[2001:db8::1]:5060", "TCP", "<sip:[2001:db8::1]:5060;transport=tcp;lr;sd="),
    ],
)
def test_record_route_is_a_loose_route_with_a_short_seal(sent_by, transport, begins):
    value = sealed(None, sent_by, transport)
    assert value.startswith(begins)
    parameter = ";sd=" + (parse_route(value).uri.param("sd") or "")
    assert len(parameter) < 32


@pytest.mark.parametrize("sent_by", ["192.0.2.1:5060", "[2001:db8::1]:5060"])
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize("method", ["BYE", "INVITE", "MESSAGE"])
def test_both_sides_of_the_dialog_pass(sent_by, transport, method):
    route = sealed(None, sent_by, transport)
    forth = within(method, route)
    back = within(method, route, uri="sip:zoe@203.0.113.5", from_="<sip:bob@example.com>;tag=b1", to=STRANGER)
    for made in (forth, back):
        inquiry = House().inquiry(made)
        decision = decide(inquiry, House().tables)
        assert isinstance(decision, Proxy)
        assert decision.quick
        assert decision.targets[0].uri.text == made.request_uri
        assert "Route" not in inquiry.request.names


def test_ack_is_relayed():
    assert House().decide(within("ACK")) == Relay(Target(parse_uri(CONTACT)))


@pytest.mark.parametrize(
    "made",
    [
        within("BYE", OURS),
        within("BYE", "<sip:192.0.2.1:5060;lr;sd=" + "0" * 24 + ">"),
        within("BYE", sealed(), call_id="another"),
        within("BYE", sealed(), from_="<sip:zoe@elsewhere.example>;tag=z2"),
        within("BYE", sealed(), to="<sip:bob@example.com>"),  # no dialog at all: a seal begins none
        within("INVITE", sealed(), to="<sip:bob@example.com>"),
        within("BYE", sealed().replace("192.0.2.1", "192.0.2.2")),
        within("BYE", "<sip:elsewhere.example;lr>", sealed()),
        request("BYE", CONTACT, from_=STRANGER, to="<sip:bob@example.com>;tag=b1"),
        request("BYE", f"sip:bob@198.51.100.7;sd={'0' * 24}", from_=STRANGER, to="<sip:bob@example.com>;tag=b1"),
    ],
)
def test_without_the_right_seal_nothing_leaves(made):
    with pytest.raises(Forbidden):
        House().decide(made)


def test_a_seal_is_no_way_past_the_challenge_of_a_register():
    made = within("REGISTER", sealed(), uri="sip:example.com")
    assert House().answer(made).status == 401


def test_an_old_client_without_tags_is_known_by_its_seal():
    invite = request(from_="<sip:zoe@elsewhere.example>")
    bye = within("BYE", sealed(invite), from_="<sip:zoe@elsewhere.example>")
    assert isinstance(House().decide(bye), Proxy)


@pytest.mark.parametrize(
    "tag", ["a.b-c", "1", "x;lr", "é", "ABC"], ids=["token", "one", "param", "not ascii", "capitals"]
)
def test_the_quick_way_and_the_long_way_read_the_same_tag(tag):
    from_ = f"<sip:zoe@elsewhere.example>;tag={tag}"
    try:
        bye = within("BYE", sealed(request(from_=from_)), from_=from_)
    except SipError:
        return
    assert isinstance(House().decide(bye), Proxy)
    reordered = f"<sip:zoe@elsewhere.example>;x=y;tag={tag}"
    assert isinstance(House().decide(within("BYE", sealed(request(from_=from_)), from_=reordered)), Proxy)


# -- taking Routes off -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([OURS], []),
        ([OURS, "<sip:elsewhere.example;lr>"], ["<sip:elsewhere.example;lr>"]),
        ([f"{OURS}, <sip:elsewhere.example;lr>"], ["<sip:elsewhere.example;lr>"]),
        ([OURS, OURS, '"a, b" <sip:x.example;lr>;p="q"', OURS], ['"a, b" <sip:x.example;lr>;p="q"', OURS]),
        (["<sip:example.com;lr>"], []),
        (["<sip:192.0.2.1:5070;lr>"], ["<sip:192.0.2.1:5070;lr>"]),
        (["<sip:elsewhere.example;lr>", OURS], ["<sip:elsewhere.example;lr>", OURS]),
        (["<tel:+1>"], ["<tel:+1>"]),
    ],
)
def test_own_values_on_top_are_taken_off_and_the_others_keep_their_bytes(lines, left):
    made = request("INVITE", f"sip:{BOB}", *(f"Route: {line}" for line in lines))
    inquiry = House().inquiry(made)
    strip_routes(inquiry, House().tables)
    assert inquiry.request.values("Route") == left
    kept = [line for line in made.lines if not line.startswith("Route")]
    assert [line for line in inquiry.request.lines if not line.startswith("Route")] == kept
    assert inquiry.request.via == made.via
    assert not inquiry.in_dialog


def test_from_a_strict_router_the_last_route_is_the_uri():
    ours = parse_route(sealed()).uri.text
    made = within("BYE", "<sip:next.example;lr>", f"<{CONTACT}>", uri=ours)
    inquiry = House().inquiry(made)
    decision = decide(inquiry, House().tables)
    assert isinstance(decision, Proxy)
    assert (decision.targets[0].uri.text, inquiry.request.request_uri) == (CONTACT, CONTACT)
    assert inquiry.request.values("Route") == ["<sip:next.example;lr>"]


def test_a_strict_router_without_seal_gets_nowhere():
    made = within("BYE", f"<{CONTACT}>", uri=f"sip:192.0.2.1:5060;lr;sd={'0' * 24}")
    with pytest.raises(SipError) as caught:
        House().decide(made)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("sip:bob@example.com;maddr=192.0.2.1;transport=tcp", "sip:bob@example.com"),
        ("sip:bob@example.com:5060;maddr=192.0.2.1;x=y", "sip:bob@example.com;x=y"),
        ("sip:bob@example.com;maddr=198.51.100.1", "sip:bob@example.com;maddr=198.51.100.1"),
        ("sip:bob@example.com;transport=tcp", "sip:bob@example.com;transport=tcp"),
    ],
)
def test_our_maddr_is_taken_off(uri, meant):
    inquiry = House().inquiry(request(uri=uri))
    strip_routes(inquiry, House().tables)
    assert inquiry.uri.text == meant


def test_asked_again_the_answer_is_the_same():
    inquiry = House().inquiry(within("BYE", sealed(), "<sip:next.example;lr>"))
    first = decide(inquiry, House().tables)
    assert decide(inquiry, House().tables) == first


@given(st.text(alphabet="0123456789abcdef", min_size=24, max_size=24))
def test_no_seal_can_be_guessed(mark):
    made = within("BYE", f"<sip:192.0.2.1:5060;lr;sd={mark}>")
    if parse_route(sealed()).uri.param("sd") == mark:
        return
    with pytest.raises(Forbidden):
        House().decide(made)


def test_in_a_dialog_a_user_of_ours_is_searched():
    made = House()
    with pytest.raises(SipError) as caught:
        made.decide(within("BYE", uri=f"sip:{BOB}"))
    assert caught.value.status == 480


def test_in_a_dialog_the_server_itself_is_nobody():
    with pytest.raises(SipError) as caught:
        House().decide(within("BYE", uri="sip:192.0.2.1:5060"))
    assert caught.value.status == 404


def test_a_sealed_call_is_not_answered_on_the_spot():
    assert not isinstance(House().decide(within("BYE")), Respond)


# -- the flow of a party that has no other way (RFC 5626 §5.3, RFC 5658) --------------------

PHONE_WAY = Way(Hop("UDP", "203.0.113.9", 40000), Hop("UDP", "192.0.2.1", 5060))
OTHER_WAY = Way(Hop("TCP", "203.0.113.10", 41000), Hop("TCP", "192.0.2.1", 5060))


def token(way=PHONE_WAY, bound=False):
    return token_text(Token(way, bound))


def side(way=None, sent_by="192.0.2.1:5060", transport="UDP", bound=False):
    """Our Record-Route value of one side of the call that `within` belongs to."""
    text = "" if way is None else token(way, bound)
    return record_route_value(request(from_=STRANGER), sent_by, transport, SEAL, text)


def through_of(made):
    inquiry = House().inquiry(made)
    decision = decide(inquiry, House().tables)
    assert isinstance(decision, Proxy)
    assert "Route" not in inquiry.request.names
    target = decision.targets[0]
    return target.received, target.bound


@pytest.mark.parametrize("folded", [False, True], ids=["a line each", "one line"])
@pytest.mark.parametrize("method", ["BYE", "INVITE", "NOTIFY"])
@pytest.mark.parametrize(
    ("routes", "way", "bound"),
    [
        ([side(), side(PHONE_WAY)], PHONE_WAY, False),
        ([side(), side(PHONE_WAY, bound=True)], PHONE_WAY, True),
        ([side(PHONE_WAY), side()], None, False),  # the other way: its own token says nothing
        ([side(PHONE_WAY), side(OTHER_WAY, transport="TCP")], OTHER_WAY, False),
        ([side(OTHER_WAY, transport="TCP"), side(PHONE_WAY)], PHONE_WAY, False),
        ([side(PHONE_WAY)], PHONE_WAY, False),
        ([side(), side(), side(PHONE_WAY), side()], None, False),  # through us twice
        ([side(PHONE_WAY), side(), side(), side(OTHER_WAY)], OTHER_WAY, False),
    ],
)
def test_the_last_of_our_routes_says_the_flow(routes, way, bound, method, folded):
    made = within(method, *([", ".join(routes)] if folded else routes))
    assert through_of(made) == (way, bound)


def test_an_ack_goes_by_the_flow_too():
    relay = House().decide(within("ACK", side(), side(PHONE_WAY)))
    assert relay == Relay(Target(parse_uri(CONTACT), received=PHONE_WAY))


def test_a_route_of_another_behind_ours_goes_by_the_flow():
    made = within("BYE", side(), side(PHONE_WAY), "<sip:next.example;lr>")
    decision = House().decide(made)
    assert isinstance(decision, Proxy)
    assert decision.targets[0].received == PHONE_WAY


def test_a_strict_router_brings_the_flow_in_the_request_uri():
    ours = parse_route(side(PHONE_WAY)).uri.text
    assert through_of(within("BYE", f"<{CONTACT}>", uri=ours)) == (PHONE_WAY, False)
    first = parse_route(side()).uri.text
    assert through_of(within("BYE", side(PHONE_WAY), f"<{CONTACT}>", uri=first)) == (PHONE_WAY, False)


@pytest.mark.parametrize(
    "routes",
    [
        [side(), side(PHONE_WAY).replace(token(), token(OTHER_WAY))],
        [side(), side(PHONE_WAY).replace(token(), token(bound=True))],
        [side(), side(PHONE_WAY).replace(token(), "fl.AAAA")],
        [side(), side(PHONE_WAY).replace(token(), "fl.")],
        [side(), side(PHONE_WAY).replace(";sd=", ";xx=")],
        [side(), side().replace("<sip:", f"<sip:{token()}@")],  # the mark of a value without a token
        [side(PHONE_WAY).replace(token(), token(OTHER_WAY)), side()],  # wherever it stands
        [side(PHONE_WAY).replace(";lr", ";lr;ob"), side()],  # a token of a dialog is none of a Path
        [path_value("192.0.2.1:5060", "UDP", SEAL, token(), secure=False).replace(";ob", "")],
        [path_value("192.0.2.1:5060", "UDP", SEAL, token(), secure=False).replace(token(), token(OTHER_WAY))],
    ],
)
@pytest.mark.parametrize("folded", [False, True], ids=["a line each", "one line"])
@pytest.mark.parametrize("method", ["BYE", "INVITE", "ACK"])
def test_a_token_that_is_not_ours_is_403(routes, method, folded):
    with pytest.raises(Forbidden):
        House().decide(within(method, *([", ".join(routes)] if folded else routes)))


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "SUBSCRIBE"])
def test_by_a_path_of_ours_a_new_request_reaches_the_flow(method):
    path = path_value("192.0.2.1:5060", "UDP", SEAL, token(bound=True), secure=False)
    made = request(method, CONTACT, f"Route: {path}", from_=STRANGER)
    assert through_of(made) == (PHONE_WAY, True)
    with pytest.raises(Forbidden):  # from that very flow it is an outgoing request, and a stranger's
        House().decide(made, PHONE_WAY.remote)
    assert House().answer(request("REGISTER", "sip:example.com", f"Route: {path}")).status == 401


@given(st.sampled_from([side(), side(PHONE_WAY)]), st.sampled_from([side(), side(PHONE_WAY)]), st.data())
def test_the_quick_way_and_the_long_way_come_to_the_same(first, last, data):
    """Two Routes, one character changed or none, a line each and in one line: the same answer (T65)."""
    routes = [first, last]
    at = data.draw(st.integers(-1, len(first) + len(last) - 1))
    if at >= 0:
        number, place = (0, at) if at < len(first) else (1, at - len(first))
        other = data.draw(st.sampled_from("aA0;.@=<>-_:fl"))
        routes[number] = routes[number][:place] + other + routes[number][place + 1 :]

    def outcome(*lines):
        try:
            inquiry = House().inquiry(within("BYE", *lines))
            strip_routes(inquiry, House().tables)
        except SipError as fault:
            return fault.status
        return inquiry.in_dialog, inquiry.through, inquiry.request.values("Route")

    assert outcome(*routes) == outcome(", ".join(routes))
