"""Checks of a request: what each refuses, and with which status (§16.3, T02-T07, T37, T40)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipd.core.checks import CHECKS, check_loop, check_request, loop_mark
from sipd.core.decision import Proxy, Respond
from sipd.core.forwarding import PLAIN
from sipd.core.preferences import ASKED
from sipd.errors import BadExtension, Forbidden, LoopDetected, SipError
from sipd.message import Draft, Request, parse
from sipd.message.headers import USUAL
from sipd.rows import Binding
from tests.core.tables import BOB, SEAL, WALL, House, register, request

BRANCH = "z9hG4bK0123456789abcdef."


def house():
    made = House()
    made.tables.set(auth="none")
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 100)]
    return made


def edited(made, **lines):
    """The request with these header lines instead; None takes a line away. Names have _ for -."""
    draft = Draft(made)
    for name, value in lines.items():
        if value is None:
            draft.remove(name.replace("_", "-"))
        else:
            draft.replace(name.replace("_", "-"), value)
    return parse(bytes(draft))


def status_of(asked, where=None):
    """The status of the answer, 200 when it is sent on; `asked` is a request or makes one (the parser refuses some)."""
    try:
        decision = (where or house()).decide(asked() if callable(asked) else asked)
    except SipError as error:
        return error.status
    return decision.status if isinstance(decision, Respond) else 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ({}, 200),
        ({"From": None}, 400),
        ({"To": None}, 400),
        ({"Call-ID": None}, 400),
        ({"CSeq": None}, 400),
        ({"Max_Forwards": None}, 200),  # counts as 70
        ({"CSeq": "1 BYE"}, 400),
        ({"CSeq": "x INVITE"}, 400),
        ({"CSeq": "2147483648 INVITE"}, 400),
        ({"To": '<sip:bob@example.com>;tag="\\'}, 400),
        ({"From": "alice"}, 400),
        ({"From": "<sip:alice@example.com>;tag=a;tag=b"}, 400),
        ({"Max_Forwards": "0"}, 483),
        ({"Max_Forwards": "255"}, 200),
        ({"Max_Forwards": "256"}, 400),
        ({"Max_Forwards": "1" + "0" * 20}, 400),
        ({"Max_Forwards": "-1"}, 400),
        ({"Max_Forwards": "٣"}, 400),
        ({"Proxy_Require": "foo"}, 420),
        ({"Require": "foo"}, 200),  # for the callee to judge
        ({"Date": "not a date"}, 200),  # what we need not read is carried on (§16.3 step 1)
    ],
)
def test_header_fields_of_a_call(lines, status):
    assert status_of(lambda: edited(request(), **lines)) == status


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sip:bob@example.com", 200),
        ("sips:bob@example.com", 200),
        ("SIP:bob@example.com", 200),
        ("tel:+12125551212", 403),  # a stranger gets no gateway (T85)
        ("urn:service:sos", 416),
        ("http://example.com/", 416),
        ("sip:bob@example.com?Route=%3Csip:evil.example%3E", 400),
        ("sip:bob@example.com;method=BYE", 400),
        ("sip:", 400),
        ("sip:x@.1", 400),
        ("sip:[::1", 400),
        ("sip:bob@example.com:65536", 400),
    ],
)
def test_request_uri(uri, status):
    made = house()
    made.tables.set(auth="digest")
    stranger = "<sip:x@elsewhere.example>;tag=1"
    assert status_of(lambda: request(uri=uri, to=f"<sip:{BOB}>", from_=stranger), made) == status


def test_a_number_without_a_gateway_is_404_to_our_own():
    assert status_of(request(uri="tel:+12125551212")) == 404


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (request("OPTIONS", "sip:example.com"), 200),
        (request("OPTIONS", "sip:192.0.2.1:5060"), 200),
        (request("OPTIONS", "sip:bob@example.com"), 483),
        (request("OPTIONS", "sip:elsewhere.example"), 483),
        (register(), 200),
        (request("BYE"), 483),
    ],
)
def test_max_forwards_0_stops_what_is_not_for_us(made, status):
    assert status_of(edited(made, Max_Forwards="0")) == status


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (request("OPTIONS", "sip:example.com", "Require: foo, path, bar"), 420),
        (register("Require: foo, path", "Require: bar"), 420),
        (register("Require: Path"), 200),
        (request("OPTIONS", "sip:bob@example.com", "Require: foo"), 200),
        (request("INVITE", "sip:bob@example.com", "Proxy-Require: pref"), 200),
        (request("ACK", "sip:bob@example.com", "Proxy-Require: foo"), 200),
    ],
)
def test_require_counts_where_we_answer_ourselves(made, status):
    assert status_of(made) == status


def test_420_names_what_is_unknown():
    with pytest.raises(BadExtension) as caught:
        house().decide(register("Require: foo, path", "Require: bar"))
    assert caught.value.headers == (("Unsupported", "foo"), ("Unsupported", "bar"))


@pytest.mark.parametrize(
    ("uri", "from_", "status"),
    [
        ("tel:+1", "<sip:alice@example.com>;tag=a", 403),
        ("sip:elsewhere.example", "<sip:zoe@elsewhere.example>;tag=z", 403),  # nothing leaves for a stranger (T63)
        ("sip:192.0.2.9", "<sip:zoe@elsewhere.example>;tag=z", 403),
        ("sip:elsewhere.example", "<sip:alice@example.com>;tag=a", 407),  # as any request of a user of ours
    ],
)
def test_register_of_another_domain_is_a_request_to_be_relayed(uri, from_, status):
    made = house()
    made.tables.set(auth="digest")
    foreign = parse(bytes(register(from_=from_)).replace(b"REGISTER sip:example.com", f"REGISTER {uri}".encode()))
    assert isinstance(foreign, Request)
    assert status_of(foreign, made) == status
    spent = parse(bytes(foreign).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))
    assert isinstance(spent, Request)
    assert status_of(spent, made) == 483


@pytest.mark.parametrize("from_", ["<sip:alice@example.com>;tag=a", "<sip:zoe@elsewhere.example>;tag=z"])
@pytest.mark.parametrize("auth", ["digest", "none"])
@pytest.mark.parametrize("uri", ["sip:[2001:db8::1]", "sip:[2001:db8::1]:5060"])
def test_a_place_of_ours_that_is_no_domain_registers_nobody_until_it_is_one(uri, auth, from_):
    made = house()
    made.tables.set(auth=auth)
    asked = parse(bytes(register(from_=from_)).replace(b"REGISTER sip:example.com", f"REGISTER {uri}".encode()))
    assert isinstance(asked, Request)
    with pytest.raises(Forbidden) as caught:
        made.decide(asked)
    assert caught.value.text == "Not a domain of this server"
    made.tables.domains[asked.uri.host] = "example.com"
    assert status_of(asked, made) == (200 if auth == "none" else 401)


# -- loops -------------------------------------------------------------------------


def passed_on(made, branch, sent_by="192.0.2.1:5060"):
    draft = Draft(made)
    draft.prepend("Via", f"SIP/2.0/UDP {sent_by};branch={branch};received=192.0.2.1")
    draft.prepend("Via", 'SIP/2.0/UDP elsewhere.example;branch=z9hG4bKthem;x="a,b"')
    return parse(bytes(draft))


def test_the_very_same_request_is_a_loop():
    made = request()
    with pytest.raises(LoopDetected):
        house().decide(passed_on(made, BRANCH + loop_mark(made, SEAL)))


def test_a_loop_is_seen_within_one_comma_list():
    made = request()
    text = bytes(made).replace(
        b"Via: ", b"Via: SIP/2.0/UDP 192.0.2.1;branch=" + (BRANCH + loop_mark(made, SEAL)).encode() + b" , "
    )
    with pytest.raises(LoopDetected):
        house().decide(parse(text))


@pytest.mark.parametrize(
    "changed",
    [
        lambda made: parse(bytes(made).replace(b"INVITE sip:bob@", b"INVITE sip:alice@")),
        lambda made: edited(made, CSeq="2 INVITE"),
        lambda made: edited(made, **{"Call-ID": "call-2"}),
        lambda made: edited(made, From="<sip:alice@example.com>;tag=a2"),
        lambda made: edited(made, To="<sip:bob@example.com>;tag=b"),
        lambda made: edited(made, Route="<sip:elsewhere.example;lr>"),
    ],
)
def test_a_request_changed_where_it_matters_is_a_spiral(changed):
    made = request()
    spiral = passed_on(changed(made), BRANCH + loop_mark(made, SEAL))
    inquiry = house().inquiry(spiral)
    check_loop(inquiry, house().tables)
    assert loop_mark(spiral, SEAL) != loop_mark(made, SEAL)


@pytest.mark.parametrize(
    ("branch", "sent_by"),
    [
        ("z9hG4bKwhatever", "192.0.2.1:5060"),
        ("{mark}x", "192.0.2.1:5060"),
        ("{mark}", "192.0.2.7:5060"),  # another node with our key has it still before it
        ("{mark}", "192.0.2.1:5070"),
    ],
)
def test_what_is_no_loop(branch, sent_by):
    made = request()
    mark = BRANCH + loop_mark(made, SEAL)
    assert status_of(passed_on(made, branch.format(mark=mark), sent_by)) == 200


def test_method_is_not_in_the_mark():
    ack = request("ACK")
    assert loop_mark(ack, SEAL) == loop_mark(request("INVITE"), SEAL)


def test_a_call_of_one_proxy_costs_no_mark(monkeypatch):
    monkeypatch.setattr("sipd.core.checks.loop_mark", lambda *_: pytest.fail("not needed"))
    assert isinstance(house().decide(request()), Proxy)


def test_every_check_is_in_the_table():
    assert [check.__name__ for check in CHECKS] == [
        "check_syntax", "check_scheme", "check_max_forwards", "check_max_breadth", "check_loop",
        "check_proxy_require", "check_own",
    ]  # fmt: skip


def test_nothing_that_a_rule_asks_extras_about_is_usual():
    assert USUAL - {"Record-Route"} <= PLAIN  # so no more is ordinary than what `weigh_claims` passes over
    assert USUAL.isdisjoint(ASKED | {"Max-Breadth", "Proxy-Require"})


@pytest.mark.parametrize("method", ["INVITE", "BYE", "REGISTER", "OPTIONS"])
@pytest.mark.parametrize("says", ["User-Agent: a phone", "Max-Breadth: 7", "X-Unheard-Of: 1"])
def test_a_request_without_extras_misses_no_check(method, says):
    made = house()
    sent = request(method, f"sip:{BOB}" if method != "REGISTER" else "sip:example.com", says)
    asked = made.inquiry(sent)
    all_asked = replace(asked)
    check_request(asked, made.tables)
    all_asked.breadth = made.tables.settings.max_breadth
    for check in CHECKS:
        check(all_asked, made.tables)
    assert asked == all_asked
    assert bool(sent.extras) is (says[:4] != "User")
