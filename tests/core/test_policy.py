"""Policy: the order of the steps, marks, traces, and asking again."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.decision import Commit, NonceUsed, Proxy, Relay, Respond
from sipd.core.policy import ADMIT, ONLY_FOR, SEARCH, decide
from sipd.core.tables import Missing
from sipd.errors import BadSyntax, SipError
from sipd.message import Request, parse
from sipd.rows import Binding
from tests.core.tables import ALICE, BOB, WALL, House, credentials, register, request


def house(**settings):
    made = House()
    made.tables.set(**settings)
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 100)]
    return made


def test_the_steps_and_their_order():
    assert [step.__name__ for step in ADMIT] == [
        "strip_routes", "check_request", "weigh_claims", "answer_options", "follow_route", "identify", "may_register",
        "may_relay",
    ]  # fmt: skip
    assert [step.__name__ for step in SEARCH] == [
        "seek", "consult_outgoing", "subscribe", "find_user", "consult_incoming", "register", "locate",
    ]  # fmt: skip


def proven(made, uri):
    asked = made.answer(request(uri=uri)).first("Proxy-Authenticate")
    return request("INVITE", uri, f"Proxy-Authorization: {credentials(asked, 'INVITE', uri)}")


@pytest.mark.parametrize(("uri", "status"), [("sip:nobody@example.com", 404), (f"sip:{ALICE}", 480), (f"sip:{BOB}", 0)])
def test_a_proven_request_spends_its_count_whatever_comes_of_it(uri, status):
    made = house()
    again = proven(made, uri)
    decision = made.decide(again)
    assert [type(mark) for mark in decision.marks] == [NonceUsed]
    assert (decision.status if isinstance(decision, Respond) else 0) == status
    assert made.answer(again).status == 407  # a replay


def test_a_commit_carries_the_marks_and_not_its_answer():
    made = house()
    asked = made.answer(register()).first("WWW-Authenticate")
    text = credentials(asked, "REGISTER", "sip:example.com")
    decision = made.decide(register("Contact: <sip:a@192.0.2.10>", f"Authorization: {text}"))
    assert isinstance(decision, Commit)
    assert (len(decision.marks), decision.response.marks) == (1, ())


def test_marks_are_handed_out_once():
    made = house()
    inquiry = made.inquiry(proven(made, f"sip:{BOB}"))
    assert len(decide(inquiry, made.tables).marks) == 1
    assert decide(inquiry, made.tables).marks == ()
    assert inquiry.toward(inquiry.uri).marks == ()


@pytest.mark.parametrize("missing", [("user", ALICE), ("user", BOB), ("bindings", BOB), ("program", BOB)])
def test_a_missing_row_is_asked_for_and_then_the_answer_is_as_without(missing):
    made = house()
    again = proven(made, f"sip:{BOB}")
    inquiry, straight = made.inquiry(again), made.inquiry(again)
    expected = decide(straight, made.tables)
    made.tables.unknown = {missing}
    with pytest.raises(Missing) as caught:
        decide(inquiry, made.tables)
    assert (caught.value.kind, caught.value.key) == missing
    made.tables.unknown = set()
    decision = decide(inquiry, made.tables)
    assert decision._replace(marks=caught.value.marks + decision.marks) == expected
    assert inquiry.identity == straight.identity


@pytest.mark.parametrize(
    ("made", "steps"),
    [
        (request("OPTIONS", "sip:example.com"), ["options"]),
        (request(), ["identify"]),
        (request(from_="<sip:z@elsewhere.example>;tag=1"), ["locate"]),
        (request(from_="<sip:z@elsewhere.example>;tag=1", uri="sip:far.example"), ["may_relay"]),
    ],
)
def test_each_decision_leaves_its_line(made, steps):
    here = house()
    inquiry = here.inquiry(made)
    with suppress(SipError):
        decide(inquiry, here.tables)
    assert [step.step for step in inquiry.trace] == steps


LINES = st.sampled_from(
    [
        "Route: <sip:192.0.2.1;lr>", "Route: <sip:192.0.2.1:5060;lr;sd=00>", "Route: x", "Max-Forwards: 0",
        "Contact: *", "Contact: <sip:a@b>;expires=7", "Contact: <sip:a@b>;q=2", "Proxy-Require: x", "Require: path",
        "Content-Disposition: script;action=remove", "Content-Disposition: sip-cgi", "Accept: */*", "Path: <sip:p;lr>",
        'Authorization: Digest username="alice", realm="example.com", nonce="", uri="sip:example.com", response=""',
        "Proxy-Authorization: Digest a=b", "If-Unmodified-Since: x", "Request-Disposition: redirect",
    ]
)  # fmt: skip
URIS = st.sampled_from(
    [
        f"sip:{BOB}",
        "sip:example.com",
        "sip:192.0.2.1",
        "sips:x@far.example",
        "tel:+1",
        "urn:x",
        "sip:a@b;maddr=192.0.2.1",
    ]
)
TEXTS = st.sampled_from(
    [f"<sip:{ALICE}>;tag=1", f"<sip:{BOB}>", "<sip:anonymous@anonymous.invalid>", "<tel:+1>", "x", '"']
)


def outcome(inquiry, tables):
    try:
        return decide(inquiry, tables)
    except SipError as error:
        return error.status


@given(
    st.sampled_from(["INVITE", "ACK", "BYE", "REGISTER", "OPTIONS", "FOO"]),
    URIS,
    TEXTS,
    TEXTS,
    st.lists(LINES, max_size=5),
    st.sampled_from(["digest", "none"]),
    st.binary(max_size=20),
)
def test_any_request_gets_a_decision_or_a_refusal(method, uri, from_, to, lines, auth, body):
    made = house(auth=auth)
    text = "\r\n".join(
        [
            f"{method} {uri} SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1",
            f"From: {from_}",
            f"To: {to}",
            "Call-ID: 1",
            f"CSeq: 1 {method}",
            *lines,
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
    ).encode()
    try:
        asked = parse(text + body)
    except BadSyntax:
        return
    assert isinstance(asked, Request)
    first, again = made.inquiry(asked), made.inquiry(asked)
    status = outcome(first, made.tables)
    assert outcome(again, made.tables) == status
    assert isinstance(status, Respond | Proxy | Commit | Relay) or 400 <= status < 500 or status == 501
    if method == "REGISTER" and isinstance(status, Respond):
        assert status.status < 600, "no registrar answers for the whole world (§10.3)"


@pytest.mark.parametrize("method", ["INVITE", "ACK", "BYE", "MESSAGE", "OPTIONS", "REGISTER", "CANCEL"])
def test_a_step_that_is_passed_over_would_have_decided_nothing(method):
    made = house()
    inquiry = made.inquiry(register() if method == "REGISTER" else request(method))
    for step, methods in ONLY_FOR.items():
        if method not in methods:
            assert step(inquiry, made.tables) is None, step.__name__
