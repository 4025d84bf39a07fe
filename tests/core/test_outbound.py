"""Outbound at the registrar (RFC 5626 §4.2, §6, §7) and phones behind NAT with one private address."""

from __future__ import annotations

import pytest

from sipd.core.decision import Commit, Proxy
from sipd.core.outbound import flow_key, instance_key
from sipd.errors import SipError
from sipd.hop import Hop, Way
from sipd.rows import Binding, DropBinding, PutBinding
from tests.core.tables import ALICE, PHONE, WALL, House, register, request

UUID = "urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF"  # RFC 5626 §9
INSTANCE = f';+sip.instance="<{UUID}>"'
CONTACT = "sip:alice@192.0.2.10;transport=tcp"
TCP = Hop("TCP", "192.0.2.10", 41000)
OUTBOUND = "Supported: path, outbound"
SECOND_VIA = "Via: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKnashds7"
EDGE = "Path: <sip:VskztcQ/S8p4WPbOnHbuyh5iJvJIW3ib@ep1.example.com;lr;ob>"


def house(*rows, **settings):
    made = House()
    made.tables.set(auth="none", **settings)
    made.tables.contacts[ALICE] = list(rows)
    return made


def contact(reg_id=1, uri=CONTACT, more=""):
    return f"Contact: <{uri}>;reg-id={reg_id}{INSTANCE}{more}"


def stored(made):
    return made.tables.contacts[ALICE]


def status_of(made, made_request, source=TCP):
    try:
        return made.answer(made_request, source).status
    except SipError as error:
        return error.status


def test_a_flow_is_bound_by_instance_and_reg_id():
    made = house(flow_timer=90)
    answer = made.answer(register(contact(), OUTBOUND), TCP)
    assert (answer.first("Require"), answer.first("Flow-Timer")) == ("outbound", "90")
    assert answer.values("Supported") == ["outbound", "path"]
    [binding] = stored(made)
    assert (binding.reg_id, binding.instance, binding.key) == (1, f"<{UUID}>", flow_key(UUID, 1))
    assert Way.from_text(binding.received) == Way(TCP)
    assert f";reg-id=1;expires=3600{INSTANCE}" not in answer.first("Contact")
    assert ";reg-id=1" in answer.first("Contact")


@pytest.mark.parametrize(
    ("text", "number"),
    [("2147483647", 2**31 - 1), ("0000000007", 7), ("2147483648", 0), ("0", 0), ("", 0), ("x", 0), ("9" * 5000, 0)],
)
def test_a_reg_id_is_any_number_below_2_31(text, number):
    made = house()
    answer = made.answer(register(f'Contact: <{CONTACT}>;reg-id="{text}"{INSTANCE}', OUTBOUND), TCP)
    assert [binding.reg_id for binding in stored(made)] == [number]
    assert answer.first("Require") == ("outbound" if number else None)


def test_a_flow_over_udp_is_kept_though_the_contact_is_right():
    made = house()
    made.answer(register(contact(uri="sip:alice@192.0.2.10"), OUTBOUND), PHONE)
    assert stored(made)[0].received == str(PHONE)


def test_two_flows_with_one_contact_are_two_bindings():
    made = house()
    made.answer(register(contact(1), OUTBOUND, call_id="one"), TCP)
    answer = made.answer(register(contact(2), OUTBOUND, call_id="two"), TCP._replace(port=41001))
    assert [binding.reg_id for binding in stored(made)] == [1, 2]
    assert len(answer.values("Contact")) == 2
    assert {binding.uri for binding in stored(made)} == {CONTACT}


def test_a_refresh_takes_the_place_of_its_flow_whatever_the_contact_is():
    made = house()
    made.answer(register(contact(1), OUTBOUND, call_id="one"), TCP)
    made.answer(register(contact(2), OUTBOUND, call_id="two"), TCP._replace(port=41001))
    moved = "sip:alice@192.0.2.77;transport=tcp"
    upper = contact(1, moved).replace("AABBCCDDEEFF", "aabbccddeeff")
    decision = made.decide(register(upper, OUTBOUND, call_id="one", cseq=2), TCP._replace(host="192.0.2.77"))
    assert isinstance(decision, Commit)
    assert decision.changes[0] == DropBinding(ALICE, CONTACT, flow_key(UUID, 1), "unregistered")
    assert [(binding.reg_id, binding.uri) for binding in stored(made)] == [(2, CONTACT), (1, moved)]
    assert status_of(made, register(contact(1), OUTBOUND, call_id="one", cseq=2)) == 400, "out of order"


def test_one_flow_is_taken_away_and_the_other_stays():
    made = house()
    made.answer(register(contact(1), OUTBOUND, call_id="one"), TCP)
    made.answer(register(contact(2), OUTBOUND, call_id="two"), TCP)
    answer = made.answer(register(contact(1, more=";expires=0"), OUTBOUND, call_id="one", cseq=2), TCP)
    assert [binding.reg_id for binding in stored(made)] == [2]
    assert answer.first("Require") == "outbound"
    made.answer(register(f"Contact: <{CONTACT}>;expires=0", call_id="x"), TCP)
    assert stored(made) == [], "by its URI alone, too"


def test_flows_and_plain_contacts_live_beside_each_other():
    made = house()
    made.answer(register(f"Contact: <{CONTACT}>", call_id="plain"), TCP)
    made.answer(register(contact(1), OUTBOUND, call_id="one"), TCP)
    assert [binding.reg_id for binding in stored(made)] == [0, 1]
    made.answer(register(f"Contact: <{CONTACT}>", call_id="plain", cseq=2), TCP)
    assert sorted(binding.reg_id for binding in stored(made)) == [0, 1]


@pytest.mark.parametrize(
    ("lines", "status", "outbound"),
    [
        ((contact(), OUTBOUND), 200, True),
        ((contact(), OUTBOUND, SECOND_VIA), 439, False),
        ((contact(), OUTBOUND, SECOND_VIA, "Path: <sip:ep1.example.com;lr>"), 439, False),
        ((contact(), OUTBOUND, SECOND_VIA, EDGE), 200, True),
        ((contact(), OUTBOUND, SECOND_VIA, "Path: <sip:p3.example.com;lr>", EDGE), 200, True),
        ((contact(), "Supported: path", SECOND_VIA, "Path: <sip:ep1.example.com;lr>"), 200, False),
        ((f"Contact: <{CONTACT}>;reg-id=1", OUTBOUND, SECOND_VIA), 200, False),  # no instance: reg-id is nothing
        ((f"Contact: <{CONTACT}>;reg-id=1", OUTBOUND), 200, False),
        ((f"Contact: <{CONTACT}>{INSTANCE}", OUTBOUND), 200, False),
        ((contact(0), OUTBOUND), 200, False),
        ((contact("x"), OUTBOUND), 200, False),
        ((contact(1), contact(2, "sip:alice@192.0.2.11"), OUTBOUND), 400, False),
        ((contact(1), "Contact: <sip:alice@192.0.2.11>", OUTBOUND), 400, False),
        ((contact(1), "Contact: <sip:alice@192.0.2.11>;expires=0", OUTBOUND), 200, True),
        ((f"Contact: <{CONTACT}>", OUTBOUND), 200, False),
    ],
)
def test_when_outbound_rules_hold(lines, status, outbound):
    made = house()
    assert status_of(made, register(*lines)) == status
    if status == 200:
        assert (stored(made)[0].reg_id > 0, stored(made)[0].key != "") == (outbound, outbound)
        again = made.answer(register(*lines, cseq=2), TCP)
        assert ("Require" in again.names) is outbound
        assert "Flow-Timer" not in again.names


def test_who_does_not_say_outbound_is_not_required_to_know_it():
    """The binding is by instance and reg-id all the same (RFC 5626 §6)."""
    made = house(flow_timer=90)
    answer = made.answer(register(contact()), TCP)
    assert stored(made)[0].reg_id == 1
    assert "Require" not in answer.names
    assert "Flow-Timer" not in answer.names


def test_behind_an_edge_there_is_no_flow_timer_of_ours():
    made = house(flow_timer=90)
    answer = made.answer(register(contact(), OUTBOUND, SECOND_VIA, EDGE), TCP)
    assert answer.first("Require") == "outbound"
    assert "Flow-Timer" not in answer.names
    assert stored(made)[0].received == "", "its way is the Path"


@pytest.mark.parametrize("tag", ["outbound", "gruu", "path"])
def test_what_the_registrar_may_be_required_to_know(tag):
    assert status_of(house(), register(contact(), f"Require: {tag}", OUTBOUND)) == 200


def test_an_instance_is_compared_as_a_urn():
    assert instance_key(f"<{UUID}>") == instance_key(UUID.lower())
    assert instance_key("<urn:x:A>") != instance_key("<urn:x:a>")


# -- one flow of a phone at a time (§7) ------------------------------------------------


def flows(*rows):
    made = house(*rows)
    decision = made.decide(request("INVITE", f"sip:{ALICE}", from_="<sip:bob@example.com>;tag=b"))
    assert isinstance(decision, Proxy)
    return [[target.uri.user, *(other.uri.user for other in target.others)] for target in decision.targets]


def row(name, reg_id=0, at=0.0, instance=UUID, **changes):
    made = Binding(ALICE, f"sip:{name}@192.0.2.10", expires_at=WALL + 60, instance=instance, reg_id=reg_id)
    return made._replace(refreshed_at=WALL + at, key=flow_key(instance, reg_id) if reg_id else "", **changes)


@pytest.mark.parametrize(
    ("rows", "tried"),
    [
        ([row("a", 1), row("b", 2, 1.0)], [["b", "a"]]),
        ([row("a", 1, q=1000), row("b", 2, 1.0, q=500)], [["a", "b"]]),
        ([row("a", 1), row("b", 2), row("c", 1, instance="urn:x:1")], [["a", "b"], ["c"]]),
        ([row("old"), row("new", at=5.0)], [["new", "old"]]),  # it started again (RFC 5627 §6.1)
        ([row("old", q=1000), row("new", at=5.0, q=100)], [["new", "old"]]),
        ([row("a", instance=""), row("b", instance="")], [["a"], ["b"]]),
        ([row("a", instance=""), row("b", 1), row("c", 2), row("d", 3)], [["a"], ["b", "c", "d"]]),
    ],
)
def test_a_target_set_has_one_flow_of_a_phone(rows, tried):
    assert flows(*rows) == tried


# -- NAT: two phones that call themselves the same ---------------------------------------

HOME, OFFICE = Hop("UDP", "203.0.113.9", 40000), Hop("UDP", "198.51.100.7", 40000)
PRIVATE = "sip:alice@192.168.1.2:5060"


def behind_nat(call_id, source, made, contact=f"<{PRIVATE}>", cseq=1, expires=""):
    asked = register(f"Contact: {contact}{expires}", call_id=call_id, cseq=cseq)
    via = asked.lines.index("Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKphone1")
    lines = asked.lines.copy()
    lines[via] = "Via: SIP/2.0/UDP 192.168.1.2:5060;branch=z9hG4bKphone1"
    moved = type(asked)(asked.start_line, asked.names, lines, asked.body)
    return made.answer(moved, source)


def ways(made):
    return [binding.received for binding in stored(made)]


def test_two_phones_behind_two_nats_are_two():
    made = house()
    behind_nat("home", HOME, made)
    behind_nat("office", OFFICE, made)
    assert ways(made) == [str(HOME), str(OFFICE)]
    behind_nat("office", OFFICE._replace(port=50000), made, cseq=2)
    behind_nat("home", HOME._replace(port=50001), made, cseq=2)
    assert ways(made) == [str(OFFICE._replace(port=50000)), str(HOME._replace(port=50001))], "each refreshes its own"
    assert status(made, "home", HOME, 2) == 400
    behind_nat("office", OFFICE, made, cseq=3, expires=";expires=0")
    assert ways(made) == [str(HOME._replace(port=50001))]


def status(made, call_id, source, cseq):
    try:
        return behind_nat(call_id, source, made, cseq=cseq).status
    except SipError as error:
        return error.status


@pytest.mark.parametrize(
    ("call_id", "source", "contact"),
    [
        ("another", HOME._replace(port=50000), f"<{PRIVATE}>"),  # it started again, behind the same NAT
        ("home", OFFICE, f"<{PRIVATE}>"),  # the line got a new address
        ("another", OFFICE, f"<{PRIVATE}>{INSTANCE}"),  # it was carried elsewhere
    ],
)
def test_one_phone_behind_nat_stays_one(call_id, source, contact):
    made = house()
    behind_nat("home", HOME, made, contact)
    behind_nat(call_id, source, made, contact, cseq=2)
    assert ways(made) == [str(source)]


def test_two_instances_behind_one_nat_are_two():
    made = house()
    behind_nat("one", HOME, made, f"<{PRIVATE}>{INSTANCE}")
    behind_nat("two", HOME._replace(port=1), made, f"<{PRIVATE}>{INSTANCE.replace('AABB', 'AACC')}")
    assert len(ways(made)) == 2


def test_another_spelling_does_not_take_the_place_of_another_phone():
    made = house()
    behind_nat("home", HOME, made)
    behind_nat("office", OFFICE, made, f"<{PRIVATE};ob>")
    answer = behind_nat("office", OFFICE, made, cseq=2)
    assert ways(made) == [str(HOME), str(OFFICE)]
    assert len(answer.contacts) == 2
    assert len({(binding.uri, binding.key) for binding in stored(made)}) == 2


def test_a_contact_that_needs_no_flow_is_one_whoever_sends_it():
    made = house()
    made.answer(register("Contact: <sip:alice@192.0.2.10>", call_id="one"))
    decision = made.decide(register("Contact: <sip:alice@192.0.2.10>", call_id="two"))
    assert isinstance(decision, Commit)
    assert [type(change) for change in decision.changes] == [PutBinding]
    assert len(stored(made)) == 1
