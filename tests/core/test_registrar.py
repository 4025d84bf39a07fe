"""Registrar: every step of RFC 3261 §10.3, and the limits of T23, T69-T71."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.core.decision import Commit, Respond
from sipd.core.outbound import flow_key
from sipd.core.policy import decide
from sipd.core.registrar import contact_value
from sipd.core.tables import Missing
from sipd.errors import SipError
from sipd.hop import Hop
from sipd.message import parse_address
from sipd.rows import Binding, DropBinding, PutBinding
from tests.core.tables import ALICE, PHONE, WALL, House, register

DESK, CELL = "sip:alice@192.0.2.10", "sip:alice@192.0.2.11"


def row(uri=DESK, **changes):
    made = Binding(ALICE, uri, 1000, WALL + 600, "reg-1", 1, received=str(PHONE))
    return made._replace(**changes)


def house(*rows, **settings):
    made = House()
    made.tables.set(auth="none", **settings)
    made.tables.contacts[ALICE] = list(rows)
    return made


def stored(made):
    return {binding.uri: binding for binding in made.tables.contacts[ALICE]}


def listed(answer):
    return {str(contact.uri): contact.param("expires") for contact in answer.contacts}


def refused(made, request):
    """The error, and that nothing was changed by it."""
    before = list(made.tables.contacts[ALICE])
    with pytest.raises(SipError) as caught:
        made.decide(request)
    assert made.tables.contacts[ALICE] == before
    return caught.value


def test_a_binding_keeps_what_the_request_says():
    made = house()
    request = register(
        f'Contact: "Alice" <{DESK};transport=tcp>;q=0.7;expires=120;action=redirect'
        ';+sip.instance="<urn:uuid:1>";reg-id=2;methods="INVITE, BYE";video',
        "Path: <sip:edge.example;lr>, <sip:edge2.example;lr>",
        "Supported: outbound, path",
        "User-Agent: Desk 1.0",
        cseq=7,
    )
    answer = made.answer(request, Hop("TCP", "2001:db8::9", 40000))
    assert answer.status == 200
    assert made.tables.contacts[ALICE] == [
        Binding(
            ALICE,
            f"{DESK};transport=tcp",
            700,
            WALL + 120,
            "reg-1",
            7,
            "redirect",
            ("<sip:edge.example;lr>", "<sip:edge2.example;lr>"),
            "tcp:[2001:db8::9]:40000",
            "Desk 1.0",
            "<urn:uuid:1>",
            2,
            ';methods="INVITE, BYE";video',
            flow_key("<urn:uuid:1>", 2),
            WALL,
            stored(made)[f"{DESK};transport=tcp"].gruu,
        )
    ]
    assert answer.values("Contact") == [
        f'<{DESK};transport=tcp>;expires=120;q=0.7;action=redirect;+sip.instance="<urn:uuid:1>"'
        ';reg-id=2;methods="INVITE, BYE";video'
    ]
    assert answer.values("Path") == ["<sip:edge.example;lr>", "<sip:edge2.example;lr>"]
    assert answer.first("Date") == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert (answer.first("Accept"), answer.first("Accept-Disposition")) == ("application/cpl+xml", "script")


def test_the_answer_is_only_given_after_the_commit():
    made = house()
    decision = made.decide(register(f"Contact: <{DESK}>"))
    assert isinstance(decision, Commit)
    assert decision.reads == ALICE
    assert [type(change) for change in decision.changes] == [PutBinding]


@pytest.mark.parametrize(
    ("lines", "expires"),
    [
        ([f"Contact: <{DESK}>"], 3600),  # the default
        ([f"Contact: <{DESK}>", "Expires: 300"], 300),
        ([f"Contact: <{DESK}>;expires=200", "Expires: 300"], 200),
        ([f"Contact: {DESK};expires=200"], 200),
        ([f"Contact: <{DESK}>;expires=100000"], 7200),
        ([f"Contact: <{DESK}>;expires=99999999999999999999999"], 7200),
        ([f"Contact: <{DESK}>;expires=soon"], 3600),  # malformed counts as an hour
        ([f"Contact: <{DESK}>;expires=-1"], 3600),
        ([f"Contact: <{DESK}>;expires"], 3600),
        ([f"Contact: <{DESK}>", "Expires: x"], 3600),
        ([f"Contact: <{DESK}>;expires=60"], 60),
    ],
)
def test_how_long_a_binding_holds(lines, expires):
    made = house()
    answer = made.answer(register(*lines))
    assert listed(answer) == {DESK: str(expires)}
    assert stored(made)[DESK].expires_at == WALL + expires


@pytest.mark.parametrize(
    ("least", "asked", "status"), [(60, 59, 423), (60, 1, 423), (60, 60, 200), (9999, 3599, 423), (9999, 3600, 200)]
)
def test_too_brief_names_the_least_and_an_hour_never_is(least, asked, status):
    made = house(min_expires=least)
    request = register(f"Contact: <{DESK}>;expires={asked}")
    if status == 200:
        assert made.answer(request).status == 200
        return
    error = refused(made, request)
    assert (error.status, error.headers) == (423, (("Min-Expires", str(min(least, 3600))),))


def test_several_contacts_at_once():
    made = house()
    answer = made.answer(register(f"Contact: <{DESK}>;q=0.5, <{CELL}>;expires=90", "Contact: <tel:+15551234>"))
    assert listed(answer) == {DESK: "3600", CELL: "90", "tel:+15551234": "3600"}


@pytest.mark.parametrize(
    ("second", "same"),
    [
        ("sip:alice@192.0.2.10", True),
        ("SIP:%61lice@192.0.2.10", True),
        ("sip:alice@192.0.2.10;x=y", True),  # a parameter only one has does not count
        ("sip:Alice@192.0.2.10", False),
        ("sip:alice@192.0.2.10:5060", False),
        ("sips:alice@192.0.2.10", True),  # the later scheme takes the other's place (RFC 5630 §5.1.1.1)
        ("sips:alice@192.0.2.10:5061", False),
        ("sip:alice@192.0.2.10;transport=tcp", False),
    ],
)
def test_the_same_contact_is_known_by_uri_comparison(second, same):
    made = house(row())
    made.answer(register(f"Contact: <{second}>", cseq=2, uri="sips:example.com"))
    assert list(stored(made)) == ([second] if same else [DESK, second])


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([f"Contact: <{DESK}>;expires=0"], [CELL]),
        ([f"Contact: <{DESK}>", "Expires: 0"], [CELL]),
        (["Contact: <sip:%61lice@192.0.2.10>;expires=0"], [CELL]),
        (["Contact: <sip:other@192.0.2.12>;expires=0"], [DESK, CELL]),
        ([f"Contact: <{DESK}>;expires=0, <{CELL}>;expires=0"], []),
        (["Contact: *", "Expires: 0"], []),
    ],
)
def test_removing(lines, left):
    made = house(row(), row(CELL))
    answer = made.answer(register(*lines, cseq=2))
    assert answer.status == 200
    assert list(listed(answer)) == left == list(stored(made))


@pytest.mark.parametrize(
    "lines",
    [
        ["Contact: *"],
        ["Contact: *", "Expires: 1"],
        ["Contact: *", "Expires: x"],
        ["Contact: *;expires=0"],
        ["Contact: *", "Contact: <sip:a@b>", "Expires: 0"],
        [f"Contact: <{DESK}>, *", "Expires: 0"],
        ["Contact:"],
        [f"Contact: <{DESK}>;q=NaN"],
        [f"Contact: <{DESK}>;q=1.5"],
        [f"Contact: <{DESK}>;q="],
        [f"Contact: <{CELL}>, <sip:>"],
        [f'Contact: "open <{DESK}>'],
        [f"Contact: <{DESK};x={'y' * 1980}>"],  # longer than its column
        ["Contact: <sip:al\udcffice@192.0.2.10>"],
        [f"Contact: <{DESK}>", "Path: <sip:a\udcff@edge.example;lr>", "Supported: path"],
        [f"Contact: <{DESK}>", "Path: sip:edge.example;lr", "Supported: path"],
    ],
)
def test_malformed_is_400_and_changes_nothing(lines):
    assert refused(house(row()), register(*lines, cseq=2)).status == 400


@pytest.mark.parametrize(
    ("call_id", "cseq", "status"), [("reg-1", 6, 200), ("reg-1", 5, 400), ("reg-1", 4, 400), ("other", 1, 200)]
)
@pytest.mark.parametrize(
    "lines", [[f"Contact: <{DESK}>"], [f"Contact: <{DESK}>;expires=0"], ["Contact: *", "Expires: 0"]]
)
def test_out_of_order_requests_of_one_phone_are_refused(call_id, cseq, status, lines):
    made = house(row(cseq=5))
    request = register(*lines, call_id=call_id, cseq=cseq)
    if status == 200:
        assert made.answer(request).status == 200
    else:
        error = refused(made, request)
        assert (error.status, error.text) == (400, "Out of order")


def test_one_old_contact_spoils_the_whole_request():
    made = house(row(cseq=5))
    assert refused(made, register(f"Contact: <{CELL}>, <{DESK}>", cseq=5)).status == 400


def test_an_expired_binding_is_none():
    made = house(row(cseq=5, expires_at=WALL - 1))
    assert listed(made.answer(register(f"Contact: <{CELL}>", cseq=1))) == {CELL: "3600"}
    assert made.answer(register(f"Contact: <{DESK}>", cseq=1, call_id="x")).status == 200


def test_a_contact_twice_in_one_request_is_one():
    made = house()
    assert listed(made.answer(register(f"Contact: <{DESK}>;expires=90, <{DESK}>;expires=120"))) == {DESK: "120"}


@pytest.mark.parametrize(
    ("count", "held", "status"), [(3, 0, 200), (4, 0, 403), (2, 1, 200), (3, 1, 403), (1000, 0, 403)]
)
def test_a_user_has_so_many_contacts_and_no_more(count, held, status):
    made = house(*(row(f"sip:held{number}@192.0.2.10") for number in range(held)), max_contacts=3)
    request = register(*(f"Contact: <sip:a{number}@192.0.2.10>" for number in range(min(count, 200))), call_id="x")
    if status == 200:
        assert made.answer(request).status == 200
    else:
        assert refused(made, request).status == 403


def test_what_a_request_takes_away_makes_room_for_what_it_puts():
    """As of a phone that has a new address: the old Contact goes and the new one comes in one REGISTER."""
    made = house(max_contacts=1)
    assert made.answer(register(f"Contact: <{DESK}>")).status == 200
    for lines, cseq in (([f"<{DESK}>;expires=0, <{CELL}>"], 2), ([f"<{DESK}>", f"<{CELL}>;expires=0"], 3)):
        assert made.answer(register(*(f"Contact: {line}" for line in lines), cseq=cseq)).status == 200
        assert len(stored(made)) == 1
    assert list(stored(made)) == [DESK]
    assert refused(made, register(f"Contact: <{CELL}>, <{DESK}>", cseq=4)).status == 403


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sips:alice@192.0.2.10", 400),  # not in a REGISTER that is not sips itself
        ("tel:+1", 200),
        (f"sip:{ALICE}", 200),  # our own address: its loop is caught later
        ("javascript:alert(1)", 403),
        ("mailto:alice@example.com", 403),
    ],
)
def test_schemes_of_a_contact(uri, status):
    made = house()
    if status == 200:
        assert made.answer(register(f"Contact: <{uri}>")).status == 200
    else:
        assert refused(made, register(f"Contact: <{DESK}>, <{uri}>")).status == status


@pytest.mark.parametrize(
    ("uri", "path", "status"),
    [
        ("sips:example.com", "sips:edge.example.com;lr", 200),
        ("sips:example.com", "sip:edge.example.com;lr", 400),
        ("sip:example.com", "sips:edge.example.com;lr", 400),
    ],
)
def test_a_sips_contact_needs_sips_all_the_way(uri, path, status):
    made = house()
    sent = register("Contact: <sips:alice@192.0.2.10>", f"Path: <{path}>", "Supported: path", uri=uri)
    if status == 200:
        assert made.answer(sent).status == 200
    else:
        assert refused(made, sent).status == status
    assert made.answer(register("Contact: <sips:alice@192.0.2.10>;expires=0", cseq=2, uri=uri)).status == 200


def test_a_query_reads_what_is_committed_and_waits_for_nothing():
    made = house(row(expires_at=WALL + 99.6), row(CELL, q=300, expires_at=WALL - 5))
    made.tables.unknown = {("settled", ALICE)}
    decision = made.decide(register())
    assert isinstance(decision, Respond)
    assert decision.headers[0] == ("Contact", f"<{DESK}>;expires=100")
    assert [name for name, _ in decision.headers].count("Contact") == 1


def test_a_change_waits_for_those_before_it():
    made = house()
    made.tables.unknown = {("settled", ALICE)}
    inquiry = made.inquiry(register(f"Contact: <{DESK}>"))
    with pytest.raises(Missing):
        decide(inquiry, made.tables)
    made.tables.unknown = set()
    assert isinstance(decide(inquiry, made.tables), Commit)


def test_nothing_to_change_needs_no_commit():
    assert isinstance(house().decide(register(f"Contact: <{DESK}>;expires=0")), Respond)


def test_another_spelling_replaces_the_row():
    decision = house(row()).decide(register("Contact: <sip:%61lice@192.0.2.10>", cseq=2))
    assert isinstance(decision, Commit)
    assert [type(change) for change in decision.changes] == [DropBinding, PutBinding]


def test_texts_for_people_are_cut_and_made_readable():
    made = house()
    made.answer(register(f"Contact: <{DESK}>;x={'y' * 2000}", "User-Agent: \udcff" + "a" * 400))
    binding = stored(made)[DESK]
    assert (binding.user_agent, binding.params) == ("�" + "a" * 254, "")


def test_what_quoted_pairs_may_hide_is_stored_and_given_back():
    """RFC 4475 §3.1.1.2 has NUL and other controls in quoted strings."""
    made = house()
    pair = '"\\\0\\\x07"'
    path = f"<sip:edge.example;lr>;x={pair}"
    answer = made.answer(
        register(f"Contact: <{DESK}>;x={pair};+sip.instance={pair}", f"Path: {path}", "Supported: path, gruu")
    )
    [contact] = answer.contacts
    assert (contact.param("x"), contact.param("+sip.instance")) == ("?\x07", "?\x07")
    assert (answer.values("Path"), stored(made)[DESK].path) == ([path], (path,))
    assert len(made.answer(register()).contacts) == 1, "and so whenever somebody asks"


@pytest.mark.parametrize(
    ("contact", "source", "kept"),
    [
        ("sip:alice@192.0.2.10", PHONE, ""),  # it is where it says it is
        ("sip:alice@192.0.2.10", Hop("UDP", "203.0.113.9", 40000), "udp:203.0.113.9:40000"),  # a NAT between
        ("sip:alice@198.51.100.1", PHONE, ""),  # another's address, and that is meant
        ("sip:alice@198.51.100.1", Hop("UDP", "203.0.113.9", 40000), ""),
        ("sip:alice@192.0.2.10;transport=tcp", Hop("TCP", "203.0.113.9", 40000), "tcp:203.0.113.9:40000"),
        ("sip:alice@192.0.2.10;transport=tcp", Hop("TCP", "192.0.2.10", 40000), "tcp:192.0.2.10:40000"),
        ("sip:alice@198.51.100.1;transport=tcp", Hop("TCP", "203.0.113.9", 40000), ""),
        ("sip:alice@192.0.2.10", Hop("TCP", "192.0.2.10", 40000), ""),  # registered over TCP for UDP
        ("tel:+1", PHONE, ""),
    ],
)
def test_the_way_back_is_kept_where_the_contact_is_none(contact, source, kept):
    made = house()
    made.answer(register(f"Contact: <{contact}>"), source)
    assert stored(made)[contact].received == kept


@pytest.mark.parametrize("lines", [[f"Contact: <{DESK}>"], ["Contact: *", "Expires: 0"], []])
def test_path_of_a_client_that_does_not_know_it_is_420(lines):
    error = refused(house(row()), register(*lines, "Path: <sip:edge.example;lr>", cseq=2))
    assert (error.status, error.headers) == (420, (("Unsupported", "path"),))


@pytest.mark.parametrize("lines", [["Require: path", "Supported: path"], ["k: 100rel, PATH"]])
def test_path_is_kept_and_given_back_in_order(lines):
    made = house()
    path = ["<sip:P3.EXAMPLEHOME.COM;lr>", "<sip:P1.EXAMPLEVISITED.COM;lr>"]  # RFC 3327 §5.5.1
    answer = made.answer(register(f"Contact: <{DESK}>", f"Path: {path[0]},{path[1]}", *lines))
    assert answer.values("Path") == path
    assert stored(made)[DESK].path == tuple(path)
    assert "Path" not in made.answer(register()).names, "that of the request alone"


def test_a_requirement_nobody_knows_is_420():
    error = refused(house(), register(f"Contact: <{DESK}>", "Require: path, teleport"))
    assert (error.status, error.headers) == (420, (("Unsupported", "teleport"),))


@pytest.mark.parametrize("lines", [[f"Contact: <{DESK}>"], ["Contact: *", "Expires: 0"], []])
def test_every_answer_brings_the_service_route(lines):
    route = "<sip:P2.HOME.EXAMPLE.COM;lr>, <sip:HSP.HOME.EXAMPLE.COM;lr>"  # RFC 3608 §6.4.1
    answer = house(row(), service_route=route).answer(register(*lines, cseq=2))
    assert answer.values("Service-Route") == route.split(", ")
    assert "Service-Route" not in house(row()).answer(register(*lines, cseq=2)).names


@given(
    q=st.integers(0, 1000),
    left=st.floats(0.01, 7200),
    instance=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=20),
)
def test_what_is_listed_can_be_read(q, left, instance):
    text = contact_value(row(q=q, expires_at=WALL + left, instance=instance), WALL)
    contact = parse_address(text)
    assert contact.uri.text == DESK
    assert (contact.param("+sip.instance") or "") == instance
    assert int(contact.param("expires") or "") >= 1


STEPS = st.lists(
    st.tuples(st.sampled_from([DESK, CELL, "sip:x@y.example"]), st.sampled_from([0, 60, 3600]), st.booleans()),
    max_size=8,
)


@given(STEPS)
def test_after_any_requests_the_answer_lists_what_is_stored(steps):
    made = house()
    model: dict[str, str] = {}
    for cseq, (uri, expires, wipe) in enumerate(steps, 1):
        lines = ["Contact: *", "Expires: 0"] if wipe else [f"Contact: <{uri}>;expires={expires}"]
        answer = made.answer(register(*lines, cseq=cseq))
        if wipe:
            model.clear()
        elif expires:
            model[uri] = str(expires)
        else:
            model.pop(uri, None)
        assert listed(answer) == model
        assert set(stored(made)) == set(model)
