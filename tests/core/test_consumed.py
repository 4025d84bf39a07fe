"""Credentials for us go no further; those for others do (§22.3)."""

from __future__ import annotations

import pytest

from sipd.core.decision import Proxy
from sipd.core.policy import decide
from sipd.core.routes import record_route_value
from sipd.core.tables import Missing
from sipd.digest import ha1
from sipd.rows import Binding
from tests.core.tables import ALICE, BOB, PASSWORD, SEAL, WALL, House, credentials, request, user

URI = f"sip:{BOB}"
OTHERS = 'Digest username="alice", realm="far.example", nonce="n", uri="sip:x", response="00"'
OURS = 'Digest username="alice", realm="Example.com", nonce="n", uri="sip:x", response="00"'


def house():
    made = House()
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 100)]
    return made


@pytest.mark.parametrize("realm", ["example.com", "Our House"])
def test_what_proved_the_sender_is_taken_off_and_nothing_else_changes(realm):
    made = house()
    made.tables.users[ALICE] = user(ALICE, realm=realm, ha1_sha256=ha1("alice", realm, PASSWORD, "SHA-256"))
    asked = made.answer(request()).first("Proxy-Authenticate")
    ours = credentials(asked, "INVITE", URI)
    both = request("INVITE", URI, f"Proxy-Authorization: {OTHERS}", f"Proxy-Authorization: {ours}", "X: y")
    inquiry = made.inquiry(both)
    assert isinstance(decide(inquiry, made.tables), Proxy)
    assert inquiry.request.values("Proxy-Authorization") == [OTHERS]
    assert [line for line in both.lines if ours not in line] == inquiry.request.lines


def test_they_stay_until_the_decision_is_made():
    made = house()
    asked = made.answer(request()).first("Proxy-Authenticate")
    inquiry = made.inquiry(request("INVITE", URI, f"Proxy-Authorization: {credentials(asked, 'INVITE', URI)}"))
    made.tables.unknown = {("bindings", BOB)}
    with pytest.raises(Missing):
        decide(inquiry, made.tables)
    made.tables.unknown = set()
    assert isinstance(decide(inquiry, made.tables), Proxy)
    assert inquiry.identity == (ALICE, "digest")
    assert "Proxy-Authorization" not in inquiry.request.names


@pytest.mark.parametrize(("text", "left"), [(OURS, []), (OTHERS, [OTHERS]), ("Digest", ["Digest"])])
@pytest.mark.parametrize("method", ["BYE", "ACK"])
def test_in_a_dialog_too(method, text, left):
    route = record_route_value(request(), "192.0.2.1:5060", "UDP", SEAL)
    made = request(
        method,
        "sip:bob@192.0.2.20",
        f"Route: {route}",
        f"Proxy-Authorization: {text}",
        to=f"<{URI}>;tag=b",
    )
    inquiry = house().inquiry(made)
    decide(inquiry, house().tables)
    assert inquiry.request.values("Proxy-Authorization") == left


def test_a_request_without_any_stays_the_same_object():
    made = house()
    asked = request(from_="<sip:z@far.example>;tag=1")
    inquiry = made.inquiry(asked)
    decide(inquiry, made.tables)
    assert inquiry.request is asked
