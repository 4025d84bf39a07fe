"""Which contacts of a 3xx are followed, for whom (RFC 3261 §16.7 step 4, T63, T64, T88)."""

from __future__ import annotations

import pytest

from sipd.core.inquiry import Identity
from sipd.core.recursion import MOST_DEEP, Key, to_follow, uri_key
from sipd.core.tables import Missing
from sipd.hop import Target
from sipd.message import Response, parse_uri
from sipd.rows import Binding
from tests.core.tables import BOB, DictTables, House, request

PHONE = "sip:bob@192.0.2.50"
ROOM = 60


def moved(*contacts: str, status: int = 302) -> Response:
    return Response.build(status, "", [("Call-ID", "1"), *(("Contact", contact) for contact in contacts)])


def tables(**settings: object) -> DictTables:
    made = DictTables().set(**settings)
    made.contacts[BOB] = [Binding(BOB, PHONE)]
    return made


def follow(response, *, made=None, target=None, tried=None, room=ROOM, identity=None, known=None):
    house = House()
    inquiry = house.inquiry(made or request(from_="<sip:stranger@elsewhere.example>;tag=s"))
    if identity is not None:
        inquiry.identity = identity
    target = target or Target(parse_uri(PHONE), owner=BOB)
    return to_follow(inquiry, known or tables(), target, response, {} if tried is None else tried, room)


def uris(found) -> list[str]:
    return [target.uri.text for target in found.targets]


def left(found) -> list[str]:
    return [] if found.rest is None else [contact.uri.text for contact in found.rest.contacts]


def test_contacts_come_best_q_first():
    found = follow(moved("<sip:a@x.example>;q=0.2", "<sip:b@x.example>", "<sip:c@x.example>;q=0.7, <sip:d@y.example>"))
    assert uris(found) == ["sip:b@x.example", "sip:d@y.example", "sip:c@x.example", "sip:a@x.example"]
    assert [target.q for target in found.targets] == [1000, 1000, 700, 200]
    assert found.rest is None, "the caller shall not try them again"


def test_a_bad_q_counts_as_the_least():
    assert [target.q for target in follow(moved("<sip:a@x.example>;q=7")).targets] == [0]


@pytest.mark.parametrize(
    "contact",
    [
        "<mailto:bob@x.example>",
        "<tel:+15551234>",
        "<sip:a@x.example>;expires=0",
        "<sip:a@x.example?Route=%3Csip:evil%3E>",
        "<sip:a@x.example;method=REFER>",
    ],
)
def test_what_is_not_for_us_to_try_is_left_to_the_caller(contact):
    found = follow(moved(contact, "<sip:b@x.example>"))
    assert uris(found) == ["sip:b@x.example"]
    assert found.rest is not None
    assert len(found.rest.values("Contact")) == 1


def test_other_lines_of_what_is_left_stay():
    lines = [("Call-ID", "1"), ("Contact", "<mailto:b@x.example>"), ("X-Kept", "yes"), ("Contact", f"<{PHONE}>")]
    response = Response.build(302, "Gone", lines)
    found = follow(response, tried={uri_key(parse_uri(PHONE)): 0})
    assert left(found) == ["mailto:b@x.example"]
    assert found.rest.first("X-Kept") == "yes"
    assert found.rest.reason == "Gone"


@pytest.mark.parametrize(("scheme", "other"), [("sip", "sips"), ("sips", "sip")])
def test_a_change_of_scheme_is_left_to_the_caller(scheme, other):
    made = request(uri=f"{scheme}:{BOB}")
    found = follow(moved(f"<{other}:a@x.example>", f"<{scheme}:b@x.example>"), made=made)
    assert uris(found) == [f"{scheme}:b@x.example"]
    assert left(found) == [f"{other}:a@x.example"]


def test_nothing_is_tried_twice():
    tried: dict[Key, int] = {}
    assert uris(follow(moved("<sip:a@x.example>"), tried=tried)) == ["sip:a@x.example"]
    again = follow(moved("<sip:a@X.example;tag=new>", "<sip:%61@x.example>"), tried=tried)
    assert again == ((), None), "neither followed nor left: it has been tried"


@pytest.mark.parametrize("other", ["sip:b@x.example", "sip:a@x.example:5070", "sip:a@y.example"])
def test_other_places_are_other_places(other):
    assert uris(follow(moved(f"<{other}>"), tried={uri_key(parse_uri("sip:a@x.example")): 0})) == [other]


def test_a_chain_of_redirections_has_an_end():
    tried = {uri_key(parse_uri(PHONE)): MOST_DEEP}
    found = follow(moved("<sip:a@x.example>"), tried=tried)
    assert uris(found) == []
    assert left(found) == ["sip:a@x.example"]


def test_only_so_many_are_tried_in_all():
    found = follow(moved(*(f"<sip:a{at}@x.example>" for at in range(5))), room=2)
    assert len(found.targets) == 2
    assert len(left(found)) == 3


# --- who pays (T63, T88) -----------------------------------------------------------------------


def test_what_a_users_own_phone_says_is_on_his_account():
    assert uris(follow(moved("<sip:a@x.example>"))) == ["sip:a@x.example"]


@pytest.mark.parametrize("owner", [None, BOB])
def test_what_a_stranger_says_is_on_the_callers_account(owner):
    target = Target(parse_uri("sip:far@x.example"), owner=owner)
    assert left(follow(moved("<sip:+1900@gw.example>"), target=target)) == ["sip:+1900@gw.example"]
    known = follow(moved("<sip:+1900@gw.example>"), target=target, identity=Identity("alice@example.com", "digest"))
    assert uris(known) == ["sip:+1900@gw.example"]


def test_without_authentication_a_local_from_is_enough():
    stranger = Target(parse_uri("sip:far@x.example"))
    response, known = moved("<sip:a@y.example>"), tables(auth="none")
    assert uris(follow(response, target=stranger, known=known, made=request())) == ["sip:a@y.example"]
    assert uris(follow(response, target=stranger, known=known)) == []


def test_a_user_of_ours_may_always_be_tried_and_the_way_there_is_remembered():
    found = follow(moved("<sip:alice@example.com>"))
    assert [(target.uri.text, target.owner) for target in found.targets] == [("sip:alice@example.com", BOB)]


def test_bindings_that_are_not_known_now_speak_for_nobody():
    known = tables()
    known.unknown.add(("bindings", BOB))
    with pytest.raises(Missing):
        known.bindings(BOB)
    assert uris(follow(moved("<sip:a@x.example>"), known=known)) == []


def test_contacts_that_cannot_be_read_are_left_as_they_are():
    response = moved("<<<")
    assert follow(response) == ((), response)


def test_what_is_left_of_very_many_is_still_a_message_that_can_be_read():
    response = moved(", ".join(f"<tel:+1{number:05}>" for number in range(400)), "<sip:a@x.example>")
    rest = follow(response).rest
    assert rest is not None
    assert rest.names.count("Contact") < 20
    assert left(follow(response)) == [f"tel:+1{number:05}" for number in range(400)]
