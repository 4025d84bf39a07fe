"""GRUUs at the registrar and where they are dereferenced (RFC 5627 §5, §6.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.decision import Commit, Proxy, Respond
from sipd.core.forwarding import Passage, forwarded_copy
from sipd.core.gruu import epoch, gruu_of, parameters
from sipd.errors import NotFound, SipError
from sipd.hop import Target
from sipd.message import parse, parse_address, parse_uri
from sipd.rows import Binding
from sipd.seal import Seal
from tests.core.tables import ALICE, SEAL, WALL, House, register, request

DESK, CELL = "sip:alice@192.0.2.10", "sip:alice@192.0.2.11"
UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
CALLER = "<sip:bob@example.com>;tag=b1"


def house(**settings):
    made = House()
    made.tables.set(auth="none", **settings)
    return made


def put(made, uri=DESK, instance=UUID, supported="gruu", expires=3600, **kwargs):
    """REGISTER one contact; the GRUUs of each that is listed, by URI."""
    reg_id = kwargs.pop("reg_id", 0)
    flow = f";reg-id={reg_id}" if reg_id else ""
    answer = made.answer(
        register(
            f'Contact: <{uri}>;+sip.instance="<{instance}>"{flow};expires={expires}',
            f"Supported: {supported}, outbound",
            **kwargs,
        )
    )
    assert answer.status == 200
    return gruus(answer)


def gruus(answer):
    return {contact.uri.text: (contact.param("pub-gruu"), contact.param("temp-gruu")) for contact in answer.contacts}


def reached(made, uri, *more):
    """The contacts a request to this URI is sent to, or the status of its refusal."""
    try:
        decision = made.decide(request("INVITE", uri, *more, from_=CALLER))
    except SipError as error:
        return error.status
    if isinstance(decision, Respond):
        return decision.status
    assert isinstance(decision, Proxy)
    return [target.uri.text for target in decision.targets]


def test_both_are_given_to_those_who_know_them():
    made = house()
    [(public, temporary)] = put(made).values()
    assert public.startswith("sip:alice@example.com;gr=")
    assert temporary.startswith("sip:tgruu.")
    assert temporary.endswith("@example.com;gr")
    assert "alice" not in temporary
    assert UUID not in public + temporary
    assert put(made, supported="100rel", cseq=2) == {DESK: (None, None)}
    answer = made.answer(register(f"Contact: <{CELL}>", "Supported: gruu", call_id="x"))
    assert gruus(answer)[CELL] == (None, None), "without an instance there is none"
    assert "gruu" not in ",".join(answer.values("Supported")), "§5.2"


def test_what_a_client_says_of_its_own_gruus_is_not_heard():
    made = house()
    line = f'Contact: <{DESK}>;+sip.instance="<{UUID}>";pub-gruu="sip:eve@evil";temp-gruu="sip:eve@evil;gr"'
    answer = made.answer(register(line, "Supported: gruu"))
    assert "evil" not in answer.first("Contact")


def test_both_lead_to_that_phone_and_no_other():
    made = house()
    [(public, temporary)] = put(made).values()
    put(made, CELL, "urn:uuid:another", call_id="cell")
    for uri in (public, temporary, public.replace("alice", "%61lice"), public.replace(";gr=", ";GR=")):
        assert reached(made, uri) == [DESK]
    assert reached(made, f"sip:{ALICE}") == [DESK, CELL]


def test_a_refresh_brings_another_temporary_one_and_spoils_none():
    made = house()
    [(public, one)] = put(made).values()
    [(again, two)] = put(made, cseq=2).values()
    assert again == public
    assert one != two
    assert reached(made, one) == reached(made, two) == [DESK]
    answer = made.answer(register("Supported: gruu"))
    assert gruus(answer) == {DESK: (public, two)}, "a query gives the latest"


def test_another_call_id_spoils_the_temporary_ones():
    made = house()
    [(public, one)] = put(made).values()
    [(_, two)] = put(made, call_id="started-again").values()
    assert reached(made, one) == 404
    assert reached(made, two) == reached(made, public) == [DESK]


def test_when_the_phone_is_gone():
    made = house()
    [(public, temporary)] = put(made).values()
    put(made, CELL, "urn:uuid:another", call_id="cell")
    put(made, expires=0, cseq=2)
    assert (reached(made, public), reached(made, temporary)) == (480, 404)
    [(again, _)] = [pair for uri, pair in put(made, call_id="back").items() if uri == DESK]
    assert again == public
    assert (reached(made, public), reached(made, temporary)) == ([DESK], 404)


def test_a_phone_that_started_again_has_two_contacts_and_the_latest_counts():
    made = house()
    [(public, one)] = put(made).values()
    made.wall += 100
    listed = put(made, CELL, call_id="hf8asxzff8s7f@192.0.2.2")  # RFC 5627 §9
    assert len(set(listed.values())) == 1, "both have the same GRUUs"
    assert reached(made, public) == [CELL]
    assert reached(made, one) == 404
    decision = made.decide(request("INVITE", public, from_=CALLER))
    assert isinstance(decision, Proxy)
    assert [other.uri.text for other in decision.targets[0].others] == [DESK]


@pytest.mark.parametrize("reg_id", [0, 1])
def test_a_phone_that_started_again_leaves_no_binding_that_was_replaced(reg_id):
    """Its flow has another Contact then, or the same one is spelled otherwise: one binding, not two."""
    made = house()
    put(made, reg_id=reg_id)
    moved = CELL if reg_id else DESK.replace("alice", "%61lice")
    assert list(put(made, moved, reg_id=reg_id, call_id="started-again")) == [moved]
    assert [binding.uri for binding in made.tables.contacts[ALICE]] == [moved]


def test_flows_share_their_gruus_until_one_changes_its_call_id():
    made = house()
    [(public, one)] = put(made, reg_id=1, call_id="one").values()
    made.wall += 1
    pairs = put(made, CELL, reg_id=2, call_id="two")
    two = pairs[CELL][1]
    assert pairs[DESK] == pairs[CELL]
    assert all(isinstance(reached(made, uri), list) for uri in (public, one, two)), "a second flow spoils none"
    put(made, expires=0, reg_id=1, call_id="one", cseq=2)
    assert reached(made, one) == reached(made, two) == [CELL], "good while one flow is left"
    put(made, reg_id=1, call_id="one", cseq=3)
    made.wall += 1
    put(made, CELL, reg_id=2, call_id="changed")
    assert reached(made, one) == reached(made, two) == 404
    assert isinstance(reached(made, public), list)


@pytest.mark.parametrize(
    "uri",
    [
        "sip:alice@example.com;gr",
        "sip:alice@example.com;gr=" + "0" * 24,
        "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "sip:bob@example.com;gr=GR",  # bob's name on alice's mark
        "sip:tgruu.@example.com;gr",
        "sip:tgruu.AAAA@example.com;gr",
        "sip:tgruu." + "A" * 107 + "@example.com;gr",
        "sip:example.com;gr=x",
    ],
)
def test_what_we_have_not_made_is_404(uri):
    made = house()
    [(public, _)] = put(made).values()
    assert reached(made, uri.replace("GR", public.partition("gr=")[2])) == 404


@given(st.data())
def test_no_changed_character_is_let_through(data):
    made = house()
    [(public, temporary)] = put(made).values()
    text = data.draw(st.sampled_from([public.partition("gr=")[2], temporary[10:].partition("@")[0]]))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("0123456789abcdefABCDEFxyz-_"))
    uri = (public if text in public else temporary).replace(text, text[:at] + other + text[at + 1 :])
    if other.lower() == text[at].lower() and text in public:
        return
    assert reached(made, uri) == ([DESK] if other == text[at] else 404)


def test_a_temporary_one_tells_nothing_to_who_has_not_the_key():
    bindings = [Binding(f"{name}@example.com", DESK, instance="<urn:x:1>", gruu="0" * 12) for name in ("al", "b" * 25)]
    texts = [parameters(binding, binding, SEAL).partition("tgruu.")[2].partition("@")[0] for binding in bindings]
    assert len(texts[0]) == len(texts[1]), "not even how long the name is"
    assert not set(zip(texts[0], texts[0][1:], texts[0][2:], texts[0][3:], strict=False)) & set(
        zip(texts[1], texts[1][1:], texts[1][2:], texts[1][3:], strict=False)
    )
    with pytest.raises(NotFound):
        gruu_of(parse_uri(f"sip:tgruu.{texts[0]}@example.com;gr"), "example.com", Seal(b"another key, as long"))
    with pytest.raises(NotFound):
        gruu_of(parse_uri(f"sip:tgruu.{texts[0]}@other.example;gr"), "other.example", SEAL)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_user_has_gruus_that_lead_to_him(name):
    binding = Binding(f"{name}@example.com", "sips:x@y", instance="<urn:x:1>", gruu=epoch(SEAL, name, "c", 1, WALL))
    contact = parse_address(f"<sip:x@y>{parameters(binding, binding, SEAL)}")
    for parameter in ("pub-gruu", "temp-gruu"):
        uri = parse_uri(contact.param(parameter) or "")
        assert uri.scheme == "sips"
        found = gruu_of(uri, "example.com", SEAL)
        assert (found.aor, found.epoch) == (binding.aor, binding.gruu if parameter == "temp-gruu" else "")


@pytest.mark.parametrize(
    ("contact", "status"),
    [
        (f"<sip:{ALICE}>", 403),
        ("<sip:alice@192.0.2.1>", 403),  # the same under another name of the domain
        ("<tel:+1>", 403),
        ("<PUBLIC>", 403),
        ("<TEMPORARY>", 403),
        ("<sip:alice@example.com;gr=urn:uuid:1>", 403),
        ("<sip:bob@example.com>", 200),
        ("<sip:alice@192.0.2.1:5070>", 200),  # a phone on our own host
    ],
)
@pytest.mark.parametrize("instance", [True, False])
def test_contacts_that_lead_back_are_403(contact, status, instance):
    made = house()
    [(public, temporary)] = put(made).values()
    text = contact.replace("PUBLIC", public).replace("TEMPORARY", temporary)
    if not instance and "gr" not in text:
        status = 200
    parameter = f';+sip.instance="<{UUID}>"' if instance else ""
    asked = register(f"Contact: {text}{parameter}", call_id="other")
    if status == 200:
        assert made.answer(asked).status == 200
        return
    with pytest.raises(SipError) as caught:
        made.decide(asked)
    assert caught.value.status == status


def test_a_gruu_is_not_redirected():
    made = house(mode="redirect")
    [(public, _)] = put(made).values()
    assert reached(made, f"sip:{ALICE}") == 302
    assert reached(made, public) == [DESK]
    assert reached(made, public, "Request-Disposition: redirect") == [DESK]


def test_in_a_dialog_a_path_is_left_out():
    made = house()
    line = f'Contact: <{DESK}>;+sip.instance="<{UUID}>"'
    answer = made.answer(register(line, "Supported: gruu, path", "Path: <sip:edge.example;lr>"))
    [(public, _)] = gruus(answer).values()
    new = made.decide(request("INVITE", public, from_=CALLER))
    assert isinstance(new, Proxy)
    assert new.targets[0].path == ("<sip:edge.example;lr>",)
    within = made.decide(request("INVITE", public, "Route: <sip:edge.example;lr>", from_=CALLER))
    assert isinstance(within, Proxy)
    assert within.targets[0].path == ()


def test_self_made_gruus_and_the_rules_of_comparison():
    """A gr that only one has does not count, two must be equal (RFC 5627 §3.1, §5.4, RFC 3261 §19.1.4)."""
    plain, one, two = (parse_uri(f"sip:gw@198.51.100.1{more}") for more in ("", ";gr=a", ";gr=b"))
    assert plain.same_as(one)
    assert not one.same_as(two)
    made = house()
    assert isinstance(made.decide(register("Contact: <sip:gw@198.51.100.1;gr=a>")), Commit)
    assert reached(made, "sip:gw@198.51.100.1;gr=a") == ["sip:gw@198.51.100.1;gr=a"], "another's GRUU is another's"


def test_with_the_user_his_gruus_are_gone():
    made = house()
    [(public, temporary)] = put(made).values()
    del made.tables.users[ALICE]
    assert (reached(made, public), reached(made, temporary)) == (404, 404)


RECORDED = "Record-Route: <sip:edge.example;lr>"


@pytest.mark.parametrize(
    ("more", "contact", "path", "recorded"),
    [
        ((RECORDED,), "sip:bob@example.com;gr=x", (), True),  # a caller's GRUU, and another is in the dialog
        ((), "sip:bob@example.com;gr=x", (), False),
        ((RECORDED,), "sip:bob@192.0.2.10", (), False),
        ((), "sip:bob@192.0.2.10", ("<sip:edge.example;lr>",), True),  # a contact behind a Path
    ],
)
def test_a_gruu_with_record_routes_keeps_us_in_the_dialog(more, contact, path, recorded):
    """RFC 5627 §6.2: also where the setting says that we don't record our route."""
    sent = request("INVITE", f"sip:{ALICE}", *more, f"Contact: <{contact}>", from_=CALLER)
    target = Target(parse_uri(DESK), path=path, owner=ALICE)
    passage = Passage(target, "z9hG4bKours", "192.0.2.1:5060", "UDP", "192.0.2.1:5060", "UDP", False, SEAL)
    copy = parse(forwarded_copy(sent, passage))
    assert ("192.0.2.1" in (copy.first("Record-Route") or "")) is recorded
