"""Registration information documents, against the schema and the examples of RFC 3680; GRUUs in them (RFC 5628)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sipd.core.gruu import gruu_of, parameters
from sipd.core.reginfo import ENDED, Known, Told, as_registered, changes_of, document
from sipd.message import parse_address, parse_uri
from sipd.rows import Binding
from tests.core import rfc3680
from tests.core.tables import ALICE, SEAL, WALL
from tests.core.test_gruu import house, put

DESK, CELL = "sip:alice@192.0.2.10", "sip:alice@192.0.2.11"
SPACE = {"r": "urn:ietf:params:xml:ns:reginfo", "gr": "urn:ietf:params:xml:ns:gruuinfo"}
EVENTS = ("registered", "created", "refreshed", "shortened", "expired", "deactivated", "unregistered", "rejected")


def row(uri=DESK, **changes):
    made = Binding(ALICE, uri, 1000, WALL + 600, "reg-1", 1, refreshed_at=WALL)
    return made._replace(**changes)


def known(*rows):
    return {(one.uri, one.key): Known(one) for one in rows}


def written(contacts, current=(), *, full=True, version=0, wall=WALL, aor=ALICE):
    """The document, read again; it is valid."""
    root = etree.fromstring(document(aor, version, contacts, current, full=full, wall=wall, seal=SEAL))
    rfc3680.schema().assertValid(root)
    return root


def test_the_documents_of_the_rfc_are_valid_and_a_wrong_one_is_not():
    """So the schema is one."""
    shown = rfc3680.documents()
    assert len(shown) == 3
    for root in shown:
        rfc3680.schema().assertValid(root)
    shown[0].set("state", "some")
    assert not rfc3680.schema().validate(shown[0])


def test_nobody_registered_is_as_the_rfc_shows_it():
    root = written([])
    assert (root.get("version"), root.get("state")) == ("0", "full")
    [registration] = root
    assert (registration.get("aor"), registration.get("state"), len(registration)) == (f"sip:{ALICE}", "init", 0)


def test_a_contact_with_all_that_is_known_of_it():
    binding = row(f"{DESK};transport=tcp", q=800, cseq=7, call_id="a@b<&\"'", action="redirect")
    binding = binding._replace(params=';methods="INVITE, BYE";video')
    root = written([Told(Known(binding, WALL - 100), "refreshed")], [binding], full=False, version=4)
    assert (root.get("version"), root.get("state")) == ("4", "partial")
    assert root[0].get("state") == "active"
    [contact] = root[0]
    assert dict(contact.attrib) == {
        "id": contact.get("id"),
        "state": "active",
        "event": "refreshed",
        "duration-registered": "100",
        "expires": "600",
        "q": "0.8",
        "callid": "a@b<&\"'",
        "cseq": "7",
    }
    assert contact[0].text == binding.uri
    params = {param.get("name"): param.text for param in contact.findall("r:unknown-param", SPACE)}
    assert params == {"action": "redirect", "methods": '"INVITE, BYE"', "video": None}


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_has_its_state(event):
    [contact] = written([Told(Known(row()), event)], [])[0]
    assert contact.get("event") == event
    ended = event in ENDED
    assert contact.get("state") == ("terminated" if ended else "active")
    assert (contact.get("expires") is None) == ended


def test_the_last_contact_ends_the_registration_and_then_it_is_init_again():
    """The way from terminated back to init is told nobody (§4.7.1)."""
    ended = written([Told(Known(row()), "expired")], [], full=False)
    assert ended[0].get("state") == "terminated"
    assert written([])[0].get("state") == "init"
    assert written([Told(Known(row()), "expired")], [row(CELL)], full=False)[0].get("state") == "active"


def test_ids_tell_contacts_apart_and_stay():
    rows = [row(), row(CELL), row(key="0123456789abcdef")]
    ids = [contact.get("id") for contact in written(as_registered(known(*rows).values()), rows)[0]]
    assert len(set(ids)) == 3
    again = [contact.get("id") for contact in written(as_registered(known(*rows[::-1]).values()), rows)[0]]
    assert again == ids[::-1]
    one, other = written([])[0].get("id"), written([], aor="bob@example.com")[0].get("id")
    assert one == written([], version=3)[0].get("id") != other


def test_gruus_stand_beside_the_contact():
    """RFC 5628 §4: as in the answer to REGISTER; first-cseq says from which one on they are good."""
    made = house()
    put(made, cseq=5)
    put(made, cseq=6)
    [given] = put(made, cseq=9).values()
    [binding] = made.tables.contacts[ALICE]
    [contact] = written(as_registered(known(binding).values()), [binding])[0]
    assert contact.find("gr:pub-gruu", SPACE).get("uri") == given[0]
    temporary = contact.find("gr:temp-gruu", SPACE)
    assert (temporary.get("uri"), temporary.get("first-cseq")) == (given[1], "5")
    assert gruu_of(parse_uri(given[1]), "example.com", SEAL).aor == ALICE
    assert contact.find("r:unknown-param", SPACE).text == f'"{binding.instance}"'
    put(made, cseq=3, call_id="another")
    [binding] = made.tables.contacts[ALICE]
    [contact] = written(as_registered(known(binding).values()), [binding])[0]
    assert contact.find("gr:temp-gruu", SPACE).get("first-cseq") == "3"
    [gone] = written([Told(Known(binding), "expired")])[0]
    assert gone.find("gr:temp-gruu", SPACE) is None


@pytest.mark.parametrize(("first", "now"), [(1, 1), (7, 4000), (2**20 - 1, 2**20 + 5), (2**31 - 2, 2**31 - 1)])
def test_the_first_cseq_is_found_again(first, now):
    made = house()
    put(made, cseq=first)
    put(made, cseq=now, call_id="reg-1") if now != first else None
    [binding] = made.tables.contacts[ALICE]
    [contact] = written(as_registered(known(binding).values()), [binding])[0]
    assert contact.find("gr:temp-gruu", SPACE).get("first-cseq") == str(first)
    assert parse_address(f"<{DESK}>" + parameters(binding, binding, SEAL)).param("pub-gruu")


TEXT = st.one_of(st.text(max_size=30), st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape")))


@given(uri=TEXT, call_id=TEXT, instance=TEXT, params=TEXT, user=TEXT.filter(str))
def test_any_text_makes_a_document_that_can_be_read(uri, call_id, instance, params, user):
    """Rows may hold anything: others write them, too."""
    binding = row(uri, call_id=call_id, instance=instance, params=params)
    user = user.encode("utf-8", "replace").decode()
    contacts = [Told(Known(binding), "registered")]
    text = document(f"{user}@example.com", 0, contacts, [binding], full=True, wall=WALL, seal=SEAL)
    assert len(etree.fromstring(text)[0]) == 1


@pytest.mark.parametrize(
    "uri",
    [
        "sip:alice@192.0.2.1:5060;transport=tcp;ob",
        "sip:%c3%a9l%20%22%3c@h;x=%41?Subject=a%20b",
        "sips:a!b~c*d'e(f)&=+$,;?/@h",
        "sip:a:pass@h",
        "tel:+1-555-1234;phone-context=example.com",
    ],
)
def test_contacts_as_they_are_stored_make_valid_documents(uri):
    [contact] = written([Told(Known(row(parse_uri(uri).text)), "registered")], [row(uri)])[0]
    assert contact[0].text == uri


def test_an_ipv6_address_stands_as_it_is():
    """SIP's brackets are none of RFC 3986's opaque URIs, so the schema does not like them: the URI matters more."""
    uri = "sip:alice@[2001:db8::1]:5060"
    text = document(ALICE, 0, as_registered(known(row(uri)).values()), [row(uri)], full=True, wall=WALL, seal=SEAL)
    assert etree.fromstring(text)[0][0][0].text == uri


# -- what has become of each contact ------------------------------------------------------------


def events(old, new, causes=None, wall=WALL):
    told, now = changes_of(known(*old), new, causes or {}, wall)
    assert [one.binding for one in now.values()] == list(new)
    return [(one.known.binding.uri, one.event) for one in told]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [row()], [(DESK, "registered")]),
        ([], [row(call_id="")], [(DESK, "created")]),  # no REGISTER made it
        ([row()], [row()], []),
        ([row()], [row(cseq=2, refreshed_at=WALL + 9, expires_at=WALL + 700)], [(DESK, "refreshed")]),
        ([row()], [row(cseq=2, expires_at=WALL + 60)], [(DESK, "refreshed")]),  # the phone itself wants less
        ([row()], [row(expires_at=WALL + 60)], [(DESK, "shortened")]),
        ([row()], [row(), row(CELL)], [(CELL, "registered")]),
        ([row(expires_at=WALL)], [], [(DESK, "expired")]),
        ([row()], [], [(DESK, "deactivated")]),
        ([row(), row(CELL)], [row(CELL)], [(DESK, "deactivated")]),
        ([row(key="a")], [row(key="b")], [(DESK, "registered"), (DESK, "deactivated")]),
    ],
)
def test_what_has_become_of_a_contact(old, new, expected):
    assert events(old, new) == expected


@pytest.mark.parametrize("cause", ["unregistered", "deactivated", "rejected"])
def test_why_it_is_gone_is_told_where_it_is_known(cause):
    assert events([row()], [], {(DESK, ""): cause}) == [(DESK, cause)]
    assert events([row(expires_at=WALL - 1)], [], {(DESK, ""): cause}) == [(DESK, "expired")]


def test_how_long_a_contact_has_been_there():
    """Since it was seen to come; of those from before nothing is said."""
    _, first = changes_of({}, [row()], {}, WALL)
    told, _ = changes_of(first, [row(cseq=2)], {}, WALL + 50)
    [contact] = written(told, [row(cseq=2)], full=False, wall=WALL + 50)[0]
    assert contact.get("duration-registered") == "50"
    [contact] = written(as_registered(known(row()).values()), [row()])[0]
    assert contact.get("duration-registered") is None
