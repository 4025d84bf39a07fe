"""Calls: whose script has a say, and whether the one sought exists (§16.5, T65, T67)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from sipd.core.decision import Proxy, RunScript
from sipd.core.inquiry import Inquiry
from sipd.core.policy import decide
from sipd.core.routes import record_route_value
from sipd.cpl import compile
from sipd.errors import SipError
from sipd.message import parse_uri
from sipd.rows import Binding
from tests.core.tables import ALICE, BOB, SEAL, WALL, House, request

CPL = '<cpl xmlns="urn:ietf:params:xml:ns:cpl">{}</cpl>'
IN = compile(CPL.format('<incoming><reject status="busy"/></incoming>').encode())
OUT = compile(CPL.format('<outgoing><reject status="busy"/></outgoing>').encode())
BOTH = compile(
    CPL.format('<outgoing><reject status="busy"/></outgoing><incoming><reject status="busy"/></incoming>').encode()
)
STRANGER = "<sip:zoe@elsewhere.example>;tag=z"


def house(alice=None, bob=None, **settings):
    made = House()
    made.tables.set(**{"auth": "none", **settings})
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 100)]
    made.tables.programs = {aor: program for aor, program in ((ALICE, alice), (BOB, bob)) if program is not None}
    return made


@pytest.mark.parametrize(
    ("alice", "bob", "from_", "runs"),
    [
        (None, None, ALICE, []),
        (OUT, None, ALICE, [(ALICE, "outgoing")]),
        (IN, OUT, ALICE, []),  # neither speaks about this direction
        (None, IN, ALICE, [(BOB, "incoming")]),
        (BOTH, BOTH, ALICE, [(ALICE, "outgoing"), (BOB, "incoming")]),
        (BOTH, BOTH, "zoe@elsewhere.example", [(BOB, "incoming")]),
    ],
)
def test_callers_outgoing_then_callees_incoming_each_once(alice, bob, from_, runs):
    made = house(alice, bob)
    inquiry = made.inquiry(request(from_=f"<sip:{from_}>;tag=1"))
    seen = []
    while isinstance(decision := decide(inquiry, made.tables), RunScript):
        seen.append((decision.owner, decision.direction))
        inquiry = inquiry.toward(inquiry.uri, consulted=seen[-1])
    assert seen == runs
    assert isinstance(decision, Proxy)


@pytest.mark.parametrize(("method", "runs"), [("INVITE", True), ("MESSAGE", False), ("BYE", False)])
def test_scripts_run_for_invite_only(method, runs):
    assert isinstance(house(BOTH, BOTH).decide(request(method)), RunScript) is runs


def test_a_to_tag_alone_is_no_way_past_a_script():
    made = request(to=f"<sip:{BOB}>;tag=b", from_=STRANGER)
    assert isinstance(house(None, IN).decide(made), RunScript)


def test_in_a_dialog_of_ours_no_script_runs():
    route = record_route_value(request(from_=STRANGER), "192.0.2.1:5060", "UDP", SEAL)
    made = request("INVITE", f"sip:{BOB}", f"Route: {route}", to=f"<sip:{BOB}>;tag=b", from_=STRANGER)
    assert isinstance(house(None, IN).decide(made), Proxy)


def test_outgoing_is_asked_in_the_first_search_only():
    made = house(OUT, None)
    inquiry = made.inquiry(request()).toward(parse_uri(f"sip:{BOB}"), through="carol@example.com")
    assert isinstance(decide(inquiry, made.tables), Proxy)


def test_a_callers_script_runs_for_foreign_calls_too():
    assert isinstance(house(OUT, None).decide(request(uri="sip:joe@far.example")), RunScript)


@pytest.mark.parametrize(
    ("from_", "settings", "uri", "status"),
    [
        (ALICE, {}, "sip:nobody@example.com", 404),
        (ALICE, {}, "sip:alice@example.com", 480),
        (ALICE, {"unknown_callee": "hide"}, "sip:nobody@example.com", 480),
        ("zoe@elsewhere.example", {"auth": "digest"}, "sip:nobody@example.com", 480),
        ("zoe@elsewhere.example", {"auth": "digest"}, "sip:alice@example.com", 480),
        (ALICE, {}, "sip:example.com", 404),
        (ALICE, {}, "sip:b%F6b@example.com", 404),
        (ALICE, {}, "sip:bob%00@example.com", 404),
        (ALICE, {}, "sip:BOB@example.com", 404),
    ],
)
def test_nobody_there(from_, settings, uri, status):
    made = request(uri=uri, from_=f"<sip:{from_}>;tag=1")
    with pytest.raises(SipError) as caught:
        house(**settings).decide(made)
    assert (caught.value.status, caught.value.text) == (status, "")


def test_a_place_of_ours_that_is_no_domain_is_nobody():
    made = house()
    del made.tables.domains["192.0.2.1"]
    with pytest.raises(SipError) as caught:
        made.decide(request(uri="sip:bob@192.0.2.1:5060"))
    assert caught.value.status == 404


def test_through_one_user_twice_is_a_loop():
    made = house()
    inquiry = made.inquiry(request()).toward(parse_uri(f"sip:{BOB}"), through=ALICE)
    assert isinstance(decide(inquiry, made.tables), Proxy)
    again = inquiry.toward(parse_uri(f"sips:{BOB};x=y"), through=BOB)
    with pytest.raises(SipError) as caught:
        decide(again, made.tables)
    assert caught.value.status == 482


def test_the_next_uri_has_a_callee_of_its_own():
    made = house()
    inquiry = made.inquiry(request(uri="sip:alice@example.com"))
    with pytest.raises(SipError):
        decide(inquiry, made.tables)
    further = inquiry.toward(parse_uri(f"sip:{BOB}"), through=ALICE)
    assert isinstance(decide(further, made.tables), Proxy)
    assert (inquiry.callee, further.callee) == (ALICE, BOB)


def test_the_question_one_step_on_keeps_all_that_is_not_asked_anew():
    values: dict[str, Any] = {field.name: object() for field in fields(Inquiry)}
    asked = Inquiry(**{**values, "consulted": frozenset(), "path": (), "breadth": 7})
    further = asked.toward(parse_uri("sip:x@y"), consulted=(BOB, "incoming"), through=BOB, breadth=3)
    changed = {name for name in values if getattr(further, name) is not getattr(asked, name)}
    assert changed == {"uri", "callee", "marks", "consulted", "path", "breadth"}
    assert (further.consulted, further.path, further.breadth) == (frozenset({(BOB, "incoming")}), (BOB,), 3)
    assert (further.callee, further.marks) == ("", ())
    assert asked.toward(asked.uri).breadth == 7
